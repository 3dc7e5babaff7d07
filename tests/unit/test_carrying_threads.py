"""Threads: what carries the context into them, and that nothing else does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from pathlib import Path
from typing import Any

import pytest

import tracecore
from tests.programs import run_program
from tracecore import ContextExecutor, Recorder, context, propagate_attributes, propagate_to_threads, span
from tracecore.integrations import threads
from tracecore.testing import capture

variable: ContextVar[str] = ContextVar("variable", default="none")
Start = Callable[[Callable[[], None]], None]


@contextmanager
def default(recorder: Recorder) -> Iterator[None]:
    """Make a recorder the process's default for a while: plain threads know of no other."""
    before, tracecore.default._default.recorder = tracecore.default._default.recorder, recorder
    try:
        yield
    finally:
        tracecore.default._default.recorder = before


def work(name: str) -> str:
    """Open two spans."""
    with span(name), span(f"{name} below"):
        return variable.get()


def in_thread(call: Callable[[], None]) -> None:
    """Run in a plain thread."""
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


def in_subclass(call: Callable[[], None]) -> None:
    """Run in a thread whose class defines ``run``."""

    class Own(threading.Thread):
        def run(self) -> None:
            call()

    thread = Own()
    thread.start()
    thread.join()


def in_timer(call: Callable[[], None]) -> None:
    """Run in a timer."""
    timer = threading.Timer(0, call)
    timer.start()
    timer.join()


def in_pool(call: Callable[[], None]) -> None:
    """Run in a plain executor."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(call).result()


def in_map(call: Callable[[], None]) -> None:
    """Run through ``Executor.map``."""
    with ThreadPoolExecutor(1) as pool:
        assert list(pool.map(lambda _: call(), [1])) == [None]


PLAIN: list[Start] = [in_thread, in_subclass, in_timer, in_pool, in_map]
plain_starts = pytest.mark.parametrize("start", PLAIN, ids=lambda start: start.__name__)


@plain_starts
async def test_spans_in_plain_threads_are_new_roots(start: Start) -> None:
    """Without being asked, no thread inherits anything: what it opens is a new trace, never somebody's child."""
    async with capture() as captured:
        with default(captured.recorder), span("caller"), propagate_attributes(user_id="u"):
            start(lambda: void(work("inside")))
        assert await captured.parents() == {"caller": None, "inside": None, "inside below": "inside"}
        assert (await captured.observation("inside")).trace.user_id is None


def void(_: object) -> None:
    """Ignore a result."""


@plain_starts
async def test_after_opting_in_threads_inherit(start: Start) -> None:
    """With ``propagate_to_threads`` a thread goes on in the span, the attributes and the variables of its starter."""
    seen: list[str] = []
    async with capture() as captured:
        with propagate_to_threads(), span("caller"), propagate_attributes(user_id="u"):
            token = variable.set("caller's")
            start(lambda: seen.append(work("inside")))
            variable.reset(token)
        assert await captured.parents() == {"caller": None, "inside": "caller", "inside below": "inside"}
        assert (await captured.observation("inside")).trace.user_id == "u"
    assert seen == ["caller's"]
    assert originals_are_back()


def originals_are_back() -> bool:
    """Return whether nothing is replaced any more."""
    return (
        threading.Thread.start.__module__ == "threading"
        and ThreadPoolExecutor.submit.__module__ == "concurrent.futures.thread"
        and not threads._active
        and not threads._replaced
    )


async def test_to_thread_works_by_itself() -> None:
    """``asyncio.to_thread`` carries the context, with nothing switched on."""
    async with capture() as captured:
        with span("caller"):
            await asyncio.gather(*(asyncio.to_thread(work, f"t{number}") for number in range(5)))
        parents = await captured.parents()
    assert {parents[f"t{number}"] for number in range(5)} == {"caller"}


@pytest.mark.parametrize("opted_in", [False, True])
async def test_context_executor_carries_each_submitters_context(*, opted_in: bool) -> None:
    """Work runs in its submitter's context, whichever worker takes it; what it sets stays its own."""

    def leaky(name: str) -> str:
        variable.set(name)
        return work(name)

    async def request(pool: Executor, number: int) -> None:
        with span(f"root {number}"):
            variable.set(f"v{number}")
            assert await asyncio.wrap_future(pool.submit(leaky, f"in {number}")) == f"in {number}"
            assert list(pool.map(work, [f"map {number}"])) == [f"v{number}"]
            assert await asyncio.get_running_loop().run_in_executor(pool, work, f"loop {number}") == f"v{number}"

    async with capture() as captured:
        handle = propagate_to_threads() if opted_in else None
        with ContextExecutor(2) as pool:
            await asyncio.gather(*(request(pool, number) for number in range(20)))
        if handle is not None:
            handle.undo()
        parents = await captured.parents()
    for name, parent in parents.items():
        kind, number = name.split(" ")[:2]
        if not name.endswith("below"):
            assert parent == (None if kind == "root" else f"root {number}")


async def test_workers_belong_to_nobody() -> None:
    """A worker that one request started serves the next one in that one's context, and in none after undoing."""
    async with capture() as captured:
        with default(captured.recorder), ThreadPoolExecutor(1) as pool:
            with propagate_to_threads():
                with span("first"):
                    pool.submit(work, "one").result()
                with span("second"):
                    pool.submit(work, "two").result()
                pool.submit(work, "three").result()
            with span("third"):
                pool.submit(work, "four").result()
        parents = await captured.parents()
    assert [parents[name] for name in ("one", "two", "three", "four")] == ["first", "second", None, None]


