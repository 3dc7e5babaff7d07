"""Delivery: writing to the sink what was taken from the buffer, until the fate of every record is known and counted.

* A batch that the sink refuses is halved until the records it cannot take stand alone; such a record is written without
  its payloads, then in its barest form, and counted as ``rejected`` if that fails too. Nothing waits behind it.
* A sink that is unavailable, or does not answer in time, is asked again (:mod:`tracecore.breaker`) for as long as there
  is time. Once it has failed several times in a row it is tried with a few records first.
* What a write has settled is settled at once, in the order in which it was taken: whenever the pump ends, what is in
  hand is exactly what nobody knows the fate of.
* With every batch goes an entry of the ledger that counts it, where the sink keeps a ledger. A sink that takes records
  but no entries, although it says so, is sent none any more.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Awaitable, Callable, Mapping
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec import Struct

from tracecore.account import Account, Accounts, Shares
from tracecore.alarm import Alarm
from tracecore.backend import Capabilities, Receipt, Sink
from tracecore.bare_records import bare_forms
from tracecore.breaker import Breaker, asked_for
from tracecore.context import NEVER
from tracecore.errors import BackendRejected, BackendUnavailable, DiskFull
from tracecore.lanes import Lane
from tracecore.loss import Reason
from tracecore.records import LedgerEntry, Record
from tracecore.reporting import report, text_of_error
from tracecore.ring import Ring

if TYPE_CHECKING:
    import asyncio

__all__ = ["Delivery", "Handful", "ends_the_pump"]

_PROBE: Final = 64
"""Records that a sink which has failed several times is tried with, before the rest."""
_HURRY: Final = 1.0
"""Seconds between two attempts at least, however many are in a hurry."""
_LAST_WORDS: Final = 0.02
"""Seconds before the deadline in which records are counted rather than tried again."""
_PATIENCE: Final = 1.0
"""Seconds that a call has to end after it was cancelled."""
_ALL_KEPT: Final = Receipt()
_LARGE: Final = 10**12
"""A count that is larger is shown as this: there are integers that cannot be written in decimals."""
_PLAIN: Final = frozenset({bool, float, str, type(None)})
_REFUSED: Final = BackendUnavailable("the backend refuses to be opened", retry_after=5.0)
"""What a refusal counts as while the program runs on: somebody may mend it."""
_T = TypeVar("_T")


class Handful:
    """Hold what was taken from the buffer for one batch: items in their order, their records, and whose they are.

    A record is None where it could not be made. Without an ``account`` the records describe what has not ended yet:
    nobody counts them.
    """

    def __init__(self, items: list[Any], shares: list[tuple[Lane[Any], int]], account: Account | None) -> None:
        self.items = items
        self.records: list[Any] = []
        self.whole = True
        """Whether every record could be made, as far as anybody has come."""
        self.account = account
        self.settled = 0
        self._shares = shares

    def leave_out(self) -> None:
        """Put nothing in the place of a record that cannot be made."""
        self.whole = False
        self.records.append(None)

    def made(self, start: int, end: int) -> list[Record]:
        """Return the records between two places that could be made."""
        records = self.records[start:end]
        return records if self.whole else [record for record in records if record is not None]

    def place(self, index: int) -> tuple[int, int]:
        """Return what tells an item from all others, whoever is handed it: it, or where in files it was read."""
        item = self.items[index]
        block = getattr(item, "block", None)
        return (id(item), 0) if block is None else (id(block), item.end)

    def parts(self) -> list[tuple[Lane[Any], int, int]]:
        """Return what is not settled, by lane, from which place to which."""
        ends = list(accumulate((count for _, count in self._shares), initial=self.settled))
        return [(lane, start, end) for (lane, _), (start, end) in zip(self._shares, pairwise(ends), strict=True)]

    def shares_up_to(self, end: int) -> list[tuple[Lane[Any], int]]:
        """Return how many items of which lanes are between those that are settled and ``end``, which become so."""
        count, self.settled = end - self.settled, end
        found: list[tuple[Lane[Any], int]] = []
        while count > 0:
            lane, held = self._shares[0]
            found.append((lane, min(held, count)))
            self._shares[:1] = [(lane, held - count)] if held > count else []
            count -= held
        return found


class _Away(Struct, frozen=True):
    """The sink may take the batch later."""

    error: Exception


class _Refused(Struct, frozen=True):
    """The sink will never take the batch as it is."""

    reason: str


class Delivery:
    """Write handfuls, one after the other. Belongs to one pump.

    ``go_on`` is called after every wait and raises where another pump has taken this one's place: from then on nothing
    in hand is its own. ``timeout`` is in seconds; 0 is for ever.
    """

    def __init__(
        self,
        ring: Ring[Any],
        sink: Sink,
        accounts: Accounts,
        breaker: Breaker,
        alarm: Alarm,
        *,
        clock: Callable[[], int],
        timeout: float,
        go_on: Callable[[], None],
        on_settled: Callable[[], object],
        on_error: Callable[[BaseException], object],
    ) -> None:
        capabilities: Capabilities = getattr(sink, "capabilities", Capabilities())
        self.keeps_ledger = capabilities.ledger
        self.last_entry: LedgerEntry | None = None
        """The last that the sink took."""
        self.entered_ns = 0
        """When it took that."""
        self.overtime_ns = NEVER
        """When a call to the sink will have been cancelled for so long that it heeds nothing."""
        self.ended = False
        """Whether these are the last words: entries say that this process has ended, and nothing is tried again."""
        self._ring = ring
        self._sink = sink
        self._accounts = accounts
        self._breaker = breaker
        self._alarm = alarm
        self._clock = clock
        self._timeout = timeout or math.inf
        self._go_on = go_on
        self._on_settled = on_settled
        self._on_error = on_error
        self._has_misread = False
        """Whether the sink has given an answer that cannot be understood."""

    async def open(self) -> bool:
        """Open the sink, waiting while it is away; return False where there is no time left, or it refuses for good."""
        while True:
            try:
                await self.answered(self._sink.open)
            except Exception as error:  # noqa: BLE001 - the program runs on without its traces, told once
                self._go_on()
                self._on_error(error)
                refused = isinstance(error, BackendRejected)
                if (refused and self._alarm.stopping) or not await self._wait(_REFUSED if refused else error):
                    return False
            else:
                self._go_on()
                return True

    async def deliver(self, handful: Handful) -> None:
        """Settle every record of a handful, unless the time is up and they are kept elsewhere."""
        parts = [(0, len(handful.records))]
        while parts:
            start, end = parts.pop()
            if end - start > _PROBE and self._breaker.state == "half_open":
                parts.append((start + _PROBE, end))
                end = start + _PROBE
            batch = handful.made(start, end)
            answer = await self._attempt_in_two_ways(batch, handful.account, missing=end - start - len(batch))
            if isinstance(answer, _Away):
                if not await self._wait(answer.error):
                    self._give_up(handful, answer.error)
                    return
                parts.append((start, end))
            elif isinstance(answer, _Refused) and len(batch) > 1:
                middle = (start + end) // 2
                parts += [(middle, end), (start, middle)]
            elif isinstance(answer, _Refused):
                if not await self._deliver_bare(handful, end, batch[0], answer.reason):
                    return
            else:
                self._settle(handful, end, answer)

    async def enter(self) -> None:
        """Write an entry of the ledger by itself; where that fails, the next one will say the same and more.

        With it goes what is to be said of dead processes, once: a sink that refuses that would do so for ever.
        """
        if not self.keeps_ledger:
            return
        farewells = list(self._ring.farewells)
        if not isinstance(await self._attempt([], None, farewells=farewells), _Refused):
            return
        for farewell in farewells:
            if isinstance(await self._attempt([], None, farewells=[farewell]), _Refused):
                self._take_off([farewell])
                report("tracecore's backend refuses to be told what became of process %s", farewell.process)

    async def answered(self, call: Callable[..., Awaitable[_T]], *arguments: object) -> _T:
        """Return what the sink answers.

        Raises:
            BackendUnavailable: it does not, within the time that it has.
        """
        import anyio  # noqa: PLC0415 - `import tracecore` stays light

        if self._timeout < math.inf:
            self.overtime_ns = self._clock() + int((self._timeout + _PATIENCE) * 1e9)
        try:
            with anyio.move_on_after(self._timeout):
                return await call(*arguments)
        finally:
            self.overtime_ns = NEVER
        raise BackendUnavailable(
            f"the backend did not answer within {self._timeout:g} s", "raise write_timeout_ms if it takes that long"
        )

    async def _attempt(
        self,
        batch: list[Record],
        account: Account | None,
        *,
        missing: int = 0,
        farewells: list[LedgerEntry] | None = None,
        enters: bool = True,
    ) -> Receipt | _Away | _Refused:
        """Write one batch once; ``missing`` records of it could not be made. With ``farewells`` it may be empty."""
        import anyio.lowlevel  # noqa: PLC0415 - as above

        self._go_on()  # making the records, or the last write, may have taken so long that there is another pump
        if not batch and farewells is None:
            return _ALL_KEPT
        entry: LedgerEntry | None = None
        if self.keeps_ledger and enters:
            expected = None if account is None else account.counts.plus(len(batch), {"unencodable": missing})
            entry = self._accounts.entry(account, expected, ended=self.ended)
            # Should this process die before it knows what the sink has taken, what is said of it then must be later.
            self._ring.keep(self._accounts.entry)
            self._go_on()
        try:
            batch = batch if entry is None else [*batch, *(farewells or ()), entry]
            receipt = await self.answered(self._sink.write, batch)
        except (BackendUnavailable, MemoryError) as error:
            self._go_on()
            self._on_error(error)
            return _Away(error)
        except BaseException as error:
            if ends_the_pump(error):
                raise
            self._go_on()
            self._on_error(error)  # a sink that breaks its contract must not stop the pump
            self._breaker.succeeded()  # it answers
            await anyio.lowlevel.checkpoint()
            self._go_on()
            return _Refused(text_of_error(error))
        self._go_on()
        self._take_off(farewells or [])
        self._note_success(entry)
        return self._read(receipt)

    def _read(self, answer: object) -> Receipt:
        """Return what the sink says it has not kept; where that cannot be understood it rejects nothing, said once."""
        if answer is None:
            return _ALL_KEPT
        receipt = answer if isinstance(answer, Receipt) else None
        rejected: Any = getattr(receipt, "rejected", None)
        reason: Any = getattr(receipt, "reason", None)
        if type(rejected) is int and rejected >= 0:
            return Receipt(rejected, reason if reason is None or type(reason) is str else _shown(reason))
        if not self._has_misread:
            self._has_misread = True
            what = _shown(answer) if receipt is None else f"a Receipt of {_shown(rejected)} rejected records"
            report(
                "tracecore's backend has answered a batch with %s; it counts as kept, since only None and a Receipt "
                "whose rejected is a whole number can be understood",
                what,
            )  # fmt: skip
        return _ALL_KEPT

    async def _attempt_in_two_ways(
        self, batch: list[Record], account: Account | None, *, missing: int
    ) -> Receipt | _Away | _Refused:
        """Write one batch; where that is one record that is refused with an entry of the ledger, try it without."""
        answer = await self._attempt(batch, account, missing=missing)
        if not isinstance(answer, _Refused) or len(batch) > 1 or not self.keeps_ledger:
            return answer
        without = await self._attempt(batch, account, enters=False)
        if isinstance(without, Receipt):
            self.keeps_ledger = False
            report("tracecore keeps no ledger any more, because the backend refuses its entries: %s", answer.reason)
        return without

    def _take_off(self, farewells: list[LedgerEntry]) -> None:
        """Let go of what the ledger need not be told any more; others may have come meanwhile."""
        for farewell in farewells:
            with contextlib.suppress(ValueError):
                self._ring.farewells.remove(farewell)

    def _note_success(self, entry: LedgerEntry | None) -> None:
        self._breaker.succeeded()
        self._accounts.last_delivery_ns = self._clock()
        if entry is not None:
            self.last_entry, self.entered_ns = entry, self._clock()

    async def _deliver_bare(self, handful: Handful, end: int, record: Record, refusal: str) -> bool:
        """Settle everything up to ``end``, the last of which is a refused record: write what can be kept of it.

        Return False where there was no time for that.
        """
        for bare in bare_forms(record, refusal) if handful.account is not None else ():
            missing = end - handful.settled - 1
            answer = await self._attempt_in_two_ways([bare], handful.account, missing=missing)
            while isinstance(answer, _Away):
                if not await self._wait(answer.error):
                    self._give_up(handful, answer.error)
                    return False
                answer = await self._attempt_in_two_ways([bare], handful.account, missing=missing)
            if not isinstance(answer, _Refused):
                self._settle(handful, end, answer)
                return True
        self._settle(handful, end, Receipt(rejected=1))
        return True

    async def _wait(self, error: Exception) -> bool:
        """Wait until the sink may be asked again; return False when there is no time left for that.

        That is so a little before the deadline, which cancels whatever it meets and cannot say what was the matter; and
        for last words.
        """
        if self.ended:
            return False
        retry_after = getattr(error, "retry_after", None)
        wait = self._breaker.failed(retry_after)
        left = self._alarm.time_left() - _LAST_WORDS
        await self._alarm.sleep_through(min(wait, left), at_least=max(_HURRY, asked_for(retry_after)))
        self._go_on()
        return self._alarm.time_left() > _LAST_WORDS

    def _give_up(self, handful: Handful, error: Exception) -> None:
        """Count what is in hand as lost, unless it stays in files for the next process."""
        account = self._accounts.own
        if handful.account is not account:
            return
        reason: Reason = "disk_full" if isinstance(error, DiskFull) else "unavailable"
        for lane, start, end in handful.parts():
            if not lane.kept:
                lost = self._losses(handful, start, end, len(handful.made(start, end)), reason)
                self._count(account, [(lane, end - start)], 0, lost)

    def _settle(self, handful: Handful, end: int, receipt: Receipt) -> None:
        """Count what became of the records up to ``end``: those that the receipt does not reject are delivered."""
        if handful.account is None:
            return
        made = len(handful.made(handful.settled, end))
        rejected = max(0, min(receipt.rejected, made))
        if rejected and receipt.reason is not None:
            self._on_error(BackendRejected(f"the backend kept a batch in part: {receipt.reason}"))
        lost = self._losses(handful, handful.settled, end, rejected, "rejected")
        self._count(handful.account, handful.shares_up_to(end), made - rejected, lost)

    def _count(self, account: Account, shares: Shares, delivered: int, lost: Mapping[Reason, int]) -> None:
        """Settle some items of lanes, and say so.

        Where they are kept that is noted, before or afterwards as they need it. It may take its time, and another pump
        may begin meanwhile.
        """
        counts = account.counts.plus(delivered, lost)
        self._go_on()
        account.keep(shares, counts)
        with self._ring.consuming:
            self._go_on()
            account.settle(shares, counts)
        for lane, _ in shares:
            lane.note()
        self._on_settled()

    def _losses(self, handful: Handful, start: int, end: int, count: int, reason: Reason) -> dict[Reason, int]:
        """Return what is lost of the records between two places, ``count`` of them for one reason.

        Of which traces they are is noted; which records of a batch were rejected is not known.
        """
        missing = end - start - len(handful.made(start, end))
        for index in range(start, end) if missing or count else ():
            record = handful.records[index]
            if record is None:
                self._accounts.lost_traces.add(getattr(handful.items[index], "trace_id", None), "unencodable")
            elif count:
                self._accounts.lost_traces.add(getattr(record, "trace_id", None), reason)
        return {"unencodable": missing, reason: count}


def _shown(value: object) -> str:
    """Return a short text that says what a value is; nothing of it is called that might raise."""
    if type(value) is int:
        return f"{max(-_LARGE, min(value, _LARGE))}"
    return f"{value!r:.60}" if type(value) in _PLAIN else f"an object of the type {type(value).__name__}"


def ends_the_pump(error: BaseException) -> bool:
    """Return whether an exception is meant for the pump: a cancellation that was asked for, or the end of the program.

    A driver may leak a cancellation of its own (it awaited what somebody else cancelled), or raise an exception that is
    only a BaseException (extension modules do when they panic).
    """
    import anyio  # noqa: PLC0415 - as in Delivery

    if isinstance(error, anyio.get_cancelled_exc_class()):
        task = _asyncio_task()
        return task is None or task.cancelling() > 0
    return isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit)


def _asyncio_task() -> asyncio.Task[Any] | None:
    import asyncio  # noqa: PLC0415 - as in Delivery

    try:
        return asyncio.current_task()
    except RuntimeError:  # trio's loop
        return None
