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
from collections.abc import Callable
from pathlib import Path
from struct import Struct as Layout
from typing import Any, Final, Literal, TypeAlias
from zlib import crc32

from tracecore.backend import Level
from tracecore.blocks import HEADER, LIMIT
from tracecore.clock import monotonic_ns
from tracecore.codec import Mask, mask_record
from tracecore.config import Config
from tracecore.files import Files
from tracecore.frames import Origin, write_body
from tracecore.journal_lane import JournalLane
from tracecore.leftovers import Leftover, adopt
from tracecore.records import LedgerEntry, Provenance
from tracecore.reporting import report, text_of_error
from tracecore.ring import Ring
from tracecore.sealing import Emitted, Unsealable
from tracecore.segments import BUSY, Block, Home

__all__ = ["Journal", "StrictJournal", "Sync", "journal_of"]

Sync: TypeAlias = Literal["none", "interval", "always"]

_pack_into = Layout("<II").pack_into
_ORDINARY: Final = 5 * 1024
"""A longer body goes the longer way: its checksum at once would give the interpreter's lock up."""
_WAKE_EVERY: Final = 16
"""Blocks of one lane (1 MiB) after which the pump is woken."""
_TRY_AGAIN_NS: Final = 1_000_000_000
_LOOK_EVERY_NS: Final = 10_000_000_000
"""How often what dead processes left is looked for."""
_REPORT_EVERY_NS: Final = 60_000_000_000


