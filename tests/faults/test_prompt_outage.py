"""``get_prompt`` while its store hangs, lies, blocks, dies or is asked by everybody at once, through the real thread.

How long something takes is not measured: a call that waited when it should not have is seen by the sum of a thousand.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from tests.fakes import EVENT_LOOPS
from tests.prompt_stores import FakeStore, a_prompt, served_by, waiting
from tests.torture.declaring import torture
from tracecore.errors import AccessDenied, BackendRejected, BackendUnavailable, NotFound
from tracecore.prompt_cache import PromptCache
from tracecore.prompt_host import PromptHost
from tracecore.prompt_registry import REGISTRY
from tracecore.prompting import aget_prompt, get_prompt, warm_prompts
from tracecore.prompts import PromptFeed

SLOW = 0.3
"""Seconds that a caller waits for a store that hangs."""


def a_thousand_in_no_time(call: Callable[[], object]) -> None:
    """Call something a thousand times; if each waited, that would take five minutes."""
    began = time.monotonic()
    for _ in range(1_000):
        call()
    assert time.monotonic() - began < 30 * SLOW


def until(condition: Callable[[], object]) -> None:
    """Wait until something holds, ten seconds at most."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.002)


@torture("T17", "a store of prompts that hangs")
def test_a_store_that_hangs_is_waited_for_once() -> None:
    """With a cold cache the first call takes the time that one may wait, the next thousand take none, of any name."""
    store = FakeStore()
    store.before = waiting
    with served_by(store, prompt_wait_ms=int(SLOW * 1_000)):
        began = time.monotonic()
        assert get_prompt("greeting", fallback="hello").is_fallback
        assert SLOW <= time.monotonic() - began < 10
        a_thousand_in_no_time(lambda: get_prompt("greeting", fallback="hello"))
        numbers = iter(range(1_000))
        a_thousand_in_no_time(lambda: get_prompt(f"p{next(numbers)}", fallback="hello"))

        def in_vain() -> None:
            with pytest.raises(BackendUnavailable):
                get_prompt("greeting")

        a_thousand_in_no_time(in_vain)
        assert len(store.asked) < 50


@pytest.mark.parametrize("loop", EVENT_LOOPS)
def test_a_store_that_hangs_blocks_no_loop(loop: str) -> None:
    """While one task waits for a prompt, others go on."""
    store = FakeStore()
    store.before = waiting
    ticks = 0

    async def ticking() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await anyio.sleep(0.01)

    async def main() -> bool:
        async with anyio.create_task_group() as group:
            group.start_soon(ticking)
            found = await aget_prompt("greeting", fallback="hello")
            group.cancel_scope.cancel()
        return found.is_fallback

    with served_by(store, prompt_wait_ms=int(SLOW * 1_000)):
        assert anyio.run(main, backend=loop)
    assert ticks > 3


@torture("T18", "everybody asks for one prompt")
@pytest.mark.parametrize("loop", EVENT_LOOPS)
def test_a_herd_asks_once(loop: str) -> None:
    """200 threads and 200 tasks, on a loop of their own, are served by one question, if it takes a while."""
    store = FakeStore(a_prompt(version=4))
    everybody = threading.Event()

    async def slowly() -> None:
        await asyncio.to_thread(everybody.wait, 20)

    store.before = slowly
    served: list[int | None] = []
    with served_by(store) as cache:
        threads = [
            threading.Thread(target=lambda: served.append(get_prompt("greeting", timeout=20).version))
            for _ in range(200)
        ]

        async def one() -> None:
            served.append((await aget_prompt("greeting", timeout=20)).version)

        async def main() -> None:
            async with anyio.create_task_group() as group:
                for _ in range(200):
                    group.start_soon(one)

        threads.append(threading.Thread(target=lambda: anyio.run(main, backend=loop)))
        for thread in threads:
            thread.start()
        until(lambda: sum(len(flight.listeners) for flight in cache.flights()) == 400)
        everybody.set()
        for thread in threads:
            thread.join(20)
    assert served == [4] * 400
    assert store.asked == [("greeting", None, "production")]


