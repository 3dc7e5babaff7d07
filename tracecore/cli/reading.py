"""From settings to an open backend that a command reads: opened for reading only, always closed.

Invariants: nothing is created, not even an empty file; a store that the backend lacks is an error that says so; a
backend is closed also when the command was interrupted.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

import anyio
from msgspec import Struct
from msgspec.structs import replace

from tracecore.backend import (
    LARGEST_PAGE,
    Backend,
    ObservationStore,
    Page,
    QueryConsole,
    ScoreQuery,
    SessionStore,
    TraceStore,
)
from tracecore.config import Config
from tracecore.errors import TracecoreError
from tracecore.plugins import open_to_read
from tracecore.records import Score

__all__ = [
    "NoTracesYet",
    "NothingToRead",
    "Settings",
    "is_missing_file",
    "observations_of",
    "opened",
    "opened_to_read",
    "pages",
    "read",
    "scores_of",
    "sessions_of",
    "sql_of",
    "traces_of",
]

T = TypeVar("T")
_CLOSE_TIMEOUT: Final = 5.0


class Settings(Struct, frozen=True):
    """Hold what every command knows: the configuration, and whether a program reads the answer."""

    config: Config
    as_json: bool = False
    given: Mapping[str, str] = {}
    """The settings that the command line itself gave."""

    @property
    def project(self) -> str:
        """Return the project that is read."""
        return self.config.project


class NoTracesYet(TracecoreError):
    """Report that the file that would hold the traces does not exist, and how to begin."""

    def __init__(self, location: str, named_by: str) -> None:
        super().__init__(
            f"no traces yet: {location} does not exist; record some with `python -m tracecore run app.py`, "
            f"or name where they are with {named_by}"
        )


class NothingToRead(TracecoreError):
    """Report a backend that lacks the store a command needs."""

    def __init__(self, noun: str, location: str) -> None:
        super().__init__(f"{location} keeps no {noun} that can be read; name another backend with --backend")


def read(settings: Settings, work: Callable[[Backend], Awaitable[T]]) -> T:
    """Run ``work`` with the configured backend, open for reading.

    Raises:
        NoTracesYet: nothing was recorded so far.
        TracecoreError: the backend cannot be opened or read.
    """

    async def main() -> T:
        async with opened(settings.config) as backend:
            return await work(backend)

    return anyio.run(main)


@asynccontextmanager
async def opened(config: Config) -> AsyncGenerator[Backend]:
    """Open the configured backend for reading, and close it; of several the first that has something to read."""
    async with opened_to_read(open_to_read(config)) as backend:
        yield backend


@asynccontextmanager
async def opened_to_read(backend: Backend, *, named_by: str = "--backend") -> AsyncGenerator[Backend]:
    """Open a backend that was made for reading, and close it; ``named_by`` is what to name another one with."""
    if is_missing_file(backend.location):
        raise NoTracesYet(backend.location, named_by)
    try:
        await backend.open()
        yield backend
    finally:
        with anyio.move_on_after(_CLOSE_TIMEOUT, shield=True):
            await backend.close()


async def pages(fetch: Callable[[str | None], Awaitable[Page[T]]], *, start: str | None = None) -> AsyncIterator[T]:
    """Yield the items of every page, given a function from a cursor to a page."""
    cursor = start
    while True:
        page = await fetch(cursor)
        for item in page.items:
            yield item
        cursor = page.next_cursor
        if cursor is None:
            return


def traces_of(backend: Backend) -> TraceStore:
    """Return the trace store, or say that there is none."""
    return _present(backend.traces, "traces", backend)


def observations_of(backend: Backend) -> ObservationStore:
    """Return the observation store, or say that there is none."""
    return _present(backend.observations, "spans", backend)


def sessions_of(backend: Backend) -> SessionStore:
    """Return the session store, or say that there is none."""
    return _present(backend.sessions, "sessions", backend)


async def scores_of(backend: Backend, project: str, query: ScoreQuery) -> AsyncIterator[Score]:
    """Yield the scores that a query selects, newest first; none where the backend keeps none that can be read."""
    store = backend.scores
    if store is not None:
        asked = replace(query, limit=LARGEST_PAGE)
        async for score in pages(lambda cursor: store.find(project, replace(asked, cursor=cursor))):
            yield score


def sql_of(backend: Backend) -> QueryConsole:
    """Return the SQL console, or say that there is none."""
    return _present(backend.sql, "SQL views", backend)


def _present(store: T | None, noun: str, backend: Backend) -> T:
    if store is None:
        raise NothingToRead(noun, backend.location)
    return store


def is_missing_file(location: str) -> bool:
    """Return whether ``location`` is a path, which is absolute, rather than a URL, and nothing is there."""
    path = Path(location)
    return path.is_absolute() and not path.exists()