class Journal(Ring[Any]):
    """Keep what the threads of this process emit in files, until the backend has it.

    ``directory`` is shared by every process of a service; ``most_bytes`` bounds what this one has there. The ring's
    bounds hold for what waits in memory. ``sync`` says when what was written is brought to the disk itself, so that it
    survives the end of the machine's power too: never by us (``none``), every ``sync_interval`` seconds, or before an
    emit returns (``always``: each emit then takes as long as the disk does).
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
        files: Files | None = None,
        clock: Callable[[], int] = monotonic_ns,
        **callbacks: Any,
    ) -> None:
        super().__init__(max_items, max_bytes, **callbacks)
        self.directory = directory.absolute()
        self._trouble: str | None = None
        """Why what is emitted now waits in memory only."""
        self._origin = origin
        self._most_bytes = most_bytes
        self._sync = sync
        self._sync_interval = sync_interval
        self._files = files or Files()
        self._clock = clock
        self._home: Home | None = None
        self._process: str | None = None
        self._numbers = itertools.count(1)
        self._next_try = self._next_look = self._next_report = 0
        self._ended = threading.Event()
        self._known: set[str] = set()
        """Homes that were adopted: each once, also where it cannot be removed afterwards."""

    def begin(self, process: str) -> None:
        """Make this process's home, so that the first emit finds it. Where that fails, the pump tries again."""
        self._process = process
        self._settle_in()
        if self._sync == "interval":
            threading.Thread(target=self._sync_on, args=(self._ended,), name="tracecore-sync", daemon=True).start()

    def push(self, item: Any, size: int = 0) -> bool:
        """Take an item from the calling thread; return whether it was accepted. In the journal when this returns.

        A push that interrupts another one of the same thread (of a finalizer, of a signal's handler) finds the block
        marked as busy and goes into memory.
        """
        try:
            lane: JournalLane = self._local.lane
        except AttributeError:
            lane = self._new_journal_lane()
        block = lane.block
        start = block.written
        if start == BUSY or self.closed:
            return super().push(item, size)
        block.written = BUSY
        try:
            body = lane.scratch
            write_body(item, body)
            length = len(body)
            end = start + HEADER + length
            if end <= LIMIT and length <= _ORDINARY:
                block.view[start + HEADER : end] = body
                _pack_into(block.view, start, length, crc32(body, block.seed))
            else:
                end = 0
        except Exception:  # noqa: BLE001 - in memory it meets the pump, which finds the same error and counts it
            block.written = start
            return super().push(item)
        except BaseException:
            block.written = start
            raise
        if not end:
            return self._push_elsewhere(lane, item, start)
        lane.framed += 1
        block.written = end
        return True

    def housekeep(self, now_ns: int) -> None:
        """Give back what dead threads held, keep some room ahead, and adopt what dead processes left."""
        for lane in self.lanes():
            if isinstance(lane, Leftover):
                self._part_with(lane)
            elif isinstance(lane, JournalLane) and lane.finished:
                lane.end()
        super().housekeep(now_ns)
        if not self.closed and now_ns >= self._next_try:
            self._keep_room()
        if not self.closed and now_ns >= self._next_look:
            self._next_look = now_ns + _LOOK_EVERY_NS
            self._look_around()
        if self._trouble is not None and now_ns >= self._next_report:
            self._next_report = now_ns + _REPORT_EVERY_NS
            report(
                "tracecore cannot use its journal in %s: %s; spans wait in memory until it can, and a crash loses them",
                self.directory, self._trouble,
            )  # fmt: skip

    @property
    def trouble(self) -> str | None:
        """Return why what is emitted now waits in memory only; None while it does not."""
        return self._trouble

    @property
    def recovering(self) -> bool:
        """Return whether something that dead processes left is still to be delivered, or to be looked for."""
        return not self._next_look or any(isinstance(lane, Leftover) for lane in self.lanes())

    @property
    def is_short(self) -> bool:
        """Return whether a segment should be added before somebody needs it."""
        return self._home is not None and self._home.is_short and self._trouble is None

    def keep(self, entry: Callable[[], LedgerEntry]) -> None:
        """Keep what became of everything so far beside what is waiting, for whoever may have to adopt it."""
        home = self._home
        with contextlib.suppress(OSError):  # then an adopter counts from an earlier moment
            if home is not None:
                home.owner.keep(entry())

    def end(self) -> None:
        """Remove the files if everything in them was delivered; else leave them to the next process."""
        self._ended.set()
        home, self._home = self._home, None
        for lane in self.lanes():
            if isinstance(lane, Leftover):
                self._part_with(lane)
                lane.leave()
        if home is None:
            return
        with contextlib.suppress(OSError):
            if all(lane.settled >= lane.accepted for lane in self.lanes()):
                home.remove()
        home.leave()

    def forget_everything(self) -> None:
        """Drop lanes, totals and files without touching them: they belong to the parent of this forked process."""
        for lane in self.lanes():
            if isinstance(lane, Leftover):
                lane.leave()
        super().forget_everything()
        if self._home is not None:
            self._home.leave()
        self._home = None
        self._ended = threading.Event()
        self._next_try = self._next_look = self._next_report = 0

    @property
    def level(self) -> Level:
        """Return what is known of everything that was accepted and has not been delivered yet."""
        if any(lane.items for lane in self.lanes()):
            return "accepted"
        return "durable" if self._sync == "always" else "handed_over"

    @property
    def left(self) -> int:
        """Return how many accepted items are in the files and not settled: after the end, what stays for the next."""
        return sum(lane.kept for lane in self.lanes() if isinstance(lane, JournalLane))

    def _make_lane(self, thread: threading.Thread) -> JournalLane:
        return JournalLane(thread, next(self._numbers), self._origin, self._give_back)

    def _new_journal_lane(self) -> JournalLane:
        lane = self._new_lane()
        if not isinstance(lane, JournalLane):
            raise TypeError(lane)
        return lane

    def _push_elsewhere(self, lane: JournalLane, item: Any, start: int) -> bool:
        """Take an item whose body does not fit into the lane's block: into other blocks, or into memory."""
        home, block = self._home, lane.block
        body, lane.scratch = lane.scratch, bytearray()
        written = False
        try:
            if home is not None and (home.free or self._trouble is None):
                written = lane.write(bytes(body), start, home)
                if not written:
                    self._note(f"it has its full size of {self._most_bytes} bytes")
        except OSError as error:
            self._note(text_of_error(error))
        finally:
            if block.written == BUSY:
                block.written = start
        if home is not None and (home.is_short or len(lane.blocks) % _WAKE_EVERY == 0):
            self._on_half_full()
        return written or super().push(item)

    def _settle_in(self) -> None:
        if self._process is None:
            return
        try:
            self._home = Home(
                self.directory, self._process, self._origin,
                most_bytes=self._most_bytes, synced=self._sync != "none", files=self._files,
            )  # fmt: skip
        except OSError as error:
            self._note(text_of_error(error))
        else:
            self._trouble = None

    def _keep_room(self) -> None:
        """Add a segment before somebody needs it, which takes a while."""
        home = self._home
        if home is None:
            self._settle_in()
            return
        try:
            if home.is_short:
                home.grow()
            if home.free:
                self._trouble = None
        except OSError as error:
            self._note(text_of_error(error))

    def _look_around(self) -> None:
        """Return room that is not needed any more, and adopt what dead processes left."""
        home = self._home
        try:
            if home is not None:
                while home.shrink():
                    pass
            for leftover in adopt(self.directory, self._origin, self._files, self._known):
                leftover.account = self.adopt(leftover.keep)
                self._lanes.append(leftover)
        except OSError as error:
            self._note(text_of_error(error))

    def _part_with(self, leftover: Leftover) -> None:
        """Have the ledger told of a process whose records have all been settled; once it knows, remove the home."""
        if not leftover.exhausted:
            return
        if leftover.farewell is None:
            leftover.farewell = leftover.entry(leftover.account.counts, ended=True)
            if leftover.farewell.emitted:
                self.farewells.append(leftover.farewell)
        if not any(leftover.farewell is waiting for waiting in self.farewells):
            leftover.end()

    def _note(self, trouble: str) -> None:
        self._trouble = trouble
        self._next_try = self._clock() + _TRY_AGAIN_NS

    def _give_back(self, block: Block) -> None:
        if self._home is not None:
            self._home.give_back(block)

    def _sync_on(self, ended: threading.Event) -> None:
        """Bring to the disk what was written, again and again, in a thread of its own: the disk may take its time."""
        while not ended.wait(self._sync_interval):
            self._bring_to_disk()

    def _bring_to_disk(self) -> None:
        home = self._home
        try:
            if home is not None:
                home.sync()
        except OSError as error:
            self._note(text_of_error(error))


