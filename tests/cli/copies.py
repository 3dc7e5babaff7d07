"""Both sides of a copy, read through their stores, or line by line where there are none."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from msgspec.structs import replace

from tests.cli.recorded import START, generation, span
from tracecore.backend import (
    LARGEST_PAGE,
    Backend,
    LedgerQuery,
    ObservationQuery,
    ScoreQuery,
    SessionQuery,
    TraceQuery,
)
from tracecore.json_lines import record_in
from tracecore.memory import open_backend as in_memory
from tracecore.plugins import open_backend
from tracecore.records import ErrorInfo, LedgerEntry, Record, Score, Session, TraceAttributes
from tracecore.testing.opening import pages_of

__all__ = ["PROJECT", "everything", "everything_at", "kept_at", "opened", "records"]

PROJECT = "default"
MINUTE = 60 * 10**9


def records(traces: int = 5) -> list[Record]:
    """Return some of everything: traces with sessions, errors, usage and odd texts, and of everything else a few."""
    found: list[Record] = []
    for number in range(1, traces + 1):
        about = TraceAttributes(
            name="chat", user_id=f"u{number % 3}", session_id=f"s{number % 2}", tags=("web", "\ud800")
        )
        first, error = number * 10, ErrorInfo("ValueError", "no\0such", "stack")
        used: dict[str, Any] = {"usage_details": {"input": number, "output": 2}, "total_cost": number / 1024}
        found += [
            span(first, trace=number, after_s=number, input={"question": "why?" * number}, about=about),
            generation(first + 1, trace=number, parent=first, after_s=number, model="m", about=about, **used),
            span(first + 2, trace=number, parent=first, after_s=number + 1, status="error", error=error, about=about),
            Score(PROJECT, f"c{number}", "helpful", START + number, value=number / 7, trace_id=f"{number:032x}"),
        ]
    running = span(7, trace=traces, after_s=2, status="running", duration_ns=None)
    minutes = [START - START % MINUTE + n * MINUTE for n in range(3)]
    entries = [LedgerEntry(PROJECT, f"p{n % 2}", minute, emitted=n, delivered=n) for n, minute in enumerate(minutes)]
    own = [Session(PROJECT, "s1", bookmarked=True), Session(PROJECT, "alone\ud800")]
    other = replace(span(1), project="another")
    return [*found, running, *entries, *own, other]


@asynccontextmanager
async def opened(backend: Backend) -> AsyncGenerator[Backend]:
    """Open a backend for the length of a block."""
    try:
        await backend.open()
        yield backend
    finally:
        await backend.close()


async def everything(backend: Backend, project: str = PROJECT) -> dict[str, list[Any]]:
    """Return every record of a project, and what follows from them, in an order that is the same everywhere."""
    assert backend.traces is not None
    assert backend.observations is not None
    assert backend.sessions is not None
    assert backend.scores is not None
    assert backend.ledger is not None
    lists = {
        "traces": await pages_of(backend.traces.find, project, TraceQuery(limit=LARGEST_PAGE)),
        "spans": await pages_of(backend.observations.find, project, ObservationQuery(limit=7, bodies=True)),
        "sessions": await pages_of(backend.sessions.find, project, SessionQuery(limit=LARGEST_PAGE)),
        "scores": await pages_of(backend.scores.find, project, ScoreQuery(limit=LARGEST_PAGE)),
        "ledger": await pages_of(backend.ledger.find, project, LedgerQuery(limit=LARGEST_PAGE)),
    }
    return {name: sorted((item for page in pages for item in page), key=repr) for name, pages in lists.items()}


async def _of_lines(lines: list[bytes], project: str) -> dict[str, list[Any]]:
    """Return what the lines of a file amount to: a backend to which they are written says it."""
    async with opened(in_memory("memory:")) as backend:
        await backend.write([record_in(line) for line in lines])  # type: ignore[misc]  # of records only
        return await everything(backend, project)


def everything_at(url: str, project: str = PROJECT) -> dict[str, list[Any]]:
    """Return every record that is kept at a URL."""
    scheme, _, place = url.partition(":")
    if scheme == "jsonl":
        return anyio.run(_of_lines, Path(place).read_bytes().splitlines(), project)

    async def read() -> dict[str, list[Any]]:
        async with opened(open_backend(url, access="read")) as backend:
            return await everything(backend, project)

    return anyio.run(read)


async def kept_at(url: str, kept: Iterable[Record]) -> None:
    """Write records to a URL."""
    async with opened(open_backend(url)) as backend:
        await backend.write(list(kept))
