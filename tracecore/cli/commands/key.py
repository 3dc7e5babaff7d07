"""``tracecore key``: make, list and revoke the keys by which programs reach a project of a server."""

from __future__ import annotations

from typing import Any, cast, get_args

import click
from msgspec.structs import asdict

from tracecore.backend import Backend
from tracecore.cli.escaping import visible
from tracecore.cli.figures import moment
from tracecore.cli.managing import change, keys_of, projects_of
from tracecore.cli.moments import DURATION
from tracecore.cli.options import with_settings
from tracecore.cli.output import Column, note, print_json, print_lines, print_table
from tracecore.cli.reading import Settings, read
from tracecore.clock import wall_ns
from tracecore.services.access import KeyScope
from tracecore.services.keys import ApiKey, NewKey

__all__ = ["key"]

_COLUMNS = (
    Column("key", firm=True),
    Column("state"),
    Column("scope"),
    Column("note"),
    Column("secret"),
    Column("created", firm=True),
    Column("expires", firm=True),
    Column("last used", firm=True),
)


@click.group(short_help="Make, list and revoke the keys of a server's projects.")
def key() -> None:
    """Make, list and revoke the keys by which programs reach a project of a server.

    They work on the backend of the server, whether it runs or not; what they change holds within some seconds.
    """


@key.command(short_help="Make a key, and show its secret this once.")
@click.option("--note", default="", metavar="TEXT", help="What the key is for.")
@click.option(
    "--scope", type=click.Choice(get_args(KeyScope)), default="all", show_default=True,
    help="Everything in the project, reading it, recording into it, or giving scores alone.",
)  # fmt: skip
@click.option("--expires-in", "lasts_ns", type=DURATION, metavar="TIME", help="How long it holds: 12h, 30d. [for ever]")
@with_settings
def create(settings: Settings, *, note: str, scope: str, lasts_ns: int | None) -> None:
    """Make a key for the project, and show its secret this once: nobody can find it out later."""
    now = wall_ns()

    async def make(backend: Backend) -> NewKey:
        await projects_of(backend).get(settings.project)
        return await keys_of(backend).create(
            settings.project, now_ns=now, note=note, scope=cast("KeyScope", scope),
            expires_ns=None if lasts_ns is None else now + lasts_ns,
        )  # fmt: skip

    made = change(settings, make)
    if settings.as_json:
        print_json({**_shown(made.key, now), "secret_key": made.secret})
    else:
        print_lines([visible(line) for line in _lines(made)])


@key.command(name="list", short_help="List the keys of the project.")
@with_settings
def list_(settings: Settings) -> None:
    """List the keys of the project, the newest first; of a secret only its beginning and its end are known."""

    async def find(backend: Backend) -> list[ApiKey]:
        return await keys_of(backend).of_project(settings.project)

    found, now = read(settings, find), wall_ns()
    if settings.as_json:
        print_json({"project": settings.project, "keys": [_shown(one, now) for one in found]})
    elif not found:
        note(f"project {settings.project!r} has no key; make one with `tracecore key create`")
    else:
        print_table(_COLUMNS, [_row(one, now) for one in found])


@key.command(short_help="Let a key hold no more.")
@click.argument("public_key", metavar="KEY")
@with_settings
def revoke(settings: Settings, public_key: str) -> None:
    """Let a key hold no more, from some seconds from now on; it stays listed. KEY is its public part."""
    now = wall_ns()

    async def end(backend: Backend) -> ApiKey:
        return await keys_of(backend).revoke(settings.project, public_key, now_ns=now)

    revoked = change(settings, end)
    if settings.as_json:
        print_json(_shown(revoked, now))
    else:
        print_lines([visible(f"{revoked.public_key} of project {settings.project!r} is revoked")])


def _shown(one: ApiKey, now: int) -> dict[str, Any]:
    """Return what is known of a key, as JSON has it."""
    return {**{name: value for name, value in asdict(one).items() if name != "secret_hash"}, "state": _state(one, now)}


def _state(one: ApiKey, now: int) -> str:
    if one.revoked_ns is not None:
        return "revoked"
    return "holds" if one.holds(now) else "expired"


def _row(one: ApiKey, now: int) -> list[str]:
    return [
        one.public_key, _state(one, now), one.scope, one.note, one.hint, moment(one.created_ns), moment(one.expires_ns),
        moment(one.last_used_ns),
    ]  # fmt: skip


def _lines(made: NewKey) -> list[str]:
    until = "" if made.key.expires_ns is None else f" It holds until {moment(made.key.expires_ns)}."
    return [
        f"A key for the project {made.key.project!r} was made.{until} Its secret is shown this once:",
        "",
        f"  export LANGFUSE_PUBLIC_KEY={made.key.public_key}",
        f"  export LANGFUSE_SECRET_KEY={made.secret}",
        "",
    ]
