"""Metrics over HTTP: what observations and scores amount to, group by group."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from tests.server.conftest import Api
from tracecore.records import Observation, Score, TraceAttributes
from tracecore.testing.samples import SECOND, START, event, generation, span, span_id_of, trace_id_of

COUNT = {"measure": "count", "aggregation": "count"}


async def keep(api: Api, *records: Observation | Score, project: str = "p") -> None:
    """Write records into a project."""
    await api.server.state.writer.write([replace(record, project=project) for record in records])


def query(**changes: Any) -> dict[str, Any]:
    """Return what counts the observations of the day of the samples."""
    return {
        "view": "observations", "metrics": [COUNT], "fromTimestamp": "2026-09-21T00:00:00Z",
        "toTimestamp": "2026-09-22T00:00:00Z", **changes,
    }  # fmt: skip


async def ask(api: Api, **changes: Any) -> list[dict[str, Any]]:
    """Return the rows of an answer."""
    return (await api.get("/v2/metrics", query=json.dumps(query(**changes))))["data"]


def metric(*named: str) -> list[dict[str, str]]:
    """Return metrics by the names of their results, such as ``sum_totalCost``."""
    return [{"measure": name.partition("_")[2], "aggregation": name.partition("_")[0]} for name in named]


@pytest.fixture
async def _day(api: Api) -> None:
    """Keep what happened on a day: two traces, with calls of two models."""
    chat = TraceAttributes(name="chat", tags=("web", "beta"), release="r1", environment="blue", user_id="u1")
    used: dict[str, Any] = {"usage_details": {"input": 10, "output": 5}, "cost_details": {"input": 0.5, "output": 0.25}}
    await keep(
        api, span(1, trace=chat, duration_ns=4 * SECOND),
        generation(2, parent_id=span_id_of(1), model="m1", total_cost=0.75, trace=chat, after_s=60,
                   completion_start_ns=START + 60 * SECOND + SECOND // 4, **used),
        generation(3, parent_id=span_id_of(1), model="m2", after_s=7200, duration_ns=3 * SECOND, trace=chat),
        event(4, within=2, level="WARNING"), span(5, within=2, status="running", duration_ns=None),
        Score("p", "s1", "quality", START, value=1, trace_id=trace_id_of(1), observation_id=span_id_of(2)),
        Score("p", "s2", "quality", START + SECOND, value=2, trace_id=trace_id_of(1)),
        Score("p", "s3", "ok", START, data_type="BOOLEAN", value=1, trace_id=trace_id_of(2), source="EVAL"),
        Score("p", "s4", "ok", START, data_type="BOOLEAN", value=0, session_id="x"),
        Score("p", "s5", "mood", START, data_type="CATEGORICAL", string_value="good", trace_id=trace_id_of(1)),
    )  # fmt: skip
    await keep(api, span(9), project="q")


@pytest.mark.usefixtures("_day")
async def test_without_dimensions_there_is_one_row(api: Api) -> None:
    """All measures, of what is known: times in ms, costs in USD, units."""
    names = (
        "count_count", "sum_count", "sum_latency", "avg_latency", "max_latency", "min_latency", "p50_latency",
        "count_latency", "sum_inputTokens", "sum_outputTokens", "sum_totalTokens", "sum_totalCost", "sum_inputCost",
        "sum_outputCost", "avg_timeToFirstToken", "avg_streamingLatency", "max_tokensPerSecond",
        "max_outputTokensPerSecond", "sum_countScores",
    )  # fmt: skip
    [row] = await ask(api, metrics=metric(*names))
    assert row == {
        "count_count": 5, "sum_count": 5, "sum_latency": 8000.0, "avg_latency": 2000.0, "max_latency": 4000.0,
        "min_latency": 0.0, "p50_latency": 2000.0, "count_latency": 4, "sum_inputTokens": 10, "sum_outputTokens": 5,
        "sum_totalTokens": 15, "sum_totalCost": 0.75, "sum_inputCost": 0.5, "sum_outputCost": 0.25,
        "avg_timeToFirstToken": 250.0, "avg_streamingLatency": 750.0, "max_tokensPerSecond": 15.0,
        "max_outputTokensPerSecond": pytest.approx(5 / 0.75), "sum_countScores": 1,
    }  # fmt: skip


DIMENSIONS: list[tuple[str, dict[Any, int]]] = [
    ("environment", {"blue": 3, "default": 2}),
    ("type", {"SPAN": 2, "GENERATION": 2, "EVENT": 1}),
    ("level", {"DEFAULT": 4, "WARNING": 1}),
    ("tags", {("web", "beta"): 3, (): 2}),
    ("release", {"r1": 3, None: 2}),
    ("traceName", {"chat": 3, None: 2}),
    ("providedModelName", {"m1": 1, "m2": 1, None: 3}),
    ("promptName", {None: 5}),
    ("promptVersion", {None: 5}),
    ("isRootObservation", {True: 3, False: 2}),
    ("startTimeMonth", {"2026-09": 5}),
    ("name", {f"work {n}": 1 for n in range(1, 6)}),
    ("version", {None: 5}),
]


@pytest.mark.usefixtures("_day")
@pytest.mark.parametrize(("dimension", "expected"), DIMENSIONS)
async def test_each_dimension_groups(api: Api, dimension: str, expected: dict[Any, int]) -> None:
    """Each value of a dimension is a group, and so is what is unknown; tags are one value together."""
    rows = await ask(api, dimensions=[{"field": dimension}])
    found = [tuple(row[dimension]) if dimension == "tags" else row[dimension] for row in rows]
    assert dict(zip(found, [row["count_count"] for row in rows], strict=True)) == expected
    counts = [row["count_count"] for row in rows]
    assert counts == sorted(counts, reverse=True)


@pytest.mark.usefixtures("_day")
async def test_steps_of_time(api: Api) -> None:
    """Rows are by time when it is asked for, each step under its beginning in UTC."""
    rows = await ask(api, timeDimension={"granularity": "hour"})
    assert [(row["time_dimension"], row["count_count"]) for row in rows] == [
        ("2026-09-21T14:00:00.000Z", 4), ("2026-09-21T16:00:00.000Z", 1),
    ]  # fmt: skip
    rows = await ask(api, timeDimension={"granularity": "minute"}, dimensions=[{"field": "type"}])
    assert [(row["time_dimension"][11:16], row["type"]) for row in rows] == [
        ("14:13", "EVENT"), ("14:13", "SPAN"), ("14:14", "GENERATION"), ("16:13", "GENERATION"),
    ]  # fmt: skip
    for granularity, begun in (("day", "21"), ("week", "21"), ("month", "01"), ("auto", "21")):
        [row] = await ask(api, timeDimension={"granularity": granularity}, fromTimestamp="2026-09-01T00:00:00+02:00")
        assert row == {"time_dimension": f"2026-09-{begun}T00:00:00.000Z", "count_count": 5}, granularity


@pytest.mark.usefixtures("_day")
async def test_filters_select(api: Api) -> None:
    """Filters are those of the list of observations; what nothing can be grouped by can be filtered by."""
    for filters, expected in (
        ([{"type": "string", "column": "userId", "operator": "=", "value": "u1"}], 3),
        ([{"type": "string", "column": "traceId", "operator": "=", "value": trace_id_of(2)}], 2),
        ([{"type": "arrayOptions", "column": "tags", "operator": "any of", "value": ["web"]}], 3),
        ([{"type": "boolean", "column": "isRootObservation", "operator": "=", "value": True}], 3),
        ([{"type": "string", "column": "traceRelease", "operator": "=", "value": "r1"}], 3),
        ([{"type": "stringOptions", "column": "type", "operator": "any of", "value": ["EVENT", "GENERATION"]}], 3),
    ):  # fmt: skip
        [row] = await ask(api, filters=filters)
        assert row["count_count"] == expected, filters
    nothing = {"count_count": 0}
    none = {"type": "string", "column": "name", "operator": "=", "value": "none"}
    assert await ask(api, filters=[none]) == [nothing]
    assert await ask(api, filters=[none], dimensions=[{"field": "name"}]) == []
    assert await ask(api, fromTimestamp="2026-09-21T14:13:21Z", toTimestamp="2026-09-21T14:14:00Z") == [nothing]
    assert await ask(api, filters=None, dimensions=None, orderBy=None, timeDimension=None, config=None) == await ask(
        api
    )


@pytest.mark.usefixtures("_day")
async def test_order_and_limit(api: Api) -> None:
    """Rows come in the order that is asked for, what is not known last, as many as are asked for."""
    for order, expected in (
        ([{"field": "providedModelName", "direction": "asc"}], ["m1", "m2", None]),
        ([{"field": "providedModelName", "direction": "desc"}], ["m2", "m1", None]),
        ([{"field": "max_latency", "direction": "asc"}], ["m1", "m2", None]),
    ):  # fmt: skip
        rows = await ask(
            api, dimensions=[{"field": "providedModelName"}], metrics=metric("max_latency"), orderBy=order
        )  # fmt: skip
        assert [row["providedModelName"] for row in rows] == expected
    rows = await ask(api, dimensions=[{"field": "name"}], config={"row_limit": 2})
    assert [row["name"] for row in rows] == ["work 1", "work 2"]


@pytest.mark.usefixtures("_day")
async def test_scores(api: Api) -> None:
    """Each view has the scores of its types, with what they judge where that is asked for."""
    value = metric("avg_value", "count_count")
    rows = await ask(api, view="scores-numeric", metrics=value, dimensions=[{"field": "name"}])
    assert {row["name"]: row["avg_value"] for row in rows} == {"quality": 1.5, "ok": 0.5}
    rows = await ask(api, view="scores-boolean", metrics=value, dimensions=[{"field": "booleanValue"}])
    assert {row["booleanValue"]: row["count_count"] for row in rows} == {True: 1, False: 1}
    rows = await ask(api, view="scores-categorical", dimensions=[{"field": "stringValue"}, {"field": "traceName"}])
    assert rows == [{"stringValue": "good", "traceName": "chat", "count_count": 1}]
    rows = await ask(api, view="scores-numeric", dimensions=[{"field": "observationModelName"}, {"field": "name"}])
    assert {(row["observationModelName"], row["name"]): row["count_count"] for row in rows} == {
        ("m1", "quality"): 1, (None, "quality"): 1, (None, "ok"): 2,
    }  # fmt: skip
    rows = await ask(api, view="scores-numeric", timeDimension={"granularity": "day"})
    assert rows == [{"time_dimension": "2026-09-21T00:00:00.000Z", "count_count": 4}]


SCORE_FILTERS: list[tuple[dict[str, Any], int]] = [
    ({"type": "string", "column": "name", "operator": "=", "value": "ok"}, 2),
    ({"type": "string", "column": "name", "operator": "starts with", "value": "qual"}, 2),
    ({"type": "string", "column": "traceName", "operator": "contains", "value": "cha"}, 2),
    ({"type": "string", "column": "traceName", "operator": "does not contain", "value": "cha"}, 2),
    ({"type": "stringOptions", "column": "source", "operator": "any of", "value": ["EVAL"]}, 1),
    ({"type": "stringOptions", "column": "source", "operator": "none of", "value": ["EVAL"]}, 3),
    ({"type": "arrayOptions", "column": "tags", "operator": "all of", "value": ["web", "beta"]}, 2),
    ({"type": "number", "column": "value", "operator": ">", "value": 0.5}, 3),
    ({"type": "null", "column": "traceId", "operator": "is null", "value": ""}, 1),
    ({"type": "string", "column": "userId", "operator": "=", "value": "u1"}, 2),
    ({"type": "boolean", "column": "booleanValue", "operator": "<>", "value": True}, 3),
    ({"type": "datetime", "column": "timestamp", "operator": ">", "value": "2026-09-21T14:13:20.5Z"}, 1),
]


@pytest.mark.usefixtures("_day")
@pytest.mark.parametrize(("condition", "expected"), SCORE_FILTERS)
async def test_filters_of_scores(api: Api, condition: dict[str, Any], expected: int) -> None:
    """Scores are filtered by what they say and by what they judge."""
    [row] = await ask(api, view="scores-numeric", filters=[condition])
    assert row == {"count_count": expected}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"view": "traces"}, "traces"), ({"metrics": []}, "metrics"), ({"metrics": metric("median_latency")}, "median"),
        ({"metrics": metric("sum_nonsense")}, "nonsense"), ({"dimensions": [{"field": "nonsense"}]}, "nonsense"),
        *(({"dimensions": [{"field": name}]}, "too many values")
          for name in ("id", "traceId", "userId", "sessionId", "observationId", "parentObservationId")),
        ({"orderBy": [{"field": "sum_latency", "direction": "asc"}]}, "sum_latency"),
        ({"timeDimension": {"granularity": "year"}}, "year"), ({"toTimestamp": "2026-09-20T00:00:00Z"}, "before"),
        ({"fromTimestamp": None}, "fromTimestamp"), ({"config": {"bins": 0}}, "bins"),
        ({"config": {"row_limit": 1001}}, "row_limit"),
        ({"filters": [{"type": "string", "column": "nonsense", "operator": "=", "value": "x"}]}, "nonsense"),
        ({"view": "scores-numeric", "filters": [{"type": "string", "column": "x", "operator": "=", "value": "y"}]},
         "'x'"),
        ({"view": "scores-numeric", "filters": [{"type": "number", "column": "name", "operator": "=", "value": 1}]},
         "'number'"),
        ({"filters": [{"type": "stringObject", "column": "metadata", "key": "k", "operator": "=", "value": "v"}]},
         "metadata"),
        ({"metrics": metric("count_count", "histogram_latency"),
          "orderBy": [{"field": "histogram_latency", "direction": "asc"}]}, "histogram"),
        ({"filters": [{"type": "string", "column": "name", "operator": "=", "value": "x"}] * 101}, "101"),
        ({"dimensions": [{"field": "name"}], "filters": {}}, "filter"),
        ({"view": "scores-numeric", "filters": [{"type": "text", "column": "name", "operator": "="}]}, "text"),
        ({"view": "scores-numeric", "filters": [{"type": "number", "column": "value", "operator": "=", "value": "x"}]},
         "value"),
        ({"view": "scores-categorical", "metrics": metric("avg_value")}, "value"),
    ],
)  # fmt: skip
async def test_what_cannot_be_asked(api: Api, changes: dict[str, Any], said: str) -> None:
    """A query that makes no sense is 400, and says what of it."""
    answer = await api.p.get("/v2/metrics", params={"query": json.dumps(query(**changes))})
    assert answer.status_code == 400
    assert said in answer.json()["error"][0]["message"]


async def test_no_query(api: Api) -> None:
    """Without a query, or with one that is no JSON, there is no answer."""
    for parameters in ({}, {"query": "x"}, {"query": "[" * 20_000}, {"query": ""}):
        assert (await api.p.get("/v2/metrics", params=parameters)).status_code == 400


@pytest.mark.usefixtures("_day")
async def test_histograms(api: Api) -> None:
    """Bins are of one width, each with its lower and upper end and how many are in it."""
    [row] = await ask(api, metrics=metric("histogram_latency", "count_latency"), config={"bins": 2})
    assert row == {"histogram_latency": [[0.0, 2000.0, 2], [2000.0, 4000.0, 2]], "count_latency": 4}


@pytest.mark.usefixtures("_day")
async def test_names_of_the_same(api: Api) -> None:
    """Two names of one dimension, and a measure that is asked for twice, are each answered by their name."""
    dimensions = [{"field": "traceRelease"}, {"field": "release"}]
    rows = await ask(api, dimensions=dimensions, metrics=metric("count_count", "count_count"))
    assert rows == [
        {"traceRelease": "r1", "release": "r1", "count_count": 3},
        {"traceRelease": None, "release": None, "count_count": 2},
    ]


@pytest.mark.usefixtures("_day")
async def test_older_clients(api: Api) -> None:
    """The operation that there was before answers the same, and knows no view of traces."""
    asked = {"query": json.dumps(query())}
    assert (await api.p.get("/metrics", params=asked)).json() == {"data": [{"count_count": 5}]}
    answer = await api.p.get("/metrics", params={"query": json.dumps(query(view="traces"))})
    assert (answer.status_code, "traces" in answer.text) == (400, True)


async def test_hostile_texts(api: Api) -> None:
    """What is named by whoever records is data: it is grouped by, filtered by and answered as it is."""
    names = ["'; DROP TABLE tc_observations; --", "a\0b", "%_", "\u202egnp", "日本語"]
    await keep(api, *(span(number, name=name) for number, name in enumerate(names, 1)))
    rows = await ask(api, dimensions=[{"field": "name"}], orderBy=[{"field": "name", "direction": "asc"}])
    assert [row["name"] for row in rows] == sorted(names)
    for name in names:
        [row] = await ask(api, filters=[{"type": "string", "column": "name", "operator": "contains", "value": name}])
        assert row["count_count"] == 1, name


async def test_projects_do_not_count_each_other(api: Api) -> None:
    """A key counts what is in its project."""
    await keep(api, span(1), Score("p", "s", "q", START, value=1))
    for view in ("observations", "scores-numeric"):
        assert (await api.q.get("/v2/metrics", params={"query": json.dumps(query(view=view))})).json() == {
            "data": [{"count_count": 0}]
        }
