"""``tracecore tail``: watch what is being recorded, running spans included."""

from __future__ import annotations

import sys
from typing import Final

import anyio
import click

from tracecore.backend import Backend
from tracecore.cli.commands.traces import SHOWN_ID
from tracecore.cli.escaping import visible
from tracecore.cli.figures import cost, duration, moment
from tracecore.cli.follow import Follower, follow
from tracecore.cli.moments import DURATION
from tracecore.cli.options import with_settings
from tracecore.cli.output import note, print_json, print_lines
from tracecore.cli.plain_table import cut, pad
from tracecore.cli.reading import Settings, observations_of, read
from tracecore.cli.waterfall import troubles
from tracecore.clock import wall_ns
from tracecore.records import Generation, Observation, usage_totals

__all__ = ["tail"]

_SLACK_NS: Final = 8 * 10**9
"""What a busy pump and a slow disk may take on top of the time after which a running span is written."""


@click.command(short_help="Watch spans as they are recorded.")
@click.option(
    "--interval",
    "interval_ns",
    type=DURATION,
    default="500ms",
    show_default=True,
    metavar="TIME",
    help="Time between two looks: 250ms, 2s.",
)
@click.option("--for", "for_ns", type=DURATION, metavar="TIME", help="Stop after this time: 30s, 5m.")
@click.option("--once", is_flag=True, help="Look once, and stop.")
@click.option(
    "--back",
    "back_ns",
    type=DURATION,
    metavar="TIME",
    help="How far each look reaches back. [default: pending_after_ms and 8 s]",
)
@with_settings
def tail(settings: Settings, *, interval_ns: int, for_ns: int | None, once: bool, back_ns: int | None) -> None:
    """Watch spans as they are recorded: running ones first, each again when it ends."""
    window_ns = back_ns or settings.config.pending_after_ms * 1_000_000 + _SLACK_NS
    lasting_ns = 0 if once else for_ns
    until_ns = None if lasting_ns is None else wall_ns() + lasting_ns
    show = _json_line if settings.as_json else _text_line

    async def watch(backend: Backend) -> bool:
        found = False
        follower = Follower(observations_of(backend), settings.project, window_ns=window_ns)
        async for span in follow(
            follower, clock=wall_ns, sleep=lambda: anyio.sleep(interval_ns / 1e9), until_ns=until_ns
        ):
            show(span)
            sys.stdout.flush()
            found = True
        return found

    found = read(settings, watch)
    if once and not found:
        note(f"no span of project {settings.project!r} began in the last {duration(window_ns)}; --back looks further")


def _json_line(span: Observation) -> None:
    print_json(span)


def _text_line(span: Observation) -> None:
    print_lines([line_of(span)])


def line_of(span: Observation) -> str:
    """Return one line about an observation."""
    state = "running" if span.status == "running" else duration(span.duration_ns)
    parts = [
        moment(span.start_ns)[-8:],
        span.trace_id[:SHOWN_ID],
        pad(state, 8, align="right"),
        pad(span.status if span.status != "running" else "", 9),
        pad("" if span.type == "span" else span.type, 10),
        pad(cut(visible(span.name), 32), 32),
        cut(_facts(span), 80),
    ]
    return "  ".join(parts).rstrip()


def _facts(span: Observation) -> str:
    facts: list[str] = []
    if span.trace.user_id:
        facts.append(f"user {span.trace.user_id}")
    if isinstance(span, Generation):
        facts.append(span.model or "")
        read_units, written, total = usage_totals(span.usage_details)
        facts.append(f"{read_units:,}+{written:,} tok" if total else "")
        facts.append(cost(span.total_cost) if span.total_cost is not None else "")
    return "  ".join(visible(fact) for fact in [*facts, *troubles(span)] if fact)
