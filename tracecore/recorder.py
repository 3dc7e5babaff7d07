"""The Recorder: what an application opens and embeds. It hands what is emitted to one backend, or to several at once.

A recorder is an object: several may live in one process, and no global state is touched unless asked. It records from
the moment it is started until it is shut down, in one of two ways:

* :meth:`Recorder.start` hosts the pump in a thread of its own. ``tracecore.configure()`` does this for the process's
  default recorder, which otherwise starts by itself at the first span.
* ``async with Recorder(...)`` hosts the pump as a task of the caller's loop, and records everything inside the block.

Each backend has a buffer and a pump of its own (:mod:`tracecore.channel`). After a fork the child begins with empty
ones; what the parent had not delivered, and the spans the parent had open, stay the parent's.
"""

from __future__ import annotations

import atexit
import sys
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

from msgspec import Struct

from tracecore.backend import Backend
from tracecore.channel import Channel, Shared, State, channels_for
from tracecore.clock import monotonic_ns
from tracecore.codec import Limits
from tracecore.config import Config
from tracecore.context import EXCHANGE, INHERITED, SWITCH, Route, TraceState
from tracecore.errors import Closed
from tracecore.fan_out import FanOut, Watches, health_of_all, result_of_all
from tracecore.forks import watch
from tracecore.health import FlushResult, Health, Recovered
from tracecore.ids import new_trace_id
from tracecore.open_span import anchor
from tracecore.records import Record, TraceAttributes
from tracecore.recovering import recovered
from tracecore.sampling import rejection_threshold
from tracecore.sealing import Emitted
from tracecore.station import FOR_EVER
from tracecore.waiting import TraceWaiter, Waiter, wait, wait_in_loop

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

__all__ = ["FlushResult", "Health", "Recorder", "is_recording"]

_AFTER_ALL_OTHERS: Final = -1_000
"""The priority of our finalizer in a worker of ``multiprocessing``: the lowest run last."""
_EXIT_GRACE: Final = 0.15
"""Seconds beyond a shutdown's deadline for the pump's thread to end: results are due within 200 ms of it."""
_Waiters: TypeAlias = Sequence[tuple[Channel, Waiter]]


