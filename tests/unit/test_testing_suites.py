"""The conformance suite finds what it is there to find: every planted bug fails it, and an honest backend does not.

Each plant is the reference backend with one mistake that somebody could make.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tracecore.backend import Batch, Capabilities, LedgerTotals, Page, Receipt
from tracecore.errors import BackendRejected
from tracecore.ledger import abandoned, add_up
from tracecore.memory import (
    MemoryBackend,
    MemoryData,
    MemoryLedger,
    MemoryObservations,
    MemoryScores,
    MemorySessions,
    MemoryTraces,
)
from tracecore.records import ABSENT, Generation, LedgerEntry, Span
from tracecore.testing.backend_suite import BackendSuite, CatalogSuite, DurableSuite, ErasureSuite, LedgerSuite
from tracecore.testing.machine import run_machine
from tracecore.testing.measure_suite import MeasureSuite
from tracecore.testing.opening import MakeBackend
from tracecore.testing.score_suite import ScoreSuite

CAN = Capabilities(
    traces=True, observations=True, sessions=True, scores=True, search=True, ledger=True, catalog=True, measures=True
)


class Suite(BackendSuite, LedgerSuite, CatalogSuite, ErasureSuite, MeasureSuite):
    """What the reference backend is expected to do."""

    expected = CAN


def making(kind: type[MemoryBackend], data: MemoryData) -> tuple[MakeBackend, MakeBackend]:
    """Return a maker of backends, and of readers, for some data."""
    return (
        lambda: kind(data, location="memory:planted", access="write"),
        lambda: kind(data, location="memory:planted", access="read"),
    )  # type: ignore[return-value]  # the reference backend is one


def failures(kind: type[MemoryBackend], suite: type[Any] = Suite) -> Iterator[str]:
    """Yield the names of the tests of the suite that a backend fails."""
    for name, test in inspect.getmembers(suite, inspect.iscoroutinefunction):
        if name.startswith("test_"):
            make, make_reader = making(kind, MemoryData())
            with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
                given = {"make": make, "make_reader": make_reader, "tmp_path": Path(folder), "monkeypatch": patch}
                wanted = {key: one for key, one in given.items() if key in inspect.signature(test).parameters}
                try:
                    asyncio.run(test(suite(), **wanted))
                except (Exception, pytest.fail.Exception):  # noqa: BLE001 - a plant may fail in any way
                    yield name


class Appending(MemoryBackend):
    """A second write of an identity replaces the first."""

    async def write(self, batch: Batch) -> None:
        """Make the mistake."""
        for record in batch:
            if isinstance(record, Span):
                self._data.traces.get((record.project, record.trace_id), {}).pop(record.span_id, None)
        await super().write(batch)


class HalfBatches(MemoryBackend):
    """What stands before the mistake in a batch is kept."""

    async def write(self, batch: Batch) -> None:
        """Make the mistake."""
        for record in batch:
            await super().write([record])


class Overriding(MemoryBackend):
    """A running record that comes late makes an ended span run again."""

    async def write(self, batch: Batch) -> None:
        """Make the mistake."""
        await super().write(batch)
        for record in batch:
            if isinstance(record, Span) and record.status == "running":
                spans = self._data.traces[record.project, record.trace_id]
                spans[record.span_id] = replace(spans[record.span_id], status="running")


class Forgetting(MemoryBackend):
    """The stack of an error is not kept."""

    async def write(self, batch: Batch) -> None:
        """Make the mistake."""

        def without_stack(record: Any) -> Any:
            has_error = isinstance(record, Span) and record.error is not None
            return replace(record, error=replace(record.error, stack="")) if has_error else record

        await super().write([without_stack(record) for record in batch])


class Sharing(MemoryBackend):
    """Usage is handed out as it is stored."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        shared = SharingObservations(self._readable)
        vars(self)["observations"] = shared


class SharingObservations(MemoryObservations):
    """Hands out what it keeps."""

    async def get(self, project: str, trace_id: str, span_id: str) -> Any:
        """Make the mistake."""
        return self._data().traces.get((project, trace_id), {}).get(span_id)


class Counting(MemoryBackend):
    """Pages are counted: a record that is added moves the next page."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        vars(self)["traces"] = CountingTraces(self._readable)


class CountingTraces(MemoryTraces):
    """Names a page by how many items are before it."""

    async def find(self, project: str, query: Any) -> Any:
        """Make the mistake."""
        if query.cursor is not None and not query.cursor.isdigit():
            raise BackendRejected("no such cursor")
        first = int(query.cursor or 0)
        everything = await super().find(project, replace(query, cursor=None, limit=1000))
        if not 1 <= query.limit <= 1000:
            raise BackendRejected("limit")
        shown = everything.items[first : first + query.limit]
        more = len(everything.items) > first + query.limit
        return Page(shown, str(first + query.limit) if more else None)


class Mixing(MemoryBackend):
    """A session counts the traces of every project."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        vars(self)["sessions"] = MemorySessions(self._everybodys)

    def _everybodys(self) -> MemoryData:
        data = self._readable()
        mixed = MemoryData()
        mixed.sessions = data.sessions
        mixed.rollups = {
            (project, f"{owner}{trace_id}"): replace(trace, project=project)
            for (owner, trace_id), trace in data.rollups.items()
            for project in {known for known, _ in data.rollups}
        }
        return mixed


