"""A channel: the way from a recorder to one of its backends. It has a buffer, a station with the pump, and accounts.

A recorder has one for each backend, and hands what is emitted to all of them. They share the open spans, the name of
the process and nothing else: whatever becomes of one backend, the others are delivered to as if it were not there.

After a fork each begins anew in the child: with an empty buffer, and a pump once the first span needs one.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from msgspec import Struct, field

from tracecore.account import Accounts
from tracecore.backend import Backend
from tracecore.clock import monotonic_ns
from tracecore.config import Config, without_credentials
from tracecore.context import TraceState
from tracecore.errors import ConfigError
from tracecore.health import FlushResult, Health
from tracecore.ids import new_trace_id
from tracecore.loss import Reason
from tracecore.open_span import OpenSpan
from tracecore.plugins import another_backend, configured_urls
from tracecore.pump import PumpSettings
from tracecore.records import Provenance
from tracecore.ring import Ring
from tracecore.station import Station
from tracecore.waiting import TraceWaiter, Waiter

if TYPE_CHECKING:
    from tracecore.adoption import Adoption

__all__ = ["Channel", "Reopened", "Shared", "State", "channels_for"]

State: TypeAlias = Literal["new", "recording", "disabled", "closed"]

_IMPORTS_TAKE: Final = 2.0
"""Seconds that a fork waits at most for a pump's thread that has just begun."""


class Shared(Struct, eq=False):
    """Hold what the channels of one recorder share."""

    config: Config
    open_spans: set[OpenSpan] = field(default_factory=set[OpenSpan])
    process: str = field(default_factory=new_trace_id)
    """The random id of the recorder in this process; a forked child has its own."""

    @property
    def provenance(self) -> Provenance | None:
        """Return who sends, where the configuration names a service."""
        return Provenance(service_name=self.config.service_name) if self.config.service_name else None


class Reopened:
    """Make a backend from a URL, for one more pump: of the same data wherever the program has gone meanwhile."""

    def __init__(self, url: str, source: str) -> None:
        self._url = url
        self._source = source
        self._last: Backend | None = None

    def __call__(self) -> Backend:
        """Return an unopened backend.

        Raises:
            ConfigError: there is none of this URL, or not any more.
        """
        self._last = another_backend(self._last, self._url, source=self._source)
        return self._last


