"""What a ledger says: last entries, sums that take off what came before, who is gone, and what was abandoned."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tracecore.account import Accounts
from tracecore.backend import LedgerTotals
from tracecore.ledger import ABANDONED_AFTER_NS, abandoned, add_up, is_gone, last_entries
from tracecore.records import Generation, LedgerEntry, TraceAttributes, merge
from tracecore.ring import Ring
from tracecore.testing.samples import SECOND, entry, generation

counts = st.dictionaries(st.sampled_from(("full", "rejected")), st.integers(0, 9))


def test_the_last_entry_is_that_of_the_latest_minute() -> None:
    """One entry per process is left, in whatever order they come."""
    a, b, c = entry("a", minute=1), entry("a", minute=3), entry("b", minute=2)
    for entries in ([a, b, c], [c, b, a], [b, a, c]):
        assert sorted(last_entries(entries), key=lambda one: one.process) == [b, c]
    assert last_entries([]) == []
    early, late = entry("a", minute=3, seen_ns=a.minute_ns + 1), entry("a", minute=3, seen_ns=a.minute_ns + 2)
    for entries in ([early, late], [late, early]):
        assert last_entries(entries) == [late]


def test_sums_are_over_last_entries() -> None:
    """Every count is added up; a reason for which nothing was lost is not named."""
    one = entry(
        "a", emitted=10, delivered=6, waiting=1, sampled=4, lost={"full": 2, "rejected": 1, "closing": 0}, recovered=5,
        restarts=1, ended=True,
    )  # fmt: skip
    other = entry("b", emitted=3, delivered=2, lost={"full": 1}, recovered=1)
    expected = LedgerTotals(2, 1, 0, 13, 8, 1, 4, {"full": 3, "rejected": 1}, 6, 1)
    assert add_up([(one, None), (other, None)]) == expected
    assert add_up([]) == LedgerTotals()


def test_what_came_before_is_taken_off() -> None:
    """Since some moment only what happened after it counts; what waits is what waits now."""
    before = entry("a", emitted=7, delivered=3, waiting=3, lost={"full": 1}, sampled=2, recovered=1, restarts=1)
    last = entry(
        "a", minute=2, emitted=9, delivered=6, waiting=1, lost={"full": 1, "rejected": 1}, sampled=3, recovered=1,
        restarts=1,
    )  # fmt: skip
    assert add_up([(last, before)]) == LedgerTotals(1, 0, 0, 2, 3, 1, 1, {"rejected": 1}, 0, 0)


@given(st.lists(st.builds(entry, st.just("a"), emitted=st.integers(0, 9), lost=counts, waiting=st.integers(0, 9))))
def test_accounts_that_prove_themselves_do_so_together(entries: list[LedgerEntry]) -> None:
    """Whatever the sums hide, an account that does not balance is counted; without one, the sums balance too."""
    totals = add_up((one, None) for one in entries)
    assert totals.unbalanced == sum(one.unaccounted != 0 for one in entries)
    balanced = [replace(one, delivered=one.delivered + one.unaccounted) for one in entries]
    totals = add_up((one, None) for one in balanced)
    assert totals.unbalanced == 0
    assert totals.emitted == totals.delivered + totals.waiting + sum(totals.lost.values())


def test_who_is_gone() -> None:
    """A process is gone that has ended, or was not seen for longer than two minutes; never one seen in the future."""
    seen = 1000 * SECOND
    last = entry("a", seen_ns=seen)
    assert not is_gone(last, seen)
    assert not is_gone(last, seen + ABANDONED_AFTER_NS)
    assert is_gone(last, seen + ABANDONED_AFTER_NS + 1)
    assert not is_gone(last, 0)
    assert is_gone(replace(last, ended=True), 0)


def test_what_was_abandoned_keeps_all_that_it_said() -> None:
    """The record adds an end and nothing else, also to one that says other things in every field."""
    said: dict[str, Any] = {"model": "m", "usage_details": {"input": 1}, "level": "WARNING", "name": "n"}
    running = generation(1, status="running", duration_ns=None, trace=TraceAttributes(user_id="u"), **said)
    record = abandoned(running, running.start_ns + 5)
    assert type(record) is Generation
    assert merge(running, record) == replace(running, status="abandoned", duration_ns=5)
    assert abandoned(running, running.start_ns - 5).duration_ns == 0


def exiting(_: str) -> str:
    """End the thread."""
    raise SystemExit


def test_a_recorder_masks_what_its_entries_say() -> None:
    """Host and service pass through the mask once; where that ends the thread, they are not told at all."""
    asked: list[str] = []
    accounts = Accounts(Ring(8, 1024), service="shop", mask=lambda text: asked.append(text) or "x")
    for _ in range(2):
        made = accounts.entry()
        assert (made.host, made.service_name, made.process) == ("x", "x", accounts.process)
    assert len(asked) == 2
    accounts = Accounts(Ring(8, 1024), service="shop", mask=exiting)
    with pytest.raises(SystemExit):
        accounts.entry()
    made = accounts.entry()
    assert (made.host, made.service_name) == (None, None)
    assert Accounts(Ring(8, 1024), service="shop").entry().service_name == "shop"
