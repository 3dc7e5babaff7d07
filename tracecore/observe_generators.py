"""Observing generators: each step of the body runs in the generator's own context.

A generator's body is suspended in the middle of things, and its consumer goes on in another context, perhaps closing it
from yet another task. So the body gets a copy of the context in which it was started, every step runs inside that copy,
and no token is held across a ``yield``: the consumer's current span never changes, and ``send``, ``throw``, ``close``
and the return value pass through unchanged.
"""

from __future__ import annotations

import sys
import types
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator
from contextvars import Context, copy_context
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, cast

from tracecore.clock import monotonic_ns
from tracecore.codec import Limits
from tracecore.context import POSITION, SWITCH
from tracecore.introspection import bases, instance_dict, namespace
from tracecore.open_span import Muted, OpenSpan

if TYPE_CHECKING:
    from tracecore.callsite import Callsite

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
    return type(result) in _UNFINISHED or _body_of(result) is not None


def _body_of(response: object) -> Any:
    """Return the asynchronous iterator that a response sends its body from, or None. Runs no code of the program."""
    body = instance_dict(response).get("body_iterator")
    return body if any("__aiter__" in namespace(base) for base in bases(type(body))) else None


def follow(site: Callsite, span: Opened, result: Any) -> Any:
    """Return ``result`` so wrapped that the span ends when it does; the caller's position is restored now."""
    context = copy_context()
    _step_out(span)
    if type(result) is CoroutineType:
        followed: Any = _finish(site, span, cast("Coroutine[Any, Any, Any]", result))
        followed.__name__, followed.__qualname__ = result.__name__, result.__qualname__
    elif type(result) is GeneratorType:
        followed = _generator_function(site, lambda _, __: _Started(context, span, result))()
    elif type(result) is AsyncGeneratorType:
        followed = _async_generator_function(site, lambda _, __: _Started(context, span, result))()
    else:
        return _follow_response(site, span, result, context)
    return _abandoned_with(followed, span, result)


def _follow_response(site: Callsite, span: Opened, response: Any, context: Context) -> Any:
    body = _body_of(response)
    source = _as_generator(body) if type(body) is not AsyncGeneratorType else cast("AsyncGenerator[Any, Any]", body)
    followed = _async_generator_function(site, lambda _, __: _Started(context, span, source))()
    try:
        response.body_iterator = followed
    except Exception:  # noqa: BLE001 - a response that cannot be changed is sent as it is
        context.run(site.close, span, response)
    else:
        _abandoned_with(followed, span, source)
    return response


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


# In the drivers below the body is resumed outside of the handler that caught what is thrown into it: inside, Python
# would make that the context of whatever the body raises later.