class LastOnly(MemoryBackend):
    """A generation's empty usage is taken for none."""

    async def write(self, batch: Batch) -> None:
        """Make the mistake."""

        def lossy(record: Any) -> Any:
            return (
                replace(record, usage_details=record.usage_details or None)
                if isinstance(record, Generation)
                else record
            )

        await super().write([lossy(record) for record in batch])


class Restless(MemoryBackend):
    """Housekeeping never ends."""

    async def maintain(self) -> bool:
        """Make the mistake."""
        return True


class Lenient(MemoryBackend):
    """What is closed can still be read."""

    async def close(self) -> None:
        """Keep everything open."""


class Nulls(MemoryBackend):
    """A payload that is null is taken for none."""

    async def write(self, batch: Batch) -> None:
        """Make the mistake."""
        nulls = {"input": ABSENT}
        await super().write(
            [replace(r, **nulls) if isinstance(r, Span) and bytes(r.input) == b"null" else r for r in batch]
        )


class Boasting(MemoryBackend):
    """It declares what it cannot do."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        vars(self)["capabilities"] = replace(CAN, sql=True)


class Mingling(MemoryBackend):
    """A ledger entry keeps of an earlier one what the later leaves unset, as other records do."""

    async def write(self, batch: Batch) -> None:
        """Make the mistake."""
        for record in batch:
            if isinstance(record, LedgerEntry):
                known = self._data.ledger.get((record.project, record.process), {}).get(record.minute_ns)
                if known is not None and record.host is None:
                    record = replace(record, host=known.host)  # noqa: PLW2901 - the mistake
            await super().write([record])


class Trusting(MemoryBackend):
    """A process that was not seen for long is taken for alive, and so is one that has ended."""

    async def maintain(self) -> bool:
        """Make the mistake."""
        return False


class Rash(MemoryBackend):
    """What runs in a process that the ledger does not know is given up."""

    async def maintain(self) -> bool:
        """Make the mistake."""
        spans = [span for trace in self._data.traces.values() for span in trace.values() if span.status == "running"]
        if spans:
            await self.write([abandoned(span, span.start_ns) for span in spans])
        return bool(spans)


class Stubborn(MemoryBackend):
    """What was given up once has no other end."""

    async def write(self, batch: Batch) -> None:
        """Make the mistake."""
        traces = self._data.traces
        await super().write([record for record in batch if not self._is_given_up(record, traces)])

    def _is_given_up(self, record: Any, traces: Any) -> bool:
        known = traces.get((record.project, record.trace_id), {}) if isinstance(record, Span) else {}
        return bool(known) and record.span_id in known and known[record.span_id].status == "abandoned"


class Forgetful(MemoryBackend):
    """The ledger is summed over every entry instead of the last of each process."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        vars(self)["ledger"] = SummingLedger(self._readable)


class SummingLedger(MemoryLedger):
    """Sums what goes on."""

    async def totals(self, project: str, since_ns: int | None = None) -> LedgerTotals:
        """Make the mistake."""
        entries = [one for one in self._data().entries(project) if since_ns is None or one.minute_ns >= since_ns]
        return add_up((one, None) for one in entries)


class Generous(MemoryBackend):
    """A score without a value is taken for 0."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        vars(self)["scores"] = ZeroScores(self._readable)


class ZeroScores(MemoryScores):
    """Finds what has no value by its value."""

    async def find(self, project: str, query: Any) -> Any:
        """Make the mistake."""
        page = await super().find(project, replace(query, min_value=None, max_value=None))
        low, high = query.min_value, query.max_value
        low, high = float("-inf") if low is None else low, float("inf") if high is None else high
        return replace(page, items=[one for one in page.items if low <= (one.value or 0.0) <= high])


class Sorting(MemoryBackend):
    """Scores are listed by their ids."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        vars(self)["scores"] = SortedScores(self._readable)


class SortedScores(MemoryScores):
    """Sorts a page by something else."""

    async def find(self, project: str, query: Any) -> Any:
        """Make the mistake."""
        page = await super().find(project, query)
        return replace(page, items=sorted(page.items, key=lambda one: one.score_id, reverse=True))


class Tallying(MemoryBackend):
    """The answer to a batch is how many records were kept."""

    async def write(self, batch: Batch) -> Any:
        """Make the mistake."""
        await super().write(batch)
        return len(batch)


class Receipting(MemoryBackend):
    """The answer to a batch is a receipt, also where all of it was kept."""

    async def write(self, batch: Batch) -> Any:
        """Make the mistake."""
        await super().write(batch)
        return Receipt(rejected=0)


class Lingering(MemoryBackend):
    """What a cancelled write has begun goes on beside the next one, and ends after it."""

    late: Batch = ()

    async def write(self, batch: Batch) -> None:
        """Make the mistake."""
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.late = batch
            raise
        await super().write(batch)
        await super().write(self.late)


