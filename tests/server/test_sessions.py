"""Sessions as older clients read them: their shape, when they were made, numbered pages, and their traces."""

from __future__ import annotations

import pytest

from tests.server.conftest import START_NS, Api
from tracecore.records import Session, Span, TraceAttributes
from tracecore.server.api.times import iso

SECOND = 1_000_000_000


def span(number: int, session: str, second: int, *, project: str = "p", environment: str | None = None) -> Span:
    """Return the root of a trace of a session."""
    return Span(
        project, f"{number:032x}", f"{number:016x}", f"n{number}", START_NS + second * SECOND, duration_ns=1,
        trace=TraceAttributes(session_id=session, environment=environment),
    )  # fmt: skip


@pytest.fixture(autouse=True)
async def _recorded(api: Api) -> None:
    """Record three sessions, the first of which goes on last, one that has no trace, and one of another project."""
    await api.server.state.writer.write([
        span(1, "s/1", 0), span(2, "s2", 1, environment="blue"), span(3, "s3", 2, environment="blue"),
        span(4, "s3", 3, environment="green"), span(5, "s/1", 9), span(6, "s2", 5, project="q"),
        Session("p", "bare"), Session("p", "s2", environment="own"), span(7, "theirs", 1, project="q"),
    ])  # fmt: skip


async def test_the_list(api: Api) -> None:
    """A session was made when its first trace began; the list is in the order of the last."""
    answer = await api.get("/sessions")
    assert answer["data"] == [
        {"id": "s/1", "createdAt": iso(START_NS), "projectId": "p", "environment": "default"},
        {"id": "s3", "createdAt": iso(START_NS + 2 * SECOND), "projectId": "p", "environment": "green"},
        {"id": "s2", "createdAt": iso(START_NS + SECOND), "projectId": "p", "environment": "own"},
        {"id": "bare", "createdAt": "1970-01-01T00:00:00.000Z", "projectId": "p", "environment": "default"},
    ]
    assert answer["meta"] == {"page": 1, "limit": 50, "totalItems": 4, "totalPages": 1}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"fromTimestamp": iso(START_NS + SECOND)}, ["s3", "s2"]),
        ({"toTimestamp": iso(START_NS + SECOND)}, ["s/1", "bare"]),
        ({"environment": "green"}, ["s3"]),
        ({"environment": ["own", "default"]}, ["s/1", "s2", "bare"]),
        ({"limit": 1, "page": 3}, ["s2"]),
        ({"environment": ["own", "green"], "limit": 1, "page": 2}, ["s2"]),
        ({"page": 7}, []),
    ],
)
async def test_conditions_and_pages(api: Api, query: dict[str, object], expected: list[str]) -> None:
    """Times are those at which a session was made, and pages of what is sifted are whole."""
    assert [one["id"] for one in (await api.get("/sessions", **query))["data"]] == expected


async def test_one_with_its_traces(api: Api) -> None:
    """One session has its traces, the newest first, whatever its id looks like."""
    found = await api.get("/sessions/s%2F1")
    assert set(found) == {"id", "createdAt", "projectId", "environment", "traces"}
    assert [one["name"] for one in found["traces"]] == ["n5", "n1"]
    assert {one["sessionId"] for one in found["traces"]} == {"s/1"}
    assert (await api.get("/sessions/bare"))["traces"] == []
    assert [one["name"] for one in (await api.get("/sessions/s2"))["traces"]] == ["n2"]


async def test_another_projects(api: Api) -> None:
    """A session of another project is not there: the same answer as for one that nobody has."""
    foreign, unknown = await api.p.get("/sessions/theirs"), await api.p.get("/sessions/nobody")
    assert foreign.status_code == unknown.status_code == 404
    assert foreign.json()["message"].replace("theirs", "nobody") == unknown.json()["message"]
    assert foreign.json()["error"] == "LangfuseNotFoundError"
