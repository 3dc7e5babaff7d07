"""Many requests in one transaction: who is answered for what, whatever fails, goes away or is cancelled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from tracecore.backend import Batch, ObservationQuery, Receipt
from tracecore.errors import BackendRejected, BackendUnavailable
from tracecore.memory import MemoryBackend, MemoryData
from tracecore.services.ingest import BatchWriter, Gone
from tracecore.testing.samples import PROJECT, span


class Slow(MemoryBackend):
    """The reference backend, which waits before its first write until it is told to go on."""

    def __init__(self) -> None:
        super().__init__(MemoryData(), location="memory:", access="write")
        self.began, self.go_on = anyio.Event(), anyio.Event()
        self.sizes: list[int] = []
        self.answer: Callable[[Batch], Receipt | None] = lambda _: None

    async def write(self, batch: Batch) -> Any:
        """Write, and note how much."""
        self.sizes.append(len(batch))
        self.began.set()
        await self.go_on.wait()
        answer = self.answer(batch)
        await super().write(batch)
        return answer

    async def names(self) -> set[str]:
        """Return the names of all that is stored."""
        return {one.name for one in (await self.observations.find(PROJECT, ObservationQuery(limit=1000))).items}


async def opened() -> tuple[Slow, BatchWriter]:
    """Return an open backend and the writer to it."""
    backend = Slow()
    await backend.open()
    return backend, BatchWriter(backend)


async def test_what_waits_is_written_together() -> None:
    """While one batch is written nine others wait, and are one transaction; each is answered after it."""
    backend, writer = await opened()
    async with anyio.create_task_group() as group:
        group.start_soon(writer.write, [span(0)])
        await backend.began.wait()
        for number in range(1, 10):
            group.start_soon(writer.write, [span(number), span(number + 100)])
        await anyio.wait_all_tasks_blocked()
        assert writer.waiting == 18
        assert not writer.is_idle
        backend.go_on.set()
    assert backend.sizes == [1, 18]
    assert len(await backend.names()) == 19
    assert (writer.transactions, writer.records_written, writer.is_idle) == (2, 19, True)


async def test_one_that_is_refused_fails_alone() -> None:
    """Of three that are written together one is poison: it gets the error, and the others are stored."""
    backend, writer = await opened()
    errors: dict[int, Exception | None] = {}

    def refuse(batch: Batch) -> None:
        if any(getattr(record, "span_id", None) == span(2).span_id for record in batch):
            raise BackendRejected("poison")

    async def send(number: int) -> None:
        errors[number] = None
        try:
            await writer.write([span(number)])
        except BackendRejected as error:
            errors[number] = error

    backend.answer = refuse
    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(send, number)
        await backend.began.wait()
        await anyio.wait_all_tasks_blocked()
        backend.go_on.set()
    assert [number for number, error in errors.items() if error] == [2]
    assert await backend.names() == {span(number).name for number in (0, 1, 3)}


async def test_a_receipt_is_for_who_sent_it() -> None:
    """A backend that rejects some of a joint batch is asked again one by one: nobody learns of what others sent."""
    backend, writer = await opened()
    found: dict[int, Receipt | None] = {}

    def partly(batch: Batch) -> Receipt | None:
        wrong = sum(getattr(record, "span_id", None) == span(2).span_id for record in batch)
        return Receipt(wrong, "one of them") if wrong else None

    async def send(number: int) -> None:
        found[number] = await writer.write([span(number)])

    backend.answer = partly
    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(send, number)
        await backend.began.wait()
        await anyio.wait_all_tasks_blocked()
        backend.go_on.set()
    assert found == {0: None, 1: None, 2: Receipt(1, "one of them"), 3: None}


async def test_a_backend_that_is_away_says_so_to_all() -> None:
    """Each of those that waited gets the error, and can send again."""
    backend, writer = await opened()
    errors: list[Exception] = []

    def away(_: Batch) -> None:
        raise BackendUnavailable("away")

    async def send(number: int) -> None:
        with pytest.raises(BackendUnavailable) as caught:
            await writer.write([span(number)])
        errors.append(caught.value)

    backend.answer = away
    backend.go_on.set()
    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(send, number)
    assert len(errors) == 4
    assert writer.is_idle


async def test_a_backend_that_breaks_is_no_end() -> None:
    """An error that no contract names is a refusal, with the cause in the log; the next batch is written."""
    backend, writer = await opened()
    backend.go_on.set()

    def broken(_: Batch) -> None:
        raise ZeroDivisionError

    backend.answer = broken
    with pytest.raises(BackendRejected, match="its log says how"):
        await writer.write([span(1)])
    backend.answer = lambda _: None
    assert await writer.write([span(1)]) is None


async def test_nothing_is_written_for_who_has_gone() -> None:
    """A client that left while its batch waited will send it again: it is passed over, and the others are not."""
    backend, writer = await opened()

    async def gone() -> bool:
        return False

    async def send_and_go() -> None:
        with pytest.raises(Gone):
            await writer.write([span(1)], gone)

    async with anyio.create_task_group() as group:
        group.start_soon(writer.write, [span(0)])
        await backend.began.wait()
        group.start_soon(send_and_go)
        group.start_soon(writer.write, [span(2)])
        await anyio.wait_all_tasks_blocked()
        backend.go_on.set()
    assert await backend.names() == {span(0).name, span(2).name}


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_one_that_is_cancelled_takes_nobody_along(place: int) -> None:
    """The one that writes, the next one, or a later one is cancelled: the others are stored and answered."""
    backend, writer = await opened()
    answered: list[int] = []
    scopes = [anyio.CancelScope() for _ in range(4)]

    async def send(number: int) -> None:
        with scopes[number]:
            await writer.write([span(number)])
            answered.append(number)

    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(send, number)
            await anyio.wait_all_tasks_blocked()
        scopes[place].cancel()
        await anyio.wait_all_tasks_blocked()
        backend.go_on.set()
    others = [number for number in range(4) if number != place]
    assert sorted(answered) == others
    assert {span(number).name for number in others} <= await backend.names()
    assert (writer.waiting, writer.is_idle) == (0, True)


async def test_many_records_are_many_transactions() -> None:
    """A transaction ends at some thousand records: a long queue does not become one that takes seconds."""
    backend, writer = await opened()
    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(writer.write, [span(number * 2000 + i) for i in range(2000)])
        await anyio.wait_all_tasks_blocked()
        backend.go_on.set()
    assert (max(backend.sizes), sum(backend.sizes)) == (4000, 10_000)
