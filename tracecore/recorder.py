"""The Recorder: what an application opens and embeds. It owns the buffer, the pump and one backend.

A recorder is an object: several may live in one process, and no global state is touched unless asked. It records from
the moment it is started until it is shut down, in one of two ways:

* :meth:`Recorder.start` hosts the pump in a thread of its own. ``tracecore.configure()`` does this for the process's
  default recorder, which otherwise starts by itself at the first span.
* ``async with Recorder(...)`` hosts the pump as a task of the caller's loop, and records everything inside the block.

After a fork the child begins with an empty buffer and starts its own pump with its first span; what the parent had not
delivered, and the spans the parent had open, stay the parent's.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from msgspec import Struct

from tracecore.backend import Backend
from tracecore.clock import monotonic_ns
from tracecore.codec import Limits
from tracecore.config import Config
from tracecore.context import INHERITED, SWITCH, Inherited, Route
from tracecore.errors import Closed
from tracecore.hosting import PumpThread
from tracecore.open_span import OpenSpan, anchor
from tracecore.plugins import open_backend
from tracecore.pump import Emitted, Pump, PumpSettings
from tracecore.records import Record, TraceAttributes
from tracecore.ring import Ring
from tracecore.sampling import rejection_threshold

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

__all__ = ["FlushResult", "Health", "Recorder"]

_EXIT_GRACE: Final = 0.15
"""Seconds beyond a shutdown's deadline for the pump's thread to end: results are due within 200 ms of it."""


class FlushResult(Struct, frozen=True):
    """Say what became of everything emitted before a flush: ``delivered`` means that nothing of it is pending."""

    delivered: bool
    pending: int
    """Records emitted and neither delivered nor lost."""
    lost: dict[str, int]
    """Records lost so far, by reason, zeros left out."""


class Health(Struct, frozen=True):
    """Describe a recorder at one moment. ``emitted == delivered + pending + sum(lost.values())`` at quiescence.

    ``sampled`` counts traces left out by the sampling rate: they are not in ``emitted``.
    """

    state: Literal["new", "recording", "disabled", "closed"]
    location: str
    emitted: int
    delivered: int
    pending: int
    lost: dict[str, int]
    sampled: int
    open_spans: int
    buffer_depth: int
    last_error: str | None
    last_delivery_age_s: float | None


class Recorder:
    """Record spans into one backend.

    ``Recorder(Config(backend="postgresql://..."))``, or with a ``backend`` object for tests and embedding. Making one
    starts nothing.

    Raises:
        ConfigError: the configuration names an unknown backend, or one whose driver is missing.
    """

    def __init__(self, config: Config | None = None, *, backend: Backend | None = None) -> None:
        self.config = config or Config()
        self._make_backend = (lambda: backend) if backend is not None else self._open_configured
        self._backend = self._make_backend()
        self._state: Literal["new", "recording", "disabled", "closed"] = "new"
        self._lock = threading.RLock()
        self._thread: PumpThread | None = None
        self._orphaned = False
        self._open_spans: set[OpenSpan] = set()
        self._ring: Ring[Any] = Ring(
            self.config.buffer_items,
            self.config.buffer_bytes,
            on_half_full=lambda: self._pump.wake(),
            on_full=self._wait_for_room,
            on_new_lane=self._revive,
        )
        self._pump = self._new_pump()
        self.route: Route | None = None
        """Where new traces go; None when nothing is recorded. A closed recorder still has its route: what comes too
        late is counted as ``closing``."""

    # -- life ---------------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Begin recording, with the pump in a thread of its own. Starting twice does nothing.

        Raises:
            Closed: the recorder was shut down.
        """
        with self._lock:
            if self._begin():
                self._thread = PumpThread(self._pump.run)
        return self

    async def __aenter__(self) -> Self:
        """Begin recording, with the pump as a task of this loop; spans opened inside the block come here."""
        import anyio  # noqa: PLC0415 - `import tracecore` stays light

        with self._lock:
            begins = self._begin()
        self._group: TaskGroup = await anyio.create_task_group().__aenter__()
        if begins:
            self._group.start_soon(self._run_shielded)
        self._inherited = INHERITED.get()
        INHERITED.set(self._inherited.replace(recorder=self))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Flush within the configured shutdown timeout, and stop; also when the block was cancelled or has failed.

        What leaves the block goes on unchanged: the task group does not see it, which would stop the pump at once and
        wrap the exception into a group.
        """
        INHERITED.set(self._inherited)
        self._stop(self.config.shutdown_timeout_ms / 1e3)
        self._group.cancel_scope.shield = True
        await self._group.__aexit__(None, None, None)

    def flush(self, timeout: float = 5.0) -> FlushResult:
        """Wait at most ``timeout`` seconds until everything emitted so far is delivered or lost; tell which.

        Blocks the calling thread: inside an event loop use :meth:`aflush`.
        """
        waiter = _SettledWaiter(self._ring, self._pump)
        event = threading.Event()
        self._pump.listen(event.set)
        deadline = monotonic_ns() + int(timeout * 1e9)
        try:
            while not waiter.done and (left := (deadline - monotonic_ns()) / 1e9) > 0:
                event.wait(left)
                event.clear()
        finally:
            self._pump.unlisten(event.set)
        return self._flush_result(delivered=waiter.done)

    async def aflush(self, timeout: float = 5.0) -> FlushResult:  # noqa: ASYNC109 - a deadline with a truthful result
        """Wait as :meth:`flush` does, without blocking the loop."""
        import anyio  # noqa: PLC0415 - `import tracecore` stays light

        from tracecore.pump import wake_function  # noqa: PLC0415 - as above

        waiter = _SettledWaiter(self._ring, self._pump)
        box = [anyio.Event()]
        listener = wake_function(lambda: box[0].set())
        self._pump.listen(listener)
        try:
            with anyio.move_on_after(timeout):
                while not waiter.done:
                    await box[0].wait()
                    box[0] = anyio.Event()
        finally:
            self._pump.unlisten(listener)
        return self._flush_result(delivered=waiter.done)

    def shutdown(self, timeout: float | None = None) -> FlushResult:
        """Stop recording: deliver what can be delivered within ``timeout`` seconds, count the rest as ``closing``.

        Returns at most 200 ms after the deadline, whatever the backend does. Shutting down twice does nothing more.
        """
        seconds = self.config.shutdown_timeout_ms / 1e3 if timeout is None else timeout
        deadline = monotonic_ns() + int(seconds * 1e9)
        self._stop(seconds)
        thread = self._thread
        if thread is not None:
            thread.join((deadline - monotonic_ns()) / 1e9 + _EXIT_GRACE)
        return self._flush_result(delivered=self._pending() == 0)

    async def ashutdown(self, timeout: float | None = None) -> FlushResult:  # noqa: ASYNC109 - as aflush
        """Stop as :meth:`shutdown` does, without blocking the loop."""
        import anyio.to_thread  # noqa: PLC0415 - `import tracecore` stays light

        return await anyio.to_thread.run_sync(lambda: self.shutdown(timeout), abandon_on_cancel=True)

    # -- what others need ---------------------------------------------------------------------------------------------

    @property
    def backend(self) -> Backend:
        """Return the backend that the pump writes to; read from it with an own instance, not with this one."""
        return self._backend

    def emit(self, record: Record) -> bool:
        """Hand a finished record (a score, a session) to the buffer; return whether it was accepted."""
        route = self.route
        return route is not None and bool(route.push(Emitted(record)))

    def health(self) -> Health:
        """Return counters and state; cheap, and safe from any thread."""
        totals = self._ring.totals()
        age = self._pump.last_delivery_ns
        return Health(
            state=self._state,
            location=self._backend.location,
            emitted=totals["accepted"] + totals["full"] + totals["closed"],
            delivered=self._pump.delivered,
            pending=self._pending(),
            lost=self._lost(),
            sampled=totals["sampled"],
            open_spans=len(self._open_spans),
            buffer_depth=totals["accepted"] - totals["taken"],
            last_error=self._pump.last_error,
            last_delivery_age_s=None if age is None else (monotonic_ns() - age) / 1e9,
        )

    # -- inside -------------------------------------------------------------------------------------------------------

    def _begin(self) -> bool:
        """Move from new to recording; return whether the pump must be started."""
        if self._state == "closed":
            message = "this recorder was shut down; make a new one"
            raise Closed(message)
        if self._state != "new":
            return False
        anchor.align()
        self._state = "recording" if self.config.enabled else "disabled"
        if self.config.enabled:
            self.route = self._new_route()
            _RECORDING.add(self)
            _hook_process_once()
        SWITCH.off = not _RECORDING
        return self.config.enabled

    def _stop(self, timeout: float) -> None:
        with self._lock:
            if self._state == "recording":
                self._state = "closed"
                self._ring.closed = True
                self._pump.stop(timeout)
            self._state = "closed" if self._state != "disabled" else "disabled"
            _RECORDING.discard(self)

    async def _run_shielded(self) -> None:
        """Run the pump until :meth:`_stop`: a cancelled block still delivers what it recorded, within the timeout."""
        import anyio  # noqa: PLC0415 - `import tracecore` stays light

        with anyio.CancelScope(shield=True):
            await self._pump.run()

    def _open_configured(self) -> Backend:
        return open_backend(self.config.backend, source=self.config.sources.get("backend", "code"))

    def _new_pump(self) -> Pump:
        settings = PumpSettings(
            batch_items=self.config.batch_items,
            batch_bytes=self.config.batch_bytes,
            flush_interval=self.config.flush_interval_ms / 1e3,
            pending_after=self.config.pending_after_ms / 1e3,
            mask=self.config.mask,
        )
        return Pump(self._ring, self._backend, self._open_spans, settings)

    def _new_route(self) -> Route:
        config = self.config
        return Route(
            project=config.project,
            ring=self._ring,
            push=self._ring.push,
            open_spans=self._open_spans,
            limits=Limits(
                max_bytes=config.max_payload_bytes,
                max_string=config.max_string_chars,
                max_nodes=config.max_nodes,
                max_depth=config.max_depth,
                max_time_ns=config.capture_time_us * 1_000,
            ),
            threshold=rejection_threshold(config.sample_rate) if config.sample_rate < 1 else "",
            attributes=TraceAttributes(environment=config.environment, release=config.release, version=config.version),
            capture_input=config.capture_input,
            capture_output=config.capture_output,
        )

    def _wait_for_room(self, has_room: Callable[[], bool]) -> bool:
        """Wait a bounded time for the pump to make room, where the configuration asks for it and the pump can run."""
        if self.config.on_full != "wait" or self._thread is None:
            return False
        deadline = monotonic_ns() + self.config.full_wait_ms * 1_000_000
        self._pump.wake()
        while not has_room():
            if monotonic_ns() >= deadline or self._ring.closed:
                return False
            time.sleep(0.001)
        return True

    def after_fork(self) -> None:
        """Begin anew in a forked child: nothing of the parent's, and no pump until the first span."""
        self._lock = threading.RLock()
        self._open_spans.clear()
        self._thread = None
        self._orphaned = True
        self._ring.forget_everything()

    def _revive(self) -> None:
        """Start the pump of a forked child with its first span."""
        if not self._orphaned:
            return
        with self._lock:
            if self._orphaned and self._state == "recording":
                self._orphaned = False
                self._backend = self._make_backend()
                self._pump = self._new_pump()
                self._thread = PumpThread(self._pump.run)

    def _pending(self) -> int:
        """Return how many records are neither delivered nor lost; after the end there are none."""
        return 0 if self._ended() else self._unsettled()

    def _ended(self) -> bool:
        """Return whether nothing will be delivered any more."""
        if self._state == "recording" or self._state == "new":
            return False
        return self._pump.finished or self._thread is None or not self._thread.alive

    def _unsettled(self) -> int:
        known = self._pump.delivered + sum(self._pump.losses.counts().values())
        return max(0, self._ring.totals()["accepted"] - known)

    def _lost(self) -> dict[str, int]:
        totals = self._ring.totals()
        lost: dict[str, int] = dict(self._pump.losses.counts())
        lost["ring_full"] += totals["full"]
        lost["closing"] += totals["closed"] + (self._unsettled() if self._ended() else 0)
        return {reason: count for reason, count in lost.items() if count}

    def _flush_result(self, *, delivered: bool) -> FlushResult:
        return FlushResult(delivered, self._pending(), self._lost())


class _SettledWaiter:
    """Know when everything that was in the buffer at one moment has been settled."""

    def __init__(self, ring: Ring[Any], pump: Pump) -> None:
        self._marks = [(lane, lane.accepted) for lane in ring.lanes()]
        self._pump = pump

    @property
    def done(self) -> bool:
        """Return whether nothing of it is left."""
        return all(lane.settled >= mark for lane, mark in self._marks)


_RECORDING: Final[weakref.WeakSet[Recorder]] = weakref.WeakSet()
"""Every recorder of this process that is recording."""


class _Process(Struct):
    hooked: bool = False


_process: Final = _Process()


def _hook_process_once() -> None:
    """See to it that recorders are flushed at exit and begin anew in forked children."""
    if not _process.hooked:
        _process.hooked = True
        atexit.register(_shutdown_all)
        os.register_at_fork(after_in_child=_after_fork_all)


def _shutdown_all() -> None:
    for recorder in list(_RECORDING):
        recorder.shutdown()


def _after_fork_all() -> None:
    for recorder in list(_RECORDING):
        recorder.after_fork()
