"""``tracecore traces``: find traces, newest first."""

from __future__ import annotations

from typing import Any

import click

from tracecore.backend import LARGEST_PAGE, Backend, Page, TraceQuery
from tracecore.cli.figures import cost, duration, moment
from tracecore.cli.moments import DURATION, MOMENT
from tracecore.cli.options import with_settings
from tracecore.cli.output import Column, note, print_json, print_table
from tracecore.cli.reading import Settings, read, traces_of
from tracecore.records import Trace

__all__ = ["SHOWN_ID", "page_json", "traces"]

SHOWN_ID = 20
"""Characters of an id in a list: twelve of time and eight random ones, enough to name one trace."""

_COLUMNS = (
    Column("started", firm=True),
    Column("trace", firm=True),
    Column("name"),
    Column("user", limit=24),
    Column("session", limit=24),
    Column("duration", "right"),
    Column("spans", "right"),
    Column("errors", "right"),
    Column("tokens", "right"),
    Column("cost", "right"),
)


@click.command(epilog="\b\nFor example:\n  tracecore traces --user user-123 --since 2h --errors --min-duration 1s")
@click.option("--user", "user_id", metavar="ID", help="Only traces of this user.")
@click.option("--session", "session_id", metavar="ID", help="Only traces of this session.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only traces with this tag; repeat for several.")
@click.option("--name", metavar="NAME", help="Only traces of this name.")
@click.option("--release", metavar="TEXT", help="Only traces of this release.")
@click.option("--version", metavar="TEXT", help="Only traces of this version of the application.")
@click.option("--environment", metavar="NAME", help="Only traces of this environment.")
@click.option("--since", "since_ns", type=MOMENT, metavar="TIME", help="Started at or after: 15m, 2h, 3d, or a date.")
@click.option("--until", "until_ns", type=MOMENT, metavar="TIME", help="Started before.")
@click.option("--errors", "has_error", is_flag=True, default=None, help="Only traces in which something failed.")
@click.option("--running", is_flag=True, default=None, help="Only traces that have not ended.")
@click.option("--min-duration", "min_duration_ns", type=DURATION, metavar="TIME", help="At least this long: 250ms, 2s.")
@click.option("--min-cost", type=click.FloatRange(min=0), metavar="USD", help="At least this expensive.")
@click.option("--search", metavar="WORDS", help="Only traces with these words in a payload, message or error.")
@click.option("--limit", type=click.IntRange(1, LARGEST_PAGE), default=20, show_default=True, help="How many.")
@click.option("--cursor", metavar="CURSOR", help="Where the page before this one ended.")
@with_settings
def traces(settings: Settings, **filters: Any) -> None:
    """Find traces, newest first."""
    query = TraceQuery(**filters)

    async def find(backend: Backend) -> Page[Trace]:
        return await traces_of(backend).find(settings.project, query)

    page = read(settings, find)
    if settings.as_json:
        print_json(page_json(page))
        return
    if not page.items:
        note(f"no trace of project {settings.project!r} matches")
        return
    print_table(_COLUMNS, [_row(trace) for trace in page.items])
    if page.next_cursor is not None:
        note(f"there are more: --cursor {page.next_cursor}")


def page_json(page: Page[Any]) -> dict[str, Any]:
    """Return a page of records as the members of one JSON object."""
    return {"items": page.items, "next_cursor": page.next_cursor}


def _row(trace: Trace) -> list[str]:
    return [
        moment(trace.start_ns),
        trace.trace_id[:SHOWN_ID],
        trace.name or "-",
        trace.attributes.user_id or "-",
        trace.attributes.session_id or "-",
        "running" if trace.running else duration(trace.duration_ns),
        f"{trace.observation_count:,}",
        f"{trace.error_count:,}" if trace.error_count else "",
        f"{trace.total_tokens:,}" if trace.total_tokens else "",
        cost(trace.total_cost, known=trace.cost_known),
    ]
