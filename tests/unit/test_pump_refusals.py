"""What a sink refuses is isolated, stored in a bare form if that helps, and counted; nothing waits behind it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from tests.fakes import EVENT_LOOPS, FakeBackend, ManualClock, names, refusing, run_to_the_end, span_record, unavailable
from tracecore.backend import Capabilities
from tracecore.errors import BackendRejected
from tracecore.pump import Pump, PumpSettings
from tracecore.records import (
    ABSENT,
    ErrorInfo,
    Generation,
    LedgerEntry,
    Record,
    Score,
    Session,
    Span,
    TraceAttributes,
    encode_record,
)
from tracecore.ring import Ring
from tracecore.sealing import Emitted

POISON = "poison"
RECORDS = 100


class BrokenText(Exception):
    """An exception that cannot be shown."""

    def __str__(self) -> str:
        """Fail."""
        message = "no text"
        raise ValueError(message)


def says_poison(record: Record) -> bool:
    """Return whether a record holds the poison anywhere."""
    return POISON.encode() in encode_record(record)


def pumped(records: list[Any], sink: FakeBackend, *, event_loop: str = "asyncio", **settings: Any) -> Pump:
    """Return a pump that has worked off these records."""
    ring: Ring[Any] = Ring(10_000, 10**9)
    for record in records:
        ring.push(record if hasattr(record, "seal") else Emitted(record, 1))
    pump = Pump(ring, sink, set(), PumpSettings(**settings), clock=ManualClock(), jitter=lambda _, __: 0.0)
    run_to_the_end(pump, event_loop)
    totals, counts = ring.totals(), pump.accounts.own.counts
    assert totals["accepted"] == totals["settled"] == counts.delivered + counts.losses.total()
    return pump


@pytest.mark.parametrize("event_loop", EVENT_LOOPS)
def test_one_poison_among_many(event_loop: str) -> None:
    """Of a hundred records with one poisonous payload, 99 are stored exactly and one without it, flagged, in order."""
    records = [span_record(f"s{n}", input=Raw(b'"fine"')) for n in range(RECORDS)]
    records[42] = span_record("s42", input=Raw(b'"poison"'), duration_ns=7, parent_id="f" * 16)
    sink = FakeBackend(on_write=refusing(says_poison, lambda: BackendRejected("bad payload")))
    pump = pumped(records, sink, event_loop=event_loop)
    stored = sink.records
    assert names(stored) == [f"s{n}" for n in range(RECORDS)]
    assert stored[:42] + stored[43:] == records[:42] + records[43:]
    bare = stored[42]
    assert isinstance(bare, Span)
    assert (bare.span_id, bare.duration_ns, bare.parent_id) == (records[42].span_id, 7, "f" * 16)
    assert bare.input is ABSENT
    assert b"$rejected" in bytes(bare.metadata)
    assert (pump.accounts.own.counts.delivered, sum(pump.accounts.own.counts.losses.counts().values())) == (RECORDS, 0)


def poisonous_records() -> list[Record]:
    """Return one record for each place where a value may sit that a store cannot take."""
    raw = Raw(b'"poison"')
    span: list[dict[str, Any]] = [
        {field: raw} for field in ("input", "output", "metadata", "tool_definitions", "tool_calls")
    ]
    span += [{"status_message": POISON}, {"version": POISON}, {"tool_call_names": (POISON,)}]
    span += [{"error": ErrorInfo(POISON)}, {"error": ErrorInfo("E", stack=POISON)}]
    span += [{"trace": attributes} for attributes in (TraceAttributes(user_id=POISON), TraceAttributes(metadata=raw))]
    call: list[dict[str, Any]] = [{"model": POISON}, {"model_parameters": raw}, {"usage_details": {POISON: 1}}]
    call += [{"cost_details": {POISON: 1.0}}, {"prompt_name": POISON}]
    return [
        *(span_record("s", **fields) for fields in span),
        *(Generation("default", "1" * 32, "2" * 16, "g", 1, **fields) for fields in call),
        Score("default", "3" * 16, "score", 1, value=1.0, trace_id="1" * 32, comment=POISON),
        Score("default", "3" * 16, "score", 1, value=1.0, trace_id="1" * 32, metadata=raw),
    ]


@pytest.mark.parametrize("record", poisonous_records(), ids=lambda record: repr(record)[:0] or type(record).__name__)
def test_poison_anywhere_is_taken_out(record: Record) -> None:
    """Wherever the poison sits, the record is stored without it: no observation or score is lost for one field."""
    sink = FakeBackend(on_write=refusing(says_poison))
    pump = pumped([record], sink)
    assert pump.accounts.own.counts.delivered == 1
    (stored,) = sink.records
    assert type(stored) is type(record)


def test_what_was_good_is_kept() -> None:
    """A record with a poisonous payload keeps its usage, cost, user and session: they are not the poison."""
    attributes = TraceAttributes(user_id="u", session_id="s")
    record = Generation(
        "default", "1" * 32, "2" * 16, "g", 1, input=Raw(b'"poison"'), trace=attributes,
        model="m", usage_details={"input": 3}, total_cost=0.5,
    )  # fmt: skip
    sink = FakeBackend(on_write=refusing(says_poison))
    pumped([record], sink)
    (stored,) = sink.records
    assert isinstance(stored, Generation)
    assert (stored.trace, stored.model, stored.usage_details, stored.total_cost) == (attributes, "m", {"input": 3}, 0.5)


@given(poisoned=st.sets(st.integers(0, 40)), count=st.integers(1, 41), batch=st.integers(1, 41))
def test_any_poison_in_any_batch(poisoned: set[int], count: int, batch: int) -> None:
    """Whatever is poisonous beyond repair is lost alone; everything else is stored once, in order."""
    records = [span_record(f"{POISON if n in poisoned else 'fine'} {n}") for n in range(count)]
    sink = FakeBackend(on_write=refusing(says_poison))
    pump = pumped(records, sink, batch_items=batch)
    assert sink.records == [record for record in records if not says_poison(record)]
    assert pump.accounts.own.counts.losses.counts()["rejected"] == len({n for n in poisoned if n < count})


def test_a_batch_refused_as_a_whole() -> None:
    """A sink that takes nothing at all costs every record, counted, in a bounded number of attempts."""
    sink = FakeBackend(on_write=refusing(lambda _: True))
    pump = pumped([span_record(f"s{n}") for n in range(64)], sink)
    assert pump.accounts.own.counts.losses.counts()["rejected"] == 64
    assert pump.accounts.own.counts.delivered == 0
    assert len(sink.attempts) <= 64 * 4


class Panic(BaseException):
    """What extension modules raise when they panic: no Exception."""


@pytest.mark.parametrize(
    "make_error",
    [
        lambda: OSError(28, "no space"),
        lambda: RuntimeError,
        BrokenText,
        lambda: ExceptionGroup("two", [ValueError()]),
        Panic,
        asyncio.CancelledError,
    ],
    ids=["OSError", "RuntimeError", "BrokenText", "ExceptionGroup", "Panic", "CancelledError"],
)
def test_a_sink_that_breaks_its_contract(make_error: Callable[[], BaseException]) -> None:
    """An exception of any type for one record costs that record at most; the pump goes on."""
    sink = FakeBackend(on_write=refusing(lambda record: names([record]) == ["s3"], make_error))
    pump = pumped([span_record(f"s{n}") for n in range(10)], sink)
    assert names(sink.records) == [f"s{n}" for n in range(10) if n != 3]
    assert pump.accounts.own.counts.losses.counts()["rejected"] == 1
    assert pump.accounts.last_error


def test_a_record_that_cannot_be_made() -> None:
    """A record whose making raises, with any message or none, is counted and the others are delivered."""

    class Unmakable:
        size = 1

        def seal(self) -> Record:
            raise BrokenText

    sink = FakeBackend()
    pump = pumped([span_record("a"), Unmakable(), span_record("b")], sink)
    assert names(sink.records) == ["a", "b"]
    assert pump.accounts.own.counts.losses.counts()["unencodable"] == 1


def test_sessions_are_never_stripped_to_nothing() -> None:
    """A refused session, which has nothing to take out, is counted as rejected."""
    sink = FakeBackend(on_write=refusing(lambda _: True))
    pump = pumped([Session("default", "s1")], sink)
    assert pump.accounts.own.counts.losses.counts()["rejected"] == 1


def test_refusals_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """One poison in each of ten batches, isolated by many attempts: one line says why, and one how much was lost."""
    records = [span_record(f"{POISON if n % 10 == 3 else 'fine'} {n}") for n in range(100)]
    with caplog.at_level(logging.DEBUG, "tracecore"):
        pumped(records, FakeBackend(on_write=refusing(says_poison)), batch_items=10)
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "tracecore cannot deliver",
        "tracecore has lost 10 records so far (10 rejected)",
    ]


def test_a_log_handler_that_raises_stops_nothing() -> None:
    """The program's own log handler may raise when a failure is told: the pump goes on."""

    class Broken(logging.Handler):
        def emit(self, _: logging.LogRecord) -> None:
            message = "handler is broken"
            raise RuntimeError(message)

    handler = Broken()
    logging.getLogger("tracecore").addHandler(handler)
    try:
        sink = FakeBackend(on_write=refusing(says_poison))
        pump = pumped([span_record("a"), span_record(POISON), span_record("b")], sink)
    finally:
        logging.getLogger("tracecore").removeHandler(handler)
    assert names(sink.records) == ["a", "b"]
    assert pump.accounts.own.counts.losses.counts()["rejected"] == 1


