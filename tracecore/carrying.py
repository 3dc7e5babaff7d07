"""Carrying attributes and identity: across calls, tasks, threads and processes.

Tasks carry the current span by themselves, and so does ``asyncio.to_thread``; a plain thread or executor does not, and
what it opens begins a new trace. :class:`~tracecore.executor.ContextExecutor` is a thread pool that does, and
:mod:`tracecore.integrations.threads` makes all of them do so.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from types import TracebackType
from typing import Final, Self, Unpack

from tracecore.attributes import extend_attributes, text_of
from tracecore.context import INHERITED, POSITION, Inherited, Place, Position, TraceState
from tracecore.fields import TraceFields
from tracecore.open_span import OpenSpan
from tracecore.propagation import format_baggage, format_traceparent, header, parse_baggage, parse_traceparent

__all__ = ["continue_trace", "inject", "propagate_attributes"]


_BAGGAGE_PREFIX: Final = "langfuse_"
_BAGGAGE_NAMES: Final = {"user_id": "user_id", "session_id": "session_id", "version": "version", "name": "trace_name"}
"""Trace attributes that travel in baggage, under the names that Langfuse's SDKs read and write."""


_MAX_BLOCKS: Final = 32
"""Blocks that a context knows it is inside of: a task begun inside a block that never ends keeps its mark for ever."""


class _Carrying:
    """Replace what the context holds for the length of a block, then put back what was there.

    One object may be entered many times, by tasks side by side too: what was there is kept per block, under a mark that
    only the context of that block holds. A block that is left in a context where it was not entered (a generator closed
    by somebody else) changes nothing there.
    """

    def __init__(self) -> None:
        self._outside: dict[object, tuple[Inherited, Position | None]] = {}

    def _places(self, inherited: Inherited, position: Position | None) -> tuple[Inherited, Position | None]:
        """Return what holds inside a block, given what holds outside."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        outside = INHERITED.get(), POSITION.get()
        inherited, position = self._places(*outside)
        block = object()
        self._outside[block] = outside
        blocks = (*inherited.blocks[1 - _MAX_BLOCKS :], block)
        INHERITED.set(Inherited(inherited.attributes, inherited.baggage, inherited.remote, inherited.recorder, blocks))
        POSITION.set(position)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for block in reversed(INHERITED.get().blocks):
            outside = self._outside.pop(block, None)
            if outside is not None:
                INHERITED.set(outside[0])
                POSITION.set(outside[1])
                return

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)


class propagate_attributes(_Carrying):  # noqa: N801 - used like a function: `with propagate_attributes(...):`
    """Say something about a trace once: ``with propagate_attributes(user_id=..., session_id=..., tags=[...]): ...``.

    Every span inside carries it, in this context and in tasks begun inside, and so does the current span. Blocks nest:
    tags are joined, metadata is merged. With ``as_baggage`` user, session, version and trace name also travel to other
    services in the ``baggage`` header that :func:`inject` writes: anyone on the way can read them.
    """

    def __init__(
        self, *, as_baggage: bool = False, trace_name: str | None = None, **fields: Unpack[TraceFields]
    ) -> None:
        super().__init__()
        self._fields = fields
        if trace_name is not None:
            self._fields["name"] = trace_name
        self._as_baggage = as_baggage

    def _places(self, inherited: Inherited, position: Position | None) -> tuple[Inherited, Position | None]:
        own = self._baggage() if self._as_baggage else None
        inherited = Inherited(
            extend_attributes(inherited.attributes, self._fields),
            {**inherited.baggage, **own} if own else inherited.baggage,
            inherited.remote,
            inherited.recorder,
            inherited.blocks,
        )
        if position is None or position.trace is None:
            return inherited, position
        outer = position.trace
        attributes = extend_attributes(outer.attributes, self._fields, outer.route.limits)
        baggage = {**outer.baggage, **own} if own else outer.baggage
        opened = position if isinstance(position, OpenSpan) else position.span
        if opened is not None:
            opened.carry(self._fields)
        forked = TraceState(
            outer.route, outer.trace_id, attributes, baggage, outer, kept=outer.kept, started=outer.started
        )
        return inherited, Place(forked, position.span_id, outer.trace_id, opened)

    def _baggage(self) -> dict[str, str]:
        return {
            _BAGGAGE_PREFIX + name: value
            for field, name in _BAGGAGE_NAMES.items()
            if (value := text_of(self._fields.get(field))) is not None
        }


class continue_trace(_Carrying):  # noqa: N801 - used like a function: `with continue_trace(request.headers):`
    """Continue the trace of a caller: spans opened inside belong to the trace that W3C headers name.

    ``headers`` is any mapping of header names to values. A missing or malformed ``traceparent`` begins a new trace, as
    the specification demands. ``baggage`` is passed on to what this service calls; with ``trust_baggage`` the user,
    session, version and trace name in it are also taken as attributes.
    """

    def __init__(self, headers: Mapping[str, str], *, trust_baggage: bool = False) -> None:
        super().__init__()
        self._remote = parse_traceparent(header(headers, "traceparent") or "")
        self._baggage = parse_baggage(header(headers, "baggage") or "")
        self._trust = trust_baggage

    def _places(self, inherited: Inherited, position: Position | None) -> tuple[Inherited, Position | None]:  # noqa: ARG002 - the caller's position is left
        inherited = inherited.replace(remote=self._remote, baggage=self._baggage)
        if self._trust:
            fields: TraceFields = {}
            for field, name in _BAGGAGE_NAMES.items():
                if _BAGGAGE_PREFIX + name in self._baggage:
                    fields[field] = self._baggage[_BAGGAGE_PREFIX + name]  # type: ignore[literal-required]  # a constant
            inherited = inherited.replace(attributes=extend_attributes(inherited.attributes, fields))
        return inherited, None


def inject(headers: MutableMapping[str, str]) -> None:
    """Write ``traceparent``, and ``baggage`` if any, for a call to another service; outside a trace nothing.

    Headers that take nothing are left as they are.
    """
    position = POSITION.get()
    if position is None:
        return
    trace = position.trace
    baggage = INHERITED.get().baggage if trace is None else trace.baggage
    with suppress(Exception):  # a foreign mapping may raise anything, and the call must go out
        headers["traceparent"] = format_traceparent(position.trace_id, position.span_id, sampled=trace is not None)
        if baggage:
            headers["baggage"] = format_baggage(baggage)
