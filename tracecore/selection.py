"""What each query selects, and how a list of it is cut into pages: the contract's conditions in plain Python.

The reference backend answers with them, and so may every backend that holds in memory what it chooses from. Invariants:
a condition that is not set always holds; a page begins after the key of the last item of the one before, so that what
is added moves nobody's place.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Any, TypeAlias, TypeVar, cast

import msgspec
from msgspec.structs import replace

from tracecore.backend import (
    LARGEST_PAGE,
    LARGEST_PAGE_BYTES,
    LedgerQuery,
    ObservationQuery,
    Page,
    ScoreQuery,
    SessionQuery,
    TraceQuery,
)
from tracecore.errors import BackendRejected
from tracecore.filtering import meets
from tracecore.phrase import contains, payload_text
from tracecore.records import ABSENT, Generation, LedgerEntry, Observation, Score, Session, Trace
from tracecore.rollup import failed

__all__ = [
    "any_says",
    "entry_matches",
    "observation_matches",
    "page_of",
    "score_matches",
    "score_values_of",
    "session_matches",
    "trace_matches",
    "without_payloads",
]

T = TypeVar("T")
_Query: TypeAlias = TraceQuery | ObservationQuery | SessionQuery | ScoreQuery | LedgerQuery
_Key: TypeAlias = tuple[int | None, *tuple[str, ...]]
"""A time in ns, or None for what has none and comes last; then the ids that break ties."""


def _wanted(wanted: object, actual: object) -> bool:
    return wanted is None or wanted == actual


def _in_time(start_ns: int, query: _Query) -> bool:
    return (query.since_ns is None or start_ns >= query.since_ns) and (
        query.until_ns is None or start_ns < query.until_ns
    )


def trace_matches(trace: Trace, query: TraceQuery) -> bool:
    """Return whether every condition but ``search`` holds."""
    said = trace.attributes
    return (
        _wanted(query.user_id, said.user_id)
        and _wanted(query.session_id, said.session_id)
        and _wanted(query.name, trace.name)
        and _wanted(query.release, said.release)
        and _wanted(query.version, said.version)
        and _wanted(query.environment, said.environment)
        and set(query.tags) <= set(said.tags)
        and _in_time(trace.start_ns, query)
        and _wanted(query.has_error, trace.error_count > 0)
        and _wanted(query.running, trace.running > 0)
        and (query.min_duration_ns is None or trace.duration_ns >= query.min_duration_ns)
        and (query.min_cost is None or (trace.total_cost is not None and trace.total_cost >= query.min_cost))
    )


def observation_matches(span: Observation, query: ObservationQuery) -> bool:
    """Return whether every condition holds."""
    return (
        _wanted(query.trace_id, span.trace_id)
        and _wanted(query.name, span.name)
        and _wanted(query.type, span.type)
        and _wanted(query.model, span.model if isinstance(span, Generation) else None)
        and _wanted(query.user_id, span.trace.user_id)
        and _wanted(query.session_id, span.trace.session_id)
        and _in_time(span.start_ns, query)
        and _wanted(query.has_error, failed(span))
        and _wanted(query.running, span.status == "running")
        and (query.min_duration_ns is None or (span.duration_ns or 0) >= query.min_duration_ns)
        and (query.search is None or _says(span, query.search))
        and all(meets(span, condition) for condition in query.where)
        and _of_experiment(span, query)
    )


def _of_experiment(span: Observation, query: ObservationQuery) -> bool:
    said = span.experiment
    if query.experiment_items and (said is None or said.item_root_span_id != span.span_id):
        return False
    return query.experiment_id is None or (said is not None and said.id == query.experiment_id)


def session_matches(session: Session, last_start: int | None, query: SessionQuery) -> bool:
    """Return whether every condition holds of a session whose last trace began at ``last_start``."""
    if last_start is None:
        return query.user_id is None and query.since_ns is None and query.until_ns is None
    return (query.user_id is None or query.user_id in session.user_ids) and _in_time(last_start, query)


def score_matches(score: Score, query: ScoreQuery) -> bool:
    """Return whether every condition holds."""
    return (
        _wanted(query.name, score.name)
        and _wanted(query.data_type, score.data_type)
        and _wanted(query.source, score.source)
        and _wanted(query.trace_id, score.trace_id)
        and _wanted(query.observation_id, score.observation_id)
        and _wanted(query.session_id, score.session_id)
        and _wanted(query.experiment_id, score.experiment_id)
        and _wanted(query.environment, score.environment)
        and _in_time(score.timestamp_ns, query)
        and (query.min_value is None or (score.value is not None and score.value >= query.min_value))
        and (query.max_value is None or (score.value is not None and score.value <= query.max_value))
        and all(getattr(score, field) in wanted for field, wanted in score_values_of(query))
    )


def score_values_of(query: ScoreQuery) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield each field of a score of which the query names values, and those."""
    for names in query.__struct_fields__:
        wanted = getattr(query, names)
        if isinstance(wanted, tuple) and wanted:
            yield names.removesuffix("s"), wanted