class _Given:
    """Return the one backend that there is."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def __call__(self) -> Backend:
        return self._backend


class Channel:
    """Deliver what one recorder emits to one backend.

    ``number`` tells it from the others, from 0; ``whither`` says so in the log, where there are others. For each pump
    ``make_backend`` makes a backend, unless it always returns the one that is ``given``. ``on_child`` is called before
    anything begins in a forked child, ``on_gone`` when nothing of the channel is at work any more.
    """

    def __init__(
        self,
        shared: Shared,
        make_backend: Callable[[], Backend],
        *,
        number: int,
        given: bool,
        whither: str,
        on_child: Callable[[], object],
        on_gone: Callable[[], object],
    ) -> None:
        self.over = False
        """Whether the recorder takes nothing any more, or never will."""
        self.gone = False
        """Whether the buffer has been let go of: nobody uses it any more."""
        self._shared = shared
        self._number = number
        self._whither = whither
        self._on_child = on_child
        self._on_gone = on_gone
        self._lock = threading.RLock()
        self._orphaned = False
        self._is_going = False
        self._aim: Callable[[Backend], Adoption | None] = lambda _: None
        self.ring = self._new_ring()
        self.station = Station(
            self.ring,
            shared.open_spans,
            self._pump_settings(),
            make_backend,
            make_accounts=self._new_accounts,
            shares_backend=given,
        )
        self.adoption: Adoption | None = self._aim(self.station.backend)

    @property
    def location(self) -> str:
        """Return where the backend keeps what it takes."""
        return self.station.backend.location

    # -- life ---------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Make the buffer ready; what is emitted waits in it until the pump is hosted."""
        self.ring.begin(self._home_name)

    @property
    def needs_host(self) -> bool:
        """Return whether the pump is to be started now; that of a forked child is with its first span."""
        return not self.over and not self.station.hosted and not self._orphaned

    def stop(self, timeout: float) -> None:
        """Take nothing any more, and deliver within ``timeout`` seconds what can be delivered; does not wait."""
        with self._lock:
            self.over = self.ring.closed = True
            self.station.stop(timeout)

    @property
    def ended(self) -> bool:
        """Return whether nothing will be delivered any more."""
        return self.over and (self.station.ended or not self.station.hosted)

    def join(self, deadline_ns: int) -> None:
        """Wait for the end of a pump's thread that has come to its end, until a moment of the monotonic clock."""
        thread = self.station.thread
        if thread is not None and self.ended:
            thread.join((deadline_ns - monotonic_ns()) / 1e9)

    def let_go(self) -> None:
        """Let go of the buffer: now, or where there was no time for the pump to end, when it does."""
        self.station.unlisten(self.end_buffer)
        if not self.ended:
            self.station.listen(self.end_buffer)
        self.end_buffer()

    def end_buffer(self) -> None:
        """Leave files of the buffer to the next process, or remove them, if nobody uses them any more; once."""
        with self._lock:
            if not self.ended or self._is_going:
                return
            self._is_going = True
        self.station.unlisten(self.end_buffer)
        self.ring.end()
        self.gone = True
        self._on_gone()

    # -- forks --------------------------------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Wait until the pump's thread, if it has just begun, is not importing: a child would keep half a module."""
        thread = self.station.thread
        if thread is not None:
            thread.wait_for_imports(_IMPORTS_TAKE)

    def after_fork(self) -> None:
        """Begin anew in a forked child: nothing of the parent's, and no pump until the first span."""
        self._lock = threading.RLock()
        self._orphaned = True
        self.ring.forget_everything()
        self.station.renew()
        self.station.await_a_root(self._revive)

    def _revive(self) -> None:
        """Start the pump of a forked child: as its first trace begins, or the first span of an older one ends."""
        if not self._orphaned or monotonic_ns() <= self.station.watch.overdue_ns:
            return
        with self._lock:
            if self._orphaned and not self.over:  # type: ignore[redundant-expr]  # another thread may have
                try:
                    self._orphaned = False
                    self._on_child()
                    self.station.revive(self._home_name)
                except BaseException as error:  # inside somebody's span
                    self._orphaned, self.station.watch.overdue_ns = True, 0  # the next root tries again
                    if not self.station.may_try_again(error):
                        raise

    # -- what is known of it ------------------------------------------------------------------------------------------

    def waiter(self) -> Waiter:
        """Return what knows what is in the buffer now."""
        return Waiter(self.ring, self.station)

    def trace_waiter(self, trace: TraceState) -> TraceWaiter:
        """Return what knows what is in the buffer of one trace now."""
        return TraceWaiter(self.ring, self.station, trace)

    def result(self, waiter: Waiter, *, finished: bool) -> FlushResult:
        """Return what became of what was in the buffer; ``finished`` says that there is nothing to wait for."""
        ended, accounts = self.ended, self.station.accounts
        balance = accounts.balance(ended=ended)
        lost = waiter.lost() > 0 or (ended and accounts.unsettled() > self.ring.left)
        delivered = finished and not lost and not (ended and balance.waiting)
        return FlushResult(delivered, balance.waiting, balance.lost, waiter.level(delivered=delivered, lost=lost))

    def health(self, state: State) -> Health:
        """Return counters and state, the ``state`` being the recorder's."""
        self.station.look()
        accounts = self.station.accounts
        balance = accounts.balance(ended=self.ended)
        age = accounts.last_delivery_ns
        return Health(
            state=state,
            location=self.location,
            emitted=balance.emitted,
            delivered=balance.delivered,
            pending=balance.waiting,
            lost=balance.lost,
            sampled=balance.sampled,
            open_spans=len(self._shared.open_spans),
            buffer_depth=balance.depth,
            last_error=accounts.last_error,
            last_delivery_age_s=None if age is None else (monotonic_ns() - age) / 1e9,
            restarts=accounts.restarts,
            backend_state=self.station.backend_state,
            recovered=accounts.recovered.delivered,
            process=accounts.process,
            trouble=self.ring.trouble,
        )

    # -- inside -------------------------------------------------------------------------------------------------------

    @property
    def _home_name(self) -> str:
        """Return what tells the journal's home of this channel from those of all others, in this process too."""
        return f"{self._shared.process}_{self._number}" if self._number else self._shared.process

    def _new_ring(self) -> Ring[Any]:
        config = self._shared.config
        callbacks: dict[str, Any] = {
            "on_half_full": lambda: self.station.wake(),  # noqa: PLW0108 - there is no station yet
            "on_full": self._wait_for_room if config.on_full == "wait" else None,
            "on_new_lane": self._revive,
            "on_grant": lambda: self.station.look(),  # noqa: PLW0108 - as above
            "on_loss": self._note_loss,
        }
        if config.buffer == "memory":
            return Ring(config.buffer_items, config.buffer_bytes, **callbacks)
        from tracecore.strict_journal import journal_of  # noqa: PLC0415 - with mmap and fcntl, only for who has one

        journal = journal_of(config, self._shared.provenance, **callbacks)
        self._aim = journal.aim
        return journal

    def _new_accounts(self) -> Accounts:
        config = self._shared.config
        accounts = Accounts(
            self.ring, project=config.project, service=config.service_name, mask=config.mask,
            process=self._shared.process,
        )  # fmt: skip
        self.ring.adopt, self.ring.fold = accounts.adopt, accounts.fold
        return accounts

    def _pump_settings(self) -> PumpSettings:
        config = self._shared.config
        return PumpSettings(
            batch_items=config.batch_items,
            batch_bytes=config.batch_bytes,
            flush_interval=config.flush_interval_ms / 1e3,
            pending_after=config.pending_after_ms / 1e3,
            write_timeout=config.write_timeout_ms / 1e3,
            mask=config.mask,
            mark=1 << self._number,
            whither=self._whither,
        )

    def _note_loss(self, item: Any, counter: str) -> None:
        """Remember of which trace a record was lost that the buffer did not take."""
        reason: Reason = "ring_full" if counter == "full" else "closing"
        self.station.accounts.lost_traces.add(item.trace_id, reason)

    def _wait_for_room(self, has_room: Callable[[], bool]) -> bool:
        """Wait a bounded time for the pump to make room, where it can run meanwhile."""
        if self.station.thread is None:
            return False
        deadline = monotonic_ns() + self._shared.config.full_wait_ms * 1_000_000
        self.station.wake()
        while not has_room():
            if monotonic_ns() >= deadline or self.ring.closed:
                return False
            time.sleep(0.001)
        return True


