"""What dead processes left in the journal's directory: adopted by one living process, delivered once, and removed.

A home whose owner's file is not locked belongs to nobody that lives. Who locks it first delivers what is in it, block
by block and in the order in which each of its threads wrote, through a lane of its own; what has been delivered is
noted in the owner's file at once, so that an adopter may die too. Nothing is touched but what has the name of a home:
the directory may hold what is somebody else's.
"""

from __future__ import annotations

import contextlib
import errno
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

from msgspec import MsgspecError
from msgspec.structs import replace

from tracecore.blocks import bodies
from tracecore.clock import MINUTE_NS, monotonic_ns, wall_ns
from tracecore.files import Files
from tracecore.frames import Origin
from tracecore.journal_lane import Kept
from tracecore.lanes import Lane
from tracecore.locks import Busy, Turn
from tracecore.loss import Losses
from tracecore.owners import OWNER, Mark, Note, Owner, salt_of
from tracecore.records import LedgerEntry, Record
from tracecore.remains import OldBlock, Remains
from tracecore.reporting import report
from tracecore.segments import UNFINISHED, is_home

__all__ = ["Choice", "Leftover", "adopt"]

_READ_FOR_NS: Final = 4_000_000
"""For how long records are read at a time: the pump may be a task of the program's loop."""
Passed: TypeAlias = list[tuple[OldBlock, int]]
"""Blocks, and up to where in each."""
_THE_END: Final[tuple[bytes | None, Passed]] = (None, [])
_DAMAGES_NOTED: Final = 32
"""Damages that an adopter tells the next one of, should it die."""


class Counted(Protocol):
    """What an account says."""

    @property
    def delivered(self) -> int:
        """Return how many records were delivered."""
        ...

    @property
    def losses(self) -> Losses:
        """Return how many were lost."""
        ...


class _Old(Kept, eq=False, gc=False):
    """A body of a dead process."""

    remains: Any = None

    def seal(self) -> Record:
        """Return the record; of another version's the segment is kept."""
        try:
            return super().seal()
        except MsgspecError:
            self.remains.keep_aside(self.block)
            raise


class _Reading:
    """Read what a home holds, from what has been delivered on, ahead of what is handed out.

    A pump that hangs while it reads, and is replaced, goes on with a reading in which nobody is interested any more.
    """

    def __init__(self, remains: Remains, origin: Origin, clock: Callable[[], int]) -> None:
        self.fetched: deque[Kept] = deque()
        self.lost: list[Passed] = []
        """What could not be read."""
        self.ended = False
        self._remains = remains
        self._origin = origin
        self._clock = clock
        self._passed: dict[OldBlock, int] = {block: block.delivered for block in list(remains.blocks)}
        """Up to where each block has been read."""
        self._bodies = self._begin()

    def lacks(self, max_items: int, max_bytes: int) -> bool:
        """Return whether less is there than that, and there is more to be read."""
        fetched = list(self.fetched)
        return not self.ended and len(fetched) < max_items and sum(kept.size for kept in fetched) < max_bytes

    def fetch(self, max_items: int, max_bytes: int) -> None:
        """Read on, until so much is there to be handed out, or some milliseconds have passed."""
        until = self._clock() + _READ_FOR_NS
        size = sum(kept.size for kept in list(self.fetched))
        try:
            while not self.ended and len(self.fetched) < max_items and size < max_bytes and self._clock() < until:
                size += self._read_one()
        except OSError:  # for now: then from where it stands
            self._bodies = self._begin()

    def _read_one(self) -> int:
        """Read one body; return its size."""
        body, passed = next(self._bodies, _THE_END)
        self._passed.update(passed)
        if body is not None:
            block, end = passed[-1]
            self.fetched.append(_Old(body, len(body), self._origin, block, end, remains=self._remains))
            return len(body)
        if passed:
            self.lost.append(passed)
        else:
            self.ended = True
        return 0

    def _begin(self) -> Iterator[tuple[bytes | None, Passed]]:
        remains = self._remains
        return bodies(((block, remains.waiting(block, start)) for block, start in self._passed.items()), ended=True)


