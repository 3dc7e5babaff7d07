"""Several backends at once: each is delivered everything, by itself, whatever becomes of the others."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from tests.fakes import (
    EVENT_LOOPS,
    names,
    span_record,
)
from tests.several import DELIVERED, WITHIN, At, Trouble, balanced, recording, work
from tracecore.config import Config
from tracecore.errors import ConfigError
from tracecore.open_span import Muted, OpenSpan, open_child, open_root
from tracecore.recorder import Recorder, _each
from tracecore.records import Record, Span
from tracecore.tracing import span

__all__ = ["recording"]


def test_every_backend_is_given_what_one_alone_would_be(recording: Callable[..., Recorder]) -> None:
    """Several backends store the same records, and each of them stores what a recorder for it alone would have."""
    alone, first, second, third = At("alone:"), At("first:"), At("second:"), At("third:")
    for recorder in (recording(alone), recording(first, second, third)):
        with_one = open_root(recorder.route, "root")
        assert isinstance(with_one, OpenSpan)
        with_one.update(input={"q": [1, 2]}, output="a", usage_details={"input": 3}).update_trace(user_id="u")
        open_child(with_one.trace, with_one.span_id, "child").end()
        with_one.end()
        recorder.emit(span_record("emitted"))
        assert recorder.flush(WITHIN).delivered
    assert names(alone.records) == ["child", "root", "emitted"]
    assert first.records == second.records == third.records
    assert [_without_ids(record) for record in first.records] == [_without_ids(record) for record in alone.records]


def _without_ids(record: Record) -> dict[str, Any]:
    assert isinstance(record, Span)
    changing = {"trace_id", "span_id", "parent_id", "start_ns", "duration_ns"}
    return {name: getattr(record, name) for name in record.__struct_fields__ if name not in changing}


def test_one_backend_is_written_to_without_a_detour(recording: Callable[..., Recorder]) -> None:
    """What a route hands its spans to is the buffer's own push where there is one backend, whether listed or not."""
    recorder = recording(At("only:"))
    assert recorder.route is not None
    ring = recorder._channels[0].ring
    assert (recorder.route.push, recorder.route.ring) == (ring.push, ring)
    assert recorder.health().backends == {}
    assert recorder.flush(WITHIN) == DELIVERED


def test_backends_are_known_in_their_order(recording: Callable[..., Recorder]) -> None:
    """The first is the one that is asked for as the backend; all of them can be had."""
    first, second = At("first:"), At("second:")
    recorder = recording(first, second)
    assert recorder.backend is first
    assert recorder.backends == [first, second]
    assert recorder.health().location == "first:+second:"


def test_a_url_of_several() -> None:
    """A configuration names several backends by URLs that a plus joins."""
    recorder = Recorder(Config(backend="memory://fan-out-one+memory://fan-out-two+memory:"))
    assert [backend.location for backend in recorder.backends] == [
        "memory:fan-out-one", "memory:fan-out-two", "memory:",
    ]  # fmt: skip
    recorder.start()
    work(recorder, "a")
    assert recorder.shutdown(WITHIN).delivered
    assert {one.delivered for one in recorder.health().backends.values()} == {1}


def test_the_same_backend_twice_is_refused() -> None:
    """Two backends of one location would be one that is written to twice, and none at all is no backend."""
    with pytest.raises(ConfigError, match=r"'memory://same\+memory:same' .* none of them twice, as memory:same is$"):
        Recorder(Config(backend="memory://same+memory:same"))
    with pytest.raises(ConfigError, match=r"none of them twice, as a: is$"):
        Recorder(backend=[At("a:"), At("b:"), At("a:")])
    with pytest.raises(ConfigError, match="one backend at least"):
        Recorder(backend=[])
    with pytest.raises(ConfigError, match="nowhere:"):
        Recorder(Config(backend="memory:+nowhere://there"))


def test_a_trace_that_sampling_leaves_out_is_counted_by_each(recording: Callable[..., Recorder]) -> None:
    """Every ledger says how many traces were left out, so that its totals can be corrected."""
    recorder = recording(At("a:"), At("b:"), sample_rate=0.0)
    assert isinstance(open_root(recorder.route, "left out"), Muted)
    health = recorder.health()
    assert [health.sampled, *(one.sampled for one in health.backends.values())] == [1, 1, 1]
    assert len({one.process for one in health.backends.values()} | {health.process}) == 1


