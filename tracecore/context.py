"""Where a program stands in its traces: the current position, carried by context variables.

Two variables say everything:

* ``POSITION`` holds the innermost open span of this task or thread, or what stands for one. Children are made from
  it, so a span's parent is fixed when its task is created.
* ``INHERITED`` holds what a future root will begin with: trace attributes, baggage, a remote parent, a recorder.

Both hold values that are replaced, never changed; two tasks never share a mutable position. Variables are restored by
setting the previous value, never through a token: a token belongs to one context, and a generator may be closed in
another one.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from tracecore.attributes import extend_attributes
from tracecore.codec import DEFAULT_LIMITS, Limits
from tracecore.fields import TraceFields
from tracecore.health import FlushResult
from tracecore.records import Provenance, TraceAttributes

if TYPE_CHECKING:
    from tracecore.open_span import Muted, OpenSpan

__all__ = [
    "EXCHANGE",
    "INHERITED",
    "NEVER",
    "NO_ATTRIBUTES",
    "POSITION",
    "SWITCH",
    "Again",
    "Inherited",
    "Place",
    "Position",
    "Recording",
    "Route",
    "Taker",
    "TraceState",
    "Watch",
    "Watching",
]

NO_ATTRIBUTES: Final = TraceAttributes()
"""What a trace has of which nothing is said; known by its identity, which costs less than looking at each attribute."""
NEVER: Final = 1 << 62
"""A moment, in ns, that does not come."""


def _nothing(_: int) -> None:
    """Do nothing."""


class Watch(Struct, eq=False):
    """Know by when the pump must have shown a sign of life, so that whoever opens a trace compares one number.

    ``suspect`` is called, with the time, by who finds it later than that.
    """

    overdue_ns: int = NEVER
    """On the monotonic clock."""
    suspect: Callable[[int], object] = _nothing


class Watching(Protocol):
    """What a route needs of a :class:`Watch`, or of what stands for several."""

    @property
    def overdue_ns(self) -> int:
        """Return by when the pump must have shown a sign of life."""
        ...

    @property
    def suspect(self) -> Callable[[int], object]:
        """Return what is called with the time by who finds it later than that."""
        ...


class Taker(Protocol):
    """What a route needs of a :class:`~tracecore.ring.Ring`, or of what stands for several."""

    def has_counted(self, item: Any) -> bool:
        """Return whether a push of the calling thread that has raised had counted its item."""
        ...

    def count_sampled(self) -> None:
        """Count one span of the calling thread as left out by sampling."""
        ...


class Route(Struct, eq=False, frozen=True):
    """Say where the spans of a trace go, captured when its root opens and never looked up again.

    ``push`` hands an ended span to the buffer. ``open_spans`` holds every span that has not ended: taking a span out of
    it is the single step that ends it exactly once. (A set of objects: hashing a new id costs twice as much.)
    """

    project: str
    ring: Taker
    push: Callable[..., object]
    open_spans: set[OpenSpan]
    limits: Limits = DEFAULT_LIMITS
    threshold: str = ""
    attributes: TraceAttributes = TraceAttributes()
    capture_input: bool = True
    capture_output: bool = True
    provenance: Provenance | None = None
    """Who sends, where the configuration names a service."""
    watch: Watching = field(default_factory=Watch)
    delivered: Callable[[TraceState, float], FlushResult] | None = None
    """Wait for what a trace has emitted, seconds at most."""
    adelivered: Callable[[TraceState, float], Awaitable[FlushResult]] | None = None
    """The same, without blocking the loop."""


class TraceState(Struct, eq=False):
    """Hold what the spans of one trace share in this process.

    ``attributes`` is replaced as a whole by updates. ``outer`` is the state this one was forked from by
    ``propagate_attributes``; an update of the trace reaches it too.
    """

    route: Route
    trace_id: str
    attributes: TraceAttributes
    baggage: Mapping[str, str]
    outer: TraceState | None = None
    encoded: tuple[TraceAttributes | None, bytes] = (None, b"")
    """Attributes as JSON, with what they are the JSON of."""
    kept: dict[Any, int] = {}
    """Which of a lane's items is the last of this trace, by lane, where a journal keeps them; shared with ``outer``."""
    started: int = 0
    """When the first span of it was opened here, in monotonic ns."""

    def update(self, fields: TraceFields) -> None:
        """Set attributes, here and in the states this one was forked from."""
        state: TraceState | None = self
        while state is not None:
            state.extend(fields)
            state = state.outer

    def extend(self, fields: TraceFields) -> None:
        """Set attributes of this state alone. Threads may do so at once: whoever comes second begins again."""
        while True:
            before = self.attributes
            extended = extend_attributes(before, fields, self.route.limits)
            with EXCHANGE.lock:
                if self.attributes is before:
                    self.attributes = extended
                    return


class _Exchange(Struct):
    """Hold the lock under which attributes are compared and replaced, two steps long; forked children get their own."""

    lock: Any

    def renew(self) -> None:
        """Forget whoever held the lock when this process was forked."""
        self.lock = threading.RLock()


class Place(Struct, eq=False, frozen=True):
    """Stand for an open ``span`` with other attributes for its future children, inside ``propagate_attributes``."""

    trace: TraceState
    span_id: str
    trace_id: str
    span: OpenSpan | None = None


class Again(Place, eq=False, frozen=True):
    """Stand for an open span that was entered again, farther in or by another task; ``outer`` is what is around it."""

    outer: Position | None = None


Position: TypeAlias = "OpenSpan | Place | Muted"
"""Something to open children below. With ``trace`` None the trace is not recorded, and neither are they."""


class Recording(Protocol):
    """What a root needs of a recorder."""

    route: Route | None
    """Where new traces go; None when nothing is recorded."""


class Inherited(Struct, eq=False, frozen=True):
    """Hold what the next root begins with."""

    attributes: TraceAttributes = NO_ATTRIBUTES
    baggage: Mapping[str, str] = {}
    remote: tuple[str, str] | None = None
    """(trace id, parent span id) from another process."""
    recorder: Recording | None = None
    blocks: tuple[object, ...] = ()
    """Marks of the ``with`` blocks that this context is inside of, the innermost last."""

    def replace(self, **changes: Any) -> Inherited:
        """Return a copy with some fields changed."""
        return replace(self, **changes)


class _Switch(Struct):
    """The one flag that a disabled program pays for: a load and a branch per call."""

    off: bool = False


SWITCH: Final = _Switch()
EXCHANGE: Final = _Exchange(threading.RLock())
POSITION: Final[ContextVar[Position | None]] = ContextVar("tracecore.position", default=None)
INHERITED: Final[ContextVar[Inherited]] = ContextVar("tracecore.inherited", default=Inherited())  # noqa: B039 - it is frozen
