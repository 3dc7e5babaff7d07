"""The pump: the one consumer of the buffer. It drains batches, writes them to the sink, retries and keeps account.

One coroutine, :meth:`Pump.run`, hosted either by a thread of its own (:mod:`tracecore.hosting`) or as a task of the
program's loop. Its rules:

* Every record taken from the buffer is settled exactly once: delivered, or lost for one reason.
* A batch that the sink refuses is halved until the records it cannot take stand alone; such a record is written without
  its payloads, then in its barest form, and counted as ``rejected`` if that fails too. Nothing waits behind it.
* Every thread's lane has its turn, and between batches the loop has its own: neither a busy thread nor a sink that
  never waits keeps others from going on.
* A sink that is unavailable is asked again with full-jitter back-off, for as long as the pump runs. The batch in hand
  is kept, the buffer fills, and what then has no room is counted as ``ring_full`` by the producer.
* It wakes on fill level or interval, whichever comes first, and at once when somebody flushes or stops it.
* After :meth:`stop` it works until the deadline; what is left then is counted as ``closing``.
"""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, cast

from msgspec import Struct

from tracecore.bare_records import bare_forms
from tracecore.clock import monotonic_ns
from tracecore.codec import mask_record
from tracecore.context import POSITION
from tracecore.errors import BackendRejected, BackendUnavailable, DiskFull
from tracecore.ids import new_trace_id, tick
from tracecore.loss import Losses
from tracecore.open_span import ENVELOPE_BYTES, Muted, OpenSpan, anchor, payload_bytes
from tracecore.records import Record
from tracecore.reporting import named_error, report, text_of_error

if TYPE_CHECKING:
    import asyncio

    import anyio

    from tracecore.backend import Sink
    from tracecore.ring import Lane, Ring

__all__ = ["Emitted", "Pump", "PumpSettings", "wake_function"]

_ALIGN_EVERY_NS: Final = 1_000_000_000
_REPORT_EVERY_NS: Final = 10_000_000_000
_PRODUCERS_LOSSES: Final = (("full", "ring_full"), ("closed", "closing"))
_SEALED_AT_ONCE: Final = 1024
"""Items made into records before the loop has its turn: a millisecond."""
_BACKOFF_FIRST: Final = 0.05
_BACKOFF_MOST: Final = 5.0
_LAST_WORDS: Final = 0.02
"""Seconds before the deadline in which records are counted rather than tried again."""


class Emitted(Struct, eq=False, gc=False):
    """A finished record on its way through the buffer (a score, or a session's own record)."""

    record: Record
    size: int = 0
    """Bytes in memory, roughly; reckoned from the record unless given."""

    def __post_init__(self) -> None:
        """Reckon the size."""
        self.size = self.size or ENVELOPE_BYTES + payload_bytes((self.record,))

    @property
    def trace_id(self) -> str | None:
        """Return the trace that the record says something about, if any."""
        return getattr(self.record, "trace_id", None)

    def seal(self) -> Record:
        """Return the record."""
        return self.record


class PumpSettings(Struct, frozen=True):
    """Say how the pump batches: times in seconds, sizes in bytes."""

    batch_items: int = 4096
    batch_bytes: int = 8 << 20
    flush_interval: float = 0.2
    pending_after: float = 2.0
    mask: Callable[[str], str] | None = None


