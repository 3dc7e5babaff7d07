"""Programs whose tree is known only while they run: every body is told where it is, and notes how it was left."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import cast

from tracecore.testing.tracers.adapter import Status
from tracecore.testing.tracers.trees import Tree

__all__ = ["Body", "Told"]


class Body:
    """Stand for one call of a function, and for the execution of its body if that begins."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.inside: list[Body] = []
        self.begun = False
        self.left_by: BaseException | None = None

    @property
    def tree(self) -> Tree:
        """Return the tree of spans that must come of it; where the body never began there may be a span."""
        if not self.begun:
            return Tree(self.name, "any", optional=True)
        status: Status = "ok" if self.left_by is None else "cancelled" if _is_stop(self.left_by) else "error"
        return Tree(self.name, status, tuple(body.tree for body in self.inside))


class Told:
    """Collect the bodies that ran, those outside of all others first in ``roots``."""

    def __init__(self) -> None:
        self.roots: list[Body] = []

    def called(self, name: str, within: Body | None = None) -> Body:
        """Note that a function is called inside of a body, which its own body is then told."""
        body = Body(name)
        (self.roots if within is None else within.inside).append(body)
        return body

    @contextmanager
    def body(self, call: Body | str, within: Body | None = None) -> Generator[Body]:
        """Note that a body runs, and how it is left: that of a call, or of one that begins at once."""
        body = call if isinstance(call, Body) else self.called(call, within)
        body.begun = True
        try:
            yield body
        except BaseException as error:
            body.left_by = error
            raise

    @property
    def trees(self) -> list[Tree]:
        """Return the trees of spans that must come of everything noted."""
        return [body.tree for body in self.roots]


def _is_stop(error: BaseException) -> bool:
    """Return whether an exception stops work from outside: a group does if all in it do."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_stop, cast("BaseExceptionGroup[BaseException]", error).exceptions))
    trio = sys.modules.get("trio")
    kinds = (asyncio.CancelledError, GeneratorExit, *(() if trio is None else (trio.Cancelled,)))
    return isinstance(error, kinds)
