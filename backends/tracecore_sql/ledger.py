"""Ledger entries as rows and back, and conditions on them. What was lost is JSON, and its sum stands beside it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from tracecore.backend import LedgerQuery
from tracecore.records import LedgerEntry
from tracecore_sql.filters import Conditions
from tracecore_sql.from_rows import Row, text_of, unpack
from tracecore_sql.to_rows import pack

__all__ = ["LEDGER_COLUMNS", "entry_of", "ledger_conditions", "ledger_values"]

LEDGER_COLUMNS: Final = (
    "project", "process", "minute_ns", "seen_ns", "emitted", "delivered", "waiting", "sampled", "lost", "lost_count",
    "recovered", "restarts", "host", "pid", "service_name", "started_ns", "ended",
)  # fmt: skip
"""The columns of the ledger; the first three are its key."""

_lost: Final = msgspec.json.Decoder(dict[str, int])


def ledger_values(entries: Iterable[LedgerEntry], null: Any) -> list[Any]:
    """Return the values of ``LEDGER_COLUMNS``, row after row."""
    return [
        null if value is None else value
        for entry in entries
        for value in (
            entry.project, entry.process, entry.minute_ns, entry.seen_ns, entry.emitted, entry.delivered,
            entry.waiting, entry.sampled, None if entry.lost is None else pack(entry.lost),
            sum((entry.lost or {}).values()), entry.recovered, entry.restarts, entry.host, entry.pid,
            entry.service_name, entry.started_ns, int(entry.ended),
        )
    ]  # fmt: skip


def entry_of(row: Row) -> LedgerEntry:
    """Return the record of a row of ``LEDGER_COLUMNS``."""
    (
        project, process, minute_ns, seen_ns, emitted, delivered, waiting, sampled, lost, _, recovered, restarts, host,
        pid, service_name, started_ns, ended,
    ) = map(text_of, row)  # fmt: skip
    return LedgerEntry(
        project=project, process=process, minute_ns=minute_ns, seen_ns=seen_ns, emitted=emitted, delivered=delivered,
        waiting=waiting, sampled=sampled, lost=None if lost is None else unpack(_lost, lost), recovered=recovered,
        restarts=restarts, host=host, pid=pid, service_name=service_name, started_ns=started_ns, ended=bool(ended),
    )  # fmt: skip


def ledger_conditions(query: LedgerQuery) -> Conditions:
    """Return the conditions on the ledger, all but the project, ``last`` and ``cursor``."""
    found = Conditions()
    found.equal(process=query.process)
    found.between("minute_ns", query.since_ns, query.until_ns)
    return found
