"""Observing ordinary calls: the hot path.

The two wrappers are the same but for ``await``. A call below an open span is written out in line, because every
function call here costs as much as reading a clock; a call that begins a trace goes the general way of
:class:`~tracecore.callsite.Callsite`, and both leave the same records. On this path: no await of our own, no lock, no
import, no formatting, no exception of ours.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import Token
from typing import Any, Final

from tracecore.callsite import Callsite
from tracecore.clock import monotonic_ns
from tracecore.context import POSITION, SWITCH, Position
from tracecore.ids import new_span_id
from tracecore.observe_generators import PLAIN, follow, is_unfinished
from tracecore.open_span import Muted, OpenSpan, anchor
from tracecore.sealing import ENVELOPE_BYTES

__all__ = ["async_wrapper", "sync_wrapper"]

_position = POSITION.get
_set_position = POSITION.set
_reset_position = POSITION.reset
_switch: Final = SWITCH
_anchor: Final = anchor


def async_wrapper(site: Callsite) -> Callable[..., Any]:  # noqa: C901 - in line on purpose: see above
    """Return a coroutine function that observes ``site.function``."""
    function: Callable[..., Awaitable[Any]] = site.function
    name, type_, bind, forced = site.name, site.type, site.bind, site.capture_input
    open_, abort = site.open, site.abort

    async def observed(*args: Any, **kwargs: Any) -> Any:  # noqa: C901 - as above
        if _switch.off:
            return await function(*args, **kwargs)
        previous = _position()
        if previous is None:
            opened = open_(args, kwargs)
            if opened is None:
                return await function(*args, **kwargs)
            try:
                result = await function(*args, **kwargs)
            except BaseException as error:
                abort(opened, error)
                raise
            return _leave(site, opened, result)
        trace = previous.trace
        if trace is None:
            return await function(*args, **kwargs)
        target = trace.route
        payload = bind(args, kwargs, target.limits) if target.capture_input or forced else b""
        span = OpenSpan(
            trace, new_span_id(), previous.span_id, name, type_, None, monotonic_ns(), _anchor.offset_ns, payload
        )
        target.open_spans.add(span)
        token = _set_position(span)
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            _restore(token, previous)
            span.fail(error)
            span.end()
            raise
        try:
            goes_on = type(result) not in PLAIN and is_unfinished(result)
        except Exception:  # noqa: BLE001 - a class may have no hash
            goes_on = False
        if goes_on:
            span.previous = previous
            return follow(site, span, result)
        output = span.output
        if not output and (target.capture_output or site.capture_output):
            span.output = output = site.encode(result, target.limits)
        try:
            _reset_position(token)
        except ValueError:
            _set_position(previous)
        try:
            target.open_spans.remove(span)
            span.ended = monotonic_ns()
            target.push(span, len(span.input) + len(output) + ENVELOPE_BYTES if span.extra is None else span.size)
        except BaseException as error:
            if not span.had_ended(error):
                raise
        return result

    return observed


def sync_wrapper(site: Callsite) -> Callable[..., Any]:  # noqa: C901 - in line on purpose: see above
    """Return a function that observes ``site.function``."""
    function = site.function
    name, type_, bind, forced = site.name, site.type, site.bind, site.capture_input
    open_, abort = site.open, site.abort

    def observed(*args: Any, **kwargs: Any) -> Any:  # noqa: C901 - as above
        if _switch.off:
            return function(*args, **kwargs)
        previous = _position()
        if previous is None:
            opened = open_(args, kwargs)
            if opened is None:
                return function(*args, **kwargs)
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                abort(opened, error)
                raise
            return _leave(site, opened, result)
        trace = previous.trace
        if trace is None:
            return function(*args, **kwargs)
        target = trace.route
        payload = bind(args, kwargs, target.limits) if target.capture_input or forced else b""
        span = OpenSpan(
            trace, new_span_id(), previous.span_id, name, type_, None, monotonic_ns(), _anchor.offset_ns, payload
        )
        target.open_spans.add(span)
        token = _set_position(span)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            _restore(token, previous)
            span.fail(error)
            span.end()
            raise
        try:
            goes_on = type(result) not in PLAIN and is_unfinished(result)
        except Exception:  # noqa: BLE001 - a class may have no hash
            goes_on = False
        if goes_on:
            span.previous = previous
            return follow(site, span, result)
        output = span.output
        if not output and (target.capture_output or site.capture_output):
            span.output = output = site.encode(result, target.limits)
        try:
            _reset_position(token)
        except ValueError:
            _set_position(previous)
        try:
            target.open_spans.remove(span)
            span.ended = monotonic_ns()
            target.push(span, len(span.input) + len(output) + ENVELOPE_BYTES if span.extra is None else span.size)
        except BaseException as error:
            if not span.had_ended(error):
                raise
        return result

    return observed


def _restore(token: Token[Any], previous: Position) -> None:
    """Put the position back to what it was.

    By token at half the cost of setting it again (97 against 192 ns for both steps); a coroutine that somebody steps in
    several contexts has no use for its token.
    """
    try:
        _reset_position(token)
    except ValueError:
        _set_position(previous)


def _leave(site: Callsite, span: OpenSpan | Muted, result: Any) -> Any:
    """End the span of a call that returned, or let it go on with an unfinished result."""
    try:
        goes_on = type(result) not in PLAIN and is_unfinished(result)
    except Exception:  # noqa: BLE001 - a class may have no hash
        goes_on = False
    if goes_on:
        return follow(site, span, result)
    site.close(span, result)
    return result