class Leftover(Lane[Any]):
    """Hand out what one dead process left, as a lane that nobody writes to. It is no part of this process's totals."""

    __slots__ = (
        "_before",
        "_clock",
        "_first_note",
        "_noted",
        "_noting",
        "_origin",
        "_owner",
        "_reaching",
        "_reading",
        "_remains",
        "_removed",
        "_stand",
        "_wanted",
        "ask",
        "farewell",
    )

    def __init__(
        self, home: Path, owner: Owner, fallback: Origin, files: Files, clock: Callable[[], int] = monotonic_ns
    ) -> None:
        """Find the blocks of a home whose owner's file has been locked.

        Raises:
            OSError: the home cannot be read, or not now.
        """
        super().__init__(None)
        self.counted = False
        self.farewell: LedgerEntry | None = None
        """What the ledger is to be told, once everything has been settled."""
        self.ask: Callable[[], bool] = _nobody_works
        """Has :meth:`work` called in a thread that may wait for the disk; returns whether there is one."""
        self._wanted = (0, 0)
        self._owner = owner
        self._origin = owner.origin or fallback
        self._first_note = owner.note
        self._before = owner.note.entry or _unknown(self._origin.project, home.name)
        self._remains = Remains(home, files, owner.note)
        self._clock = clock
        self._reading = self._new_reading()
        self._removed = False
        self._reaching: tuple[int, OldBlock | None, int] = (0, None, 0)
        """What ``settled`` is once the last settlement has been made, and up to where that is in the files."""
        self._stand: tuple[Counted, Mark] | None = None
        """What became of the records, and up to where that is: of one moment, and replaced as a whole."""
        self._noted: tuple[Counted, Mark] | None = None
        self._noting = threading.Lock()
        """Held by who notes in the files what was settled. Nobody waits for it: what one leaves out the next does."""

    @property
    def died(self) -> int:
        """Return how many records were nowhere but in the memory of their process when it died."""
        return self._first_note.in_memory

    @property
    def damages(self) -> int:
        """Return how many stretches could not be read: each held a record or more."""
        return self._remains.damages

    def fetch(self, max_items: int, max_bytes: int) -> None:
        """Have read what is to be handed out next; here, for no longer than some milliseconds, if nobody else does."""
        self._wanted = (max_items, max_bytes)
        if self._reading.lacks(max_items, max_bytes) and not self.ask():
            self._read(max_items, max_bytes)

    def work(self) -> bool:
        """Read and note what was asked for; return whether there is something to be handed out, or nothing more."""
        self._note_in_files()
        max_items, max_bytes = self._wanted
        reading = self._reading
        if not reading.lacks(max_items, max_bytes):
            return False
        self._read(max_items, max_bytes)
        return bool(reading.fetched) or reading.ended

    def _read(self, max_items: int, max_bytes: int) -> None:
        reading = self._reading
        reading.fetch(max_items, max_bytes)
        if reading is self._reading:
            for passed in reading.lost:
                self._remains.note_lost(passed)

    def take(self, max_items: int, max_bytes: int) -> list[Any]:
        """Hand out up to ``max_items`` of what was fetched, up to ``max_bytes`` in all, but at least one if any."""
        fetched = self._reading.fetched
        read: list[Kept] = []
        size = 0
        while fetched and len(read) < max_items and size < max_bytes:
            read.append(fetched.popleft())
            size += read[-1].size
        self._hand[2].extend(read)
        self.bytes_taken += size
        return read

    def settle(self, count: int) -> None:
        """Forget the first ``count`` of what was handed out: it has been delivered, or counted as lost."""
        self._catch_up()
        done = self._hand[2][:count]
        if done:
            self._reaching = (self.settled + len(done), done[-1].block, done[-1].end)
        super().settle(count)
        self._catch_up()

    def note(self) -> None:
        """Have noted in the files what has been settled; here if nobody else does."""
        if not self.ask():
            self._note_in_files()

    def _note_in_files(self) -> None:
        stand = self._stand
        if stand is self._noted or stand is None:
            return
        # Where it is not possible now it comes once more, should this process die: twice equals once.
        with contextlib.suppress(Busy, OSError), Turn(self._noting, 0):
            counts, mark = stand
            damages = self._remains.noted_damages(_DAMAGES_NOTED)
            self._owner.keep(Note(self.entry(counts), marks=self._first_note.marks, up_to=mark, damages=damages))
            self._noted = stand

    def rewind(self) -> int:
        """Go back to what is not settled; return how many records that were."""
        self._catch_up()
        hand = self._hand[2]
        count = len(hand)
        hand.clear()
        self._reading = self._new_reading()
        self._noting = threading.Lock()  # whoever had it may have ended before it could be given back
        super().rewind()
        return count

    def _new_reading(self) -> _Reading:
        return _Reading(self._remains, self._origin, self._clock)

    def _catch_up(self) -> None:
        """Finish what a settlement, also one whose pump has ended in its middle, has to do. Twice is once."""
        settled, last, end = self._reaching
        if last is not None and settled == self.settled:
            self._stand = (self.account.counts, self._remains.give_up(last, end))
            self._reaching = (settled, None, 0)

    def entry(self, counts: Counted, *, ended: bool = False) -> LedgerEntry:
        """Return what became of the process's records: before, and since they were adopted.

        It is of the moment when the process was last seen; until it has ``ended``, nobody knows how much is waiting.
        """
        lost: dict[str, int] = dict(self._before.lost or {})
        for reason, count in counts.losses.counts().items():
            lost[reason] = lost.get(reason, 0) + count
        delivered = self._before.delivered + counts.delivered
        waiting = 0 if ended else max(0, self._before.waiting - counts.delivered - counts.losses.total())
        return replace(
            self._before,
            emitted=delivered + sum(lost.values()) + waiting,
            delivered=delivered,
            waiting=waiting,
            lost={reason: count for reason, count in lost.items() if count} or None,
            ended=ended,
        )

    @property
    def is_behind(self) -> bool:
        """Return whether something is still to be read."""
        return not self._reading.ended

    @property
    def exhausted(self) -> bool:
        """Return whether everything has been handed out and settled."""
        reading = self._reading
        return reading.ended and not reading.fetched and not self._hand[2]

    @property
    def finished(self) -> bool:
        """Return whether the home has been removed."""
        return self._removed

    def end(self) -> None:
        """Remove the home, keeping aside the segments in which something could not be read; say so."""
        if self._removed:
            return
        with contextlib.suppress(OSError):
            self._remains.remove()
        self.leave()
        self._removed = True
        if self.damages:
            report(
                "tracecore could not read all of what a process left in its journal: %d damaged stretches are lost; "
                "the segments are kept in %s",
                self.damages, self._remains.aside,
            )  # fmt: skip

    def leave(self) -> None:
        """Let go of the home: whoever comes next may adopt it."""
        self._owner.close()


