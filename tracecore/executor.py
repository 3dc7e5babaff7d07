"""A thread pool that carries the context of whoever submits: the current span and what is propagated."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import ParamSpec, TypeVar

__all__ = ["ContextExecutor"]

P = ParamSpec("P")
T = TypeVar("T")


class ContextExecutor(ThreadPoolExecutor):
    """A ``ThreadPoolExecutor`` whose work runs in the context of the code that submitted it."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Submit a call that sees the submitter's current span and attributes."""
        context = copy_context()
        return super().submit(lambda: context.run(fn, *args, **kwargs))