async def test_undoing_is_counted_and_idempotent() -> None:
    """Threads are as before when every handle was undone, in any order; undoing again changes nothing."""
    original = threading.Thread.start
    one, two = propagate_to_threads(), propagate_to_threads()
    replaced = threading.Thread.start
    assert replaced is not original
    one.undo()
    one.undo()
    assert threading.Thread.start is replaced
    with propagate_to_threads():
        assert threading.Thread.start is replaced
    two.undo()
    assert threading.Thread.start is original
    assert originals_are_back()
    two.undo()
    assert originals_are_back()


def test_many_threads_switch_it_on_and_off() -> None:
    """Switching from many threads at once ends with the originals in place."""
    gate = threading.Barrier(8)

    def switch() -> None:
        gate.wait()
        for _ in range(200):
            with propagate_to_threads():
                pass

    switchers = [threading.Thread(target=switch) for _ in range(8)]
    for switcher in switchers:
        switcher.start()
    for switcher in switchers:
        switcher.join()
    assert originals_are_back()


async def test_a_replacement_that_somebody_wrapped_only_stops_working(monkeypatch: pytest.MonkeyPatch) -> None:
    """What another library has wrapped meanwhile stays in its place, and does nothing after undoing; twice is fine."""
    calls: list[str] = []
    monkeypatch.setattr(threading.Thread, "start", threading.Thread.start)  # what is put back in the end
    async with capture() as captured:
        with default(captured.recorder), span("caller"):
            handle = propagate_to_threads()
            ours = threading.Thread.start

            def theirs(self: threading.Thread) -> None:
                calls.append("theirs")
                ours(self)

            monkeypatch.setattr(threading.Thread, "start", theirs)
            in_thread(lambda: void(work("carried")))
            handle.undo()
            assert threading.Thread.start is theirs
            in_thread(lambda: void(work("alone")))
            with propagate_to_threads():
                in_thread(lambda: void(work("again")))
            assert threading.Thread.start is theirs
        parents = await captured.parents()
    assert calls == ["theirs"] * 3
    assert (parents["carried"], parents["alone"], parents["again"]) == ("caller", None, "caller")


async def test_threads_that_fail_to_start_are_left_as_they_were() -> None:
    """A thread started twice raises as ever, and keeps a ``run`` of its own."""
    calls: list[str] = []
    with propagate_to_threads():
        thread: Any = threading.Thread(target=lambda: calls.append("target"))
        thread.start()
        thread.join()
        with pytest.raises(RuntimeError, match="threads can only be started once"):
            thread.start()
        assert "run" not in vars(thread)
        own: Any = threading.Thread()
        own.run = lambda: calls.append("own")
        kept = own.run
        own.start()
        own.join()
        assert own.run is kept
    assert calls == ["target", "own"]


async def test_exceptions_of_work_are_the_submitters() -> None:
    """What a submitted call raises is what its future raises, unchanged."""
    error = ValueError("x")

    def fail() -> None:
        raise error

    with propagate_to_threads(), ThreadPoolExecutor(1) as pool, ContextExecutor(1) as carrying:
        futures: list[Future[None]] = [pool.submit(fail), carrying.submit(fail)]
        for future in futures:
            assert future.exception() is error
            assert error.__context__ is None


async def test_threads_that_speak_of_one_trace_at_once_are_all_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one thread says about a trace is kept where another says something else in the middle of it."""
    extend = context.extend_attributes
    intruders = ["second", "third"]

    def interrupted(*args: Any) -> Any:
        extended = extend(*args)
        if intruders:
            in_thread(copy_context_running(intruders.pop()))
        return extended

    def copy_context_running(tag: str) -> Callable[[], None]:
        here = copy_context()
        return lambda: here.run(tracecore.update_current_trace, tags=[tag])

    async with capture() as captured:
        with span("root"):
            monkeypatch.setattr(context, "extend_attributes", interrupted)
            tracecore.update_current_trace(tags=["first"])
            monkeypatch.undo()
        [trace] = await captured.traces()
    assert sorted(trace.attributes.tags) == ["first", "second", "third"]


def test_a_child_that_is_forked_while_a_trace_is_spoken_of_does_not_wait(tmp_path: Path) -> None:
    """The lock that another thread holds at the very moment of a fork is not held in the child."""
    program = """
        import signal
        from tracecore import context
        configure()
        held, release = threading.Event(), threading.Event()

        def hold():
            with context.EXCHANGE.lock:
                held.set()
                release.wait(30)

        with tracecore.span("root"):
            threading.Thread(target=hold, daemon=True).start()
            assert held.wait(30)
            child = os.fork()
            if child == 0:
                signal.alarm(10)
                tracecore.update_current_trace(tags=["child"])
                os._exit(0)
            release.set()
            assert os.waitpid(child, 0)[1] == 0
    """
    ended = run_program(program, tmp_path, python=("-W", "error", "-W", "ignore:This process:DeprecationWarning"))
    assert ended.quiet, ended.stderr
    assert ended.names == ["root"]
