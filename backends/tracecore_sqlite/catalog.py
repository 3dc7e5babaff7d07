"""The catalog in one file: reads on the reading connection, commits on the writing one, each in one transaction."""

# ruff: noqa: S608 - the SQL is made of constants of this package; every value is a parameter

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from tracecore.catalog import (
    CatalogPage,
    CatalogQuery,
    Change,
    Entry,
    Put,
    catalog_page,
    check_commit,
    check_page,
    conflict_of_name,
    conflict_of_revision,
)
from tracecore_sql.catalog import (
    ENTRY_COLUMNS,
    ENTRY_LIST,
    ONE_ENTRY,
    counted,
    entry_conditions,
    entry_of,
    entry_values,
    page_of_entries,
    tested,
)
from tracecore_sql.filters import Conditions
from tracecore_sql.from_rows import text_of, unpack_tags
from tracecore_sql.to_rows import storable
from tracecore_sqlite.reading import Reader, rows_of
from tracecore_sqlite.writer import Writing

__all__ = ["SqliteCatalog", "apply"]

_OF_ID: Final = f"SELECT {ENTRY_LIST} FROM tc_catalog e WHERE e.id = ?"
_IDENTITY: Final = "project = ? AND kind = ? AND key = ?"
_UPSERT: Final = (
    f"INSERT INTO tc_catalog ({', '.join(ENTRY_COLUMNS)}) VALUES ({', '.join('?' * len(ENTRY_COLUMNS))}) "
    "ON CONFLICT (project, kind, key) DO UPDATE SET "
    + ", ".join(f"{column} = excluded.{column}" for column in ENTRY_COLUMNS[3:])
)


class SqliteCatalog:
    """Keep entries; see :class:`tracecore.catalog.CatalogStore`."""

    def __init__(self, reader: Reader, writing: Writing) -> None:
        self._reader = reader
        self._writing = writing

    async def get(self, project: str, kind: str, id: str) -> Entry | None:  # noqa: A002 - the name of the field
        """Return one entry with its attachment, or None."""
        return await self._one("e.key = ?", project, kind, id)

    async def named(self, project: str, kind: str, name: str) -> Entry | None:
        """Return the entry of that name with its attachment, or None."""
        return await self._one("e.name = ?", project, kind, name)

    async def find(self, project: str, query: CatalogQuery) -> CatalogPage:
        """Return one page of entries, and how many there are, as of one moment."""
        check_page(query)
        connection = await self._reader()
        return await connection.run(_page, connection.raw, project, query)

    async def commit(self, changes: Sequence[Change]) -> None:
        """Make all changes, or none."""
        check_commit(changes)
        await self._writing(lambda writer: _commit(writer.raw, changes))

    async def _one(self, condition: str, *values: str) -> Entry | None:
        connection = await self._reader()
        rows = await connection.run(rows_of, connection.raw, ONE_ENTRY + condition, values)
        return entry_of(rows[0][:-1], rows[0][-1]) if rows else None


def _page(raw: sqlite3.Connection, project: str, query: CatalogQuery) -> CatalogPage:
    where = _conditions(project, query)
    raw.execute("BEGIN")
    try:
        ids = rows_of(raw, page_of_entries(where, query, "e.id"), [*where.values, query.offset])
        found = _within(raw, ids, query.max_bytes)
        [(total,)] = rows_of(raw, counted(where, query), where.values)
    finally:
        raw.execute("COMMIT")
    return catalog_page(query, found, total)


def _within(raw: sqlite3.Connection, ids: Sequence[tuple[int]], max_bytes: int) -> list[Entry]:
    """Return the first entries of some ids: they are read one by one, and none after the one that is too much.

    Read by the statement that finds them, the bodies of all would be sorted with them.
    """
    found, left = list[Entry](), max_bytes
    for one in ids:
        entry = entry_of(raw.execute(_OF_ID, one).fetchone())
        left -= memoryview(entry.body).nbytes
        if found and left < 0:
            break
        found.append(entry)
    return found


def _commit(raw: sqlite3.Connection, changes: Sequence[Change]) -> None:
    raw.execute("BEGIN IMMEDIATE")
    try:
        for change in changes:
            apply(raw, change)
        raw.execute("COMMIT")
    except BaseException:
        if raw.in_transaction:
            raw.execute("ROLLBACK")
        raise


def apply(raw: sqlite3.Connection, change: Change) -> None:
    """Make one change within a transaction.

    Raises:
        Conflict: the entry does not have the revision that was expected, or its name is another's.
    """
    said = change.entry if isinstance(change, Put) else change
    identity = storable([said.project, said.kind, said.id])
    found = raw.execute(f"SELECT revision, refs FROM tc_catalog WHERE {_IDENTITY}", identity).fetchone()
    revision: int = found[0] if found else 0
    if change.expected is not None and change.expected != revision:
        raise conflict_of_revision(said.kind, said.id, change.expected, revision)
    if found:
        _forget(raw, identity, unpack_tags(text_of(found[1])), whole=not isinstance(change, Put))
    if isinstance(change, Put):
        _put(raw, identity, change.entry, revision + 1)


def _forget(raw: sqlite3.Connection, identity: list[Any], refs: Sequence[str], *, whole: bool) -> None:
    """Remove what lies beside an entry, or all of it."""
    for ref in storable(refs):
        raw.execute(f"DELETE FROM tc_catalog_refs WHERE {_IDENTITY} AND ref = ?", (*identity, ref))
    for table in ("tc_catalog_attachments", *(["tc_catalog"] if whole else [])):
        raw.execute(f"DELETE FROM {table} WHERE {_IDENTITY}", identity)


def _put(raw: sqlite3.Connection, identity: list[Any], entry: Entry, revision: int) -> None:
    if entry.name is not None:
        clash = "SELECT 1 FROM tc_catalog WHERE project = ? AND kind = ? AND name = ? AND key <> ?"
        if raw.execute(clash, storable([entry.project, entry.kind, entry.name, entry.id])).fetchone():
            raise conflict_of_name(entry.kind, entry.name)
    raw.execute(_UPSERT, storable(entry_values(entry, revision)))
    project, kind, key = identity
    for ref in storable(dict.fromkeys(entry.refs)):
        raw.execute("INSERT INTO tc_catalog_refs VALUES (?, ?, ?, ?)", (project, kind, ref, key))
    if entry.attachment:
        raw.execute("INSERT INTO tc_catalog_attachments VALUES (?, ?, ?, ?)", (*identity, entry.attachment))


def _conditions(project: str, query: CatalogQuery) -> Conditions:
    found = entry_conditions(project, query)
    if query.prefix:
        # Compared as bytes: a text ends at a NUL to `substr`, and one that is no UTF-8 is a BLOB, after every text.
        begins = query.prefix.encode("utf-8", "surrogatepass")
        found.add(
            f"{tested('e.name', query)} >= ? AND substr(CAST(e.name AS BLOB), 1, ?) = ?",
            query.prefix,
            len(begins),
            begins,
        )
    elif query.prefix is not None:
        found.add("e.name IS NOT NULL")
    return found