def channels_for(
    shared: Shared,
    backends: Backend | Sequence[Backend] | None,
    *,
    on_child: Callable[[], object],
    on_gone: Callable[[], object],
) -> list[Channel]:
    """Return a channel for each backend: for those that are given, else for those that are configured.

    Raises:
        ConfigError: one cannot be made, there is none at all, or one of them twice.
    """
    source = shared.config.sources.get("backend", "code")
    makers: list[tuple[str, Callable[[], Backend]]]
    if backends is None:
        makers = [(without_credentials(url), Reopened(url, source)) for url in configured_urls(shared.config)]
    else:
        given = list(backends) if isinstance(backends, Sequence) else [backends]
        makers = [(backend.location, _Given(backend)) for backend in given]
    channels = [
        Channel(
            shared,
            make,
            number=number,
            given=backends is not None,
            whither=f" for {name}" if len(makers) > 1 else "",
            on_child=on_child,
            on_gone=on_gone,
        )
        for number, (name, make) in enumerate(makers)
    ]
    locations = Counter(channel.location for channel in channels)
    twice = "".join(f", as {location} is" for location, count in locations.items() if count > 1)
    if not channels or twice:
        named = "+".join(name for name, _ in makers)
        raise ConfigError("backend", named, source, f"one backend at least, and none of them twice{twice}")
    _set_side_by_side(channels)
    return channels


def _set_side_by_side(channels: Sequence[Channel]) -> None:
    """See to it that none of several backends is given what dead processes have left for another one of them."""
    adoptions = [channel.adoption for channel in channels if channel.adoption is not None]
    for adoption in adoptions:
        others = {other.destination for other in adoptions if other is not adoption}
        adoption.stand_beside({destination for destination in others if destination is not None})
