"""The catalog in one schema. Commits of all processes happen one after the other, under one lock.

So a commit sees what every earlier one has made: it reads the entries that it is about, goes through its changes here,
and writes what has come of them by a handful of statements, however many changes it has. It has a connection of its
own: it waits for no batch of records, and none waits for it.
"""

# ruff: noqa: S608 - the SQL is made of constants of these packages; every value is a parameter

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from msgspec import Struct

from tracecore.catalog import (
    CatalogPage,
    CatalogQuery,
    Change,
    Delete,
    Entry,
    Put,
    catalog_page,
    check_commit,
    check_page,
    conflict_of_name,
    conflict_of_revision,
)
from tracecore.errors import Conflict
from tracecore_postgres.connection import Connection
from tracecore_postgres.reading import Reading, fetch
from tracecore_postgres.schema import LOCK
from tracecore_postgres.texts import stored_values, values_of
from tracecore_sql.catalog import (
    ENTRY_COLUMNS,
    ENTRY_LIST,
    ONE_ENTRY,
    counted,
    entry_conditions,
    entry_of,
    entry_order,
    entry_values,
    page_of_entries,
    tested,
)
from tracecore_sql.filters import Conditions
from tracecore_sql.from_rows import Row, unpack_tags

__all__ = ["Committing", "PostgresCatalog"]

T = TypeVar("T")
Key: TypeAlias = tuple[str, str, str]
"""Project, kind and id; or project, kind and name."""

_LOCK: Final = "SELECT pg_advisory_xact_lock($1, hashtext($2 || ' catalog'))"
_OF_KEYS: Final = "unnest($1::text[], $2::text[], $3::text[]) AS k (project, kind, key)"
_KNOWN: Final = f"""
SELECT e.project, e.kind, e.key, e.name, e.refs, e.revision FROM {_OF_KEYS} CROSS JOIN LATERAL (
    SELECT * FROM tc_catalog c WHERE c.project = k.project AND c.kind = k.kind AND c.key = k.key LIMIT 1
) e
"""
_OWNERS: Final = """
SELECT e.project, e.kind, e.key, e.name FROM unnest($1::text[], $2::text[], $3::text[]) AS k (project, kind, name)
CROSS JOIN LATERAL (
    SELECT * FROM tc_catalog c WHERE c.project = k.project AND c.kind = k.kind AND c.name = k.name LIMIT 1
) e
"""
_FORGET: Final = f"""
DELETE FROM {{table}} e USING {_OF_KEYS} WHERE e.project = k.project AND e.kind = k.kind AND e.key = k.key
"""
_FORGET_REFS: Final = """
DELETE FROM tc_catalog_refs e
USING unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS k (project, kind, ref, key)
WHERE e.project = k.project AND e.kind = k.kind AND e.ref = k.ref AND e.key = k.key
"""
_NUMBERS: Final = frozenset(("position", "since_ns", "until_ns", "revision"))
_ENTRIES: Final = ", ".join(
    f"${number}::{'bigint' if column in _NUMBERS else 'text'}[]" for number, column in enumerate(ENTRY_COLUMNS, 1)
)
_PUT: Final = f"INSERT INTO tc_catalog ({', '.join(ENTRY_COLUMNS)}) SELECT * FROM unnest({_ENTRIES})"
_PUT_REFS: Final = """
INSERT INTO tc_catalog_refs (project, kind, ref, key)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
"""
_PUT_ATTACHMENTS: Final = """
INSERT INTO tc_catalog_attachments (project, kind, key, attachment)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[])
"""


class Committing(Protocol):
    """Runs functions in transactions of a connection that is beside the one for batches."""

    async def __call__(self, change: Callable[[Connection], Awaitable[T]], /) -> T:
        """Run a function in one transaction and return what it returns, after the commit."""
        ...


class PostgresCatalog:
    """Keep entries; see :class:`tracecore.catalog.CatalogStore`."""

    def __init__(self, reading: Reading, committing: Committing, *, schema: str) -> None:
        self._reading = reading
        self._committing = committing
        self._schema = schema

    async def get(self, project: str, kind: str, id: str) -> Entry | None:  # noqa: A002 - the name of the field
        """Return one entry with its attachment, or None."""
        return await self._one("e.key = ?", project, kind, id)

    async def named(self, project: str, kind: str, name: str) -> Entry | None:
        """Return the entry of that name with its attachment, or None."""
        return await self._one("e.name = ?", project, kind, name)

    async def find(self, project: str, query: CatalogQuery) -> CatalogPage:
        """Return one page of entries, and how many there are, as of one moment."""
        check_page(query)
        where = _conditions(project, query)
        # One statement, which says how many there are on a page without any entry, too.
        sql = (
            f"SELECT n.total, p.* FROM ({counted(where, query)}) n LEFT JOIN ({_listed(where, query)}) p ON true "
            f"ORDER BY {entry_order(query, 'p')}"
        )
        rows = await fetch(self._reading, sql, [*where.values, *where.values, query.offset])
        return catalog_page(query, [entry_of(row[1:]) for row in rows if row[1] is not None], rows[0][0])

    async def commit(self, changes: Sequence[Change]) -> None:
        """Make all changes, or none."""
        check_commit(changes)
        conflict = await self._committing(lambda connection: self._commit(connection, changes))
        if conflict is not None:
            raise conflict

    async def _one(self, condition: str, *values: str) -> Entry | None:
        rows = await fetch(self._reading, ONE_ENTRY + condition, values)
        return entry_of(rows[0][:-1], rows[0][-1]) if rows else None

    async def _commit(self, connection: Connection, changes: Sequence[Change]) -> Conflict | None:
        """Make all changes; or none, and return why: the connection is as good as before."""
        await connection.fetch(_LOCK, LOCK, self._schema)
        change = _Change(await _known(connection, changes), await _owners(connection, changes))
        try:
            for one in changes:
                change.apply(one)
        except Conflict as conflict:
            return conflict
        await _write(connection, change)
        return None


