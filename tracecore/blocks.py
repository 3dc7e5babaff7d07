"""The blocks that a journal's files consist of, and the frames in them.

A block is 64 KiB that one lane has to itself until everything in it has been delivered::

    head 32 bytes │ frame │ frame │ … │ zeros … │ tail 32 bytes
    frame = length and flags (u32) │ checksum (u32) │ body, or a piece of one

* All integers are little-endian. The checksum is the CRC-32 of the body, begun with the block's **seed** and the place
  of the frame in the block. The seed follows from the journal's salt, the lane and the number of this use, so that no
  frame of an earlier use, none that a disk has written to another place, and none that a program has put into a payload
  is taken for one of this block. One flipped byte is always seen.
* A body that does not fit is split: all its pieces but the last say ``MORE``, all but the first ``REST``, and the rest
  goes on in the lane's next blocks, as in the log format of LevelDB. A ``REST`` begins with the checksum of the whole
  body and its own place in it (u32 each): where a block between is lost, no piece is put behind one of another body.
* Head and tail say the same, once each, so that a damaged one is made up for by the other. The head also says up to
  where the block's frames have been delivered.
* A block is cleared before it is used: whatever instant a process dies at, a reader meets whole frames, then at most
  one that is torn, then zeros. (A frame that brought the zeros after it along would cost more than 3 µs a block.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from struct import Struct as Layout
from typing import ClassVar, Final, TypeVar
from zlib import crc32

from msgspec import Struct

from tracecore.frames import RECORD, SPAN

__all__ = [
    "BLOCK",
    "FIRST",
    "FREE_OF_LOCKS",
    "HEADER",
    "LIMIT",
    "MORE",
    "REST",
    "Frame",
    "Head",
    "bodies",
    "checksum",
    "end_of_rest",
    "frames",
    "pieces_of",
    "write_frame",
]

BLOCK: Final = 1 << 16
"""Bytes of a block."""
FIRST: Final = 32
"""Where the first frame begins."""
_TAIL: Final = BLOCK - 32
HEADER: Final = 8
"""Bytes of a frame before its body."""
LIMIT: Final = _TAIL
"""Where the last frame ends at most."""
MORE: Final = 1 << 31
REST: Final = 1 << 30
_SIZE: Final = REST - 1
_LEAST_PIECE: Final = 64
"""Bytes below which no piece is worth a frame of its own."""
FREE_OF_LOCKS: Final = 5 * 1024
"""``zlib`` gives the interpreter's lock up for more bytes than this, and gets it back after up to 5 ms."""

_head: Final = Layout("<4sIQIII")
_tail: Final = Layout("<4sIQI")
_use: Final = Layout("<IQ")
_delivered: Final = Layout("<II")
_frame: Final = Layout("<II")
_link: Final = Layout("<II")
_ROOM: Final = LIMIT - FIRST - HEADER - _link.size
"""Bytes of a body that go into a block of their own."""
_END: Final = bytes(HEADER)
_CLEARED: Final = bytes(_TAIL)
_MAGIC: Final = b"tcj1"
_FIRST_BYTES: Final = re.compile(b"[%c%c]" % (SPAN, RECORD))


B = TypeVar("B")


