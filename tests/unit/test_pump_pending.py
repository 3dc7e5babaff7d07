"""A span that stays open is written once as running, then as ended; it is no record of its own in the accounts."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.fakes import FakeBackend, ManualClock, names, refusing, run_to_the_end
from tracecore.clock import monotonic_ns
from tracecore.context import Route
from tracecore.errors import BackendRejected, BackendUnavailable
from tracecore.open_span import OpenSpan, open_child, open_root
from tracecore.pump import Pump, PumpSettings
from tracecore.records import Generation, Provenance, Record, Span
from tracecore.ring import Ring

AFTER = 2.0


class Stage:
    """A pump, its clock and what it pumps from; each call of ``pump`` is one run to the end."""

    def __init__(self, sink: FakeBackend | None = None, **settings: Any) -> None:
        self.ring: Ring[Any] = Ring(1_000, 10**6)
        self.spans: set[OpenSpan] = set()
        self.route = Route("default", self.ring, self.ring.push, self.spans)
        self.sink = sink or FakeBackend()
        self.clock = ManualClock()
        self.settings = PumpSettings(**{"pending_after": AFTER, "abandon": False, **settings})

    def open(self, name: str, **fields: Any) -> OpenSpan:
        """Open a trace."""
        span = open_root(self.route, name)
        assert isinstance(span, OpenSpan)
        return span.update(**fields)

    def pump(self, *, later: float = 0.0) -> Pump:
        """Let ``later`` seconds pass and pump what is there."""
        self.clock.now = monotonic_ns() + int(later * 1e9)
        pump = Pump(self.ring, self.sink, self.spans, self.settings, clock=self.clock, jitter=lambda _, __: 0.0)
        run_to_the_end(pump, "asyncio")
        return pump

    @property
    def written(self) -> list[Span]:
        """Return what the sink accepted."""
        return [record for record in self.sink.records if isinstance(record, Span)]


def test_written_once_as_running_then_ended() -> None:
    """A span that is open for long is written as running once, with what is known; its end is written when it comes."""
    stage = Stage()
    span = stage.open("slow", input={"q": 1})
    assert stage.pump(later=AFTER - 1).accounts.own.counts.delivered == 0
    assert stage.written == []
    running = stage.pump(later=AFTER)
    again = stage.pump(later=10 * AFTER)
    span.update(output="done").end()
    ended = stage.pump()
    first, second = stage.written
    assert (first.status, first.duration_ns, first.span_id) == ("running", None, span.span_id)
    assert bytes(first.input) == b'{"q":1}'
    assert (second.status, second.span_id) == ("ok", span.span_id)
    assert second.duration_ns is not None
    assert bytes(second.output) == b'"done"'
    assert [pump.accounts.own.counts.delivered for pump in (running, again, ended)] == [0, 0, 1]


def test_zero_means_never() -> None:
    """With ``pending_after`` 0 no span is written before it ends."""
    stage = Stage(pending_after=0.0)
    stage.open("slow")
    stage.pump(later=1_000)
    assert stage.sink.attempts == []


def test_children_and_parents_are_written_alike() -> None:
    """Every open span of a trace that is old enough is written; younger ones and ended ones are not."""
    stage = Stage()
    root = stage.open("root")
    child = open_child(root.trace, root.span_id, "child")
    young = open_child(root.trace, root.span_id, "young")
    young.started += int(60e9)
    ended = open_child(root.trace, root.span_id, "ended")
    ended.end()
    stage.pump(later=AFTER)
    running = [record for record in stage.written if record.status == "running"]
    assert sorted(names(running)) == ["child", "root"]
    assert next(record for record in running if record.name == "child").parent_id == root.span_id
    assert child.announced
    assert not young.announced


def test_running_comes_before_the_end_of_another() -> None:
    """Nothing of a trace is written twice when one span ends while another stays open."""
    stage = Stage()
    root = stage.open("root")
    open_child(root.trace, root.span_id, "child").end()
    stage.pump(later=AFTER)
    root.end()
    stage.pump()
    assert [(record.name, record.status) for record in stage.written] == [
        ("root", "running"),
        ("child", "ok"),
        ("root", "ok"),
    ]


def test_one_that_is_refused_hides_no_other() -> None:
    """A sink that refuses one running span still gets the others; nothing of it is counted as lost."""

    def is_poison(record: Record) -> bool:
        return isinstance(record, Span) and record.name == "poison"

    stage = Stage(FakeBackend(on_write=refusing(is_poison)))
    for name in ("a", "poison", "b", "c"):
        stage.open(name)
    pump = stage.pump(later=AFTER)
    assert sorted(names(stage.written)) == ["a", "b", "c"]
    assert (pump.accounts.own.counts.delivered, sum(pump.accounts.own.counts.losses.counts().values())) == (0, 0)


def test_one_that_cannot_be_made_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A running span whose record cannot be made is left out; the pump goes on and counts nothing."""
    seal = OpenSpan.seal

    def fail(span: OpenSpan, *, running: bool = False) -> Span:
        if span.name == "broken":
            raise TypeError(span.name)
        return seal(span, running=running)

    monkeypatch.setattr(OpenSpan, "seal", fail)
    stage = Stage()
    for name in ("a", "broken", "b"):
        stage.open(name)
    pump = stage.pump(later=AFTER)
    assert sorted(names(stage.written)) == ["a", "b"]
    assert sum(pump.accounts.own.counts.losses.counts().values()) == 0


