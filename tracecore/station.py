"""The station: where the pump is at work, watched, and replaced when it has died or hangs.

* A pump that ends although nobody asked for it is replaced by the thread or task in which it ended, at once; the next
  only after a pause that doubles with each replacement that has settled nothing since.
* A pump that hangs (its loop has shown no sign of life for a second, because something blocks it; or the sink goes on
  with a call that took too long and was cancelled) is noticed by whoever opens a trace, emits much, flushes or asks
  after it. That only starts a second look, in a thread of its own: a quarter of a second later a pump whose process had
  been stopped, or whose host had kept the interpreter to itself, has answered. How long a pump may hang doubles with
  each replacement that has settled nothing since, up to a minute. No more than three pumps hang at once; then the
  next waits until one of them has come back.
* The new pump is handed what the old one had in hand, and a backend of its own. Where the program gave a backend object
  there is only that one: the new pump closes and opens it again, and the old one leaves it alone when it wakes.
* A pump that is a task of the program's loop is replaced in its place when it dies. What hangs there is the program's
  own loop, which nobody can replace.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from tracecore.account import Accounts
from tracecore.backend import Backend
from tracecore.breaker import Breaker
from tracecore.clock import monotonic_ns
from tracecore.context import NEVER, Watch
from tracecore.delivery import ends_the_pump
from tracecore.errors import TracecoreError
from tracecore.health import BackendState
from tracecore.hosting import PumpThread
from tracecore.lanes import Lane
from tracecore.locks import Busy, Turn
from tracecore.open_span import OpenSpan
from tracecore.pump import Pump, PumpSettings
from tracecore.reporting import Voice, named_error, report
from tracecore.ring import Ring

__all__ = ["FOR_EVER", "Station"]

FOR_EVER: Final = 1e9
"""Seconds that stand for an infinite timeout, which clocks that count in integers cannot add."""
_PATIENCE: Final = 1.0
_MOST_PATIENCE: Final = 60.0
_SECOND_LOOK: Final = 0.25
"""Seconds that a pump which seems to hang has for an answer."""
_GLANCES: Final = 5
"""Times that the second look gives the interpreter away, so that the pump's thread has its turn."""
_MOST_HANGING: Final = 3
_LAST_MOMENT: Final = 0.05
"""Seconds before the deadline in which nobody begins any more."""
_PAUSE: Final = 0.1
"""Seconds that the third pump in a row waits before it begins; the second begins at once."""
_CANNOT_BEGIN: Final = (RuntimeError, MemoryError, OSError, ImportError, TracecoreError)
"""What beginning raises: there is no thread to be had, no driver, or no such backend any more."""
_BACKEND_STATES: Final[dict[str, BackendState]] = {"closed": "up", "open": "down", "half_open": "probing"}


