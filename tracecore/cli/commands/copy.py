"""``tracecore copy``: everything of a project from one backend into another."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout

import anyio
import click

from tracecore.cli.copy_run import Request, ran
from tracecore.cli.copy_words import as_json, lines_of
from tracecore.cli.copying import STDOUT
from tracecore.cli.escaping import visible
from tracecore.cli.moments import MOMENT
from tracecore.cli.options import settings_of
from tracecore.cli.output import note, print_json, print_lines
from tracecore.clock import wall_ns

__all__ = ["copy"]


def _moment(ctx: click.Context, param: click.Parameter, text: str | None) -> str | None:
    """Check a time, and keep it as it was typed: that names the copy which goes on."""
    if text is not None:
        MOMENT.convert(text, param, ctx)
    return text


@click.command(
    short_help="Copy a project from one backend into another.",
    epilog="\b\nFor example:\n  tracecore copy sqlite:///tracecore.db 'postgresql://me@db/traces?secret_file=pw'",
)
@click.argument("source_url", metavar="FROM")
@click.argument("target_url", metavar="TO")
@click.option("--project", metavar="NAME", help="The project to copy (TRACECORE_PROJECT); one at a time.")
@click.option("--since", callback=_moment, metavar="TIME", help="Started at or after: 15m, 2h, 3d, or a date.")
@click.option("--until", callback=_moment, metavar="TIME", help="Started before.")
@click.option("--no-ledger", "ledger", flag_value=False, default=True, help="Leave out what became of the records.")
@click.option("--verify", is_flag=True, help="Afterwards compare every record, not only their number.")
@click.option("--restart", is_flag=True, help="Begin anew where an earlier copy was interrupted.")
@click.option(
    "--retries", type=click.IntRange(0, 1000), default=8, show_default=True, help="How often to ask who is away."
)
@click.option("--json", "as_json_", is_flag=True, help="Print JSON.")
def copy(
    source_url: str,
    target_url: str,
    project: str | None,
    since: str | None,
    until: str | None,
    *,
    ledger: bool,
    verify: bool,
    restart: bool,
    retries: int,
    as_json_: bool,
) -> int:
    """Copy everything of a project from one backend into another: spans, session records, scores and the ledger.

    FROM and TO are URLs as in TRACECORE_BACKEND. Identities stay, so that copying again adds only what is new: what is
    recorded while it runs is a matter of the next time. Interrupted, even by kill -9, the same command goes on where it
    stopped. With a time whole traces are copied, by their start. A backend cannot say which projects it has: copy them
    one by one. The records that are copied to stdout: are there, and the answer is on stderr. Exit code 1 if the target
    rejected anything, or has less than the source.
    """
    config = settings_of(None, project, as_json=as_json_).config
    request = Request(
        source_url, target_url, config, since, until, ledger=ledger, restart=restart, verify=verify, retries=retries
    )
    try:
        answer = anyio.run(ran, request, os.environ, wall_ns())
    except KeyboardInterrupt:
        note("interrupted; the same command goes on where it stopped")
        raise
    with redirect_stdout(sys.stderr if answer.job.target == STDOUT else sys.stdout):  # records and words do not mix
        if as_json_:
            print_json(as_json(answer))
        else:
            print_lines([visible(line) for line in lines_of(answer)])
    return 0 if answer.complete else 1