class Recorder:
    """Record spans into one backend, or into several at once, none of which waits for another.

    ``Recorder(Config(backend="sqlite:///traces.db"))``, with several URLs joined by ``+``, or with a ``backend`` object
    or a list of those for tests and embedding. Making one starts nothing.

    Raises:
        ConfigError: the configuration names an unknown backend, one whose driver is missing, or one of them twice.
    """

    def __init__(self, config: Config | None = None, *, backend: Backend | Sequence[Backend] | None = None) -> None:
        self.config = config or Config()
        self._state: State = "new"
        self._lock = threading.RLock()
        self._entered = False
        self._shared = Shared(self.config)
        self._channels = channels_for(self._shared, backend, on_child=_hook_worker_once, on_gone=self._note_gone)
        self.given = backend is not None
        """Whether its backends were given as objects, so that the configuration does not say where they are."""
        self.prompts: object = None
        """What ``get_prompt`` knows of the prompts of this recorder's project, once it was asked for one."""
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
            self.begin()
            for channel in self._unhosted():
                channel.station.host_in_thread()
        return self

    def begin(self) -> None:
        """Take records from now on, and keep them in the buffer until the pump is started: :meth:`start` does both.

        Raises:
            Closed: the recorder was shut down.
        """
        with self._lock:
            if self._state == "closed":
                message = "this recorder was shut down; make a new one"
                raise Closed(message)
            if self._state == "new":
                anchor.align()
                if self.config.enabled:
                    for channel in self._channels:
                        channel.begin()
                    self.route = self._new_route()
                    _UNENDED.add(self)
                    _hook_process_once()
                    SWITCH.off = False
                self._set_state("recording" if self.config.enabled else "disabled")

    async def __aenter__(self) -> Self:
        """Begin recording, with the pump as a task of this loop; spans opened inside the block come here.

        A recorder that was started before keeps its thread.

        Raises:
            Closed: the recorder was shut down.
            RuntimeError: some block is inside of it already, and its end would be the end for both.
        """
        import anyio  # noqa: PLC0415 - `import tracecore` stays light

        with self._lock:
            self.begin()
            if self._entered:
                message = "this recorder was entered already; enter it once, around everything that it records"
                raise RuntimeError(message)
            self._entered = True
            unhosted = self._unhosted()
            for channel in unhosted:
                channel.station.hosted = True
        self._group: TaskGroup = await anyio.create_task_group().__aenter__()
        for channel in unhosted:
            channel.station.pump.belong_here()
            self._group.start_soon(channel.station.run_here)
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
        self._group.cancel_scope.shield = True
        try:
            died = [one.station for one in self._channels if one.station.thread is None and one.station.died]
            if died:  # by what is ending the program
                self.stop(self.config.shutdown_timeout_ms / 1e3)
                await _each([station.resume_here for station in died])
            await self.ashutdown()
        finally:
            self._let_go()
            await self._group.__aexit__(None, None, None)

    def flush(self, timeout: float = 5.0) -> FlushResult:
        """Wait at most ``timeout`` seconds until everything emitted so far is delivered or lost; tell which.

        Blocks the calling thread: inside an event loop use :meth:`aflush`. In the very loop that runs the pump it does
        not wait, because nothing could be delivered meanwhile.
        """
        waiters = self._waiters()
        wait(_of(waiters), lambda: _settled(_of(waiters)), timeout)
        return _flushed(waiters)

    async def aflush(self, timeout: float = 5.0) -> FlushResult:
        """Wait as :meth:`flush` does, without blocking the loop."""
        waiters = self._waiters()
        await wait_in_loop(_of(waiters), lambda: _settled(_of(waiters)), timeout)
        return _flushed(waiters)

    def shutdown(self, timeout: float | None = None) -> FlushResult:
        """Stop recording: deliver what can be delivered within ``timeout`` seconds, count the rest as ``closing``.

        Spans that are still open are written as ``abandoned``. Returns at most 200 ms after the deadline, whatever the
        backend does; at once in the very loop that runs the pump. Shutting down twice does nothing more.
        """
        seconds = self.config.shutdown_timeout_ms / 1e3 if timeout is None else timeout
        deadline = monotonic_ns() + int((min(seconds, FOR_EVER) + _EXIT_GRACE) * 1e9)
        waiters = self._waiters()
        self.stop(seconds)
        try:
            wait(_of(waiters), self._ended, seconds + _EXIT_GRACE)
            for channel in self._channels:
                channel.join(deadline)
        finally:
            self._let_go()
        return _ended_with(waiters)

    async def ashutdown(self, timeout: float | None = None) -> FlushResult:
        """Stop as :meth:`shutdown` does, without blocking the loop."""
        seconds = self.config.shutdown_timeout_ms / 1e3 if timeout is None else timeout
        waiters = self._waiters()
        self.stop(seconds)
        try:
            await wait_in_loop(_of(waiters), self._ended, seconds + _EXIT_GRACE)
        finally:  # cancelled a second time, too: the pump may yet come to its end
            self._let_go()
        return _ended_with(waiters)

    # -- what others need ---------------------------------------------------------------------------------------------

    @property
    def backend(self) -> Backend:
        """Return the backend that the pump writes to, of several the first; read with an own instance, not this one."""
        return self._channels[0].station.backend

    @property
    def backends(self) -> list[Backend]:
        """Return every backend that is written to, in the order in which they were named."""
        return [channel.station.backend for channel in self._channels]

    def emit(self, record: Record) -> bool:
        """Hand a finished record (a score, a session) to the buffer (to each); return whether that has accepted it."""
        route = self.route
        return route is not None and bool(route.push(Emitted(record)))

    def health(self) -> Health:
        """Return counters and state; cheap, and safe from any thread."""
        return health_of_all({channel.location: channel.health(self._state) for channel in self._channels})

    def recover(self, timeout: float = 60.0, *, everything: bool = False) -> Recovered:
        """Wait at most ``timeout`` seconds until all that dead processes left in the journal is delivered.

        A recorder with a journal delivers it anyway, beside what is emitted; this has it looked for now, and waits.
        What is meant for another backend is left alone, unless ``everything`` is to be delivered to this one, or to the
        first of several that keeps what it takes.
        """
        return recovered(self._channels, timeout, everything=everything)

    @property
    def recording(self) -> bool:
        """Return whether it takes what is emitted."""
        return self._state == "recording"

    def stop(self, timeout: float) -> None:
        """Begin to end, as :meth:`shutdown` does, without waiting for it."""
        with self._lock:
            if self._state == "recording":
                self._state = "closed"
                for channel in self._channels:
                    channel.stop(timeout)
            self._set_state("closed" if self._state != "disabled" else "disabled")

    def before_fork(self) -> None:
        """Let no child be forked in the middle of an import."""
        for channel in self._channels:
            channel.before_fork()

    def after_fork(self) -> None:
        """Begin anew in a forked child: nothing of the parent's, and no pump until the first span."""
        self._lock = threading.RLock()
        self._shared.open_spans.clear()
        self._shared.process = new_trace_id()
        for channel in self._channels:
            channel.after_fork()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _unhosted(self) -> list[Channel]:
        """Return the channels whose pump must be started now; a forked child does so with its first span."""
        return [channel for channel in self._channels if self.recording and channel.needs_host]

    def _set_state(self, state: State) -> None:
        self._state = state
        for channel in self._channels:
            channel.over = state in {"disabled", "closed"}

    def _new_route(self) -> Route:
        config, channels = self.config, self._channels
        rings, watches = [channel.ring for channel in channels], [channel.station.watch for channel in channels]
        taker = rings[0] if len(rings) == 1 else FanOut(rings)
        return Route(
            project=config.project,
            ring=taker,
            push=taker.push,
            open_spans=self._shared.open_spans,
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
            provenance=self._shared.provenance,
            watch=watches[0] if len(watches) == 1 else Watches(watches),
            delivered=self._trace_delivered,
            adelivered=self._trace_adelivered,
        )

    def _waiters(self) -> _Waiters:
        return [(channel, channel.waiter()) for channel in self._channels]

    def _trace_waiters(self, trace: TraceState) -> dict[str, TraceWaiter]:
        return {channel.location: channel.trace_waiter(trace) for channel in self._channels}

    def _trace_delivered(self, trace: TraceState, timeout: float) -> FlushResult:
        waiters = self._trace_waiters(trace)
        wait([*waiters.values()], lambda: _settled(waiters.values()), timeout)
        return result_of_all({location: waiter.result() for location, waiter in waiters.items()})

    async def _trace_adelivered(self, trace: TraceState, timeout: float) -> FlushResult:
        waiters = self._trace_waiters(trace)
        await wait_in_loop([*waiters.values()], lambda: _settled(waiters.values()), timeout)
        return result_of_all({location: waiter.result() for location, waiter in waiters.items()})

    def _ended(self) -> bool:
        """Return whether nothing will be delivered any more."""
        return all(channel.ended for channel in self._channels)

    def _let_go(self) -> None:
        """Let go of the buffers: now, or where there was no time for a pump to end, when it does."""
        for channel in self._channels:
            channel.let_go()

    def _note_gone(self) -> None:
        if all(channel.gone for channel in self._channels):
            _UNENDED.discard(self)


