"""``tracecore show``: one trace as a tree and waterfall."""

from __future__ import annotations

import click

from tracecore.backend import Backend, ScoreQuery
from tracecore.cli.escaping import visible
from tracecore.cli.figures import cost, count, duration, moment
from tracecore.cli.identify import find_trace
from tracecore.cli.judgements import judgements
from tracecore.cli.options import with_settings
from tracecore.cli.output import print_json, print_lines, terminal_width
from tracecore.cli.plain_table import width
from tracecore.cli.reading import Settings, observations_of, read, scores_of, traces_of
from tracecore.cli.waterfall import waterfall
from tracecore.records import Observation, Score, Trace

__all__ = ["show"]


@click.command(short_help="Show one trace as a tree and a waterfall.")
@click.argument("trace_id", metavar="ID")
@click.option("--full", is_flag=True, help="Write out every payload and stack.")
@with_settings
def show(settings: Settings, trace_id: str, *, full: bool) -> None:
    """Show one trace: what happened when, how long it took, what it cost, and how it was judged.

    ID is a trace id or the beginning of one.
    """

    async def find(backend: Backend) -> tuple[Trace, list[Observation], list[Score]]:
        trace = await find_trace(traces_of(backend), settings.project, trace_id)
        found = scores_of(backend, settings.project, ScoreQuery(trace_id=trace.trace_id))
        scores = sorted([score async for score in found], key=lambda score: (score.timestamp_ns, score.score_id))
        return trace, await observations_of(backend).tree(settings.project, trace.trace_id), scores

    trace, observations, scores = read(settings, find)
    if settings.as_json:
        print_json({"trace": trace, "observations": observations, "scores": scores})
        return
    columns = terminal_width()
    print_lines([*heading(trace, columns=columns), "", *waterfall(observations, columns=columns, full=full)])
    print_lines(judgements(scores, observations, columns=columns, full=full))


def heading(trace: Trace, *, columns: int) -> list[str]:
    """Return the lines that say what is known of a trace as a whole, each fact on one line where it fits."""
    said = trace.attributes
    facts = [
        duration(trace.duration_ns) + (" so far" if trace.running else ""),
        count(trace.observation_count, "span"),
        count(trace.error_count, "error") if trace.error_count else "",
        f"{trace.running:,} running" if trace.running else "",
        f"{trace.input_tokens:,}+{trace.output_tokens:,} tokens" if trace.total_tokens else "",
        cost(trace.total_cost, known=trace.cost_known) if trace.total_tokens or trace.total_cost is not None else "",
    ]
    about = [
        f"{name} {visible(value)}"
        for name, value in (
            ("user", said.user_id),
            ("session", said.session_id),
            ("tags", ", ".join(said.tags)),
            ("environment", said.environment),
            ("release", said.release),
            ("version", said.version),
            ("metadata", bytes(said.metadata).decode("utf-8", "replace")),
        )
        if value
    ]
    return [
        f"{visible(trace.name or '(no name)')}  {trace.trace_id}",
        *_flowed([moment(trace.start_ns), *filter(None, facts)], columns),
        *_flowed(about, columns),
    ]


def _flowed(facts: list[str], columns: int) -> list[str]:
    """Return facts on as few lines as have room for them."""
    lines: list[str] = []
    for fact in facts:
        longer = f"{lines[-1]}  {fact}" if lines else ""
        if longer and width(longer) <= columns:
            lines[-1] = longer
        else:
            lines.append(fact)
    return lines
