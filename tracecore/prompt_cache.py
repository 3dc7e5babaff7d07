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
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from typing import Any, Final, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from tracecore.breaker import Breaker
from tracecore.clock import monotonic_ns
from tracecore.errors import BackendRejected, BackendUnavailable, NotFound, TracecoreError
from tracecore.prompts import Prompt, Share
from tracecore.reporting import named_error
from tracecore.served_prompts import ServedPrompt, served

__all__ = ["GUARD", "Entry", "Flight", "Key", "PromptCache", "fresh_error"]

Key: TypeAlias = tuple[str, int | None, str | None]
"""A name, and the version or the label that is asked for."""

FOR_EVER_NS: Final = 1 << 62
MOST_BYTES: Final = 64 * 2**20
"""What all prompts of a cache hold at most; one that is larger by itself is kept alone."""
_MOST_FLIGHTS: Final = 4_096
"""Keys that are asked for at once; beyond, a store that does not answer would cost memory without end."""
_MOST_MISSING: Final = 1_000
_MISSING_NS: Final = 2_000_000_000
"""How long it is remembered that a prompt is not there; somebody may just be publishing it."""
_WEDGED_NS: Final = 60_000_000_000
"""After how long a flight counts as lost with the thread that was to make it."""
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0


class _Guard(Struct):
    """Hold the lock of all caches; a forked child gets its own."""

    lock: Any


GUARD: Final = _Guard(threading.RLock())  # a signal's handler may ask for a prompt where its thread holds it


class Entry(Struct, eq=False, kw_only=True):
    """Hold one answer of the store."""

    served: ServedPrompt
    kind: type[object]
    """``str`` of a text, ``list`` of a chat: the class that a fallback has, usually."""
    quick_until: int
    """Until when, in monotonic ns, it is served without a second look: 0 where it must always be looked at."""
    changing: bool
    """Whether the store may answer something else later."""
    made_of: frozenset[str]
    """The names of the prompts that are in it, its own too."""
    shares: tuple[Share, ...] = ()
    outdated: bool = False
    """Whether there is news of it, or nobody knows how old it is."""
    must_ask: bool = False
    """Whether it is served only if the store cannot be asked."""
    used: bool = False
    """Whether it has been served since it was last looked at for eviction."""
    as_stale: ServedPrompt | None = None
    chosen: dict[int, tuple[ServedPrompt, ServedPrompt]] = field(default_factory=dict[int, Any])
    """The versions that its label is split between, by number: as they are known, and as they are served for it."""


class Flight(Struct, eq=False, kw_only=True):
    """Hold one question to the store, and who waits for its answer."""

    key: Key
    started_ns: int
    cold: bool
    """Whether nothing was known when it began."""
    probing: bool = False
    """Whether the last attempt has failed: who has something else to serve does not wait for this one."""
    asked_ns: int = 0
    """When the store was asked, the last time."""
    late: bool = False
    """Whether somebody has waited for it as long as one may."""
    outdated: bool = False
    """Whether there was news of its name while it was under way."""
    news: set[str] = field(default_factory=set[str])
    """Other names of which there was news; they may be in the prompt that it brings."""
    unwanted: bool = False
    """Whether somebody has said meanwhile that what is known is not to be served."""
    ended: bool = False
    entry: Entry | None = None
    error: TracecoreError | None = None
    listeners: list[Callable[[], object]] = field(default_factory=list[Callable[[], object]])

    @property
    def answered(self) -> bool:
        """Return whether there is nothing to wait for any more."""
        return self.ended or self.entry is not None


class _Trouble(Struct, eq=False):
    error: TracecoreError
    breaker: Breaker


