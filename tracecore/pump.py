"""The pump: the one consumer of the buffer. It takes batches, makes records of them and has them delivered.

One coroutine, :meth:`Pump.run`, hosted by a :class:`~tracecore.station.Station`: in a thread of its own or as a task of
the program's loop. Its rules:

* Every record taken from the buffer is settled exactly once: delivered, or lost for one reason
  (:mod:`tracecore.delivery`). What a pump had in hand when it ended is handed to the next one.
* Every thread's lane has its turn, and between batches the loop has its own: neither a busy thread nor a sink that
  never waits keeps others from going on. What other processes left behind is not mixed with what this one emits.
* It wakes on fill level or interval, whichever comes first, and at once when somebody flushes or stops it.
* It says by when it will show the next sign of life (:class:`~tracecore.context.Watch`). A pump that does not is
  replaced: once it is *retired* it takes, writes, settles and closes nothing any more, whenever it wakes.
* After :meth:`stop` it works until the deadline; what is left then is counted as ``closing``. Spans that are still open
  are written as ``abandoned``.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from msgspec import Struct
from msgspec.structs import replace

from tracecore.account import Account, Accounts
from tracecore.alarm import Alarm
from tracecore.backend import Sink
from tracecore.breaker import Breaker
from tracecore.clock import monotonic_ns
from tracecore.codec import mask_record
from tracecore.context import POSITION, Watch
from tracecore.delivery import Delivery, Handful
from tracecore.ids import new_trace_id, tick
from tracecore.lanes import Lane
from tracecore.open_span import Muted, OpenSpan, anchor
from tracecore.records import Provenance, Span
from tracecore.reporting import Voice, named_error, report, text_of_error
from tracecore.ring import Ring

if TYPE_CHECKING:
    import anyio

__all__ = ["Pump", "PumpSettings", "Retired"]

_HOUSEKEEP_EVERY: Final = 1.0
"""Seconds."""
_ENTER_EVERY_NS: Final = 30_000_000_000
"""How often the ledger is told what is new, and that this process lives while a span of it is known to be running."""
_SEALED_AT_ONCE: Final = 1024
"""Items made into records before the loop has its turn: a millisecond."""
_FATAL_AFTER: Final = 2
"""Pumps that may die of making one record before that record is given up."""
_EVERYTHING: Final = 1 << 62
_FAREWELL: Final = 0.05
"""Seconds that even a pump without time has for its last words, and as many for closing the sink."""
_LONGEST_LEAVE: Final = 2.0
_QUICK_LEAVE: Final = 0.5
"""Seconds in which a pump that dies closes the sink: the next one waits for that."""


class Retired(BaseException):
    """End a pump whose place another one has taken."""


class PumpSettings(Struct, frozen=True):
    """Say how the pump batches: times in seconds, sizes in bytes."""

    batch_items: int = 4096
    batch_bytes: int = 8 << 20
    flush_interval: float = 0.2
    pending_after: float = 2.0
    write_timeout: float = 30.0
    mask: Callable[[str], str] | None = None
    abandon: bool = True
    """Whether spans that are still open when the pump has been stopped are written as abandoned."""
    mark: int = 1
    """The bit of ``OpenSpan.announced`` that is this pump's, of several that one recorder has."""
    whither: str = ""
    """What says in the log which of several pumps it is."""


