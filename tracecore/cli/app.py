"""The click application: every command by its name."""

from __future__ import annotations

from typing import Any

import click

from tracecore.cli.commands.copy import copy
from tracecore.cli.commands.doctor import doctor
from tracecore.cli.commands.export import export
from tracecore.cli.commands.key import key
from tracecore.cli.commands.migrate import migrate
from tracecore.cli.commands.project import project
from tracecore.cli.commands.prompts import prompts
from tracecore.cli.commands.recover import recover
from tracecore.cli.commands.run import run
from tracecore.cli.commands.serve import serve
from tracecore.cli.commands.sessions import sessions
from tracecore.cli.commands.show import show
from tracecore.cli.commands.sql import sql
from tracecore.cli.commands.stats import stats
from tracecore.cli.commands.tail import tail
from tracecore.cli.commands.traces import traces

__all__ = ["ReaderLeft", "app"]


class ReaderLeft(Exception):
    """Report that nobody reads stdout any more; click would end with 1 over a plain ``BrokenPipeError``."""


class _Commands(click.Group):
    """Run a command, and tell a reader that left from a failure."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was named."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ReaderLeft from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tracecore", message="%(package)s %(version)s")
def app() -> None:
    """See what was recorded: traces, sessions, tokens, cost, and which step was slow."""


_COMMANDS = (
    traces, show, sessions, tail, sql, stats, export, copy, migrate, doctor, recover, run, serve, project, key, prompts,
)  # fmt: skip
for _command in _COMMANDS:
    app.add_command(_command)
