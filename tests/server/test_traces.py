"""Traces over HTTP: as older clients ask for them, and erased."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from msgspec.structs import replace

from tests.server.conftest import Api
from tracecore.erasure import Erasable
from tracecore.records import Observation, Score, TraceAttributes
from tracecore.server.api import traces
from tracecore.testing.samples import START, full_generation, generation, json_of, span, span_id_of, trace_id_of

CORE = {
    "id", "projectId", "timestamp", "name", "userId", "sessionId", "release", "version", "environment", "tags",
    "public", "bookmarked", "metadata", "createdAt", "updatedAt", "htmlPath", "externalId", "input", "output",
}  # fmt: skip


async def keep(api: Api, *records: Observation | Score, project: str = "p") -> None:
    """Write records into a project."""
    await api.server.state.writer.write([replace(record, project=project) for record in records])


def score(number: int, *, within: int, **fields: Any) -> Score:
    """Return a score of a trace."""
    return Score("p", f"score-{number}", "quality", START, value=0.5, trace_id=trace_id_of(within), **fields)


async def test_one_trace_with_everything(api: Api) -> None:
    """A trace is shown with its observations by start, its scores, what it cost and how long it took."""
    about = TraceAttributes(name="chat", user_id="u", session_id="s", tags=("a",), metadata=json_of({"k": 1}))
    await keep(
        api, span(1, input=json_of("in"), output=json_of({"out": 1}), trace=about, duration_ns=3 * 10**9),
        generation(2, parent_id=span_id_of(1), after_s=1, total_cost=0.5), score(1, within=1, comment="why"),
        score(2, within=2),
    )  # fmt: skip
    trace = await api.get(f"/traces/{trace_id_of(1)}")
    assert trace.keys() == CORE | {"observations", "scores", "latency", "totalCost"}
    assert (trace["name"], trace["userId"], trace["sessionId"], trace["tags"]) == ("chat", "u", "s", ["a"])
    assert (trace["input"], trace["output"], trace["metadata"]) == ("in", {"out": 1}, {"k": 1})
    assert (trace["latency"], trace["totalCost"]) == (3.0, 0.5)
    assert trace["htmlPath"] == f"/project/p/traces/{trace_id_of(1)}"
    assert [one["id"] for one in trace["observations"]] == [span_id_of(1), span_id_of(2)]
    [one] = trace["scores"]
    assert (one["id"], one["value"], one["dataType"], one["comment"]) == ("score-1", 0.5, "NUMERIC", "why")


async def test_a_list_shows_the_parts_that_are_asked_for(api: Api) -> None:
    """Each part is there when it is named, all when none is, and core always."""
    await keep(api, full_generation(1), span(2, within=2, after_s=5, input=json_of("x")), score(1, within=2))
    listed = await api.get("/traces")
    assert [one["id"] for one in listed["data"]] == [trace_id_of(2), trace_id_of(1)]
    assert listed["meta"] == {"page": 1, "limit": 50, "totalItems": 2, "totalPages": 1}
    assert all(one.keys() == CORE | {"observations", "scores", "latency", "totalCost"} for one in listed["data"])
    newest = listed["data"][0]
    assert (newest["observations"], newest["scores"], newest["input"]) == ([span_id_of(2)], ["score-1"], "x")
    for part, members in {
        "core": set(), "metrics": {"latency", "totalCost"}, "observations": {"observations"}, "scores": {"scores"},
    }.items():  # fmt: skip
        [one, _] = (await api.get("/traces", fields=part))["data"]
        assert one.keys() == CORE | members
        assert one["input"] is None
    assert (await api.get("/traces", fields="core,io"))["data"][0]["input"] == "x"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"userId": "u1"}, [1]), ({"name": "chat"}, [2, 1]), ({"sessionId": "s2"}, [2]), ({"tags": ["a", "b"]}, [1]),
        ({"environment": "blue"}, [2]), ({"version": "1"}, [1]), ({"release": "r"}, [2]),
        ({"fromTimestamp": "2026-09-21T14:13:25Z"}, [3, 2]), ({"toTimestamp": "2026-09-21T14:13:25Z"}, [1]),
        ({"orderBy": "timestamp.desc", "limit": 1}, [3]), ({"page": 2, "limit": 2}, [1]),
    ],
)  # fmt: skip
async def test_each_parameter_selects(api: Api, query: dict[str, Any], expected: list[int]) -> None:
    """A parameter finds what it says, newest start first."""
    first = TraceAttributes(name="chat", user_id="u1", tags=("a", "b"), version="1")
    second = TraceAttributes(name="chat", session_id="s2", environment="blue", release="r", tags=("a",))
    await keep(api, span(1, trace=first), span(2, within=2, after_s=5, trace=second), span(3, within=3, after_s=9))
    found = (await api.get("/traces", fields="core", **query))["data"]
    assert [one["id"] for one in found] == [trace_id_of(number) for number in expected]


async def test_other_orders_are_refused(api: Api) -> None:
    """A list in an order that nobody has is not passed off as another's."""
    for query in ({"orderBy": "timestamp.asc"}, {"orderBy": "name.desc"}, {"environment": ["a", "b"]}, {"limit": 101}):
        assert (await api.p.get("/traces", params=query)).status_code == 400


