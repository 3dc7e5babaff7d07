"""The list ``/v2/scores`` of older clients: its shape, conditions on scores and on their traces, and numbered pages."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.conftest import Api
from tracecore.conditions import MOST_VALUES
from tracecore.records import Span, TraceAttributes

KEYS = {
    "id", "projectId", "traceId", "sessionId", "observationId", "datasetRunId", "name", "value", "stringValue",
    "dataType", "source", "comment", "metadata", "authorUserId", "configId", "queueId", "executionTraceId",
    "environment", "timestamp", "createdAt", "updatedAt",
}  # fmt: skip
TRACE, OTHER, GONE = "a" * 32, "b" * 32, "c" * 32


@pytest.fixture(autouse=True)
async def _scored(api: Api) -> None:
    """Record two traces, and scores of them, of one that is not here, and of a session."""
    said = TraceAttributes(user_id="u1", tags=("t1", "t2"), session_id="s1", environment="blue")
    await api.server.state.writer.write([
        Span("p", TRACE, "1" * 16, "root", api.now_ns, duration_ns=5, trace=said),
        Span("p", OTHER, "2" * 16, "root", api.now_ns, duration_ns=5, trace=TraceAttributes(tags=("t2",))),
        Span("q", OTHER, "3" * 16, "root", api.now_ns, duration_ns=5, trace=TraceAttributes(user_id="u1")),
    ])  # fmt: skip
    config = await api.post(
        "/score-configs", {"name": "colour", "dataType": "CATEGORICAL", "categories": [{"label": "red", "value": 7}]}
    )
    for given in (
        {"id": "one", "name": "n", "value": 1, "traceId": TRACE},
        {"id": "two", "name": "n", "value": 2, "traceId": OTHER, "observationId": "o"},
        {"id": "three", "name": "m", "value": 3, "traceId": GONE},
        {"id": "yes", "name": "b", "value": 1, "dataType": "BOOLEAN", "sessionId": "s1"},
        {"id": "red", "name": "colour", "value": "red", "configId": config["id"], "traceId": TRACE},
        {"id": "word", "name": "w", "value": "red", "traceId": TRACE, "environment": "green"},
        {"id": "text", "name": "t", "value": "long", "dataType": "TEXT", "datasetRunId": "e1"},
        {"id": "fix", "name": "f", "value": "better", "dataType": "CORRECTION", "traceId": TRACE},
    ):
        await api.post("/scores", given)
        api.later()


async def ids(api: Api, **query: Any) -> list[str]:
    """Return the ids of a list."""
    return [one["id"] for one in (await api.get("/v2/scores", **query))["data"]]


async def test_shapes(api: Api) -> None:
    """A value is a number and a text, as far as its type has them; every member is there."""
    answer = await api.get("/v2/scores", fields="score")
    assert all(set(one) == KEYS for one in answer["data"])
    found = {one["id"]: one for one in answer["data"]}
    assert {name: (one["value"], one["stringValue"]) for name, one in found.items()} == {
        "one": (1, None), "two": (2, None), "three": (3, None), "yes": (1, "True"), "red": (7, "red"),
        "word": (0, "red"), "text": (None, "long"), "fix": (0, "better"),
    }  # fmt: skip
    assert (found["yes"]["sessionId"], found["text"]["datasetRunId"], found["one"]["metadata"]) == ("s1", "e1", {})
    assert await api.get("/v2/scores/red") == found["red"]
    assert await api.get("/scores/red") == found["red"]
    assert await api.get("/scores", fields="score") == answer
    assert (await api.p.get("/v2/scores/nobody's")).status_code == 404


async def test_something_of_the_trace(api: Api) -> None:
    """Beside a score stands what was said of its trace, null where that is not here or there is none."""
    found = {one["id"]: one["trace"] for one in (await api.get("/v2/scores"))["data"]}
    assert found["one"] == {"userId": "u1", "tags": ["t1", "t2"], "environment": "blue", "sessionId": "s1"}
    assert found["two"] == {"userId": None, "tags": ["t2"], "environment": "default", "sessionId": None}
    assert (found["three"], found["yes"]) == (None, None)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"name": "n"}, ["two", "one"]),
        ({"operator": ">", "value": "1", "dataType": "NUMERIC"}, ["three", "two"]),
        ({"operator": ">=", "value": "2"}, ["three", "two"]),
        ({"operator": "<", "value": "2", "dataType": "NUMERIC"}, ["one"]),
        ({"operator": "<=", "value": "2", "dataType": "NUMERIC"}, ["two", "one"]),
        ({"operator": "=", "value": "2"}, ["two"]),
        ({"operator": "!=", "value": "2", "dataType": "NUMERIC"}, ["three", "one"]),
        ({"value": "2", "name": "n"}, ["two", "one"]),
        ({"scoreIds": "one, three"}, ["three", "one"]),
        ({"traceId": TRACE}, ["fix", "word", "red", "one"]),
        ({"observationId": "o,x"}, ["two"]),
        ({"sessionId": "s1"}, ["yes"]),
        ({"datasetRunId": "e1"}, ["text"]),
        ({"environment": "green"}, ["word"]),
        ({"source": "ANNOTATION"}, []),
        ({"queueId": "q"}, []),
        ({"configId": "c"}, []),
        ({"userId": "u1"}, ["fix", "word", "red", "one"]),
        ({"userId": "nobody"}, []),
        ({"traceTags": "t2"}, ["fix", "word", "red", "two", "one"]),
        ({"traceTags": "t1,t2", "name": "n"}, ["one"]),
    ],
)
async def test_conditions(api: Api, query: dict[str, str], expected: list[str]) -> None:
    """Each condition selects what it says."""
    assert await ids(api, **query) == expected


async def test_pages(api: Api) -> None:
    """Pages are numbered and say how many there are, also where scores are sifted."""
    answer = await api.get("/v2/scores", page=2, limit=3)
    assert [one["id"] for one in answer["data"]] == ["red", "yes", "three"]
    assert answer["meta"] == {"page": 2, "limit": 3, "totalItems": 8, "totalPages": 3}
    query = {"operator": "!=", "value": "2", "dataType": "NUMERIC", "limit": 1}
    pages = [await api.get("/v2/scores", page=number, **query) for number in (1, 2, 3)]
    assert [[one["id"] for one in page["data"]] for page in pages] == [["three"], ["one"], []]
    assert [page["meta"]["totalItems"] for page in pages] == [2, 2, 2]


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "101"}, {"page": "0"}, {"dataType": "OTHER"}, {"operator": "~"}, {"filter": "[]"},
        {"operator": ">", "value": "inf"}, {"source": "X"}, {"scoreIds": ",".join(map(str, range(MOST_VALUES + 1)))},
    ],
)  # fmt: skip
async def test_what_is_refused(api: Api, query: dict[str, str]) -> None:
    """What cannot be asked is 400."""
    answer = await api.p.get("/v2/scores", params=query)
    assert answer.status_code == 400, answer.text
