"""Comments over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.server.conftest import Api
from tracecore.records import TraceAttributes
from tracecore.testing.samples import span, span_id_of, trace_id_of

KEYS = {"id", "projectId", "createdAt", "updatedAt", "objectType", "objectId", "content", "authorUserId"}


@pytest.fixture(autouse=True)
async def _traces(api: Api) -> None:
    """Keep a trace in a session in project p."""
    about = TraceAttributes(session_id="s1")
    await api.server.state.writer.write([replace(span(1, trace=about), project="p")])


def comment(**changes: Any) -> dict[str, Any]:
    """Return a comment on the trace."""
    return {"projectId": "p", "objectType": "TRACE", "objectId": trace_id_of(1), "content": "**schön** 世", **changes}


async def test_a_comment_is_what_was_said(api: Api) -> None:
    """What was made is read again, by its id and in the list; Markdown stays what it is, without space around it."""
    made = await api.post("/comments", comment(content="  <b>*x*</b>\n", authorUserId="u1"))
    assert made.keys() == {"id"}
    one = await api.get(f"/comments/{made['id']}")
    assert one.keys() == KEYS
    assert (one["content"], one["authorUserId"], one["projectId"]) == ("<b>*x*</b>", "u1", "p")
    assert one["createdAt"] == one["updatedAt"] == "2027-01-15T08:00:00.000Z"
    listed = await api.get("/comments")
    assert (listed["data"], listed["meta"]["totalItems"]) == ([one], 1)


async def test_each_parameter_selects(api: Api) -> None:
    """Lists are of a type, an object, an author or a time, the newest first, in numbered pages."""
    for said in (
        comment(content="1"), comment(content="2", authorUserId="u1"),
        comment(content="3", objectType="OBSERVATION", objectId=span_id_of(1), authorUserId="u1"),
        comment(content="4", objectType="SESSION", objectId="s1"),
    ):  # fmt: skip
        await api.post("/comments", said)
        api.later()
    queries: list[tuple[dict[str, Any], str]] = [
        ({}, "4321"), ({"objectType": "TRACE"}, "21"), ({"objectType": "TRACE", "objectId": trace_id_of(1)}, "21"),
        ({"objectType": "TRACE", "objectId": "s1"}, ""), ({"authorUserId": "u1"}, "32"),
        ({"authorUserId": "u1", "objectType": "OBSERVATION"}, "3"), ({"page": 2, "limit": 3}, "1"),
        ({"fromTimestamp": "2027-01-15T08:00:01Z", "toTimestamp": "2027-01-15T08:00:03Z"}, "32"),
    ]  # fmt: skip
    for query, expected in queries:
        assert "".join(one["content"] for one in (await api.get("/comments", **query))["data"]) == expected, query


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"objectId": trace_id_of(2)}, 404), ({"objectType": "OBSERVATION", "objectId": span_id_of(2)}, 404),
        ({"objectType": "SESSION", "objectId": "s2"}, 404), ({"objectType": "PROMPT", "objectId": "x"}, 404),
        ({"projectId": "q"}, 404), ({"content": " \n"}, 400), ({"content": "x" * 5001}, 400),
        ({"objectType": "USER"}, 400), ({"content": None}, 400),
    ],
)  # fmt: skip
async def test_what_cannot_be_said(api: Api, changes: dict[str, Any], status: int) -> None:
    """Nothing is said of what is not there, and nothing empty or endless; then there is no comment."""
    assert (await api.p.post("/comments", json=comment(**changes))).status_code == status
    assert (await api.get("/comments"))["data"] == []
    assert (await api.p.post("/comments", json=comment(content="x" * 5000))).status_code == 200


async def test_an_object_is_named_with_its_type(api: Api) -> None:
    """Ids of several types may be alike: an id alone selects nothing."""
    assert (await api.p.get("/comments", params={"objectId": "s1"})).status_code == 400


async def test_projects_do_not_see_each_others_comments(api: Api) -> None:
    """To another project a comment, and what it is on, are unknown."""
    made = (await api.post("/comments", comment()))["id"]
    foreign, unknown = await api.q.get(f"/comments/{made}"), await api.q.get("/comments/unknown")
    assert foreign.status_code == unknown.status_code == 404
    assert foreign.text.replace(made, "unknown") == unknown.text
    assert (await api.q.get("/comments")).json()["data"] == []
    assert (await api.q.post("/comments", json=comment(projectId="q"))).status_code == 404


async def test_a_comment_on_a_version_of_a_prompt(api: Api) -> None:
    """A prompt is commented on by the id of a version of it."""
    prompt = await api.post("/v2/prompts", {"name": "greet", "prompt": "hi", "type": "text"}, 201)
    await api.post("/comments", comment(objectType="PROMPT", objectId=prompt["id"]))