class Head(Struct, frozen=True):
    """Say whose block it is, and how far it has been delivered."""

    lane: int
    sequence: int
    """Counts the uses of all blocks of a journal."""
    delivered: int = FIRST

    def seed(self, salt: int) -> int:
        """Return what the checksums of the block's frames begin with."""
        return _seed_of(self.lane, self.sequence, salt)

    def write(self, block: memoryview, salt: int) -> None:
        """Begin a use of a block."""
        check = self.seed(salt)
        block[:_TAIL] = _CLEARED
        _tail.pack_into(block, _TAIL, _MAGIC, self.lane, self.sequence, check)
        _head.pack_into(block, 0, _MAGIC, self.lane, self.sequence, check, self.delivered, ~self.delivered & 0xFFFFFFFF)

    DELIVERED_AT: ClassVar[int] = 20
    """Where in a block it stands up to where its frames have been delivered."""

    @staticmethod
    def delivered_up_to(offset: int) -> bytes:
        """Return what to write there."""
        return _delivered.pack(offset, ~offset & 0xFFFFFFFF)

    @staticmethod
    def erase(block: memoryview) -> None:
        """End the use of a block."""
        block[_TAIL:] = bytes(BLOCK - _TAIL)
        block[:FIRST] = bytes(FIRST)

    @classmethod
    def read(cls, head: bytes, tail: bytes, salt: int) -> Head | None:
        """Return the head of a block from its first and last 32 bytes, either of which may be damaged or missing.

        None where the block is not in use, or both are beyond recognition.
        """
        if len(head) >= _head.size:
            magic, lane, sequence, check, delivered, inverse = _head.unpack_from(head)
            if magic == _MAGIC and check == _seed_of(lane, sequence, salt):
                known = delivered == ~inverse & 0xFFFFFFFF and FIRST <= delivered <= LIMIT
                return cls(lane, sequence, delivered if known else FIRST)
        if len(tail) >= _tail.size:
            magic, lane, sequence, check = _tail.unpack_from(tail)
            if magic == _MAGIC and check == _seed_of(lane, sequence, salt):
                return cls(lane, sequence)
        return None


class Frame(Struct, frozen=True, gc=False):
    """Hold a frame that was read; ``body`` None stands for a stretch in which none could be."""

    end: int
    """Where the next one begins."""
    flags: int
    body: bytes | None


def _seed_of(lane: int, sequence: int, salt: int) -> int:
    """Return the seed of a block."""
    return crc32(_use.pack(lane, sequence), salt)


def checksum(body: bytes, seed: int) -> int:
    """Return the CRC-32 of a body of any size without giving the interpreter's lock up."""
    if len(body) <= FREE_OF_LOCKS:
        return crc32(body, seed)
    view = memoryview(body)
    for start in range(0, len(body), FREE_OF_LOCKS):
        seed = crc32(view[start : start + FREE_OF_LOCKS], seed)
    return seed


def write_frame(block: memoryview, start: int, body: bytes, seed: int, flags: int = 0) -> int:
    """Write the frame of a body, or of a piece of one, where it fits; return where the next one begins."""
    end = start + HEADER + len(body)
    block[start + HEADER : end] = body
    _frame.pack_into(block, start, len(body) | flags, checksum(body, seed ^ flags ^ start))
    return end


def pieces_of(body: bytes, room: int) -> list[tuple[bytes, int]]:
    """Split a body for a block that has ``room`` bytes left, and for whole blocks after it; return each with its flags.

    The first piece is empty where the room is too little for one.
    """
    if HEADER + len(body) <= room:
        return [(body, 0)]
    begins = room >= HEADER + _LEAST_PIECE
    first = room - HEADER if begins else _ROOM
    whole = checksum(body, 0)
    rest = [(_link.pack(whole, at) + body[at : at + _ROOM], REST | MORE) for at in range(first, len(body), _ROOM)]
    pieces = [(body[:first], MORE), *rest]
    pieces[-1] = pieces[-1][0], pieces[-1][1] & ~MORE
    return pieces if begins else [(b"", 0), *pieces]


def frames(block: bytes, start: int, stop: int, seed: int, *, filled: bool = False, before: int = 0) -> Iterator[Frame]:
    """Read the frames of a block from ``start`` to its end, at most to ``stop``, stepping over what is damaged.

    ``before`` those that are given come so many bytes of the block. After the last frame come zeros, or a body that was
    being written when the process ended; in a block that was ``filled`` before its lane went on there is no room for
    either.
    """
    while start + HEADER <= stop:
        frame = _frame_at(block, start, stop, seed, before)
        if frame is None:
            at = _next_whole(block, start, stop, seed, before)
            is_end = block.startswith(_END, start) and not (filled and stop - start >= HEADER + _LEAST_PIECE)
            if is_end and at == stop:
                return
            frame = Frame(at, 0, None)
        yield frame
        start = frame.end


