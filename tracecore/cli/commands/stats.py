"""``tracecore stats``: what a project amounts to, per model and per step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from msgspec.structs import replace

from tracecore.backend import Backend, ObservationQuery, TraceQuery
from tracecore.cli.escaping import visible
from tracecore.cli.figures import bytes_size, cost, count, duration
from tracecore.cli.moments import MOMENT
from tracecore.cli.options import with_settings
from tracecore.cli.output import Column, print_json, print_lines, print_table
from tracecore.cli.reading import Settings, observations_of, pages, read, traces_of
from tracecore.cli.summary import ModelUse, Step, Summary

__all__ = ["stats"]

_PAGE = 1000
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


@click.command()
@click.option("--since", "since_ns", type=MOMENT, metavar="TIME", help="Started at or after: 15m, 2h, 3d, or a date.")
@click.option("--until", "until_ns", type=MOMENT, metavar="TIME", help="Started before.")
@click.option("--steps", type=click.IntRange(1, 1000), default=10, show_default=True, help="How many slow steps.")
@with_settings
def stats(settings: Settings, *, since_ns: int | None, until_ns: int | None, steps: int) -> None:
    """Sum up a project: traces, errors, tokens, cost per model, slowest steps, size of the file."""
    project = settings.project
    query = ObservationQuery(limit=_PAGE, since_ns=since_ns, until_ns=until_ns)
    trace_query = TraceQuery(limit=_PAGE, since_ns=since_ns, until_ns=until_ns)

    async def add_up(backend: Backend) -> tuple[int, Summary, str]:
        summary = Summary()
        spans, traces = observations_of(backend), traces_of(backend)
        async for span in pages(lambda cursor: spans.find(project, replace(query, cursor=cursor))):
            summary.add(span)
        number = 0
        async for _ in pages(lambda cursor: traces.find(project, replace(trace_query, cursor=cursor))):
            number += 1
        return number, summary, backend.location

    traces, summary, location = read(settings, add_up)
    if settings.as_json:
        print_json(_as_json(traces, summary, location, summary.slowest(steps)))
    else:
        _print(traces, summary, location, summary.slowest(steps))


def _print(traces: int, summary: Summary, location: str, steps: list[Step]) -> None:
    used = summary.all_models
    size = _size(location)
    print_lines(
        [
            f"{count(traces, 'trace')}, {count(summary.observations, 'span')}, {count(summary.errors, 'error')}"
            + (f", {summary.running:,} running" if summary.running else ""),
            f"{used.input_tokens:,}+{used.output_tokens:,} tokens, cost "
            + cost(used.total_cost, known=not used.calls_without_cost),
            visible(location) + (f", {bytes_size(size)}" if size is not None else ""),
        ]
    )
    if summary.models:
        print_lines([""])
        print_table(_MODEL_COLUMNS, [_model_row(name, use) for name, use in _by_cost(summary)])
    if steps:
        print_lines([""])
        print_table(_STEP_COLUMNS, [_step_row(step) for step in steps])


def _by_cost(summary: Summary) -> list[tuple[str, ModelUse]]:
    return sorted(summary.models.items(), key=lambda entry: (-(entry[1].total_cost or 0.0), -entry[1].calls, entry[0]))


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


def _as_json(traces: int, summary: Summary, location: str, steps: list[Step]) -> dict[str, Any]:
    return {
        "traces": traces,
        "observations": summary.observations,
        "errors": summary.errors,
        "running": summary.running,
        "by_type": summary.by_type,
        "usage": summary.all_models,
        "models": dict(_by_cost(summary)),
        "slowest_steps": steps,
        "location": location,
        "bytes": _size(location),
    }


def _size(location: str) -> int | None:
    """Return the bytes of the file the traces are in and of the log beside it; None when it is no file."""
    files = [path for path in (Path(location), Path(f"{location}-wal")) if path.is_file()]
    return sum(path.stat().st_size for path in files) if files else None
