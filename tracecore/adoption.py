"""Adopting what dead processes left in the journal's directory, a few homes at a time, until all of it is delivered.

Each home becomes a lane of the living process's buffer. When everything in it is settled, and the ledger has been told
what became of its process's records, it is removed.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Generator, Iterator
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from tracecore.backend import Backend
from tracecore.destinations import Passing, destination_of
from tracecore.files import Files
from tracecore.frames import Origin
from tracecore.leftovers import Leftover, adopt
from tracecore.locks import Busy, Turn
from tracecore.reporting import report, text_of_error
from tracecore.ring import Ring

__all__ = ["Adoption"]

_MOST: Final = 4
"""Homes that are delivered at a time: of thousands, each would hold a file open."""
_LOOK_EVERY_NS: Final = 10_000_000_000
_REPORT_EVERY_NS: Final = 60_000_000_000


class Adoption:
    """Look after the homes of dead processes for one buffer.

    ``on_news`` is called where its pump has something to do; ``ask`` has :meth:`look_after` called by a thread that may
    wait for the disk, and returns whether there is one, as ``has_thread`` does without asking for anything.

    What takes files (:meth:`look_after`) is done by one caller at a time: a second one has nothing to do.
    """

    def __init__(
        self,
        ring: Ring[Any],
        directory: Path,
        origin: Origin,
        *,
        files: Files,
        clock: Callable[[], int],
        on_news: Callable[[], object],
        ask: Callable[[], bool],
        has_thread: Callable[[], bool],
    ) -> None:
        self._ring = ring
        self._directory = directory
        self._files = files
        self._clock = clock
        self._on_news = on_news
        self._ask = ask
        self._has_thread = has_thread
        self._passing = Passing(files, origin)
        self.begin()

    def begin(self) -> None:
        """Begin anew, as in a forked child: nothing has been looked for."""
        self._passing.renew()
        self.trouble: str | None = None
        """Why the directory, or a home in it, could not be looked into the last time; None where all could be."""
        self.known: set[str] = set()
        """Homes that were adopted, or are one's own: each once, also where it cannot be removed afterwards."""
        self._next_look = self._next_report = 0
        self._asked = self._answered = 0
        """How many looks were asked for, and up to which of those that were asked for has been looked since."""
        self._busy = threading.Lock()

    def leftovers(self) -> list[Leftover]:
        """Return what has been adopted and is still a lane."""
        return [lane for lane in self._ring.lanes() if isinstance(lane, Leftover)]

    def aim(self, origin: Origin, backend: Backend) -> Origin:
        """Adopt what is meant for this backend; return the origin of what is meant for it.

        A backend that keeps nothing is given nothing of which one does not know that it is meant for it.
        """
        passing, destination = self._passing, destination_of(backend.location)
        passing.own, passing.keeps_nothing = destination, backend.capabilities.level == "accepted"
        return replace(origin, destination=destination)

    def stand_beside(self, destinations: Collection[str]) -> None:
        """Leave what is meant for these backends to others of this process, also where everything is asked for."""
        self._passing.beside = frozenset(destinations)

    @property
    def destination(self) -> str | None:
        """Return the backend that this delivers to, as homes name it."""
        return self._passing.own

    @property
    def keeps_nothing(self) -> bool:
        """Return whether that backend is given nothing but what is meant for it."""
        return self._passing.keeps_nothing

    @contextlib.contextmanager
    def searching(self, *, everything: bool) -> Generator[None]:
        """Have homes looked for at once; until the end of the block, with ``everything``, whatever they are meant for.

        Where the buffer is closed none would be adopted any more.
        """
        taker = object()
        try:
            if everything:
                self._passing.take_all(taker)
            if not self._ring.closed:
                self._asked += 1
                if not self._ask():
                    self._on_news()
            yield
        finally:
            self._passing.take_own(taker)

    def elsewhere(self) -> dict[str, int]:
        """Return how many homes that nobody has were passed over, by the backend that they are meant for."""
        return self._passing.elsewhere(self._directory)

    @property
    def going_on(self) -> bool:
        """Return whether something is still to be delivered, or to be looked for."""
        return self._is_wanted or bool(self.leftovers())

    @property
    def _is_wanted(self) -> bool:
        """Return whether homes are to be looked for as soon as there is time."""
        return not self._next_look or self._answered != self._asked

    @property
    def is_due(self) -> bool:
        """Return whether there is something to do now: to look for homes, or about one."""
        found = self.leftovers()
        looks = self._is_wanted and len(found) < _MOST
        return looks or any(leftover.finished or self._is_done_with(leftover) for leftover in found)

    def say_farewells(self) -> None:
        """Have the ledger told of the processes whose records have all been settled. Belongs to the pump."""
        for leftover in self.leftovers():
            if leftover.exhausted and leftover.farewell is None:
                account = leftover.account
                uncounted = leftover.damages - account.counts.losses.counts()["damaged"]  # a pump may have ended here
                account.counts = account.counts.plus(0, {"damaged": uncounted})
                farewell = leftover.entry(account.counts, ended=True)
                if farewell.emitted:
                    self._ring.farewells.append(farewell)
                leftover.farewell = farewell  # now it is on the list, until the ledger knows

    def look_after(self, now_ns: int) -> None:
        """Remove the homes that are done with, and look for others as long as the buffer is open."""
        with contextlib.suppress(Busy), Turn(self._busy, 0):
            for leftover in self.leftovers():
                if not leftover.finished and leftover.work():
                    self._on_news()
            self.remove_delivered()
            wanted = self._is_wanted or now_ns >= self._next_look
            if wanted and not self._ring.closed and not self._has_to_read():
                self._look_around(now_ns)

    def remove_delivered(self) -> None:
        """Remove the homes of which nothing is left and the ledger has been told."""
        for leftover in self.leftovers():
            if leftover.farewell is not None and self._is_done_with(leftover) and not leftover.finished:
                leftover.end()
                self._on_news()

    def leave(self) -> None:
        """Let go of every home: whoever comes next may adopt it, or, in a forked child, the parent has it."""
        for leftover in self.leftovers():
            leftover.leave()

    def note(self) -> None:
        """Note what has been settled, before the end."""
        for leftover in self.leftovers():
            leftover.note()

    def _is_done_with(self, leftover: Leftover) -> bool:
        """Return whether the next thing to do about a home is to say farewell, or to remove it."""
        return leftover.exhausted and not any(leftover.farewell is waiting for waiting in self._ring.farewells)

    def _has_to_read(self) -> bool:
        """Return whether a thread has better things to do than to look into another home, which may take seconds."""
        return self._has_thread() and any(leftover.is_behind for leftover in self.leftovers())

    def _look_around(self, now_ns: int) -> None:
        room, asked = _MOST - len(self.leftovers()), self._asked
        trouble = None
        try:
            if room > 0:
                room = self._adopt_some(room)
        except OSError as error:
            trouble = f"{self._directory} cannot be looked into: {text_of_error(error)}"
            if now_ns >= self._next_report:
                self._next_report = now_ns + _REPORT_EVERY_NS
                report("tracecore cannot look after its journal in %s: %s", self._directory, text_of_error(error))
        self._next_look = now_ns + _LOOK_EVERY_NS if room > 0 else 0
        if room > 0:
            self.trouble, self._answered = trouble or self._passing.trouble, asked

    def _adopt_some(self, room: int) -> int:
        """Adopt as many homes as there is room for; return how many more there is room for."""
        for leftover in self._homes():
            if self._ring.closed:  # meanwhile: nobody would deliver it
                leftover.leave()
                break
            leftover.ask = self._ask
            leftover.account = self._ring.adopt(leftover.died)
            self._ring.add(leftover)
            self._on_news()
            room -= 1
            if room <= 0 or self._has_to_read():
                return 0  # there may be others: to be looked for again as soon as there is time
        return room

    def _homes(self) -> Iterator[Leftover]:
        return adopt(self._directory, self._passing, self._files, self.known, self._clock)