def journal_of(config: Config, provenance: Provenance | None, **callbacks: Any) -> Journal:
    """Return the journal that a configuration asks for."""
    settings: dict[str, Any] = {
        "directory": Path(config.journal_dir),
        "most_bytes": config.journal_bytes,
        "origin": Origin(config.project, provenance),
        "sync": config.sync,
        "sync_interval": config.sync_interval_ms / 1e3,
        **callbacks,
    }
    if config.mask is None and config.sync != "always":
        return Journal(config.buffer_items, config.buffer_bytes, **settings)
    return StrictJournal(config.buffer_items, config.buffer_bytes, mask=config.mask, **settings)


class StrictJournal(Journal):
    """A journal that masks what it takes, or brings it to the disk before an emit returns: the slower ways."""

    def __init__(self, *arguments: Any, mask: Mask | None = None, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.masks = mask is not None
        self._mask = mask

    def push(self, item: Any, size: int = 0) -> bool:
        """Take an item as :meth:`Journal.push` does, masked, and on the disk when this returns."""
        accepted = super().push(item if self._mask is None else self._masked(item, self._mask), size)
        if self._sync == "always":
            self._bring_to_disk()
        return accepted

    def _masked(self, item: Any, mask: Mask) -> Any:
        try:
            return Emitted(mask_record(item.seal(), mask))
        except (Exception, SystemExit, GeneratorExit) as error:  # noqa: BLE001 - whatever a mask raises: this is inside the program
            return Unsealable(error, item.trace_id)
