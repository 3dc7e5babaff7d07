"""``tracecore migrate``: bring the schema of what is stored up to date, or say how far it is behind."""

from __future__ import annotations

import anyio
import click

from tracecore.cli.escaping import visible
from tracecore.cli.figures import count
from tracecore.cli.migrating import Schema, brought_up_to_date, schema_of
from tracecore.cli.options import with_settings
from tracecore.cli.output import print_json, print_lines
from tracecore.cli.reading import Settings
from tracecore.plugins import configured_urls, open_backend

__all__ = ["migrate"]


@click.command(short_help="Bring the schema of the backend up to date.")
@click.option("--status", is_flag=True, help="Change nothing; exit code 1 if the schema is behind.")
@click.option("--dry-run", is_flag=True, help="Change nothing; list the migrations that would run, in their order.")
@with_settings
def migrate(settings: Settings, *, status: bool, dry_run: bool) -> int:
    """Bring the schema of the backend up to date.

    A program that records does so by itself when it starts; this is for who wants to choose the moment. A migration
    that is killed leaves the schema as it was; of two that run at once, the second finds the work done.
    """
    if status and dry_run:
        raise click.UsageError("--status and --dry-run exclude each other")
    looking = status or dry_run
    schemas = anyio.run(_each, settings, looking)
    if settings.as_json:
        print_json({"schemas": schemas})
    elif dry_run:
        print_lines([visible(line) for schema in schemas for line in _plan(schema)])
    else:
        print_lines([visible(_sentence(schema)) for schema in schemas])
    return 1 if status and any(schema.behind for schema in schemas) else 0


async def _each(settings: Settings, looking: bool) -> list[Schema]:  # noqa: FBT001 - anyio.run passes by position
    source = settings.config.sources["backend"]
    backends = [open_backend(url, source=source) for url in configured_urls(settings.config)]
    return [await (schema_of if looking else brought_up_to_date)(backend) for backend in backends]


def _plan(schema: Schema) -> list[str]:
    return [f"{schema.location}: {name}" for name in schema.pending] or [_sentence(schema)]


def _sentence(schema: Schema) -> str:
    where = schema.location
    if schema.version is None:
        return f"{where}: has no schema that could be behind"
    if schema.applied:
        return f"{where}: brought from schema {schema.version} to {schema.newest}: {', '.join(schema.applied)}"
    if not schema.pending:
        return f"{where}: schema {schema.version}, up to date"
    have = f"schema {schema.version} of {schema.newest}" if schema.version else "no schema yet"
    return f"{where}: {have}; {count(len(schema.pending), 'migration')} to run: {', '.join(schema.pending)}"
