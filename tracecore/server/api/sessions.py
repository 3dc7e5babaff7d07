"""Sessions, as Langfuse shows them to older clients: a numbered list, and one with its traces.

A session was made when its first trace began; one without a trace (somebody only marked it) has no such time, and shows
the beginning of 1970. Its environment is its own, else that of its newest trace.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from msgspec import Struct

from tracecore.backend import LARGEST_PAGE, Page, SessionQuery, TraceQuery
from tracecore.errors import NotFound
from tracecore.records import Session
from tracecore.server.api.numbered import numbered
from tracecore.server.api.paging import PageMeta, Paging
from tracecore.server.api.payloads import size_of
from tracecore.server.api.shapes import DEFAULT_ENVIRONMENT
from tracecore.server.api.sifting import sifted
from tracecore.server.api.times import iso, ns_of
from tracecore.server.api.trace_shapes import TraceAnswer, io_of, trace_shape
from tracecore.server.operations import Call, Operations
from tracecore.services.stores import sessions_of, traces_of

__all__ = ["operations"]

operations = Operations()

_MOST_TRACES: Final = LARGEST_PAGE
"""Traces of one session that are shown: those that began last."""
_BY_PAGES: Final = "ask for the traces of the session page by page: /traces?sessionId="


class SessionsQuery(Paging, frozen=True, kw_only=True, rename="camel"):
    """Select a numbered page of sessions; times are those at which they were made."""

    from_timestamp: datetime | None = None
    to_timestamp: datetime | None = None
    environment: tuple[str, ...] = ()


class SessionAnswer(Struct, frozen=True, kw_only=True, rename="camel"):
    """Show a session."""

    id: str
    created_at: str
    project_id: str
    environment: str


class SessionWithTraces(SessionAnswer, frozen=True, kw_only=True, rename="camel"):
    """Show a session with its traces."""

    traces: list[TraceAnswer]


class SessionsAnswer(Struct, frozen=True):
    """Hold a numbered page of sessions."""

    data: list[SessionAnswer]
    meta: PageMeta


@operations.get("/sessions", permission="project:read", deprecated=True)
async def list_sessions(call: Call, query: SessionsQuery) -> SessionsAnswer:
    """Return a numbered page of sessions, the one whose last trace began last first."""
    store = sessions_of(call.backend)
    since_ns = None if query.from_timestamp is None else ns_of(query.from_timestamp)
    until_ns = None if query.to_timestamp is None else ns_of(query.to_timestamp)

    async def find(limit: int, cursor: str | None) -> Page[Session]:
        return await store.find(call.project, SessionQuery(limit=limit, cursor=cursor, since_ns=since_ns))

    async def fits(session: Session) -> bool:
        made_ns = session.start_ns or 0
        return (
            (since_ns is None or made_ns >= since_ns)
            and (until_ns is None or made_ns < until_ns)
            and (not query.environment or await _environment(call, session) in query.environment)
        )

    found = sifted(find, fits)
    sessions, meta = await numbered(found, found, query)
    return SessionsAnswer([await _shape(call, session) for session in sessions], meta)


@operations.get("/sessions/{session_id:path}", permission="project:read", deprecated=True)
async def get_session(call: Call, session_id: str) -> SessionWithTraces:
    """Return one session with its traces, the newest first, at most a thousand."""
    session = await sessions_of(call.backend).get(call.project, session_id)
    if session is None:
        raise NotFound("session", session_id)
    traces = await _traces(call, session_id)
    shown = await _shape(call, session)
    return SessionWithTraces(
        id=shown.id,
        created_at=shown.created_at,
        project_id=shown.project_id,
        environment=shown.environment,
        traces=traces,
    )


async def _traces(call: Call, session_id: str) -> list[TraceAnswer]:
    store, shown = traces_of(call.backend), list[TraceAnswer]()
    page = await store.find(call.project, TraceQuery(session_id=session_id, limit=_MOST_TRACES))
    for bare in page.items:
        trace = await store.get(call.project, bare.trace_id) or bare
        call.hold(size_of(trace.input, trace.output, trace.attributes.metadata), _BY_PAGES)
        shown.append(trace_shape(trace, **io_of(trace)))
    return shown


async def _shape(call: Call, session: Session) -> SessionAnswer:
    return SessionAnswer(
        id=session.session_id,
        created_at=iso(session.start_ns or 0),
        project_id=session.project,
        environment=await _environment(call, session),
    )


async def _environment(call: Call, session: Session) -> str:
    if session.environment is not None:
        return session.environment
    found = await traces_of(call.backend).find(call.project, TraceQuery(session_id=session.session_id, limit=1))
    named = [trace.attributes.environment for trace in found.items]
    return (named[0] if named else None) or DEFAULT_ENVIRONMENT