def test_an_event_that_says_a_model_is_kept() -> None:
    """Fields of a generation on an event cost neither the event nor the pump: they are stored with it."""
    stage = Stage()
    root = stage.open("root")
    event = open_child(root.trace, root.span_id, "cache hit", "event").update(model="m", usage_details={"input": 1})
    stage.pump(later=AFTER)
    event.end()
    stage.pump()
    (stored,) = [record for record in stage.written if record.status == "ok"]
    assert isinstance(stored, Generation)
    assert (stored.type, stored.model) == ("event", "m")


def test_running_spans_are_masked(caplog: pytest.LogCaptureFixture) -> None:
    """A span that is written while it runs passes through the mask like any other record."""
    stage = Stage(mask=lambda text: text.replace("secret", "***"))
    stage.open("a secret", input={"secret": "secret"}, metadata={"k": "secret"}, status_message="secret")
    with caplog.at_level(logging.DEBUG):
        stage.pump(later=AFTER)
    (running,) = stage.written
    assert running.name == "a ***"
    assert b"secret" not in bytes(running.input) + bytes(running.metadata)
    assert running.status_message == "***"


def test_a_refused_one_is_not_tried_again() -> None:
    """A running span that was refused once waits for its end; those that come to run long later are written."""

    async def once_refused(_: list[Record]) -> None:
        if len(stage.sink.attempts) == 1:
            raise BackendRejected("not now")

    stage = Stage(FakeBackend(on_write=once_refused))
    stage.open("only")
    stage.pump(later=AFTER)
    assert stage.written == []
    stage.open("next")
    stage.pump(later=AFTER)
    assert names(stage.written) == ["next"]


def test_one_that_runs_says_of_which_process() -> None:
    """A running span names the recorder that will end it, masked or not, beside what the configuration names."""
    stage = Stage(mask=lambda _: "***")
    stage.route = Route(
        "default", stage.ring, stage.ring.push, stage.spans, provenance=Provenance(service_name="shop", source="x")
    )
    stage.open("slow")
    pump = stage.pump(later=AFTER)
    (running,) = stage.written
    assert running.provenance == Provenance(service_name="***", source="***", service_instance_id=pump.accounts.process)


def test_what_nobody_ended_is_abandoned() -> None:
    """Spans that are open when the pump has been stopped are written as abandoned, with the time they have taken."""
    stage = Stage(abandon=True, pending_after=0.0)
    root = stage.open("root", input="in")
    child = open_child(root.trace, root.span_id, "child")
    open_child(root.trace, root.span_id, "ended").end()
    pump = stage.pump(later=5)
    assert sorted((record.name, record.status) for record in stage.written) == [
        ("child", "abandoned"), ("ended", "ok"), ("root", "abandoned"),
    ]  # fmt: skip
    found = {record.name: record for record in stage.written}
    assert found["root"].duration_ns == stage.clock.now - root.started
    assert found["child"].provenance == Provenance(service_instance_id=pump.accounts.process)
    assert bytes(found["root"].input) == b'"in"'
    counts = pump.accounts.own.counts
    assert (counts.delivered, counts.losses.total()) == (1, 0), "what was abandoned is not counted as emitted"
    assert {root, child} <= stage.spans, "the program may still end them"


def test_nothing_is_abandoned_where_the_store_is_away() -> None:
    """A sink that is away at the end is not kept waiting for with what nobody has ended."""

    async def away(_: list[Record]) -> None:
        raise BackendUnavailable("away")

    stage = Stage(FakeBackend(on_write=away), abandon=True)
    stage.open("root")
    pump = stage.pump()
    assert stage.written == []
    assert pump.finished


def test_a_span_announced_by_one_pump_is_not_announced_by_the_next() -> None:
    """Where the sink was away, or the pump died, a running span is written by the next one; and then no more."""

    async def die(_: list[Record]) -> None:
        if len(stage.sink.attempts) == 1:
            raise SystemExit

    stage = Stage(FakeBackend(on_write=die))
    stage.open("slow")
    with pytest.raises(SystemExit):
        stage.pump(later=AFTER)
    assert stage.written == []
    for _ in range(3):
        stage.pump(later=AFTER)
    assert [(record.name, record.status) for record in stage.written] == [("slow", "running")]
