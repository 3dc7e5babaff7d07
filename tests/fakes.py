"""Backends that record, refuse, fail, stall or die on purpose, and what tests of the buffer and the pump share."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tracecore.backend import Capabilities
from tracecore.errors import BackendRejected, BackendUnavailable
from tracecore.pump import Pump
from tracecore.recorder import Recorder
from tracecore.records import Record, Score, Span, encode_record
from tracecore.ring import Ring
from tracecore.sealing import Emitted

__all__ = [
    "EVENT_LOOPS",
    "FakeBackend",
    "JsonLines",
    "ManualClock",
    "accounts_balance",
    "failing_at",
    "filled_ring",
    "full_loss",
    "hanging",
    "names",
    "refusing",
    "run_to_the_end",
    "span_record",
    "unavailable",
]

EVENT_LOOPS = [
    pytest.param("asyncio", id="asyncio"),
    pytest.param(
        "trio", id="trio", marks=pytest.mark.skipif(find_spec("trio") is None, reason="trio is not installed")
    ),
]
"""Every event loop that the kernel promises to run in; trio only where it is installed."""

Hook = Callable[[list[Record]], Awaitable[None]]
Step = Callable[[], Awaitable[None]]


class ManualClock:
    """Tell the time that a test says it is."""

    def __init__(self) -> None:
        self.now = 1_000_000_000

    def __call__(self) -> int:
        """Return nanoseconds."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += int(seconds * 1e9)


class FakeBackend:
    """Keep every batch that was accepted; each hook may raise, wait or advance a clock first."""

    capabilities = Capabilities()
    location = "fake:"
    traces = observations = sessions = scores = ledger = sql = None

    def __init__(
        self,
        *,
        on_write: Hook | None = None,
        on_open: Step | None = None,
        on_close: Step | None = None,
        on_maintain: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        self.attempts: list[list[Record]] = []
        self.batches: list[list[Record]] = []
        self.calls: list[str] = []
        self._on_write = on_write
        self._on_open = on_open
        self._on_close = on_close
        self._on_maintain = on_maintain

    @property
    def records(self) -> list[Record]:
        """Return what was accepted, in order."""
        return [record for batch in self.batches for record in batch]

    async def open(self) -> None:
        """Note the call."""
        self.calls.append("open")
        if self._on_open is not None:
            await self._on_open()

    async def write(self, batch: Sequence[Record]) -> None:
        """Note the attempt, and the batch unless the hook raises."""
        self.calls.append("write")
        self.attempts.append(list(batch))
        await anyio.lowlevel.checkpoint()
        if self._on_write is not None:
            await self._on_write(list(batch))
        self.batches.append(list(batch))

    async def maintain(self) -> bool:
        """Note the call; nothing remains unless the hook says so."""
        self.calls.append("maintain")
        return False if self._on_maintain is None else await self._on_maintain()

    async def close(self) -> None:
        """Note the call."""
        self.calls.append("close")
        if self._on_close is not None:
            await self._on_close()


class JsonLines(FakeBackend):
    """Append every record to a file that any number of processes may share, with the process that wrote it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    async def write(self, batch: Sequence[Record]) -> None:
        """Append the batch by one system call, so that batches of several processes never mix."""
        lines = b"".join(b'{"pid":%d,"is":%b}\n' % (os.getpid(), encode_record(record)) for record in batch)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            assert os.write(descriptor, lines) == len(lines)
        finally:
            os.close(descriptor)


def span_record(name: str = "work", **fields: object) -> Span:
    """Return a finished span whose ids follow from its name."""
    return Span("default", f"{hash(name) & (1 << 127):032x}", name[-16:].rjust(16, "0"), name, 1, **fields)  # type: ignore[arg-type]  # the fields are the test's


def filled_ring(*spans: str, size: int = 1) -> Ring[Any]:
    """Return a large ring that holds spans of these names."""
    ring: Ring[Any] = Ring(10_000, 10**9)
    for name in spans:
        ring.push(Emitted(span_record(name), size))
    return ring


def run_to_the_end(pump: Pump, event_loop: str, timeout: float = 60.0) -> None:
    """Tell a pump to stop, and let it deliver what is there until it ends."""
    pump.stop(timeout)
    anyio.run(pump.run, backend=event_loop)


def names(records: Iterable[Record]) -> list[str]:
    """Return the names of records."""
    return [record.name for record in records if isinstance(record, Span | Score)]


def unavailable(message: str = "away") -> BackendUnavailable:
    """Return the error that asks for another attempt."""
    return BackendUnavailable(message)


def failing_at(nth: int, make_error: Callable[[], BaseException] = unavailable) -> Hook:
    """Return a hook that fails the ``nth`` write (from 1) and no other."""
    count = 0

    async def hook(_: list[Record]) -> None:
        nonlocal count
        count += 1
        if count == nth:
            raise make_error()

    return hook


def refusing(
    is_poison: Callable[[Record], bool],
    make_error: Callable[[], BaseException] = lambda: BackendRejected("a record is malformed"),
) -> Hook:
    """Return a hook that refuses every batch with a poisonous record in it."""

    async def hook(batch: list[Record]) -> None:
        if any(map(is_poison, batch)):
            raise make_error()

    return hook


async def hanging(*_: object) -> None:
    """Never return."""
    await anyio.sleep_forever()


def full_loss(recorder: Recorder) -> int:
    """Return how many records were lost, whatever the reason."""
    return sum(recorder.health().lost.values())


def accounts_balance(recorder: Recorder, *, emitted: int) -> None:
    """Assert the law of conservation: everything emitted is delivered, pending or lost, and nothing twice."""
    health = recorder.health()
    assert health.emitted == emitted
    assert health.emitted == health.delivered + health.pending + sum(health.lost.values()), health
    assert min(health.delivered, health.pending, health.buffer_depth, *health.lost.values(), 0) >= 0
