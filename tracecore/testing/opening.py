"""Opening a backend for the length of a block, and reading a list to its end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TypeAlias, TypeVar

from msgspec.structs import replace

from tracecore.backend import (
    Backend,
    LedgerQuery,
    LedgerStore,
    ObservationQuery,
    ObservationStore,
    Page,
    QueryConsole,
    ScoreQuery,
    ScoreStore,
    SessionQuery,
    SessionStore,
    TraceQuery,
    TraceStore,
)
from tracecore.catalog_prompts import prompts_of
from tracecore.prompts import PromptStore
from tracecore.records import Record

__all__ = [
    "MakeBackend",
    "ledger_in",
    "observations_in",
    "opened",
    "opened_with",
    "pages_of",
    "prompts_in",
    "scores_in",
    "sessions_in",
    "sql_of",
    "traces_in",
]

MakeBackend: TypeAlias = Callable[[], Backend]
"""Makes an unopened backend; every call makes another one for the same data."""
Q = TypeVar("Q", TraceQuery, ObservationQuery, SessionQuery, ScoreQuery, LedgerQuery)
T = TypeVar("T")
_MOST_PAGES = 10_000


@asynccontextmanager
async def opened(backend: Backend) -> AsyncGenerator[Backend]:
    """Open a backend for the length of a block."""
    try:
        await backend.open()
        yield backend
    finally:
        await backend.close()


@asynccontextmanager
async def opened_with(backend: Backend, records: Iterable[Record]) -> AsyncGenerator[Backend]:
    """Open a backend for the length of a block, after these records have been written as one batch."""
    async with opened(backend):
        await backend.write(list(records))
        yield backend


async def pages_of(find: Callable[[str, Q], Awaitable[Page[T]]], project: str, query: Q) -> list[list[T]]:
    """Return the pages of a list from the query's cursor to the last one.

    Raises:
        AssertionError: the list has no end.
    """
    pages: list[list[T]] = []
    while len(pages) < _MOST_PAGES:
        page = await find(project, query)
        pages.append(page.items)
        if page.next_cursor is None:
            return pages
        query = replace(query, cursor=page.next_cursor)
    raise AssertionError(f"the list has more than {_MOST_PAGES} pages: {query}")


def traces_in(backend: Backend) -> TraceStore:
    """Return the trace store, which must be there."""
    return _present(backend.traces, "traces")


def observations_in(backend: Backend) -> ObservationStore:
    """Return the observation store, which must be there."""
    return _present(backend.observations, "observations")


def sessions_in(backend: Backend) -> SessionStore:
    """Return the session store, which must be there."""
    return _present(backend.sessions, "sessions")


def scores_in(backend: Backend) -> ScoreStore:
    """Return the score store, which must be there."""
    return _present(backend.scores, "scores")


def ledger_in(backend: Backend) -> LedgerStore:
    """Return the ledger, which must be there."""
    return _present(backend.ledger, "ledger")


def prompts_in(backend: Backend) -> PromptStore:
    """Return the store of prompts, which must be there: the backend's own, or what its catalog keeps."""
    return prompts_of(backend)


def sql_of(backend: Backend) -> QueryConsole:
    """Return the SQL console, which must be there."""
    return _present(backend.sql, "sql")


def _present(store: T | None, name: str) -> T:
    if store is None:
        raise AssertionError(f"the backend has no store {name!r}, though its tests have joined the suite of it")
    return store