def test_unavailable_while_isolating() -> None:
    """A sink that goes away in the middle of isolating a poison is waited for; nothing is stored twice or lost."""

    async def on_write(batch: list[Record]) -> None:
        if len(sink.attempts) % 3 == 2:
            raise unavailable()
        await refusing(says_poison)(batch)

    sink = FakeBackend(on_write=on_write)
    records = [span_record(POISON if n == 5 else f"s{n}") for n in range(16)]
    pump = pumped(records, sink)
    assert names(sink.records) == [f"s{n}" for n in range(16) if n != 5]
    assert pump.accounts.own.counts.losses.counts() == {
        **dict.fromkeys(pump.accounts.own.counts.losses.counts(), 0),
        "rejected": 1,
    }


def entry_of(process: str) -> LedgerEntry:
    """Return what is to be said of a dead process."""
    return LedgerEntry("default", process, 0, 1, ended=True)


def test_a_sink_that_takes_records_but_no_entries_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Entries of the ledger that a sink refuses cost no record: it is sent none any more, which is said once."""
    sink = FakeBackend(on_write=refusing(lambda record: isinstance(record, LedgerEntry)))
    sink.capabilities = Capabilities(ledger=True)
    with caplog.at_level(logging.WARNING):
        pump = pumped([span_record(f"s{n}") for n in range(RECORDS)], sink, batch_items=10)
    assert (len(sink.records), pump.accounts.own.counts.losses.total()) == (RECORDS, 0)
    assert not any(record.status_message for record in sink.records if isinstance(record, Span)), "nothing is stripped"
    assert caplog.text.count("keeps no ledger any more") == 1


def test_poison_beside_entries_that_are_taken(caplog: pytest.LogCaptureFixture) -> None:
    """Where it is the record that is refused, and not the entry beside it, the ledger goes on."""
    sink = FakeBackend(on_write=refusing(lambda record: isinstance(record, Span) and says_poison(record)))
    sink.capabilities = Capabilities(ledger=True)
    with caplog.at_level(logging.WARNING):
        pump = pumped([span_record("good"), span_record(POISON), span_record("other")], sink)
    entries = [record for record in sink.records if isinstance(record, LedgerEntry)]
    assert (entries[-1].delivered, entries[-1].lost, entries[-1].ended) == (2, {"rejected": 1}, True)
    assert pump.accounts.own.counts.delivered == 2
    assert "ledger" not in caplog.text


def test_what_is_said_of_one_dead_process_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    """A sink that refuses what is said of one dead process is told of the others; the one is named, and let go."""
    sink = FakeBackend(on_write=refusing(lambda record: isinstance(record, LedgerEntry) and record.process == "two"))
    sink.capabilities = Capabilities(ledger=True)
    ring: Ring[Any] = Ring(10, 10**9)
    ring.farewells += [entry_of("one"), entry_of("two"), entry_of("three")]
    pump = Pump(ring, sink, set(), PumpSettings(), clock=ManualClock())
    with caplog.at_level(logging.WARNING):
        run_to_the_end(pump, "asyncio")
    said = [record.process for record in sink.records if isinstance(record, LedgerEntry)]
    assert [process for process in said if process != pump.accounts.process] == ["one", "three"]
    assert ring.farewells == []
    assert "process two" in caplog.text