class Pump:
    """Move what the buffer holds into the sink. One instance runs once, in one event loop.

    ``first`` is what the pump before had in hand, by lane. ``patience`` is for how many seconds it may show no sign of
    life, ``pause`` for how many it waits before it begins. A ``reopened`` sink is closed before it is opened.
    """

    def __init__(
        self,
        ring: Ring[Any],
        sink: Sink,
        open_spans: set[OpenSpan],
        settings: PumpSettings,
        *,
        accounts: Accounts | None = None,
        breaker: Breaker | None = None,
        watch: Watch | None = None,
        first: Sequence[tuple[Lane[Any], int]] = (),
        patience: float = 1.0,
        pause: float = 0.0,
        reopened: bool = False,
        on_settled: Callable[[], object] = lambda: None,
        voice: Voice | None = None,
        clock: Callable[[], int] = monotonic_ns,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.accounts = accounts or Accounts(ring)
        self.breaker = breaker or Breaker(clock, jitter)
        self.death: BaseException | None = None
        """What ended the pump although nobody had asked for it."""
        self.opened = False
        self.finished = False
        self.retired = False
        self.alarm = Alarm(clock, on_sign=self._note_ring)
        self._keeps_sink = True
        self._ring = ring
        self._sink = sink
        self._open_spans = open_spans
        self._settings = settings
        self._watch = watch or Watch()
        self._first = list(first)
        self._patience_ns = int(patience * 1e9)
        self._pause = pause
        self._reopened = reopened
        self._on_settled = on_settled
        self._voice = voice or Voice(clock)
        self._clock = clock
        self._delivery = Delivery(
            ring,
            sink,
            self.accounts,
            self.breaker,
            self.alarm,
            clock=clock,
            timeout=settings.write_timeout,
            go_on=self._go_on,
            on_settled=on_settled,
            on_error=self._note_error,
        )
        self._next_housekeeping = self._next_pending = self._next_entry = 0
        self._thread_id: int | None = None
        self._turn = 0
        self._chores: anyio.Event | None = None
        """Set when there is housekeeping to do at once."""

    # -- called from any thread ---------------------------------------------------------------------------------------

    def stop(self, timeout: float) -> None:
        """Make the pump finish: deliver what it can within ``timeout`` seconds, then end."""
        self.alarm.stop(self._clock() + int(timeout * 1e9))

    def retire(self, *, keeps_sink: bool) -> None:
        """Let this pump do nothing any more. Whoever calls holds ``Ring.consuming``.

        If it ``keeps_sink`` it closes it when it wakes; else another one is using it.
        """
        self.retired = True
        self._keeps_sink = keeps_sink

    def belong_here(self) -> None:
        """Note that it is the calling thread whose loop runs, or will run, the pump."""
        self._thread_id = threading.get_ident()

    def is_here(self) -> bool:
        """Return whether the pump runs in the calling thread, and so cannot go on before the caller does."""
        return self._thread_id == threading.get_ident() and not self.finished

    @property
    def stuck(self) -> bool:
        """Return whether the sink goes on with a call that was cancelled: the loop lives, and to no end."""
        return self._delivery.overtime_ns < self._clock()

    # -- the coroutine ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run until stopped, cancelled or retired. What ends it otherwise is raised as it is, and kept as its death."""
        self.belong_here()
        # What a mask or a sink opens in here (a traced function, an instrumented client) would feed the pump for ever.
        POSITION.set(Muted(new_trace_id()))
        try:
            await self._run_until_stopped()
        except BaseException as error:  # noqa: BLE001 - raised again, as what it is
            cause = _cause_of(error)
            if isinstance(cause, Retired):
                return
            if not self.alarm.stopping or isinstance(cause, Exception | SystemExit | KeyboardInterrupt):
                self.death = cause
                self.accounts.last_error = named_error(cause)
            raise cause from None
        finally:
            try:
                if not isinstance(self.death, GeneratorExit):  # whoever has closed the coroutine waits for nothing
                    await self._take_leave()
            except BaseException as error:
                self.death = self.death or error
                raise
            finally:
                self.alarm.disarm()
                self.finished = True
                self._on_settled()

    async def _run_until_stopped(self) -> None:
        import anyio  # noqa: PLC0415 - in the pump's own thread: `import tracecore` and the first span stay light

        self.alarm.arm()
        async with anyio.create_task_group() as group:
            group.start_soon(self.alarm.deadline, group.cancel_scope)
            group.start_soon(self._look_after)
            if self._reopened:
                await self._close(_FAREWELL)
            if self._pause:
                self._show_life(self._pause)
                await self.alarm.sleep_through(self._pause, at_least=min(1.0, self._pause))
            self._show_life()
            self.opened = await self._delivery.open()
            if self.opened:
                await self._work()
            group.cancel_scope.cancel()

    async def _work(self) -> None:
        import anyio.lowlevel  # noqa: PLC0415 - as above

        while True:
            self._go_on()
            self._housekeep()
            moved = await self._deliver_waiting()
            if self._ring.farewells:
                await self._delivery.enter()
            if self.alarm.stopping and (not moved or self.alarm.time_left() <= 0):
                return
            if not moved:
                await self._enter_if_due()
            if not moved and not await self._maintain():
                pause = self._longest_sleep()
                self._show_life(pause)
                await self.alarm.sleep(pause)
            else:
                await anyio.lowlevel.checkpoint()

    def _go_on(self) -> None:
        """Show that the pump lives, unless it has been retired.

        Raises:
            Retired: another pump has taken its place.
        """
        self._stay()
        self._show_life()

    def _stay(self) -> None:
        if self.retired:
            raise Retired

    def _show_life(self, asleep: float = 0.0) -> None:
        """Say by when the next sign of life is due; for some seconds before that, the pump is asleep."""
        if not self.retired:
            self._watch.overdue_ns = self._clock() + self._patience_ns + int(asleep * 1e9)

    async def _deliver_waiting(self) -> bool:
        """Write what waits in the buffer, one batch of all lanes; return whether there was anything."""
        handful = self._taken()
        await self._seal(handful)
        await self._announce()
        if handful.items:
            await self._delivery.deliver(handful)
            self.accounts.deaths.clear()
        return bool(handful.items)

    def _taken(self) -> Handful:
        """Take one batch from the buffer, beginning with another lane each time; of one account only."""
        first, self._first = self._first, []
        taken = [(lane, self._taken_from(lane, count, _EVERYTHING)) for lane, count in first] or self._taken_in_turn()
        shares = [(lane, len(items)) for lane, items in taken if items]
        account: Account | None = shares[0][0].account if shares else None
        items = taken[0][1] if len(taken) == 1 else [item for _, items in taken for item in items]
        return Handful(items, shares, account or self.accounts.own)

    def _taken_in_turn(self) -> list[tuple[Lane[Any], list[Any]]]:
        found: list[tuple[Lane[Any], list[Any]]] = []
        count = size = 0
        lanes = self._ring.lanes()
        first = self._turn % max(1, len(lanes))
        for lane in lanes[first:] + lanes[:first]:
            if count >= self._settings.batch_items or size >= self._settings.batch_bytes:
                break
            if found and lane.account is not found[0][0].account:
                continue
            before = lane.bytes_taken
            items = self._taken_from(lane, self._settings.batch_items - count, self._settings.batch_bytes - size)
            count, size = count + len(items), size + lane.bytes_taken - before
            if items:
                found.append((lane, items))
        self._turn += bool(found)
        return found

    def _taken_from(self, lane: Lane[Any], max_items: int, max_bytes: int) -> list[Any]:
        """Take from a lane. What must be read from files is read without the lock: the disk may take its time."""
        lane.fetch(max_items, max_bytes)
        with self._ring.consuming:
            self._go_on()
            return lane.take(max_items, max_bytes)

    async def _seal(self, handful: Handful) -> None:
        """Make the records of a handful."""
        import anyio.lowlevel  # noqa: PLC0415 - as above

        for start in range(0, len(handful.items), _SEALED_AT_ONCE):
            if start:
                await anyio.lowlevel.checkpoint()
                self._go_on()
            try:
                self._seal_some(handful, start)
            except BaseException:
                place = handful.place(len(handful.records))
                self.accounts.deaths[place] = self.accounts.deaths.get(place, 0) + 1
                raise

    def _seal_some(self, handful: Handful, start: int) -> None:
        """Append the masked records of some items; None for one that cannot be made."""
        own = handful.account is self.accounts.own  # else it is all of one home, and masked if its process did so
        masked = self._ring.masks if own else handful.items[start].origin.masked
        mask = None if masked else self._settings.mask
        append, suspicious = handful.records.append, bool(self.accounts.deaths)
        for item in handful.items[start : start + _SEALED_AT_ONCE]:
            if suspicious and self._is_fatal(handful):
                handful.leave_out()
                continue
            try:
                record = item.seal()
                append(record if mask is None else mask_record(record, mask))
            except Exception as error:  # noqa: BLE001 - one bad record must not stop the rest: it is counted
                self._note_error(error)
                handful.leave_out()

    def _is_fatal(self, handful: Handful) -> bool:
        """Return whether making the next record has ended several pumps: then it is not tried again."""
        return self.accounts.deaths.get(handful.place(len(handful.records)), 0) >= _FATAL_AFTER

    # -- spans that have not ended ------------------------------------------------------------------------------------

    async def _announce(self) -> None:
        """Write as running, once each, the spans that have been open for long."""
        now = self._clock()
        if self._settings.pending_after <= 0 or now < self._next_pending:
            return
        after = int(self._settings.pending_after * 1e9)
        self._next_pending = now + max(after // 4, 50_000_000)
        mark = self._settings.mark
        due = [span for span in list(self._open_spans) if not span.announced & mark and now - span.started >= after]
        if due:
            await self._delivery.deliver(self._unended(due))
            for span in due:
                span.announced |= mark

    async def _abandon(self) -> None:
        """Write as abandoned, as of now, the spans that nobody has ended."""
        left = [span for span in list(self._open_spans) if not span.ended] if self._settings.abandon else []
        for start in range(0, len(left), self._settings.batch_items):
            some = left[start : start + self._settings.batch_items]
            await self._delivery.deliver(self._unended(some, abandoned_ns=self._clock()))

    def _unended(self, spans: list[OpenSpan], *, abandoned_ns: int | None = None) -> Handful:
        """Return the records of open spans, which nobody counts; one that cannot be made is left out."""
        handful = Handful([], [], None)
        for span in spans:
            try:
                record = span.seal(running=True)
                if self._settings.mask is not None:
                    record = mask_record(record, self._settings.mask)
                handful.records.append(_of_process(record, self.accounts.process, span, abandoned_ns))
            except Exception as error:  # noqa: BLE001 - as above, and its end will be counted
                self._note_error(error)
        return handful

    # -- the rest of its duties ---------------------------------------------------------------------------------------

    def _longest_sleep(self) -> float:
        """Return for how many seconds there is nothing to do unless somebody rings."""
        if not self._delivery.keeps_ledger:
            return self._settings.flush_interval
        return max(0.0, min(self._settings.flush_interval, (self._next_entry - self._clock()) / 1e9))

    async def _enter_if_due(self) -> None:
        """Say in the ledger what is new, and as long as a span of it is known to be running that this process lives."""
        now = self._clock()
        if not self._delivery.keeps_ledger or now < self._next_entry:
            return
        self._next_entry = self._delivery.entered_ns + _ENTER_EVERY_NS
        if now >= self._next_entry:
            self._next_entry = now + _ENTER_EVERY_NS
            if self.accounts.say_more_than(self._delivery.last_entry) or self._is_known_to_run():
                await self._delivery.enter()

    def _is_known_to_run(self) -> bool:
        return any(span.announced & self._settings.mark for span in list(self._open_spans))

    async def _maintain(self) -> bool:
        try:
            more = not self.alarm.stopping and await self._delivery.answered(self._sink.maintain)
        except Exception as error:  # noqa: BLE001 - deferred work may fail; the records are safe already
            self._note_error(error)
            more = False
        self._go_on()
        return more

    async def _look_after(self) -> None:
        """Keep house while records wait for a sink that is away or does not answer, too.

        It shows no sign of life: that would hide for how long the rest of the pump has shown none.
        """
        import anyio  # noqa: PLC0415 - as above

        while True:
            self._chores = anyio.Event()
            with anyio.move_on_after(_HOUSEKEEP_EVERY):
                await self._chores.wait()
            self._stay()
            self._housekeep()

    def _note_ring(self) -> None:
        """Answer whoever rings: the loop lives, and what is to be done at once is done whatever the sink does."""
        if not self.stuck:
            self._show_life()
        if self._chores is not None and self._ring.is_due:
            self._chores.set()

    def _housekeep(self) -> None:
        now = self._clock()
        if not self._delivery.keeps_ledger:
            self._ring.farewells.clear()
        if now >= self._next_housekeeping or self._ring.is_due:
            self._next_housekeeping = now + int(_HOUSEKEEP_EVERY * 1e9)
            anchor.align()
            tick()
            self._ring.housekeep(now, self._stay)
            self.accounts.keep()
        self._report_losses()

    async def _take_leave(self) -> None:
        """Say the last words, and close the sink if it is still this pump's."""
        import anyio  # noqa: PLC0415 - as above

        budget = max(_FAREWELL, min(_LONGEST_LEAVE if self.alarm.stopping else _QUICK_LEAVE, self.alarm.time_left()))
        try:
            if self.opened and self.alarm.stopping and not self.retired and self.breaker.state == "closed":
                with anyio.CancelScope(shield=True), anyio.move_on_after(budget):
                    self._delivery.ended = True
                    await self._abandon()
                    self._ring.housekeep(self._clock(), self._stay)  # of the dead, too, all may have been said by now
                    await self._delivery.enter()
        finally:
            if not self.retired or self._keeps_sink:
                await self._close(budget)
        if not self.retired:
            self._report_losses(ended=self.alarm.stopping)

    async def _close(self, seconds: float) -> None:
        import anyio  # noqa: PLC0415 - as above

        try:
            with anyio.CancelScope(shield=True), anyio.move_on_after(seconds):
                await self._sink.close()
        except Exception as error:  # noqa: BLE001 - nothing can be done about it, but it must be seen
            self._note_error(error)

    def _note_error(self, error: BaseException) -> None:
        """Remember why delivery fails, and say so at most once in ten seconds."""
        self.accounts.last_error = named_error(error)
        if self._voice.may_speak_of("errors"):
            told = self._settings.whither, text_of_error(error)
            report("tracecore cannot deliver%s: %s; the program is not affected, losses are counted", *told)

    def _report_losses(self, *, ended: bool = False) -> None:
        """Say how much was lost, at most once in ten seconds and only when it has grown."""
        if not ended and not self._voice.may_speak_of("losses"):
            return
        lost = self.accounts.balance(ended=ended).lost
        count = sum(lost.values())
        if count > self.accounts.reported:
            reasons = ", ".join(f"{share} {reason}" for reason, share in lost.items())
            report("tracecore has lost %d records%s so far (%s)", count, self._settings.whither, reasons)
            self.accounts.reported = count


def _of_process(record: Span, process: str, span: OpenSpan, abandoned_ns: int | None) -> Span:
    """Return the record of an open span with the process that will end it, or has abandoned it."""
    provenance = replace(record.provenance or Provenance(), service_instance_id=process)
    if abandoned_ns is None:
        return replace(record, provenance=provenance)
    duration = max(0, abandoned_ns - span.started)
    return replace(record, provenance=provenance, status="abandoned", duration_ns=duration)


def _cause_of(error: BaseException) -> BaseException:
    """Return what was raised inside of a task group."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error
