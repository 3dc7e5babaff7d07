"""The conformance suite of what erases: traces as a whole, with everything of theirs, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final, cast

import pytest
from msgspec.structs import replace

from tracecore.backend import Backend, LedgerQuery, ObservationQuery, ScoreQuery, SessionQuery, TraceQuery
from tracecore.catalog import INSTALLATION, Catalogued, Entry, Put
from tracecore.erasure import LARGEST_ERASURE, Erasable, Erased
from tracecore.errors import BackendError, BackendRejected
from tracecore.records import Record, TraceAttributes
from tracecore.rollup import roll_up
from tracecore.testing.comparing import same
from tracecore.testing.contract import HOSTILE_TEXTS, Contract
from tracecore.testing.opening import (
    MakeBackend,
    observations_in,
    opened,
    opened_with,
    pages_of,
    scores_in,
    sessions_in,
    traces_in,
)
from tracecore.testing.samples import (
    PROJECT,
    SECOND,
    START,
    entry,
    full_generation,
    json_of,
    score,
    session,
    span,
    span_id_of,
    trace_id_of,
)

__all__ = ["ErasureSuite", "erasing"]

_MOST_CALLS: Final = 10_000
_UNKNOWN: Final = trace_id_of(999)


def erasing(backend: Backend) -> Erasable:
    """Return a backend that must be able to erase."""
    assert isinstance(backend, Erasable), "the backend erases nothing, though its tests have joined the suite of it"
    return backend


def _said(session_id: str | None = None, user_id: str | None = None) -> TraceAttributes:
    return TraceAttributes(session_id=session_id, user_id=user_id)


def _mixed(project: str = PROJECT) -> list[Record]:
    """Return four traces: two of one session, one of another, one of none; sessions and scores of every kind."""
    texts: list[Record] = [
        span(1, within=1, trace=_said("both", "u1"), input=json_of("apple pear")),
        span(2, within=1, trace=_said("both", "u1"), output=json_of("plum"), status_message="cherry"),
        span(1, within=2, after_s=5, trace=_said("both", "u2"), input=json_of("apple plum")),
        span(1, within=3, after_s=9, trace=_said("alone", "u1"), input=json_of("pear")),
        full_generation(7, within=4),
        session("both", public=True), session("own", bookmarked=True),
        score("of 1", trace_id=trace_id_of(1)), score("of 2", trace_id=trace_id_of(2)),
        score("of 1 too", trace_id=trace_id_of(1), observation_id=span_id_of(2)),
        score("of unknown", trace_id=_UNKNOWN),
        score("of a session", session_id="both"), score("of an experiment", experiment_id="e"),
        entry(emitted=3, delivered=3),
    ]  # fmt: skip
    return [replace(record, project=project) for record in texts]


def _without(records: Iterable[Record], *gone: int, scores: Iterable[str] = ()) -> list[Record]:
    """Return records without those of some traces, and without some scores."""
    ids = {trace_id_of(number) for number in gone}
    kept = [record for record in records if getattr(record, "trace_id", None) not in ids]
    return [record for record in kept if getattr(record, "score_id", None) not in set(scores)]


async def everything_in(backend: Backend, project: str) -> list[object]:
    """Return all that a backend says of a project, of every way to read."""
    found: list[object] = []
    finds: list[tuple[Any, Any]] = [
        (traces_in(backend).find, TraceQuery(limit=1000)),
        (observations_in(backend).find, ObservationQuery(limit=1000, bodies=True)),
        (sessions_in(backend).find, SessionQuery(limit=1000)),
        (scores_in(backend).find, ScoreQuery(limit=1000)),
    ]
    for phrase in ("apple", "plum", "pear", "cherry", "apple plum"):
        finds.append((traces_in(backend).find, TraceQuery(search=phrase)))
        finds.append((observations_in(backend).find, ObservationQuery(search=phrase)))
    for find, query in finds:
        found += await pages_of(find, project, query)
    for number in (1, 2, 3, 4):
        found.append(await traces_in(backend).get(project, trace_id_of(number)))
        found.append(await observations_in(backend).tree(project, trace_id_of(number)))
    found += [await sessions_in(backend).get(project, one) for one in ("both", "alone", "own", "session-1")]
    for user_id in ("u1", "u2"):
        found += await pages_of(sessions_in(backend).find, project, SessionQuery(user_id=user_id))
    return found


async def _to_the_end(call: Any, *args: Any, **given: Any) -> int:
    """Call until nothing remains; return how often."""
    for calls in range(1, _MOST_CALLS):
        if not await call(*args, **given):
            return calls
    raise AssertionError(f"{call.__name__} still says that more remains after {_MOST_CALLS} calls")


async def _maintained(backend: Backend) -> None:
    for _ in range(_MOST_CALLS):
        if not await backend.maintain():
            return
    raise AssertionError("maintain() does not end")


class ErasureSuite(Contract):
    """Prove that a backend erases as :class:`tracecore.erasure.Erasable` says."""

    async def _expect(self, backend: Backend, records: Iterable[Record], project: str = PROJECT) -> None:
        """Assert that a backend says of a project what it says where only these records were ever written."""
        fresh = "written once"
        await backend.write([replace(record, project=fresh) for record in records])
        told = await everything_in(backend, fresh)
        again = [_in_project(one, project) for one in told]
        same(await everything_in(backend, project), again)
        await _to_the_end(erasing(backend).erase_project, fresh)

    async def test_a_trace_goes_with_everything_of_it(self, make: MakeBackend, make_reader: MakeBackend) -> None:
        """Erasure: "with it go its observations and their payloads, whatever finds them, its scores, …"."""
        for maintained in (False, True):
            project = f"maintained {maintained}"
            async with opened_with(make(), [*_mixed(project), *_mixed("other")]) as backend:
                before = await everything_in(backend, "other")
                if maintained:
                    await _maintained(backend)
                erased = await erasing(backend).erase(project, trace_ids=[trace_id_of(1), trace_id_of(3)])
                same(erased, Erased((trace_id_of(1), trace_id_of(3)), (), 3, 2))
                await self._expect(backend, _without(_mixed(project), 1, 3), project)
                async with opened(make_reader()) as reader:
                    same(await traces_in(reader).get(project, trace_id_of(1)), None)
                    same(await sessions_in(reader).get(project, "alone"), None)
                await _maintained(backend)
                await self._expect(backend, _without(_mixed(project), 1, 3), project)
                same(await everything_in(backend, "other"), before)

    async def test_a_session_follows_the_traces_that_are_left(self, make: MakeBackend) -> None:
        """Erasure: "its session, where that has no other trace and no record of its own"."""
        async with opened_with(make(), _mixed()) as backend:
            await erasing(backend).erase(PROJECT, trace_ids=[trace_id_of(2)])
            await self._expect(backend, _without(_mixed(), 2))
            await erasing(backend).erase(PROJECT, trace_ids=[trace_id_of(1)])
            await self._expect(backend, _without(_mixed(), 1, 2))
            found = await sessions_in(backend).get(PROJECT, "both")
            same(found, session("both", public=True))

    async def test_what_is_not_there_is_no_error(self, make: MakeBackend) -> None:
        """Erasable.erase: "an id that is not known is no error. Scores of an unknown trace go, too"."""
        async with opened_with(make(), _mixed()) as backend:
            eraser = erasing(backend)
            same(await eraser.erase(PROJECT), Erased())
            same(await eraser.erase(PROJECT, trace_ids=[trace_id_of(55)], score_ids=["nobody's"]), Erased())
            same(await eraser.erase("nobody's", trace_ids=[trace_id_of(1)], score_ids=["of 1"]), Erased())
            await self._expect(backend, _mixed())
            wanted = [trace_id_of(55), trace_id_of(2), _UNKNOWN, trace_id_of(2), ""]
            erased = await eraser.erase(PROJECT, trace_ids=wanted, score_ids=["of 1", "of 2", "nobody's", "of 1"])
            same(erased, Erased((trace_id_of(2),), ("of 1",), 1, 3))
            await self._expect(backend, _without(_mixed(), 2, scores=["of unknown", "of 1"]))
            same(await eraser.erase(PROJECT, trace_ids=wanted, score_ids=["of 1"]), Erased())

    async def test_what_is_written_afterwards_makes_it_again(self, make: MakeBackend) -> None:
        """Erasure: "What is written of an erased trace afterwards makes it again", of what is written then alone."""
        late = [span(2, within=1, trace=_said("both", "u9"), input=json_of("quince"))]
        async with opened_with(make(), _mixed()) as backend:
            await erasing(backend).erase(PROJECT, trace_ids=[trace_id_of(1)], score_ids=["of 1"])
            await backend.write([*late, score("of 1", trace_id=trace_id_of(1), comment="again")])
            same(await observations_in(backend).tree(PROJECT, trace_id_of(1)), list(late))
            same(await traces_in(backend).get(PROJECT, trace_id_of(1)), roll_up(PROJECT, trace_id_of(1), late))
            found = await scores_in(backend).find(PROJECT, ScoreQuery(trace_id=trace_id_of(1)))
            same(found.items, [score("of 1", trace_id=trace_id_of(1), comment="again")])
            page = await traces_in(backend).find(PROJECT, TraceQuery(search="quince"))
            same([trace.trace_id for trace in page.items], [trace_id_of(1)])

    async def test_changed_texts_of_an_erased_trace_are_found_no_more(self, make: MakeBackend) -> None:
        """Erasure: "whatever finds them", also of texts that were changed after they had been indexed."""
        async with opened_with(make(), [span(1, status="running", input=json_of("before"))]) as backend:
            await _maintained(backend)
            await backend.write([span(1, input=json_of("after")), span(1, within=2, input=json_of("after before"))])
            await _maintained(backend)
            await backend.write([span(1, input=json_of("afterwards"))])
            same((await erasing(backend).erase(PROJECT, trace_ids=[trace_id_of(1)])).observation_count, 1)
            for _ in range(2):
                for phrase, ids in (("before", [trace_id_of(2)]), ("after", [trace_id_of(2)]), ("afterwards", [])):
                    page = await traces_in(backend).find(PROJECT, TraceQuery(search=phrase))
                    same([trace.trace_id for trace in page.items], ids, phrase)
                await _maintained(backend)

    async def test_ids_are_of_any_kind(self, make: MakeBackend) -> None:
        """Backend: projects, sessions and scores are named by texts of any kind, which lead to nothing else."""
        records: list[Record] = []
        for text in HOSTILE_TEXTS[1:]:
            records += [span(1, project=text, trace=_said(text)), score(text, project=text, trace_id=trace_id_of(1))]
            records += [score(f"{text}2", project=text, session_id=text)]
        async with opened_with(make(), records) as backend:
            await _maintained(backend)
            for number, text in enumerate(HOSTILE_TEXTS[1:], 1):
                if number % 2:
                    erased = await erasing(backend).erase(text, trace_ids=[trace_id_of(1)], score_ids=[f"{text}2"])
                    same(erased, Erased((trace_id_of(1),), (f"{text}2",), 1, 2))
                else:
                    await _to_the_end(erasing(backend).erase_project, text)
                assert not any(await everything_in(backend, text)), repr(text)
                for other in HOSTILE_TEXTS[1 + number :]:
                    assert await traces_in(backend).get(other, trace_id_of(1)) is not None
                    assert await scores_in(backend).get(other, f"{other}2") is not None

    async def test_many_traces_go_slice_by_slice(self, make: MakeBackend) -> None:
        """Erasure: "Many of them go slice by slice": as many as one call may name, large ones among them."""
        sizes = {number: 1 + number % 7 for number in range(1, 301)} | {40: 1500}
        records = [
            span(at, within=number, input=json_of(number), trace=_said(f"s{number % 9}"))
            for number, size in sizes.items()
            for at in range(1, size + 1)
        ]
        async with opened(make()) as backend:
            for at in range(0, len(records), 500):
                await backend.write(records[at : at + 500])
            await _maintained(backend)
            gone = [trace_id_of(number) for number in sizes if number % 10]
            erased = await erasing(backend).erase(PROJECT, trace_ids=gone)
            same(erased, Erased(tuple(gone), (), sum(size for number, size in sizes.items() if number % 10), 0))
            left = [record for record in records if int(record.trace_id, 16) % 10 == 0]
            pages = await pages_of(observations_in(backend).find, PROJECT, ObservationQuery(limit=1000))
            assert sum(map(len, pages)) == len(left)
            for number in range(10, 301, 10):
                of_trace = [record for record in left if record.trace_id == trace_id_of(number)]
                found = await traces_in(backend).get(PROJECT, trace_id_of(number))
                assert found is not None
                assert found.observation_count == len(of_trace)
            same((await erasing(backend).erase(PROJECT, trace_ids=[trace_id_of(40)])).observation_count, 1500)

    async def test_more_than_a_call_may_have_is_refused(self, make: MakeBackend) -> None:
        """Erasable: "BackendRejected for more than LARGEST_ERASURE at once", and for the installation's project."""
        many = [trace_id_of(number) for number in range(LARGEST_ERASURE + 1)]
        async with opened_with(make(), _mixed()) as backend:
            eraser = erasing(backend)
            wrong = [
                eraser.erase(PROJECT, trace_ids=many), eraser.erase(PROJECT, score_ids=many),
                eraser.erase_project(INSTALLATION), eraser.erase_project(PROJECT, limit=0),
                eraser.erase_project(PROJECT, limit=LARGEST_ERASURE + 1), eraser.erase_before(PROJECT, 2**62, limit=0),
            ]  # fmt: skip
            for attempt in wrong:
                with pytest.raises(BackendRejected):
                    await attempt
            await self._expect(backend, _mixed())

    async def test_a_reader_and_a_closed_backend_erase_nothing(
        self, make: MakeBackend, make_reader: MakeBackend
    ) -> None:
        """Erasable: "Raises as Sink.write does": of a reader, and of what is not open."""
        backend = make()
        async with opened_with(backend, _mixed()), opened(make_reader()) as reader:
            for one in (reader, make()):
                eraser = erasing(one)
                for attempt in (
                    eraser.erase(PROJECT, trace_ids=[trace_id_of(1)]), eraser.erase(PROJECT, score_ids=["of 1"]),
                    eraser.erase_before(PROJECT, 2**62), eraser.erase_project(PROJECT),
                ):  # fmt: skip
                    with pytest.raises(BackendError):
                        await attempt
            await self._expect(backend, _mixed())

    async def test_what_ended_before_a_time_goes(self, make: MakeBackend) -> None:
        """Erasable.erase_before: "some of the traces that ended before a time, earliest start first"."""
        lasting = span(1, within=50, after_s=-100, duration_ns=500 * SECOND, trace=_said("lasting"))
        until_ns = START + 10 * SECOND
        old: list[Record] = [span(1, within=number, after_s=number % 9, trace=_said("old")) for number in range(1, 25)]
        new: list[Record] = [lasting, span(1, within=60, after_s=9), span(1, within=61, after_s=60, trace=_said("old"))]
        theirs: list[Record] = [span(1, project="other", after_s=-50), score("theirs", project="other", timestamp_ns=1)]
        scores_gone: list[Record] = [score(f"gone {n}", timestamp_ns=until_ns - 1, session_id="s") for n in range(7)]
        scores_gone.append(score("gone too", timestamp_ns=1, trace_id=_UNKNOWN))
        scores_kept: list[Record] = [
            score("its trace is here", timestamp_ns=1, trace_id=lasting.trace_id),
            score("new", timestamp_ns=until_ns, session_id="s"), score("of 60", trace_id=trace_id_of(60)),
        ]  # fmt: skip
        records: list[Record] = [*old, *new, *theirs, *scores_gone, *scores_kept]
        async with opened_with(make(), records) as backend:
            eraser = erasing(backend)
            assert await eraser.erase_before(PROJECT, until_ns, limit=5)
            found = await pages_of(traces_in(backend).find, PROJECT, TraceQuery(session_id="old"))
            starts = sorted(trace.start_ns for page in found for trace in page)
            assert starts == [*sorted(START + n % 9 * SECOND for n in range(1, 25))[5:], START + 60 * SECOND]
            assert await _to_the_end(eraser.erase_before, PROJECT, until_ns, limit=5) in range(5, 9)
            await self._expect(backend, [*new, *scores_kept])
            assert not await eraser.erase_before(PROJECT, until_ns)
            assert await scores_in(backend).get("other", "theirs") is not None
            assert len(await observations_in(backend).tree("other", trace_id_of(1))) == 1

    async def test_a_project_goes_with_everything_that_is_here(self, make: MakeBackend) -> None:
        """Erasable.erase_project: "some of a project, of everything of it that is here", and nothing of another."""
        for limit in (2, LARGEST_ERASURE):
            project = f"limit {limit}"
            entries = [_entry(project, number) for number in range(5)]
            async with opened_with(make(), [*_mixed(project), *_mixed("other")]) as backend:
                await _maintained(backend)
                before = await everything_in(backend, "other")
                if isinstance(backend, Catalogued):
                    await backend.catalog.commit(
                        [Put(one) for one in (*entries, _entry("other", 1), _entry(INSTALLATION, 1))]
                    )
                assert await erasing(backend).erase_project(project, limit=limit)
                await _to_the_end(erasing(backend).erase_project, project, limit=limit)
                assert not any(await everything_in(backend, project))
                if backend.ledger is not None:
                    same((await backend.ledger.find(project, LedgerQuery())).items, [])
                    same(len((await backend.ledger.find("other", LedgerQuery())).items), 1)
                if isinstance(backend, Catalogued):
                    same([await backend.catalog.get(project, "thing", one.id) for one in entries], [None] * 5)
                    assert await backend.catalog.get("other", "thing", "1") is not None
                    assert await backend.catalog.get(INSTALLATION, "thing", "1") is not None
                same(await everything_in(backend, "other"), before)
                await backend.write(_mixed(project))
                await self._expect(backend, _mixed(project), project)

    async def test_erasing_beside_writing_loses_nothing_new(self, make: MakeBackend) -> None:
        """Erasable: "Calls may run beside each other, and beside reads and writes": what is new is there, whole."""
        numbers = range(1, 41)
        old = [span(1, within=number, trace=_said("s"), input=json_of("old")) for number in numbers]
        async with opened_with(make(), old) as backend, opened(make()) as other:

            async def write() -> None:
                for number in numbers:
                    await backend.write([span(2, within=number, trace=_said("s"), input=json_of("new"))])

            ids = [trace_id_of(number) for number in numbers]
            first, second, seen, _ = await asyncio.gather(
                erasing(other).erase(PROJECT, trace_ids=ids),
                erasing(backend).erase(PROJECT, trace_ids=ids[::-1]),
                traces_in(backend).find(PROJECT, TraceQuery()),
                write(),
            )
            assert set(first.traces) | set(second.traces) == set(ids)
            assert all(trace.observation_count for trace in seen.items)
            for number in numbers:
                tree = await observations_in(backend).tree(PROJECT, trace_id_of(number))
                trace = await traces_in(backend).get(PROJECT, trace_id_of(number))
                same(trace, roll_up(PROJECT, trace_id_of(number), tree) if tree else None)
            left = [one.trace_id for one in (await traces_in(backend).find(PROJECT, TraceQuery(session_id="s"))).items]
            rolled = await sessions_in(backend).get(PROJECT, "s")
            assert (0 if rolled is None else rolled.trace_count) == len(left)
            await erasing(other).erase(PROJECT, trace_ids=ids)
            assert not any(await everything_in(backend, PROJECT))


def _entry(project: str, number: int) -> Entry:
    return Entry(
        project=project, kind="thing", id=str(number), body=json_of(number), name=f"n{number}", refs=("r",),
        attachment=b"x",
    )  # fmt: skip


def _in_project(found: object, project: str) -> object:
    """Return an answer as it would be of another project."""
    if isinstance(found, list):
        return [_in_project(one, project) for one in cast("list[object]", found)]
    return found if found is None else replace(cast("Any", found), project=project)
