"""Delivery on the command line: what became of every record, why something was lost, and what does not add up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import pytest
from msgspec.structs import replace

from tests.cli.recorded import Cli, Store
from tracecore.cli import delivery
from tracecore.cli.delivery import REASONS
from tracecore.cli.delivery_findings import delivery_findings
from tracecore.cli.findings import Finding
from tracecore.clock import wall_ns
from tracecore.loss import Reason
from tracecore.plugins import open_backend
from tracecore.records import LedgerEntry, Record
from tracecore.testing.opening import opened_with

MINUTE = 60 * 10**9
DAY = 24 * 60 * MINUTE
NOW = 1_800_000_000 * 10**9


def entry(process: str = "one", *, ago_ns: int = MINUTE, **fields: Any) -> LedgerEntry:
    """Return the entry of a process that was seen some time before now."""
    seen = NOW - ago_ns
    given: dict[str, Any] = {"project": "default", "process": process, "minute_ns": seen - seen % MINUTE}
    return LedgerEntry(**(given | {"seen_ns": seen} | fields))


async def findings(records: Sequence[Record], project: str = "default") -> list[Finding]:
    """Return what doctor finds in a ledger."""
    async with opened_with(open_backend("memory:"), records) as backend:
        return await delivery_findings(backend, project, NOW)


ENTRIES: list[Record] = [
    entry("one", ago_ns=2 * DAY, emitted=50, delivered=40, lost={"ring_full": 10}),
    entry("one", emitted=60, delivered=48, waiting=1, lost={"ring_full": 10, "rejected": 1}, sampled=7, recovered=3),
    entry(
        "two\x1b[31m", emitted=9, delivered=5, waiting=1, lost={"closing": 1}, pid=4711, host="web-1", ended=True,
        restarts=2, service_name="shop",
    ),
]  # fmt: skip
"""One process whose account adds up, and one whose does not."""


def test_stats_say_what_became_of_every_record(cli: Cli, stored: Store, sample: list[Record]) -> None:
    """The sums stand under their names, each reason with what it means, and a wrong account is told in words."""
    out = cli("stats", "--backend", stored([*sample, *ENTRIES])).out
    lines = [line.split() for line in out.splitlines()]
    at = next(i for i, line in enumerate(lines) if line[:1] == ["emitted"])
    assert " ".join(lines[at]) == "emitted delivered waiting lost sampled out recovered processes restarts"
    assert lines[at + 1] == ["69", "53", "2", "12", "7", "3", "2", "2"]
    assert [line[:2] for line in lines[at + 4 : at + 7]] == [["10", "ring_full"], ["1", "closing"], ["1", "rejected"]]
    assert "the buffer was full" in out
    assert "accounts that do not add up: 1 of 2" in out
    assert "(shop pid 4711 on web-1)" in out
    assert "of 9 emitted, 5 were delivered, 1 wait and 1 were lost: 2 records too few" in out
    assert "\x1b" not in out


@pytest.mark.parametrize("url", ["", "sqlite:///a.db"])
def test_stats_as_json(cli: Cli, stored: Store, tmp_path: Path, url: str) -> None:
    """A program reads the sums and the accounts that do not add up, or what came since some time, from any backend."""
    url = stored(ENTRIES, url)
    found = cli("stats", "--json", "--backend", url).json["delivery"]
    (wrong,) = found.pop("unbalanced_processes")
    assert found == {
        "processes": 2, "ended": 1, "unbalanced": 1, "emitted": 69, "delivered": 53, "waiting": 2, "sampled": 7,
        "lost": {"closing": 1, "rejected": 1, "ring_full": 10}, "recovered": 3, "restarts": 2,
    }  # fmt: skip
    assert (wrong["process"], wrong["emitted"], wrong["pid"]) == ("two\x1b[31m", 9, 4711)
    since = cli("stats", "--json", "--backend", url, "--since", "2027-01-14T00:00:00Z").json["delivery"]
    assert (since["emitted"], since["lost"]) == (19, {"closing": 1, "rejected": 1})
    assert cli("stats", "--json", "--backend", url, "--until", "2027-01-14T00:00:00Z").json["delivery"] is None


def test_without_a_ledger_nothing_is_said(cli: Cli, stored: Store, sample: list[Record]) -> None:
    """Where no process left an account there are no sums to show, and none are made up."""
    url = stored(sample)
    assert "delivered" not in cli("stats", "--backend", url).out
    assert cli("stats", "--json", "--backend", url).json["delivery"]["processes"] == 0
    assert "24 hours" not in cli("doctor", "--backend", url).out


async def test_a_loss_of_the_last_day_is_a_problem() -> None:
    """Each reason is named with how many were lost since yesterday, why, and what to do; older losses are not."""
    found = await findings(ENTRIES[:2])
    assert [(one.ok, one.what[:44]) for one in found] == [(False, "1 record lost in the last 24 hours, rejected")]
    assert "health().last_error" in found[0].remedy
    (old,) = await findings([*ENTRIES[:1], entry(emitted=60, delivered=50, lost={"ring_full": 10})])
    assert old.ok
    assert "10 records delivered in the last 24 hours, none lost" in old.what
    assert await findings(ENTRIES[:1]) == []
    assert await findings(ENTRIES, "elsewhere") == []


@pytest.mark.parametrize("reason", [*get_args(Reason), "of a later version"])
async def test_every_reason_has_a_remedy(reason: str) -> None:
    """Whatever a recorder counts as lost, doctor says what to do about it; what was sampled out was not lost."""
    assert (reason in REASONS) is (reason not in {"sampled", "of a later version"})
    (finding,) = await findings([entry(emitted=2000, lost={reason: 2000})])
    assert finding.what.startswith(f"2,000 records lost in the last 24 hours, {reason}: ")
    assert not finding.ok
    assert finding.remedy


async def test_a_process_that_ended_with_something_waiting() -> None:
    """What waited when a process ended, or was seen no more, is a problem as long as it was not recovered."""
    for account in (entry(ended=True), entry(ago_ns=3 * MINUTE)):
        waiting = [
            LedgerEntry(
                **{name: getattr(account, name) for name in account.__struct_fields__} | {"emitted": 5, "waiting": 5}
            )
        ]
        (finding,) = await findings(waiting)
        assert (finding.ok, "5 records waited when a process ended" in finding.what) == (False, True)
        assert "process one, last seen" in finding.what
        assert "buffer=journal" in finding.remedy
        (finding,) = await findings([*waiting, entry("two", recovered=5)])
        assert not finding.ok, "what was recovered is another process's"
        farewell = replace(waiting[0], seen_ns=waiting[0].seen_ns + 1, delivered=5, waiting=0, ended=True)
        (finding,) = await findings([*waiting, farewell, entry("two", recovered=5)])
        assert (finding.ok, "5 recovered" in finding.what) == (True, True)
    (finding,) = await findings([entry(emitted=5, waiting=5)])
    assert (finding.ok, "5 on their way" in finding.what) == (True, True)
    many = [entry(f"p{n}", emitted=1, waiting=1, ended=True) for n in range(5)]
    (finding,) = await findings(many)
    assert "5 records waited when 5 processes ended" in finding.what
    assert finding.what.count("last seen") == 3
    assert finding.what.endswith("; and more")


async def test_an_account_that_does_not_add_up() -> None:
    """It is a problem of ours, told with every number; one with too much is told as such."""
    (finding,) = await findings([entry(emitted=3, delivered=5)])
    assert "of 3 emitted, 5 were delivered, 0 wait and 0 were lost: 2 records too many" in finding.what
    assert (finding.ok, "report it" in finding.remedy) == (False, True)


async def test_a_pump_that_was_replaced_is_noted() -> None:
    """Being replaced loses nothing, and is no problem; but something ended it."""
    (finding,) = await findings([entry(emitted=1, delivered=1, restarts=2)])
    assert (finding.ok, "was replaced 2 times" in finding.what, bool(finding.remedy)) == (True, True, True)


async def test_few_entries_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many processes there were, only the latest are looked at, page by page, until enough are found."""
    monkeypatch.setattr(delivery, "LARGEST_PAGE", 4)
    monkeypatch.setattr(delivery, "_MOST_PAGES", 2)
    records = [entry(f"p{n}", ago_ns=n * MINUTE, pid=n) for n in range(20)]
    async with opened_with(open_backend("memory:"), records) as backend:
        assert backend.ledger is not None
        for most, expected in ((3, [0, 2, 4]), (99, [0, 2, 4, 6]), (0, [])):
            found = await delivery.last_entries(
                backend.ledger, "default", lambda one: (one.pid or 0) % 2 == 0, since_ns=None, most=most
            )
            assert [one.pid for one in found] == expected


def test_doctor_looks_at_the_last_day(cli: Cli, stored: Store) -> None:
    """What was lost just now is a problem of the project that is asked about, in the answer and in the exit code."""
    now = wall_ns()
    url = stored(
        [LedgerEntry("default", "one", now - now % MINUTE, now, emitted=5, delivered=3, lost={"ring_full": 2})]
    )
    result = cli("doctor", "--backend", url)
    assert result.code == 1
    assert "PROBLEM  2 records lost in the last 24 hours, ring_full: the buffer was full" in result.out
    assert "what to do: raise buffer_items" in result.out
    assert cli("doctor", "--json", "--backend", url).json["ok"] is False
    assert cli("doctor", "--backend", url, "--project", "elsewhere").code == 0