def _of(waiters: _Waiters) -> list[Waiter]:
    return [waiter for _, waiter in waiters]


def _settled(waiters: Iterable[Waiter]) -> bool:
    return all(waiter.settled() for waiter in waiters)


def _flushed(waiters: _Waiters) -> FlushResult:
    """Return what became of what was in the buffers."""
    return result_of_all({c.location: c.result(one, finished=one.arrived() or c.ended) for c, one in waiters})


def _ended_with(waiters: _Waiters) -> FlushResult:
    """Return what became of everything, after the end."""
    return result_of_all({c.location: c.result(one, finished=c.ended) for c, one in waiters})


async def _each(calls: Sequence[Callable[[], Coroutine[Any, Any, None]]]) -> None:
    """Make calls at once and wait for all; what the only one raises is raised as it is."""
    import anyio  # noqa: PLC0415 - as in Recorder

    if len(calls) == 1:
        await calls[0]()
        return
    async with anyio.create_task_group() as group:
        for call in calls:
            group.start_soon(call)


_UNENDED: Final[weakref.WeakSet[Recorder]] = weakref.WeakSet()
"""Every recorder of this process that has begun and whose pump may still be at work."""


class _Process(Struct):
    hooked: bool = False
    worker_hooked: bool = False


_process: Final = _Process()


def _hook_process_once() -> None:
    """See to it that recorders are flushed at exit and begin anew in forked children."""
    watch(before=_before_fork_all, in_child=_after_fork_all)
    if not _process.hooked:
        _process.hooked = True
        atexit.register(_shutdown_all)
    _hook_worker_once()


def _hook_worker_once() -> None:
    """See to it that a worker of ``multiprocessing`` is flushed: most of them end without ``atexit``."""
    util = sys.modules.get("multiprocessing.util")
    process = sys.modules.get("multiprocessing.process")
    if util is not None and process is not None and process.parent_process() is not None and not _process.worker_hooked:
        _process.worker_hooked = True
        util.Finalize(None, _shutdown_all, exitpriority=_AFTER_ALL_OTHERS)


def _shutdown_all() -> None:
    """Stop every recorder at once, so that the end takes as long as the slowest and not as all of them together."""
    recorders = [
        (recorder, recorder.config.shutdown_timeout_ms / 1e3) for recorder in list(_UNENDED) if recorder.recording
    ]
    began = monotonic_ns()
    for recorder, seconds in recorders:
        recorder.stop(seconds)
    for recorder, seconds in recorders:
        recorder.shutdown(max(0.0, seconds - (monotonic_ns() - began) / 1e9))


def is_recording() -> bool:
    """Return whether any recorder of this process is recording."""
    return any(recorder.recording for recorder in list(_UNENDED))


def _before_fork_all() -> None:
    for recorder in list(_UNENDED):
        recorder.before_fork()


def _after_fork_all() -> None:
    _process.worker_hooked = False
    EXCHANGE.renew()
    for recorder in list(_UNENDED):
        recorder.after_fork()