class PromptCache:
    """Know prompts of one project of one store; see the module for how.

    ``ttl`` and ``wait`` are in seconds: how long an answer is fresh, and how long a caller waits at most. ``clock``
    returns monotonic ns, ``jitter`` a random number between two. ``replace_thread`` is called when whoever answers
    flights seems not to come back from one.
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
    ) -> None:
        self.entries: Final[OrderedDict[Key, Entry]] = OrderedDict()
        self.ttl_ns: Final = int(ttl * 1e9)
        self.wait_ns: Final = int(wait * 1e9)
        self.clock: Final = clock
        self._launch = launch
        self._items = items
        self._most_bytes = most_bytes
        self._jitter = jitter
        self._replace_thread = replace_thread
        self._bytes = 0
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
                if error is not None:
                    return error if entry is None else entry
                flight = self._begun(key, now, cold=entry is None)
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
            if flight.probing and not flight.ended:  # nobody has waited for it
                return self._error if trouble is None else trouble.error
            return flight.error or self._no_answer(flight)

    # -- changing what is known ---------------------------------------------------------------------------------------

    def invalidate(self, name: str | None = None) -> None:
        """Serve nothing of a name, or of all, before the store has been asked, unless that cannot be asked."""
        with GUARD.lock:
            for entry in self._touched(None if name is None else {name}).values():
                entry.must_ask, entry.quick_until = True, 0
            for flight in self._set_aside(None if name is None else {name}):
                flight.unwanted = True
            for remembered in (self._missing, self._troubles):
                for key in [key for key in remembered if name is None or key[0] == name]:
                    del remembered[key]

    def news(self, names: Collection[str] | None) -> list[Key]:
        """Take what is known of some names, or of all where that is None, for outdated; return the keys of it."""
        with GUARD.lock:
            touched = {key: entry for key, entry in self._touched(names).items() if entry.changing}
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
            if known is None or not (from_disk or _is_older(entry, known)):
                self._keep(flight.key, entry)
            flight.entry = entry if from_disk else replace(entry, served=replace(one, source="server"))
            if not from_disk:
                self._missing.pop(flight.key, None)
                self._troubles.pop(flight.key, None)
                self._breaker.succeeded()
                self._end(flight)
        self._tell(flight)
        return not entry.outdated

    def fail(self, flight: Flight, error: BaseException) -> None:
        """Take note that a flight has failed: with ``NotFound`` what was known is not served any more."""
        ours = error if isinstance(error, TracecoreError) else _unexpected(flight.key, error)
        with GUARD.lock:
            self._end(flight)
            flight.error = ours
            if isinstance(ours, NotFound):
                self._breaker.succeeded()
                self._troubles.pop(flight.key, None)
                self._drop(flight.key)
                _remember(self._missing, flight.key, (ours, self.clock() + min(self.ttl_ns, _MISSING_NS)))
            else:
                self._note_trouble(flight.key, ours)
                if isinstance(error, BackendUnavailable | OSError | TimeoutError):  # it is not this one prompt
                    self._note_failure(flight, ours)
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
        failing = self._breaker.state != "closed"
        flight = Flight(key=key, started_ns=now, cold=cold, probing=failing or key in self._troubles)
        self._flights[key] = flight
        if failing:
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

    def _keep(self, key: Key, entry: Entry) -> None:
        before = self.entries.get(key)
        self._bytes += entry.served.size - (0 if before is None else before.served.size)
        self.entries[key] = entry
        self.entries.move_to_end(key)
        # A second chance for each that was used since the last look, but no third: whoever uses them goes on meanwhile.
        for _ in range(2 * len(self.entries)):
            if len(self.entries) <= 1 or (len(self.entries) <= self._items and self._bytes <= self._most_bytes):
                break
            oldest, looked_at = next(iter(self.entries.items()))
            if looked_at.used or oldest == key:
                looked_at.used = False
                self.entries.move_to_end(oldest)
            else:
                self._drop(oldest)

    def _drop(self, key: Key) -> None:
        entry = self.entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry.served.size

    def _touched(self, names: Collection[str] | None) -> dict[Key, Entry]:
        """Return what is known of some names, and what they are inserted into."""
        if names is None:
            return dict(self.entries)
        wanted = frozenset(names)
        return {key: entry for key, entry in self.entries.items() if not wanted.isdisjoint(entry.made_of)}

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
        trouble.breaker.failed(getattr(error, "retry_after", None))
        _remember(self._troubles, key, trouble)

    def _note_failure(self, flight: Flight, error: TracecoreError) -> None:
        """Count a failure of the store; of all that began before it did, that is one."""
        self._error = error
        if flight.started_ns >= self._failed_ns:
            self._failed_ns = self.clock()
            self._breaker.failed(getattr(error, "retry_after", None))

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


def _is_older(one: Entry, other: Entry) -> bool:
    """Return whether an answer is of an earlier moment than another, or there was news between the two."""
    if one.served.fetched_ns != other.served.fetched_ns:
        return one.served.fetched_ns < other.served.fetched_ns
    return (one.outdated or one.must_ask) and not (other.outdated or other.must_ask)


def fresh_error(error: TracecoreError) -> TracecoreError:
    """Return an error to be raised: what is remembered must not gather the stacks of all who are told."""
    again = copy.copy(error)
    again.__traceback__ = again.__cause__ = again.__context__ = None
    return again


def _remember(known: dict[Key, Any], key: Key, value: object) -> None:
    """Remember something, and forget the oldest where that is too much."""
    known.pop(key, None)
    known[key] = value
    if len(known) > _MOST_MISSING:
        del known[next(iter(known))]


def _unexpected(key: Key, error: BaseException) -> TracecoreError:
    """Return an error of ours for whatever a store has raised."""
    what = f"prompt '{key[0]:.200}' could not be read: {named_error(error)}"
    return BackendUnavailable(what, "look into the store; until then the fallback is served")
