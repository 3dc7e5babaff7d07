"""OpenSpan: a span that has not ended; ending it hands it to the buffer, exactly once.

An open span is changed only by the code that holds it, until ``end``. Payloads are encoded at the moment they are
given (:mod:`tracecore.codec`), so later mutations of the program's objects are not recorded. The pump turns an ended
span into its record with :meth:`OpenSpan.seal`, off the program's path.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any, ClassVar, Final, Self, Unpack, cast

from msgspec import Raw, Struct
from msgspec.structs import replace

from tracecore.attributes import (
    MAX_NAME,
    cost_of,
    extend_attributes,
    level_of,
    prompt_of,
    text_of,
    texts_of,
    time_ns_of,
    usage_of,
)
from tracecore.clock import monotonic_ns, wall_ns
from tracecore.codec import encoded, error_info, metadata, snapshot
from tracecore.context import INHERITED, NO_ATTRIBUTES, POSITION, Again, Place, Position, Route, TraceState
from tracecore.fields import SpanChanges, SpanFields, TraceFields
from tracecore.health import FlushResult
from tracecore.ids import new_span_id, new_trace_id
from tracecore.prompt_stamps import PromptStamp, keep_stamp, with_stamps
from tracecore.records import ABSENT, ObservationType, Span, Status, TraceAttributes
from tracecore.sampling import is_sampled
from tracecore.sealing import ENVELOPE_BYTES, observation, payload_bytes

__all__ = [
    "ClockAnchor",
    "Muted",
    "OpenSpan",
    "anchor",
    "open_child",
    "open_root",
    "overlaid",
]

NOT_RECORDED: Final = FlushResult(delivered=False, pending=0, lost={}, level=None)
"""What is said of a trace that nobody records: nothing of it is pending or was lost, and nothing of it is stored."""
_MAX_STATUS_MESSAGE: Final = 8_192
_SHORT: Final = 512
"""Bytes up to which an allocator gives a payload about as much as it has."""
_set_position = POSITION.set


class ClockAnchor(Struct):
    """Tie the monotonic clock to the wall clock: ``wall = monotonic + offset_ns``.

    One clock is read per span instead of two. The pump calls :meth:`align` at least once a second, so that a step of
    the wall clock moves the start of later spans, and never a duration.
    """

    offset_ns: int

    def align(self) -> None:
        """Read both clocks and note their distance."""
        self.offset_ns = wall_ns() - monotonic_ns()


anchor: Final = ClockAnchor(wall_ns() - monotonic_ns())


class OpenSpan(Struct, eq=False, gc=False):
    """A span in progress: ``with span(...) as s: s.update(output=...)``, or ``s.end()`` by hand.

    ``gc=False``: it refers only to its trace's state and to encoded bytes, never back to itself, and a buffer of
    thousands of tracked objects would slow every garbage collection of the program.
    """

    trace: TraceState
    span_id: str
    parent_id: str | None
    name: str
    type: ObservationType
    previous: Position | None
    started: int
    """Monotonic ns."""
    offset_ns: int
    """What to add for the wall clock, as it was at the start."""
    input: bytes = b""
    """JSON; empty when there is none. The record's ``Raw`` is made when the span is sealed."""
    output: bytes = b""
    ended: int = 0
    """Monotonic ns; 0 while open."""
    status: Status = "ok"
    attributes: TraceAttributes = NO_ATTRIBUTES
    extra: dict[str, Any] | None = None
    """Record fields that few spans have, by name."""
    announced: int = 0
    """Which pumps have written it as running, a bit each. Without a call in between, so none misses another's bit."""
    entered: bool = False
    """Whether some block is inside of it."""

    @property
    def trace_id(self) -> str:
        """Return the trace id: 32 hexadecimal characters."""
        return self.trace.trace_id

    @property
    def recording(self) -> bool:
        """Return whether the span is still open."""
        return not self.ended

    @property
    def start_ns(self) -> int:
        """Return the start as wall-clock ns since the epoch."""
        return self.started + self.offset_ns

    @property
    def size(self) -> int:
        """Return the bytes that an ended span holds, roughly: for the buffer's byte bound."""
        size = len(self.input) + len(self.output) + ENVELOPE_BYTES
        return size if self.extra is None else size + payload_bytes(self.extra.values())

    def tighten(self) -> None:
        """Hold long payloads in as much memory as they need: the encoder leaves half as much unused behind them."""
        if len(self.input) > _SHORT:
            self.input = bytes(memoryview(self.input))
        if len(self.output) > _SHORT:
            self.output = bytes(memoryview(self.output))

    def update(self, **fields: Unpack[SpanChanges]) -> Self:
        """Set fields of the span; what is not given stays. After the span has ended nothing changes."""
        if not self.ended:
            for field, value in fields.items():
                if value is not None or field in _NULLABLE:
                    _SETTERS.get(field, _ignore)(self, value)
        return self

    def update_trace(self, **fields: Unpack[TraceFields]) -> Self:
        """Set attributes of this span's trace. After the span has ended nothing changes."""
        if not self.ended:
            self.trace.update(fields)
        return self

    def end(self) -> None:
        """End the span now and hand it to the buffer; only the first call does anything."""
        route = self.trace.route
        try:
            route.open_spans.remove(self)
            self.ended = monotonic_ns()
            route.push(self)
        except BaseException as error:
            if not self.had_ended(error):
                raise

    def had_ended(self, error: BaseException) -> bool:
        """Return whether ending it has failed because it had been ended.

        What else comes in the middle (a signal's handler raises) leaves it open, unless the buffer has counted it.
        """
        if type(error) is KeyError and error.args[:1] == (self,):
            return True
        route = self.trace.route
        if not route.ring.has_counted(self):
            self.ended = 0
            route.open_spans.add(self)
        return False

    def fail(self, error: BaseException) -> None:
        """Note the exception that is leaving the span: ``cancelled`` for cancellations, otherwise ``error``."""
        if self.ended:
            return
        if _is_cancellation(error):
            self.status = "cancelled"
            self.note(status_message=type(error).__name__)
            return
        info = error_info(error, self.trace.route.limits)
        self.status = "error"
        message = f"{info.type}: {info.message}" if info.message else info.type
        self.note(error=info, level="ERROR", status_message=message[:_MAX_STATUS_MESSAGE])

    def event(self, name: str, **fields: Unpack[SpanFields]) -> None:
        """Record that something happened now, below this span."""
        event = open_child(self.trace, self.span_id, text_of(name, max_length=MAX_NAME) or "event", "event")
        event.update(**fields)
        event.end()

    @property
    def duration_ns(self) -> int:
        """Return how long the ended span took, in ns; an event takes no time."""
        return 0 if self.type == "event" else max(0, self.ended - self.started)

    @property
    def all_attributes(self) -> TraceAttributes:
        """Return the attributes of the trace, with those of this one span over them."""
        own = self.attributes
        return self.trace.attributes if own is NO_ATTRIBUTES else overlaid(self.trace.attributes, own)

    def seal(self, *, running: bool = False) -> Span:
        """Return the record of this span; ``running`` describes it as not ended, whatever happens meanwhile."""
        trace = self.trace
        head = (
            trace.route.project, trace.trace_id, self.span_id, self.name, self.started + self.offset_ns, self.parent_id,
            self.type, None if running else self.duration_ns, "running" if running else self.status,
        )  # fmt: skip
        extra = None if self.extra is None else with_stamps(self.extra, self.type)
        return observation(head, self.input, self.output, self.all_attributes, extra, trace.route.provenance)

    def delivered(self, timeout: float = 5.0) -> FlushResult:
        """Wait at most ``timeout`` seconds until what this trace has emitted so far is delivered or lost; tell which.

        Spans that have not ended are not waited for, and neither is anybody else's trace, or what comes later. Blocks
        the calling thread: inside an event loop use :meth:`adelivered`.
        """
        wait = self.trace.route.delivered
        return NOT_RECORDED if wait is None else wait(self.trace, timeout)

    async def adelivered(self, timeout: float = 5.0) -> FlushResult:
        """Wait as :meth:`delivered` does, without blocking the loop."""
        wait = self.trace.route.adelivered
        return NOT_RECORDED if wait is None else await wait(self.trace, timeout)

    def __enter__(self) -> Self:
        """Make the span current, until the block ends."""
        current = POSITION.get()
        if current is not self:
            if self.entered:
                _set_position(Again(self.trace, self.span_id, self.trace.trace_id, self, current))
            else:
                self.entered = True
                self.previous = current
                _set_position(self)
        return self

    def __exit__(self, kind: object, error: BaseException | None, _: TracebackType | None) -> None:
        """End the span, noting an exception that passes through."""
        # In a context that is not inside of this span (of somebody who closes a generator) there is nothing to undo.
        here = POSITION.get()
        if here is not self:
            here = _found_from(here, self)
        if here is self:
            _set_position(self.previous)
            self.previous, self.entered = None, False
        elif isinstance(here, Again):
            _set_position(here.outer)
        if error is not None:
            self.fail(error)
        self.end()

    async def __aenter__(self) -> Self:
        """Do as ``with`` does."""
        return self.__enter__()

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Do as ``with`` does."""
        self.__exit__(kind, error, traceback)

    def carry(self, fields: TraceFields) -> None:
        """Give this one span trace attributes of its own, over those of its trace; nothing after it has ended."""
        if not self.ended:
            self.attributes = extend_attributes(self.attributes, fields, self.trace.route.limits)

    def note(self, **fields: object) -> None:
        """Keep record fields that few spans have, those that are not None."""
        for field, value in fields.items():
            self.keep(field, value)

    def keep(self, field: str, value: object) -> None:
        """Keep one record field, unless it is None. In place: for the pump, copying the dict is one step."""
        if value is None:
            return
        if self.extra is None:
            self.extra = {field: value}
        else:
            self.extra[field] = value


class Muted(Struct, eq=False, gc=False):
    """Stand in for a span that is not recorded: takes every call of :class:`OpenSpan` and does nothing.

    What a program may read of a span can be read of it too, or it would fail where sampling leaves a trace out.
    In a trace that sampling left out it has the ids that travel on in headers, and becomes the current position, so
    that nothing below it is recorded either. Where tracing is disabled it has none, and leaves the context alone.
    """

    trace_id: str = ""
    previous: Position | None = None
    trace: None = None
    recording: bool = False
    name: ClassVar[str] = ""
    type: ClassVar[ObservationType] = "span"
    status: ClassVar[Status] = "ok"
    parent_id: ClassVar[str | None] = None
    start_ns: ClassVar[int] = 0
    started: ClassVar[int] = 0
    ended: ClassVar[int] = 0
    input: ClassVar[bytes] = b""
    output: ClassVar[bytes] = b""

    @property
    def span_id(self) -> str:
        """Return an id for headers: the end of the trace id, since no span with it is ever stored; never all zeros."""
        return f"{self.trace_id[16:31]}1" if self.trace_id.endswith("0") else self.trace_id[16:]

    def update(self, **_: object) -> Self:
        """Do nothing."""
        return self

    def update_trace(self, **_: object) -> Self:
        """Do nothing."""
        return self

    def event(self, _: str, **__: object) -> None:
        """Do nothing."""

    def fail(self, _: BaseException) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""

    def delivered(self, timeout: float = 5.0) -> FlushResult:  # noqa: ARG002 - there is nothing to wait for
        """Return at once that nothing of it is stored: it was not recorded."""
        return NOT_RECORDED

    async def adelivered(self, timeout: float = 5.0) -> FlushResult:  # noqa: ARG002 - as above
        """Return at once that nothing of it is stored: it was not recorded."""
        return NOT_RECORDED

    def __enter__(self) -> Self:
        """Become current, in a trace that sampling left out."""
        if self.trace_id:
            self.previous = POSITION.get()
            _set_position(self)
        return self

    def __exit__(self, kind: object, error: BaseException | None, _: TracebackType | None) -> None:
        """Restore the previous position, in a context that is inside of this one."""
        if self.trace_id and _found_from(POSITION.get(), self) is self:
            _set_position(self.previous)
            self.previous = None

    async def __aenter__(self) -> Self:
        """Do as ``with`` does."""
        return self.__enter__()

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Do as ``with`` does."""
        self.__exit__(kind, error, traceback)


