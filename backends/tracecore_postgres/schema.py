"""The schema in a database: whose it is, which version, and how it comes to be the newest.

Rules: a schema that holds something else, or is of a newer tracecore, is refused before anything is changed in it. All
missing migrations run in one transaction under a lock that all starters share, so that a start which is killed leaves
the old schema, and of two starts at once the second finds the work done.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from tracecore.backend import SchemaStatus
from tracecore.clock import wall_ns
from tracecore.errors import BackendRejected, BackendUnavailable
from tracecore_postgres.address import Address
from tracecore_postgres.connection import Connection, quoted
from tracecore_sql.statements import Migration, load_migrations
from tracecore_sql.versions import missing, status

__all__ = ["LOCK", "check_readable", "migrate", "migrations", "status_of"]

LOCK: Final = 0x74726163
"""``trac``: the first key of every advisory lock that we take; the second is made of the name of the schema."""
_LOCK: Final = "SELECT pg_advisory_xact_lock($1, hashtext($2))"
_HISTORY: Final = """
CREATE TABLE tc_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_ns bigint NOT NULL
)
"""
_IS_THERE: Final = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)"
# What an extension keeps there, in public for instance, disturbs nobody.
_RELATIONS: Final = """
SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1
    AND NOT EXISTS (
        SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
    )
"""


@cache
def migrations() -> tuple[Migration, ...]:
    """Return the migrations of this version of tracecore, oldest first."""
    return tuple(load_migrations("tracecore_postgres", "migrations"))


async def migrate(connection: Connection, address: Address, known: Sequence[Migration]) -> None:
    """Bring the schema to the newest version, and make it where there is none.

    Raises:
        BackendRejected: the schema holds something else, or is a newer tracecore's.
    """
    if not await _missing(connection, address, known):
        return
    # Whoever has waited for the lock sees what was done meanwhile, whatever the server's default is.
    async with connection.transaction(isolation="read_committed"):
        await connection.fetch(_LOCK, LOCK, address.schema)
        steps = await _missing(connection, address, known)
        if steps:
            await _apply(connection, address, steps)


async def check_readable(connection: Connection, address: Address, known: Sequence[Migration]) -> None:
    """Refuse a schema that this version cannot read.

    Raises:
        BackendRejected: it holds something else, or is a newer tracecore's.
        BackendUnavailable: it is not there, or of an older version: a writer has to open it first.
    """
    if await _missing(connection, address, known):
        raise BackendUnavailable(
            f"{address.location} has no schema of this version yet", "bring it up to date with `tracecore migrate`"
        )


async def status_of(connection: Connection, address: Address, known: Sequence[Migration]) -> SchemaStatus:
    """Return how far the schema is behind the newest, and change nothing.

    Raises:
        BackendRejected: it holds something else, or is a newer tracecore's.
    """
    return status(known, await _missing(connection, address, known))


async def _missing(connection: Connection, address: Address, known: Sequence[Migration]) -> list[Migration]:
    """Return the migrations that the schema has not seen, after making sure that it is ours to touch."""
    found: set[str] = {name for (name,) in await connection.fetch(_RELATIONS, address.schema)}
    if "tc_migrations" not in found:
        if found:
            raise BackendRejected(
                f"{address.location} holds something else ({min(found)}, …)", "name a schema of its own: ?schema=…"
            )
        return list(known)
    # Its name is part of the statement, because it is asked for before search_path may be set.
    history = f"SELECT version, checksum FROM {quoted(address.schema)}.tc_migrations"  # noqa: S608 - the name is quoted
    rows: list[Any] = list(await connection.fetch(history))
    return missing(address.location, known, {row[0]: row[1] for row in rows}, other="another schema")


async def _apply(connection: Connection, address: Address, steps: Sequence[Migration]) -> None:
    # Whoever may not make schemas uses one that somebody made for him.
    if not await connection.fetchval(_IS_THERE, address.schema):
        await connection.execute(f"CREATE SCHEMA {quoted(address.schema)}")
    await connection.execute(f"SET LOCAL search_path = {quoted(address.schema)}")
    if steps[0].version == 1:
        await connection.execute(_HISTORY)
    for step in steps:
        await connection.execute(step.sql)
        await connection.execute(
            "INSERT INTO tc_migrations VALUES ($1, $2, $3, $4)", step.version, step.name, step.checksum, wall_ns()
        )
