"""``tracecore prompts``: see, compare and publish prompts, move their labels, keep them as files of a repository."""

from __future__ import annotations

import click

from tracecore.cli.commands.prompts_changing import delete, promote, publish, rollback, split, unlabel
from tracecore.cli.commands.prompts_files import pull, push, stub
from tracecore.cli.commands.prompts_metrics import metrics
from tracecore.cli.commands.prompts_reading import diff, history, list_, show

__all__ = ["prompts"]


@click.group(short_help="See, compare, publish and promote prompts, and keep them as files.")
def prompts() -> None:
    """See, compare, publish and promote prompts, and keep them as files of a repository.

    A version never changes; labels move between versions, and a service gets the one that is labelled production. They
    are those that a service finds: where the setting `prompts` says, or else in the backend.
    """


_COMMANDS = (
    list_, show, diff, history, metrics, publish, promote, rollback, split, unlabel, delete, pull, push, stub,
)  # fmt: skip
for _command in _COMMANDS:
    prompts.add_command(_command)