class Pump:
    """Move what the buffer holds into the sink. One instance runs once, in one event loop."""

    def __init__(
        self,
        ring: Ring[Any],
        sink: Sink,
        open_spans: set[OpenSpan],
        settings: PumpSettings,
        *,
        clock: Callable[[], int] = monotonic_ns,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.delivered = 0
        self.batches = 0
        self.losses = Losses()
        self.last_error: str | None = None
        self.last_delivery_ns: int | None = None
        self.opened = False
        self.finished = False
        self._ring = ring
        self._sink = sink
        self._open_spans = open_spans
        self._settings = settings
        self._clock = clock
        self._jitter = jitter
        self._stop_at: int | None = None
        self._lost_before_stop: int | None = None
        self._next_align = 0
        self._next_loss_report = 0
        self._next_pending = 0
        self._alarm: anyio.Event | None = None
        self._stopping: anyio.Event | None = None
        self._thread_id: int | None = None
        self._wake: Callable[[], None] | None = None
        self._woken = False
        self._turn = 0
        self._listeners: list[Callable[[], None]] = []
        self._next_report = 0
        self._reported = 0

    # -- called from any thread ---------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Make the pump look at the buffer now; calls that come before it does are one."""
        wake = self._wake
        if wake is not None and not self._woken:
            self._woken = True
            wake()

    def stop(self, timeout: float) -> None:
        """Make the pump finish: deliver what it can within ``timeout`` seconds, then end."""
        if self._lost_before_stop is None:
            self._lost_before_stop = self.losses.total()
        self._stop_at = self._clock() + int(timeout * 1e9)
        self.wake()

    def lost_before(self) -> int:
        """Return how much was lost so far; once the pump is to stop, how much had been lost by then."""
        return self.losses.total() if self._lost_before_stop is None else self._lost_before_stop

    def unsettled(self) -> int:
        """Return how many accepted records are neither delivered nor lost."""
        return max(0, self._ring.totals()["accepted"] - self.delivered - self.losses.total())

    def belong_here(self) -> None:
        """Note that it is the calling thread whose loop runs, or will run, the pump."""
        self._thread_id = threading.get_ident()

    def is_here(self) -> bool:
        """Return whether the pump runs in the calling thread, and so cannot go on before the caller does."""
        return self._thread_id == threading.get_ident() and not self.finished

    def listen(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` from the pump's thread whenever records were settled, and when the pump ends."""
        self._listeners.append(listener)
        self.wake()

    def unlisten(self, listener: Callable[[], None]) -> None:
        """Stop calling ``listener``."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    # -- the coroutine ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run until stopped or cancelled."""
        import anyio  # noqa: PLC0415 - in the pump's own thread: `import tracecore` and the first span stay light

        self.belong_here()
        # What a mask or a sink opens in here (a traced function, an instrumented client) would feed the pump for ever.
        POSITION.set(Muted(new_trace_id()))
        self._alarm = anyio.Event()
        self._stopping = anyio.Event()
        self._wake = wake_function(self._ring_alarm)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._guard, group.cancel_scope)
                self._ring_alarm()
                if await self._open():
                    await self._work()
                group.cancel_scope.cancel()
        except BaseException as error:
            if self._stop_at is None:
                self._note_death(error)
            raise
        finally:
            self._wake = None
            try:
                with anyio.CancelScope(shield=True), anyio.move_on_after(max(0.05, min(2.0, self._time_left()))):
                    await self._close()
            finally:
                self.finished = True
                self._report_losses(ended=True)
                self._tell()

    async def _guard(self, scope: anyio.CancelScope) -> None:
        """Once the pump is to stop, give whatever it is doing its deadline: a write may hang."""
        import anyio  # noqa: PLC0415 - as in run()

        if self._stopping is not None:
            await self._stopping.wait()
        scope.deadline = anyio.current_time() + max(0.0, self._time_left())

    async def _work(self) -> None:
        import anyio.lowlevel  # noqa: PLC0415 - as in run()

        while True:
            self._housekeep()
            moved = await self._deliver_waiting()
            if self._stop_at is not None and (not moved or self._time_left() <= 0):
                return
            if not moved and not await self._maintain():
                await self._sleep(self._settings.flush_interval)
            else:
                await anyio.lowlevel.checkpoint()

    async def _deliver_waiting(self) -> bool:
        """Write what waits in the buffer, one batch of all lanes; return whether there was anything."""
        import anyio.lowlevel  # noqa: PLC0415 - as in run()

        items, shares = self._taken()
        records = self._sealed(items[:_SEALED_AT_ONCE])
        for start in range(_SEALED_AT_ONCE, len(items), _SEALED_AT_ONCE):
            await anyio.lowlevel.checkpoint()
            records += self._sealed(items[start : start + _SEALED_AT_ONCE])
        await self._write(self._pending(), counted=False)
        await self._write(records, counted=True)
        for lane, count in shares:
            lane.settle(count)
        if items:
            self._tell()
        return bool(items)

    def _taken(self) -> tuple[list[Any], list[tuple[Lane[Any], int]]]:
        """Take one batch from the buffer, beginning with another lane each time; return how many came from which."""
        items: list[Any] = []
        shares: list[tuple[Lane[Any], int]] = []
        size = 0
        lanes = self._ring.lanes()
        self._turn = (self._turn + 1) % max(1, len(lanes))
        for lane in lanes[self._turn :] + lanes[: self._turn]:
            most = self._settings.batch_items - len(items)
            if most <= 0 or size >= self._settings.batch_bytes:
                break
            before = lane.bytes_taken
            taken = lane.take(most, self._settings.batch_bytes - size)
            size += lane.bytes_taken - before
            if taken:
                items += taken
                shares.append((lane, len(taken)))
        return items, shares

    def _sealed(self, items: Iterable[Any], *, running: bool = False) -> list[Record]:
        """Return the masked records of items; one that cannot be made is counted, unless it says that a span runs."""
        records: list[Record] = []
        mask = self._settings.mask
        for item in items:
            try:
                record = item.seal(running=True) if running else item.seal()
                records.append(record if mask is None else mask_record(record, mask))
            except Exception as error:  # noqa: BLE001 - one bad record must not stop the rest: it is counted
                self._note_error(error)
                if not running:
                    self.losses.add("unencodable")
        return records

    def _pending(self) -> list[Record]:
        """Return as running, once each, the spans that have been open for long."""
        now = self._clock()
        if self._settings.pending_after <= 0 or now < self._next_pending:
            return []
        after = int(self._settings.pending_after * 1e9)
        self._next_pending = now + max(after // 4, 50_000_000)
        due = [s for s in list(self._open_spans) if not s.announced and now - s.started >= after]
        for open_span in due:
            open_span.announced = True
        return self._sealed(due, running=True)

    async def _write(self, records: list[Record], *, counted: bool) -> None:
        """Write records and settle each of them; those that describe running spans are not counted."""
        waiting = [records] if records else []
        while waiting:
            batch = waiting.pop()
            refusal = await self._attempt(batch, counted=counted)
            if refusal is not None and len(batch) > 1:
                middle = len(batch) // 2
                waiting += [batch[middle:], batch[:middle]]
            elif refusal is not None and counted:
                await self._write_bare(batch[0], refusal)

    async def _write_bare(self, record: Record, refusal: str) -> None:
        """Write what can be kept of a refused record, or count it as rejected."""
        for bare in bare_forms(record, refusal):
            if await self._attempt([bare], counted=True) is None:
                return
        self.losses.add("rejected")

    async def _attempt(self, batch: list[Record], *, counted: bool) -> str | None:
        """Write one batch, waiting while the sink is unavailable; return why it was refused, or None."""
        import anyio.lowlevel  # noqa: PLC0415 - as in run()

        wait = _BACKOFF_FIRST
        while True:
            try:
                await self._sink.write(batch)
            except BackendUnavailable as error:
                self._note_error(error)
                if not await self._back_off(wait):
                    if counted:
                        self.losses.add("disk_full" if isinstance(error, DiskFull) else "unavailable", len(batch))
                    return None
                wait = min(wait * 2, _BACKOFF_MOST)
            except BaseException as error:
                if _ends_the_pump(error):
                    raise
                self._note_error(error)  # a sink that breaks its contract must not stop the pump
                await anyio.lowlevel.checkpoint()
                return text_of_error(error)
            else:
                self._delivered(len(batch) if counted else 0)
                return None

    def _delivered(self, count: int) -> None:
        self.delivered += count
        self.batches += 1
        self.last_delivery_ns = self._clock()

    async def _open(self) -> bool:
        """Open the sink, waiting while it is unavailable; return False when stopped first or refused for good."""
        wait = _BACKOFF_FIRST
        while True:
            try:
                await self._sink.open()
            except Exception as error:  # noqa: BLE001 - the program runs on without its traces, told once
                self._note_error(error)
                rejected = isinstance(error, BackendRejected)
                if rejected:
                    wait = _BACKOFF_MOST
                if (rejected and self._stop_at is not None) or not await self._back_off(wait):
                    return False
                wait = min(wait * 2, _BACKOFF_MOST)
            else:
                self.opened = True
                return True

    async def _back_off(self, wait: float) -> bool:
        """Sleep for up to ``wait`` seconds (full jitter); return False when there is no time left to try again.

        That is so a little before the deadline, which cancels whatever it meets and cannot say what was the matter.
        """
        await self._sleep(min(self._jitter(0, wait), self._time_left() - _LAST_WORDS), through_alarms=True)
        return self._time_left() > _LAST_WORDS

    async def _sleep(self, seconds: float, *, through_alarms: bool = False) -> None:
        """Sleep until the alarm rings, at most ``seconds``; stopping always ends it."""
        import anyio  # noqa: PLC0415 - as in run()

        if self._alarm is None:
            return
        until = self._clock() + int(seconds * 1e9)
        while (left := min((until - self._clock()) / 1e9, self._time_left())) > 0:
            with anyio.move_on_after(left):
                await self._alarm.wait()
            rang = self._alarm.is_set()
            if rang:
                self._alarm = anyio.Event()
            if not through_alarms or not rang or self._stop_at is not None:
                return

    def _ring_alarm(self) -> None:
        """End the pump's sleep."""
        self._woken = False
        if self._alarm is not None:
            self._alarm.set()
        if self._stopping is not None and self._stop_at is not None:
            self._stopping.set()

    def _time_left(self) -> float:
        """Return seconds until the deadline; without one, for ever."""
        return float("inf") if self._stop_at is None else (self._stop_at - self._clock()) / 1e9

    async def _maintain(self) -> bool:
        try:
            return self._stop_at is None and await self._sink.maintain()
        except Exception as error:  # noqa: BLE001 - deferred work may fail; the records are safe already
            self._note_error(error)
            return False

    async def _close(self) -> None:
        try:
            await self._sink.close()
        except Exception as error:  # noqa: BLE001 - nothing can be done about it, but it must be seen
            self._note_error(error)

    def _housekeep(self) -> None:
        now = self._clock()
        if now >= self._next_align:
            self._next_align = now + _ALIGN_EVERY_NS
            anchor.align()
            tick()
            self._ring.housekeep(now)
        if now >= self._next_loss_report:
            self._next_loss_report = now + _REPORT_EVERY_NS
            self._report_losses()

    def _note_error(self, error: BaseException) -> None:
        """Remember why delivery fails, and say so at most once in ten seconds."""
        self.last_error = named_error(error)
        now = self._clock()
        if now >= self._next_report:
            self._next_report = now + _REPORT_EVERY_NS
            what = text_of_error(error)
            report("tracecore cannot deliver: %s; the program is not affected, losses are counted", what)

    def _note_death(self, error: BaseException) -> None:
        """Say that nothing will be delivered any more: what ends a pump that nobody stopped is seen nowhere else."""
        while isinstance(error, BaseExceptionGroup):  # from the task group around
            error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
        self.last_error = named_error(error)
        report("tracecore has stopped delivering: %s; the program is not affected", self.last_error, severe=True)

    def _report_losses(self, *, ended: bool = False) -> None:
        """Say how much was lost, at most once in ten seconds and only when it has grown."""
        totals = self._ring.totals()
        lost: dict[str, int] = {reason: count for reason, count in self.losses.counts().items() if count}
        lost.update({reason: totals[name] for name, reason in _PRODUCERS_LOSSES if totals[name]})
        if ended and (left := self.unsettled()):
            lost["closing"] = lost.get("closing", 0) + left
        count = sum(lost.values())
        if count > self._reported:
            reasons = ", ".join(f"{share} {reason}" for reason, share in lost.items())
            report("tracecore has lost %d records so far (%s)", count, reasons)
            self._reported = count

    def _tell(self) -> None:
        for listener in list(self._listeners):
            listener()


def _ends_the_pump(error: BaseException) -> bool:
    """Return whether an exception is meant for the pump: a cancellation that was asked for, or the end of the program.

    A driver may leak a cancellation of its own (it awaited what somebody else cancelled), or raise an exception that is
    only a BaseException (extension modules do when they panic).
    """
    import anyio  # noqa: PLC0415 - as in Pump.run()

    if isinstance(error, anyio.get_cancelled_exc_class()):
        task = _asyncio_task()
        return task is None or task.cancelling() > 0
    return isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit)


def _asyncio_task() -> asyncio.Task[Any] | None:
    import asyncio  # noqa: PLC0415 - as in Pump.run()

    try:
        return asyncio.current_task()
    except RuntimeError:  # trio's loop
        return None


def wake_function(ring_alarm: Callable[[], None]) -> Callable[[], None]:
    """Return a function that any thread may call to run ``ring_alarm`` in the current event loop."""
    import asyncio  # noqa: PLC0415 - as in Pump.run()

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        token = sys.modules["trio"].lowlevel.current_trio_token()
        return lambda: _unless_closed(lambda: token.run_sync_soon(ring_alarm, idempotent=True))
    return lambda: _unless_closed(lambda: loop.call_soon_threadsafe(ring_alarm))


def _unless_closed(call: Callable[[], object]) -> None:
    try:
        call()
    except Exception:  # noqa: BLE001 - the loop has ended, and so has the pump (RuntimeError, trio.RunFinishedError)
        return
