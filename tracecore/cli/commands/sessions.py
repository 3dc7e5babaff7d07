"""``tracecore sessions``: who came back, how often, at what cost."""

from __future__ import annotations

import click

from tracecore.backend import LARGEST_PAGE, Backend, Page, SessionQuery, TraceQuery
from tracecore.cli.commands.traces import SHOWN_ID, page_json
from tracecore.cli.figures import cost, duration, moment
from tracecore.cli.moments import MOMENT
from tracecore.cli.options import with_settings
from tracecore.cli.output import Column, note, print_json, print_lines, print_table
from tracecore.cli.reading import Settings, read, sessions_of, traces_of
from tracecore.errors import NotFound
from tracecore.records import Session, Trace

__all__ = ["sessions"]

_COLUMNS = (
    Column("session"),
    Column("user", limit=30),
    Column("traces", "right"),
    Column("spans", "right"),
    Column("errors", "right"),
    Column("tokens", "right"),
    Column("cost", "right"),
    Column("first", firm=True),
    Column("last activity", firm=True),
)
_TRACE_COLUMNS = (
    Column("started", firm=True),
    Column("trace", firm=True),
    Column("name"),
    Column("user", limit=24),
    Column("duration", "right"),
    Column("errors", "right"),
    Column("tokens", "right"),
    Column("cost", "right"),
)


@click.command(short_help="List sessions, or the traces of one.")
@click.argument("session_id", metavar="[ID]", required=False)
@click.option("--user", "user_id", metavar="ID", help="Only sessions of this user.")
@click.option("--since", "since_ns", type=MOMENT, metavar="TIME", help="Active at or after: 15m, 2h, 3d, or a date.")
@click.option("--until", "until_ns", type=MOMENT, metavar="TIME", help="Active before.")
@click.option("--limit", type=click.IntRange(1, LARGEST_PAGE), default=20, show_default=True, help="How many.")
@click.option("--cursor", metavar="CURSOR", help="Where the page before this one ended.")
@with_settings
def sessions(
    settings: Settings,
    session_id: str | None,
    *,
    user_id: str | None,
    since_ns: int | None,
    until_ns: int | None,
    limit: int,
    cursor: str | None,
) -> None:
    """List sessions, the most recently active first; with ID, the traces of one."""
    if session_id is not None:
        query = TraceQuery(
            session_id=session_id, user_id=user_id, since_ns=since_ns, until_ns=until_ns, limit=limit, cursor=cursor
        )
        _one(settings, session_id, query)
        return

    async def find(backend: Backend) -> Page[Session]:
        query = SessionQuery(user_id=user_id, since_ns=since_ns, until_ns=until_ns, limit=limit, cursor=cursor)
        return await sessions_of(backend).find(settings.project, query)

    page = read(settings, find)
    if settings.as_json:
        print_json(page_json(page))
    elif not page.items:
        note(f"no session of project {settings.project!r} matches")
    else:
        print_table(_COLUMNS, [_row(session) for session in page.items])
        _mention_more(page.next_cursor)


def _one(settings: Settings, session_id: str, query: TraceQuery) -> None:
    async def find(backend: Backend) -> tuple[Session, Page[Trace]]:
        session = await sessions_of(backend).get(settings.project, session_id)
        if session is None:
            raise NotFound("session", session_id, f"`tracecore sessions` lists those of project {settings.project!r}")
        return session, await traces_of(backend).find(settings.project, query)

    session, page = read(settings, find)
    if settings.as_json:
        print_json({"session": session, "traces": page.items, "next_cursor": page.next_cursor})
        return
    print_table(_COLUMNS, [_row(session)])
    print_lines([""])
    print_table(_TRACE_COLUMNS, [_trace_row(trace) for trace in page.items])
    _mention_more(page.next_cursor)


def _mention_more(cursor: str | None) -> None:
    if cursor is not None:
        note(f"there are more: --cursor {cursor}")


def _row(session: Session) -> list[str]:
    return [
        session.session_id,
        ", ".join(session.user_ids) or "-",
        f"{session.trace_count:,}",
        f"{session.observation_count:,}",
        f"{session.error_count:,}" if session.error_count else "",
        f"{session.total_tokens:,}" if session.total_tokens else "",
        cost(session.total_cost, known=session.cost_known),
        moment(session.start_ns),
        moment(session.end_ns),
    ]


def _trace_row(trace: Trace) -> list[str]:
    return [
        moment(trace.start_ns),
        trace.trace_id[:SHOWN_ID],
        trace.name or "-",
        trace.attributes.user_id or "-",
        "running" if trace.running else duration(trace.duration_ns),
        f"{trace.error_count:,}" if trace.error_count else "",
        f"{trace.total_tokens:,}" if trace.total_tokens else "",
        cost(trace.total_cost, known=trace.cost_known),
    ]
