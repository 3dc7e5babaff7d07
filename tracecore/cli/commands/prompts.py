"""``tracecore prompts``: see, compare and publish prompts, move their labels, keep them as files of a repository."""

from __future__ import annotations

from importlib import import_module
from typing import Final

import click

__all__ = ["prompts"]

_WHERE: Final = {
    "list": "prompts_reading:list_",
    "show": "prompts_reading:show",
    "diff": "prompts_reading:diff",
    "history": "prompts_reading:history",
    "metrics": "prompts_metrics:metrics",
    "publish": "prompts_changing:publish",
    "promote": "prompts_changing:promote",
    "rollback": "prompts_changing:rollback",
    "split": "prompts_changing:split",
    "unlabel": "prompts_changing:unlabel",
    "protect": "prompts_protecting:protect",
    "delete": "prompts_changing:delete",
    "pull": "prompts_files:pull",
    "push": "prompts_files:push",
    "stub": "prompts_files:stub",
}
"""Module and name of each command, in the order in which people need them."""


class _Commands(click.Group):
    """Import a command when it is asked for: all together take as long as all other commands of the program."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the signature of click
        """Return the names of the commands."""
        return list(_WHERE)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        """Return a command, or None where there is none of that name."""
        module, _, name = _WHERE.get(cmd_name, "").partition(":")
        if not module:
            return None
        found: click.Command = getattr(import_module(f"tracecore.cli.commands.{module}"), name)
        return found


@click.group(cls=_Commands, short_help="See, compare, publish and promote prompts, and keep them as files.")
def prompts() -> None:
    """See, compare, publish and promote prompts, and keep them as files of a repository.

    A version never changes; labels move between versions, and a service gets the one that is labelled production. They
    are those that a service finds: where the setting `prompts` says, or else in the backend.
    """
