"""Opening SQLite files as programs do, and looking into them as tracecore never would."""

from __future__ import annotations

import ctypes
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from textwrap import dedent
from typing import Any

from msgspec import Raw

from tracecore.backend import Access, ObservationQuery
from tracecore.records import Span
from tracecore_sqlite import SqliteBackend, open_backend

__all__ = [
    "asked",
    "bound_by_permissions",
    "files_beside",
    "is_whole",
    "keep",
    "opened",
    "python",
    "span",
    "stored_names",
    "tables_of",
    "url_of",
]

ROOT = Path(__file__).resolve().parents[2]
TIME_LIMIT = 40

_DROP_FROM_BOUNDING_SET = 24
_PERMISSION_OVERRIDES = (1, 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


def url_of(path: Path, parameters: str = "") -> str:
    """Return the URL of a file."""
    return f"sqlite:///{path}{parameters}"


@asynccontextmanager
async def opened(path: Path, access: Access = "write") -> AsyncGenerator[SqliteBackend]:
    """Open a file, and close it."""
    backend = open_backend(url_of(path), access=access)
    try:
        await backend.open()
        yield backend
    finally:
        await backend.close()


async def keep(path: Path, *records: Any) -> Path:
    """Write records to a file in one batch and return its path."""
    async with opened(path) as backend:
        await backend.write(records)
    return path


async def stored_names(path: Path, project: str = "default") -> list[str]:
    """Return the names of at most 1,000 observations of a file, sorted, as a reader gets them."""
    async with opened(path, "read") as backend:
        page = await backend.observations.find(project, ObservationQuery(limit=1000))
    assert page.next_cursor is None
    return sorted(observation.name for observation in page.items)


def span(number: int, name: str = "", *, trace: int | None = None, **fields: Any) -> Span:
    """Return a finished span with payloads; ``number`` makes its ids and its time."""
    values: dict[str, Any] = {
        "start_ns": 1_000 * number,
        "duration_ns": 500,
        "input": Raw(b'{"n":%d}' % number),
        **fields,
    }
    trace_id = f"{number if trace is None else trace:032x}"
    return Span(project="default", trace_id=trace_id, span_id=f"{number:016x}", name=name or f"s{number}", **values)


def asked(path: Path, sql: str, values: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
    """Return the answer to one statement, through a connection of our own."""
    with closing(sqlite3.connect(path)) as raw:
        return raw.execute(sql, tuple(values)).fetchall()


def tables_of(path: Path) -> dict[str, str]:
    """Return the schema of a file: everything in it and the statement that made it."""
    return dict(asked(path, "SELECT type || ' ' || name, ifnull(sql, '') FROM sqlite_master ORDER BY 1"))


def is_whole(path: Path) -> bool:
    """Return whether SQLite finds nothing wrong with a file, nor with its search index."""
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("INSERT INTO tc_search (tc_search) VALUES ('integrity-check')")
        return raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def files_beside(path: Path) -> dict[str, bytes]:
    """Return every file in the folder of a file, with what is in it."""
    return {entry.name: entry.read_bytes() for entry in path.parent.iterdir() if entry.is_file()}


def bound_by_permissions() -> None:
    """Give up root's privilege to read and write what permissions forbid, in a process that is about to be executed."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None)
        for capability in _PERMISSION_OVERRIDES:
            libc.prctl(_DROP_FROM_BOUNDING_SET, capability, 0, 0, 0)


def python(
    *arguments: str, folder: Path, program: str = "", before: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Python, or a program, in a process of its own that knows what is installed here."""
    if program:
        script = folder / "program.py"
        script.write_text(dedent(program))
        arguments = (str(script), *arguments)
    path = os.pathsep.join([str(ROOT), str(ROOT / "backends")])
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=TIME_LIMIT,
        preexec_fn=before,
    )
