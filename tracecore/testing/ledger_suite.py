"""The conformance suite of ledgers: entries, their sums, and finding what was abandoned by processes that are gone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any, Final, cast

import pytest
from msgspec.structs import replace

from tracecore.backend import Backend, Batch, LedgerQuery, LedgerTotals, Page
from tracecore.errors import BackendRejected
from tracecore.ledger import abandoned, add_up, last_entries
from tracecore.records import LedgerEntry, Observation, Provenance, Record, Span, merge
from tracecore.rollup import roll_up
from tracecore.testing.comparing import same
from tracecore.testing.contract import HOSTILE_TEXTS, Contract
from tracecore.testing.opening import MakeBackend, ledger_in, opened, opened_with, pages_of
from tracecore.testing.samples import (
    MINUTE,
    PROJECT,
    SECOND,
    START,
    entry,
    full_generation,
    json_of,
    span,
)
from tracecore.testing.trace_suite import FORGED_CURSORS

__all__ = ["LedgerSuite"]

_MOST_SLICES: Final = 10_000
_LONG_AGO: Final = 1_000_000_000 * SECOND
_FAR_OFF: Final = 4_000_000_000 * SECOND
"""Moments that are past and to come wherever the suite runs: 2001 and 2096."""
_BEGUN: Final = START - START % MINUTE

_FULL: Final = entry(
    "full", minute=9, emitted=30, delivered=20, waiting=3, sampled=4, lost={"ring_full": 5, "rejected": 2}, recovered=6,
    restarts=1, host="web-1", pid=4711, service_name="shop", started_ns=START - 5, ended=True,
)  # fmt: skip
_ENTRIES: Final[tuple[LedgerEntry, ...]] = (
    entry("a", minute=1, emitted=3, delivered=1, waiting=2),
    entry("a", minute=2, emitted=9, delivered=4, waiting=1, lost={"ring_full": 4}, sampled=1),
    entry("b", minute=2, emitted=1, delivered=1),
    entry("c", minute=2, emitted=7, delivered=5, lost={"rejected": 1}, ended=True),
    entry("b", minute=4, emitted=5, delivered=4, lost={"ring_full": 1}, recovered=2),
    _FULL,
)
"""Six entries of four processes; that of c does not balance."""
_FILTERS: Final[tuple[tuple[LedgerQuery, tuple[int, ...]], ...]] = (
    (LedgerQuery(), (5, 4, 3, 2, 1, 0)),
    (LedgerQuery(process="a"), (1, 0)),
    (LedgerQuery(process=""), ()),
    (LedgerQuery(since_ns=_BEGUN + 2 * MINUTE), (5, 4, 3, 2, 1)),
    (LedgerQuery(since_ns=_BEGUN + 2 * MINUTE + 1), (5, 4)),
    (LedgerQuery(until_ns=_BEGUN + 2 * MINUTE), (0,)),
    (LedgerQuery(until_ns=_BEGUN + 2 * MINUTE + 1), (3, 2, 1, 0)),
    (LedgerQuery(since_ns=_BEGUN + 2 * MINUTE, until_ns=_BEGUN + 5 * MINUTE, process="b"), (4, 2)),
    (LedgerQuery(last=True), (5, 4, 3, 1)),
    (LedgerQuery(last=True, process="b"), (4,)),
    (LedgerQuery(last=True, until_ns=_BEGUN + 4 * MINUTE), (3, 1)),
    (LedgerQuery(last=True, since_ns=_BEGUN + 3 * MINUTE), (5, 4)),
)
"""Queries, and which entries they find in which order."""


class LedgerSuite(Contract):
    """Prove ``Capabilities.ledger``."""

    async def test_entries_are_kept_in_every_field(self, make: MakeBackend, make_reader: MakeBackend) -> None:
        """Sink.write: "Keep every record of the batch": every field of an entry comes back, with the other records."""
        async with opened_with(make(), [span(1), _FULL, entry("least")]), opened(make_reader()) as reader:
            same((await ledger_in(reader).find(PROJECT, LedgerQuery())).items, [_FULL, entry("least")])
            same(await self.stored(make_reader), [span(1)])

    async def test_batches_without_an_entry_are_kept(self, make: MakeBackend, make_reader: MakeBackend) -> None:
        """Capabilities.ledger: a batch may come with an entry, without one, or be nothing but entries."""
        async with opened(make()) as backend:
            await backend.write([span(1)])
            await backend.write([entry("a"), entry("b")])
            await backend.write([span(2), entry("a", minute=1)])
            same((await ledger_in(backend).find(PROJECT, LedgerQuery(process="b"))).items, [entry("b")])
        same(await self.stored(make_reader), [span(1), span(2)])

    async def test_filters_order_and_pages(self, make: MakeBackend) -> None:
        """LedgerQuery: "every condition that is set must hold. Newest minute first, ties by process descending"."""
        async with opened_with(make(), _ENTRIES) as backend:
            find = ledger_in(backend).find
            for query, places in _FILTERS:
                for limit in (1, 2, max(1, len(places)), 1000):
                    pages = await pages_of(find, PROJECT, replace(query, limit=limit))
                    found = [one for page in pages for one in page]
                    same(found, [_ENTRIES[place] for place in places], f"{query}, limit {limit}")
                    assert len(pages) == max(1, -(-len(places) // limit)), f"{query}, limit {limit}"

    async def test_pages_are_stable_while_entries_are_added(self, make: MakeBackend) -> None:
        """Page: cursors "name a position by key (never by count) and stay valid while records are added"."""
        async with opened_with(make(), _ENTRIES) as backend:
            find = ledger_in(backend).find
            first = await find(PROJECT, LedgerQuery(limit=3))
            added = [entry("z", minute=20), entry("a", minute=3), entry("bb", minute=2)]
            await backend.write(added)
            rest = await pages_of(find, PROJECT, LedgerQuery(limit=3, cursor=first.next_cursor))
        same([one for page in rest for one in page], [added[2], _ENTRIES[2], _ENTRIES[1], _ENTRIES[0]])

    async def test_a_forged_cursor_or_limit_is_refused(self, make: MakeBackend) -> None:
        """LedgerStore.find: "Raises as TraceStore.find does": for a foreign cursor, and for a limit out of range."""
        wrong = [LedgerQuery(cursor=cursor) for cursor in FORGED_CURSORS]
        wrong += [LedgerQuery(limit=limit) for limit in (0, -1, 1001, 2**70)]
        async with opened_with(make(), _ENTRIES) as backend:
            for query in wrong:
                with pytest.raises(BackendRejected):
                    await ledger_in(backend).find(PROJECT, query)

    async def test_the_later_entry_replaces_the_earlier(self, make: MakeBackend) -> None:
        """records.merge: the entry "that was seen later replaces the other as a whole …; only ended stays true"."""
        early = entry(emitted=5, delivered=2, waiting=3, lost={"rejected": 1}, host="h", pid=7, restarts=2)
        later = entry(seen_ns=early.seen_ns + 1, emitted=6, delivered=6)
        at_once = replace(later, emitted=7, sampled=1)
        ended = entry(seen_ns=early.seen_ns - 1, ended=True)
        async with opened(make()) as backend:
            for number, order in enumerate(permutations((early, later, at_once, ended))):
                for cut in (0, 2, 4):
                    mine = [replace(one, project=f"order {number}, cut {cut}") for one in order]
                    for batch in (mine[:cut], mine[cut:], mine[-1:]):
                        await backend.write(batch)
                    expected: Record = mine[0]
                    for one in mine[1:]:
                        expected = merge(expected, one)
                    page = await ledger_in(backend).find(mine[0].project, LedgerQuery())
                    same(page.items, [expected], [one.emitted for one in order])

    async def test_others_speak_of_a_process(self, make: MakeBackend) -> None:
        """tracecore.ledger: others speak of a process, without its host; an older entry of a minute changes nothing."""
        own = entry("p", seen_ns=_BEGUN + 10, emitted=5, delivered=2, waiting=3, host="h", pid=7, service_name="s")
        farewell = entry("p", seen_ns=_BEGUN + 20, emitted=5, delivered=5, ended=True)
        for number, order in enumerate(permutations((own, farewell, own))):
            async with opened(make()) as backend:
                mine = [replace(one, project=f"order {number}") for one in order]
                for one in mine:
                    await backend.write([one])
                for last in (False, True):
                    page = await ledger_in(backend).find(mine[0].project, LedgerQuery(last=last))
                    same(page.items, [replace(farewell, project=mine[0].project)])
                assert (await ledger_in(backend).totals(mine[0].project)).waiting == 0

    async def test_an_entry_goes_with_its_batch(self, make: MakeBackend) -> None:
        """Capabilities.ledger: "in one transaction with the rest of their batch": refused with it, it is not kept."""
        stranger = cast("Any", object())
        async with opened_with(make(), [entry(emitted=1)]) as backend:
            for batch in ([span(2), entry(minute=1), stranger], [entry(seen_ns=_FAR_OFF), stranger]):
                with pytest.raises(BackendRejected):
                    await backend.write(cast("Batch", batch))
            same((await ledger_in(backend).find(PROJECT, LedgerQuery())).items, [entry(emitted=1)])

    async def test_totals_are_over_the_last_entries(self, make: MakeBackend) -> None:
        """LedgerStore.totals: "the sum over the last entry of each process", or what came since some minute."""
        async with opened_with(make(), [*_ENTRIES, entry("a", project="other", emitted=99)]) as backend:
            totals = ledger_in(backend).totals
            same(await totals(PROJECT), add_up((last, None) for last in last_entries(_ENTRIES)))
            assert (await totals(PROJECT)).unbalanced == 1
            for since in (_BEGUN - 1, _BEGUN, _BEGUN + MINUTE, _BEGUN + MINUTE + 1, _BEGUN + 4 * MINUTE, _FAR_OFF):
                before = {one.process: one for one in last_entries(one for one in _ENTRIES if one.minute_ns < since)}
                now = [last for last in last_entries(_ENTRIES) if last.minute_ns >= since]
                expected = add_up((last, before.get(last.process)) for last in now)
                same(await totals(PROJECT, since), expected, since)
            same(await totals("nobody's"), LedgerTotals())

    async def test_projects_have_ledgers_of_their_own(self, make: MakeBackend) -> None:
        """Backend: "Every read names its project": the same process of another project has another account."""
        mine, theirs = entry("a", emitted=1), entry("a", project="other", emitted=2)
        async with opened_with(make(), [mine, theirs]) as backend:
            for project, expected in ((PROJECT, [mine]), ("other", [theirs]), ("third", [])):
                for last in (False, True):
                    same(await ledger_in(backend).find(project, LedgerQuery(last=last)), Page(expected))

    async def test_texts_of_any_kind_come_back(self, make: MakeBackend) -> None:
        """Sink.write: "Keep every record": NUL, lone surrogates and every script, in every text of an entry."""
        entries = [
            entry(text, minute=minute, host=text, service_name=text, lost={text: 1}, emitted=1)
            for minute, text in enumerate(HOSTILE_TEXTS)
        ]
        async with opened_with(make(), entries) as backend:
            await backend.write(entries)
            for query in (LedgerQuery(limit=1), LedgerQuery(limit=1, last=True)):
                pages = await pages_of(ledger_in(backend).find, PROJECT, query)
                same([one for page in pages for one in page], entries[::-1])
            for one in entries:
                same((await ledger_in(backend).find(PROJECT, LedgerQuery(process=one.process))).items, [one])
            assert (await ledger_in(backend).totals(PROJECT)).processes == len(entries)

    async def test_results_are_the_callers_to_keep(self, make: MakeBackend) -> None:
        """Backend: "Results are the caller's to keep", and what was written stays the caller's, too."""
        lost = {"rejected": 1}
        async with opened_with(make(), [entry(lost=lost)]) as backend:
            lost["rejected"] = 2
            (found,) = (await ledger_in(backend).find(PROJECT, LedgerQuery())).items
            assert found.lost is not None
            assert found.lost == {"rejected": 1}
            found.lost.clear()
            same((await ledger_in(backend).find(PROJECT, LedgerQuery())).items, [entry(lost={"rejected": 1})])

    async def test_what_runs_in_a_process_that_is_gone_was_abandoned(
        self, make: MakeBackend, make_reader: MakeBackend
    ) -> None:
        """Sink.maintain: "the process … has ended, or was not seen for two minutes"; all others are "left alone"."""
        spans = [_running(number, process) for number, process in enumerate((*_PROCESSES, None, "unheard of"), 1)]
        spans.append(replace(_running(9, "ended"), status="ok", duration_ns=SECOND))
        records = [*spans, replace(full_generation(10), provenance=Provenance(service_instance_id="ended"))]
        expected = [_found(record) for record in records]
        before = entry("alive", seen_ns=_LONG_AGO)  # an earlier entry says nothing of a process any more
        async with opened_with(make(), [*records, before, *_PROCESSES.values()]):
            pass
        await _maintained(make())
        await _maintained(make())
        same(await self.stored(make_reader), expected)
        await self._rolled_up(make_reader(), expected)

    async def test_how_long_something_ran_that_was_abandoned(self, make: MakeBackend, make_reader: MakeBackend) -> None:
        """Sink.maintain: "the time from its start to the last moment at which that process was seen", at least 0."""
        seen = _BEGUN + 30 * SECOND
        spans = [_running(number, "p", start_ns=start) for number, start in enumerate((seen - 7, seen, seen + 7), 1)]
        entries = [entry("p", minute=-2, seen_ns=seen - 90 * SECOND), entry("p", seen_ns=seen, ended=True)]
        async with opened_with(make(), [*spans, *entries]):
            pass
        await _maintained(make())
        found = await self.stored(make_reader)
        assert [(one.status, one.duration_ns) for one in found] == [("abandoned", took) for took in (7, 0, 0)]

    async def test_many_things_that_were_abandoned(self, make: MakeBackend, make_reader: MakeBackend) -> None:
        """Sink.maintain: "one bounded slice …; return whether more remains": each of many is found, and it ends."""
        spans = [_running(number, "ended", within=1 + number % 7) for number in range(1, 700)]
        async with opened_with(make(), [*spans, _PROCESSES["ended"]]):
            pass
        await _maintained(make())
        found = await self.stored(make_reader)
        assert len(found) == len(spans)
        assert {one.status for one in found} == {"abandoned"}
        await self._rolled_up(make_reader(), found)

    async def test_an_end_that_comes_late_is_the_end(self, make: MakeBackend, make_reader: MakeBackend) -> None:
        """Sink.write: "abandoned … overrides running, and every ended one overrides it, whichever comes first"."""
        running = _running(1, "ended", input=json_of("in"))
        given_up = replace(running, status="abandoned", duration_ns=5, output=json_of("so far"))
        end = replace(running, status="error", duration_ns=9, output=json_of("out"))
        async with opened(make()) as backend:
            for number, order in enumerate(permutations((running, given_up, end, given_up))):
                mine = [replace(record, project=f"order {number}") for record in order]
                for batch in (mine[: number % 4], mine[number % 4 :], mine[:1]):
                    await backend.write(batch)
                same(await self.stored(make_reader, f"order {number}"), [replace(end, project=f"order {number}")])
        async with opened_with(make(), [running, _PROCESSES["ended"]]):
            pass
        await _maintained(make())
        async with opened_with(make(), [running]):
            same([one.status for one in await self.stored(make_reader)], ["abandoned"])
        async with opened_with(make(), [end]):
            same(await self.stored(make_reader), [end])
        await self._rolled_up(make_reader(), [end])

    async def test_a_process_is_that_of_its_project(self, make: MakeBackend, make_reader: MakeBackend) -> None:
        """Sink.maintain: a process is looked up in "the ledger of its project", and in no other."""
        mine, theirs = _running(1, "ended"), replace(_running(1, "ended"), project="other")
        async with opened_with(make(), [mine, theirs, replace(_PROCESSES["ended"], project="other")]):
            pass
        await _maintained(make())
        same(await self.stored(make_reader), [mine])
        assert [one.status for one in await self.stored(make_reader, "other")] == ["abandoned"]

    async def _rolled_up(self, reader: Backend, observations: Sequence[Observation]) -> None:
        """Assert that the traces say what their observations do, where traces are kept."""
        async with opened(reader):
            for trace_id in {one.trace_id for one in observations} if reader.traces is not None else ():
                mine = [one for one in observations if one.trace_id == trace_id]
                assert reader.traces is not None
                same(await reader.traces.get(PROJECT, trace_id), roll_up(PROJECT, trace_id, mine))


_PROCESSES: Final = {
    "ended": entry("ended", seen_ns=_FAR_OFF, ended=True),
    "unseen": entry("unseen", seen_ns=_LONG_AGO),
    "alive": entry("alive", minute=1, seen_ns=_FAR_OFF),
}


def _running(number: int, process: str | None, *, within: int = 1, **fields: Any) -> Span:
    said = Provenance(sdk_name="sdk", service_instance_id=process)
    return span(number, within=within, status="running", provenance=said, **fields)


def _found(record: Span) -> Span:
    """Return what becomes of a record of the process that it names."""
    process = record.provenance.service_instance_id if record.provenance is not None else None
    if record.status != "running" or process not in {"ended", "unseen"}:
        return record
    return cast("Span", merge(record, abandoned(record, _PROCESSES[process].seen_ns)))


async def _maintained(backend: Backend) -> None:
    """Open a backend, let it do all the work that was put off, and close it."""
    async with opened(backend):
        for _ in range(_MOST_SLICES):
            if not await backend.maintain():
                return
    raise AssertionError(f"maintain() still returns True after {_MOST_SLICES} calls with no write between")