class Eager(MemoryBackend):
    """It reaches for the network when it is made."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        socket.socket().close()


class Selfish(MemoryBackend):
    """Another backend is itself."""

    def another(self) -> MemoryBackend:
        """Make the mistake."""
        return self


class Elsewhere(MemoryBackend):
    """Another backend has other data."""

    def another(self) -> MemoryBackend:
        """Make the mistake."""
        return Elsewhere(MemoryData(), location=self.location, access=self._access)


class Promoting(MemoryBackend):
    """Another backend may always write."""

    def another(self) -> MemoryBackend:
        """Make the mistake."""
        return Promoting(self._data, location=self.location, access="write")


class Numbering(MemoryBackend):
    """A fact is a number."""

    async def facts(self) -> Any:
        """Make the mistake."""
        return {"version": 3}


class Premature(MemoryBackend):
    """Scores can be read before it is open."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        vars(self)["scores"] = MemoryScores(lambda: self._data)


class Interchanging(MemoryBackend):
    """Scores take the cursor of traces, for both begin with a time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        vars(self)["scores"] = InterchangedScores(self._readable)


class InterchangedScores(MemoryScores):
    """Begins at the first score where a cursor is not its own."""

    async def find(self, project: str, query: Any) -> Any:
        """Make the mistake."""
        try:
            return await super().find(project, query)
        except BackendRejected:
            return await super().find(project, replace(query, cursor=None))


PLANTS = [
    Appending, HalfBatches, Overriding, Forgetting, Sharing, Counting, Mixing, LastOnly, Restless, Lenient, Nulls,
    Boasting, Mingling, Trusting, Rash, Stubborn, Forgetful, Generous, Sorting,
]  # fmt: skip
FOUND_BY = {
    Tallying: "test_the_answer_is_none_when_all_was_kept",
    Receipting: "test_the_answer_is_none_when_all_was_kept",
    Lingering: "test_a_cancelled_write_is_over_when_the_next_one_is",
    Eager: "test_making_a_backend_touches_nothing",
    Selfish: "test_another_backend_is_one_of_the_same_data",
    Elsewhere: "test_another_backend_is_one_of_the_same_data",
    Promoting: "test_a_reader_reads_and_refuses_to_write",
    Numbering: "test_facts_are_texts_by_name",
    Premature: "test_reading_before_opening_is_an_error_of_ours",
    Interchanging: "test_the_cursor_of_a_list_is_refused_by_every_other",
}
"""Mistakes of which one test speaks."""


@pytest.mark.parametrize("kind", PLANTS)
def test_a_planted_bug_is_found(kind: type[MemoryBackend]) -> None:
    """At least one test of the suite fails for every plant."""
    assert next(failures(kind), None) is not None, kind.__doc__


@pytest.mark.parametrize(("kind", "name"), FOUND_BY.items())
def test_a_planted_bug_is_found_by_the_test_that_names_it(kind: type[MemoryBackend], name: str) -> None:
    """The test that quotes a rule fails where that rule is broken."""
    assert name in set(failures(kind)), kind.__doc__


OF_PARTS = [(one, LedgerSuite) for one in (Mingling, Trusting, Rash, Stubborn, Forgetful)]


@pytest.mark.parametrize(("kind", "part"), [*OF_PARTS, (Generous, ScoreSuite), (Sorting, ScoreSuite)])
def test_a_bug_of_a_part_is_found_by_its_suite(kind: type[MemoryBackend], part: type[Any]) -> None:
    """The part that proves a capability finds by itself what is wrong with it."""
    assert {name for name in vars(part) if name.startswith("test_")} & set(failures(kind)), kind.__doc__


def test_an_honest_backend_passes() -> None:
    """The suite, run the same way, finds nothing wrong with the reference backend."""
    assert list(failures(MemoryBackend)) == []


def test_a_capability_that_is_not_tested_is_found() -> None:
    """Expecting more than the joined parts test fails, and so does joining a part for what is not expected."""

    class Boast(Suite):
        expected = replace(CAN, durable=True)

    class Surplus(Suite, DurableSuite):
        pass

    for suite in (Boast, Surplus):
        assert "test_every_expected_capability_is_tested" in set(failures(MemoryBackend, suite))


@pytest.mark.parametrize("kind", [Appending, Overriding, Forgetting, LastOnly, Mingling, Forgetful])
def test_random_programs_find_planted_bugs(kind: type[MemoryBackend]) -> None:
    """The machine fails for backends that keep something else than the reference does."""

    def fresh() -> MakeBackend:
        return making(kind, MemoryData())[0]

    with pytest.raises((AssertionError, BaseExceptionGroup)):
        run_machine(fresh, durable=True, examples=1_000, shorten=False)


def test_random_programs_find_housekeeping_that_never_ends() -> None:
    """The machine fails for a backend whose maintain() always asks for more."""
    with pytest.raises(AssertionError, match="maintain"):
        run_machine(lambda: making(Restless, MemoryData())[0], durable=True, shorten=False)
