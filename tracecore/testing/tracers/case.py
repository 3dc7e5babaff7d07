"""What a case is: a small program in plain Python, and what must come out when a tracer watches it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Literal, TypeAlias

from msgspec import Struct

from tracecore.testing.tracers.adapter import Feature
from tracecore.testing.tracers.trees import Tree, parsed
from tracecore.testing.tracers.trial import Trial

__all__ = ["Case", "Group", "Loop", "Program"]

Program: TypeAlias = Callable[[Trial], Awaitable[None] | None]
Loop: TypeAlias = Literal["asyncio", "uvloop", "trio"]


class Case(Struct, frozen=True):
    """Describe a case. Its program says where it is, and is told nothing of what the tracer makes of that."""

    name: str
    group: str
    summary: str
    """What must hold, in a sentence."""
    program: Program
    expected: tuple[tuple[Tree, ...], ...] = ()
    """What may come out; empty where the program itself says so."""
    needs: frozenset[Feature] = frozenset()
    loops: frozenset[Loop] = frozenset()
    """The loops that it can be run in; empty where it needs none, or brings its own."""

    def runs_in(self, loop: Loop) -> bool:
        """Return whether it can be run in a loop; what needs none is run once, with asyncio."""
        return loop in (self.loops or {"asyncio"})


class Group:
    """Collect cases about one thing, in the order in which they are written down."""

    def __init__(self, title: str, *needs: Feature) -> None:
        self.title = title
        self.cases: list[Case] = []
        self._needs = frozenset(needs)

    def case(self, *expected: str, needs: Iterable[Feature] = ()) -> Callable[[Program], Case]:
        """Return a decorator that makes a case of a program, and of its docstring the summary.

        ``expected`` are the trees of spans that may come out. A coroutine function runs in asyncio and uvloop.
        """
        return self._made(expected, needs, ("asyncio", "uvloop"))

    def anywhere(self, *expected: str, needs: Iterable[Feature] = ()) -> Callable[[Program], Case]:
        """Do the same for a coroutine function that is written with anyio only, and so runs in trio too."""
        return self._made(expected, needs, ("asyncio", "uvloop", "trio"))

    def _made(
        self, expected: Iterable[str], needs: Iterable[Feature], loops: Iterable[Loop]
    ) -> Callable[[Program], Case]:
        def made(program: Program) -> Case:
            case = Case(
                name=program.__name__, group=self.title, summary=inspect.cleandoc(program.__doc__ or ""),
                program=program, expected=tuple(parsed(text) for text in expected),
                needs=self._needs | frozenset(needs),
                loops=frozenset(loops if inspect.iscoroutinefunction(program) else ()),
            )  # fmt: skip
            self.cases.append(case)
            return case

        return made