class _Known(Struct, frozen=True):
    """Hold what a commit has to know of an entry that is there."""

    name: str | None
    refs: tuple[str, ...]
    revision: int


class _Change:
    """Go through changes in their order, beginning with what is there, and know what has come of them."""

    def __init__(self, known: dict[Key, _Known], owners: dict[Key, str]) -> None:
        self.known = known
        self._owners = owners
        self._revisions = {key: one.revision for key, one in known.items()}
        self._names = {key: one.name for key, one in known.items()}
        self.after: dict[Key, tuple[Entry, int] | None] = {}
        """Every entry that was changed, with its new revision, or None where it is gone."""

    def apply(self, change: Change) -> None:
        """Make one change.

        Raises:
            Conflict: the entry does not have the revision that was expected, or its name is another's.
        """
        said = change.entry if isinstance(change, Put) else change
        key = said.project, said.kind, said.id
        revision = self._revisions.get(key, 0)
        if change.expected is not None and change.expected != revision:
            raise conflict_of_revision(said.kind, said.id, change.expected, revision)
        if isinstance(change, Put):
            self._name(key, change.entry.name)
            self._revisions[key] = revision + 1
            self.after[key] = change.entry, revision + 1
        else:
            self._name(key, None)
            self._revisions.pop(key, None)
            self.after[key] = None

    def _name(self, key: Key, name: str | None) -> None:
        """Give an entry a name and free the one that it had."""
        project, kind, id_ = key
        if name is not None and self._owners.get((project, kind, name), id_) != id_:
            raise conflict_of_name(kind, name)
        before = self._names.get(key)
        if before is not None:
            self._owners.pop((project, kind, before), None)
        self._names[key] = name
        if name is not None:
            self._owners[project, kind, name] = id_


async def _known(connection: Connection, changes: Sequence[Change]) -> dict[Key, _Known]:
    """Return what is there of the entries that changes are about."""
    said = [change.entry if isinstance(change, Put) else change for change in changes]
    rows = await _rows(connection, _KNOWN, dict.fromkeys((one.project, one.kind, one.id) for one in said))
    return {
        (project, kind, key): _Known(name, unpack_tags(refs), revision)
        for project, kind, key, name, refs, revision in rows
    }


async def _owners(connection: Connection, changes: Sequence[Change]) -> dict[Key, str]:
    """Return who has the names that changes give now."""
    entries = [change.entry for change in changes if not isinstance(change, Delete)]
    wanted = dict.fromkeys((one.project, one.kind, one.name) for one in entries if one.name is not None)
    rows = await _rows(connection, _OWNERS, wanted)
    return {(project, kind, name): key for project, kind, key, name in rows}


async def _write(connection: Connection, change: _Change) -> None:
    """Remove every entry that was changed, and write those that are to be there."""
    there = [key for key in change.after if key in change.known]
    await _rows(connection, _FORGET_REFS, _refs((key, change.known[key].refs) for key in there))
    for table in ("tc_catalog_attachments", "tc_catalog"):
        await _rows(connection, _FORGET.format(table=table), there)
    written = [after for after in change.after.values() if after is not None]
    await _rows(connection, _PUT, [entry_values(*one) for one in written])
    entries = [entry for entry, _ in written]
    keys = [(entry.project, entry.kind, entry.id) for entry in entries]
    await _rows(connection, _PUT_REFS, _refs((key, entry.refs) for key, entry in zip(keys, entries, strict=True)))
    attached = [(*key, entry.attachment) for key, entry in zip(keys, entries, strict=True) if entry.attachment]
    await _rows(connection, _PUT_ATTACHMENTS, attached, attached=True)


def _refs(entries: Iterable[tuple[Key, tuple[str, ...]]]) -> list[tuple[str, str, str, str]]:
    return [(project, kind, ref, id_) for (project, kind, id_), refs in entries for ref in dict.fromkeys(refs)]


async def _rows(
    connection: Connection, statement: str, keys: Iterable[Sequence[Any]], *, attached: bool = False
) -> list[Row]:
    """Run a statement on rows, if there are any, each column of which is an array; the last may be ``attached``."""
    columns = [list(column) for column in zip(*keys, strict=True)]
    if not columns:
        return []
    bytes_of = [columns.pop()] if attached else []
    values = [*map(stored_values, columns), *bytes_of]
    return [values_of(row) for row in await connection.fetch(statement, *values)]


def _listed(where: Conditions, query: CatalogQuery) -> str:
    """Return the statement of one page, whose last mark is the offset.

    Which entries are on it is found first, then how long they are, which the database knows without reading them.
    """
    measured = (
        f"SELECT {ENTRY_LIST}, row_number() OVER w AS place, sum(octet_length(e.body)) OVER w AS length "
        f"FROM ({page_of_entries(where, query, 'e.project, e.kind, e.key')}) p CROSS JOIN tc_catalog e "
        f"WHERE e.project = p.project AND e.kind = p.kind AND e.key = p.key WINDOW w AS (ORDER BY {entry_order(query)})"
    )
    return f"SELECT {ENTRY_LIST} FROM ({measured}) e WHERE e.place = 1 OR e.length <= {query.max_bytes}"


def _conditions(project: str, query: CatalogQuery) -> Conditions:
    found = entry_conditions(project, query)
    if query.prefix:
        # Texts are compared by code points, so what begins with it follows it.
        found.add(f"{tested('e.name', query)} >= ? AND starts_with(e.name, ?)", query.prefix, query.prefix)
    elif query.prefix is not None:
        found.add("e.name IS NOT NULL")
    return found
