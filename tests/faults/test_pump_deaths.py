"""Whatever step of the pump fails, by whatever kind of exception: another pump goes on, and nothing is lost or doubled.

The n-th step fails for n = 1, 2, 3, … until a run sees no fault. Steps are the calls that the pump makes: of the sink,
the mask, the clock, the jitter, the buffer and the accounts; each may fail before and after it has done its work.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
import logging
import random
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio
import pytest

from tests.fakes import EVENT_LOOPS, FakeBackend, accounts_balance, names, span_record
from tests.torture.declaring import by_mode, torture
from tests.torture.trial import Trial
from tracecore.account import Account
from tracecore.backend import Backend, Capabilities
from tracecore.channel import Reopened
from tracecore.clock import monotonic_ns
from tracecore.config import Config
from tracecore.errors import BackendRejected, BackendUnavailable
from tracecore.lanes import Lane
from tracecore.open_span import OpenSpan, open_root
from tracecore.recorder import Recorder
from tracecore.records import LedgerEntry, Record, Span
from tracecore.ring import Ring

SPANS = 24


class Panic(BaseException):
    """What extension modules raise when they panic."""


ERRORS: list[Callable[[], BaseException]] = [
    lambda: RuntimeError("broken"),
    Panic,
    lambda: SystemExit(3),
    KeyboardInterrupt,
    lambda: MemoryError("none left"),
]


class Fault:
    """Raise once, at the n-th step that a pump takes in a thread of its own."""

    def __init__(self, nth: int, make_error: Callable[[], BaseException]) -> None:
        self.nth = nth
        self.steps = 0
        self.where = ""
        self._make_error = make_error

    def step(self, where: str) -> None:
        """Take a step."""
        if threading.current_thread().name == "tracecore-pump":
            self.steps += 1
            if self.steps == self.nth:
                self.where = where
                raise self._make_error()

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a call that fails before it does anything, or after it has."""

        def stepping(*args: Any, **kwargs: Any) -> Any:
            self.step(f"before {name}")
            result = call(*args, **kwargs)
            self.step(f"after {name}")
            return result

        return stepping

    def around_async(self, name: str, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Return the same of a coroutine function."""

        async def stepping(*args: Any) -> Any:
            self.step(f"before {name}")
            result = await call(*args)
            self.step(f"after {name}")
            return result

        return stepping


class Store:
    """What is stored, by span: shared by the backends of one run, and compared with the ledger at every write."""

    def __init__(self) -> None:
        self.spans: dict[str, Span] = {}
        self.entries: list[LedgerEntry] = []
        self.wrong: list[str] = []
        self.writes = 0

    def take(self, batch: Sequence[Record]) -> None:
        """Keep a batch: as one step."""
        *records, entry = batch
        assert isinstance(entry, LedgerEntry)
        spans = self.spans | {record.span_id: record for record in records if isinstance(record, Span)}
        self.spans, self.entries = spans, [*self.entries, entry]
        ended = sum(span.status not in {"running", "abandoned"} for span in spans.values())
        if entry.delivered != ended or entry.unaccounted:
            self.wrong.append(f"{ended} stored beside {entry}")


class Awkward:
    """Keep records and ledger; away once, and refusing payloads that are poison."""

    capabilities = Capabilities(ledger=True)
    location = "awkward:"
    traces = observations = sessions = scores = ledger = sql = None

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open = False

    async def open(self) -> None:
        """Open."""
        self._open = True

    async def write(self, batch: Sequence[Record]) -> None:
        """Keep a batch, sooner or later."""
        assert self._open
        self._store.writes += 1
        if self._store.writes == 2:
            raise BackendUnavailable("away")
        if any(b"poison" in bytes(record.input) for record in batch if isinstance(record, Span)):
            raise BackendRejected("poison")
        self._store.take(batch)

    async def maintain(self) -> bool:
        """Do nothing."""
        return False

    async def close(self) -> None:
        """Close."""
        self._open = False


def stepping(backend: Awkward, fault: Fault) -> Backend:
    """Return the backend, each call of which is a step."""
    for name in ("open", "write", "maintain", "close"):
        setattr(backend, name, fault.around_async(f"sink.{name}", getattr(backend, name)))
    return backend  # type: ignore[return-value]  # a Protocol's attributes are not compared with None


def patched(monkeypatch: pytest.MonkeyPatch, fault: Fault) -> None:
    """Make every call of the pump on the buffer and the accounts a step."""
    for owner, name in (
        (Lane, "take"), (Lane, "settle"), (Lane, "rewind"), (Ring, "housekeep"), (Ring, "totals"), (Ring, "rewind"),
        (Ring, "lanes"), (Account, "settle"), (Account, "catch_up"), (OpenSpan, "seal"),
    ):  # fmt: skip
        monkeypatch.setattr(owner, name, fault.around(f"{owner.__name__}.{name}", getattr(owner, name)))


def run(fault: Fault, monkeypatch: pytest.MonkeyPatch, *, given: bool) -> tuple[Recorder, Store, int]:
    """Record some spans, one of them poison, through a pump that fails once; return what became of them."""
    store = Store()
    with monkeypatch.context() as patches:
        patched(patches, fault)
        patches.setattr(Reopened, "__call__", lambda _: stepping(Awkward(store), fault))
        config = Config(batch_items=7, mask=fault.around("mask", str), flush_interval_ms=5, pending_after_ms=1)
        recorder = Recorder(config, backend=stepping(Awkward(store), fault) if given else None)
        recorder._channels[0].station.clock = fault.around("clock", monotonic_ns)
        recorder._channels[0].station.jitter = fault.around("jitter", lambda _, __: 0.0)
        recorder._channels[0].station.renew()
        recorder.start()
        spans = 0
        for number in range(SPANS):
            with open_root(recorder.route, f"s{number}") as span:
                span.update(input=["poison" if number == 11 else "fine"])
            spans += 1
            if number % 10 == 9:
                recorder.flush(20)
        assert recorder.flush(20).pending == 0, fault.where
        left_open = open_root(recorder.route, "left open")
        result = recorder.shutdown(20)
        assert result.pending == 0, fault.where
        assert not left_open.recording or left_open.ended == 0
    return recorder, store, spans


def check(fault: Fault, recorder: Recorder, store: Store, spans: int) -> None:
    """Assert that everything is stored once and counted once."""
    accounts_balance(recorder, emitted=spans)
    health = recorder.health()
    unmade = health.lost.pop("unencodable", 0)  # an ordinary exception while a record is made is the record's fault
    assert health.lost == {}, fault.where
    assert unmade <= ("seal" in fault.where), fault.where
    ended = {span.name for span in store.spans.values() if span.status == "ok"}
    assert len(ended) == spans - unmade == health.delivered, fault.where
    last = store.entries[-1]
    assert (last.ended, last.delivered, last.waiting) == (True, health.delivered, 0), fault.where
    if fault.where != "after sink.write":  # who keeps a batch and says that it was refused breaks its contract
        assert store.wrong == [], fault.where
    assert health.restarts <= 1, fault.where


@torture("T06", "the pump dies at the n-th step for every n: replaced, the batch in hand sent again")
@pytest.mark.parametrize("given", [False, True], ids=["its own backend", "the program's backend"])
def test_the_nth_step_fails(given: bool, trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001 - pytest passes by name
    """A pump that dies at any step is replaced; every span is stored, and the ledger is right throughout."""
    drawn = random.Random(6)  # noqa: S311 - a seed makes the test repeatable
    deaths = 0
    for nth in itertools.count(1):
        for make_error in by_mode([drawn.choice(ERRORS)], full=ERRORS):
            trial.ran += 1
            fault = Fault(nth, make_error)
            recorder, store, spans = run(fault, monkeypatch, given=given)
            check(fault, recorder, store, spans)
            deaths += recorder.health().restarts
        if not fault.where:
            break
    assert nth > 100
    assert deaths > nth / 3


def kill(thread_id: int, error: type[BaseException]) -> None:
    """Have an exception raised in a thread, between any two of its steps."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), ctypes.py_object(error))


@torture("T06", "exceptions set on the pump's thread at random moments", rounds=4, full=60)
def test_killed_at_random(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception may hit the pump between any two of its steps: nothing is lost, doubled or miscounted."""
    restarts = 0
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)  # coroutines that died before they began
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    monkeypatch.setattr(logging.getLogger("asyncio"), "disabled", True)
    for teller in ("tracecore.pump.report", "tracecore.station.report"):
        monkeypatch.setattr(teller, lambda *_, **__: None)  # logging's locks would stay with the thread that died
    for case in trial.cases():
        with case:
            store = Store()
            deadly = case.chance.random() < 0.7
            errors = [SystemExit, KeyboardInterrupt] if deadly else [Panic, ValueError]
            monkeypatch.setattr(Reopened, "__call__", lambda _, store=store: Awkward(store))
            recorder = Recorder(Config(batch_items=case.chance.choice([7, 100, 4_096]), flush_interval_ms=1)).start()
            emitting = [threading.Thread(target=emit, args=(recorder, number)) for number in range(3)]
            for thread in emitting:
                thread.start()
            while any(thread.is_alive() for thread in emitting):
                kill(recorder._channels[0].station.pump._thread_id or 0, case.chance.choice(errors))
                time.sleep(case.chance.uniform(0, 0.02))
            assert recorder.flush(30).pending == 0
            recorder.shutdown(30)
            health = recorder.health()
            accounts_balance(recorder, emitted=3 * 1_000)
            assert health.lost.keys() <= {"unencodable"}, (
                "a record is given up when it was being made at the wrong moment"
            )
            assert len(store.spans) == 3_000 - sum(health.lost.values())
            if deadly:  # the others look like a refusal where they hit the backend after it has kept the batch
                assert store.wrong == []
            restarts += health.restarts
    trial.figures.append(f"{restarts} pumps replaced")
    assert restarts > trial.ran
    for thread in threading.enumerate():
        if thread.name == "tracecore-pump":
            thread.join(20)
    gc.collect()  # the coroutines that died before they began, while nobody listens: not in the middle of another test


def emit(recorder: Recorder, number: int) -> None:
    """Record a thousand spans, a few at a time."""
    for index in range(1_000):
        open_root(recorder.route, f"{number}:{index}").end()
        if index % 20 == 19:
            time.sleep(0.002)


@pytest.mark.parametrize("event_loop", EVENT_LOOPS)
def test_as_a_task_of_the_program(event_loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pump that is a task of the program's loop and dies begins again in its place; the program notices nothing."""
    settle = Account.settle
    times = itertools.count()

    def die_twice(account: Account, shares: Any, counts: Any) -> None:
        if next(times) < 2:
            raise RuntimeError("broken")
        settle(account, shares, counts)

    monkeypatch.setattr(Account, "settle", die_twice)
    backend = FakeBackend()

    async def host() -> None:
        async with Recorder(Config(flush_interval_ms=5), backend=backend) as recorder:
            for number in range(3):
                open_root(recorder.route, f"s{number}").end()
            assert (await recorder.aflush(20)).delivered
            assert recorder.health().restarts == 2
        accounts_balance(recorder, emitted=3)
        assert recorder.health().delivered == 3

    anyio.run(host, backend=event_loop)
    assert set(names(backend.records)) == {"s0", "s1", "s2"}


def test_who_dies_after_each_write_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pumps whose batches are taken and which die before they settle them pause for longer and longer."""

    def die(*_: Any) -> None:
        raise RuntimeError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(Account, "settle", die)
        backend = FakeBackend()
        recorder = Recorder(Config(flush_interval_ms=5), backend=backend).start()
        recorder.emit(span_record("again and again"))
        deadline = time.monotonic() + 20
        while recorder.health().restarts < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        pauses = recorder._channels[0].station.pump._pause
    assert pauses >= 0.4, "the third pump pauses for a tenth of a second, each later one for twice as long"
    recorder.shutdown(20)
    assert recorder.health().delivered == 1
    assert recorder.health().restarts < 20


@pytest.mark.parametrize("event_loop", EVENT_LOOPS)
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_what_ends_the_program_ends_it(event_loop: str, error: type[BaseException]) -> None:
    """What a signal handler raises in the middle of the pump ends the program as it should, after a last delivery."""
    backend = FakeBackend()
    raised: list[str] = []
    recorders: list[Recorder] = []

    def mask(text: str) -> str:
        if text == "last" and not raised:
            raised.append(text)
            raise error
        return text

    async def host() -> None:
        async with Recorder(Config(flush_interval_ms=5, mask=mask), backend=backend) as recorder:
            recorders.append(recorder)
            for name in ("first", "last"):
                open_root(recorder.route, name).end()
            await anyio.sleep(20)

    with pytest.raises(BaseException) as ended:  # noqa: PT011 - asyncio raises it as it is, trio in a group
        anyio.run(host, backend=event_loop)
    assert ended.group_contains(error) if isinstance(ended.value, BaseExceptionGroup) else ended.errisinstance(error)
    assert set(names(backend.records)) == {"first", "last"}
    accounts_balance(recorders[0], emitted=2)
    assert recorders[0].health().delivered == 2
