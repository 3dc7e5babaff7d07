"""The schema of a file: whose it is, which version, and how it comes to be the newest.

Rules: a file of another program or of a newer tracecore is refused before anything is changed in it. All missing
migrations run in one transaction that holds the write lock from its first statement, so that a start which is killed
leaves the old schema, and of two starts at once the second finds the work done.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final

from tracecore.backend import SchemaStatus
from tracecore.clock import monotonic_ns, wall_ns
from tracecore.errors import BackendRejected, BackendUnavailable
from tracecore_sql.statements import Migration, load_migrations
from tracecore_sql.versions import missing, status

__all__ = ["check_readable", "migrate", "migrations", "split", "status_of"]

APPLICATION_ID: Final = 0x74726163
"""``trac``: tells people and `file` what this is. What decides is the table of migrations."""

# Pages of 16 KiB pack bodies of some KB without waste: 1,490 bytes a span of the request mix against 2,040 with 8 KiB.
_PAGE_SIZE: Final = 16384
_LOOK_AGAIN_S: Final = 0.002
_HISTORY: Final = """
CREATE TABLE IF NOT EXISTS tc_migrations (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    applied_ns INTEGER NOT NULL
)
"""


@cache
def migrations() -> tuple[Migration, ...]:
    """Return the migrations of this version of tracecore, oldest first."""
    return tuple(load_migrations("tracecore_sqlite", "migrations"))


def migrate(raw: sqlite3.Connection, path: str, known: Sequence[Migration]) -> None:
    """Bring the file to the newest schema, in write-ahead mode.

    Raises:
        BackendRejected: the file is another program's or a newer tracecore's.
    """
    if _missing(raw, path, known):
        # Only the first connection to an empty file can choose these; afterwards both say what already is.
        raw.execute(f"PRAGMA page_size = {_PAGE_SIZE}")
        _write_ahead(raw)
        raw.execute("BEGIN IMMEDIATE")
        try:
            _apply(raw, _missing(raw, path, known))
            raw.execute("COMMIT")
        except BaseException:
            if raw.in_transaction:
                raw.execute("ROLLBACK")
            raise
    _write_ahead(raw)


def check_readable(raw: sqlite3.Connection, path: str, known: Sequence[Migration]) -> None:
    """Refuse a file whose schema this version cannot read.

    Raises:
        BackendRejected: the file is another program's or a newer tracecore's.
        BackendUnavailable: it is still empty, or of an older schema: a writer has to open it first.
    """
    if _missing(raw, path, known):
        raise BackendUnavailable(
            f"{path} has no schema of this version yet", "bring it up to date with `tracecore migrate`"
        )


def status_of(raw: sqlite3.Connection, path: str, known: Sequence[Migration]) -> SchemaStatus:
    """Return how far the schema of a file is behind the newest, and change nothing.

    Raises:
        BackendRejected: the file is another program's or a newer tracecore's.
    """
    return status(known, _missing(raw, path, known))


def split(script: str) -> Iterator[str]:
    """Return the statements of a script (``executescript`` would commit first)."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if any(line.strip() and not line.lstrip().startswith("--") for line in statement.splitlines()):
        yield statement


def _write_ahead(raw: sqlite3.Connection) -> None:
    """Switch to write-ahead mode, which SQLite alone does without waiting for another start that is doing it."""
    until = 0
    while True:
        try:
            raw.execute("PRAGMA journal_mode = wal")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            until = until or monotonic_ns() + raw.execute("PRAGMA busy_timeout").fetchone()[0] * 1_000_000
            if monotonic_ns() >= until:
                raise
            time.sleep(_LOOK_AGAIN_S)
        else:
            return


def _missing(raw: sqlite3.Connection, path: str, known: Sequence[Migration]) -> list[Migration]:
    """Return the migrations that the file has not seen, after making sure that it is ours to touch."""
    found = [name for (name,) in raw.execute("SELECT name FROM sqlite_master")]
    if "tc_migrations" not in found:
        (owner,) = raw.execute("PRAGMA application_id").fetchone()
        if found or owner not in (0, APPLICATION_ID):
            raise BackendRejected(f"{path} is the database of another program", "name a file of its own")
        return list(known)
    applied = dict(raw.execute("SELECT version, checksum FROM tc_migrations"))
    return missing(path, known, applied, other="another file")


def _apply(raw: sqlite3.Connection, steps: Sequence[Migration]) -> None:
    if steps:
        raw.execute(_HISTORY)
        raw.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    for step in steps:
        for statement in split(step.sql):
            raw.execute(statement)
        raw.execute(
            "INSERT INTO tc_migrations VALUES (?, ?, ?, ?)", (step.version, step.name, step.checksum, wall_ns())
        )
