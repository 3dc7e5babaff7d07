"""``tracecore prompts protect``: which labels of a server's project only some keys may move."""

from __future__ import annotations

import click

from tracecore.backend import Backend
from tracecore.cli.escaping import visible
from tracecore.cli.managing import change
from tracecore.cli.options import with_settings
from tracecore.cli.output import note, print_json, print_lines
from tracecore.cli.prompt_stores import author
from tracecore.cli.reading import Settings, read
from tracecore.kinds import catalog_of
from tracecore.services.protected_labels import ProtectedLabels

__all__ = ["protect"]


@click.command(short_help="Protect labels: only keys that may do all move them.")
@click.argument("labels", metavar="[LABEL]...", nargs=-1)
@click.option("--off", is_flag=True, help="Protect these labels no more.")
@with_settings
def protect(settings: Settings, labels: tuple[str, ...], *, off: bool) -> None:
    """Protect labels: only keys of the scope `all` set, move and take them off from then on; without a LABEL list them.

    It works on the backend of the server, whether that runs or not.
    """
    if off and not labels:
        raise click.UsageError("name the labels that are protected no more")

    async def find(backend: Backend) -> tuple[str, ...]:
        return await ProtectedLabels(catalog_of(backend)).get(settings.project)

    async def put(backend: Backend) -> tuple[str, ...]:
        service = ProtectedLabels(catalog_of(backend))
        known = set(await service.get(settings.project))
        wanted = known.difference(labels) if off else known.union(labels)
        return await service.put(settings.project, sorted(wanted), author=author())

    found = change(settings, put) if labels else read(settings, find)
    if settings.as_json:
        print_json({"labels": found})
    elif found:
        print_lines([visible(label) for label in found])
    else:
        note(f"no label of project {settings.project!r} is protected; `tracecore prompts protect production` does it")