async def test_a_trace_is_erased(api: Api) -> None:
    """What is deleted is gone with everything of it when that is answered, and again it is not found."""
    await keep(api, span(1), generation(2, parent_id=span_id_of(1)), score(1, within=1), span(3, within=2))
    answer = await api.p.delete(f"/traces/{trace_id_of(1)}")
    assert (answer.status_code, answer.json().keys()) == (200, {"message"})
    assert (await api.p.get(f"/traces/{trace_id_of(1)}")).status_code == 404
    assert [one["id"] for one in (await api.get("/v2/observations"))["data"]] == [span_id_of(3)]
    assert (await api.p.delete(f"/traces/{trace_id_of(1)}")).status_code == 404
    await keep(api, span(4, within=4))
    some = {"traceIds": [trace_id_of(number) for number in (2, 4, 4, 9)]}
    answer = await api.p.request("DELETE", "/traces", json=some)
    assert (answer.status_code, answer.json()["message"]) == (200, "Traces deleted successfully: 2")
    assert (await api.get("/traces"))["data"] == []
    for wrong in ({"traceIds": []}, {"traceIds": ["x"] * 1001}, {}, {"traceIds": "x"}):
        assert (await api.p.request("DELETE", "/traces", json=wrong)).status_code == 400


async def test_projects_do_not_reach_each_other(api: Api) -> None:
    """A key of another project neither sees nor erases a trace, and is told what it is told of unknown ones."""
    await keep(api, span(1), score(1, within=1))
    for method in ("GET", "DELETE"):
        foreign = await api.q.request(method, f"/traces/{trace_id_of(1)}")
        unknown = await api.q.request(method, f"/traces/{trace_id_of(2)}")
        assert foreign.status_code == unknown.status_code == 404
        assert foreign.text.replace(trace_id_of(1), trace_id_of(2)) == unknown.text
    assert (await api.q.request("DELETE", "/traces", json={"traceIds": [trace_id_of(1)]})).status_code == 200
    assert len((await api.get(f"/traces/{trace_id_of(1)}"))["scores"]) == 1


async def test_a_key_that_only_reads_erases_nothing(api: Api) -> None:
    """Erasing needs a permission that keys for reading and for recording do not have."""
    await keep(api, span(1))
    for scope in ("read", "ingest", "scores"):
        async with await api.client("p", scope) as weak:
            assert (await weak.delete(f"/traces/{trace_id_of(1)}")).status_code == 403
    assert (await api.p.get(f"/traces/{trace_id_of(1)}")).status_code == 200


async def test_a_trace_that_is_too_large_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would not fit into an answer is 422 with the way that leads to it, and is not read first."""
    await keep(api, *(span(n, input=json_of("x" * 1000)) for n in range(20)))
    path = f"/traces/{trace_id_of(1)}"
    assert len((await api.get(path))["observations"]) == 20
    monkeypatch.setattr(traces, "LARGEST_ANSWER", 19_000)
    assert "/v2/observations" in (await api.p.get(path)).json()["message"]
    monkeypatch.setattr(traces, "_MOST", 19)
    monkeypatch.setattr(api.backend.observations, "tree", None)
    answer = await api.p.get(path)
    assert (answer.status_code, "20 observations" in answer.text) == (422, True)


async def comments(api: Api) -> list[str]:
    """Return what is said in comments of project p."""
    return [one["content"] for one in (await api.get("/comments"))["data"]]


async def test_what_people_added_goes_with_a_trace(api: Api) -> None:
    """Comments on a trace and its observations, its places in queues and its media go; those of others stay."""
    await keep(api, span(1), span(2, within=2))
    for kind, subject in (("TRACE", trace_id_of), ("OBSERVATION", span_id_of)):
        for number in (1, 2):
            said = {"projectId": "p", "objectType": kind, "objectId": subject(number), "content": f"{kind} {number}"}
            await api.post("/comments", said)
    config = (await api.post("/score-configs", {"name": "c", "dataType": "BOOLEAN"}))["id"]
    queue = (await api.post("/annotation-queues", {"name": "q", "scoreConfigIds": [config]}))["id"]
    for number in (1, 2):
        waiting = {"objectType": "TRACE", "objectId": trace_id_of(number)}
        await api.post(f"/annotation-queues/{queue}/items", waiting)
    only, shared = await media(api, b"only", 1), await media(api, b"shared", 1)
    assert await media(api, b"shared", 2) == shared
    assert (await api.p.delete(f"/traces/{trace_id_of(1)}")).status_code == 200
    assert sorted(await comments(api)) == ["OBSERVATION 2", "TRACE 2"]
    left = (await api.get(f"/annotation-queues/{queue}/items"))["data"]
    assert [one["objectId"] for one in left] == [trace_id_of(2)]
    assert (await api.p.get(f"/media/{only}")).status_code == 404
    assert (await api.p.get(f"/media/{shared}")).status_code == 200
    assert (await api.p.delete(f"/traces/{trace_id_of(2)}")).status_code == 200
    assert (await api.p.get(f"/media/{shared}")).status_code == 404
    assert await comments(api) == []


async def test_what_was_left_goes_when_it_is_erased_again(api: Api) -> None:
    """Erasing that was stopped after the trace had gone takes the rest along when it is asked for again."""
    await keep(api, span(1))
    said = {"projectId": "p", "objectType": "TRACE", "objectId": trace_id_of(1), "content": "left"}
    await api.post("/comments", said)
    assert isinstance(api.backend, Erasable)
    await api.backend.erase("p", trace_ids=[trace_id_of(1)])
    assert await comments(api) == ["left"]
    assert (await api.p.delete(f"/traces/{trace_id_of(1)}")).status_code == 404
    assert await comments(api) == []


async def media(api: Api, data: bytes, within: int) -> str:
    """Upload bytes that a trace refers to; return their id."""
    announced = {
        "traceId": trace_id_of(within), "field": "input", "contentType": "text/plain", "contentLength": len(data),
        "sha256Hash": base64.b64encode(hashlib.sha256(data).digest()).decode(),
    }  # fmt: skip
    told = await api.post("/media", announced, 201)
    if told["uploadUrl"] is not None:
        assert (await api.p.put(told["uploadUrl"], content=data)).status_code == 200
    return told["mediaId"]
