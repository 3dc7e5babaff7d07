"""One thread's part of the journal: the blocks that it writes into and the pump reads, as a lane of the ring."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import takewhile
from typing import Any, Final, TypeAlias

from msgspec import Struct

from tracecore.blocks import FIRST, bodies, pieces_of
from tracecore.frames import Origin, record_of
from tracecore.lanes import Lane, Presence, Settling, Traced
from tracecore.owners import Mark
from tracecore.records import Record
from tracecore.segments import BUSY, Block, Home, no_block

__all__ = ["JournalLane", "Kept"]

_WARM: Final = 16
"""Blocks of a lane (1 MiB) that stay in memory: who keeps up reads them at once."""
Body: TypeAlias = bytes
Piece: TypeAlias = tuple[bytes, int]
"""A piece of a body, and its flags."""


class Kept(Struct, eq=False, gc=False):
    """A body that was read from a block, on its way through the buffer."""

    body: bytes
    size: int
    origin: Origin
    block: Any
    """Where it was read, and up to where."""
    end: int
    trace_id: str | None = None
    """Only known once it is a record."""

    def seal(self) -> Record:
        """Return the record."""
        return record_of(self.body, self.origin)


class _Reached(Struct, frozen=True):
    """Say up to where a lane has been settled."""

    items: int = 0
    """All that were settled, as :attr:`tracecore.lanes.Lane.settled` says once they are."""
    frames: int = 0
    """Those of them that were in blocks."""
    size: int = 0
    """Their bytes."""
    block: Block | None = None
    """The last block that the last of them were in, and up to where; until that block knows it, too."""
    end: int = 0
    seed: int = 0
    """Tells this use of the block from the next."""


class JournalLane(Lane[Any]):
    """Hold what one thread has emitted, in blocks, and what had no room there in memory."""

    __slots__ = (
        "_bytes_read",
        "_frames_read",
        "_give_back",
        "_origin",
        "_reached",
        "_reaching",
        "_turn",
        "block",
        "blocks",
        "framed",
        "framed_before",
        "home",
        "number",
        "scratch",
        "unnamed",
    )

    def __init__(
        self, presence: Presence, number: int, origin: Origin, give_back: Callable[[deque[Block]], object]
    ) -> None:
        super().__init__(presence)
        self.number = number
        self._origin = origin
        self._give_back = give_back
        # written by the producer
        self.block = no_block()
        self.blocks: deque[Block] = deque()
        """Those that are not delivered as a whole, the oldest first; the last is the producer's. The pump removes."""
        self.scratch = bytearray()
        """Where bodies are made."""
        self.framed = 0
        self.unnamed: dict[JournalLane, int] = {}
        """Which item in blocks is the last of which the trace is not known, like a trace's ``kept``."""
        self.home: Home | None = None
        """Whose block it is."""
        self.framed_before = 0
        """How many items went into blocks of other homes, before."""
        # written by the pump
        self._frames_read = 0
        self._bytes_read = 0
        self._turn: tuple[int, int] | None = None
        """How many items had come into blocks, and into memory, when some were found there: it is those items' turn."""
        self._reached = self._reaching = _Reached()
        """The second is assigned before what it says is settled: whoever comes after a pump that ended finishes it."""

    @property
    def accepted(self) -> int:
        """Return how many items were ever pushed."""
        return self.granted - self.left + self.framed

    @property
    def depth(self) -> int:
        """Return how many items wait in memory."""
        return self.granted - self.left - (self.taken - self._frames_read)

    @property
    def kept(self) -> int:
        """Return how many items are in files, where the next process would find them, and not settled."""
        if self._is_gone:
            return 0
        return self.framed - max(self.framed_before, self.frames_settled)

    @property
    def _is_gone(self) -> bool:
        """Return whether files were removed, as far as that concerns this lane: then nothing of it counts as kept."""
        home = self.home
        if home is None or home.is_lost:
            return True
        return home.has_gaps and any(block.limit == 0 for block in list(self.blocks))

    @property
    def frames_settled(self) -> int:
        """Return how many of the settled items were in blocks."""
        reached = self._reaching if self._reaching.items == self.settled else self._reached
        return reached.frames

    @property
    def bytes(self) -> int:
        """Return how many bytes the items in memory hold."""
        return self.bytes_granted - self.bytes_left - (self.bytes_taken - self._bytes_read)

    @property
    def in_memory(self) -> int:
        """Return how many items that are not settled are nowhere but in memory."""
        settled = self.settled  # first: beside the pump too many rather than too few
        frames = self.frames_settled
        removed = self.framed if self._is_gone else self.framed_before
        return self.granted - self.left - (settled - frames) + max(0, removed - frames)

    def place_of(self, count: int, home: Home) -> tuple[int, Mark | None]:
        """Return how many of the first items in hand were in memory, and up to where the others were in blocks."""
        done = self._hand[2][:count]
        frames = [item for item in done if isinstance(item, Kept)]
        if not frames or frames[-1].block.segment not in home.segments:
            return len(done), None
        return len(done) - len(frames), Mark(self.number, frames[-1].block.sequence, frames[-1].end)

    def take(self, max_items: int, max_bytes: int) -> list[Any]:
        """Hand out what was written into blocks, then what waits in memory, within the bounds; at least one if any.

        What comes into blocks meanwhile has to wait for what was in memory before, or that would wait for ever.
        """
        if self.items and self._turn is None:
            self._turn = (self.framed, self.granted - self.left)
        frames = max_items if self._turn is None else min(max_items, self._turn[0] - self._frames_read)
        read = self._read(frames, max_bytes) if frames > 0 else []
        size = sum(kept.size for kept in read)
        # In this order a producer that looks meanwhile sees too little room in memory, and never too much.
        self._frames_read += len(read)
        self._bytes_read += size
        self._hand[2].extend(read)
        self.bytes_taken += size
        if self.items and len(read) < max_items and size < max_bytes:
            read += super().take(max_items - len(read), max_bytes - size)
        if self._turn is not None and (not self.items or self.taken - self._frames_read >= self._turn[1]):
            self._turn = None
        return read

    def settle(self, count: int) -> None:
        """Forget what was handed out first, and give back the blocks that it was in."""
        self._catch_up()
        done, before = self._hand[2][:count], self._reached
        frames = [item for item in done if isinstance(item, Kept)]
        block, end = (frames[-1].block, frames[-1].end) if frames else (None, 0)
        size = before.size + sum(kept.size for kept in frames)
        seed = 0 if block is None else block.seed
        self._reaching = _Reached(self.settled + len(done), before.frames + len(frames), size, block, end, seed)
        super().settle(count)
        self._catch_up()

    def rewind(self) -> int:
        """Go back to what is not settled; return how many items that were."""
        self._catch_up()
        hand = self._hand[2]
        count = sum(isinstance(item, Kept) for item in hand)
        hand[:] = [item for item in hand if not isinstance(item, Kept)]
        for block in list(self.blocks):
            block.taken = block.delivered
        count += super().rewind()
        self._frames_read, self._bytes_read = self._reached.frames, self._reached.size
        return count

    def marks(self, trace: Traced | None) -> list[tuple[Settling, int]]:
        """Return what must be settled, and up to where, for nothing of a trace to wait in here any more; None is all.

        Blocks and memory are told apart, since what is in memory may be overtaken. A record of which it is not known
        whose trace it is counts as one of this.
        """
        if trace is None:
            return [(_InBlocks(self), self.framed), (_InMemory(self), self.granted - self.left)]
        named = max(trace.kept.get(self, 0), self.unnamed.get(self, 0))
        in_memory = [item for item in [*self._hand[2], *self.items] if not isinstance(item, Kept)]
        last = max((place for place, item in enumerate(in_memory, 1) if item.trace_id == trace.trace_id), default=0)
        memory = _InMemory(self)
        return [(_InBlocks(self), min(named, self.framed)), (memory, last and memory.settled + last)]

    @property
    def finished(self) -> bool:
        """Return whether nothing can come from this lane any more: its thread is dead and all of it is settled."""
        return super().finished and self.settled >= self.accepted

    def write(self, body: Body, block: Block, start: int, home: Home) -> bool:
        """Write a body for which the short way is none; return whether there was room.

        The ``block`` that the lane stands in is marked as busy meanwhile; ``start`` is where in it that is. Where it is
        one of another home, the lane goes on in this one. The body can be read from one instant on. An exception that
        comes from outside (``KeyboardInterrupt``) finds all of it written and counted, or nothing: assignments in one
        line call nothing, and no signal is handled in their middle.

        Raises:
            OSError: the disk gives no room.
        """
        here, *rest = pieces_of(body, max(0, block.limit - start) if home is self.home else 0)
        if rest:
            return self._write_on(here, rest, block, start, home)
        end = block.write(start, *here)
        self.framed, block.written = self.framed + 1, end
        return True

    def _write_on(self, here: Piece, rest: list[Piece], block: Block, start: int, home: Home) -> bool:
        """Write the first piece of a body into the lane's block, unless it is empty, and each other into a new one."""
        before = self.framed_before if home is self.home else self.framed
        more: deque[Block] = deque()
        end = opening = start
        accepted = False
        try:
            if not self._has_blocks(len(rest), more, home):
                return False
            for added, (piece, flags) in zip(reversed(more), reversed(rest), strict=True):  # the beginning last
                added.written = added.write(FIRST, piece, flags)
            end = block.write(start, *here) if here[0] else start
            # Nothing behind a block that is busy is read; a lane's first block has none before it.
            opening, more[0].written = more[0].written, BUSY
            accepted, self.framed, self.block, self.home, self.framed_before = (
                True, self.framed + 1, more[-1], home, before,
            )  # fmt: skip
            self.blocks.extend(more)
        finally:
            if accepted:
                more[0].written, block.written = opening, end
            else:
                while more:
                    home.give_back(more)
        return True

    def cool(self) -> None:
        """Let memory go of what will not be read soon, while the backend is away. Any thread may do so."""
        for block in list(self.blocks)[_WARM:-1]:
            block.cool()

    def end(self) -> None:
        """Give the last block back: the thread that wrote into it is dead, and all of it is delivered."""
        self.block = no_block()
        while self.blocks:
            self._give_back(self.blocks)

    def let_go(self) -> None:
        """Forget the blocks, so that their maps can end: what is in them is for the next process."""
        self.block = no_block()
        self.blocks.clear()

    def _has_blocks(self, count: int, found: deque[Block], home: Home) -> bool:
        """Gather blocks; return False where there are fewer than ``count``."""
        while len(found) < count:
            block = home.block(self.number)
            if block is None:
                return False
            found.append(block)
        return True

    def _read(self, max_items: int, max_bytes: int) -> list[Kept]:
        """Return the frames that have not been handed out; one in pieces once all of them are there."""
        found: list[Kept] = []
        size = 0
        blocks = list(takewhile(lambda block: block.written != BUSY, list(self.blocks)))
        starts = {block: block.taken for block in blocks}
        for body, passed in bodies((block, block.waiting()) for block in blocks):
            for block, end in passed:
                block.taken = starts[block] + end
            block, end = passed[-1]
            found.append(Kept(body or b"", len(body or b""), self._origin, block, starts[block] + end))
            size += found[-1].size
            if len(found) >= max_items or size >= max_bytes:
                break
        return found

    def _catch_up(self) -> None:
        """Finish what a settlement, also one whose pump has ended in its middle, has to do. Twice is once."""
        reaching = self._reaching
        if reaching is not self._reached and reaching.items == self.settled:
            block = reaching.block
            if block is not None and block in self.blocks and block.seed == reaching.seed:
                self._deliver(block, reaching.end)
            self._reached = self._reaching = _Reached(reaching.items, reaching.frames, reaching.size)

    def _deliver(self, block: Block, end: int) -> None:
        """Give back the blocks before ``block``, and itself where it has been delivered and left by the producer."""
        blocks = self.blocks
        while blocks[0] is not block:
            self._give_back(blocks)
        # After those before it: a process may die in between, and a body that began there must find its rest.
        block.deliver(end)
        if len(blocks) > 1 and end >= block.written:
            self._give_back(blocks)


class _InBlocks:
    """Say how many of a lane's items have been settled that were in blocks, in their order."""

    __slots__ = ("_lane",)

    def __init__(self, lane: JournalLane) -> None:
        self._lane = lane

    @property
    def settled(self) -> int:
        """Return how many those are."""
        return self._lane.frames_settled

    @property
    def kept(self) -> int:
        """Return how many are where the next process would find them, and not settled."""
        return self._lane.kept


class _InMemory(_InBlocks):
    """Say how many of a lane's items have been settled that waited in memory, in their order."""

    __slots__ = ()

    @property
    def settled(self) -> int:
        """Return how many those are."""
        settled = self._lane.settled  # first: beside the pump too few rather than too many
        return settled - self._lane.frames_settled

    @property
    def kept(self) -> int:
        """Return how many are where the next process would find them: none."""
        return 0
