"""Entries of the catalog as rows and back, and lists of them; both dialects agree on all of it."""

# ruff: noqa: S608 - the SQL is made of constants of this package; every value is a parameter

from __future__ import annotations

from typing import Any, Final

from tracecore.catalog import CatalogQuery, Entry
from tracecore_sql.filters import Conditions
from tracecore_sql.from_rows import Row, payload_of, text_of, unpack_tags
from tracecore_sql.to_rows import pack_tags

__all__ = ["ENTRY_COLUMNS", "counted", "entry_conditions", "entry_of", "entry_values", "listed"]

ENTRY_COLUMNS: Final = (
    "project", "kind", "key", "name", "parent", "refs", "position", "since_ns", "until_ns", "revision", "body",
)  # fmt: skip
"""The columns of an entry, all but its attachment; the first three are its identity."""


def entry_values(entry: Entry, revision: int) -> list[Any]:
    """Return the row of an entry, in the order of ``ENTRY_COLUMNS``."""
    refs = pack_tags(entry.refs) if entry.refs else None
    return [
        entry.project, entry.kind, entry.id, entry.name, entry.parent, refs, entry.position, entry.since_ns,
        entry.until_ns, revision, bytes(entry.body).decode(),
    ]  # fmt: skip


def entry_of(row: Row, attachment: bytes | None = None) -> Entry:
    """Return the entry of a row of ``ENTRY_COLUMNS``."""
    project, kind, key, name, parent, refs, position, since_ns, until_ns, revision, _ = [text_of(one) for one in row]
    return Entry(
        project=project, kind=kind, id=key, body=payload_of(row[-1]), name=name, parent=parent, refs=unpack_tags(refs),
        position=position, since_ns=since_ns, until_ns=until_ns, revision=revision,
        attachment=bytes(attachment or b""),
    )  # fmt: skip


def entry_conditions(project: str, query: CatalogQuery) -> Conditions:
    """Return the conditions on ``tc_catalog e``."""
    found = Conditions()
    found.equal(project=project, kind=query.kind, parent=query.parent, name=query.name)
    if query.prefix:
        # Texts are compared by code points, so what begins with it follows it and comes before every other text.
        found.add("name >= ? AND substr(name, 1, ?) = ?", query.prefix, len(query.prefix), query.prefix)
    elif query.prefix is not None:
        found.add("name IS NOT NULL")
    for ref in query.refs:
        found.add(
            "EXISTS (SELECT 1 FROM tc_catalog_refs r WHERE r.project = e.project AND r.kind = e.kind AND r.ref = ? "
            "AND r.key = e.key)",
            ref,
        )
    if query.at_ns is not None:
        found.add("since_ns <= ? AND (until_ns IS NULL OR until_ns > ?)", query.at_ns, query.at_ns)
    if query.min_position is not None:
        found.add("position >= ?", query.min_position)
    if query.max_position is not None:
        found.add("position <= ?", query.max_position)
    return found


def listed(where: Conditions, query: CatalogQuery) -> str:
    """Return the statement of one page; its last two marks are the limit and the offset."""
    order = "ASC" if query.ascending else "DESC"
    columns = ", ".join(ENTRY_COLUMNS)
    return (
        f"SELECT {columns} FROM tc_catalog e WHERE {where.sql} ORDER BY position {order}, key {order} LIMIT ? OFFSET ?"
    )


def counted(where: Conditions) -> str:
    """Return the statement that counts what a query selects."""
    return f"SELECT count(*) FROM tc_catalog e WHERE {where.sql}"
