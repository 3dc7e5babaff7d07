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
import sys
import threading
import time
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from msgspec import Struct

from tracecore.account import Accounts
from tracecore.backend import Backend
from tracecore.clock import monotonic_ns
from tracecore.codec import Limits
from tracecore.config import Config
from tracecore.context import EXCHANGE, INHERITED, SWITCH, Route, TraceState
from tracecore.errors import Closed
from tracecore.forks import watch
from tracecore.health import FlushResult, Health, Recovered
from tracecore.loss import Reason
from tracecore.open_span import OpenSpan, anchor
from tracecore.plugins import another_backend
from tracecore.pump import PumpSettings
from tracecore.records import Provenance, Record, TraceAttributes
from tracecore.recovering import recovered
from tracecore.ring import Ring
from tracecore.sampling import rejection_threshold
from tracecore.sealing import Emitted
from tracecore.station import FOR_EVER, Station
from tracecore.waiting import TraceWaiter, Waiter

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from tracecore.adoption import Adoption

__all__ = ["FlushResult", "Health", "Recorder", "is_recording"]

_AFTER_ALL_OTHERS: Final = -1_000
"""The priority of our finalizer in a worker of ``multiprocessing``: the lowest run last."""
_IMPORTS_TAKE: Final = 2.0
"""Seconds that a fork waits at most for a pump's thread that has just begun."""
_EXIT_GRACE: Final = 0.15
"""Seconds beyond a shutdown's deadline for the pump's thread to end: results are due within 200 ms of it."""


