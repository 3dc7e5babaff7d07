"""What a ledger says, worked out from its entries: the law, in plain Python.

Stores may compute the same by other means (SQL), and are tested against these functions. The rules:

* A recorder puts an entry **behind every batch** that it writes, the last record of it. Where a batch of one record is
  refused with its entry it is written again without; a sink that takes it then is sent no entries any more, and loses
  no record by that.
* Of a process **others** speak, too: whoever recovers what it has left, or finds it dead. They may not know its host,
  pid or service (None), and what they say is of the moment when that process was last seen.
* Of two entries of one minute the one that was **seen later** counts, whichever comes first, and an older one changes
  nothing: entries are written again after a lost answer, and by several processes (:func:`tracecore.records.merge`).
* The **last entry** of a process is that of its latest minute, because its times never go back.
* Counts go on from the beginning of a process, so the **totals** of a project are the sums over last entries; what
  happened since some minute is what the last entry says beyond the last one before it.
* A process is **gone** when its last entry says that it has ended, or was written more than two minutes ago: while a
  span of it runs, a recorder writes an entry every half a minute.
* What still runs in a process that is gone was **abandoned** when that process was seen last, or as it began if that
  was later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, TypeAlias

from tracecore.backend import LedgerTotals
from tracecore.records import LedgerEntry, Observation

__all__ = ["ABANDONED_AFTER_NS", "LOOK_EVERY_NS", "Period", "abandoned", "add_up", "is_gone", "last_entries"]

ABANDONED_AFTER_NS: Final = 120 * 10**9
"""For how long a process may write no entry and still count as alive."""
LOOK_EVERY_NS: Final = 10 * 10**9
"""How often a store looks for what was abandoned, at most."""

Period: TypeAlias = tuple[LedgerEntry, LedgerEntry | None]
"""The last entry of a process, and the one from which counting begins; None is the beginning of the process."""


def last_entries(entries: Iterable[LedgerEntry]) -> list[LedgerEntry]:
    """Return the last entry of each process among the entries of one project."""
    last: dict[str, LedgerEntry] = {}
    for entry in sorted(entries, key=lambda entry: (entry.minute_ns, entry.seen_ns)):
        last[entry.process] = entry
    return list(last.values())


def add_up(periods: Iterable[Period]) -> LedgerTotals:
    """Return what the last entries of different processes amount to, less what they had said before."""
    sums: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    for last, before in periods:
        begun = before or LedgerEntry(last.project, last.process, 0)
        lost.update(last.lost or {})
        lost.subtract(begun.lost or {})
        sums["processes"] += 1
        sums["ended"] += last.ended
        sums["unbalanced"] += last.unaccounted != 0
        sums["waiting"] += last.waiting
        for name in ("emitted", "delivered", "sampled", "recovered", "restarts"):
            sums[name] += getattr(last, name) - getattr(begun, name)
    return LedgerTotals(**sums, lost={reason: count for reason, count in sorted(lost.items()) if count})


def is_gone(last: LedgerEntry, now_ns: int) -> bool:
    """Return whether a process, by its last entry, runs no more at a wall-clock time in ns."""
    return last.ended or last.seen_ns < now_ns - ABANDONED_AFTER_NS


def abandoned(running: Observation, seen_ns: int) -> Observation:
    """Return the record that ends an observation whose process was seen last at a wall-clock time in ns.

    It says nothing else: written beside what is stored, it leaves all of that as it is.
    """
    return type(running)(
        project=running.project,
        trace_id=running.trace_id,
        span_id=running.span_id,
        name=running.name,
        start_ns=running.start_ns,
        duration_ns=max(0, seen_ns - running.start_ns),
        status="abandoned",
    )