def _generator_function(site: Callsite, start: _Start) -> Callable[..., Generator[Any, Any, Any]]:
    def observed(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        context, span, generator = start(args, kwargs)
        run, resume, value = context.run, generator.send, None
        items = _Items(site, span)
        try:
            while True:
                try:
                    item = run(resume, value)
                finally:
                    value = None
                items.add(item)
                try:
                    value, resume = (yield item), generator.send
                except BaseException as error:  # noqa: BLE001 - passed into the body, which decides
                    value, resume = error, generator.throw
                    items.closing = isinstance(error, GeneratorExit)
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
        step = _first_step(generator)
        try:
            while True:
                try:
                    item = await _stepped(context, step)
                finally:
                    step = None
                items.add(item)
                try:
                    step = generator.asend((yield item))
                except BaseException as error:  # noqa: BLE001 - passed into the body, which decides
                    step = generator.athrow(error)
                    items.closing = isinstance(error, GeneratorExit)
        except StopAsyncIteration:
            context.run(items.finish, None)
        except BaseException as error:
            context.run(items.abort, error)
            raise

    return observed


def _first_step(generator: Any) -> Any:
    """Return the first step of an async generator, without making it known to the event loop.

    A loop that ends closes all generators it knows of, side by side: it would close the body and its driver at once,
    and the driver's attempt would fail. The driver is known to it, and closes the body.
    """
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return generator.__anext__()
    finally:
        sys.set_asyncgen_hooks(*hooks)


@types.coroutine
def _stepped(context: Context, awaitable: Any) -> Generator[Any, Any, Any]:
    """Await one step of an async generator inside a given context."""
    run, step = context.run, awaitable.__await__()
    resume, value = step.send, None
    try:
        while True:
            try:
                waiting_for = run(resume, value)
            finally:
                value = None
            try:
                value, resume = (yield waiting_for), step.send
            except BaseException as error:  # noqa: BLE001 - cancellation included: the body must see it
                value, resume = error, step.throw
    except StopIteration as stop:
        return stop.value
    finally:
        # What was thrown in must not keep itself alive through this frame, which its traceback holds.
        awaitable = step = resume = value = None


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
        self.closing = False
        """Whether the body was last resumed by closing it."""
        if isinstance(span, OpenSpan) and site.captures_output(span.trace.route):
            self._room = span.trace.route.limits.max_bytes

    def add(self, item: object) -> None:
        """Note one item; encode it now unless it is text, so that later mutations are not recorded."""
        span = self._span
        self.closing = False
        self._count += 1
        if self._count == 1 and isinstance(span, OpenSpan):
            self._note_first(span)
        if self._size >= self._room:
            return
        kept, size = item, 64
        if type(item) is str:
            size = len(item) + 2
        else:
            self._all_text = False
            if self._site.join is None and isinstance(span, OpenSpan):
                kept = self._site.encode(item, span.trace.route.limits)
                size = len(kept)
        self._kept.append(kept)
        self._size += size

    def finish(self, returned: object) -> None:
        """End the span of a generator that came to its end; one that was closed has not come to it."""
        if self.closing:
            self.abort(GeneratorExit())
            return
        if returned is not None and self._room and isinstance(self._span, OpenSpan):
            self._span.update(metadata={"return": returned})
        self._output()
        self._span.__exit__(None, None, None)

    def abort(self, error: BaseException) -> None:
        """End the span of a generator that raised or was closed, with the output so far."""
        self._output()
        self._span.__exit__(type(error), error, None)

    @staticmethod
    def _note_first(span: OpenSpan) -> None:
        """Note when the first item came, unless the program has; the wall clock may have been set meanwhile."""
        if not span.extra or "completion_start_ns" not in span.extra:
            span.note(completion_start_ns=span.start_ns + monotonic_ns() - span.started)

    def _output(self) -> None:
        span = self._span
        if isinstance(span, OpenSpan) and self._room and not span.output:
            span.output = self._joined(span.trace.route.limits)

    def _joined(self, limits: Limits) -> bytes:
        """Return the items as JSON: what is encoded already is spliced, and what was not kept is counted."""
        encode, join = self._site.encode, self._site.join
        if join is not None:
            try:
                return encode(join(self._kept), limits)
            except Exception as error:  # noqa: BLE001 - the program's function, inside capturing: it must not raise
                reason = {"type": "transform_to_string", "reason": type(error).__name__}
                return encode({"$unencodable": reason}, limits)
        omitted = self._count - len(self._kept)
        if self._all_text and self._kept:
            parts = [encode("".join(self._kept), limits)]
            if not omitted:
                return parts[0]
        else:
            parts = [encode(kept, limits) if type(kept) is str else kept for kept in self._kept]
        if omitted:
            parts.append(b'{"$omitted":%d}' % omitted)
        return b"[" + b",".join(parts) + b"]"


async def _finish(site: Callsite, span: Opened, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Await a coroutine that an observed plain function returned, as the function's body."""
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


def _abandoned_with(followed: Any, span: Opened, source: Any) -> Any:
    """End the span when what was returned is thrown away before it came to its end; return ``followed``."""
    if isinstance(span, OpenSpan):
        weakref.finalize(followed, _abandon, span, weakref.ref(source)).atexit = False
    return followed


def _abandon(span: OpenSpan, source: weakref.ref[Any]) -> None:
    if span.recording:
        span.status = "abandoned"
        span.end()
    # Python warns that ``followed`` was never awaited, under the name of the program's coroutine: once is enough.
    coroutine = source()
    if isinstance(coroutine, CoroutineType):
        coroutine.close()
