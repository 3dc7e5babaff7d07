"""Is everything there? Both sides of a copy are counted, and compared record by record where that is asked for.

Only what began before the copy did is looked at, because a source that is in use goes on growing. The target may hold
more than the source: what it has of a record is right when writing that of the source again would change nothing.

Invariants: what cannot be read back is said to be so, never taken for granted; memory holds two pages.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from tracecore.backend import LARGEST_PAGE, Backend, LedgerQuery, ObservationQuery, TraceQuery
from tracecore.cli.copy_source import Selection, slices
from tracecore.cli.copy_state import Part, Position
from tracecore.cli.copying import name_of
from tracecore.cli.patience import Patience
from tracecore.cli.reading import observations_of, traces_of
from tracecore.records import LedgerEntry, Record, Score, Session, Span, Trace, merge

__all__ = ["Compared", "Counted", "compared", "counted", "readable", "total_of"]

_PAGE: Final = 100
_NAMED: Final = 20
_LAST_NS: Final = 2**63 - 1
_MINUTE_NS: Final = 60 * 10**9
"""The entry of a minute grows until that is over."""
_Key: TypeAlias = tuple[str, str]


class Counted(Struct, frozen=True):
    """Hold how many records of a kind there are on each side."""

    source: int
    target: int

    @property
    def complete(self) -> bool:
        """Return whether the target has at least as many."""
        return self.target >= self.source


class Compared(Struct):
    """Hold what comparing record by record has found."""

    records: int = 0
    missing: int = 0
    different: int = 0
    named: list[str] = []
    """The first of them."""

    @property
    def equal(self) -> bool:
        """Return whether the target has everything as the source has it."""
        return not self.missing and not self.different

    def add(self, record: Record, found: Record | None) -> None:
        """Compare a record with what the target has of it."""
        self.records += 1
        if found is None:
            self.missing += 1
        elif merge(found, record) != found:
            self.different += 1
        else:
            return
        if len(self.named) < _NAMED:
            said = f"{name_of(record)} is {'missing' if found is None else 'different'}"
            self.named.append(said.encode("utf-8", "backslashreplace").decode())


def readable(backend: Backend, selection: Selection) -> bool:
    """Return whether all that is selected can be read from a backend."""
    stores: dict[Part, object] = {
        "observations": backend.observations,
        "sessions": backend.sessions,
        "scores": backend.scores,
        "ledger": backend.ledger,
    }
    return backend.traces is not None and all(stores[part] is not None for part in selection.parts)


async def counted(
    source: Backend, target: Backend, selection: Selection, begun_ns: int, patience: Patience
) -> dict[str, Counted]:
    """Return how many records of each kind both sides have, of what began before a moment."""
    theirs = await _counts(source, selection, begun_ns, patience)
    ours = await _counts(target, selection, begun_ns, patience)
    return {kind: Counted(number, ours[kind]) for kind, number in theirs.items()}


async def compared(
    source: Backend, target: Backend, selection: Selection, begun_ns: int, patience: Patience
) -> Compared:
    """Compare every record that began before a moment with what the target has of it."""
    result = Compared()
    async for piece in slices(source, selection, Position(selection.parts[0]), patience):
        records = [record for record in piece.records if _began_ns(record) < begun_ns]
        found = await _found(target, piece.part, records, patience)
        for record in records:
            result.add(record, found.get(_key(record)))
    return result


async def total_of(source: Backend, selection: Selection, patience: Patience) -> int:
    """Return about how many observations there are to be copied: traces say how many they have."""
    total = 0
    async for trace in _traces(source, selection, _LAST_NS, patience):
        total += trace.observation_count
    return total


async def _counts(backend: Backend, selection: Selection, begun_ns: int, patience: Patience) -> dict[str, int]:
    parts: list[Part] = [part for part in selection.parts if part != "observations"]
    counts: dict[str, int] = dict.fromkeys(["traces", "observations", *parts], 0)
    async for trace in _traces(backend, selection, begun_ns, patience):
        counts["traces"] += 1
        counts["observations"] += trace.observation_count
    if not parts:
        return counts
    rest = replace(selection, parts=tuple(parts))
    async for piece in slices(backend, rest, Position(parts[0]), patience):
        counts[piece.part] += sum(_began_ns(record) < begun_ns for record in piece.records)
    return counts


async def _traces(backend: Backend, selection: Selection, begun_ns: int, patience: Patience) -> AsyncIterator[Trace]:
    until_ns = begun_ns if selection.until_ns is None else min(begun_ns, selection.until_ns)
    query = TraceQuery(limit=LARGEST_PAGE, since_ns=selection.since_ns, until_ns=until_ns)
    store = traces_of(backend)
    while True:
        page = await patience(partial(store.find, selection.project, query))
        for trace in page.items:
            yield trace
        if page.next_cursor is None:
            return
        query = replace(query, cursor=page.next_cursor)


def _began_ns(record: Record) -> int:
    """Return when something was there that does not change any more, in ns."""
    if isinstance(record, Span):
        return record.start_ns
    if isinstance(record, LedgerEntry):
        return record.minute_ns + _MINUTE_NS
    return record.timestamp_ns if isinstance(record, Score) else 0


def _key(record: Record) -> _Key:
    """Return what tells a record from others of its part."""
    if isinstance(record, Span):
        return record.trace_id, record.span_id
    if isinstance(record, LedgerEntry):
        return record.process, str(record.minute_ns)
    return "", record.score_id if isinstance(record, Score) else record.session_id


async def _found(target: Backend, part: Part, records: Sequence[Record], patience: Patience) -> dict[_Key, Record]:
    """Return what the target has of some records of one part."""
    spans = [record for record in records if isinstance(record, Span)]
    found: dict[_Key, Record] = await _found_spans(target, spans, patience) if part == "observations" and spans else {}
    for record in records:
        if _key(record) not in found and (one := await patience(partial(_one, target, record))) is not None:
            found[_key(record)] = one
    return found


async def _found_spans(target: Backend, spans: Sequence[Span], patience: Patience) -> dict[_Key, Record]:
    """Return those of a page that are where they are expected: in the list of the time that the page is of."""
    starts = [span.start_ns for span in spans]
    traces = {span.trace_id for span in spans}
    wanted = {_key(span) for span in spans}
    store, project = observations_of(target), spans[0].project
    query = ObservationQuery(
        limit=_PAGE,
        trace_id=traces.pop() if len(traces) == 1 else None,
        since_ns=min(starts),
        until_ns=max(starts) + 1 if max(starts) < _LAST_NS else None,
        bodies=True,
    )
    found: dict[_Key, Record] = {}
    while True:
        page = await patience(partial(store.find, project, query))
        found |= {key: span for span in page.items if (key := _key(span)) in wanted}
        if page.next_cursor is None or len(found) == len(wanted):
            return found
        query = replace(query, cursor=page.next_cursor)


async def _one(target: Backend, record: Record) -> Record | None:
    """Return what the target has of one record."""
    project = record.project
    if isinstance(record, Span):
        return await observations_of(target).get(project, record.trace_id, record.span_id)
    if isinstance(record, Session):
        session = None if target.sessions is None else await target.sessions.get(project, record.session_id)
        own = ("project", "session_id", "environment", "public", "bookmarked")
        return session and Session(**{name: getattr(session, name) for name in own})
    if isinstance(record, Score):
        return None if target.scores is None else await target.scores.get(project, record.score_id)
    minute = LedgerQuery(process=record.process, since_ns=record.minute_ns, until_ns=record.minute_ns + 1)
    entries = [] if target.ledger is None else (await target.ledger.find(project, minute)).items
    return entries[0] if entries else None
