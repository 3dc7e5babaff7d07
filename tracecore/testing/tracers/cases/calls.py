"""Calls and blocks: a span for each, below the one that its code was in."""

from __future__ import annotations

from typing import Any, Final

import anyio.lowlevel

from tracecore.testing.tracers.case import Group
from tracecore.testing.tracers.trees import Tree
from tracecore.testing.tracers.trial import Trial

__all__ = ["CALLS"]

CALLS: Final = Group("calls")

_DEPTH: Final = 40


@CALLS.case("""
    outer
      inner * 2
""")
def a_call_in_a_call(trial: Trial) -> None:
    """A function that another one calls is its child, and afterwards the caller is current again."""

    @trial.observed
    def inner(value: int) -> int:
        trial.here("inner")
        return value + 1

    @trial.observed
    def outer(value: int) -> int:
        trial.here("outer")
        found = inner(value) + inner(value)
        trial.here("outer")
        return found

    trial.equal("the result", outer(1), 4)
    trial.here(None)


@CALLS.anywhere("""
    outer
      inner * 2
""")
async def a_coroutine_in_a_coroutine(trial: Trial) -> None:
    """The same with coroutines, over suspensions."""

    @trial.observed
    async def inner(value: int) -> int:
        trial.here("inner")
        await anyio.lowlevel.checkpoint()
        trial.here("inner")
        return value + 1

    @trial.observed
    async def outer(value: int) -> int:
        await anyio.lowlevel.checkpoint()
        found = await inner(value) + await inner(value)
        trial.here("outer")
        return found

    trial.equal("the result", await outer(1), 4)


@CALLS.anywhere("""
    outer
      block
        plain
          inside
""")
async def blocks_and_calls_of_both_kinds(trial: Trial) -> None:
    """Blocks, functions and coroutines are inside of each other as they are written."""

    @trial.observed
    def plain() -> None:
        with trial.span("inside"):
            trial.here("inside")
        trial.here("plain")

    @trial.observed
    async def outer() -> None:
        with trial.span("block"):
            await anyio.lowlevel.checkpoint()
            plain()
            trial.here("block")
        trial.here("outer")

    await outer()


@CALLS.case("""
    first
    second
      inside
    first
""")
def calls_one_after_another(trial: Trial) -> None:
    """What is called outside of every span begins a trace of its own."""

    @trial.observed
    def first() -> None:
        trial.here("first")

    @trial.observed
    def second() -> None:
        with trial.span("inside"):
            pass

    for function in (first, second, first):
        function()
        trial.here(None)


@CALLS.case()
def recursion(trial: Trial) -> None:
    """A function that calls itself is below itself, as deep as it goes."""

    @trial.observed
    def descend(depth: int) -> int:
        trial.here("descend")
        return depth if depth == _DEPTH else descend(depth + 1)

    trial.equal("the result", descend(1), _DEPTH)
    tree = Tree("descend")
    for _ in range(_DEPTH - 1):
        tree = Tree("descend", inside=(tree,))
    trial.expect([tree])


@CALLS.case("""
    work
      work
""")
def observed_twice(trial: Trial) -> None:
    """A function that is decorated twice has two spans."""

    def work() -> None:
        trial.here("work")

    trial.observed(trial.observed(work))()


@CALLS.case("work")
def arguments_and_results_are_passed_on(trial: Trial) -> None:
    """The function gets the very objects that it was called with, and the caller the very result."""
    given: list[Any] = [object(), [], {}]

    @trial.observed
    def work(one: object, /, *rest: object, **others: object) -> list[object]:
        return [one, *rest, *others.values()]

    for found, expected in zip(work(given[0], given[1], other=given[2]), given, strict=True):
        trial.same("an argument", found, expected)


@CALLS.case("""
    fallible: error
    fallible
    fallible: error
""")
def a_call_after_a_failed_one(trial: Trial) -> None:
    """A function that has failed can be called again, and what it left is not current any more."""

    @trial.observed
    def fallible(error: Exception | None) -> None:
        if error is not None:
            raise error

    for error in (LookupError("one"), None, LookupError("two")):
        if error is None:
            fallible(error)
        else:
            with trial.raises(error):
                fallible(error)
        trial.here(None)
