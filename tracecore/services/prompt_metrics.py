"""Metrics of a prompt, version by version: how often it was used, and what that took, cost and was judged to be.

A backend works them out by its measures (:mod:`tracecore.measuring`, which says what each of them means); no record is
read. They are of the generations that carry the name and a version of the prompt, by their start, and of the scores of
these generations, by when they were given. Unknown is no value: a sum or a percentile is of what is known, and beside
it stands of how many.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from tracecore.backend import Backend
from tracecore.catalog_prompts import prompts_of
from tracecore.conditions import Condition
from tracecore.errors import BackendRejected, ConfigError
from tracecore.measures import (
    LARGEST_ANSWER,
    Measured,
    MeasureOrder,
    MeasureQuery,
    MeasureRow,
    MeasureStore,
    ScoreCondition,
)
from tracecore.prompts import Held, PromptQuery, PromptStore, PromptSummary
from tracecore.services.stores import measures_of

__all__ = ["MOST_VALUES", "ScoreMetrics", "VersionMetrics", "metrics"]

MOST_VALUES: Final = 50
"""Values of a score that are told apart, at most: those that were given most often."""
_EARLIEST_NS: Final = -(2**63)
_LATEST_NS: Final = 2**63 - 1
_Key: TypeAlias = tuple[str, str]
"""The name of a score and its data type."""


class ScoreMetrics(Struct, frozen=True, kw_only=True):
    """Sum up the scores of one name and data type; ``values`` is empty for those that are numbers or free texts."""

    name: str
    data_type: str
    count: int
    mean: float | None = None
    """Of numbers; of booleans the share of those that are true."""
    values: dict[str, int] = {}
    """How often each value was given, the most frequent first; of booleans ``true`` and ``false``."""
    other_values: int = 0
    """How many scores have a value that is not among them."""


class VersionMetrics(Struct, frozen=True, kw_only=True):
    """Sum up the use of one version."""

    version: int
    labels: tuple[str, ...] = ()
    shares: dict[str, float] = {}
    """Of each label that is split: how many of those who ask for it get this version, from 0 to 1."""
    generations: int = 0
    errors: int = 0
    error_rate: float | None = None
    """From 0 to 1; None where there are no generations."""
    first_used_ns: int | None = None
    """When the first of the generations began, to the microsecond."""
    last_used_ns: int | None = None
    latency_count: int = 0
    """How many of the generations have a latency: those that run still have none."""
    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    first_token_count: int = 0
    """How many say when the first piece of their answer came."""
    first_token_p50_ms: float | None = None
    first_token_p95_ms: float | None = None
    usage_count: int = 0
    """How many say how many tokens they used."""
    input_tokens: int | float = 0
    output_tokens: int | float = 0
    total_tokens: int | float = 0
    cost_count: int = 0
    """How many have a cost."""
    unknown_costs: int = 0
    """How many have none."""
    total_cost: float | None = None
    """USD, of those that have a cost."""
    scores: tuple[ScoreMetrics, ...] = ()
    """By name."""


_USE: Final[dict[str, Measured]] = {
    "generations": Measured("count", "count"), "errors": Measured("errors", "sum"),
    "error_rate": Measured("errors", "avg"), "first_used_ns": Measured("start", "min"),
    "last_used_ns": Measured("start", "max"), "latency_count": Measured("latency", "count"),
    "latency_p50_ms": Measured("latency", "p50"), "latency_p95_ms": Measured("latency", "p95"),
    "first_token_count": Measured("time_to_first_token", "count"),
    "first_token_p50_ms": Measured("time_to_first_token", "p50"),
    "first_token_p95_ms": Measured("time_to_first_token", "p95"), "usage_count": Measured("total_tokens", "count"),
    "input_tokens": Measured("input_tokens", "sum"), "output_tokens": Measured("output_tokens", "sum"),
    "total_tokens": Measured("total_tokens", "sum"), "cost_count": Measured("total_cost", "count"),
    "total_cost": Measured("total_cost", "sum"),
}  # fmt: skip
"""What is asked of the generations of a version: the field of :class:`VersionMetrics` that it becomes."""
_COUNT: Final = Measured("count", "count")
_COUNTED_BY_VALUE: Final = ("BOOLEAN", "CATEGORICAL")
_MEANT: Final = frozenset(("NUMERIC", "BOOLEAN"))


async def metrics(
    backend: Backend,
    project: str,
    name: str,
    *,
    since_ns: int | None = None,
    until_ns: int | None = None,
    prompts: PromptStore | None = None,
) -> list[VersionMetrics]:
    """Return the metrics of every version that is kept or was used, the newest first.

    ``since_ns`` is inclusive and ``until_ns`` exclusive. ``prompts`` is where versions are kept, if that is not the
    backend. One that was used and is not kept any more has no labels.

    Raises:
        NotFound: there is no such prompt, and none was used.
        BackendRejected: the backend measures nothing.
        ConfigError: the time ends before it begins.
    """
    store, (since_ns, until_ns) = measures_of(backend), _time(since_ns, until_ns)
    prompts = prompts or _prompts_in(backend)
    kept = await _kept(prompts, project, name)
    used = await _used(store, project, name, since_ns, until_ns)
    if prompts is not None and kept is None and not used:
        await prompts.history(project, name, limit=1)  # says that there never was one, and what exists nearby
    scores = await _scores(store, project, name, since_ns, until_ns)
    numbers = {*(() if kept is None else kept.versions), *used, *scores}
    return [
        VersionMetrics(version=number, **_held(kept, number), **used.get(number, {}), scores=scores.get(number, ()))
        for number in sorted(numbers, reverse=True)
    ]


def _time(since_ns: int | None, until_ns: int | None) -> tuple[int, int]:
    since_ns = _EARLIEST_NS if since_ns is None else since_ns
    until_ns = _LATEST_NS if until_ns is None else until_ns
    if not _EARLIEST_NS <= since_ns < until_ns <= _LATEST_NS:
        expected = f"later than the beginning, {since_ns}, both ns since 1970 in 64 bits"
        raise ConfigError("until_ns", until_ns, "the request", expected)
    return since_ns, until_ns


def _prompts_in(backend: Backend) -> PromptStore | None:
    """Return the store of prompts, or None where versions can only be those that were used."""
    try:
        return prompts_of(backend)
    except BackendRejected:
        return None


async def _kept(store: PromptStore | None, project: str, name: str) -> PromptSummary | None:
    if store is None:
        return None
    found = (await store.find(project, PromptQuery(name=name, limit=1))).items
    return found[0] if found else None


def _held(kept: PromptSummary | None, number: int) -> dict[str, Any]:
    """Return the labels of a version, and its shares of those that are split."""
    if kept is None:
        return {}
    labels = tuple(sorted(label for label, held in kept.labels.items() if held.version == number))
    shares = {label: _share(held, number) for label, held in sorted(kept.labels.items()) if held.shares}
    return {"labels": labels, "shares": {label: share for label, share in shares.items() if share}}


def _share(held: Held, number: int) -> float:
    total = sum(share.weight for share in held.shares)
    return sum(share.weight for share in held.shares if share.version == number) / total


async def _used(
    store: MeasureStore, project: str, name: str, since_ns: int, until_ns: int
) -> dict[int, dict[str, Any]]:
    """Return by version what its generations amount to."""
    query = MeasureQuery(
        measures=tuple(_USE.values()), dimensions=("prompt_version",), since_ns=since_ns, until_ns=until_ns,
        where=(Condition("prompt_name", "=", name), Condition("prompt_version", "is not null")),
        order=(MeasureOrder("prompt_version", descending=True),), limit=LARGEST_ANSWER,
    )  # fmt: skip
    found: dict[int, dict[str, Any]] = {}
    for row in await _every_row(store, project, query):
        values = dict(zip(_USE, row.values, strict=True))
        found[_version_in(row)] = _as_fields(values)
    return found


def _as_fields(values: dict[str, Any]) -> dict[str, Any]:
    """Return measures as the fields that they become: moments are ns, and what nobody said of tokens is none."""
    moments = {name: _ns(values[name]) for name in ("first_used_ns", "last_used_ns")}
    tokens = {name: values[name] or 0 for name in ("input_tokens", "output_tokens", "total_tokens")}
    return values | moments | tokens | {"unknown_costs": values["generations"] - values["cost_count"]}


def _ns(ms: float) -> int:
    """Return a moment in ns: a float of so many ms holds it to a quarter of a microsecond."""
    return round(ms * 1000) * 1000


async def _scores(
    store: MeasureStore, project: str, name: str, since_ns: int, until_ns: int
) -> dict[int, tuple[ScoreMetrics, ...]]:
    """Return by version what the scores of its generations amount to."""
    query = MeasureQuery(
        view="scores", measures=(_COUNT, Measured("value", "avg")), since_ns=since_ns, until_ns=until_ns,
        dimensions=("observation_prompt_version", "name", "data_type"),
        where_scores=(
            ScoreCondition("observation_prompt_name", "=", name),
            ScoreCondition("observation_prompt_version", "is not null"),
        ),
        order=(MeasureOrder("observation_prompt_version", descending=True),), limit=LARGEST_ANSWER,
    )  # fmt: skip
    rows = await _every_row(store, project, query)
    has_values = any(row.dimensions[2] in _COUNTED_BY_VALUE for row in rows)
    values = await _values(store, project, query) if has_values else {}
    found: dict[int, list[ScoreMetrics]] = {}
    for row in rows:
        version, key = _version_in(row), _key_in(row)
        found.setdefault(version, []).append(_score(key, row, values.get((version, *key), {})))
    return {
        version: tuple(sorted(scores, key=lambda one: (one.name, one.data_type))) for version, scores in found.items()
    }


async def _values(store: MeasureStore, project: str, query: MeasureQuery) -> dict[tuple[int, str, str], dict[str, int]]:
    """Return how often each value was given, by version, name and data type; the most frequent first."""
    asked = replace(
        query, measures=(_COUNT,), dimensions=(*query.dimensions, "string_value", "boolean_value"),
        where_scores=(*query.where_scores, ScoreCondition("data_type", "any of", _COUNTED_BY_VALUE)),
        order=(*query.order, MeasureOrder(_COUNT, descending=True)),
    )  # fmt: skip
    found: dict[tuple[int, str, str], dict[str, int]] = {}
    for row in await _every_row(store, project, asked):
        counts = found.setdefault((_version_in(row), *_key_in(row)), {})
        value = _text_of(row)
        if value is not None and len(counts) < MOST_VALUES:
            counts[value] = _count_in(row)
    return found


def _score(key: _Key, row: MeasureRow, values: dict[str, int]) -> ScoreMetrics:
    name, data_type = key
    count, mean = _count_in(row), row.values[1]
    return ScoreMetrics(
        name=name, data_type=data_type, count=count, values=values,
        mean=float(mean) if isinstance(mean, int | float) and data_type in _MEANT else None,
        other_values=count - sum(values.values()) if data_type in _COUNTED_BY_VALUE else 0,
    )  # fmt: skip


def _text_of(row: MeasureRow) -> str | None:
    """Return the value of a group of scores: what a category is called, or whether it is true; None where unknown."""
    _, _, data_type, text, flag = row.dimensions
    if data_type == "BOOLEAN":
        return None if flag is None else "true" if flag else "false"
    return None if text is None else str(text)


def _version_in(row: MeasureRow) -> int:
    version: Any = row.dimensions[0]
    return int(version)


def _key_in(row: MeasureRow) -> _Key:
    _, name, data_type, *_ = row.dimensions
    return "" if name is None else str(name), str(data_type)


def _count_in(row: MeasureRow) -> int:
    count: Any = row.values[0]
    return int(count)


async def _every_row(store: MeasureStore, project: str, query: MeasureQuery) -> Sequence[MeasureRow]:
    """Return the rows of a query that is sorted by version, descending, however many answers they take.

    Of a version that fills an answer by itself there are no more rows than that.
    """
    found: list[MeasureRow] = []
    asked = query
    while True:
        rows = await store.measure(project, asked)
        if len(rows) < asked.limit:
            return [*found, *rows]
        whole = list(_without_last_version(rows)) or rows
        found += whole
        asked = _below(query, _version_in(whole[-1]))


def _without_last_version(rows: Sequence[MeasureRow]) -> Iterable[MeasureRow]:
    last = _version_in(rows[-1])
    return (row for row in rows if _version_in(row) != last)


def _below(query: MeasureQuery, version: int) -> MeasureQuery:
    """Return a query for the versions before this one."""
    if query.view == "scores":
        older = ScoreCondition("observation_prompt_version", "<", version)
        return replace(query, where_scores=(*query.where_scores, older))
    return replace(query, where=(*query.where, Condition("prompt_version", "<", version)))
