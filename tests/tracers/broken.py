"""Tracers with one mistake each that somebody could make, for the cases to find."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from typing import Any

import msgspec

import tracecore
from tracecore.open_span import OpenSpan
from tracecore.testing.tracers import Feature, Finished
from tracecore.testing.tracers.ours import Tracecore


class OneStack:
    """What is current is the top of a list that everybody shares."""

    title, version = "one stack", "1"
    offers: frozenset[Feature] = frozenset()

    def __init__(self) -> None:
        self._open: list[tuple[str, str]] = []
        self._ended: list[Finished] = []
        self._ids = count(1)

    def observed(self, function: Any) -> Any:
        """Return the function with a span around each call."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*args: Any, **kwargs: Any) -> Any:
                with self.span(function.__name__):
                    return await function(*args, **kwargs)

            return awaited

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            with self.span(function.__name__):
                return function(*args, **kwargs)

        return called

    @contextmanager
    def span(self, name: str) -> Generator[None]:
        """Push a span, and pop whatever is on top."""
        parent, trace = self._open[-1] if self._open else (None, f"trace {next(self._ids)}")
        span_id, status = f"span {next(self._ids)}", "ok"
        self._open.append((span_id, trace))
        try:
            yield
        except BaseException:
            status = "error"
            raise
        finally:
            self._open.pop()
            self._ended.append(Finished(name, span_id, parent, trace, status))  # type: ignore[arg-type]  # one of two

    def current(self) -> str | None:
        """Return the id on top."""
        return self._open[-1][0] if self._open else None

    def executor(self, workers: int) -> Any:
        """Refuse."""
        raise NotImplementedError

    def finished(self) -> Sequence[Finished]:
        """Return what has ended."""
        return self._ended

    def reset(self) -> None:
        """Forget it."""
        self._ended = []


class StepsInTheConsumersContext(Tracecore):
    """Bodies of generators run in the context of whoever asks for an item."""

    def __init__(self) -> None:
        super().__init__()

        class Here:
            def run(self, function: Any, *args: Any, **kwargs: Any) -> Any:
                return function(*args, **kwargs)

        tracecore.observe_generators.copy_context = Here  # type: ignore[attr-defined, assignment]  # the mistake


class EndsTwice(Tracecore):
    """The end of a span may happen again."""

    def __init__(self) -> None:
        super().__init__()

        def exit_(span: OpenSpan, *_: object) -> None:
            leave(span, None, None, None)
            span.trace.route.push(span)

        leave, OpenSpan.__exit__ = OpenSpan.__exit__, exit_  # type: ignore[method-assign, assignment]  # the mistake


class _Wrapping(Tracecore):
    """Have a wrapper of its own around each observed function."""

    def observed(self, function: Any, /) -> Any:
        observed = super().observed(function)
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            return observed
        if inspect.iscoroutinefunction(function):
            return functools.wraps(function)(self.around_coroutine(observed))
        return functools.wraps(function)(self.around(observed))

    def around(self, observed: Callable[..., Any]) -> Callable[..., Any]:
        return observed

    def around_coroutine(self, observed: Callable[..., Any]) -> Callable[..., Any]:
        return observed


class RaisesACopy(_Wrapping):
    """What comes out is an exception like the one that was raised."""

    def around(self, observed: Callable[..., Any]) -> Callable[..., Any]:
        """Make the mistake."""

        def copying(*args: Any, **kwargs: Any) -> Any:
            try:
                return observed(*args, **kwargs)
            except Exception as error:
                raise type(error)(*error.args) from error

        return copying


class SwallowsCancellations(_Wrapping):
    """A coroutine that is cancelled returns."""

    def around_coroutine(self, observed: Callable[..., Any]) -> Callable[..., Any]:
        """Make the mistake."""

        async def swallowing(*args: Any, **kwargs: Any) -> Any:
            try:
                return await observed(*args, **kwargs)
            except asyncio.CancelledError:
                return None

        return swallowing


class ForgetsToAwait(_Wrapping):
    """A coroutine is made once too often."""

    def around_coroutine(self, observed: Callable[..., Any]) -> Callable[..., Any]:
        """Make the mistake."""

        async def forgetting(*args: Any, **kwargs: Any) -> Any:
            observed(*args, **kwargs)
            return await observed(*args, **kwargs)

        return forgetting


class IsOfAnotherKind(Tracecore):
    """Every function becomes a plain one without a name."""

    def observed(self, function: Any, /) -> Any:
        """Make the mistake."""
        observed = super().observed(function)

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return observed(*args, **kwargs)

        return wrapper


class NeverEndsCancelled(Tracecore):
    """A block that is left by a cancellation stays open."""

    def span(self, name: str, /) -> AbstractContextManager[object]:
        """Make the mistake."""
        return self._left_open(name)

    @contextmanager
    def _left_open(self, name: str) -> Generator[object]:
        span = tracecore.span(name)
        span.__enter__()
        try:
            yield span
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:
            span.__exit__(type(error), error, None)
            raise
        else:
            span.__exit__(None, None, None)


class CallsItOk(Tracecore):
    """Whatever was stopped is said to be ok."""

    def finished(self) -> Sequence[Finished]:
        """Make the mistake."""
        return [
            msgspec.structs.replace(span, status="ok") if span.status == "cancelled" else span
            for span in super().finished()
        ]


class RecordsAnotherResult(Tracecore):
    """The result of another call is recorded."""

    def finished(self) -> Sequence[Finished]:
        """Make the mistake."""
        return [msgspec.structs.replace(span, result="another") for span in super().finished()]


class Hangs(_Wrapping):
    """A call never ends."""

    def around(self, observed: Callable[..., Any]) -> Callable[..., Any]:
        """Make the mistake."""
        return lambda *_, **__: threading.Event().wait()


class EndsTheProcess(_Wrapping):
    """A call ends the process."""

    def around(self, observed: Callable[..., Any]) -> Callable[..., Any]:
        """Make the mistake."""
        return lambda *_, **__: os._exit(7)


class CannotBeMade:
    """There is no such tracer."""

    def __init__(self) -> None:
        raise RuntimeError("not configured")
