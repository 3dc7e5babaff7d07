"""``tracecore prompts pull``, ``push`` and ``stub``: prompts as files of a repository."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from tracecore.cli.figures import count
from tracecore.cli.options import with_settings
from tracecore.cli.output import note, print_json, print_lines
from tracecore.cli.prompt_stores import alter, ask, author
from tracecore.cli.prompt_words import lines_of_outcomes, print_text
from tracecore.cli.reading import Settings
from tracecore.errors import ConfigError
from tracecore.prompts import PRODUCTION, Prompt, PromptStore
from tracecore.services.prompt_folders import PromptFolder, read_whole, write_whole
from tracecore.services.prompt_outcomes import Action, Outcome, selected
from tracecore.services.prompt_pulling import pull as pulled
from tracecore.services.prompt_pushing import Publishing
from tracecore.services.prompt_pushing import push as pushed
from tracecore.services.prompt_stubs import stub as written

__all__ = ["pull", "push", "stub"]

_STDOUT = "-"
_LEFT = frozenset[Action]({"unchanged", "behind", "noted"})
_CANNOT_CHECK = "leave 'after' out"
"""What the store of a server says that cannot publish on condition."""


@click.command(short_help="Write prompts into files, one a prompt.")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--into", "folder", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Where to.")
@click.option("--label", default=PRODUCTION, show_default=True, metavar="LABEL", help="The versions that have it.")
@click.option("--merge", is_flag=True, help="Write a conflict into the file, between markers as git has them.")
@with_settings
def pull(settings: Settings, names: tuple[str, ...], *, folder: Path, label: str, merge: bool) -> int:
    """Write prompts into files, one a prompt: DIR/support/greeting.md is support/greeting.

    NAME is that of a prompt, or of a folder with a slash behind; all by default. What changed in the store alone is
    written; what changed in the file alone stays; what changed in both is merged by lines, and where they are the same
    lines the file is left alone without --merge. No file is removed. Exit code 1 where somebody has to decide.
    """

    async def work(store: PromptStore) -> list[Outcome]:
        return await pulled(store, settings.project, PromptFolder(folder), names=names, label=label, mark=merge)

    outcomes = ask(settings, work)
    if not outcomes and not settings.as_json:
        _say_none(settings, label)
        return 0
    return _say(settings, outcomes)


@click.command(short_help="Publish what changed in files of prompts.")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR")
@click.option("--label", "labels", multiple=True, metavar="LABEL", help="Put this label on what is published.")
@click.option("--message", metavar="TEXT", help="Why it changed. [what each file says]")
@click.option("--dry-run", is_flag=True, help="Only say what would be published.")
@click.option("--new", "moves", is_flag=True, help="Files are of another store: publish what this one has not.")
@click.option("--unchecked", is_flag=True, help="For a server of Langfuse, which cannot tell whether one was faster.")
@with_settings
def push(
    settings: Settings,
    folder: Path,
    *,
    labels: tuple[str, ...],
    message: str | None,
    dry_run: bool,
    moves: bool,
    unchecked: bool,
) -> int:
    """Publish what changed in the files of DIR, and write the new versions into them.

    Nothing is published where one file cannot be: such as one whose prompt somebody else has published since it was
    pulled, which `tracecore prompts pull --into DIR --label latest` merges. Exit code 1 where something was refused.
    """
    how = Publishing(labels, message, author(), dry_run=dry_run, checked=not unchecked, moves=moves)

    async def work(store: PromptStore) -> list[Outcome]:
        return await pushed(store, settings.project, PromptFolder(folder), how)

    outcomes = ask(settings, work) if dry_run else alter(settings, work, creates=True)
    if not outcomes and not settings.as_json:
        note(f"no file in {folder} ends with .md: `tracecore prompts pull --into DIR` writes some")
        return 0
    code = _say(settings, outcomes)
    if labels and not settings.as_json and all(one.action in _LEFT for one in outcomes):
        note(f"nothing was published to put {', '.join(labels)} on; `tracecore prompts promote` moves a label")
    if not settings.as_json and any(one.action == "to publish" for one in outcomes):
        note("nothing was published" + (", for something was refused" if code else ""))
    if not unchecked and any(_CANNOT_CHECK in one.reason for one in outcomes):
        note("with --unchecked it is published without asking whether somebody was faster")
    return code


@click.command(short_help="Write prompts as a typed Python module.")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("-o", "--output", default=_STDOUT, metavar="FILE", help="Where to. [stdout]")
@click.option("--label", default=PRODUCTION, show_default=True, metavar="LABEL", help="The versions that have it.")
@with_settings
def stub(settings: Settings, names: tuple[str, ...], *, output: str, label: str) -> None:
    """Write prompts as a typed Python module: a type checker refuses a call that lacks a variable.

    NAME is that of a prompt, or of a folder with a slash behind; all by default.
    """

    async def work(store: PromptStore) -> list[Prompt]:
        found = selected(store, settings.project, names, label)
        return [await store.get(settings.project, one.name, label=label) async for one in found]

    found = ask(settings, work)
    module = written(found)
    if output == _STDOUT and not settings.as_json:
        print_text(module)
        return
    if output != _STDOUT:
        _write(Path(output), module)
    if not found and not settings.as_json:
        _say_none(settings, label)
    if settings.as_json:
        print_json({"prompts": [[one.name, one.version] for one in found], "module": module})
    else:
        note(f"{count(len(found), 'prompt')} in {output}")


def _write(path: Path, module: str) -> None:
    """Write a module, but never over a file that is none."""
    if path.is_dir():
        raise ConfigError("output", str(path), "the command line", "a file, and not a folder")
    known = read_whole(path)
    first = module.splitlines()[0].encode()
    if known is not None and not known.startswith(first):
        raise ConfigError("output", str(path), "the command line", "a new file, or one of this command")
    write_whole(path, module.encode())


def _say_none(settings: Settings, label: str) -> None:
    note(f"no prompt of project {settings.project!r} has the label {label!r}: --label names another, latest all have")


def _say(settings: Settings, outcomes: Sequence[Outcome]) -> int:
    if settings.as_json:
        print_json({"files": outcomes})
    else:
        print_lines(lines_of_outcomes(outcomes))
    return int(any(one.is_trouble for one in outcomes))
