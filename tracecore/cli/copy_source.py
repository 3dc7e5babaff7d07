"""What is copied, page by page, and for each page where to go on once it is written.

Without a time the observations of the project are one list. With one, the traces that started in it are, and for each
of them its observations, all of them; sessions count by the start of their last trace, scores by their timestamp,
entries of the ledger by their minute: copies of two times that meet leave nothing out between them.

Invariants: memory holds one page; a page of a huge trace is one like any other; pages name positions by key, so that
what is added meanwhile moves nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Final, TypeAlias, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from tracecore.backend import (
    LARGEST_PAGE,
    Backend,
    LedgerQuery,
    ObservationQuery,
    Page,
    Replayable,
    ScoreQuery,
    SessionQuery,
    TraceQuery,
)
from tracecore.cli.copy_state import PARTS, Part, Position
from tracecore.cli.patience import Patience
from tracecore.cli.reading import NothingToRead, observations_of, traces_of
from tracecore.cli.together import together
from tracecore.records import Observation, Record, Score, Session, Span

__all__ = ["Selection", "Slice", "own_record", "part_of", "slices"]

T = TypeVar("T")
Q = TypeVar("Q", ObservationQuery, SessionQuery, ScoreQuery, LedgerQuery)
_Pages: TypeAlias = AsyncIterator[tuple[Sequence[Record], Position | None]]
"""Records, and the position after them: None where the part is at its end."""
_PAGE: Final = 100
"""Observations with payloads, and traces, that are read at once."""
_AT_ONCE: Final = 4
"""Traces that are asked for beside each other."""


class Selection(Struct, frozen=True):
    """Say which records of a project are copied."""

    project: str
    since_ns: int | None = None
    until_ns: int | None = None
    parts: tuple[Part, ...] = PARTS

    @property
    def timed(self) -> bool:
        """Return whether only some time is copied."""
        return self.since_ns is not None or self.until_ns is not None


class Slice(Struct, frozen=True):
    """Hold some records, of one part unless they are replayed, and where to go on once they are written."""

    part: Part
    records: Sequence[Record]
    after: Position


async def slices(source: Backend, selection: Selection, start: Position, patience: Patience) -> AsyncIterator[Slice]:
    """Yield everything that is selected from a position on.

    Raises:
        NothingToRead: the source lacks the store of a part.
        BackendUnavailable: it is away, for longer than one is patient.
        BackendRejected: the cursor of the position is none of this source.
    """
    if start.part is None:
        return
    if source.observations is None and isinstance(source, Replayable):
        async for piece in _replayed(source, selection, start, patience):
            yield piece
        return
    begin = selection.parts.index(start.part)
    for number, part in enumerate(selection.parts[begin:], begin + 1):
        position = start if part == start.part else Position(part)
        following = Position(selection.parts[number] if number < len(selection.parts) else None)
        pages = _pages(source, selection, position, patience)
        async for records, after in pages:
            yield Slice(part, records, following if after is None else after)


def part_of(record: Record) -> Part:
    """Return the part that a record belongs to."""
    if isinstance(record, Span):
        return "observations"
    if isinstance(record, Session):
        return "sessions"
    return "scores" if isinstance(record, Score) else "ledger"


def own_record(session: Session) -> Session | None:
    """Return what was said of a session itself; None where nothing was, and it is only what its traces make it."""
    own = Session(session.project, session.session_id, session.environment, session.public, session.bookmarked)
    says_nothing = own == Session(session.project, session.session_id)
    return None if says_nothing and session.trace_count else own


async def _replayed(
    source: Replayable, selection: Selection, start: Position, patience: Patience
) -> AsyncIterator[Slice]:
    """Yield everything from a position on in the order in which it was written, whatever it is."""
    cursor = start.cursor
    while True:
        page = await patience(partial(source.replay, selection.project, cursor=cursor, limit=_PAGE))
        cursor = page.next_cursor
        records = [record for record in page.items if part_of(record) in selection.parts]
        yield Slice("observations", records, Position(None) if cursor is None else Position("observations", cursor))
        if cursor is None:
            return


def _pages(source: Backend, selection: Selection, start: Position, patience: Patience) -> _Pages:
    """Return the pages of the part that a position is in."""
    project, since_ns, until_ns = selection.project, selection.since_ns, selection.until_ns
    match start.part:
        case "sessions" if (sessions := source.sessions) is not None:
            by_start = SessionQuery(limit=LARGEST_PAGE, since_ns=since_ns, until_ns=until_ns)
            return _listed(start, lambda at: sessions.find(project, _at(by_start, at)), patience, _own_records)
        case "scores" if (scores := source.scores) is not None:
            by_time = ScoreQuery(limit=LARGEST_PAGE, since_ns=since_ns, until_ns=until_ns)
            return _listed(start, lambda at: scores.find(project, _at(by_time, at)), patience, list)
        case "ledger" if (ledger := source.ledger) is not None:
            by_minute = LedgerQuery(limit=LARGEST_PAGE, since_ns=since_ns, until_ns=until_ns)
            return _listed(start, lambda at: ledger.find(project, _at(by_minute, at)), patience, list)
        case "observations" if selection.timed:
            return _of_traces(source, selection, start, patience)
        case "observations":
            spans = observations_of(source)
            every = ObservationQuery(limit=_PAGE, bodies=True)
            return _listed(start, lambda at: spans.find(project, _at(every, at)), patience, list)
        case _:
            raise NothingToRead(str(start.part), source.location)


def _at(query: Q, cursor: str | None) -> Q:
    return replace(query, cursor=cursor)


def _own_records(sessions: Iterable[Session]) -> list[Session]:
    return [own for session in sessions if (own := own_record(session)) is not None]


async def _listed(
    start: Position,
    find: Callable[[str | None], Awaitable[Page[T]]],
    patience: Patience,
    keep: Callable[[list[T]], Sequence[Record]],
) -> _Pages:
    """Yield the pages of a list from a position on."""
    cursor = start.cursor
    while True:
        page = await patience(partial(find, cursor))
        cursor = page.next_cursor
        yield keep(page.items), None if cursor is None else Position(start.part, cursor)
        if cursor is None:
            return


async def _of_traces(source: Backend, selection: Selection, start: Position, patience: Patience) -> _Pages:
    """Yield every observation of the traces that started in the time."""
    traces = traces_of(source)
    query = TraceQuery(limit=_PAGE, since_ns=selection.since_ns, until_ns=selection.until_ns, cursor=start.cursor)
    while True:
        page = await patience(partial(traces.find, selection.project, query))
        ids = [trace.trace_id for trace in page.items]
        rest = None if page.next_cursor is None else Position("observations", page.next_cursor)
        if not ids:
            yield [], rest
        # Traces that were added since may have moved the one where it stopped out of the first page: then all of that
        # page comes again.
        inner = start.inner if start.trace_id in ids else None
        first = ids.index(start.trace_id) if start.trace_id in ids else 0
        number = first
        async for trace_id, records, further in _of_each(source, selection.project, ids[first:], inner, patience):
            number += further is None
            after = rest if number == len(ids) else Position("observations", query.cursor, ids[number])
            yield records, after if further is None else Position("observations", query.cursor, trace_id, further)
        if page.next_cursor is None:
            return
        start, query = Position(), replace(query, cursor=page.next_cursor)


async def _of_each(
    source: Backend, project: str, ids: Sequence[str], inner: str | None, patience: Patience
) -> AsyncIterator[tuple[str, list[Observation], str | None]]:
    """Yield the observations of several traces, one trace after the other, and the cursor after each page of one.

    The first pages of some traces are asked for at once: most have no other, and each answer may be long on its way.
    """
    spans = observations_of(source)

    async def page_of(trace_id: str, cursor: str | None) -> Page[Observation]:
        query = ObservationQuery(limit=_PAGE, trace_id=trace_id, bodies=True, cursor=cursor)
        return await patience(partial(spans.find, project, query))

    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        cursors = [None if start or number else inner for number in range(len(some))]
        calls = [partial(page_of, trace_id, cursor) for trace_id, cursor in zip(some, cursors, strict=True)]
        for trace_id, first in zip(some, await together(calls), strict=True):
            page = first
            yield trace_id, page.items, page.next_cursor
            while page.next_cursor is not None:
                page = await page_of(trace_id, page.next_cursor)
                yield trace_id, page.items, page.next_cursor
