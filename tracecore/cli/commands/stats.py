"""``tracecore stats``: what a project amounts to, per model and per step, and whether everything was delivered."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import click
from msgspec.structs import asdict, replace

from tracecore.backend import LARGEST_PAGE, Backend, ObservationQuery, QueryConsole, TraceQuery
from tracecore.cli import summary_sql
from tracecore.cli.delivery import Delivery, as_json, delivery_of, print_delivery
from tracecore.cli.escaping import visible
from tracecore.cli.figures import bytes_size, cost, count, duration
from tracecore.cli.moments import MOMENT
from tracecore.cli.options import with_settings
from tracecore.cli.output import Column, print_json, print_lines, print_table
from tracecore.cli.reading import Settings, observations_of, pages, read, traces_of
from tracecore.cli.summary import ModelUse, Step, Summary, Totals

__all__ = ["stats"]

Time: TypeAlias = tuple[int | None, int | None]
"""The start of a stretch of time and its end, in ns; None is open."""
_MODEL_COLUMNS = (
    Column("model"),
    Column("calls", "right"),
    Column("errors", "right"),
    Column("tokens in", "right"),
    Column("tokens out", "right"),
    Column("cost", "right"),
)
_STEP_COLUMNS = (
    Column("step"),
    Column("count", "right"),
    Column("p50", "right"),
    Column("p95", "right"),
    Column("max", "right"),
    Column("total", "right"),
)


@click.command(short_help="Sum up: errors, tokens, cost, the slowest steps.")
@click.option("--since", "since_ns", type=MOMENT, metavar="TIME", help="Started at or after: 15m, 2h, 3d, or a date.")
@click.option("--until", "until_ns", type=MOMENT, metavar="TIME", help="Started before.")
@click.option("--steps", type=click.IntRange(1, 1000), default=10, show_default=True, help="How many slow steps.")
@with_settings
def stats(settings: Settings, *, since_ns: int | None, until_ns: int | None, steps: int) -> None:
    """Sum up a project: traces, errors, tokens, cost per model, slowest steps, size of the file, and delivery.

    Delivery is what became of everything that was recorded, up to now: it is left out with --until.
    """

    async def add_up(backend: Backend) -> tuple[int, Totals, str, Delivery | None]:
        time = (since_ns, until_ns)
        if backend.sql is not None and summary_sql.can_ask(settings.project):
            traces, totals = await _asked(backend.sql, settings.project, time, steps)
        else:
            traces, totals = await _streamed(backend, settings.project, time, steps)
        delivery = None if until_ns is not None else await delivery_of(backend, settings.project, since_ns)
        return traces, totals, backend.location, delivery

    traces, totals, location, delivery = read(settings, add_up)
    if settings.as_json:
        print_json({**_as_json(traces, totals, location), "delivery": as_json(delivery)})
    else:
        _print(traces, totals, location)
        print_delivery(delivery)


async def _asked(console: QueryConsole, project: str, time: Time, steps: int) -> tuple[int, Totals]:
    since_ns, until_ns = time
    traces = await summary_sql.trace_count(console, project, since_ns, until_ns)
    return traces, await summary_sql.totals(console, project, since_ns=since_ns, until_ns=until_ns, steps=steps)


async def _streamed(backend: Backend, project: str, time: Time, steps: int) -> tuple[int, Totals]:
    since_ns, until_ns = time
    query = ObservationQuery(limit=LARGEST_PAGE, since_ns=since_ns, until_ns=until_ns)
    trace_query = TraceQuery(limit=LARGEST_PAGE, since_ns=since_ns, until_ns=until_ns)
    spans, traces = observations_of(backend), traces_of(backend)
    summary = Summary()
    async for span in pages(lambda cursor: spans.find(project, replace(query, cursor=cursor))):
        summary.add(span)
    number = 0
    async for _ in pages(lambda cursor: traces.find(project, replace(trace_query, cursor=cursor))):
        number += 1
    return number, summary.totals(steps=steps)


def _print(traces: int, totals: Totals, location: str) -> None:
    used = totals.usage
    size = _size(location)
    print_lines(
        [
            f"{count(traces, 'trace')}, {count(totals.observations, 'span')}, {count(totals.errors, 'error')}"
            + (f", {totals.running:,} running" if totals.running else ""),
            f"{used.input_tokens:,}+{used.output_tokens:,} tokens, cost "
            + cost(used.total_cost, known=not used.calls_without_cost),
            visible(location) + (f", {bytes_size(size)}" if size is not None else ""),
        ]
    )
    if totals.models:
        print_lines([""])
        print_table(_MODEL_COLUMNS, [_model_row(name, use) for name, use in _by_cost(totals)])
    if totals.slowest_steps:
        print_lines([""])
        print_table(_STEP_COLUMNS, [_step_row(step) for step in totals.slowest_steps])


def _by_cost(totals: Totals) -> list[tuple[str, ModelUse]]:
    return sorted(totals.models.items(), key=lambda entry: (-(entry[1].total_cost or 0.0), -entry[1].calls, entry[0]))


def _model_row(name: str, use: ModelUse) -> list[str]:
    return [
        name,
        f"{use.calls:,}",
        f"{use.errors:,}" if use.errors else "",
        f"{use.input_tokens:,}",
        f"{use.output_tokens:,}",
        cost(use.total_cost, known=not use.calls_without_cost),
    ]


def _step_row(step: Step) -> list[str]:
    return [step.name, f"{step.count:,}", *map(duration, (step.p50_ns, step.p95_ns, step.max_ns, step.total_ns))]


def _as_json(traces: int, totals: Totals, location: str) -> dict[str, Any]:
    answer = {"traces": traces, **asdict(totals), "models": dict(_by_cost(totals))}
    return {**answer, "location": location, "bytes": _size(location)}


def _size(location: str) -> int | None:
    """Return the bytes of the file the traces are in and of the log beside it; None when it is no file."""
    files = [path for path in (Path(location), Path(f"{location}-wal")) if path.is_file()]
    return sum(path.stat().st_size for path in files) if files else None
