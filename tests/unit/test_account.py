"""The accounts add up at every moment, whoever reads them, and survive whoever was writing them."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import pytest

from tests.fakes import ManualClock, filled_ring, span_record
from tracecore.account import Account, Accounts, Counts
from tracecore.lanes import Lane
from tracecore.ring import Ring
from tracecore.sealing import Emitted


def settle(ring: Ring[Any], account: Account, *, delivered: int, **lost: int) -> None:
    """Take and settle as many items as this accounts for."""
    (lane,) = ring.lanes()
    count = delivered + sum(lost.values())
    lane.take(count, 10**9)
    account.settle([(lane, count)], account.counts.plus(delivered, lost))  # type: ignore[arg-type]  # the reasons are words


def test_everything_has_its_place() -> None:
    """What was emitted is delivered, waits or is lost; once all is over, what waits is lost as well."""
    ring = filled_ring(*"abcdefgh")
    accounts = Accounts(ring)
    settle(ring, accounts.own, delivered=3, rejected=2)
    ring.lanes()[0].take(1, 10)
    balance = accounts.balance()
    assert (balance.emitted, balance.delivered, balance.waiting, balance.lost) == (8, 3, 3, {"rejected": 2})
    assert balance.depth == 2
    ring.closed = True
    ring.push(Emitted(span_record("late")))
    ended = accounts.balance(ended=True)
    assert (ended.emitted, ended.waiting, ended.lost) == (9, 0, {"rejected": 2, "closing": 4})


def test_what_outlives_the_process_is_not_lost() -> None:
    """At the end what stays in files still waits."""

    class Filed(Ring[Any]):
        left = 2

    ring = Filed(10, 10_000)
    for name in "abc":
        ring.push(Emitted(span_record(name)))
    balance = Accounts(ring).balance(ended=True)
    assert (balance.waiting, balance.lost) == (2, {"closing": 1})


@pytest.mark.parametrize("nth", range(1, 7))
def test_whoever_settles_may_end_at_any_step(nth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pump that dies while it settles has settled nothing or, once somebody has caught up, everything, once."""
    steps = itertools.count(1)
    settle_lane = Lane.settle

    def dying(lane: Lane[Any], count: int) -> None:
        if next(steps) == nth:
            raise SystemExit
        settle_lane(lane, count)
        if next(steps) == nth:
            raise SystemExit

    ring = filled_ring(*"abcdef")
    other = threading.Thread(target=lambda: [ring.push(Emitted(span_record(name), 1)) for name in "ghi"])
    other.start()
    other.join()
    accounts = Accounts(ring)
    first, second = ring.lanes()
    first.take(4, 99)
    second.take(2, 99)
    monkeypatch.setattr(Lane, "settle", dying)
    died = False
    try:
        accounts.own.settle([(first, 4), (second, 2)], Counts(delivered=6))
    except SystemExit:
        died = True
    assert died is (nth <= 4)
    accounts.catch_up()
    accounts.catch_up()
    assert (first.settled, second.settled) == (4, 2)
    assert accounts.own.counts.delivered == 6
    assert ring.rewind() == []
    assert (accounts.balance().waiting, accounts.unsettled()) == (3, 3)


def test_no_reader_sees_a_negative_number() -> None:
    """However many threads emit and settle beside a reader, every balance it reads adds up and nothing is negative."""
    ring: Ring[Any] = Ring(100, 10**9)
    accounts = Accounts(ring)
    done = threading.Event()

    def emit() -> None:
        while not done.is_set():
            ring.push(Emitted(span_record("a"), 1))

    def pump() -> None:
        while not done.is_set():
            with ring.consuming:
                for lane in ring.lanes():
                    count = len(lane.take(7, 10**9))
                    accounts.own.settle([(lane, count)], accounts.own.counts.plus(count, {}))
            ring.housekeep(0)

    threads = [threading.Thread(target=target) for target in (emit, emit, pump)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3_000):
            entry = accounts.entry(None, None, ended=False)
            assert entry.unaccounted == 0
            assert min(entry.waiting, entry.delivered, *(entry.lost or {"": 0}).values()) >= 0
    finally:
        done.set()
        for thread in threads:
            thread.join()


def test_an_entry_says_what_is_about_to_be() -> None:
    """An entry counts what goes with it as delivered; of another account it says so apart."""
    ring = filled_ring(*"abcd")
    accounts = Accounts(ring, project="p", service="s")
    expected = accounts.own.counts.plus(3, {"unencodable": 1})
    entry = accounts.entry(accounts.own, expected, ended=False)
    assert (entry.project, entry.service_name, entry.process) == ("p", "s", accounts.process)
    assert (entry.emitted, entry.delivered, entry.waiting, entry.lost) == (4, 3, 0, {"unencodable": 1})
    assert accounts.balance().waiting == 4, "nothing has happened yet"
    adopted = accounts.adopt(0)
    entry = accounts.entry(adopted, Counts(delivered=5), ended=False)
    assert (entry.delivered, entry.waiting, entry.recovered) == (0, 4, 5)


def test_time_in_the_ledger_never_goes_back() -> None:
    """Where the wall clock is set back the ledger stays where it was, until time has caught up."""
    wall = ManualClock()
    wall.now = 10 * 60_000_000_000 + 5
    accounts = Accounts(filled_ring(), wall=wall)
    assert accounts.entry(None, None, ended=False).minute_ns == 10 * 60_000_000_000
    wall.advance(-3_600)
    entry = accounts.entry(None, None, ended=False)
    assert entry.minute_ns == 10 * 60_000_000_000
    assert 5 < entry.seen_ns - entry.minute_ns < 1_000
    assert accounts.entry(None, None, ended=False).seen_ns > entry.seen_ns, "or nobody knew which is the later one"
    wall.advance(3_661)
    assert accounts.entry(None, None, ended=False).minute_ns == 11 * 60_000_000_000


def test_news() -> None:
    """Only what has changed since an entry is worth another."""
    ring = filled_ring()
    accounts = Accounts(ring)
    assert not accounts.say_more_than(None)
    ring.count_sampled()
    assert accounts.say_more_than(None)
    entry = accounts.entry(None, None, ended=False)
    assert not accounts.say_more_than(entry)
    accounts.restarts += 1
    assert accounts.say_more_than(entry)


def test_every_recorder_in_every_process_has_a_name_of_its_own() -> None:
    """No two accounts carry the same id."""
    ring = filled_ring()
    assert len({Accounts(ring).process for _ in range(100)}) == 100