def end_of_rest(block: bytes) -> int | None:
    """Return where the frame ends with which a block begins, from its beginning; None unless it is the rest of a body.

    A first frame of which nothing can be told is taken for one: then the block ends where it begins.
    """
    if len(block) < FIRST + HEADER or not any(block[FIRST:]):
        return LIMIT
    word, _ = _frame.unpack_from(block, FIRST)
    return min(FIRST + HEADER + (word & _SIZE), LIMIT) if word & REST else None


def bodies(
    blocks: Iterable[tuple[B, Iterable[Frame]]], *, ended: bool = False
) -> Iterator[tuple[bytes | None, list[tuple[B, int]]]]:
    """Put the pieces of bodies together; return with each the blocks it was in, and up to where.

    ``None`` stands for a stretch in which nothing could be read, or a body of which a piece is missing; the rest of the
    last one is missing only if its writer has ``ended``. The rest of a body without its beginning is passed over: the
    beginning is written last, so that there was none, or it is what is missing.
    """
    body = _Pieces()
    passed: list[tuple[B, int]] = []
    for block, found in blocks:
        for frame in found:
            if frame.body is not None and body and not body.goes_on_in(frame):
                yield None, passed
                body, passed = _Pieces(), []
            passed.append((block, frame.end))
            if frame.body is None:
                yield None, passed
            elif body or not frame.flags & REST:
                body.append(frame)
                if frame.flags & MORE:
                    continue
                yield body.whole(), passed
            body, passed = _Pieces(), []
    if ended and body:
        yield None, passed


class _Pieces:
    """Hold what has been found of one body."""

    __slots__ = ("_check", "_found", "_size")

    def __init__(self) -> None:
        self._found: list[bytes] = []
        self._size = 0
        self._check: int | None = None

    def __bool__(self) -> bool:
        return bool(self._found)

    def goes_on_in(self, frame: Frame) -> bool:
        """Return whether a whole frame holds the next piece of the body."""
        if frame.body is None or not frame.flags & REST or len(frame.body) < _link.size:
            return False
        check, at = _link.unpack_from(frame.body)
        return at == self._size and self._check in {None, check}

    def append(self, frame: Frame) -> None:
        """Add the first piece, or one that goes on."""
        piece = frame.body or b""
        if frame.flags & REST:
            self._check = _link.unpack_from(piece)[0]
            piece = piece[_link.size :]
        self._found.append(piece)
        self._size += len(piece)

    def whole(self) -> bytes | None:
        """Return the body; None where its pieces are not those of one."""
        body = self._found[0] if len(self._found) == 1 else b"".join(self._found)
        return body if self._check is None or self._check == checksum(body, 0) else None


def _frame_at(block: bytes, start: int, stop: int, seed: int, before: int) -> Frame | None:
    """Return the frame that begins at ``start``; None where there is no whole one."""
    word, check = _frame.unpack_from(block, start)
    size = word & _SIZE
    end = start + HEADER + size
    if not size or end > stop:
        return None
    body = block[start + HEADER : end]
    flags = word & ~_SIZE
    return Frame(end, flags, body) if checksum(body, seed ^ flags ^ (before + start)) == check else None


def _next_whole(block: bytes, start: int, stop: int, seed: int, before: int) -> int:
    """Return where the next whole frame after a damaged one begins; ``stop`` if there is none."""
    for found in _FIRST_BYTES.finditer(block, start + HEADER + 1, stop):
        at = found.start() - HEADER
        if _frame_at(block, at, stop, seed, before) is not None:
            return at
    return stop