def entry_matches(entry: LedgerEntry, query: LedgerQuery) -> bool:
    """Return whether every condition but ``last`` holds."""
    return _wanted(query.process, entry.process) and _in_time(entry.minute_ns, query)


def without_payloads(span: Observation) -> Observation:
    """Return an observation as a list shows it: every payload absent, an error without its stack."""
    changes: dict[str, Any] = dict.fromkeys(("input", "output", "metadata", "tool_definitions", "tool_calls"), ABSENT)
    if isinstance(span, Generation):
        changes["model_parameters"] = ABSENT
    if span.error is not None:
        changes["error"] = replace(span.error, stack="")
    if span.experiment is not None:
        payloads = ("metadata", "item_expected_output", "item_metadata")
        changes["experiment"] = replace(span.experiment, **dict.fromkeys(payloads, ABSENT))
    return replace(span, **changes)


def _says(span: Observation, phrase: str) -> bool:
    """Return whether one payload, the status message or the error holds the phrase."""
    texts = [payload_text(bytes(payload)) for payload in (span.input, span.output, span.metadata)]
    texts += [span.status_message or ""]
    if span.error is not None:
        texts += [span.error.type, span.error.message, span.error.stack]
    return any(contains(text, phrase) for text in texts)


def any_says(spans: Iterable[Observation], phrase: str) -> bool:
    """Return whether one of some observations holds the phrase."""
    return any(_says(span, phrase) for span in spans)


def page_of(
    made_by: str,
    items: list[T],
    key: Callable[[T], _Key],
    query: _Query,
    length: Callable[[T], int] = lambda _: 0,
) -> Page[T]:
    """Return the items after the query's cursor, greatest key first, at most ``limit``, and not too long together.

    ``made_by`` names the store and the list: the cursor of another one is refused.

    Raises:
        BackendRejected: the limit is out of range, or this list did not make the cursor.
    """
    if not 1 <= query.limit <= LARGEST_PAGE:
        raise BackendRejected(f"limit = {query.limit}", f"ask for 1 to {LARGEST_PAGE} items")

    def rank(found: _Key) -> tuple[Any, ...]:
        return (found[0] is not None, *found)

    ordered = sorted(items, key=lambda item: rank(key(item)), reverse=True)
    if query.cursor is not None:
        after = rank(_decode_cursor(made_by, query.cursor))
        ordered = [item for item in ordered if rank(key(item)) < after]
    lengths = accumulate(length(item) for item in ordered[: query.limit])
    fitting = sum(upto <= LARGEST_PAGE_BYTES for upto in lengths)
    shown = ordered[: max(1, fitting)]
    return Page(shown, _encode_cursor(made_by, key(shown[-1])) if len(ordered) > len(shown) else None)


def length_of_observation(span: Observation) -> int:
    """Return about how many bytes an observation has: those of its payloads."""
    payloads = (span.input, span.output, span.metadata, span.tool_definitions, span.tool_calls)
    return sum(memoryview(payload).nbytes for payload in payloads)


def length_of_score(score: Score) -> int:
    """Return about how many bytes a score has: those of its comment and its metadata."""
    return len(score.comment or "") + memoryview(score.metadata).nbytes


def _encode_cursor(made_by: str, key: _Key) -> str:
    # Bytes, because an id is any text, and JSON has no lone surrogates.
    parts = [part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part for part in key]
    return base64.urlsafe_b64encode(msgspec.json.encode((made_by, parts))).decode()


def _decode_cursor(made_by: str, cursor: str) -> _Key:
    try:
        origin, parts = msgspec.json.decode(
            base64.urlsafe_b64decode(cursor), type=tuple[str, tuple[int | bytes | None, ...]]
        )
        key = tuple(str(part, "utf-8", "surrogatepass") if isinstance(part, bytes) else part for part in parts)
    except (msgspec.DecodeError, binascii.Error, ValueError):
        origin, key = "", ()
    if origin != made_by:
        raise BackendRejected(f"the cursor {cursor[:80]!r} was not made by this list", "start without a cursor")
    return cast("_Key", key)
