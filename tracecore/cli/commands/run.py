"""``tracecore run``, as the list of commands shows it; it works without click, in :mod:`tracecore.cli.run`."""

from __future__ import annotations

import click

from tracecore.cli.run import USAGE

__all__ = ["run"]


@click.command(short_help="Run a Python program, traced.", add_help_option=False)
def run() -> None:
    """Show how to use it: the command itself is handled before click is imported."""
    click.echo(USAGE)
