"""Statements and migrations kept in ``.sql`` files of a backend package.

A file of statements holds several, each under a line ``-- name: what_it_is``. A migration is a file
``NNNN_what_it_does.sql`` in a folder of its own; numbers count up from 1 without a gap, and a file never changes once
it has been released: its checksum is stored where it was applied.
"""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files
from typing import Final

from msgspec import Struct

__all__ = ["Migration", "load_migrations", "load_statements"]

_NAME: Final = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)
_MIGRATION: Final = re.compile(r"(\d{4})_(\w+)\.sql")


class Migration(Struct, frozen=True):
    """Hold one step from a version of the schema to the next."""

    version: int
    name: str
    sql: str
    checksum: str


def load_statements(package: str, file: str) -> dict[str, str]:
    """Return the named statements of a file, comments left out."""
    parts = _NAME.split((files(package) / file).read_text("utf-8"))
    return {name: _without_comments(sql) for name, sql in zip(parts[1::2], parts[2::2], strict=True)}


def load_migrations(package: str, folder: str) -> list[Migration]:
    """Return the migrations of a folder in order."""
    found: list[Migration] = []
    for entry in (files(package) / folder).iterdir():
        match = _MIGRATION.fullmatch(entry.name)
        if match is not None:
            sql = entry.read_text("utf-8")
            found.append(Migration(int(match[1]), match[2], sql, hashlib.sha256(sql.encode()).hexdigest()))
    return sorted(found, key=lambda migration: migration.version)


def _without_comments(sql: str) -> str:
    lines = (line for line in sql.splitlines() if line.strip() and not line.lstrip().startswith("--"))
    return "\n".join(lines).rstrip().rstrip(";")
