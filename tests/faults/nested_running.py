"""How the nodes of a nested program run: one function per kind, in synchronous and in asynchronous code."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import sniffio

import tracecore
from tests.faults.nested_programs import NOWHERE, Abandon, Here, Node, Oracle
from tracecore import ContextExecutor, observe, propagate_attributes, span

__all__ = ["KINDS", "run", "run_sync"]


def run_sync(nodes: Iterable[Node], here: Here, oracle: Oracle) -> None:
    """Run nodes one after the other in synchronous code."""
    for node in nodes:
        oracle.check(here, f"before {node.kind}")
        SYNC[node.kind](node, here, oracle)
        oracle.check(here, f"after {node.kind}")


async def run(nodes: Iterable[Node], here: Here, oracle: Oracle) -> None:
    """Run nodes one after the other in asynchronous code; what has no other form there runs as synchronous code."""
    for node in nodes:
        oracle.check(here, f"before {node.kind}")
        if node.kind in ASYNC:
            await ASYNC[node.kind](node, here, oracle)
        else:
            SYNC[node.kind](node, here, oracle)
        oracle.check(here, f"after {node.kind}")
        await anyio.lowlevel.checkpoint()


def below(here: Here, name: str) -> Here:
    """Return the position inside of a span."""
    return Here(name, here.user)


# -- spans -------------------------------------------------------------------------------------------------------------


def block_sync(node: Node, here: Here, oracle: Oracle) -> None:
    """Open a span around, and leave it by an exception now and then."""
    fails = node.number % 3 == 0
    name = oracle.open(here, "block", "error" if fails else "ok")
    with contextlib.suppress(Abandon), span(name) as opened:
        oracle.entered(name, opened)
        run_sync(node.inside, below(here, name), oracle)
        if fails:
            raise Abandon


async def block(node: Node, here: Here, oracle: Oracle) -> None:
    """Do the same in asynchronous code."""
    fails = node.number % 3 == 0
    name = oracle.open(here, "block", "error" if fails else "ok")
    with contextlib.suppress(Abandon):
        async with span(name) as opened:
            oracle.entered(name, opened)
            await run(node.inside, below(here, name), oracle)
            if fails:
                raise Abandon


def by_hand(node: Node, here: Here, oracle: Oracle) -> None:
    """Open a span that is never current, and end it, several times over."""
    name = oracle.open(here, "by hand")
    opened = span(name)
    oracle.entered(name, opened)
    run_sync(node.inside, here, oracle)
    opened.end()
    opened.end()


def event(node: Node, here: Here, oracle: Oracle) -> None:
    """Say that something happened."""
    tracecore.event(oracle.open(here, "event"))
    run_sync(node.inside, here, oracle)


def observed_sync(node: Node, here: Here, oracle: Oracle) -> None:
    """Call an observed function."""
    name = oracle.open(here, "function")

    @observe(name=name)
    def body() -> None:
        oracle.entered(name, tracecore.current_span())
        run_sync(node.inside, below(here, name), oracle)

    body()


async def observed(node: Node, here: Here, oracle: Oracle) -> None:
    """Await an observed coroutine."""
    name = oracle.open(here, "coroutine")

    @observe(name=name)
    async def body() -> None:
        oracle.entered(name, tracecore.current_span())
        await run(node.inside, below(here, name), oracle)

    await body()


def _carrying(here: Here, oracle: Oracle) -> Here:
    user = f"user {oracle.number()}"
    if here.name is not None:
        oracle.users.pop(here.name, None)  # the current span is told too, by whichever block is the last
    return Here(here.name, user)


def carrying_sync(node: Node, here: Here, oracle: Oracle) -> None:
    """Propagate a user."""
    inside = _carrying(here, oracle)
    with propagate_attributes(user_id=inside.user):
        run_sync(node.inside, inside, oracle)


async def carrying(node: Node, here: Here, oracle: Oracle) -> None:
    """Propagate a user through asynchronous code."""
    inside = _carrying(here, oracle)
    async with propagate_attributes(user_id=inside.user):
        await run(node.inside, inside, oracle)


# -- tasks -------------------------------------------------------------------------------------------------------------


def _on_trio() -> bool:
    return sniffio.current_async_library() == "trio"


async def anyio_group(node: Node, here: Here, oracle: Oracle) -> None:
    """Run the programs inside as tasks of an anyio group."""
    async with anyio.create_task_group() as group:
        for one in node.inside:
            group.start_soon(run, (one,), here, oracle)


async def gather(node: Node, here: Here, oracle: Oracle) -> None:
    """Gather the programs inside."""
    if _on_trio():
        await anyio_group(node, here, oracle)
        return
    await asyncio.gather(*(run((one,), here, oracle) for one in node.inside))


async def task_group(node: Node, here: Here, oracle: Oracle) -> None:
    """Run the programs inside as tasks of an asyncio group."""
    if _on_trio():
        await anyio_group(node, here, oracle)
        return
    async with asyncio.TaskGroup() as group:
        for one in node.inside:
            group.create_task(run((one,), here, oracle))


async def detached(node: Node, here: Here, oracle: Oracle) -> None:
    """Leave a task behind that outlives the span it was begun in."""

    async def later() -> None:
        for _ in range(node.number):
            await anyio.lowlevel.checkpoint()
        await run(node.inside, here, oracle)

    oracle.group.start_soon(later)


async def cancelled(node: Node, here: Here, oracle: Oracle) -> None:
    """Cancel a task inside of its span."""
    name = oracle.open(here, "cancelled", "cancelled")
    ready = anyio.Event()

    async def work() -> None:
        async with span(name) as opened:
            oracle.entered(name, opened)
            await run(node.inside, below(here, name), oracle)
            ready.set()
            await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        group.start_soon(work)
        await ready.wait()
        group.cancel_scope.cancel()


async def callbacks(node: Node, here: Here, oracle: Oracle) -> None:
    """Run the programs inside as callbacks of the loop."""
    if _on_trio():
        await anyio_group(node, here, oracle)
        return
    loop = asyncio.get_running_loop()
    for number, one in enumerate(node.inside):
        done = loop.create_future()

        def callback(*_: object, one: Node = one, done: asyncio.Future[None] = done) -> None:
            run_sync((one,), here, oracle)
            done.set_result(None)

        waiting = loop.create_future()
        waiting.add_done_callback(callback) if number % 2 else loop.call_soon(callback)
        waiting.set_result(None)
        await done


# -- threads -----------------------------------------------------------------------------------------------------------


def in_context(node: Node, here: Here, oracle: Oracle) -> None:
    """Run the programs inside in a copy of the context, here."""
    copy_context().run(run_sync, node.inside, here, oracle)


async def to_thread(node: Node, here: Here, oracle: Oracle) -> None:
    """Run the programs inside in a worker thread that carries the context by itself."""
    if _on_trio() or node.number % 2:
        await anyio.to_thread.run_sync(run_sync, node.inside, here, oracle)
    else:
        await asyncio.to_thread(run_sync, node.inside, here, oracle)


def executor_sync(node: Node, here: Here, oracle: Oracle) -> None:
    """Run the programs inside side by side in a pool that carries the context."""
    with ContextExecutor(2) as pool:
        for done in [pool.submit(run_sync, (one,), here, oracle) for one in node.inside]:
            done.result(30)


async def executor(node: Node, here: Here, oracle: Oracle) -> None:
    """Do the same from the loop."""
    with ContextExecutor(2) as pool:
        waiting = [pool.submit(run_sync, (one,), here, oracle) for one in node.inside]
        for done in waiting:
            await _wait_for(done)


async def _wait_for(done: Future[None]) -> None:
    if _on_trio():
        await anyio.to_thread.run_sync(done.result, 30)
    else:
        await asyncio.wrap_future(done)


def thread(node: Node, here: Here, oracle: Oracle) -> None:
    """Run the programs inside in plain threads: nowhere, unless the program has said that threads carry the context."""
    there = here if oracle.threads_carry else NOWHERE
    if node.number % 2:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(run_sync, node.inside, there, oracle).result(30)
        return
    started = threading.Thread(target=run_sync, args=(node.inside, there, oracle))
    started.start()
    started.join(30)


# -- generators --------------------------------------------------------------------------------------------------------

ENDINGS = ("exhausted", "closed", "thrown into", "stepped elsewhere", "closed elsewhere")
_STATUSES = {"closed": "cancelled", "closed elsewhere": "cancelled", "thrown into": "error"}


def _names(node: Node, here: Here, oracle: Oracle) -> tuple[str, str, str, Here]:
    """Return how a generator ends, the names of its own span and of one open across its steps, and where that is."""
    ending = ENDINGS[node.number % len(ENDINGS)]
    status = _STATUSES.get(ending, "ok")
    name = oracle.open(here, "generator", status)
    around = oracle.open(below(here, name), "across", status)
    return ending, name, around, below(here, around)


def _split(node: Node) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
    """Return what the body does in each step, and what the consumer does between steps."""
    return node.inside[::2], node.inside[1::2]


def generator_sync(node: Node, here: Here, oracle: Oracle) -> None:
    """Consume an observed generator, to its end or not, here or elsewhere."""
    ending, name, around, inside = _names(node, here, oracle)
    own, between = _split(node)

    @observe(name=name)
    def body() -> Generator[int, None, None]:
        oracle.entered(name, tracecore.current_span())
        with span(around) as opened:
            oracle.entered(around, opened)
            for step in range(2):
                run_sync(own, inside, oracle)
                yield step

    running = body()
    next(running)
    run_sync(between, here, oracle)
    if ending == "thrown into":
        with contextlib.suppress(Abandon):
            running.throw(Abandon())
    elif ending == "closed":
        running.close()
    elif ending == "exhausted":
        for _ in running:
            run_sync(between, here, oracle)
    else:
        _elsewhere(running.close if ending == "closed elsewhere" else lambda: list(running), here, oracle)


def _elsewhere(step: Callable[[], object], here: Here, oracle: Oracle) -> None:
    """Step a generator below another span, in a copy of the context."""

    def other() -> None:
        name = oracle.open(here, "stepper")
        with span(name) as opened:
            oracle.entered(name, opened)
            step()
            oracle.check(below(here, name), "after a step")

    copy_context().run(other)


async def generator(node: Node, here: Here, oracle: Oracle) -> None:
    """Consume an observed asynchronous generator, to its end or not, here or in another task."""
    ending, name, around, inside = _names(node, here, oracle)
    own, between = _split(node)

    @observe(name=name)
    async def body() -> AsyncGenerator[int, None]:
        oracle.entered(name, tracecore.current_span())
        async with span(around) as opened:
            oracle.entered(around, opened)
            for step in range(2):
                await run(own, inside, oracle)
                yield step

    running = body()
    await anext(running)
    await run(between, here, oracle)
    if ending == "thrown into":
        with contextlib.suppress(Abandon):
            await running.athrow(Abandon())
    elif ending == "closed":
        await running.aclose()
    elif ending == "exhausted":
        async for _ in running:
            await run(between, here, oracle)
    else:
        await _in_another_task(running.aclose if ending == "closed elsewhere" else lambda: _rest(running), here, oracle)


async def _rest(running: AsyncGenerator[Any, None]) -> None:
    async for _ in running:
        pass


async def _in_another_task(step: Callable[[], Awaitable[None]], here: Here, oracle: Oracle) -> None:
    async def other() -> None:
        name = oracle.open(here, "stepper")
        async with span(name) as opened:
            oracle.entered(name, opened)
            await step()
            oracle.check(below(here, name), "after a step")

    async with anyio.create_task_group() as group:
        group.start_soon(other)


SYNC: dict[str, Callable[[Node, Here, Oracle], None]] = {
    "block": block_sync, "by hand": by_hand, "event": event, "observed": observed_sync, "carrying": carrying_sync,
    "anyio group": executor_sync, "gather": executor_sync, "task group": executor_sync, "detached": in_context,
    "cancelled": block_sync, "callbacks": in_context, "to thread": executor_sync, "executor": executor_sync,
    "thread": thread, "generator": generator_sync,
}  # fmt: skip
ASYNC: dict[str, Callable[[Node, Here, Oracle], Awaitable[None]]] = {
    "block": block, "observed": observed, "carrying": carrying, "anyio group": anyio_group, "gather": gather,
    "task group": task_group, "detached": detached, "cancelled": cancelled, "callbacks": callbacks,
    "to thread": to_thread, "executor": executor, "generator": generator,
}  # fmt: skip
KINDS = tuple(SYNC)
