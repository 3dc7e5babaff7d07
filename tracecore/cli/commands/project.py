"""``tracecore project``: make, list, rename and delete the projects of a server."""

from __future__ import annotations

import sys

import click
from anyio import sleep
from msgspec.structs import asdict

from tracecore.backend import Backend, TraceQuery
from tracecore.cli.escaping import visible
from tracecore.cli.figures import moment
from tracecore.cli.managing import change, keys_of, projects_of
from tracecore.cli.options import with_settings
from tracecore.cli.output import Column, note, print_json, print_lines, print_table
from tracecore.cli.reading import Settings, read, traces_of
from tracecore.clock import wall_ns
from tracecore.erasure import Erasable
from tracecore.errors import BackendRejected, NotFound
from tracecore.services.keys import REVOKED_AFTER_NS, Keys
from tracecore.services.projects import Project

__all__ = ["project"]

_COLUMNS = (
    Column("project"),
    Column("name"),
    Column("kept", "right"),
    Column("created", firm=True),
)


@click.group(short_help="Make, list, rename and delete the projects of a server.")
def project() -> None:
    """Make, list, rename and delete the projects of a server.

    They work on the backend of the server, whether it runs or not.
    """


@project.command(short_help="Make a project.")
@click.argument("project_id", metavar="ID")
@click.option("--name", metavar="TEXT", help="What people call it. [its id]")
@with_settings
def create(settings: Settings, project_id: str, *, name: str | None) -> None:
    """Make a project. ID is what every record of it carries, and never changes."""

    async def make(backend: Backend) -> Project:
        return await projects_of(backend).create(project_id, now_ns=wall_ns(), name=name)

    made = change(settings, make, creates=True)
    if settings.as_json:
        print_json(asdict(made))
    else:
        print_lines([visible(f"project {made.id!r} is there; `tracecore key create --project {made.id}` makes a key")])


@project.command(name="list", short_help="List the projects.")
@with_settings
def list_(settings: Settings) -> None:
    """List the projects, the newest first. What was recorded without a server may be in others."""

    async def find(backend: Backend) -> list[Project]:
        return await projects_of(backend).every()

    found = read(settings, find)
    if settings.as_json:
        print_json({"projects": [asdict(one) for one in found]})
    elif not found:
        note("there is no project; make one with `tracecore project create ID`")
    else:
        print_table(_COLUMNS, [[one.id, one.name, _kept(one), moment(one.created_ns)] for one in found])


@project.command(short_help="Give a project another name.")
@click.argument("project_id", metavar="ID")
@click.argument("name", metavar="NAME")
@with_settings
def rename(settings: Settings, project_id: str, name: str) -> None:
    """Give a project another name; its id stays."""

    async def give(backend: Backend) -> Project:
        return await projects_of(backend).update(project_id, now_ns=wall_ns(), name=name)

    renamed = change(settings, give)
    if settings.as_json:
        print_json(asdict(renamed))
    else:
        print_lines([visible(f"project {renamed.id!r} is called {renamed.name!r}")])


@project.command(short_help="Erase a project with everything in it.")
@click.argument("project_id", metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_settings
def delete(settings: Settings, project_id: str, *, yes: bool) -> None:
    """Erase a project with everything in it: traces, scores, prompts, datasets. Its keys are revoked first.

    Interrupted, the same command goes on. A program that records into it without a server makes it again.
    """
    if not yes:
        if settings.as_json or not sys.stdin.isatty():
            raise click.UsageError("nobody is there to be asked: say --yes to erase the project")
        click.confirm(f"Erase project {visible(project_id)!r} with everything in it?", abort=True, err=True)

    async def erase(backend: Backend) -> int:
        return await _erased(backend, project_id)

    revoked = change(settings, erase)
    if settings.as_json:
        print_json({"project": project_id, "revoked_keys": revoked})
    else:
        print_lines([visible(f"project {project_id!r} is erased; {revoked} of its keys were revoked")])


async def _erased(backend: Backend, project_id: str) -> int:
    """Erase a project; return how many keys were revoked. Its entry goes last, so that it can be begun again."""
    if not isinstance(backend, Erasable):
        raise BackendRejected(f"{backend.location} cannot erase anything", "name another backend with --backend")
    projects, keys = projects_of(backend), keys_of(backend)
    listed = any(one.id == project_id for one in await projects.every())
    if not listed and not (await traces_of(backend).find(project_id, TraceQuery(limit=1))).items:
        raise NotFound("project", project_id, "see them with `tracecore project list`")
    holding = [one for one in await keys.of_project(project_id) if one.revoked_ns is None]
    for one in holding:
        await keys.revoke(project_id, one.public_key, now_ns=wall_ns())
    await _wait_for_servers(keys, project_id)
    while await backend.erase_project(project_id):
        pass
    if listed:
        await projects.delete(project_id)
    return len(holding)


async def _wait_for_servers(keys: Keys, project_id: str) -> None:
    """Wait until no server admits a key of the project: what it wrote after the end would stay for ever."""
    last_ns = max((one.revoked_ns or 0 for one in await keys.of_project(project_id)), default=0)
    left_ns = min(last_ns + REVOKED_AFTER_NS - wall_ns(), REVOKED_AFTER_NS)
    if left_ns > 0:
        note(f"waiting {left_ns / 1e9:.0f} s, until every server refuses the keys that were revoked")
        await sleep(left_ns / 1e9)


def _kept(one: Project) -> str:
    return "for ever" if not one.retention_days else f"{one.retention_days} d"
