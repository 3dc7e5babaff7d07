"""The OpenTelemetry SDK: ``start_as_current_span`` as a decorator, and as a block in the body of generators.

Its manual shows the decorator for functions and coroutine functions. Above a generator function it would end the span
before the first item, so there the block stands inside of the body, as the manual has it for any other code.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from importlib.metadata import version
from typing import Any, Final, TypeVar, cast

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode, format_span_id, format_trace_id

from tracecore.testing.tracers import Feature, Finished

__all__ = ["OpenTelemetry", "ids_of"]

Function = TypeVar("Function", bound=Callable[..., Any])


class OpenTelemetry:
    """Record into the SDK's exporter for tests, span by span."""

    title: Final = "OpenTelemetry"
    version: Final = version("opentelemetry-sdk")
    offers: Final[frozenset[Feature]] = frozenset({"generators", "async generators", "callables", "variables"})

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._start = provider.get_tracer("conformance").start_as_current_span

    def observed(self, function: Function, /) -> Function:
        """Return the function with a span around each call."""
        name = getattr(function, "__name__", type(function).__name__)
        if inspect.isasyncgenfunction(function):
            return cast("Function", self._around_async_generator(function, name))
        if inspect.isgeneratorfunction(function):
            return cast("Function", self._around_generator(function, name))
        return cast("Function", self._start(name)(function))

    def span(self, name: str, /) -> AbstractContextManager[object]:
        """Return a block with a span around it."""
        return self._start(name)

    def current(self) -> str | None:
        """Return the id of the current span."""
        context = trace.get_current_span().get_span_context()
        return format_span_id(context.span_id) if context.is_valid else None

    def executor(self, workers: int, /) -> Executor:
        """Refuse: the SDK has none; a package of its own, opentelemetry-instrumentation-threading, patches threads."""
        raise NotImplementedError

    def finished(self) -> Sequence[Finished]:
        """Return what was exported."""
        return [_finished(span) for span in self._exporter.get_finished_spans()]

    def reset(self) -> None:
        """Forget what was exported."""
        self._exporter.clear()

    def _around_generator(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def in_block(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            with self._start(name):
                return (yield from function(*args, **kwargs))

        return in_block

    def _around_async_generator(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """Do what a block in the body does: everything that the consumer sends or throws reaches the body."""

        @functools.wraps(function)
        async def in_block(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            with self._start(name):
                body = function(*args, **kwargs)
                step = _unknown_to_the_loop(body)
                try:
                    while True:
                        item = await step
                        try:
                            step = body.asend((yield item))
                        except GeneratorExit:
                            await body.aclose()
                            raise
                        except BaseException as error:  # noqa: BLE001 - for the body to decide
                            step = body.athrow(error)
                except StopAsyncIteration:
                    return

        return in_block


def _unknown_to_the_loop(body: AsyncGenerator[Any, Any]) -> Any:
    """Return the first step of a body that a loop which ends must not close beside the one around it."""
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return body.__anext__()
    finally:
        sys.set_asyncgen_hooks(*hooks)


def ids_of(span: ReadableSpan) -> tuple[str, str | None, str]:
    """Return the ids of a span, of its parent and of its trace."""
    parent = None if span.parent is None else format_span_id(span.parent.span_id)
    return format_span_id(span.context.span_id), parent, format_trace_id(span.context.trace_id)


def _finished(span: ReadableSpan) -> Finished:
    span_id, parent_id, trace_id = ids_of(span)
    status = "error" if span.status.status_code is StatusCode.ERROR else "ok"
    return Finished(span.name, span_id, parent_id, trace_id, status)
