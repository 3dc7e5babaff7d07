"""``tracecore prompts metrics``: the versions of a prompt beside each other: time, tokens, cost, errors, scores."""

from __future__ import annotations

from collections.abc import Sequence

import click

from tracecore.cli.figures import count
from tracecore.cli.moments import MOMENT
from tracecore.cli.options import with_settings
from tracecore.cli.output import note, print_json, print_lines, print_table
from tracecore.cli.prompt_figures import LARGE, LARGE_POINTS, SCORES, USE, production_of, score_rows, use_rows
from tracecore.cli.prompt_stores import ask
from tracecore.cli.reading import Settings, opened
from tracecore.prompts import PromptStore
from tracecore.services.prompt_metrics import VersionMetrics
from tracecore.services.prompt_metrics import metrics as metrics_of

__all__ = ["metrics"]


@click.command(short_help="Compare the versions of a prompt: use, time, tokens, cost, errors, scores.")
@click.argument("name", metavar="NAME")
@click.option("--since", "since_ns", type=MOMENT, metavar="TIME", help="Used at or after: 15m, 2h, 3d, or a date.")
@click.option("--until", "until_ns", type=MOMENT, metavar="TIME", help="Used before.")
@with_settings
def metrics(settings: Settings, name: str, *, since_ns: int | None, until_ns: int | None) -> None:
    """Compare the versions of a prompt: how often they were used, what that took and cost, and how it was judged.

    They are of the generations that carry the prompt's name and version, in the backend where traces are.
    """

    async def find(store: PromptStore) -> list[VersionMetrics]:
        async with opened(settings.config) as backend:
            return await metrics_of(
                backend, settings.project, name, since_ns=since_ns, until_ns=until_ns, prompts=store
            )

    found = ask(settings, find)
    if settings.as_json:
        print_json({"name": name, "versions": found})
    else:
        _print(found)


def _print(found: Sequence[VersionMetrics]) -> None:
    shown = [one for one in found if one.generations or one.scores or one.labels or one.shares]
    base = production_of(shown)
    use, scores = use_rows(shown, base), score_rows(shown, base)
    print_table(USE, use)
    if scores:
        print_lines([""])
        print_table(SCORES, scores)
    if not any(one.generations or one.scores for one in found):
        note("nothing used it in that time: a generation names its prompt by `generation(…, prompt=get_prompt(…))`")
    if len(shown) < len(found):
        note(f"{count(len(found) - len(shown), 'version')} without a use or a label not shown: --json shows all")
    if base is not None and any("[" in cell for row in (*use, *scores) for cell in row):
        note(
            f"in brackets: the difference to version {base.version}, which has production, from {LARGE} % on, of "
            f"shares {LARGE_POINTS} points; by few generations or scores (n) it says little"
        )
