"""What is known of prompts in this process: which version each name and label stands for, and how well that is known.

The life of a key (a name with a version or a label)::

    nothing known ──(asked for: one flight, whoever asks)──► fresh ─(its time is up, or news of it)──► stale
         ▲                                                     ▲                                       │
         └──(the store says that it is not there)              └─(one flight, for which nobody waits)──┘

What is stale is served, and goes on being served for as long as the store does not answer. A failure is remembered, of
the key and of the store as a whole, so that after one call that waited in vain others do not wait for the same reason.
A version never changes, so by its number a prompt stays fresh, unless others are inserted into it.

The cache asks nobody by itself: ``launch`` is handed each flight that begins, on the thread of whoever asks; it answers
through :meth:`PromptCache.land` or :meth:`PromptCache.fail`. Time and chance are arguments.

Invariants: a hit takes no lock and changes one bit of its entry; whatever else changes does so under one lock for all
caches, held for a few steps and never while somebody is waited for; entries are replaced, so who holds one sees one
answer of the store.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Collection, Iterable
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from tracecore.breaker import Breaker, asked_for
from tracecore.clock import monotonic_ns
from tracecore.errors import BackendRejected, BackendUnavailable, NotFound, TracecoreError
from tracecore.prompt_entries import MOST_BYTES, Entry, Flight, Key, Shelf, is_older, remember
from tracecore.prompts import Prompt
from tracecore.reporting import named_error
from tracecore.served_prompts import ServedPrompt, served

__all__ = ["GUARD", "Entry", "Flight", "Key", "PromptCache", "fresh_error"]

FOR_EVER_NS: Final = 1 << 62
_MOST_FLIGHTS: Final = 4_096
"""Keys that are asked for at once; beyond, a store that does not answer would cost memory without end."""
_MISSING_NS: Final = 2_000_000_000
"""How long it is remembered that a prompt is not there; somebody may just be publishing it."""
_WEDGED_NS: Final = 60_000_000_000
"""After how long a flight counts as lost with the thread that was to make it."""
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0
_LONGEST_ASKED_FOR: Final = 60.0


class _Guard(Struct):
    """Hold the lock of all caches; a forked child gets its own."""

    lock: Any


GUARD: Final = _Guard(threading.RLock())  # a signal's handler may ask for a prompt where its thread holds it


class _Trouble(Struct, eq=False):
    error: TracecoreError
    breaker: Breaker


class PromptCache:
    """Know prompts of one project of one store; see the module for how.

    ``ttl`` and ``wait`` are in seconds: how long an answer is fresh, and how long a caller waits at most. ``clock``
    returns monotonic ns, ``jitter`` a random number between two. ``replace_thread`` is called when whoever answers
    flights seems not to come back from one. With ``copies`` there may be some on a disk.
    """

    def __init__(
        self,
        launch: Callable[[Flight], object],
        *,
        ttl: float,
        wait: float,
        items: int,
        jitter: Callable[[float, float], float],
        clock: Callable[[], int] = monotonic_ns,
        most_bytes: int = MOST_BYTES,
        replace_thread: Callable[[], object] = lambda: None,
        copies: bool = False,
    ) -> None:
        self._shelf = Shelf(items, most_bytes)
        self.entries: Final = self._shelf.known
        self.ttl_ns: Final = int(ttl * 1e9)
        self.wait_ns: Final = int(wait * 1e9)
        self.clock: Final = clock
        self._launch = launch
        self._jitter = jitter
        self._replace_thread = replace_thread
        self._copies = copies
        self._no_copy: dict[Key, None] = {}
        """Keys for which the disk was looked at in vain."""
        self._flights: dict[Key, Flight] = {}
        self._missing: dict[Key, tuple[TracecoreError, int]] = {}
        self._troubles: dict[Key, _Trouble] = {}
        self._breaker = self._new_breaker()
        self._error: TracecoreError = BackendUnavailable("the store of prompts has not been asked")
        self._failed_ns = 0
        self._probe: Flight | None = None

    # -- asking -------------------------------------------------------------------------------------------------------

    def ask(self, key: Key, ttl_ns: int | None = None) -> Entry | Flight | TracecoreError:
        """Return what can be served now, or the flight that is to be waited for, or why neither is there."""
        now, ttl_ns = self.clock(), self.ttl_ns if ttl_ns is None else ttl_ns
        with GUARD.lock:
            entry = self.entries.get(key)
            if entry is not None:
                entry.used = True
                if self.is_fresh(entry, ttl_ns, now):
                    return entry
            elif (known := self._known_missing(key, now)) is not None and ttl_ns > 0:
                return known
            flight = self._flight(key, now)
            begins = flight is None
            if flight is None:
                error = self._refusal(key, now)
                if error is not None and (entry is not None or not self.may_have_copy(key)):
                    return error if entry is None else entry
                flight = self._begun(key, now, cold=entry is None)
                flight.only_copy = error is not None
        if begins:
            self._launched(flight)
        return flight if entry is None or entry.must_ask or ttl_ns == 0 else entry

    def is_fresh(self, entry: Entry, ttl_ns: int, now_ns: int) -> bool:
        """Return whether an entry may be served without asking the store again."""
        if ttl_ns == 0 or entry.outdated or entry.must_ask:
            return False
        return not entry.changing or now_ns - entry.served.fetched_ns < ttl_ns

    def patience(self, flight: Flight, wait_ns: int) -> float:
        """Return for how many seconds a caller waits for a flight: all who wait for it do so until one moment."""
        return 0.0 if flight.answered else max(0, flight.started_ns + wait_ns - self.clock()) / 1e9

    def listen(self, flight: Flight, listener: Callable[[], object]) -> bool:
        """Have a function called, on any thread, when the flight is answered; return False where it has been."""
        with GUARD.lock:
            if not flight.answered:
                flight.listeners.append(listener)
                return True
        return False

    def unlisten(self, flight: Flight, listener: Callable[[], object]) -> None:
        """Do not call a function any more."""
        with GUARD.lock:
            if listener in flight.listeners:
                flight.listeners.remove(listener)

    def may_have_copy(self, key: Key) -> bool:
        """Return whether the disk may hold an earlier answer, as far as is known."""
        return self._copies and key not in self._no_copy

    def outcome(self, flight: Flight) -> Entry | TracecoreError:
        """Return what became of a flight that has been waited for: its answer, what is known without it, or why not."""
        with GUARD.lock:
            if flight.entry is not None:
                return flight.entry
            waited = self.clock() - flight.started_ns
            if not flight.ended and not flight.late and 0 < self.wait_ns <= waited:
                flight.late = True
                self._note_failure(flight, self._no_answer(flight))
            known, trouble = self.entries.get(flight.key), self._troubles.get(flight.key)
            if known is not None:
                return known
            if flight.only_copy or (flight.probing and not flight.ended):  # nobody has waited for the store
                return self._error if trouble is None else trouble.error
            return flight.error or self._no_answer(flight)

    # -- changing what is known ---------------------------------------------------------------------------------------

    def invalidate(self, name: str | None = None) -> None:
        """Serve nothing of a name, or of all, before the store has been asked, unless that cannot be asked."""
        with GUARD.lock:
            for entry in self._shelf.touched(None if name is None else {name}).values():
                entry.must_ask, entry.quick_until = True, 0
            for flight in self._set_aside(None if name is None else {name}):
                flight.unwanted = True
            for remembered in (self._missing, self._troubles):
                for key in [key for key in remembered if name is None or key[0] == name]:
                    del remembered[key]

    def news(self, names: Collection[str] | None) -> list[Key]:
        """Take what is known of some names, or of all where that is None, for outdated; return the keys of it.

        Versions, too: a name may have been deleted, and published again from 1.
        """
        with GUARD.lock:
            touched = self._shelf.touched(names)
            for entry in touched.values():
                entry.outdated, entry.quick_until = True, 0
            for flight in self._set_aside(names):
                flight.outdated = True
            for key in [key for key in self._missing if names is None or key[0] in names]:
                del self._missing[key]
            return list(touched)

    def distrust_before(self, moment_ns: int) -> None:
        """Take for outdated what was asked for before a moment: nobody would have told of what changed until then."""
        with GUARD.lock:
            for entry in self.entries.values():
                if entry.changing and entry.served.fetched_ns < moment_ns:
                    entry.outdated, entry.quick_until = True, 0
            for flight in self._flights.values():
                flight.outdated = flight.outdated or 0 < flight.asked_ns < moment_ns

    def refresh(self, keys: Iterable[Key]) -> None:
        """Ask for keys that are known, for nobody who waits."""
        for key in keys:
            if key in self.entries:
                self.ask(key)

    def land(self, flight: Flight, prompt: Prompt, *, from_disk: bool = False) -> bool:
        """Take the answer of the store, or what the disk holds of an earlier one, after which the flight goes on.

        Returns whether there was no news of it while it was under way.

        Raises:
            BackendRejected: it is no answer to this question.
        """
        name, version, label = flight.key
        fetched_ns = 0 if from_disk else flight.asked_ns
        one = served(prompt, label=label, source="disk" if from_disk else "memory", fetched_ns=fetched_ns)
        if one.name != name or version not in {None, one.version}:
            raise BackendRejected(f"asked for prompt '{name}', the store answered with '{one.name}' {one.version}")
        entry = self._entry(flight, one, prompt)
        with GUARD.lock:
            known = self.entries.get(flight.key)
            if known is None or not (from_disk or is_older(entry, known)):
                self._shelf.keep(flight.key, entry)
            flight.entry = entry if from_disk else replace(entry, served=replace(one, source="server"))
            if flight.only_copy:
                self._end(flight)
            if not from_disk:
                self._missing.pop(flight.key, None)
                self._troubles.pop(flight.key, None)
                self._breaker.succeeded()
                self._end(flight)
        self._tell(flight)
        return not entry.outdated

    def fail(self, flight: Flight, error: BaseException) -> None:
        """Take note that a flight has failed: with ``NotFound`` what was known is not served any more."""
        ours = fresh_error(error) if isinstance(error, TracecoreError) else _unexpected(flight.key, error)
        with GUARD.lock:
            self._end(flight)
            flight.error = ours
            if isinstance(ours, NotFound):
                self._breaker.succeeded()
                self._troubles.pop(flight.key, None)
                self._shelf.drop(flight.key)
                remember(self._missing, flight.key, (ours, self.clock() + min(self.ttl_ns, _MISSING_NS)))
            else:
                self._note_trouble(flight.key, ours)
                if isinstance(error, BackendUnavailable | OSError | TimeoutError):  # it is not this one prompt
                    self._note_failure(flight, ours)
        self._tell(flight)

    def no_copy(self, flight: Flight) -> None:
        """Take note that the disk holds no earlier answer; who waited for that may stop."""
        with GUARD.lock:
            remember(self._no_copy, flight.key, None)
            if flight.only_copy:
                self._end(flight)
        self._tell(flight)

    def flights(self) -> list[Flight]:
        """Return what is under way."""
        with GUARD.lock:
            return list(self._flights.values())

    def begin_anew(self) -> None:
        """Forget, in a forked child, what the parent was asking for."""
        self._flights.clear()
        self._probe = None

    # -- inside, under the lock ---------------------------------------------------------------------------------------

    def _known_missing(self, key: Key, now: int) -> TracecoreError | None:
        error, until = self._missing.get(key, (None, 0))
        return error if now < until else None

    def _flight(self, key: Key, now: int) -> Flight | None:
        """Return what is under way for a key, unless it has been for so long that nobody can be making it."""
        flight = self._flights.get(key)
        if flight is None or now - flight.started_ns <= _WEDGED_NS:
            return flight
        self._note_failure(flight, self._no_answer(flight))
        for lost in self._set_aside(None):
            lost.ended = True
        self._replace_thread()
        return None

    def _refusal(self, key: Key, now: int) -> TracecoreError | None:
        """Return why the store is not asked now; None where it is."""
        trouble = self._troubles.get(key)
        if trouble is not None and trouble.breaker.wait() > 0:
            return trouble.error
        if self._breaker.state == "open":
            return self._error
        if self._breaker.state == "half_open" and self._is_probed(now):
            return self._error
        if len(self._flights) >= _MOST_FLIGHTS:
            what = f"{_MOST_FLIGHTS:,} prompts are being asked for, and the store has not answered"
            return BackendUnavailable(what, "ask for fewer names")
        return None

    def _is_probed(self, now: int) -> bool:
        """Return whether one question is under way that shows whether the store is back."""
        probe = self._probe
        return probe is not None and not probe.ended and now - probe.started_ns <= _WEDGED_NS

    def _begun(self, key: Key, now: int, *, cold: bool) -> Flight:
        state = self._breaker.state
        flight = Flight(key=key, started_ns=now, cold=cold, probing=state != "closed" or key in self._troubles)
        self._flights[key] = flight
        if state == "half_open" and not self._is_probed(now):
            self._probe = flight
        return flight

    def _launched(self, flight: Flight) -> None:
        try:
            self._launch(flight)
        except Exception as error:  # noqa: BLE001 - no thread can be started, at the end of a program or near its limits
            self.fail(flight, error)

    def _entry(self, flight: Flight, one: ServedPrompt, prompt: Prompt) -> Entry:
        from_disk = one.source == "disk"
        changing = flight.key[1] is None or prompt.graph is not None
        inserted = () if prompt.graph is None else prompt.graph.dependencies.values()
        made_of = frozenset({one.name, *(part.name for parts in inserted for part in parts)})
        outdated = from_disk or flight.outdated or not made_of.isdisjoint(flight.news)
        quick_until = one.fetched_ns + self.ttl_ns if changing else FOR_EVER_NS if self.ttl_ns else 0
        return Entry(
            served=one, kind=list if one.text is None else str, changing=changing,
            quick_until=0 if outdated or flight.unwanted or prompt.shares else quick_until,
            made_of=made_of, shares=prompt.shares, outdated=outdated, must_ask=flight.unwanted,
        )  # fmt: skip

    def _set_aside(self, names: Collection[str] | None) -> list[Flight]:
        """Return what is under way for names; whoever asks from now on begins a flight of his own.

        Others go on: what is inserted into the prompts that they bring is not known before they do.
        """
        aside = [flight for key, flight in self._flights.items() if names is None or key[0] in names]
        for flight in aside:
            del self._flights[flight.key]
        for flight in self._flights.values():
            flight.news.update(names or ())
        return aside

    def _end(self, flight: Flight) -> None:
        flight.ended = True
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]

    def _note_trouble(self, key: Key, error: TracecoreError) -> None:
        known = self._troubles.get(key)
        trouble = _Trouble(error, self._new_breaker() if known is None else known.breaker)
        trouble.breaker.failed(_asked_for(error))
        remember(self._troubles, key, trouble)

    def _note_failure(self, flight: Flight, error: TracecoreError) -> None:
        """Count a failure of the store; of all that began before it did, that is one."""
        self._error = error
        if flight.started_ns >= self._failed_ns:
            self._failed_ns = self.clock()
            self._breaker.failed(_asked_for(error))

    def _new_breaker(self) -> Breaker:
        return Breaker(
            self.clock,
            lambda low, high: self._jitter(max(low, high / 2), high),  # never none: half of it at least
            opens_after=1,
            first_wait=_FIRST_PAUSE,
            longest_wait=_LONGEST_PAUSE,
        )

    def _no_answer(self, flight: Flight) -> BackendUnavailable:
        seconds = (self.clock() - flight.started_ns) / 1e9
        what = f"prompt '{flight.key[0]:.200}' was not answered for within {seconds:.1f} s"
        return BackendUnavailable(what, "give a fallback=, or look why its store is slow")

    def _tell(self, flight: Flight) -> None:
        """Wake whoever waits, outside of the lock."""
        with GUARD.lock:
            listeners, flight.listeners = flight.listeners, []
        for listener in listeners:
            listener()


def fresh_error(error: TracecoreError) -> TracecoreError:
    """Return an error without stacks: what is remembered must not hold what the store has read, nor who was told."""
    again = copy.copy(error)
    again.__traceback__ = again.__cause__ = again.__context__ = None
    return again


def _asked_for(error: TracecoreError) -> float:
    """Return how many seconds a store has asked for, within reason: nobody is served a new prompt meanwhile."""
    return min(asked_for(getattr(error, "retry_after", None)), _LONGEST_ASKED_FOR)


def _unexpected(key: Key, error: BaseException) -> TracecoreError:
    """Return an error of ours for whatever a store has raised."""
    what = f"prompt '{key[0]:.200}' could not be read: {named_error(error)}"
    return BackendUnavailable(what, "look into the store; until then the fallback is served")
