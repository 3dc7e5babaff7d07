"""What a tracer has to offer so that the cases can be run through it.

An adapter is a class of some forty lines: it decorates a function and opens a block in the way that the tracer's own
manual says, and reads back what ended. One object of it serves a whole process; the cases are run one after another,
with ``reset`` before each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

from msgspec import Struct

__all__ = ["Feature", "Finished", "MakeTracer", "Status", "Tracer"]

Function = TypeVar("Function", bound=Callable[..., Any])

Feature: TypeAlias = Literal[
    "generators", "async generators", "bindings", "callables", "cancelled", "executor", "results", "variables"
]
"""What not every tracer sets out to do.

* ``generators``, ``async generators``: functions of these kinds can be observed.
* ``bindings``: the decorator may stand above ``@classmethod`` and ``@staticmethod`` too.
* ``callables``: so may it around what is called like a function and is none, such as a ``functools.partial``.
* ``cancelled``: work that was stopped from outside has a status of its own.
* ``executor``: there is a thread pool that carries the current span.
* ``results``: what an observed function returns is recorded.
* ``variables``: the body of a generator and its consumer share context variables, as they do without a tracer.
"""

Status: TypeAlias = Literal["ok", "error", "cancelled", "abandoned"]
"""How a span says that it ended; ``ok`` too where the tracer says nothing."""


class Finished(Struct, frozen=True):
    """Describe a span that has ended."""

    name: str
    span_id: str
    parent_id: str | None
    trace_id: str
    status: Status
    result: Any = None
    """What the function returned, as JSON can hold it; None without ``results``."""


class Tracer(Protocol):
    """Record spans, and say what was recorded."""

    @property
    def title(self) -> str:
        """Return the tracer's name, for people."""
        ...

    @property
    def version(self) -> str:
        """Return the version that is installed."""
        ...

    @property
    def offers(self) -> frozenset[Feature]:
        """Return what it sets out to do besides spans of functions and blocks."""
        ...

    def observed(self, function: Function, /) -> Function:
        """Return the function with a span around each call that has the function's name."""
        ...

    def span(self, name: str, /) -> AbstractContextManager[object]:
        """Return a block with a span around it."""
        ...

    def current(self) -> str | None:
        """Return the id of the current span, None outside of all."""
        ...

    def executor(self, workers: int, /) -> Executor:
        """Return a thread pool that carries the current span; asked of tracers that offer it."""
        ...

    def finished(self) -> Sequence[Finished]:
        """Return every span that has ended since the last reset: once for each time that it ended."""
        ...

    def reset(self) -> None:
        """Forget everything that has ended so far."""
        ...


MakeTracer: TypeAlias = Callable[[], Tracer]
