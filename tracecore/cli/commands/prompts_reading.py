"""``tracecore prompts list``, ``show``, ``diff`` and ``history``: what looks at prompts and changes nothing."""

from __future__ import annotations

import click
import msgspec

from tracecore.cli.figures import moment
from tracecore.cli.options import with_settings
from tracecore.cli.output import Column, note, print_json, print_lines, print_table
from tracecore.cli.prompt_stores import ask
from tracecore.cli.prompt_words import held_in_words, lines_of_diff, lines_of_prompt, move_in_words, print_text
from tracecore.cli.reading import Settings
from tracecore.prompts import LATEST, PRODUCTION, Prompt, PromptHistory, PromptQuery, PromptStore, PromptSummary
from tracecore.services.prompt_diffs import diff as compared
from tracecore.services.prompt_outcomes import summaries

__all__ = ["diff", "history", "list_", "show"]

_MOST = 1000
_NAMES = (
    Column("prompt", limit=60),
    Column("type", firm=True),
    Column("newest", "right"),
    Column("production", firm=True),
    Column("other labels", limit=60),
    Column("tags"),
    Column("changed", firm=True),
)
_VERSIONS = (
    Column("version", "right"),
    Column("labels"),
    Column("published", firm=True),
    Column("by", limit=24),
    Column("message", limit=80),
)
_MOVES = (
    Column("when", firm=True),
    Column("what", limit=80, firm=True),
    Column("by", limit=24),
    Column("why", limit=80),
)


@click.command(name="list", short_help="List prompts, with the versions that their labels are on.")
@click.option("--folder", metavar="NAME", help="Only prompts in this folder, and in those inside it.")
@click.option("--label", metavar="LABEL", help="Only prompts that have this label.")
@click.option("--tag", metavar="TAG", help="Only prompts with this tag.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=_MOST, show_default=True, help="How many.")
@with_settings
def list_(settings: Settings, *, folder: str | None, label: str | None, tag: str | None, limit: int) -> None:
    """List prompts, with the versions that their labels are on; the one that changed last comes first."""
    query = PromptQuery(folder=folder, label=label, tag=tag)

    async def find(store: PromptStore) -> list[PromptSummary]:
        found: list[PromptSummary] = []
        async for summary in summaries(store, settings.project, query):
            found.append(summary)
            if len(found) > limit:
                break
        return found

    found = ask(settings, find)
    shown = found[:limit]
    if settings.as_json:
        print_json({"prompts": shown, "more": len(found) > limit})
        return
    if not found:
        note(f"no prompt of project {settings.project!r} matches; `tracecore prompts publish NAME FILE` makes one")
        return
    print_table(_NAMES, [_name_row(one) for one in shown])
    if len(found) > limit:
        note("there are more: --limit")


@click.command(short_help="Show a version of a prompt, as a service gets it.")
@click.argument("name", metavar="NAME")
@click.option("--version", type=click.IntRange(1), metavar="N", help="This version.")
@click.option("--label", metavar="LABEL", help="The version that has this label. [production, or else the newest]")
@click.option("--raw", is_flag=True, help="Only the text as it was published: nothing inserted, nothing around it.")
@with_settings
def show(settings: Settings, name: str, *, version: int | None, label: str | None, raw: bool) -> None:
    """Show a version of a prompt with all that is known of it, and with the prompts inserted that it names."""
    if version is not None and label is not None:
        raise click.UsageError("name a version or a label, not both")

    async def find(store: PromptStore) -> Prompt:
        return await _one(store, settings.project, name, version, label, resolve=not raw)

    prompt = ask(settings, find)
    if settings.as_json:
        print_json(prompt)
    elif not raw:
        print_lines(lines_of_prompt(prompt))
    elif prompt.type == "chat":
        print_json(msgspec.json.format(bytes(prompt.prompt), indent=2))
    else:
        print_text(msgspec.json.decode(prompt.prompt, type=str))


@click.command(short_help="Show what differs between two versions of a prompt.")
@click.argument("name", metavar="NAME")
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@with_settings
def diff(settings: Settings, name: str, before: str, after: str) -> None:
    """Show what differs between two versions of a prompt: A and B are numbers or labels."""

    async def find(store: PromptStore) -> tuple[Prompt, Prompt]:
        return await _named(store, settings.project, name, before), await _named(store, settings.project, name, after)

    found = compared(*ask(settings, find))
    if settings.as_json:
        print_json(found)
    else:
        print_lines(lines_of_diff(found))


@click.command(short_help="Show the versions of a prompt, and who moved its labels when and why.")
@click.argument("name", metavar="NAME")
@click.option("--limit", type=click.IntRange(1, _MOST), default=20, show_default=True, help="How many of each.")
@with_settings
def history(settings: Settings, name: str, *, limit: int) -> None:
    """Show the versions of a prompt, and who moved its labels when and why; the newest first."""

    async def find(store: PromptStore) -> PromptHistory:
        return await store.history(settings.project, name, limit=limit)

    found = ask(settings, find)
    if settings.as_json:
        print_json(found)
        return
    if found.versions:
        print_table(_VERSIONS, [_version_row(one) for one in found.versions])
        print_lines([""])
    print_table(_MOVES, [[moment(one.at_ns), move_in_words(one), one.by, one.reason or ""] for one in found.moves])


async def _one(
    store: PromptStore, project: str, name: str, version: int | None, label: str | None, *, resolve: bool
) -> Prompt:
    """Return the version that is asked for; the newest where nothing is, and no version is in production."""
    if version is None and label is None:
        async for summary in summaries(store, project, PromptQuery(name=name)):
            label = None if PRODUCTION in summary.labels else LATEST
    return await store.get(project, name, version=version, label=label, resolve=resolve)


async def _named(store: PromptStore, project: str, name: str, which: str) -> Prompt:
    """Return a version by what was typed for it."""
    if which.isascii() and which.isdigit():
        return await store.get(project, name, version=int(which), resolve=False)
    return await store.get(project, name, label=which, resolve=False)


def _name_row(one: PromptSummary) -> list[str]:
    newest = str(one.versions[-1]) if one.versions else "-"
    held = one.labels.get(PRODUCTION)
    production = "-" if held is None else f"{held.version}{', split' if held.shares else ''}"
    others = {label: held for label, held in one.labels.items() if label not in {LATEST, PRODUCTION}}
    tags = ", ".join(one.tags)
    return [one.name, one.type, newest, production, held_in_words(others), tags, moment(one.updated_ns)]


def _version_row(one: Prompt) -> list[str]:
    return [
        str(one.version), ", ".join(one.labels), moment(one.created_ns), one.created_by, one.commit_message or "",
    ]  # fmt: skip
