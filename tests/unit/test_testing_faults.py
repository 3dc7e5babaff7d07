"""Faulty backends: each plan fails what it says, when it says, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from itertools import count
from typing import cast

import anyio
import pytest

from tests.fakes import FakeBackend
from tracecore.backend import (
    Backend,
    Batch,
    Capabilities,
    Inspectable,
    Migratable,
    Receipt,
    Repeatable,
    SchemaStatus,
    ScoreQuery,
    TraceQuery,
)
from tracecore.errors import BackendRejected, BackendUnavailable
from tracecore.memory import open_backend
from tracecore.records import Record, Score
from tracecore.testing.faults import Disconnecting, FailNth, FaultyBackend, Flaky, Moment, Plan, Rejecting, Slow
from tracecore.testing.opening import opened_with, scores_in, traces_in
from tracecore.testing.samples import PROJECT, score, span, trace_id_of


def faulty(plan: Plan, inner: FakeBackend) -> FaultyBackend:
    """Return a backend that notes what reaches it, behind a plan."""
    return FaultyBackend(cast("Backend", inner), plan)


async def outcomes(backend: FaultyBackend, writes: int) -> list[bool]:
    """Return for each of so many writes whether it succeeded."""
    done: list[bool] = []
    for number in range(writes):
        try:
            await backend.write([span(number)])
            done.append(True)
        except BackendUnavailable:
            done.append(False)
    return done


async def test_the_nth_call_fails_and_no_other() -> None:
    """Of four writes the third fails before anything is written; other calls do not count."""
    inner, plan = FakeBackend(), FailNth(3)
    backend = faulty(plan, inner)
    await backend.open()
    await backend.maintain()
    assert await outcomes(backend, 4) == [True, True, False, True]
    assert plan.happened
    assert len(inner.batches) == 3


async def test_an_answer_can_be_lost() -> None:
    """With moment="after" the batch has been written when the call fails."""
    inner = FakeBackend()
    assert await outcomes(faulty(FailNth(1, moment="after"), inner), 2) == [False, True]
    assert len(inner.batches) == 2


async def test_the_error_is_the_tests() -> None:
    """A plan raises the error that it was given."""
    backend = faulty(FailNth(1, error=lambda: BackendRejected("no")), FakeBackend())
    with pytest.raises(BackendRejected, match="no"):
        await backend.write([])


async def test_failing_every_call_once_ends() -> None:
    """The loop over n stops after one run for each call of the scenario, and one in which nothing failed."""
    for nth in count(1):
        plan = FailNth(nth, calls={"open", "write", "close"})
        backend = faulty(plan, FakeBackend())
        for step in (backend.open, partial(backend.write, []), backend.close):
            try:
                await step()
            except BackendUnavailable:
                assert plan.happened
        if not plan.happened:
            break
    assert nth == 4


async def test_a_slow_call_takes_its_time_and_still_happens() -> None:
    """A slow write is not there before its time; the others are not delayed."""
    inner = FakeBackend()
    backend = faulty(Slow(3600), inner)
    await backend.open()
    with anyio.move_on_after(0.01) as scope:
        await backend.write([])
    assert scope.cancelled_caught
    assert inner.batches == []
    await faulty(Slow(0.001), inner).write([span(1)])
    assert inner.records == [span(1)]


async def test_a_flaky_backend_fails_the_same_calls_for_the_same_seed() -> None:
    """Failures are repeatable, are counted, and some of them lose only the answer."""
    first, second, other = FakeBackend(), FakeBackend(), FakeBackend()
    plan = Flaky(0.5, seed=1)
    done = await outcomes(faulty(plan, first), 60)
    assert done == await outcomes(faulty(Flaky(0.5, seed=1), second), 60)
    assert done != await outcomes(faulty(Flaky(0.5, seed=2), other), 60)
    assert plan.failures == done.count(False)
    assert done.count(True) < len(first.batches) < 60


async def test_a_lost_connection_comes_back_by_opening() -> None:
    """After so many calls everything fails until open(), and then holds for good."""
    plan = Disconnecting(2)
    backend = faulty(plan, FakeBackend())
    await backend.open()
    assert await outcomes(backend, 4) == [True, True, False, False]
    assert plan.disconnected
    await backend.close()
    await backend.open()
    assert await outcomes(backend, 4) == [True] * 4


async def test_a_connection_can_be_lost_several_times() -> None:
    """With times=2 the second connection is lost too, after as many calls."""
    backend = faulty(Disconnecting(1, times=2), FakeBackend())
    for _ in range(2):
        await backend.open()
        assert await outcomes(backend, 2) == [True, False]
    await backend.open()
    assert await outcomes(backend, 2) == [True, True]


def is_score(record: Record) -> bool:
    """Return whether a record is a score."""
    return isinstance(record, Score)


async def test_records_can_be_refused_with_their_batch() -> None:
    """A batch that holds what is not wanted is refused whole, and one that does not is written."""
    inner, plan = FakeBackend(), Rejecting(is_score)
    backend = faulty(plan, inner)
    with pytest.raises(BackendRejected, match="2 of 3 records are refused"):
        await backend.write([span(1), score("a"), score("b")])
    assert await backend.write([span(1)]) is None
    assert (inner.batches, plan.refused) == ([[span(1)]], 2)


async def test_records_can_be_kept_out_by_a_receipt() -> None:
    """The rest of the batch is written, and the receipt says how many were not."""
    inner, plan = FakeBackend(), Rejecting(is_score, receipt=True)
    receipt = await faulty(plan, inner).write([score("a"), span(1), score("b")])
    assert receipt is not None
    assert (receipt.rejected, receipt.reason, inner.batches) == (2, "made to be refused", [[span(1)]])
    assert plan.refused == 2


async def test_the_receipt_of_the_backend_behind_passes() -> None:
    """What the backend says of a batch reaches whoever wrote it."""

    class Sparing(FakeBackend):
        async def write(self, batch: Batch) -> Receipt:  # type: ignore[override]  # what the contract allows
            return Receipt(len(batch), "not today")

    assert await faulty(FailNth(0), Sparing()).write([span(1)]) == Receipt(1, "not today")


async def test_the_scores_go_as_planned() -> None:
    """The score store fails by its name, and otherwise answers."""
    plan = FailNth(1, calls={"scores.get"})
    async with opened_with(FaultyBackend(cast("Backend", open_backend("memory:")), plan), [score("a")]) as backend:
        assert (await scores_in(backend).find(PROJECT, ScoreQuery())).items == [score("a")]
        with pytest.raises(BackendUnavailable):
            await scores_in(backend).get(PROJECT, "a")
        assert await scores_in(backend).get(PROJECT, "a") == score("a")


async def test_reads_go_as_planned_and_answer_as_ever() -> None:
    """The stores of a faulty backend fail by name and otherwise answer what the backend behind answers."""
    plan = FailNth(2, calls={"traces.find"})
    async with opened_with(FaultyBackend(cast("Backend", open_backend("memory:")), plan), [span(1)]) as backend:
        page = await traces_in(backend).find(PROJECT, TraceQuery())
        assert [trace.trace_id for trace in page.items] == [trace_id_of(1)]
        with pytest.raises(BackendUnavailable):
            await traces_in(backend).find(PROJECT, TraceQuery())
        assert await traces_in(backend).get(PROJECT, trace_id_of(1)) is not None


async def test_what_a_backend_says_of_itself_passes() -> None:
    """Capabilities, location and a store that is missing are those of the backend behind."""

    async def never(call: str, moment: Moment) -> None:
        raise AssertionError(f"{moment} {call}")

    backend = faulty(never, FakeBackend())
    assert (backend.capabilities, backend.location, backend.traces, backend.sql) == (
        Capabilities(),
        "fake:",
        None,
        None,
    )
    assert backend.observations is None
    assert backend.sessions is None
    assert backend.scores is None
    assert backend.ledger is None


async def test_what_a_backend_is_besides_goes_as_planned() -> None:
    """What it can do beyond a backend is asked by name, another one fails as it does, and nothing is made up."""

    class Able(FakeBackend):
        def another(self) -> Able:
            return Able()

        async def schema(self) -> SchemaStatus:
            return SchemaStatus(1, 2, ("two",))

        async def facts(self) -> dict[str, str]:
            return {"server": "7"}

    plan = FailNth(2, calls={"schema", "facts", "write"})
    backend = faulty(plan, Able())
    assert isinstance(backend, Repeatable)
    assert isinstance(backend, Migratable)
    assert isinstance(backend, Inspectable)
    assert await backend.schema() == SchemaStatus(1, 2, ("two",))
    with pytest.raises(BackendUnavailable):
        await backend.facts()
    assert await backend.facts() == {"server": "7"}
    another = faulty(FailNth(1), Able()).another()
    assert isinstance(another, FaultyBackend)
    assert await outcomes(another, 2) == [False, True]
    assert not any(isinstance(faulty(plan, FakeBackend()), kind) for kind in (Repeatable, Migratable, Inspectable))


def test_needs_no_test_tools() -> None:
    """``import tracecore.testing`` and its modules for everybody work without pytest and hypothesis."""
    names = ("", ".capturing", ".comparing", ".faults", ".opening", ".samples")
    code = "import sys; sys.modules.update(pytest=None, hypothesis=None)\n" + "\n".join(
        f"import tracecore.testing{name}" for name in names
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)
    assert (run.returncode, run.stderr) == (0, "")
