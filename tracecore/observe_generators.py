"""Observing generators: each step of the body runs in the generator's own context.

A generator's body is suspended in the middle of things, and its consumer goes on in another context, perhaps closing it
from yet another task. So the body gets a copy of the context in which it was started, every step runs inside that copy,
and no token is held across a ``yield``: the consumer's current span never changes, and ``send``, ``throw``, ``close``
and the return value pass through unchanged.
"""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator
from contextvars import Context, copy_context
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from tracecore.clock import monotonic_ns
from tracecore.codec import snapshot
from tracecore.context import POSITION, SWITCH
from tracecore.open_span import Muted, OpenSpan, anchor

if TYPE_CHECKING:
    from tracecore.observe import Callsite

__all__ = ["PLAIN", "async_generator_wrapper", "follow", "generator_wrapper", "is_unfinished"]

Opened: TypeAlias = OpenSpan | Muted

PLAIN: Final = frozenset({type(None), str, dict, list, int, float, bool, tuple, bytes})
"""Types of results that are certainly not unfinished: one look-up decides for nearly every call."""
_UNFINISHED: Final = frozenset({GeneratorType, AsyncGeneratorType, CoroutineType})


def generator_wrapper(site: Callsite) -> Callable[..., Any]:
    """Return a generator function that observes ``site.function``."""
    return _generator_function(site, lambda args, kwargs: _start(site, args, kwargs))


def async_generator_wrapper(site: Callsite) -> Callable[..., Any]:
    """Return an async generator function that observes ``site.function``."""
    return _async_generator_function(site, lambda args, kwargs: _start(site, args, kwargs))


def is_unfinished(result: object) -> bool:
    """Return whether a result goes on after the call: a generator, a coroutine, or a response with a body iterator."""
    return type(result) in _UNFINISHED or "body_iterator" in getattr(result, "__dict__", ())


def follow(site: Callsite, span: Opened, result: Any) -> Any:
    """Return ``result`` so wrapped that the span ends when it does; the caller's position is restored now."""
    context = copy_context()
    _step_out(span)
    if type(result) is CoroutineType:
        followed: Any = _finish(site, span, result)
    elif type(result) is GeneratorType:
        followed = _generator_function(site, lambda _, __: _Started(context, span, result))()
    elif type(result) is AsyncGeneratorType:
        followed = _async_generator_function(site, lambda _, __: _Started(context, span, result))()
    else:
        body = _as_generator(result.body_iterator)
        followed = _async_generator_function(site, lambda _, __: _Started(context, span, body))()
        result.body_iterator = followed
    if isinstance(span, OpenSpan):
        weakref.finalize(followed, _abandon, span).atexit = False
    return followed if type(result) in _UNFINISHED else result


class _Started(NamedTuple):
    """A generator about to take its first step, its span, and the context of its body."""

    context: Context
    span: Opened
    generator: Any


_Start: TypeAlias = Callable[[tuple[Any, ...], dict[str, Any]], _Started]


