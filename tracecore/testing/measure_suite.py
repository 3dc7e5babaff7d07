"""The conformance suite of measures: what is counted and summed up, of what, and in which order."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any, Final, cast

import pytest
from msgspec.structs import replace

from tracecore.backend import Backend
from tracecore.conditions import Condition
from tracecore.measures import (
    DIMENSIONS,
    MEASURES,
    SCORE_KINDS,
    Aggregation,
    BadMeasures,
    Dimension,
    Measure,
    Measured,
    MeasureOrder,
    MeasureQuery,
    MeasureRow,
    Measuring,
    ScoreCondition,
    Step,
)
from tracecore.records import Record, TraceAttributes
from tracecore.testing.comparing import same
from tracecore.testing.contract import HOSTILE_TEXTS, Contract
from tracecore.testing.opening import MakeBackend, opened_with
from tracecore.testing.samples import PROJECT, SECOND, START, event, generation, score, span, span_id_of, trace_id_of

__all__ = ["MeasureSuite", "measure_in"]

_MS: Final = 10**6
_COUNT: Final = Measured("count", "count")
_UNTIL: Final = START + 1000 * SECOND
_ALL: Final[dict[str, Any]] = {"measures": (_COUNT,), "since_ns": 0, "until_ns": _UNTIL}
_YES: Final[Any] = True
_SAID: Final = TraceAttributes("ask", "u1", "s1", ("web", 'q"t'), release="r1", version="1", environment="staging")
_RECORDS: Final[tuple[Record, ...]] = (
    span(1, name="root", version="2", trace=_SAID, level="ERROR"),
    generation(
        2, after_s=1, parent_id=span_id_of(1), duration_ns=2 * SECOND, model="gpt-x", prompt_name="greet",
        completion_start_ns=START + SECOND + SECOND // 2, prompt_version=3, total_cost=0.75, trace=_SAID,
        usage_details={"input": 10, "output": 6, "input_cached": 2}, cost_details={"input": 0.25, "output": 0.5},
    ),
    generation(
        3, within=2, after_s=2, duration_ns=4 * SECOND, model="gpt-x", total_cost=0.25, status="error",
        usage_details={"input": 4, "output": 2}, cost_details={"input_cached": 0.125, "output": 0.125},
    ),
    generation(4, within=2, after_s=3, parent_id=span_id_of(3), status="running", model="", name="later"),
    event(5, within=2, after_s=4, parent_id=span_id_of(9), app_root=True),
    score("a", value=0.5, trace_id=trace_id_of(1), observation_id=span_id_of(2)),
    score("b", value=1.5, trace_id=trace_id_of(1), observation_id=span_id_of(2), source="EVAL", config_id="c"),
    score("c", value=1.0, name="good", data_type="BOOLEAN", trace_id=trace_id_of(2), environment="staging"),
    score("d", string_value="blue", name="colour", data_type="CATEGORICAL", session_id="s1"),
    score("e", value=0.0, name="good", data_type="BOOLEAN", trace_id=trace_id_of(77), timestamp_ns=START + SECOND),
    replace(span(1), project="other"), score("z", project="other", value=9.0),
)  # fmt: skip
"""Two traces, and what is judged of them."""
_ONES: Final[tuple[tuple[Measure, Aggregation, Any], ...]] = (
    ("count", "count", 5), ("count", "sum", 5), ("latency", "count", 4), ("latency", "sum", 7000.0),
    ("latency", "avg", 1750.0), ("latency", "min", 0.0), ("latency", "max", 4000.0), ("latency", "p50", 1500.0),
    ("latency", "p75", 2500.0), ("latency", "p90", 3400.0), ("latency", "p95", 3700.0), ("latency", "p99", 3940.0),
    ("latency", "histogram", ((0.0, 1000.0, 1), (1000.0, 2000.0, 1), (2000.0, 3000.0, 1), (3000.0, 4000.0, 1))),
    ("streaming_latency", "max", 1500.0), ("streaming_latency", "count", 1), ("time_to_first_token", "avg", 500.0),
    ("input_tokens", "sum", 16), ("input_tokens", "avg", 8.0), ("output_tokens", "max", 6), ("total_tokens", "sum", 24),
    ("output_tokens_per_second", "max", 4.0), ("tokens_per_second", "min", 1.5), ("tokens_per_second", "count", 2),
    ("input_cost", "sum", 0.375), ("output_cost", "sum", 0.625), ("total_cost", "sum", 1.0), ("score_count", "sum", 2),
    ("score_count", "p50", 0.0), ("streaming_latency", "histogram", ((1500.0, 1500.0, 1),)), ("errors", "sum", 2),
    ("errors", "avg", 0.4), ("start", "min", START / _MS), ("start", "max", (START + 4 * SECOND) / _MS),
    ("start", "count", 5),
)  # fmt: skip
"""A measure of all observations, an aggregation, and what comes out, with four bins."""
_DIMENSIONS: Final[tuple[tuple[Dimension, dict[Any, int]], ...]] = (
    ("environment", {"staging": 2, "default": 3}), ("type", {"span": 1, "generation": 3, "event": 1}),
    ("name", {"root": 1, "work 2": 1, "work 3": 1, "later": 1, "work 5": 1}), ("level", {"ERROR": 1, "DEFAULT": 4}),
    ("version", {"2": 1, "1": 1, None: 3}), ("tags", {("web", 'q"t'): 2, (): 3}), ("release", {"r1": 2, None: 3}),
    ("trace_name", {"ask": 2, None: 3}), ("trace_version", {"1": 2, None: 3}), ("model", {"gpt-x": 2, None: 3}),
    ("prompt_name", {"greet": 1, None: 4}), ("prompt_version", {3: 1, None: 4}), ("is_root", {True: 3, False: 2}),
    ("month", {"2026-09": 5}),
)  # fmt: skip
_OF_SCORES: Final[tuple[tuple[Dimension, dict[Any, int]], ...]] = (
    ("environment", {"default": 4, "staging": 1}), ("name", {"quality": 2, "good": 2, "colour": 1}),
    ("source", {"API": 4, "EVAL": 1}), ("data_type", {"NUMERIC": 2, "BOOLEAN": 2, "CATEGORICAL": 1}),
    ("config_id", {"c": 1, None: 4}), ("month", {"2026-09": 5}), ("day", {"2026-09-21": 5}),
    ("value", {0.5: 1, 1.5: 1, 1.0: 1, 0.0: 1, None: 1}), ("string_value", {"blue": 1, None: 4}),
    ("boolean_value", {True: 1, False: 1, None: 3}), ("trace_name", {"ask": 2, "work 3": 1, None: 2}),
    ("tags", {("web", 'q"t'): 2, (): 3}), ("release", {"r1": 2, None: 3}), ("trace_version", {"1": 2, None: 3}),
    ("observation_name", {"work 2": 2, None: 3}), ("observation_model", {"gpt-x": 2, None: 3}),
    ("observation_prompt_name", {"greet": 2, None: 3}), ("observation_prompt_version", {3: 2, None: 3}),
)  # fmt: skip
_CONDITIONS: Final[tuple[tuple[ScoreCondition, str], ...]] = (
    (ScoreCondition("id", "any of", ("a", "e", "none")), "ae"), (ScoreCondition("name", "starts with", "go"), "ce"),
    (ScoreCondition("source", "=", "EVAL"), "b"), (ScoreCondition("data_type", "none of", ("NUMERIC",)), "cde"),
    (ScoreCondition("environment", "=", "default"), "abde"), (ScoreCondition("config_id", "is null"), "acde"),
    (ScoreCondition("trace_id", "=", trace_id_of(2)), "c"), (ScoreCondition("observation_id", "is not null"), "ab"),
    (ScoreCondition("session_id", "=", "s1"), "d"), (ScoreCondition("experiment_id", "is null"), "abcde"),
    (ScoreCondition("user_id", "=", "u1"), "ab"), (ScoreCondition("timestamp", ">", START), "e"),
    (ScoreCondition("value", ">=", 1), "bc"), (ScoreCondition("value", "is null"), "d"),
    (ScoreCondition("string_value", "contains", "lu"), "d"), (ScoreCondition("boolean_value", "=", _YES), "c"),
    (ScoreCondition("boolean_value", "<>", _YES), "abde"), (ScoreCondition("trace_name", "ends with", "k"), "ab"),
    (ScoreCondition("tags", "any of", ("web",)), "ab"), (ScoreCondition("tags", "none of", ('q"t',)), "cde"),
    (ScoreCondition("release", "is not null"), "ab"), (ScoreCondition("trace_version", "=", "1"), "ab"),
    (ScoreCondition("observation_name", "does not contain", "2"), "cde"),
    (ScoreCondition("observation_model", "=", "gpt-x"), "ab"),
    (ScoreCondition("observation_prompt_name", "=", ""), "cde"),
    (ScoreCondition("observation_prompt_version", "<", 3.5), "ab"),
)  # fmt: skip
"""A condition, and the scores that meet it."""


def measure_in(backend: Backend) -> Any:
    """Return what measures, which must be there."""
    assert isinstance(backend, Measuring), "the backend does not measure, though its tests have joined the suite of it"
    return backend.measures.measure


async def _rows(backend: Backend, **asked: Any) -> list[MeasureRow]:
    rows: list[MeasureRow] = await measure_in(backend)(PROJECT, MeasureQuery(**(_ALL | asked)))
    return rows


class MeasureSuite(Contract):
    """Prove that measures are what :mod:`tracecore.measuring` says."""

    async def test_every_measure(self, make: MakeBackend) -> None:
        """Measuring: each measure of all observations, of what is known of them, joined in every way."""
        async with opened_with(make(), _RECORDS) as backend:
            for measure, aggregation, expected in _ONES:
                [row] = await _rows(backend, measures=(Measured(measure, aggregation),), bins=4)
                [value] = row.values
                asked = f"{aggregation} of {measure}"
                if aggregation == "histogram":
                    same(value, expected, asked)
                else:
                    assert type(value) is type(expected), asked
                    assert value == pytest.approx(expected, rel=1e-12), asked
        assert {measure for measure, _, _ in _ONES} == set(MEASURES["observations"]), "every measure is tried"

    async def test_every_dimension(self, make: MakeBackend) -> None:
        """Measuring: groups by each dimension: "The empty text is unknown"."""
        async with opened_with(make(), _RECORDS) as backend:
            for view, tried in (("observations", _DIMENSIONS), ("scores", _OF_SCORES)):
                for dimension, expected in tried:
                    rows = await _rows(backend, view=view, dimensions=(dimension,))
                    same({row.dimensions[0]: row.values[0] for row in rows}, expected, f"{view} by {dimension}")
                    assert len(rows) == len(expected)
        assert tuple(dimension for dimension, _ in _DIMENSIONS) == DIMENSIONS["observations"]
        assert tuple(dimension for dimension, _ in _OF_SCORES) == DIMENSIONS["scores"]

    async def test_scores_are_measured(self, make: MakeBackend) -> None:
        """Measuring: values of scores, group by group, what is known of them."""
        wanted = (Measured("value", "avg"), Measured("value", "count"), _COUNT)
        async with opened_with(make(), _RECORDS) as backend:
            rows = await _rows(backend, view="scores", measures=wanted, dimensions=("data_type",))
        same(
            {row.dimensions[0]: row.values for row in rows},
            {"NUMERIC": (1.0, 2, 2), "BOOLEAN": (0.5, 2, 2), "CATEGORICAL": (None, 0, 1)},
        )
        assert rows[-1].dimensions == ("CATEGORICAL",), "what is unknown comes last"

    async def test_conditions_on_scores(self, make: MakeBackend) -> None:
        """MeasureQuery.where_scores: on the score's own, and on what it judges; all must hold."""
        async with opened_with(make(), _RECORDS) as backend:
            for condition, expected in _CONDITIONS:
                [row] = await _rows(backend, view="scores", where_scores=(condition,))
                same(row.values, (len(expected),), condition)
                for name in "abcde":
                    both = (condition, ScoreCondition("id", "=", name))
                    [row] = await _rows(backend, view="scores", where_scores=both)
                    same(row.values, (int(name in expected),), both)
        assert {condition.column for condition, _ in _CONDITIONS} == set(SCORE_KINDS), "every column is tried"

    async def test_conditions_on_observations(self, make: MakeBackend) -> None:
        """MeasureQuery.where: those of lists, and the time: "since_ns is inclusive and until_ns exclusive"."""
        async with opened_with(make(), _RECORDS) as backend:
            for asked, expected in (
                ({"where": (Condition("model", "=", "gpt-x"),)}, 2),
                ({"where": (Condition("model", "=", "gpt-x"), Condition("user_id", "=", "u1"))}, 1),
                ({"where": (Condition("tags", "any of", ("web",)), Condition("is_root", "=", _YES))}, 1),
                ({"where": (Condition("latency", ">", 1.5),), "since_ns": START + 2 * SECOND}, 1),
                ({"since_ns": START, "until_ns": START + 1}, 1),
                ({"since_ns": START + 1, "until_ns": START + 4 * SECOND}, 3),
            ):
                [row] = await _rows(backend, **asked)
                same(row.values, (expected,), asked)

    async def test_steps_of_time(self, make: MakeBackend) -> None:
        """Step: "in UTC; a week begins on Monday": each moment is in the step that began last."""
        moments = ("2026-02-28T23:59:59.999", "2026-03-01T00:00:00", "2026-03-02T00:00:00", "2026-03-02T00:01:00")
        starts: dict[Step, tuple[str, ...]] = {
            "minute": ("2026-02-28T23:59", *moments[1:]),
            "hour": ("2026-02-28T23:00", "2026-03-01", "2026-03-02", "2026-03-02"),
            "day": ("2026-02-28", "2026-03-01", "2026-03-02", "2026-03-02"),
            "week": ("2026-02-23", "2026-02-23", "2026-03-02", "2026-03-02"),
            "month": ("2026-02-01", "2026-03-01", "2026-03-01", "2026-03-01"),
        }
        records = [span(n, start_ns=_ns(moment)) for n, moment in enumerate(moments, 1)]
        early = span(9, start_ns=-1)
        async with opened_with(make(), [*records, early]) as backend:
            for step, expected in starts.items():
                counts = {_ns(start): expected.count(start) for start in expected}
                rows = await _rows(backend, step=step, since_ns=-1, until_ns=2**63 - 1)
                first, *rest = rows
                same({row.time_ns: row.values[0] for row in rest}, counts, step)
                same([row.time_ns for row in rest], sorted(counts), step)
                assert first.time_ns is not None
                assert first.time_ns < 0, "before 1970 time goes on"

    async def test_rows_are_sorted_and_few(self, make: MakeBackend) -> None:
        """MeasureQuery: the usual order, another one, ties "by the dimensions in their order", and the limit."""
        cost, name, model = Measured("total_cost", "sum"), MeasureOrder("name"), MeasureOrder("model", descending=True)
        cheap = MeasureOrder(cost)
        async with opened_with(make(), _RECORDS) as backend:
            for asked, expected in (
                ({"measures": (cost,)}, ["work 2", "work 3", "later", "root", "work 5"]),
                ({"measures": (cost,), "order": (cheap,)}, ["work 3", "work 2", "later", "root", "work 5"]),
                ({}, ["later", "root", "work 2", "work 3", "work 5"]),
                ({"order": (replace(name, descending=True),)}, ["work 5", "work 3", "work 2", "root", "later"]),
                ({"order": (name,), "limit": 2}, ["later", "root"]),
                ({"order": (model,), "dimensions": ("name", "model"), "limit": 3}, ["work 2", "work 3", "later"]),
                ({"step": "minute"}, ["later", "root", "work 2", "work 3", "work 5"]),
                ({"step": "minute", "order": (MeasureOrder("time", descending=True),), "limit": 1}, ["later"]),
            ):  # fmt: skip
                rows = await _rows(backend, **({"dimensions": ("name",)} | asked))
                same([row.dimensions[0] for row in rows], expected, asked)

    async def test_nothing_found(self, make: MakeBackend) -> None:
        """MeasureQuery: "With neither step nor dimension there is one row, whatever is found"; else there is none."""
        wanted = (_COUNT, Measured("latency", "sum"), Measured("latency", "p50"), Measured("latency", "histogram"))
        async with opened_with(make(), _RECORDS) as backend:
            nobody = MeasureQuery(measures=wanted, since_ns=0, until_ns=1)
            measure = measure_in(backend)
            same(await measure(PROJECT, nobody), [MeasureRow(None, (), (0, None, None, ()))])
            same(
                await measure("nobody's", replace(nobody, until_ns=_UNTIL)), [MeasureRow(None, (), (0, None, None, ()))]
            )
            same(await measure(PROJECT, replace(nobody, step="day")), [])
            same(await measure(PROJECT, replace(nobody, dimensions=("name",))), [])

    async def test_each_project_has_its_own(self, make: MakeBackend) -> None:
        """Backend: "Every read names its project": nothing of another one is counted."""
        async with opened_with(make(), _RECORDS) as backend:
            [spans] = await measure_in(backend)("other", MeasureQuery(**_ALL))
            [scores] = await measure_in(backend)("other", MeasureQuery(view="scores", **_ALL))
        same((spans.values, scores.values), ((1,), (1,)))

    async def test_groups_of_any_text(self, make: MakeBackend) -> None:
        """Dimensions are any texts, each a group by itself, in the order of their code points."""
        texts = [text for text in HOSTILE_TEXTS if text]
        records: list[Record] = [
            span(n, name=text, trace=TraceAttributes(tags=(text,))) for n, text in enumerate(texts, 1)
        ]
        records += [score(text, name=text, value=1.0) for text in texts]
        async with opened_with(make(), records) as backend:
            for view in ("observations", "scores"):
                rows = await _rows(backend, view=view, dimensions=("name",), order=(MeasureOrder("name"),))
                same([row.dimensions[0] for row in rows], sorted(texts), view)
            rows = await _rows(backend, dimensions=("tags",), order=(MeasureOrder("tags"),))
            same({row.dimensions[0] for row in rows}, {(text,) for text in texts})

    async def test_what_is_no_number_is_unknown(self, make: MakeBackend) -> None:
        """Measuring: "What is no finite number is unknown"."""
        values = (math.nan, math.inf, -math.inf, 1.0)
        records = [score(str(n), value=value) for n, value in enumerate(values)]
        wanted = (_COUNT, Measured("value", "sum"), Measured("value", "p99"), Measured("value", "histogram"))
        async with opened_with(make(), records) as backend:
            [row] = await _rows(backend, view="scores", measures=wanted)
            same(row.values, (4, 1.0, 1.0, ((1.0, 1.0, 1),)))

    async def test_what_means_nothing_is_refused(self) -> None:
        """MeasureQuery: "something in it is not of the view, or out of range"."""
        latency = Measured("latency", "histogram")
        for wrong, message in (
            ({"measures": ()}, "0 measures"),
            ({"measures": (_COUNT, _COUNT)}, "twice"),
            ({"view": "scores", "measures": (latency,)}, "no 'latency' among the measures"),
            ({"dimensions": ("value",)}, "no 'value' among the dimensions"),
            ({"dimensions": ("name", "name")}, "twice"),
            ({"limit": 0}, "limit = 0"),
            ({"limit": 1001}, "limit = 1001"),
            ({"bins": 101}, "bins = 101"),
            ({"since_ns": _UNTIL}, "ends? after"),
            ({"until_ns": 2**63}, "is no time"),
            ({"order": (MeasureOrder("name"),)}, "sorted by name"),
            ({"order": (MeasureOrder("time"),)}, "sorted by time"),
            ({"measures": (latency,), "order": (MeasureOrder(latency),)}, "histogram"),
            ({"where": (Condition("input", "=", "x"),)}, "no condition on input"),
            ({"where_scores": (ScoreCondition("name", "=", "x"),)}, "another view"),
            ({"where": (Condition("name", "=", "x"),) * 101}, "101 conditions"),
            ({"where": (Condition("name", "any of", tuple(map(str, range(501)))),)}, "too many texts"),
        ):
            with pytest.raises(BadMeasures, match=message.replace("ends?", "end")):
                MeasureQuery(**(_ALL | cast("dict[str, Any]", wrong)))


def _ns(moment: str) -> int:
    at = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    return int(at.timestamp()) * 1000 * _MS + at.microsecond * 1000