class Recorder:
    """Record spans into one backend.

    ``Recorder(Config(backend="sqlite:///traces.db"))``, or with a ``backend`` object for tests and embedding. Making
    one starts nothing.

    Raises:
        ConfigError: the configuration names an unknown backend, or one whose driver is missing.
    """

    def __init__(self, config: Config | None = None, *, backend: Backend | None = None) -> None:
        self.config = config or Config()
        self._state: Literal["new", "recording", "disabled", "closed"] = "new"
        self._lock = threading.RLock()
        self._entered = False
        self._orphaned = False
        self._let_gone = False
        self._open_spans: set[OpenSpan] = set()
        self._opened: Backend | None = None
        self._aim: Callable[[Backend], Adoption | None] = lambda _: None
        self._ring = self._new_ring()
        self._station = Station(
            self._ring,
            self._open_spans,
            self._pump_settings(),
            self._open_configured if backend is None else lambda: backend,
            make_accounts=self._new_accounts,
            shares_backend=backend is not None,
        )
        self._adoption = self._aim(self._station.backend)
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
            if self._needs_host():
                self._station.host_in_thread()
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
                    self._ring.begin(self._station.accounts.process)
                    self.route = self._new_route()
                    _UNENDED.add(self)
                    _hook_process_once()
                    SWITCH.off = False
                self._state = "recording" if self.config.enabled else "disabled"

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
            needs_host = self._needs_host()
            self._station.hosted = self._station.hosted or needs_host
        self._group: TaskGroup = await anyio.create_task_group().__aenter__()
        if needs_host:
            self._station.pump.belong_here()
            self._group.start_soon(self._station.run_here)
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
            if self._station.thread is None and self._station.died:  # by what is ending the program
                self.stop(self.config.shutdown_timeout_ms / 1e3)
                await self._station.resume_here()
            await self.ashutdown()
        finally:
            self._let_go()
            await self._group.__aexit__(None, None, None)

    def flush(self, timeout: float = 5.0) -> FlushResult:
        """Wait at most ``timeout`` seconds until everything emitted so far is delivered or lost; tell which.

        Blocks the calling thread: inside an event loop use :meth:`aflush`. In the very loop that runs the pump it does
        not wait, because nothing could be delivered meanwhile.
        """
        waiter = Waiter(self._ring, self._station)
        waiter.wait(waiter.settled, timeout)
        return self._result(waiter, finished=waiter.arrived() or self._ended())

    async def aflush(self, timeout: float = 5.0) -> FlushResult:
        """Wait as :meth:`flush` does, without blocking the loop."""
        waiter = Waiter(self._ring, self._station)
        await waiter.wait_in_loop(waiter.settled, timeout)
        return self._result(waiter, finished=waiter.arrived() or self._ended())

    def shutdown(self, timeout: float | None = None) -> FlushResult:
        """Stop recording: deliver what can be delivered within ``timeout`` seconds, count the rest as ``closing``.

        Spans that are still open are written as ``abandoned``. Returns at most 200 ms after the deadline, whatever the
        backend does; at once in the very loop that runs the pump. Shutting down twice does nothing more.
        """
        seconds = self.config.shutdown_timeout_ms / 1e3 if timeout is None else timeout
        deadline = monotonic_ns() + int((min(seconds, FOR_EVER) + _EXIT_GRACE) * 1e9)
        waiter = Waiter(self._ring, self._station)
        self.stop(seconds)
        try:
            waiter.wait(self._ended, seconds + _EXIT_GRACE)
            thread = self._station.thread
            if thread is not None and self._ended():
                thread.join((deadline - monotonic_ns()) / 1e9)
        finally:
            self._let_go()
        return self._result(waiter, finished=self._ended())

    async def ashutdown(self, timeout: float | None = None) -> FlushResult:
        """Stop as :meth:`shutdown` does, without blocking the loop."""
        seconds = self.config.shutdown_timeout_ms / 1e3 if timeout is None else timeout
        waiter = Waiter(self._ring, self._station)
        self.stop(seconds)
        try:
            await waiter.wait_in_loop(self._ended, seconds + _EXIT_GRACE)
        finally:  # cancelled a second time, too: the pump may yet come to its end
            self._let_go()
        return self._result(waiter, finished=self._ended())

    # -- what others need ---------------------------------------------------------------------------------------------

    @property
    def backend(self) -> Backend:
        """Return the backend that the pump writes to; read from it with an own instance, not with this one."""
        return self._station.backend

    def emit(self, record: Record) -> bool:
        """Hand a finished record (a score, a session) to the buffer; return whether it was accepted."""
        route = self.route
        return route is not None and bool(route.push(Emitted(record)))

    def health(self) -> Health:
        """Return counters and state; cheap, and safe from any thread."""
        self._station.look()
        accounts = self._station.accounts
        balance = accounts.balance(ended=self._ended())
        age = accounts.last_delivery_ns
        return Health(
            state=self._state,
            location=self._station.backend.location,
            emitted=balance.emitted,
            delivered=balance.delivered,
            pending=balance.waiting,
            lost=balance.lost,
            sampled=balance.sampled,
            open_spans=len(self._open_spans),
            buffer_depth=balance.depth,
            last_error=accounts.last_error,
            last_delivery_age_s=None if age is None else (monotonic_ns() - age) / 1e9,
            restarts=accounts.restarts,
            backend_state=self._station.backend_state,
            recovered=accounts.recovered.delivered,
            process=accounts.process,
            trouble=self._ring.trouble,
        )

    def recover(self, timeout: float = 60.0, *, everything: bool = False) -> Recovered:
        """Wait at most ``timeout`` seconds until all that dead processes left in the journal is delivered.

        A recorder with a journal delivers it anyway, beside what is emitted; this has it looked for now, and waits.
        What is meant for another backend is left alone, unless ``everything`` is to be delivered to this one.
        """
        return recovered(self._ring, self._station, self._adoption, timeout, everything=everything)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _needs_host(self) -> bool:
        """Return whether the pump must be started now; a forked child does so with its first span."""
        return self._state == "recording" and not self._station.hosted and not self._orphaned

    def stop(self, timeout: float) -> None:
        """Begin to end, as :meth:`shutdown` does, without waiting for it."""
        with self._lock:
            if self._state == "recording":
                self._state = "closed"
                self._ring.closed = True
                self._station.stop(timeout)
            self._state = "closed" if self._state != "disabled" else "disabled"

    def _open_configured(self) -> Backend:
        """Return a backend for one more pump: of the same data wherever the program has gone meanwhile."""
        source = self.config.sources.get("backend", "code")
        self._opened = another_backend(self._opened, self.config.backend, source=source)
        return self._opened

    def _new_ring(self) -> Ring[Any]:
        callbacks: dict[str, Any] = {
            "on_half_full": lambda: self._station.wake(),  # noqa: PLW0108 - there is no station yet
            "on_full": self._wait_for_room if self.config.on_full == "wait" else None,
            "on_new_lane": self._revive,
            "on_grant": lambda: self._station.look(),  # noqa: PLW0108 - as above
            "on_loss": self._note_loss,
        }
        if self.config.buffer == "memory":
            return Ring(self.config.buffer_items, self.config.buffer_bytes, **callbacks)
        from tracecore.strict_journal import journal_of  # noqa: PLC0415 - with mmap and fcntl, only for who has one

        journal = journal_of(self.config, self._provenance(), **callbacks)
        self._aim = journal.aim
        return journal

    def _provenance(self) -> Provenance | None:
        return Provenance(service_name=self.config.service_name) if self.config.service_name else None

    def _new_accounts(self) -> Accounts:
        config = self.config
        accounts = Accounts(self._ring, project=config.project, service=config.service_name, mask=config.mask)
        self._ring.adopt, self._ring.fold = accounts.adopt, accounts.fold
        return accounts

    def _pump_settings(self) -> PumpSettings:
        return PumpSettings(
            batch_items=self.config.batch_items,
            batch_bytes=self.config.batch_bytes,
            flush_interval=self.config.flush_interval_ms / 1e3,
            pending_after=self.config.pending_after_ms / 1e3,
            write_timeout=self.config.write_timeout_ms / 1e3,
            mask=self.config.mask,
        )

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
            provenance=self._provenance(),
            watch=self._station.watch,
            delivered=self._trace_delivered,
            adelivered=self._trace_adelivered,
        )

    def _trace_delivered(self, trace: TraceState, timeout: float) -> FlushResult:
        waiter = TraceWaiter(self._ring, self._station, trace)
        waiter.wait(waiter.settled, timeout)
        return waiter.result()

    async def _trace_adelivered(self, trace: TraceState, timeout: float) -> FlushResult:
        waiter = TraceWaiter(self._ring, self._station, trace)
        await waiter.wait_in_loop(waiter.settled, timeout)
        return waiter.result()

    def _note_loss(self, item: Any, counter: str) -> None:
        """Remember of which trace a record was lost that the buffer did not take."""
        reason: Reason = "ring_full" if counter == "full" else "closing"
        self._station.accounts.lost_traces.add(item.trace_id, reason)

    def _wait_for_room(self, has_room: Callable[[], bool]) -> bool:
        """Wait a bounded time for the pump to make room, where it can run meanwhile."""
        if self._station.thread is None:
            return False
        deadline = monotonic_ns() + self.config.full_wait_ms * 1_000_000
        self._station.wake()
        while not has_room():
            if monotonic_ns() >= deadline or self._ring.closed:
                return False
            time.sleep(0.001)
        return True

    def before_fork(self) -> None:
        """Wait until the pump's thread, if it has just begun, is not importing: a child would keep half a module."""
        thread = self._station.thread
        if thread is not None:
            thread.wait_for_imports(_IMPORTS_TAKE)

    def after_fork(self) -> None:
        """Begin anew in a forked child: nothing of the parent's, and no pump until the first span."""
        self._lock = threading.RLock()
        self._open_spans.clear()
        self._orphaned = True
        self._ring.forget_everything()
        self._station.renew()
        self._station.await_a_root(self._revive)

    def _revive(self) -> None:
        """Start the pump of a forked child: as its first trace begins, or the first span of an older one ends."""
        if not self._orphaned or monotonic_ns() <= self._station.watch.overdue_ns:
            return
        with self._lock:
            if self._orphaned and self._state == "recording":  # type: ignore[redundant-expr]  # another thread may have
                try:
                    self._orphaned = False
                    _hook_worker_once()
                    self._station.revive()
                except BaseException as error:  # inside somebody's span
                    self._orphaned, self._station.watch.overdue_ns = True, 0  # the next root tries again
                    if not self._station.may_try_again(error):
                        raise

    def _ended(self) -> bool:
        """Return whether nothing will be delivered any more."""
        return self._state not in ("recording", "new") and (self._station.ended or not self._station.hosted)

    def _let_go(self) -> None:
        """Let go of the buffer: now, or where there was no time for the pump to end, when it does."""
        self._station.unlisten(self._end_buffer)
        if not self._ended():
            self._station.listen(self._end_buffer)
        self._end_buffer()

    def _end_buffer(self) -> None:
        """Leave files of the buffer to the next process, or remove them, if nobody uses them any more; once."""
        with self._lock:
            if not self._ended() or self._let_gone:
                return
            self._let_gone = True
        self._station.unlisten(self._end_buffer)
        self._ring.end()
        _UNENDED.discard(self)

    @property
    def recording(self) -> bool:
        """Return whether it takes what is emitted."""
        return self._state == "recording"

    def _result(self, waiter: Waiter, *, finished: bool) -> FlushResult:
        ended = self._ended()
        balance = self._station.accounts.balance(ended=ended)
        lost = waiter.lost() > 0 or (ended and self._station.accounts.unsettled() > self._ring.left)
        delivered = finished and not lost and not (ended and balance.waiting)
        return FlushResult(delivered, balance.waiting, balance.lost, waiter.level(delivered=delivered, lost=lost))


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
