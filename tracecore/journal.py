"""The journal: the buffer whose content survives the death of the process, by ``kill -9`` too.

It has the ring's interface and stands in its place. What a span's end writes goes into a file that is mapped into
memory: the operating system has it from then on, whatever becomes of the process, and no call on the system is made for
it. The pump reads the same bytes back when it is their turn, so that they hold no memory while the backend is away: the
journal is the spool as well. Only what the backend has acknowledged is given up (:meth:`JournalLane.settle`).

* Each lane writes into a block of its own (:mod:`tracecore.blocks`) in the files of this process
  (:mod:`tracecore.segments`). What a dead process left is adopted by the next one (:mod:`tracecore.leftovers`).
* Where there is no room (the journal has its full size, the disk has none, the directory cannot be written to), a
  record waits in memory, as without a journal, within the ring's bounds; that is said once. Records of one thread may
  then overtake each other.
* Masking happens before anything is written.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from struct import Struct as Layout
from typing import Any, Final, Literal, TypeAlias
from zlib import crc32

import msgspec

from tracecore.adoption import Adoption
from tracecore.backend import Backend, Level
from tracecore.blocks import FREE_OF_LOCKS, HEADER
from tracecore.caretaker import Caretaker
from tracecore.clock import monotonic_ns
from tracecore.files import Files
from tracecore.frames import Origin, write_body
from tracecore.journal_lane import JournalLane
from tracecore.lanes import Lane, Presence
from tracecore.locks import Busy, Turn
from tracecore.owners import Mark, Note
from tracecore.records import LedgerEntry
from tracecore.reporting import report, text_of_error
from tracecore.ring import Ring, always
from tracecore.segments import BUSY, Block, Home, Segment

__all__ = ["Journal", "Sync"]

Sync: TypeAlias = Literal["none", "interval", "always"]

_pack_into = Layout("<II").pack_into
_CANNOT_BE_WRITTEN: Final = (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError)
"""What encoding raises of a field that nobody can encode."""
_WAKE_EVERY: Final = 16
"""Blocks of one lane (1 MiB) after which the pump is woken."""
_TRY_AGAIN_NS: Final = 1_000_000_000
_SHRINK_EVERY_NS: Final = 10_000_000_000
_REPORT_EVERY_NS: Final = 60_000_000_000
_LOOK_AFTER_EVERY: Final = 1.0
"""Seconds between two looks after the files, where nobody asks for one."""
_END_WAITS: Final = 0.05
"""Seconds that the end waits for who is making or removing files."""


class Journal(Ring[Any]):
    """Keep what the threads of this process emit in files, until the backend has it.

    ``directory`` is shared by every process of a service; ``most_bytes`` bounds what this one has there. The ring's
    bounds hold for what waits in memory. ``sync`` says when what was written is brought to the disk itself, so that it
    survives the end of the machine's power too: never by us (``none``), every ``sync_interval`` seconds, or before an
    emit returns (``always``: each emit then takes as long as the disk does).

    What takes files, and so may take its time, is done by a thread of its own where it is ``looked_after``; else by
    whoever calls :meth:`housekeep`.
    """

    def __init__(
        self,
        max_items: int,
        max_bytes: int,
        *,
        directory: Path,
        most_bytes: int,
        origin: Origin,
        sync: Sync = "none",
        sync_interval: float = 1.0,
        looked_after: bool = False,
        files: Files | None = None,
        clock: Callable[[], int] = monotonic_ns,
        **callbacks: Any,
    ) -> None:
        super().__init__(max_items, max_bytes, **callbacks)
        self.directory = directory.absolute()
        self._trouble: str | None = None
        """Why what is emitted now waits in memory only. Said by who finds no room, taken back by who makes some."""
        self._disk_trouble: str | None = None
        """Why nothing is called durable any more: for good, since what a disk says after it failed proves nothing."""
        self._origin = origin
        self._most_bytes = most_bytes
        self._sync = sync
        self._sync_interval = sync_interval
        self._files = files or Files()
        self._clock = clock
        self._home: Home | None = None
        self._process: str | None = None
        self._numbers = itertools.count(1)
        self._attempts = itertools.count()
        self._next_try = self._next_shrinking = self._next_report = self._next_sync = 0
        self._is_looked_after = looked_after or sync == "interval"
        self._caretaker: Caretaker | None = None
        self._ended = False
        self._tending = threading.Lock()
        """Held while files of this process's home are made or removed."""
        self._adoption = Adoption(
            self, self.directory, origin, files=self._files, clock=clock, on_news=self._on_half_full, ask=self._ask,
            has_thread=self._has_thread,
        )  # fmt: skip

    def aim(self, backend: Backend) -> Adoption:
        """Keep, and adopt, what is meant for this backend; return what looks after the homes. Before it begins."""
        self._origin = self._adoption.aim(self._origin, backend)
        return self._adoption

    def begin(self, process: str) -> None:
        """Make this process's home, so that the first emit finds it. Where that fails, the pump tries again."""
        self._process = process
        self._attempts = itertools.count()
        self._ended = False
        if self._home is None:  # else this is not the first time that it is tried
            self._make_home()
        if self._is_looked_after and not self._has_thread():
            pause = min(_LOOK_AFTER_EVERY, self._sync_interval)
            try:
                self._caretaker = Caretaker(self._look_after, pause=pause, name="tracecore-journal")
            except RuntimeError as error:  # then the pump does what can be done
                report("tracecore has no thread to look after its journal: %s", text_of_error(error))

    def push(self, item: Any, size: int = 0) -> bool:
        """Take an item from the calling thread; return whether it was accepted. In the journal when this returns.

        A push that interrupts another one of the same thread (of a finalizer, of a signal's handler) finds the block
        marked as busy and goes into memory.
        """
        try:
            lane: JournalLane = self._local.lane
        except AttributeError:
            lane = self._new_journal_lane()
        # Assignments in one line call nothing: no other push of this thread, and no exception, comes in their middle.
        start, block.written = (block := lane.block).written, BUSY
        if start == BUSY or self.closed:
            block.written = start
            return super().push(item, size)
        try:
            body = lane.scratch
            kept = write_body(item, body, lane.unnamed)
            length = len(body)
            end = start + HEADER + length
            if end <= block.limit and length <= FREE_OF_LOCKS:
                block.view[start + HEADER : end] = body
                _pack_into(block.view, start, length, crc32(body, block.seed ^ start))
            elif self._write_long(lane, kept, block, start):
                return True
            else:
                end = 0
        except _CANNOT_BE_WRITTEN:
            if self._has_written(item, block, start):
                raise  # not for that reason: a signal's handler has raised it
            kept, end = lane.unnamed, 0  # in memory it meets the pump, which finds the same error and counts it
        except BaseException:  # of a signal's handler: it is the program's, whatever it is
            self._has_written(item, block, start)
            raise
        if end:
            kept[lane], lane.framed, block.written = (place := lane.framed + 1), place, end
            return True
        if block.written == BUSY:
            block.written = start
        return super().push(item)

    def housekeep(self, now_ns: int, go_on: Callable[[], object] = always) -> None:
        """Give back what dead threads held, and part with dead processes; see to it that the files are looked after."""
        self._adoption.say_farewells()
        for lane in self.lanes():
            if isinstance(lane, JournalLane) and lane.finished:
                lane.end()
        if not self._ask():
            self._tend(now_ns, go_on)
        super().housekeep(now_ns, go_on)

    def _ask(self) -> bool:
        """Have the files looked after now; return whether there is a thread for that."""
        caretaker = self._caretaker
        if caretaker is not None:
            caretaker.wake()
        return self._has_thread()

    def _has_thread(self) -> bool:
        return self._caretaker is not None and self._caretaker.works

    def _look_after(self) -> None:
        """Do what takes long where files are concerned, in a thread of its own: adding, removing, syncing, adopting."""
        if not self._ended:
            self._tend(self._clock())
        now = monotonic_ns()
        if self._sync == "interval" and now >= self._next_sync:
            self._next_sync = now + int(self._sync_interval * 1e9)
            self._bring_to_disk()

    def _tend(self, now_ns: int, go_on: Callable[[], object] = always) -> None:
        """Keep some room ahead, let memory go of a backlog, and adopt what dead processes left, or remove it."""
        for lane in self.lanes():
            if isinstance(lane, JournalLane):
                lane.cool()
        self._report_trouble(now_ns)  # before it is over: it may come again and again
        if not self.closed:
            with contextlib.suppress(Busy), Turn(self._tending, 0):
                if now_ns >= self._next_try:
                    self._keep_room()
                    self._next_try = now_ns if self._trouble is None else now_ns + _TRY_AGAIN_NS
                if now_ns >= self._next_shrinking:
                    self._next_shrinking = now_ns + _SHRINK_EVERY_NS
                    self._give_room_back()
        go_on()  # the disk may have taken its time
        self._adoption.look_after(now_ns)

    def _report_trouble(self, now_ns: int) -> None:
        if self._trouble is not None and now_ns >= self._next_report:
            self._next_report = now_ns + _REPORT_EVERY_NS
            report(
                "tracecore cannot use its journal in %s: %s; what finds no room there waits in memory, where a crash "
                "loses it",
                self.directory, self._trouble,
            )  # fmt: skip

    @property
    def trouble(self) -> str | None:
        """Return why what is emitted now waits in memory only, or is not called durable; None where all is well."""
        return self._trouble or self._disk_trouble

    @property
    def recovering(self) -> bool:
        """Return whether something that dead processes left is still to be delivered, or to be looked for."""
        return self._adoption.going_on

    @property
    def is_due(self) -> bool:
        """Return whether a segment should be added before somebody needs it, or a home is done with."""
        if self._home is not None and self._home.is_short and self._trouble is None:
            return True
        return self._adoption.is_due

    def keep(self, entry: Callable[[], LedgerEntry], shares: Sequence[tuple[Lane[Any], int]] = ()) -> None:
        """Keep what became of everything so far beside what is waiting, for whoever may have to adopt it."""
        home = self._home
        with contextlib.suppress(OSError):  # then an adopter counts from an earlier moment
            if home is not None:
                home.owner.keep(self._note_of(entry(), dict(shares), home))

    def _note_of(self, entry: LedgerEntry, shares: dict[Lane[Any], int], home: Home) -> Note:
        """Return what the owner's file is to say; up to where, in the same breath, for what is not settled yet."""
        in_memory = 0
        marks: list[Mark] = []
        for lane in self.lanes():
            if isinstance(lane, JournalLane):
                settling, mark = lane.place_of(shares.get(lane, 0), home)
                in_memory += max(0, lane.in_memory - settling)
                marks += [mark] if mark else []
        return Note(entry, in_memory, tuple(marks))

    def end(self) -> None:
        """Remove the files if everything in them was delivered; else leave them to the next process."""
        self._ended = True
        if self._caretaker is not None:
            self._caretaker.stop()
        home = self._home
        with contextlib.suppress(Busy), Turn(self._tending, _END_WAITS):  # else a disk hangs: do not go there as well
            self._home = None
            self._part_with_files(home)
        self._home = self._process = None
        self._adoption.leave()
        if home is not None:
            home.leave()
        for lane in self.lanes():
            if isinstance(lane, JournalLane):
                lane.let_go()

    def _part_with_files(self, home: Home | None) -> None:
        """Remove, of this home and those of others, what nothing is left in."""
        self._adoption.note()
        self._adoption.say_farewells()
        self._adoption.remove_delivered()
        with contextlib.suppress(OSError):
            if home is not None and not home.is_there():
                home.give_up()
            elif home is not None and all(lane.settled >= lane.accepted for lane in self.lanes()):
                home.remove()
            elif home is not None:
                home.give_space_back()

    def forget_everything(self) -> None:
        """Drop lanes, totals and files without touching them: they belong to the parent of this forked process."""
        self._adoption.leave()
        super().forget_everything()
        if self._home is not None:
            self._home.leave()
        self._home = self._process = self._trouble = None
        self._caretaker = self._disk_trouble = None
        self._tending = threading.Lock()
        self._adoption.begin()
        self._next_try = self._next_shrinking = self._next_report = self._next_sync = 0

    @property
    def level(self) -> Level:
        """Return what is known of everything that was accepted and has not been delivered yet."""
        if any(lane.in_memory > 0 for lane in self.lanes() if isinstance(lane, JournalLane)):
            return "accepted"
        return "durable" if self._sync == "always" and self._disk_trouble is None else "handed_over"

    @property
    def left(self) -> int:
        """Return how many accepted items are in the files and not settled: after the end, what stays for the next."""
        return sum(lane.kept for lane in self.lanes() if isinstance(lane, JournalLane))

    def _make_lane(self, presence: Presence) -> JournalLane:
        return JournalLane(presence, next(self._numbers), self._origin, self._give_back)

    def _new_journal_lane(self) -> JournalLane:
        lane = self._new_lane()
        if not isinstance(lane, JournalLane):
            raise TypeError(lane)
        return lane

    def _has_written(self, item: Any, block: Block, start: int) -> bool:
        """Return whether a push that was cut short has written and counted its item; else free the block again."""
        if block.written == BUSY:
            try:
                block.clear(start)
            finally:
                block.written = start
            return False
        self._local.counted = item
        return True

    def _write_long(self, lane: JournalLane, kept: dict[Any, int], block: Block, start: int) -> bool:
        """Write a body that is long, or does not fit into the lane's block; return False where it has to be memory."""
        home, body = self._home, bytes(lane.scratch)
        lane.scratch = bytearray()
        if home is None or not (home.free or self._trouble is None):
            return False
        kept[lane] = lane.framed + 1
        written = False
        try:
            written = lane.write(body, block, start, home)
            if not written:
                self._note(self._trouble or f"it has its full size of {self._most_bytes} bytes")
        except OSError as error:
            if error.errno is None:  # no call on a file has raised it: a signal's handler, as TimeoutError
                raise
            self._note(text_of_error(error))
        if home.is_short:
            self._ask()
        if home.is_short or len(lane.blocks) % _WAKE_EVERY == 0:
            self._on_half_full()
        return written

    def _make_home(self) -> None:
        if self._process is None:
            return
        attempt = next(self._attempts)  # of an earlier one something may have stayed that cannot be removed
        process = f"{self._process}-{attempt}" if attempt else self._process
        try:
            self._home = Home(
                self.directory, process, self._origin,
                most_bytes=self._most_bytes, synced=self._sync != "none", files=self._files,
            )  # fmt: skip
        except OSError as error:
            self._note(text_of_error(error))
        else:
            self._adoption.known.add(self._home.path.name)
            self._trouble = None

    def _keep_room(self) -> None:
        """Add a segment before somebody needs it, which takes a while; move out of a home that was removed."""
        try:
            home = self._home
            is_there = home is None or home.is_there()
            if self._ended:  # meanwhile: then it was this process that has let go of it
                return
            if home is not None and not is_there:
                self._home = None
                home.give_up()
                report("the journal of tracecore in %s was removed, or closed; another is begun", home.path)
            elif home is not None and (removed := home.part_with_removed()):
                report("%d files of tracecore's journal in %s were removed; others replace them", removed, home.path)
            if self._home is None:
                self._make_home()
            elif self._home.is_short:
                self._home.grow()
            if self._home is not None and self._home.free:
                self._home.may_grow = True
                self._trouble = None
        except OSError as error:
            self._note(text_of_error(error))

    def _give_room_back(self) -> None:
        """Return room that is not needed any more."""
        with contextlib.suppress(OSError):  # then it is kept
            while self._home is not None and self._home.shrink():
                pass

    def _note(self, trouble: str) -> None:
        self._trouble = trouble
        if self._home is not None:
            self._home.may_grow = False

    def _give_back(self, blocks: deque[Block]) -> None:
        home = self._home
        if home is not None:
            home.give_back(blocks)
        else:
            blocks.popleft()

    def _bring_to_disk(self) -> None:
        home = self._home
        if home is not None:
            self._bring_segments_to_disk(home, list(home.segments))

    def _bring_segments_to_disk(self, home: Home, segments: Iterable[Segment]) -> None:
        try:
            for segment in segments:
                home.sync_segment(segment)
        except OSError as error:
            if self._disk_trouble is None:
                self._disk_trouble = text_of_error(error)
                report(
                    "tracecore cannot bring its journal in %s to the disk: %s; from now on what is in it survives the "
                    "end of this process, and not that of the machine",
                    self.directory, self._disk_trouble,
                )  # fmt: skip