def _found_from(inside: Position | None, opened: Position) -> Position | None:
    """Return where a span was entered in the context of a position: its own, or one farther out; None if nowhere."""
    while inside is not None and inside is not opened:
        if isinstance(inside, Again):
            if inside.span is opened:
                return inside
            inside = inside.outer
        else:
            inside = inside.span if isinstance(inside, Place) else inside.previous
    return inside


def open_child(trace: TraceState, parent_id: str | None, name: str, type_: ObservationType = "span") -> OpenSpan:
    """Open a span of a trace below ``parent_id``, without making it current."""
    started = monotonic_ns()
    span = OpenSpan(trace, new_span_id(), parent_id, name, type_, None, started, anchor.offset_ns)
    trace.route.open_spans.add(span)
    return span


def open_root(route: Route | None, name: str, type_: ObservationType = "span") -> OpenSpan | Muted:
    """Open the first span of a trace in this process, from what is inherited; decide sampling here and only here."""
    if route is None:
        return Muted()
    inherited = INHERITED.get()
    remote = inherited.remote
    trace_id = new_trace_id() if remote is None else remote[0]
    threshold = route.threshold
    if threshold and not is_sampled(trace_id, threshold):
        route.ring.count_sampled()
        return Muted(trace_id)
    trace = TraceState(route, trace_id, overlaid(route.attributes, inherited.attributes), inherited.baggage)
    if remote is None:
        span = open_child(trace, None, name, type_)
    else:
        span = open_child(trace, remote[1], name, type_)
        span.extra = {"app_root": True}
    trace.started = span.started
    if span.started > route.watch.overdue_ns:
        route.watch.suspect(span.started)
    return span


