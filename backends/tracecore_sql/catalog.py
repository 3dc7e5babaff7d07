"""Entries of the catalog as rows and back, and lists of them; both dialects agree on all of it but prefixes."""

# ruff: noqa: S608 - the SQL is made of constants of this package; every value is a parameter

from __future__ import annotations

from typing import Any, Final

from tracecore.catalog import CatalogQuery, Entry
from tracecore_sql.filters import Conditions
from tracecore_sql.from_rows import Row, payload_of, text_of, unpack_tags
from tracecore_sql.to_rows import pack_tags, payload_value

__all__ = [
    "ENTRY_COLUMNS",
    "ENTRY_LIST",
    "ONE_ENTRY",
    "counted",
    "entry_conditions",
    "entry_of",
    "entry_order",
    "entry_values",
    "page_of_entries",
    "tested",
]

ENTRY_COLUMNS: Final = (
    "project", "kind", "key", "name", "parent", "refs", "position", "since_ns", "until_ns", "revision", "body",
)  # fmt: skip
"""The columns of an entry, all but its attachment; the first three are its identity."""
ENTRY_LIST: Final = ", ".join(f"e.{column}" for column in ENTRY_COLUMNS)
"""The columns of entries ``e``, as a statement lists them."""

ONE_ENTRY: Final = (
    f"SELECT {ENTRY_LIST}, a.attachment FROM tc_catalog e LEFT JOIN tc_catalog_attachments a "
    "ON a.project = e.project AND a.kind = e.kind AND a.key = e.key WHERE e.project = ? AND e.kind = ? AND "
)
"""The statement that reads one entry and its attachment, up to its last condition."""

_OF_FIRST: Final = (
    "r.project = ? AND r.kind = ? AND r.ref = ? AND e.project = r.project AND e.kind = r.kind AND e.key = r.key"
)
_HAS_REF: Final = (
    "EXISTS (SELECT 1 FROM tc_catalog_refs o WHERE o.project = e.project AND o.kind = e.kind AND o.ref = ? "
    "AND o.key = e.key)"
)


def entry_values(entry: Entry, revision: int) -> list[Any]:
    """Return the row of an entry, in the order of ``ENTRY_COLUMNS``."""
    refs = pack_tags(tuple(dict.fromkeys(entry.refs))) if entry.refs else None
    return [
        entry.project, entry.kind, entry.id, entry.name, entry.parent, refs, entry.position, entry.since_ns,
        entry.until_ns, revision, payload_value(entry.body),
    ]  # fmt: skip


def entry_of(row: Row, attachment: bytes | None = None) -> Entry:
    """Return the entry of a row of ``ENTRY_COLUMNS``."""
    *listed, body = row
    project, kind, key, name, parent, refs, position, since_ns, until_ns, revision = map(text_of, listed)
    return Entry(
        project=project, kind=kind, id=key, body=payload_of(body), name=name, parent=parent, refs=unpack_tags(refs),
        position=position, since_ns=since_ns, until_ns=until_ns, revision=revision,
        attachment=bytes(attachment or b""),
    )  # fmt: skip


def entry_conditions(project: str, query: CatalogQuery) -> Conditions:
    """Return the conditions on entries ``e``, all but ``prefix``."""
    found = Conditions()
    position = tested("e.position", query)
    if query.refs:
        found.add(_OF_FIRST, project, query.kind, query.refs[0])
    else:
        found.equal(**{"e.project": project, "e.kind": query.kind})
    for ref in query.refs[1:]:
        found.add(_HAS_REF, ref)
    found.equal(**{tested("e.parent", query): query.parent, tested("e.name", query): query.name})
    if query.at_ns is not None:
        found.add("e.since_ns <= ? AND (e.until_ns IS NULL OR e.until_ns > ?)", query.at_ns, query.at_ns)
    if query.min_position is not None:
        found.add(f"{position} >= ?", query.min_position)
    if query.max_position is not None:
        found.add(f"{position} <= ?", query.max_position)
    return found


def page_of_entries(where: Conditions, query: CatalogQuery, columns: str) -> str:
    """Return the statement that finds which entries are on a page, whose last mark is the offset.

    It reads columns that make up their identity, so that the bodies of all others are left alone.
    """
    return (
        f"SELECT {columns} FROM {_source(query)} WHERE {where.sql} "
        f"ORDER BY {entry_order(query)} LIMIT {query.limit} OFFSET ?"
    )


def entry_order(query: CatalogQuery, entry: str = "e") -> str:
    """Return the order of a list of entries, by the name that they have in a statement."""
    order = "ASC" if query.ascending else "DESC"
    return f"{entry}.position {order}, {entry}.key {order}"


def counted(where: Conditions, query: CatalogQuery) -> str:
    """Return the statement that counts what a query selects."""
    return f"SELECT count(*) AS total FROM {_source(query)} WHERE {where.sql}"


def _source(query: CatalogQuery) -> str:
    """Return where entries are looked for; SQLite joins in this order, so that the first reference leads to its few."""
    return "tc_catalog_refs r CROSS JOIN tc_catalog e" if query.refs else "tc_catalog e"


def tested(column: str, query: CatalogQuery) -> str:
    """Return a column as conditions name it: where a reference leads to entries, so that no index on it is taken."""
    return f"coalesce({column}, NULL)" if query.refs else column