class Choice(Protocol):
    """Decide which homes are adopted."""

    fallback: Origin
    """Stands for the origin of spans whose owner's file is damaged."""

    def begin(self, names: list[str]) -> None:
        """Begin with the homes of a directory."""
        ...

    def passes(self, home: Path) -> bool:
        """Return whether a home is to be left alone; raises OSError where that cannot be found out."""
        ...

    def note_denied(self, name: str, error: OSError) -> None:
        """Take note of a home that cannot be adopted now."""
        ...


def adopt(
    directory: Path, choice: Choice, files: Files, known: set[str], clock: Callable[[], int] = monotonic_ns
) -> Iterator[Leftover]:
    """Lock and return what dead processes left and ``choice`` allows, but for homes that are ``known``; add them to it.

    A home that is half made is somebody's at work; only one that was met before, and still is, is looked into.

    Raises:
        OSError: the directory cannot be read.
    """
    names = [name for name in files.names(directory) if is_home(name)]
    known.intersection_update(names)  # of thousands that came and went nothing is remembered
    choice.begin(names)
    for name in names:
        if name.endswith(UNFINISHED) and name not in known:
            known.add(name)
        elif name.endswith(UNFINISHED) or name not in known:
            home = directory / name
            try:
                leftover = None if choice.passes(home) else _adopted(home, choice.fallback, files, clock)
            except FileNotFoundError:  # somebody has removed it meanwhile
                continue
            except OSError as error:
                choice.note_denied(name, error)
                continue
            if leftover is not None:
                known.add(name)
                yield leftover


def _adopted(home: Path, fallback: Origin, files: Files, clock: Callable[[], int]) -> Leftover | None:
    """Lock and return one home; None where somebody else has it or there is nothing to deliver."""
    if not files.is_directory(home):
        return None
    try:
        owner = Owner.adopt(files, home / OWNER, salt_of(home.name))
    except FileNotFoundError:  # its process died while it made or removed it, or somebody has removed that file alone
        if _is_removed(home, files):
            return None
        files.close(files.create(home / OWNER))
        owner = Owner.adopt(files, home / OWNER, salt_of(home.name))
    if owner is None:
        return None
    try:
        return Leftover(home, owner, fallback, files, clock)
    except BaseException:
        owner.close()
        raise


def _is_removed(home: Path, files: Files) -> bool:
    """Remove a home if it is empty; return whether it was."""
    try:
        files.remove_directory(home)
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise
        return False
    return True


def _nobody_works() -> bool:
    return False


def _unknown(project: str, home: str) -> LedgerEntry:
    """Return an entry for a process of which nothing is known but the name of its home."""
    pid, _, process = home.partition("-")
    process = process.partition("_")[0]  # behind it stands which of several backends of the process it was for
    now = wall_ns()
    return LedgerEntry(
        project, process, now - now % MINUTE_NS, now, pid=int(pid) if pid.isdecimal() else None, started_ns=now
    )
