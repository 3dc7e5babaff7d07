"""One thread's part of the journal: the blocks that it writes into and the pump reads, as a lane of the ring."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

from msgspec import Struct

from tracecore.blocks import FIRST, LIMIT, bodies, pieces_of
from tracecore.frames import Origin, record_of
from tracecore.records import Record
from tracecore.ring import Lane
from tracecore.segments import BUSY, Block, Home, no_block

__all__ = ["JournalLane", "Kept"]

Body: TypeAlias = bytes


class Kept(Struct, eq=False, gc=False):
    """A body on its way through the buffer: read from a block, or waiting in memory where there was no block."""

    body: bytes
    size: int
    origin: Origin
    block: Any = None
    """Where it was read, and up to where."""
    end: int = 0
    trace_id: str | None = None
    """Known of what never was in a block."""

    def seal(self) -> Record:
        """Return the record."""
        return record_of(self.body, self.origin)


class JournalLane(Lane[Any]):
    """Hold what one thread has emitted, in blocks, and what had no room there in memory."""

    __slots__ = (
        "_bytes_read",
        "_frames_read",
        "_give_back",
        "_origin",
        "block",
        "blocks",
        "framed",
        "number",
        "scratch",
    )

    def __init__(
        self, thread: threading.Thread, number: int, origin: Origin, give_back: Callable[[Block], object]
    ) -> None:
        super().__init__(thread)
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
        # written by the pump
        self._frames_read = 0
        self._bytes_read = 0

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
        """Return how many items are in blocks and not settled."""
        return self.framed - self._frames_read + sum(kept.block is not None for kept in self._hand[2])

    @property
    def bytes(self) -> int:
        """Return how many bytes the items in memory hold."""
        return self.bytes_granted - self.bytes_left - (self.bytes_taken - self._bytes_read)

    def take(self, max_items: int, max_bytes: int) -> list[Any]:
        """Hand out what was written into blocks, then what waits in memory, within the bounds; at least one if any."""
        read = self._read(max_items, max_bytes)
        size = sum(kept.size for kept in read)
        self._hand[2].extend(read)
        self.bytes_taken += size
        self._frames_read += len(read)
        self._bytes_read += size
        if self.items and len(read) < max_items and size < max_bytes:
            read += super().take(max_items - len(read), max_bytes - size)
        return read

    def settle(self, count: int) -> None:
        """Forget what was handed out first, and give back the blocks that it was in."""
        last = next((kept for kept in reversed(self._hand[2][:count]) if kept.block is not None), None)
        super().settle(count)
        if last is not None:
            self._deliver(last.block, last.end)

    def rewind(self) -> int:
        """Go back to what is not settled; return how many items that were."""
        hand = self._hand[2]
        read = [kept for kept in hand if kept.block is not None]
        hand[:] = [kept for kept in hand if kept.block is None]
        for block in list(self.blocks):
            block.taken = block.delivered
        size = sum(kept.size for kept in read)
        self.bytes_taken -= size
        self._frames_read -= len(read)
        self._bytes_read -= size
        return super().rewind() + len(read)

    def reach(self, trace_id: str) -> int:  # noqa: ARG002 - whose frames those are is only known by reading them
        """Return what ``settled`` must be for all that is in here now to be settled; 0 where it is."""
        accepted = self.accepted
        return accepted if accepted > self.settled else 0

    @property
    def finished(self) -> bool:
        """Return whether nothing can come from this lane any more: its thread is dead and all of it is settled."""
        return super().finished and self.settled >= self.accepted

    def write(self, body: Body, start: int, home: Home) -> bool:
        """Write a body that does not fit where the lane stands, in pieces; return whether there was room.

        The block that the lane stands in is marked as busy meanwhile; ``start`` is where in it that is. All pieces can
        be read from one instant on.

        Raises:
            OSError: the disk gives no room.
        """
        block = self.block
        here, *rest = pieces_of(body, LIMIT - start)
        more = self._blocks(len(rest), home)
        if more is None:
            return False
        for added, (piece, flags) in zip(more, rest, strict=True):
            added.written = added.write(FIRST, piece, flags)
        end = block.write(start, *here) if here[0] else start
        self.blocks.extend(more)
        self.framed += 1
        self.block = more[-1] if more else block
        block.written = end
        return True

    def end(self) -> None:
        """Give the last block back: the thread that wrote into it is dead, and all of it is delivered."""
        while self.blocks:
            self._give_back(self.blocks.popleft())

    def _blocks(self, count: int, home: Home) -> list[Block] | None:
        """Return ``count`` blocks, or None where there are fewer."""
        found: list[Block] = []
        try:
            while len(found) < count:
                block = home.block(self.number)
                if block is None:
                    return None
                found.append(block)
        finally:
            if len(found) < count:
                for block in found:
                    home.give_back(block)
        return found

    def _read(self, max_items: int, max_bytes: int) -> list[Kept]:
        """Return the frames that have not been handed out; one in pieces once all of them are there."""
        found: list[Kept] = []
        size = 0
        blocks = list(self.blocks)
        busy = next((number for number, block in enumerate(blocks) if block.written == BUSY), len(blocks))
        del blocks[busy:]
        starts = {block: block.taken for block in blocks}
        for body, passed in bodies((block, block.waiting()) for block in blocks):
            for block, end in passed:
                block.taken = starts[block] + end
            found.append(Kept(body or b"", len(body or b""), self._origin, block, block.taken))
            size += found[-1].size
            if len(found) >= max_items or size >= max_bytes:
                break
        return found

    def _deliver(self, block: Block, end: int) -> None:
        """Give back the blocks before ``block``, and itself where it has been delivered and left by the producer."""
        blocks = self.blocks
        while blocks[0] is not block:
            self._give_back(blocks.popleft())
        block.deliver(end)
        if len(blocks) > 1 and end >= block.written:
            self._give_back(blocks.popleft())