def _start(site: Callsite, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Started:
    """Open the span of a generator in a context of its own."""
    context = copy_context()
    span = (None if SWITCH.off else context.run(site.open, args, kwargs)) or Muted()
    try:
        return _Started(context, span, site.function(*args, **kwargs))
    except BaseException as error:
        context.run(site.abort, span, error)
        raise


def _generator_function(site: Callsite, start: _Start) -> Callable[..., Generator[Any, Any, Any]]:
    def observed(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        context, span, generator = start(args, kwargs)
        run = context.run
        items = _Items(site, span)
        try:
            item = run(next, generator)
            while True:
                items.add(item)
                try:
                    sent = yield item
                except GeneratorExit:
                    run(generator.close)
                    raise
                except BaseException as error:  # noqa: BLE001 - passed into the body, which decides
                    item = run(generator.throw, error)
                else:
                    item = run(next, generator) if sent is None else run(generator.send, sent)
        except StopIteration as stop:
            run(items.finish, stop.value)
            return stop.value
        except BaseException as error:
            run(items.abort, error)
            raise

    return observed


def _async_generator_function(site: Callsite, start: _Start) -> Callable[..., AsyncGenerator[Any, Any]]:
    async def observed(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        context, span, generator = start(args, kwargs)
        items = _Items(site, span)
        try:
            item = await _Step(context, generator.__anext__())
            while True:
                items.add(item)
                try:
                    sent = yield item
                except GeneratorExit:
                    await _Step(context, generator.aclose())
                    raise
                except BaseException as error:  # noqa: BLE001 - passed into the body, which decides
                    item = await _Step(context, generator.athrow(error))
                else:
                    item = await _Step(context, generator.asend(sent))
        except StopAsyncIteration:
            context.run(items.finish, None)
        except BaseException as error:
            context.run(items.abort, error)
            raise

    return observed


class _Step:
    """Await one step of an async generator inside a given context."""

    __slots__ = ("_awaitable", "_context")

    def __init__(self, context: Context, awaitable: Any) -> None:
        self._context = context
        self._awaitable = awaitable

    def __await__(self) -> Generator[Any, Any, Any]:
        run = self._context.run
        step = self._awaitable.__await__()
        try:
            waiting_for = run(step.send, None)
            while True:
                try:
                    value = yield waiting_for
                except BaseException as error:  # noqa: BLE001 - cancellation included: the body must see it
                    waiting_for = run(step.throw, error)
                else:
                    waiting_for = run(step.send, value)
        except StopIteration as stop:
            return stop.value


class _Items:
    """Keep the items of a generator, within the limits, as the output of its span."""

    def __init__(self, site: Callsite, span: Opened) -> None:
        self._site = site
        self._span = span
        self._kept: list[Any] = []
        self._size = 0
        self._count = 0
        self._all_text = True
        self._room = 0
        if isinstance(span, OpenSpan) and (span.trace.route.capture_output or site.capture_output):
            self._room = span.trace.route.limits.max_bytes

    def add(self, item: object) -> None:
        """Note one item; encode it now unless it is text, so that later mutations are not recorded."""
        span = self._span
        self._count += 1
        if self._count == 1 and isinstance(span, OpenSpan):
            span.note(completion_start_ns=monotonic_ns() + anchor.offset_ns)
        if self._size >= self._room:
            return
        if type(item) is str:
            self._kept.append(item)
            self._size += len(item) + 2
            return
        self._all_text = False
        if self._site.join is not None:
            self._kept.append(item)
            self._size += 64
        elif isinstance(span, OpenSpan):
            payload = snapshot(item, span.trace.route.limits)
            self._kept.append(payload)
            self._size += len(payload)

    def finish(self, returned: object) -> None:
        """End the span of a generator that came to its end."""
        if returned is not None and isinstance(self._span, OpenSpan):
            self._span.update(metadata={"return": returned})
        self._output()
        self._span.__exit__(None, None, None)

    def abort(self, error: BaseException) -> None:
        """End the span of a generator that raised or was closed, with the output so far."""
        self._output()
        self._span.__exit__(type(error), error, None)

    def _output(self) -> None:
        span = self._span
        if isinstance(span, OpenSpan) and self._room:
            span.output = self._site.encode(self._joined(), span.trace.route.limits)

    def _joined(self) -> object:
        join = self._site.join
        if join is not None:
            try:
                return join(self._kept)
            except Exception as error:  # noqa: BLE001 - the program's function, inside capturing: it must not raise
                return {"$unencodable": {"type": "transform_to_string", "reason": type(error).__name__}}
        omitted = self._count - len(self._kept)
        if self._all_text and self._kept:
            text = "".join(self._kept)
            return {"$truncated": {"head": text, "omitted_items": omitted}} if omitted else text
        return [*self._kept, {"$omitted": omitted}] if omitted else self._kept


async def _finish(site: Callsite, span: Opened, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Await a coroutine that an observed plain function returned, as the function's body."""
    if isinstance(span, OpenSpan):
        span.__enter__()
    try:
        result = await coroutine
    except BaseException as error:
        site.abort(span, error)
        raise
    site.close(span, result)
    return result


async def _as_generator(body: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
    async for part in body:
        yield part


def _step_out(span: Opened) -> None:
    if isinstance(span, OpenSpan):
        POSITION.set(span.previous)
    else:
        span.__exit__(None, None, None)


def _abandon(span: OpenSpan) -> None:
    """End the span of something that was returned and then thrown away before it came to its end."""
    if span.recording:
        span.status = "abandoned"
        span.end()
