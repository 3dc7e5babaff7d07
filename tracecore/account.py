"""The accounts: what became of every record, exact at every moment, from whichever thread it is read.

An :class:`Account` settles records of one source. Settling changes counts and lanes, and the pump that does it may end
between any two steps; so what is about to change is noted first, as a whole and in absolute numbers, and whoever comes
after finishes it (:meth:`Account.catch_up`). Doing so twice is doing it once.

:class:`Accounts` are all that one recorder knows in one process: ``emitted == delivered + waiting + sum(lost)``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from msgspec import Struct

from tracecore.clock import MINUTE_NS, wall_ns
from tracecore.codec import mask_record
from tracecore.ids import new_trace_id
from tracecore.lanes import Lane
from tracecore.loss import Losses, LostTraces, Reason
from tracecore.records import LedgerEntry
from tracecore.ring import Ring

__all__ = ["Account", "Accounts", "Balance", "Counts", "Shares"]

Shares: TypeAlias = Sequence[tuple[Lane[Any], int]]
"""How many items, of which lanes."""


class Counts(Struct, frozen=True):
    """Say how many records were delivered, and lost by reason."""

    delivered: int = 0
    losses: Losses = Losses()

    def plus(self, delivered: int, lost: Mapping[Reason, int]) -> Counts:
        """Return these counts and some more."""
        return Counts(self.delivered + delivered, self.losses.plus(lost) if any(lost.values()) else self.losses)

    def lost(self) -> dict[str, int]:
        """Return how many were lost, by reason, zeros left out."""
        return {str(reason): count for reason, count in self.losses.counts().items() if count}


class Account:
    """Settle the records of one source. Whoever settles holds ``Ring.consuming``.

    Where a file keeps those records, it keeps what became of them too: ``keep`` writes that, before it is so, and
    without the lock. A disk may take its time, and must not keep anybody waiting.
    """

    def __init__(self, keep: Callable[[Shares, Counts], object] = lambda shares, counts: None) -> None:  # noqa: ARG005 - nobody does
        self.counts = Counts()
        self.keep = keep
        self._begun: tuple[Counts, list[tuple[Lane[Any], int]]] | None = None
        """The counts that are to be, and up to where each lane will be settled."""

    def settle(self, shares: Shares, counts: Counts) -> None:
        """Replace the counts by those in which the first items of these lanes have their place."""
        self._begun = (counts, [(lane, lane.settled + count) for lane, count in shares])
        self.catch_up()

    def catch_up(self) -> None:
        """Finish what was begun. Counts come first: who sees a lane settled sees what became of its items."""
        if self._begun is None:
            return
        self.counts, targets = self._begun
        for lane, target in targets:
            if (left := target - lane.settled) > 0:
                lane.settle(left)
        self._begun = None


class Balance(Struct, frozen=True):
    """Say what became of everything that was emitted, at one moment: ``emitted == delivered + waiting + sum(lost)``."""

    emitted: int
    delivered: int
    waiting: int
    lost: dict[str, int]
    """By reason, zeros left out."""
    sampled: int
    depth: int
    """How many of those that are waiting the pump has not taken yet."""


class Accounts:
    """Know what became of all that one recorder took in one process.

    ``own`` is the account of what was emitted here; each dead process that left something behind has one for as long as
    there is something of it. ``process`` names this recorder in this process; a forked child makes new accounts.
    """

    def __init__(
        self,
        ring: Ring[Any],
        *,
        project: str = "default",
        service: str | None = None,
        process: str | None = None,
        mask: Callable[[str], str] | None = None,
        wall: Callable[[], int] = wall_ns,
    ) -> None:
        self.own = Account(lambda shares, counts: ring.keep(lambda: self.entry(self.own, counts), shares))
        self._adopted: tuple[Counts, tuple[Account, ...]] = (Counts(), ())
        """What came of those accounts that are closed, and those that are open: replaced as a whole."""
        self.process = process or new_trace_id()
        self.lost_traces = LostTraces()
        self.restarts = 0
        self.last_delivery_ns: int | None = None
        """When the sink took its last batch, on the monotonic clock."""
        self.last_error: str | None = None
        """What was the matter last: with the sink, a record or a pump."""
        self.reported = 0
        """How many losses the log has been told of."""
        self.deaths: dict[tuple[int, int], int] = {}
        """How many pumps have died of which item, by what tells it from others."""
        self._kept: LedgerEntry | None = None
        self._ring = ring
        self._project = project
        self._service = service
        self._host: str | None = os.uname().nodename
        self._mask = mask
        self._wall = wall
        self._started_ns = self._seen_ns = wall()

    def catch_up(self) -> None:
        """Finish what a pump that has ended had begun."""
        for account in (self.own, *self.adopted):
            account.catch_up()

    @property
    def adopted(self) -> tuple[Account, ...]:
        """Return the open accounts of dead processes."""
        return self._adopted[1]

    def keep(self) -> None:
        """Have what became of everything written where it is kept, if there is anything new."""
        if self.say_more_than(self._kept):
            self._ring.keep(self._new_kept)

    def _new_kept(self) -> LedgerEntry:
        self._kept = self.entry()
        return self._kept

    def adopt(self, died: int) -> Account:
        """Return an account for what a dead process left behind; so many of its records have died with it."""
        account = Account()
        account.counts = Counts().plus(0, {"died": died})
        closed, accounts = self._adopted
        self._adopted = (closed, (*accounts, account))
        return account

    def fold(self, account: Account) -> None:
        """Close the account of a dead process of which nothing is left; folding it twice is folding it once."""
        closed, accounts = self._adopted
        if account in accounts:
            more = account.counts
            closed = closed.plus(more.delivered, more.losses.counts())
            self._adopted = (closed, tuple(other for other in accounts if other is not account))

    @property
    def recovered(self) -> Counts:
        """Return what became of the records that dead processes had left."""
        total, accounts = self._adopted
        for account in accounts:
            total = total.plus(account.counts.delivered, account.counts.losses.counts())
        return total

    def unsettled(self) -> int:
        """Return how many accepted records of this process are neither delivered nor lost."""
        return self.balance().waiting

    def balance(self, counts: Counts | None = None, *, ended: bool = False) -> Balance:
        """Return what became of everything; with ``counts`` as if they were the account's own.

        Once it has ``ended``, what waits in memory is lost.
        """
        # First what cannot exceed the other: a reader beside the pump and many threads sees no negative number.
        delivered = counts or self.own.counts
        totals = self._ring.totals()
        lost: dict[str, int] = {str(reason): count for reason, count in delivered.losses.counts().items()}
        waiting = totals["accepted"] - delivered.delivered - delivered.losses.total()
        closing = max(0, waiting - self._ring.left) if ended else 0
        lost["ring_full"] += totals["full"]
        lost["closing"] += totals["closed"] + closing
        return Balance(
            emitted=totals["accepted"] + totals["full"] + totals["closed"],
            delivered=delivered.delivered,
            waiting=waiting - closing,
            lost={reason: count for reason, count in lost.items() if count},
            sampled=totals["sampled"],
            depth=totals["accepted"] - totals["taken"],
        )

    def say_more_than(self, entry: LedgerEntry | None) -> bool:
        """Return whether something has happened since an entry was made; without one, whether anything has."""
        balance = self.balance()
        said = (0, 0, 0, 0) if entry is None else (entry.emitted, entry.delivered, entry.sampled, entry.restarts)
        return said != (balance.emitted, balance.delivered, balance.sampled, self.restarts)

    def entry(
        self, account: Account | None = None, counts: Counts | None = None, *, ended: bool = False
    ) -> LedgerEntry:
        """Return the entry of this moment for the ledger, as if an account already had these counts.

        No two are of the same moment: whichever was made later replaces the other.
        """
        self._mask_names()
        self._seen_ns = max(self._seen_ns + 1, self._wall())
        expected = {id(account): counts}
        balance = self.balance(expected.get(id(self.own)), ended=ended)
        closed, accounts = self._adopted
        recovered = closed.delivered + sum((expected.get(id(one)) or one.counts).delivered for one in accounts)
        return LedgerEntry(
            project=self._project,
            process=self.process,
            minute_ns=self._seen_ns - self._seen_ns % MINUTE_NS,
            seen_ns=self._seen_ns,
            emitted=balance.emitted,
            delivered=balance.delivered,
            waiting=balance.waiting,
            sampled=balance.sampled,
            lost=balance.lost or None,
            recovered=recovered,
            restarts=self.restarts,
            host=self._host,
            pid=os.getpid(),
            service_name=self._service,
            started_ns=self._started_ns,
            ended=ended,
        )

    def _mask_names(self) -> None:
        """Mask what entries say of this program, once; where the mask ends the thread, they say nothing of it."""
        if self._mask is None:
            return
        mask, self._mask = self._mask, None
        told = LedgerEntry(self._project, self.process, 0, host=self._host, service_name=self._service)
        self._host = self._service = None
        masked = mask_record(told, mask)
        self._host, self._service = masked.host, masked.service_name
