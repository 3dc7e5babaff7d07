"""The list ``/v3/scores``: its shape, every condition, its pages, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.conftest import START_NS, Api
from tracecore.conditions import MOST_VALUES
from tracecore.server.api.times import iso

CORE = {
    "id", "projectId", "name", "value", "dataType", "source", "timestamp", "environment", "createdAt", "updatedAt",
}  # fmt: skip
DETAILS = {"comment", "configId", "metadata"}
ANNOTATION = {"authorUserId", "queueId"}
TRACE, OTHER = "a" * 32, "b" * 32


@pytest.fixture(autouse=True)
async def _scored(api: Api) -> None:
    """Give scores of every type and subject, one a second."""
    for given in (
        {"id": "number", "name": "quality", "value": 0.5, "traceId": TRACE, "comment": "c", "metadata": {"k": [1]}},
        {"id": "truth", "name": "right", "value": 1, "dataType": "BOOLEAN", "traceId": TRACE, "observationId": "o1"},
        {"id": "untruth", "name": "right", "value": 0, "dataType": "BOOLEAN", "traceId": OTHER, "observationId": "o1"},
        {"id": "word", "name": "colour", "value": "red", "sessionId": "s1", "environment": "blue", "queueId": "q1"},
        {"id": "text", "name": "essay", "value": "1, 2", "dataType": "TEXT", "datasetRunId": "e1", "metadata": [1]},
        {"id": "fix", "name": "x", "value": "better", "dataType": "CORRECTION", "traceId": TRACE,
         "source": "ANNOTATION"},
    ):  # fmt: skip
        await api.post("/scores", given)
        api.later()
    await api.q.post("/scores", json={"id": "foreign", "name": "quality", "value": 0.5, "traceId": TRACE})


async def ids(api: Api, **query: Any) -> list[str]:
    """Return the ids of a list."""
    return [one["id"] for one in (await api.get("/v3/scores", **query))["data"]]


async def test_values_have_their_types(api: Api) -> None:
    """One member holds a number, a truth value or a text, as the data type says."""
    answer = await api.get("/v3/scores")
    assert {one["id"]: (one["dataType"], one["value"]) for one in answer["data"]} == {
        "number": ("NUMERIC", 0.5), "truth": ("BOOLEAN", True), "untruth": ("BOOLEAN", False),
        "word": ("CATEGORICAL", "red"), "text": ("TEXT", "1, 2"), "fix": ("CORRECTION", "better"),
    }  # fmt: skip
    assert [one["id"] for one in answer["data"]] == ["fix", "text", "word", "untruth", "truth", "number"]
    assert answer["meta"] == {"limit": 50}
    assert all(set(one) == CORE for one in answer["data"])
    [number] = [one for one in answer["data"] if one["id"] == "number"]
    assert {number["timestamp"], number["createdAt"], number["updatedAt"]} == {iso(START_NS)}
    assert (number["projectId"], number["environment"], number["source"]) == ("p", "default", "API")


async def test_groups(api: Api) -> None:
    """Members are there that were asked for, null where nothing is known, and no others."""
    for fields, more in (
        ("core", set[str]()), ("details", DETAILS), ("subject", {"subject"}), (" annotation , core ", ANNOTATION),
        ("core,details,subject,annotation", {*DETAILS, *ANNOTATION, "subject"}),
    ):  # fmt: skip
        for one in (await api.get("/v3/scores", fields=fields))["data"]:
            assert set(one) == CORE | more, fields
    found = {one["id"]: one for one in (await api.get("/v3/scores", fields="details,subject,annotation"))["data"]}
    assert (found["number"]["comment"], found["number"]["configId"]) == ("c", None)
    assert {name: one["metadata"] for name, one in found.items() if one["metadata"]} == {
        "number": {"k": [1]}, "text": {"metadata": [1]},
    }  # fmt: skip
    assert {name: one["subject"] for name, one in found.items()} == {
        "number": {"kind": "trace", "id": TRACE},
        "truth": {"kind": "observation", "id": "o1", "traceId": TRACE},
        "untruth": {"kind": "observation", "id": "o1", "traceId": OTHER},
        "word": {"kind": "session", "id": "s1"},
        "text": {"kind": "experiment", "id": "e1"},
        "fix": {"kind": "trace", "id": TRACE},
    }
    assert (found["word"]["queueId"], found["word"]["authorUserId"]) == ("q1", None)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"id": "number, word ,"}, ["word", "number"]),
        ({"name": "right,colour"}, ["word", "untruth", "truth"]),
        ({"source": "annotation"}, ["fix"]),
        ({"source": "API,EVAL"}, ["text", "word", "untruth", "truth", "number"]),
        ({"dataType": "text,Numeric"}, ["text", "number"]),
        ({"environment": "blue,green"}, ["word"]),
        ({"environment": "default"}, ["fix", "text", "untruth", "truth", "number"]),
        ({"queueId": "q1"}, ["word"]),
        ({"configId": "nobody's"}, []),
        ({"authorUserId": "nobody"}, []),
        ({"value": "0.5,7", "dataType": "NUMERIC"}, ["number"]),
        ({"value": "5e-1", "dataType": "NUMERIC"}, ["number"]),
        ({"value": "true", "dataType": "BOOLEAN"}, ["truth"]),
        ({"value": "false,true", "dataType": "BOOLEAN"}, ["untruth", "truth"]),
        ({"value": "red,green", "dataType": "CATEGORICAL"}, ["word"]),
        ({"valueMin": "0.5", "dataType": "NUMERIC"}, ["number"]),
        ({"valueMax": "0.4", "dataType": "NUMERIC"}, []),
        ({"valueMin": "", "value": "", "id": ""}, ["fix", "text", "word", "untruth", "truth", "number"]),
        ({"traceId": TRACE}, ["fix", "truth", "number"]),
        ({"traceId": f"{TRACE},{OTHER}", "observationId": "o1"}, ["untruth", "truth"]),
        ({"traceId": OTHER, "observationId": "o1"}, ["untruth"]),
        ({"sessionId": "s1,s2"}, ["word"]),
        ({"experimentId": "e1"}, ["text"]),
        ({"fromTimestamp": iso(START_NS + 4_000_000_000)}, ["fix", "text"]),
        ({"toTimestamp": iso(START_NS + 1_000_000_000)}, ["number"]),
    ],
)
async def test_conditions(api: Api, query: dict[str, str], expected: list[str]) -> None:
    """Each condition selects what it says, lists any of their values."""
    assert await ids(api, **query) == expected


async def test_pages(api: Api) -> None:
    """Page after page holds each score once; the last has no cursor."""
    seen: list[str] = []
    cursor: dict[str, str] = {}
    for expected in (4, 2):
        answer = await api.get("/v3/scores", limit=4, **cursor)
        assert len(answer["data"]) == expected
        seen += [one["id"] for one in answer["data"]]
        cursor = {"cursor": answer["meta"]["cursor"]} if "cursor" in answer["meta"] else {}
        assert bool(cursor) == (expected == 4)
    assert seen == await ids(api)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"limit": "101"}, "limit"),
        ({"limit": "0"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"fields": "core,everything"}, "everything"),
        ({"source": "API,HEARSAY"}, "HEARSAY"),
        ({"dataType": "NUMBER"}, "NUMBER"),
        ({"value": "1"}, "dataType"),
        ({"value": "1", "dataType": "NUMERIC,BOOLEAN"}, "dataType"),
        ({"value": "x", "dataType": "TEXT"}, "dataType"),
        ({"value": "x", "dataType": "NUMERIC"}, "number"),
        ({"value": "NaN", "dataType": "NUMERIC"}, "number"),
        ({"value": "1", "dataType": "BOOLEAN"}, "true or false"),
        ({"valueMin": "1"}, "NUMERIC"),
        ({"valueMax": "1", "dataType": "BOOLEAN"}, "NUMERIC"),
        ({"valueMin": "inf", "dataType": "NUMERIC"}, "finite"),
        ({"observationId": "o1"}, "traceId"),
        ({"traceId": TRACE, "sessionId": "s1"}, "at most one"),
        ({"sessionId": "s1", "experimentId": "e1"}, "at most one"),
        ({"fromTimestamp": "yesterday"}, "fromTimestamp"),
        ({"cursor": "made up"}, "cursor"),
        ({"userId": "u"}, "userId"),
        ({"traceTags": "t"}, "traceTags"),
        ({"nmae": "quality"}, "nmae"),
        ({"id": ",".join(map(str, range(MOST_VALUES + 1)))}, str(MOST_VALUES)),
    ],
)
async def test_what_is_refused(api: Api, query: dict[str, str], named: str) -> None:
    """400 says which parameter, and what would do."""
    answer = await api.p.get("/v3/scores", params=query)
    assert answer.status_code == 400, answer.text
    assert named in answer.text
    assert answer.json()["message"] == "Invalid request data"