class Station:
    """Host one pump after another for one recorder. Every method may be called from any thread."""

    def __init__(
        self,
        ring: Ring[Any],
        open_spans: set[OpenSpan],
        settings: PumpSettings,
        make_backend: Callable[[], Backend],
        *,
        make_accounts: Callable[[], Accounts],
        shares_backend: bool = False,
    ) -> None:
        self.watch = Watch(suspect=self.suspect)
        self.clock: Callable[[], int] = monotonic_ns
        self.jitter: Callable[[float, float], float] = random.uniform
        self.hosted = False
        """Whether somebody runs, or is about to run, the pump."""
        self.thread: PumpThread | None = None
        self._ring = ring
        self._open_spans = open_spans
        self._settings = settings
        self._make_backend = make_backend
        self._make_accounts = make_accounts
        self._shares_backend = shares_backend
        self._listeners: list[Callable[[], None]] = []
        self.backend: Backend = make_backend()
        self.renew()

    def renew(self) -> None:
        """Begin anew, as in a forked child: nobody runs the pump yet, and nothing has happened."""
        self.watch.overdue_ns, self.watch.suspect = NEVER, self.suspect
        self.hosted = False
        self.thread = None
        self.accounts = self._make_accounts()
        self._lock = threading.RLock()
        self._voice = Voice(self.clock)
        self._stop_at: int | None = None
        self._lost_before_stop: int | None = None
        self._listeners.clear()
        self._looking = False
        self._ready = self._attempted = False
        """Whether the buffer has begun in this forked child, and whether a pump may have."""
        self._hanging: list[PumpThread] = []
        self._barren = 0
        """How many replacements in a row have settled nothing: a sink may take what the pump then dies of."""
        self._last_settled = 0
        self._breaker = self._new_breaker()
        self.pump = self._new_pump(self.backend)

    # -- the pump at work ---------------------------------------------------------------------------------------------

    def revive(self, home: str) -> None:
        """Begin to deliver in a forked child, with a backend of its own; again, where that has failed before.

        ``home`` names what the buffer keeps in files.

        Raises:
            ConfigError: there is no such backend any more.
            RuntimeError: there is no thread to be had.
        """
        if not self._ready:
            self._ring.begin(home)
            self._ready = True
        with self._ring.consuming:  # of an attempt that was interrupted a pump may be at work
            self.pump.retire(keeps_sink=not self._shares_backend)
            self.accounts.catch_up()
            first = self._ring.rewind()
        reopened, self._attempted = self._attempted and self._shares_backend, True
        self.backend = self._make_backend()
        self.pump = self._new_pump(self.backend, first, reopened=reopened)
        self.watch.overdue_ns = NEVER
        try:
            self.host_in_thread()
        except BaseException:
            self.pump.retired = True
            raise
        self.watch.suspect = self.suspect

    def await_a_root(self, call: Callable[[], object]) -> None:
        """Call whenever somebody opens a trace, until :meth:`revive`: a span that never ends is to be known of, too."""
        self.watch.overdue_ns, self.watch.suspect = 0, lambda _: call()

    def may_try_again(self, error: BaseException) -> bool:
        """Return whether :meth:`revive` has failed for a reason of its own: then a root of a second later tries again.

        Everything else is raised by a signal's handler, and is the program's.
        """
        if not isinstance(error, _CANNOT_BEGIN):
            return False
        self.watch.overdue_ns = self.clock() + int(_PATIENCE * 1e9)
        if self._voice.may_speak_of("beginnings"):
            report("tracecore records nothing in this forked process for now", severe=True, error=error)
        return True

    def host_in_thread(self) -> None:
        """Run the pump in a thread of its own.

        Raises:
            RuntimeError: there is no thread to be had.
        """
        with self._lock:
            pump = self.pump
            self.thread = PumpThread(lambda: self._run(pump), on_end=lambda error: self._note_end(pump, error))
            self.hosted = True  # not where there is no thread: nobody should wait for its end

    async def run_here(self) -> None:
        """Run the pump in the calling task until :meth:`stop`: a cancelled host still delivers what it recorded."""
        import anyio  # noqa: PLC0415 - `import tracecore` stays light

        with anyio.CancelScope(shield=True):
            while True:
                pump = self.pump
                self.watch.overdue_ns = NEVER
                try:
                    await pump.run()
                except BaseException as error:
                    if ends_the_pump(error):
                        raise
                if not self._replace(pump, host=lambda: None):
                    return

    async def resume_here(self) -> None:
        """Deliver what is left of a pump that has died in this loop, by another one."""
        if self._replace(self.pump, host=lambda: None):
            await self.run_here()

    @property
    def died(self) -> bool:
        """Return whether the pump has ended although nobody asked for it, and no other has begun yet."""
        return self.pump.finished and self.pump.death is not None

    def stop(self, timeout: float) -> None:
        """Make the pump finish within ``timeout`` seconds."""
        with self._lock:
            if self._lost_before_stop is None:
                self._lost_before_stop = self.accounts.own.counts.losses.total()
            self._stop_at = self.clock() + int(min(timeout, FOR_EVER) * 1e9)
            self.pump.alarm.stop(self._stop_at)

    @property
    def ended(self) -> bool:
        """Return whether nothing will be delivered any more, after :meth:`stop`."""
        pump = self.pump
        if self._stop_at is None or not self.hosted:
            return self._stop_at is not None
        if pump.finished:
            return pump.death is None or pump.alarm.time_left() <= 0
        return self.thread is not None and not self.thread.alive

    def lost_before(self) -> int:
        """Return how much was lost so far; once the pump is to stop, how much had been lost by then."""
        return self.accounts.own.counts.losses.total() if self._lost_before_stop is None else self._lost_before_stop

    @property
    def backend_state(self) -> BackendState:
        """Return whether the backend takes what it is sent."""
        return _BACKEND_STATES[self._breaker.state]

    # -- waiting for it -----------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Make the pump look at the buffer now."""
        self.pump.alarm.ring()

    def hurry(self) -> None:
        """Make the pump try again soon if the backend was away: somebody waits."""
        self.pump.alarm.hurry()

    def listen(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` from the pump's thread whenever records were settled, and when a pump ends."""
        self._listeners.append(listener)
        self.wake()

    def unlisten(self, listener: Callable[[], None]) -> None:
        """Stop calling ``listener``."""
        with suppress(ValueError):  # another thread may have been first
            self._listeners.remove(listener)

    def is_here(self) -> bool:
        """Return whether the pump runs in the calling thread, and so cannot go on before the caller does."""
        return self.pump.is_here()

    def _tell(self) -> None:
        for listener in list(self._listeners):
            listener()

    # -- replacing it -------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Look after the pump: whoever waits for it, or asks how it is, does so now and then."""
        if self._thread_is_gone():
            self.watch.overdue_ns = 0
        now = self.clock()
        if now > self.watch.overdue_ns and self.hosted:
            self.suspect(now)

    def _thread_is_gone(self) -> bool:
        """Return whether the pump's thread has ended without a word, as where an exception hit its very last steps."""
        return self.thread is not None and not self.thread.alive and not self.pump.finished

    def suspect(self, now_ns: int) -> None:
        """Have a second look taken at a pump that is overdue. Called by whoever emits, who is not kept waiting."""
        with suppress(Busy), Turn(self._lock, 0):
            self._suspect(now_ns)

    def _suspect(self, now_ns: int) -> None:
        try:
            if now_ns <= self.watch.overdue_ns:
                return
            self.watch.overdue_ns = now_ns + int(_PATIENCE * 1e9)
            if self._looking or not self.hosted or self.thread is None:
                return
            self._looking = True
            seen = self.pump, self.pump.alarm.signs
            threading.Thread(target=self._take_second_look, args=seen, name="tracecore-watch", daemon=True).start()
        except BaseException as error:
            self._looking = False
            if not isinstance(error, Exception):
                raise  # from a signal handler of the program; else there is no thread to be had: perhaps the next time

    def _take_second_look(self, pump: Pump, signs: int) -> None:
        """Replace the pump if it has ended, or does not answer."""
        try:
            pump.alarm.ring()
            for _ in range(0 if self._thread_is_gone() else _GLANCES):
                time.sleep(_SECOND_LOOK / _GLANCES)
                if pump.alarm.signs != signs and not pump.finished and not pump.stuck:
                    return
            self._replace(pump)
        finally:
            self._looking = False

    async def _run(self, pump: Pump) -> None:
        """Run a pump in its thread; it is replaced before the loop is torn down, which may take its time."""
        try:
            await pump.run()
        finally:
            self._note_end(pump, pump.death)

    def _note_end(self, pump: Pump, error: BaseException | None) -> None:
        """Replace a pump that has ended unasked, in the thread in which it did."""
        if pump.retired or pump is not self.pump:
            return
        if error is not None and pump.death is None and not pump.alarm.stopping:
            pump.death = error
        pump.finished = True
        if pump.death is not None:
            self.watch.overdue_ns = 0  # whatever goes wrong here, the next emit sees to it
            self._replace(pump)
        else:
            self.watch.overdue_ns = NEVER
        self._tell()

    def _replace(self, pump: Pump, host: Callable[[], object] | None = None) -> bool:
        """Put another pump in the place of one that has died or hangs; return whether there is one now."""
        with self._lock:
            if pump is not self.pump or not self._may_replace(pump):
                return pump is not self.pump
            why = "hangs" if pump.death is None else f"has ended ({named_error(pump.death)})"
            try:
                self._succeed(pump)
                (host or self.host_in_thread)()
            except Exception as error:  # noqa: BLE001 - in whatever thread this is: no thread to be had
                self.accounts.last_error = named_error(error)
                self.watch.overdue_ns = self.clock() + int(_PATIENCE * 1e9)
                return False
        if self._voice.may_speak_of("restarts"):
            report(
                "tracecore's pump%s %s and was replaced; what it had in hand is delivered by the next one",
                self._settings.whither, why, severe=True, error=pump.death,
            )  # fmt: skip
        return True

    def _may_replace(self, pump: Pump) -> bool:
        if not self.hosted or pump.alarm.time_left() <= _LAST_MOMENT:
            return False
        self._hanging = [thread for thread in self._hanging if thread.alive]
        return pump.death is not None if pump.finished else len(self._hanging) < _MOST_HANGING

    def _succeed(self, pump: Pump) -> None:
        """Take the place, and what it had in hand, from a pump."""
        shares = self._shares_backend
        backend = self.backend if shares else self._backend_made_anew()
        try:
            with Turn(self._ring.consuming, _PATIENCE):
                pump.retire(keeps_sink=backend is not self.backend)
                self.accounts.catch_up()
                first = self._ring.rewind()
        except Busy:
            raise RuntimeError("the pump hangs in the middle of its accounts") from None
        if not pump.finished and self.thread is not None:
            self._hanging.append(self.thread)
        settled = self._settled()
        self._barren = self._barren + 1 if settled == self._last_settled else 0
        self._last_settled = settled
        self.accounts.restarts += 1
        reopened = backend is self.backend and not pump.finished
        self.backend, self._breaker = backend, self._new_breaker()
        self.pump = self._new_pump(backend, first, reopened=reopened)

    def _settled(self) -> int:
        """Return the fate of how many records is known, of this process's and of those that dead ones left."""
        own, left = self.accounts.own.counts, self.accounts.recovered
        return own.delivered + own.losses.total() + left.delivered + left.losses.total()

    def _backend_made_anew(self) -> Backend:
        try:
            return self._make_backend()
        except Exception as error:  # noqa: BLE001 - its driver cannot be imported any more, for example
            self.accounts.last_error = named_error(error)
            return self.backend

    def _new_breaker(self) -> Breaker:
        return Breaker(self.clock, self.jitter)

    def _new_pump(
        self, backend: Backend, first: Sequence[tuple[Lane[Any], int]] = (), *, reopened: bool = False
    ) -> Pump:
        pump = Pump(
            self._ring,
            backend,
            self._open_spans,
            self._settings,
            accounts=self.accounts,
            breaker=self._breaker,
            watch=self.watch,
            first=first,
            patience=min(_MOST_PATIENCE, _PATIENCE * 2**self._barren),
            pause=min(_MOST_PATIENCE, _PAUSE * 2 ** (self._barren - 2)) if self._barren > 1 else 0.0,
            reopened=reopened,
            on_settled=self._tell,
            voice=self._voice,
            clock=self.clock,
            jitter=self.jitter,
        )
        if self._stop_at is not None:
            pump.alarm.stop(self._stop_at)
        return pump
