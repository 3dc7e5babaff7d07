"""Parentage: whatever a program does, each span has the parent that its code was in, and ends once.

Random programs of tasks, groups, threads, executors, callbacks and generators are run and compared with an oracle that
is told where every piece of code is (see ``nested_programs``).
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from importlib.util import find_spec
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tracecore
from tests.fakes import EVENT_LOOPS, FakeBackend, accounts_balance
from tests.faults.nested_programs import NOWHERE, Node, Oracle
from tests.faults.nested_running import ENDINGS, KINDS, run
from tests.torture.declaring import by_mode, torture
from tracecore import Config, ContextExecutor, Recorder, open_span, propagate_to_threads
from tracecore.context import INHERITED, POSITION
from tracecore.open_span import OpenSpan

pytestmark = torture("T29", "every way of nesting has the right parent, and the oracle finds out what breaks it")

LOOPS = [
    *EVENT_LOOPS,
    pytest.param("uvloop", marks=pytest.mark.skipif(find_spec("uvloop") is None, reason="uvloop is not installed")),
]

leaves = st.builds(Node, st.sampled_from(["event", "block", "observed"]), st.integers(0, 9))
nodes = st.recursive(
    leaves,
    lambda inner: st.builds(
        Node, st.sampled_from(KINDS), st.integers(0, 9), st.lists(inner, min_size=1, max_size=4).map(tuple)
    ),
    max_leaves=12,
)
programs = st.lists(nodes, min_size=1, max_size=by_mode(4, full=12))


async def side_by_side(program: Iterable[Node], found: list[Oracle], *, threads_carry: bool) -> None:
    """Run each node of a program as a request of its own, all at once."""
    async with anyio.create_task_group() as group:
        oracle = Oracle(group, threads_carry=threads_carry)
        found.append(oracle)
        for request in program:
            group.start_soon(run, (request,), NOWHERE, oracle)


def differences(program: Iterable[Node], loop: str, *, threads_carry: bool = False) -> list[str]:
    """Run a program and return everything that is not as the oracle says."""
    backend = FakeBackend()
    recorder = Recorder(Config(pending_after_ms=0), backend=backend).start()
    before, tracecore.default._default.recorder = tracecore.default._default.recorder, recorder
    found: list[Oracle] = []

    async def main() -> None:
        await side_by_side(program, found, threads_carry=threads_carry)

    options: dict[str, Any] = {"use_uvloop": True} if loop == "uvloop" else {}
    try:
        with propagate_to_threads() if threads_carry else contextlib.nullcontext():
            anyio.run(main, backend="asyncio" if loop == "uvloop" else loop, backend_options=options)
    finally:
        tracecore.default._default.recorder = before
        recorder.shutdown(30)
    (oracle,) = found
    if recorder.health().open_spans:
        oracle.wrong.append(f"{recorder.health().open_spans} spans are still open")
    try:
        accounts_balance(recorder, emitted=len(backend.records))
    except AssertionError:
        oracle.wrong.append(f"the accounts do not balance: {recorder.health()}")
    return oracle.differences(backend.records)


def _load(loop: str) -> None:
    """Run a loop once: its import, and what its library keeps for the process, belong to no test."""
    with contextlib.suppress(LookupError, ModuleNotFoundError):
        differences([Node("to thread", 1)], loop)


for _loop in ("asyncio", "trio", "uvloop"):
    _load(_loop)


@pytest.fixture(autouse=True)
def _impatient_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let trio's idle threads, which serve the next call, end within the test."""
    if "trio" in sys.modules:
        monkeypatch.setattr("trio._core._thread_cache.IDLE_TIMEOUT", 0.1)


EXAMPLES = by_mode(100, full=3_000)


@torture("T29", "random programs of tasks, groups, threads, callbacks and generators", rounds=EXAMPLES)
@pytest.mark.parametrize("loop", LOOPS)
@settings(suppress_health_check=list(HealthCheck), max_examples=EXAMPLES)
@given(program=programs, threads_carry=st.booleans())
def test_random_programs(program: list[Node], loop: str, threads_carry: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
    """No span has a wrong parent, trace, user or status; each is stored once; none is shared, none stays open."""
    assert differences(program, loop, threads_carry=threads_carry) == []


def of_everything(depth: int = 2) -> list[Node]:
    """Return a program with every kind of node inside every other, and every way in which a generator ends."""
    inside = (Node("block", 1), Node("event")) if depth == 1 else tuple(of_everything(depth - 1))
    plain = [Node(kind, number, inside) for kind in KINDS if kind != "generator" for number in (0, 1)]
    return [*plain, *(Node("generator", number, inside) for number in range(len(ENDINGS)))]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("threads_carry", [False, True])
def test_everything_inside_everything(loop: str, *, threads_carry: bool) -> None:
    """Each pair of kinds nests, in each loop, with plain threads that carry the context and that do not."""
    assert differences(of_everything(), loop, threads_carry=threads_carry) == []


def forgets_to_restore(monkeypatch: pytest.MonkeyPatch) -> None:
    """Break leaving a block: what is left stays current."""
    set_position = open_span._set_position
    monkeypatch.setattr(open_span, "_set_position", lambda position: position and set_position(position))


def restores_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Break leaving a block: it leads to no span at all."""
    leave = OpenSpan.__exit__

    def exit_(self: OpenSpan, *args: Any) -> None:
        leave(self, *args)
        POSITION.set(None)

    monkeypatch.setattr(OpenSpan, "__exit__", exit_)


def propagates_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Break leaving propagated attributes: they stay."""
    monkeypatch.setattr(tracecore.carrying._Carrying, "__exit__", lambda *_: None)


def steps_in_the_consumers_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """Break generators: their bodies run in the context of whoever asks for an item."""

    class Here:
        def run(self, function: Any, *args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

    monkeypatch.setattr(tracecore.observe_generators, "copy_context", Here)


def carries_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Break the executor: its work runs in the context of the worker."""
    monkeypatch.setattr(ContextExecutor, "submit", ThreadPoolExecutor.submit)


def remembers_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Break roots: all are in the trace of the first one."""
    made = tracecore.ids.new_trace_id()
    monkeypatch.setattr(open_span, "new_trace_id", lambda: made)


def ends_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Break the end: it may happen again."""

    def end(self: OpenSpan) -> None:
        self.trace.route.open_spans.discard(self)
        self.ended = self.ended or open_span.monotonic_ns()
        self.trace.route.push(self)

    monkeypatch.setattr(OpenSpan, "end", end)


def shares_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Break opening: a parent's children of one kind are one object."""
    made: dict[Any, OpenSpan] = {}
    opener = tracecore.tracing.open_child

    def open_child(trace: Any, parent_id: str | None, name: str, type_: Any = "span") -> OpenSpan:
        return made.setdefault(parent_id, opener(trace, parent_id, name, type_))

    monkeypatch.setattr(tracecore.tracing, "open_child", open_child)


BREAKS = [
    *(forgets_to_restore, restores_nothing, propagates_for_ever, steps_in_the_consumers_context, carries_nothing),
    *(remembers_the_first, ends_twice, shares_one),
]


@pytest.mark.parametrize("breaks", BREAKS)
def test_a_broken_kernel_is_found_out(breaks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oracle sees each mistake that it is there for."""

    def inside() -> list[str]:
        breaks(monkeypatch)
        return differences([Node("block", 1, tuple(of_everything(1)))], "asyncio")

    assert copy_context().run(inside) != []
    assert (POSITION.get(), INHERITED.get().blocks) == (None, ())