def test_a_herd_that_nobody_answers_asks_once() -> None:
    """A missing prompt, too, is asked for once, and all are told."""
    store = FakeStore()
    told: list[object] = []

    def ask() -> None:
        with pytest.raises(NotFound) as raised:
            get_prompt("none")
        told.append(raised.value)

    with served_by(store):
        threads = [threading.Thread(target=ask) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert len(told) == 50
    assert len(store.asked) == 1


async def _cancelling() -> None:
    raise asyncio.CancelledError


def _raising(error: BaseException) -> Callable[[], Any]:
    async def raise_it() -> None:
        raise error

    return raise_it


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no"), OSError("no"), TimeoutError(), RecursionError(), MemoryError(), KeyboardInterrupt(),
        SystemExit(3), GeneratorExit(), StopAsyncIteration(), BaseExceptionGroup("all", [SystemExit(1)]),
        asyncio.CancelledError(), asyncio.InvalidStateError(), AccessDenied("no"), BackendRejected("never"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_whatever_a_store_raises(error: BaseException) -> None:
    """The caller gets an error of ours or the fallback; the thread lives on, and serves what can be served."""
    store = FakeStore(a_prompt("other"))
    store.before = _raising(error)
    expected = type(error) if isinstance(error, AccessDenied | BackendRejected) else BackendUnavailable
    with served_by(store, prompt_wait_ms=int(SLOW * 1_000)) as cache:
        with pytest.raises(expected):
            get_prompt("greeting")
        assert get_prompt("greeting", fallback="hello").is_fallback
        store.before = None
        until(lambda: not isinstance(cache.ask(("other", None, "production"), 0), BackendUnavailable))
        assert get_prompt("other", timeout=10).version == 1
        assert [thread.name for thread in threading.enumerate()].count("tracecore-prompts") == 1


@pytest.mark.parametrize(
    "answer", [None, 5, "text", {}, a_prompt("other"), a_prompt(content={"a": 1}), a_prompt(content=[1])]
)
def test_whatever_a_store_answers(answer: object) -> None:
    """What is no prompt is an error that says so, or the fallback."""
    store = FakeStore()
    store.labels["greeting", "production"] = answer
    with served_by(store), pytest.raises((BackendRejected, NotFound)):
        get_prompt("greeting")


def test_a_store_that_cannot_be_cancelled() -> None:
    """It is left to itself, and others are asked beside it."""
    store = FakeStore(a_prompt("other"))
    over = threading.Event()

    async def stubborn() -> None:
        while not over.is_set():
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue

    store.before = stubborn
    try:
        with served_by(store, prompt_wait_ms=50) as cache:
            assert get_prompt("greeting", fallback="hello").is_fallback
            store.before = None
            until(lambda: not isinstance(cache.ask(("other", None, "production")), BackendUnavailable))
            assert get_prompt("other", timeout=10).version == 1
            over.set()
    finally:
        over.set()


def test_a_store_that_blocks_the_thread() -> None:
    """A plug-in that sleeps where it should wait takes the thread along; callers wait no longer than they may."""
    store = FakeStore(a_prompt())
    over = threading.Event()

    async def blocking() -> None:
        over.wait(30)  # what must not be done

    with served_by(store, prompt_wait_ms=int(SLOW * 1_000)):
        assert get_prompt("greeting").version == 1
        store.before = blocking
        assert get_prompt("other", fallback="hello").is_fallback
        a_thousand_in_no_time(lambda: get_prompt("other", fallback="hello"))
        a_thousand_in_no_time(lambda: get_prompt("greeting"))
        assert get_prompt("greeting", ttl=0, timeout=0.01).version == 1
        over.set()


def test_a_cancelled_caller_takes_nobody_along() -> None:
    """The flight goes on for others, and its answer is kept; a loop that has closed meanwhile is nobody's trouble."""
    store = FakeStore(a_prompt())
    answer = threading.Event()

    async def slowly() -> None:
        await asyncio.to_thread(answer.wait, 20)

    store.before = slowly

    async def cancelled(cache: PromptCache) -> None:
        task = asyncio.create_task(aget_prompt("greeting"))
        while not cache.flights() or not cache.flights()[0].listeners:  # noqa: ASYNC110 - no event says so
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def abandoned(cache: PromptCache) -> None:
        asyncio.get_running_loop().create_task(aget_prompt("greeting")).add_done_callback(lambda _: None)
        await asyncio.sleep(0.01)

    with served_by(store) as cache:
        asyncio.run(cancelled(cache))
        assert [len(flight.listeners) for flight in cache.flights()] == [0]
        asyncio.run(abandoned(cache))
        answer.set()
        assert get_prompt("greeting").version == 1
        assert len(store.asked) == 1


def test_the_store_is_asked_again_while_somebody_waits() -> None:
    """A failure that passes within the time that one waits is not seen by the caller."""
    store = FakeStore(a_prompt())
    failures = iter([OSError("starting"), BackendUnavailable("starting"), TimeoutError()])

    async def starting() -> None:
        for error in failures:
            raise error

    store.before = starting
    with served_by(store):
        assert get_prompt("greeting").version == 1
    assert len(store.asked) == 4


def test_ten_thousand_names() -> None:
    """Names that are not there cost one question each, and memory for a thousand."""
    store = FakeStore()
    with served_by(store, prompt_cache_items=100) as cache:
        for number in range(10_000):
            assert get_prompt(f"p{number}", fallback="x").is_fallback
        assert len(store.asked) == 10_000
        assert len(cache.entries) == 0
        assert len(cache._missing) <= 1_000
        assert cache.flights() == []


def test_time_is_monotonic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of the wall clock, an hour or to 1970, make nothing stale and nothing young."""
    store = FakeStore(a_prompt())
    with served_by(store):
        get_prompt("greeting")
        for now in (0.0, time.time() + 86_400, time.time() - 3_600):
            monkeypatch.setattr(time, "time", lambda now=now: now)
            monkeypatch.setattr(time, "time_ns", lambda now=now: int(now * 1e9))
            assert not get_prompt("greeting").stale
    assert len(store.asked) == 1


def test_a_promotion_is_served_without_anybody_waiting() -> None:
    """The store tells of it, and the next version is fetched beside the calls, however long a prompt may live."""
    store = FakeStore(a_prompt(version=1), a_prompt("other"))
    store.tells = True
    loops: list[asyncio.AbstractEventLoop] = []

    async def note_loop() -> None:
        loops.append(asyncio.get_running_loop())

    store.before = note_loop
    with served_by(store, prompt_ttl_s=3_600):
        assert get_prompt("greeting").version == 1
        assert get_prompt("other").version == 1
        for version in (2, 3, 4):
            loops[0].call_soon_threadsafe(store.move, a_prompt(version=version))
            seen: list[Any] = []
            until(lambda: seen.append(get_prompt("greeting")) or seen[-1].version == version)  # noqa: B023 - called here
            assert {prompt.source for prompt in seen} == {"memory"}
        assert store.asked.count(("other", None, "production")) == 1
        assert len(store.asked) == 5


def test_what_was_asked_for_before_the_feed_began_is_asked_again() -> None:
    """A change between the two would never be told of; so the feed begins first, or else nothing is trusted."""
    store = FakeStore(a_prompt())
    store.tells = True
    begun = threading.Event()

    async def late(project: str, since: int, *, wait: float = 0.0) -> PromptFeed:
        store.asked_for_changes.append(since)
        await asyncio.to_thread(begun.wait, 20)
        if since == store.number:
            await waiting()
        return PromptFeed(store.number, ())

    store.changes = late  # type: ignore[method-assign]  # what is tested
    with served_by(store, prompt_ttl_s=3_600):
        assert get_prompt("greeting").version == 1
        begun.set()
        until(lambda: len(store.asked_for_changes) == 2)
        store.put(a_prompt(version=2))
        until(lambda: get_prompt("greeting").version == 2)


@pytest.mark.parametrize(
    "answer",
    [OSError(), BackendRejected("no"), SystemExit(1), None, 5, PromptFeed("x", 5), PromptFeed(0, None)],
    ids=repr,
)
def test_whatever_the_feed_says(answer: Any) -> None:
    """A feed that fails or answers nonsense takes nothing away, and is not asked without end."""
    store = FakeStore(a_prompt())
    store.tells = True
    asked = 0

    async def odd(project: str, since: int, *, wait: float = 0.0) -> Any:
        nonlocal asked
        asked += 1
        if isinstance(answer, BaseException):
            raise answer
        return answer

    store.changes = odd  # type: ignore[method-assign]  # what is tested
    with served_by(store):
        for _ in range(3):
            assert get_prompt("greeting").version == 1
        time.sleep(0.2)
        assert asked < 10


def test_the_thread_ends_when_nobody_needs_it() -> None:
    """After a while without work, and begins again with the next; what was handed over is done once."""
    done: list[str] = []

    async def work() -> None:
        done.append(threading.current_thread().name)

    async def ended() -> None:
        done.append("ended")

    host = PromptHost(on_end=ended, idle=0.02)
    for times in (1, 2):
        host.run(work)
        until(lambda: done.count("ended") == times)  # noqa: B023 - called here
        until(lambda: not [one for one in threading.enumerate() if one.name == "tracecore-prompts"])
    assert done == ["tracecore-prompts", "ended"] * 2
    host.run(work)
    assert host.stop(10), "also before it has really begun"
    busy = PromptHost(on_end=ended, is_needed=lambda: True, idle=0.02)
    busy.run(work)
    time.sleep(0.2)
    assert busy._thread is not None
    assert busy._thread.alive
    assert busy.stop(10)


def test_a_thread_that_does_not_come_back_is_replaced() -> None:
    """Another takes the work; the old one ends as soon as it can; after a few there are no more."""
    over, done = threading.Event(), list[str]()

    async def blocking() -> None:
        over.wait(30)  # what must not be done

    async def work() -> None:
        done.append("work")

    host = PromptHost(on_end=work, idle=30)
    for _ in range(5):
        host.run(blocking)
        until(lambda: not host._inbox)
        host.replace_thread()
    assert [thread.name for thread in threading.enumerate()].count("tracecore-prompts") == 5
    over.set()
    host.run(work)
    until(lambda: done)
    assert host.stop(10)
    until(lambda: not [one for one in threading.enumerate() if one.name == "tracecore-prompts"])


def test_warming_has_one_budget() -> None:
    """However many prompts hang, warming takes the time that it was given, once, and says which are not there."""
    store = FakeStore()
    store.before = waiting
    with served_by(store):
        began = time.monotonic()
        failed = warm_prompts([f"p{number}" for number in range(100)], timeout=SLOW)
        assert time.monotonic() - began < 30 * SLOW
        assert len(failed) == 100
        assert all(isinstance(error, BackendUnavailable) for error in failed.values())


def test_nobody_waits_in_the_thread_that_fetches() -> None:
    """A store that asks for a prompt itself gets the fallback at once: the answer could never come."""
    store = FakeStore(a_prompt("other"))
    inside: list[bool] = []

    async def asking() -> None:
        store.before = None
        inside.append(get_prompt("greeting", fallback="x").is_fallback)

    store.before = asking
    with served_by(store):
        assert get_prompt("other").version == 1
    assert inside == [True]


def test_no_thread_before_a_prompt_is_asked_for() -> None:
    """Importing and configuring start none, and neither does a hit."""
    with served_by(FakeStore(a_prompt())) as cache:
        assert REGISTRY.host._thread is None or not REGISTRY.host._thread.alive
        get_prompt("greeting")
        assert REGISTRY.close(10)
        get_prompt("greeting")
        assert cache.flights() == []
        assert REGISTRY.host._thread is not None
        assert not REGISTRY.host._thread.alive
