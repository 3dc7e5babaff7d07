"""What is known about an observed function before it is called, and the general way to open and close a call's span."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from tracecore.context import POSITION, Recording, Route
from tracecore.default import route
from tracecore.open_span import Muted, OpenSpan, open_child, open_root
from tracecore.records import ObservationType

__all__ = ["Callsite", "nothing"]

_position = POSITION.get
_set_position = POSITION.set


class Callsite(Struct, eq=False, frozen=True):
    """What is known about an observed function before it is called."""

    function: Callable[..., Any]
    name: str
    type: ObservationType
    bind: Callable[..., bytes]
    encode: Callable[..., bytes]
    capture_input: bool
    """Capture the arguments even where the configuration says not to."""
    capture_output: bool
    recorder: Recording | None
    join: Callable[[list[Any]], str] | None

    def open(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> OpenSpan | Muted | None:
        """Open the span of one call and make it current; None means that there is nothing to do at the end.

        The general form of what the wrappers of ordinary functions do in line for a nested call.
        """
        previous = _position()
        if previous is None:
            opened = open_root(self.recorder.route if self.recorder is not None else route(), self.name, self.type)
        elif previous.trace is not None:
            opened = open_child(previous.trace, previous.span_id, self.name, self.type)
        else:
            return None
        if isinstance(opened, OpenSpan):
            target = opened.trace.route
            if target.capture_input or self.capture_input:
                opened.input = self.bind(args, kwargs, target.limits)
        elif not opened.trace_id:
            return None
        opened.previous = previous
        _set_position(opened)
        return opened

    def close(self, span: OpenSpan | Muted, result: object) -> None:
        """End the span of a call that returned."""
        if isinstance(span, OpenSpan):
            target = span.trace.route
            if not span.output and (target.capture_output or self.capture_output):
                span.output = self.encode(result, target.limits)
        span.__exit__(None, None, None)

    def captures_output(self, target: Route) -> bool:
        """Return whether what the function returns or yields is recorded."""
        return self.encode is not nothing and (target.capture_output or self.capture_output)

    def abort(self, span: OpenSpan | Muted, error: BaseException) -> None:
        """End the span of a call that raised."""
        span.__exit__(type(error), error, None)


def nothing(*_: object) -> bytes:
    """Stand in for the encoder where nothing is to be captured."""
    return b""
