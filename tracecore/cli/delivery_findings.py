"""What doctor finds in the ledger of the last day: losses, accounts that stopped in the middle, and wrong ones."""

from __future__ import annotations

from typing import Final

from tracecore.backend import Backend, LedgerStore, LedgerTotals
from tracecore.cli.delivery import REASONS, UNKNOWN, in_words, last_entries, named, unbalanced
from tracecore.cli.figures import count
from tracecore.cli.findings import Finding
from tracecore.ledger import is_gone
from tracecore.records import LedgerEntry

__all__ = ["delivery_findings"]

_DAY_NS: Final = 24 * 3600 * 10**9
_SHOWN: Final = 3
_MOST: Final = 1000


async def delivery_findings(backend: Backend, project: str, now_ns: int) -> list[Finding]:
    """Return what there is to say about the delivery of what was recorded in the day before a wall-clock time."""
    if backend.ledger is None:
        return []
    since_ns = now_ns - _DAY_NS
    totals = await backend.ledger.totals(project, since_ns)
    if not totals.processes:
        return []
    findings = [_loss(reason, number) for reason, number in totals.lost.items() if number > 0]
    findings += await _cut_off(backend.ledger, project, since_ns=since_ns, now_ns=now_ns)
    findings += await _wrong(backend.ledger, project, since_ns) if totals.unbalanced else []
    if totals.restarts > 0:
        times = count(totals.restarts, "time")
        replaced = f"what writes to the backend was replaced {times} in the last 24 hours, because it had died or hung"
        findings.append(Finding(replaced, remedy="nothing was lost by it; the log of the program says what ended it"))
    return findings or [_all_well(totals)]


def _loss(reason: str, number: int) -> Finding:
    why, remedy = REASONS.get(reason, UNKNOWN)
    what = f"{count(number, 'record')} lost in the last 24 hours, {reason}: {why}"
    return Finding(what, ok=False, remedy=remedy)


async def _cut_off(ledger: LedgerStore, project: str, *, since_ns: int, now_ns: int) -> list[Finding]:
    """Return whether processes ended with something that was neither delivered nor counted as lost.

    Whoever recovers that says so in another entry of the process, in which nothing waits.
    """

    def cut_off(entry: LedgerEntry) -> bool:
        return entry.waiting > 0 and is_gone(entry, now_ns)

    entries = await last_entries(ledger, project, cut_off, since_ns=since_ns, most=_MOST)
    waiting = sum(entry.waiting for entry in entries)
    if not waiting:
        return []
    ended = "a process ended" if len(entries) == 1 else f"{len(entries):,} processes ended"
    shown = "; ".join(map(named, entries[:_SHOWN])) + ("; and more" if len(entries) > _SHOWN else "")
    return [
        Finding(
            f"{count(waiting, 'record')} waited when {ended} in the last 24 hours: {shown}",
            ok=False,
            remedy="with buffer=journal the next start delivers them, or `tracecore recover`; otherwise they are gone "
            "with the process: call shutdown() before it ends, and set buffer=journal where it may be killed",
        )
    ]


async def _wrong(ledger: LedgerStore, project: str, since_ns: int) -> list[Finding]:
    found = await last_entries(ledger, project, unbalanced, since_ns=since_ns, most=_SHOWN)
    remedy = "this is a mistake in tracecore itself: report it with these numbers"
    return [Finding(f"an account does not add up: {in_words(entry)}", ok=False, remedy=remedy) for entry in found]


def _all_well(totals: LedgerTotals) -> Finding:
    waiting = f", {totals.waiting:,} on their way" if totals.waiting else ""
    recovered = f", {totals.recovered:,} recovered" if totals.recovered else ""
    said = f"{count(totals.delivered, 'record')} delivered in the last 24 hours, none lost{waiting}{recovered}"
    return Finding(f"{said}; processes that recorded: {totals.processes:,}")