@pytest.mark.parametrize("kind", Trouble.KINDS)
@pytest.mark.parametrize("healthy_first", [False, True])
def test_trouble_with_one_is_none_of_the_others(
    recording: Callable[..., Recorder], kind: str, *, healthy_first: bool
) -> None:
    """Beside a backend in whatever trouble another one is delivered everything, and the accounts of both are exact."""
    trouble, seen = Trouble(kind), threading.Semaphore(0)

    async def tell(batch: list[Record]) -> None:
        for _ in batch:
            seen.release()

    healthy = At("healthy:", on_write=tell)
    both = [healthy, trouble.backend] if healthy_first else [trouble.backend, healthy]
    recorder = recording(*both)
    for number in range(10):
        work(recorder, f"{number}")
        assert seen.acquire(timeout=WITHIN), "it waits for the other one"
    health = recorder.health()
    balanced(health, emitted=10)
    assert health.backends["healthy:"].lost == {}
    assert health.backends["healthy:"].backend_state == "up"
    if kind != "refuses":
        assert not recorder.flush(0).delivered
        trouble.over.set()
    ended = recorder.shutdown(WITHIN)
    balanced(recorder.health(), emitted=10)
    assert ended.backends["healthy:"] == DELIVERED
    assert sorted(names(healthy.records)) == sorted(f"{number}" for number in range(10))
    lost = {"rejected": 10} if kind == "refuses" else {}
    assert (ended.lost, ended.backends["troubled:"].lost) == (lost, lost)
    if kind != "refuses":
        assert sorted(set(names(trouble.backend.records))) == sorted(f"{number}" for number in range(10))


def test_a_full_buffer_is_the_loss_of_its_backend_only(recording: Callable[..., Recorder]) -> None:
    """What finds no room on the way to a backend that is away reaches the other one all the same."""
    seen = threading.Semaphore(0)

    async def tell(batch: list[Record]) -> None:
        for _ in batch:
            seen.release()

    trouble = Trouble("hangs")
    recorder = recording(trouble.backend, At("healthy:", on_write=tell), buffer_items=4, batch_items=1)
    for number in range(20):
        assert recorder.emit(span_record(f"{number}")) in {True, False}
        assert seen.acquire(timeout=WITHIN)
    assert not recorder.emit(span_record("not by all"))
    assert seen.acquire(timeout=WITHIN)
    health = recorder.health()
    balanced(health, emitted=21)
    lost = health.backends["troubled:"].lost
    assert set(lost) == {"ring_full"}
    assert 21 - 6 <= lost["ring_full"] <= 21 - 4
    assert health.lost == lost
    assert health.backends["healthy:"].lost == {}
    trouble.over.set()
    assert recorder.flush(WITHIN).backends["healthy:"].delivered


@pytest.mark.parametrize("event_loop", EVENT_LOOPS)
def test_as_tasks_of_one_loop(event_loop: str) -> None:
    """In ``async with`` each backend has a task of its own; one that hangs keeps neither the others nor the end."""
    trouble, healthy = Trouble("hangs"), At("healthy:")

    async def host() -> Recorder:
        config = Config(flush_interval_ms=60_000, shutdown_timeout_ms=100)
        async with Recorder(config, backend=[trouble.backend, healthy]) as recorder:
            with span("root") as root:
                pass
            result = await root.adelivered(0.05)
            assert (result.delivered, result.backends["healthy:"].delivered) == (False, True)
            assert (await recorder.aflush(0.05)).backends["healthy:"].delivered
        return recorder

    recorder = anyio.run(host, backend=event_loop)
    balanced(recorder.health(), emitted=1)
    assert names(healthy.records) == ["root"]
    assert recorder.health().lost == {"unavailable": 1} or recorder.health().lost == {"closing": 1}
    assert (trouble.backend.calls[-1], healthy.calls[-1]) == ("close", "close")


@pytest.mark.parametrize("event_loop", EVENT_LOOPS)
def test_what_ends_the_loop_is_survived_by_every_backend(event_loop: str) -> None:
    """Where one pump meets what ends the program, all that was emitted is delivered to each backend all the same."""
    raised: list[str] = []

    def mask(text: str) -> str:
        if text == "first" and not raised:
            raised.append(text)
            raise KeyboardInterrupt
        return text

    backends, recorders = [At("a:"), At("b:")], list[Recorder]()

    async def host() -> None:
        async with Recorder(Config(flush_interval_ms=5, mask=mask), backend=backends) as recorder:
            recorders.append(recorder)
            for name in ("first", "last"):
                work(recorder, name)
            await anyio.sleep(WITHIN)

    with pytest.raises(BaseException) as ended:  # noqa: PT011 - asyncio raises it as it is, trio in a group
        anyio.run(host, backend=event_loop)
    assert isinstance(ended.value, KeyboardInterrupt) or ended.group_contains(KeyboardInterrupt)
    balanced(recorders[0].health(), emitted=2)
    assert [sorted(set(names(backend.records))) for backend in backends] == [["first", "last"]] * 2


@pytest.mark.parametrize("event_loop", EVENT_LOOPS)
def test_pumps_that_died_are_resumed_at_once(event_loop: str) -> None:
    """At the end of a block no backend whose pump has died waits for another one to have delivered."""

    async def host() -> None:
        met = anyio.Event(), anyio.Event()

        async def resume(mine: int) -> None:
            met[mine].set()
            with anyio.fail_after(WITHIN):
                await met[1 - mine].wait()

        await _each([lambda: resume(0), lambda: resume(1)])
        assert all(event.is_set() for event in met)

    anyio.run(host, backend=event_loop)