def overlaid(base: TraceAttributes, own: TraceAttributes) -> TraceAttributes:
    """Return ``base`` with every field that ``own`` sets; tags are joined, metadata is merged key by key."""
    if own is NO_ATTRIBUTES or own == NO_ATTRIBUTES:
        return base
    if base == NO_ATTRIBUTES:
        return own
    changes = {f: v for f in own.__struct_fields__ if (v := getattr(own, f)) != getattr(NO_ATTRIBUTES, f)}
    if own.tags and base.tags:
        changes["tags"] = tuple(dict.fromkeys((*base.tags, *own.tags)))
    if own.metadata and base.metadata:
        changes["metadata"] = metadata(base.metadata, own.metadata)
    return replace(base, **changes)


def _set_name(span: OpenSpan, value: object) -> None:
    span.name = text_of(value, max_length=MAX_NAME) or span.name


def _set_input(span: OpenSpan, value: object) -> None:
    span.input = encoded(value, span.trace.route.limits)


def _set_output(span: OpenSpan, value: object) -> None:
    span.output = encoded(value, span.trace.route.limits)


def _set_metadata(span: OpenSpan, value: object) -> None:
    previous = cast("Raw", (span.extra or {}).get("metadata", ABSENT))
    span.note(metadata=metadata(previous, value, span.trace.route.limits))


