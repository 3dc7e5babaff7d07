"""``tracecore prompts publish``, ``promote``, ``rollback``, ``split``, ``unlabel``, ``delete``: what changes a name."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from shlex import quote

import click
import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from tracecore.cli.escaping import visible
from tracecore.cli.options import with_settings
from tracecore.cli.output import note, print_json, print_lines
from tracecore.cli.prompt_inputs import content_in, json_in, shares_in, text_in, variables_in, version_in
from tracecore.cli.prompt_stores import alter, author, summary_of
from tracecore.cli.prompt_words import shares_in_words
from tracecore.cli.reading import Settings
from tracecore.composition import mistaken, texts_of
from tracecore.errors import BackendRejected, Conflict
from tracecore.prompts import (
    LATEST,
    PRODUCTION,
    LabelChange,
    LabelMove,
    NewPrompt,
    Prompt,
    PromptStore,
    PromptType,
    Rollback,
    Split,
    Unlabel,
)
from tracecore.services.prompt_outcomes import found_or_none

__all__ = ["delete", "promote", "publish", "rollback", "split", "unlabel"]

_VERSION = click.IntRange(1)
_INSERTION = "@@@langfusePrompt:name=NAME|label=production@@@"
_TRIES = 20
"""How often publishing is begun anew because somebody else was first."""


class _Moved(Struct, frozen=True):
    """Say where a label was, and where it is."""

    name: str
    label: str
    before: int | None
    version: int | None


@click.command(short_help="Publish the next version of a prompt, or the first of a new one.")
@click.argument("name", metavar="NAME")
@click.argument("file", metavar="[FILE|-]", required=False)
@click.option("--type", "kind", type=click.Choice(["text", "chat"]), help="What it is. [as it was, or text]")
@click.option("--label", "labels", multiple=True, metavar="LABEL", help="Put this label on it; repeat for several.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Give the name this tag in place of those it has.")
@click.option("--message", metavar="TEXT", help="Why it changed.")
@click.option("--config", metavar="FILE", help="JSON that is kept with it, such as a model. [as it was]")
@click.option("--variables", metavar="FILE", help="JSON or TOML that declares its variables. [as it was]")
@click.option("--after", type=click.IntRange(0), metavar="N", help="Refuse it if there is a newer version than this.")
@with_settings
def publish(
    settings: Settings,
    name: str,
    file: str | None,
    *,
    kind: PromptType | None,
    labels: tuple[str, ...],
    tags: tuple[str, ...],
    message: str | None,
    config: str | None,
    variables: str | None,
    after: int | None,
) -> None:
    """Publish the next version of a prompt, or the first of a new one.

    FILE has its text, or for a chat JSON messages or sections that begin with lines such as `+++ user`; `-` is stdin.
    One line break at its end is not part of it. What is not said of the configuration and the variables stays as it is
    in the newest version.
    """
    text = text_in(file)
    given_config = None if config is None else json_in(config)
    given_variables = None if variables is None else variables_in(variables)

    def after_version(before: Prompt | None) -> NewPrompt:
        type_ = kind or ("text" if before is None else before.type)
        kept_config = Raw(b"{}") if before is None else before.config
        kept_variables = None if before is None else before.variables
        return NewPrompt(
            name=name, type=type_, prompt=content_in(text, type_, file or "-"), labels=labels, tags=tags or None,
            config=kept_config if given_config is None else given_config, commit_message=message, author=author(),
            variables=kept_variables if given_variables is None else given_variables, after=after,
        )  # fmt: skip

    made = alter(settings, lambda store: _published(store, settings.project, name, after_version), creates=True)
    if settings.as_json:
        print_json(made)
        return
    labelled = [label for label in made.labels if label != LATEST]
    print_lines([visible(f"published {name!r} version {made.version}" + "".join(f", {label}" for label in labelled))])
    if (found := mistaken(texts_of(msgspec.json.decode(made.prompt)))) is not None:
        note(f"{visible(repr(found))} is no insertion, and stays as it is: {_INSERTION} is one")
    if PRODUCTION not in labelled:
        note(f"production is not on it: `tracecore prompts promote {quote(name)} {made.version}` puts it there")


@click.command(short_help="Put a label on a version: what services get from now on.")
@click.argument("name", metavar="NAME")
@click.argument("version", metavar="VERSION|LABEL")
@click.option("--label", default=PRODUCTION, show_default=True, metavar="LABEL", help="The label that moves.")
@click.option("--reason", metavar="TEXT", help="Why; it is kept in the history.")
@click.option("--expected", type=click.IntRange(0), metavar="N", help="Refuse it unless the label is on this version.")
@with_settings
def promote(
    settings: Settings, name: str, version: str, *, label: str, reason: str | None, expected: int | None
) -> None:
    """Put a label on a version: services that ask for the label get it from now on.

    The version is a number, or the one that another label is on: `tracecore prompts promote greeting staging`.
    """

    async def change(store: PromptStore) -> LabelChange:
        number = await version_in(store, settings.project, name, version)
        return LabelMove(version=number, labels=(label,), reason=reason, expected=expected)

    _say_moved(settings, _moved(settings, name, label, change))


@click.command(short_help="Put a label back on the version that it was on before.")
@click.argument("name", metavar="NAME")
@click.option("--label", default=PRODUCTION, show_default=True, metavar="LABEL", help="The label that goes back.")
@click.option("--to", type=_VERSION, metavar="N", help="To this version. [the one before]")
@click.option("--reason", metavar="TEXT", help="Why; it is kept in the history.")
@click.option("--expected", type=_VERSION, metavar="N", help="Refuse it unless the label is on this version.")
@with_settings
def rollback(
    settings: Settings, name: str, *, label: str, to: int | None, reason: str | None, expected: int | None
) -> None:
    """Put a label back on the version that it was on before."""
    change = Rollback(label=label, to=to, reason=reason, expected=expected)
    _say_moved(settings, _moved(settings, name, label, change))


@click.command(short_help="Split a label between versions, or make it whole again.")
@click.argument("name", metavar="NAME")
@click.argument("label", metavar="LABEL")
@click.argument("shares", metavar="[VERSION=WEIGHT]...", nargs=-1)
@click.option("--whole", is_flag=True, help="Give everybody the version that the label is on.")
@click.option("--reason", metavar="TEXT", help="Why; it is kept in the history.")
@with_settings
def split(
    settings: Settings, name: str, label: str, shares: tuple[str, ...], *, whole: bool, reason: str | None
) -> None:
    """Split a label between versions: `tracecore prompts split greeting production 3=90 4=10`.

    A user or session always gets the same version. The one that the label is on must be among them.
    """
    if whole == bool(shares):
        raise click.UsageError("name at least two versions with their weights, such as 3=90 4=10, or --whole")
    found = shares_in(shares)
    moved = _moved(settings, name, label, Split(label=label, shares=found, reason=reason))
    if settings.as_json:
        print_json({"name": name, "label": label, "version": moved.version, "shares": found})
    elif whole:
        print_lines([visible(f"{label} of {name!r} is whole again: version {moved.version}")])
    else:
        print_lines([visible(f"{label} of {name!r} is split: {shares_in_words(found)}")])


@click.command(short_help="Take a label off.")
@click.argument("name", metavar="NAME")
@click.argument("label", metavar="LABEL")
@click.option("--reason", metavar="TEXT", help="Why; it is kept in the history.")
@with_settings
def unlabel(settings: Settings, name: str, label: str, *, reason: str | None) -> None:
    """Take a label off: services that ask for it get what they know, or an error."""
    moved = _moved(settings, name, label, Unlabel(label=label, reason=reason))
    if settings.as_json:
        print_json(replace(moved, version=None))
    else:
        print_lines([visible(f"took {label} of {name!r} off version {moved.version}")])


@click.command(short_help="Delete one version of a prompt, or all of it.")
@click.argument("name", metavar="NAME")
@click.option("--version", type=_VERSION, metavar="N", help="Only this version.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_settings
def delete(settings: Settings, name: str, *, version: int | None, yes: bool) -> None:
    """Delete one version of a prompt, or all of it; refused while another prompt inserts it."""
    what = f"prompt {name!r} with every version" if version is None else f"version {version} of prompt {name!r}"
    if not yes:
        if settings.as_json or not sys.stdin.isatty():
            raise click.UsageError(f"nobody is there to be asked: say --yes to delete {visible(what)}")
        click.confirm(f"Delete {visible(what)}?", abort=True, err=True)

    async def erase(store: PromptStore) -> tuple[int, ...]:
        versions = (await summary_of(store, settings.project, name)).versions
        await store.delete(settings.project, name, version=version, author=author())
        return versions if version is None else (version,)

    gone = alter(settings, erase)
    if settings.as_json:
        print_json({"name": name, "versions": gone})
    else:
        print_lines([visible(f"{what} is deleted")])


async def _published(
    store: PromptStore, project: str, name: str, new_after: Callable[[Prompt | None], NewPrompt]
) -> Prompt:
    """Publish what follows from the newest version, anew where somebody publishes another one meanwhile."""
    for _ in range(_TRIES):
        before = await found_or_none(store, project, name, label=LATEST)
        new = new_after(before)
        is_asked = new.after is not None
        known = 0 if before is None else before.version
        try:
            return await store.publish(project, new if is_asked else replace(new, after=known))
        except BackendRejected:
            if is_asked:
                raise
            return await store.publish(project, new)  # a server of Langfuse cannot be told what is known
        except Conflict:
            if is_asked:
                raise
    raise Conflict(f"others publish {name!r} again and again; try it later")


def _moved(
    settings: Settings, name: str, label: str, change: LabelChange | Callable[[PromptStore], Awaitable[LabelChange]]
) -> _Moved:
    """Change a label, and return where it was and where it is."""

    async def work(store: PromptStore) -> _Moved:
        held = (await summary_of(store, settings.project, name)).labels.get(label)
        known = await change(store) if callable(change) else change
        now = await store.change(settings.project, name, known, author=author())
        return _Moved(name, label, None if held is None else held.version, now.version)

    return alter(settings, work)


def _say_moved(settings: Settings, moved: _Moved) -> None:
    if settings.as_json:
        print_json(moved)
    elif moved.before == moved.version:
        print_lines([visible(f"{moved.label} of {moved.name!r} is on version {moved.version} already")])
    else:
        start = "" if moved.before is None else f"from version {moved.before} "
        print_lines([visible(f"{moved.label} of {moved.name!r}: {start}to version {moved.version}")])