def _set_usage(span: OpenSpan, value: object) -> None:
    buckets, provided = usage_of(value)
    span.keep("usage_details", buckets)
    span.keep("provided_usage_details", provided)


def _set_cost(span: OpenSpan, value: object) -> None:
    costs, total = cost_of(value)
    span.keep("cost_details", costs)
    span.keep("total_cost", total)


def _set_prompt(span: OpenSpan, value: object) -> None:
    if isinstance(value, PromptStamp):
        span.extra = keep_stamp(span.extra, value, monotonic_ns())
    span.note(**prompt_of(value))


def _set_tool_call_names(span: OpenSpan, value: object) -> None:
    span.note(tool_call_names=texts_of(value) or None)


def _ignore(_: OpenSpan, __: object) -> None:
    """Leave out a field that does not exist: the type checkers complain about it, the running program must not."""


def _noting(field: str, read: Callable[[Any], object]) -> Callable[[OpenSpan, object], None]:
    return lambda span, value: span.keep(field, read(value))


def _noting_payload(field: str) -> Callable[[OpenSpan, object], None]:
    return lambda span, value: span.keep(field, snapshot(value, span.trace.route.limits))


_NULLABLE: Final = frozenset({"input", "output"})
_SETTERS: Final[dict[str, Callable[[OpenSpan, object], None]]] = {
    "name": _set_name,
    "input": _set_input,
    "output": _set_output,
    "metadata": _set_metadata,
    "usage_details": _set_usage,
    "cost_details": _set_cost,
    "tool_call_names": _set_tool_call_names,
    "version": _noting("version", text_of),
    "level": _noting("level", level_of),
    "status_message": _noting("status_message", lambda value: text_of(value, max_length=_MAX_STATUS_MESSAGE)),
    "model": _noting("model", text_of),
    "completion_start_ns": _noting("completion_start_ns", time_ns_of),
    "model_parameters": _noting_payload("model_parameters"),
    "tool_definitions": _noting_payload("tool_definitions"),
    "tool_calls": _noting_payload("tool_calls"),
    "prompt": _set_prompt,
}


def _is_cancellation(error: BaseException) -> bool:
    """Return whether the exception means "stopped from outside": asyncio's, trio's, a closed coroutine or generator.

    A group means so if all in it does: trio's nurseries raise cancellations in groups.
    """
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_cancellation, cast("BaseExceptionGroup[BaseException]", error).exceptions))
    if isinstance(error, GeneratorExit):
        return True
    asyncio = sys.modules.get("asyncio")
    # The pump may be importing asyncio in its thread at this very moment: then the name is not there yet.
    if asyncio is not None and isinstance(error, getattr(asyncio, "CancelledError", ())):
        return True
    trio = sys.modules.get("trio")
    return trio is not None and isinstance(error, getattr(trio, "Cancelled", ()))
