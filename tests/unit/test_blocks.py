"""Whatever happens to the bytes of a block, every frame that is whole is read, and nothing else ever is."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracecore.blocks import (
    BLOCK,
    FIRST,
    HEADER,
    LIMIT,
    MORE,
    REST,
    Frame,
    Head,
    bodies,
    checksum,
    end_of_rest,
    frames,
    pieces_of,
    write_frame,
)
from tracecore.frames import RECORD, SPAN

SALT = 0x5EED
HEADS = st.builds(Head, st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.integers(FIRST, LIMIT))


def drawn_body(size: int, seed: int) -> bytes:
    """Return a body of so many bytes that begins as every body does."""
    chance = random.Random(seed)  # noqa: S311 - a seed makes it repeatable
    return bytes([chance.choice((SPAN, RECORD))]) + chance.randbytes(size - 1)


BODIES = st.builds(drawn_body, st.one_of(st.integers(1, 40), st.integers(1, 5_000)), st.integers(0, 2**32))
SIZES = st.one_of(st.integers(9, 9_000), st.integers(9, 300_000))
"""Sizes of bodies that are all different."""


class Written:
    """A block in use, with the frames that were written into it and where each of them is."""

    def __init__(self, written: Iterable[bytes], head: Head | None = None) -> None:
        self.head = head or Head(1, 1)
        self.data = bytearray(BLOCK)
        self.head.write(memoryview(self.data), SALT)
        self.seed = self.head.seed(SALT)
        self.places: list[tuple[int, int, bytes]] = []
        """Where each frame begins and ends, and its body."""
        at = FIRST
        for body in written:
            if at + HEADER + len(body) <= LIMIT:
                end = write_frame(memoryview(self.data), at, body, self.seed)
                self.places.append((at, end, body))
                at = end
        self.end = at

    def read(self, data: bytes | None = None) -> list[bytes | None]:
        """Return what is read of the block, or of what has become of it."""
        found = bytes(self.data) if data is None else data
        return [frame.body for frame in frames(found, FIRST, min(len(found), LIMIT), self.seed)]

    def undamaged(self, start: int, end: int) -> list[bytes]:
        """Return the bodies of the frames that a change of these bytes has not touched."""
        return [body for begin, stop, body in self.places if stop <= start or begin >= end]


BLOCKS = st.lists(BODIES, min_size=1, max_size=25).map(Written)


@given(BLOCKS)
def test_what_was_written_is_read(block: Written) -> None:
    """Frames are read in the order in which they were written, up to the last, and where each one ends is told."""
    found = list(frames(bytes(block.data), FIRST, LIMIT, block.seed))
    assert [(frame.end, frame.flags, frame.body) for frame in found] == [
        (end, 0, body) for _, end, body in block.places
    ]


@given(BLOCKS, st.data())
def test_reading_goes_on_from_any_frame(block: Written, data: st.DataObject) -> None:
    """From where one frame ends, all later ones are read."""
    after = data.draw(st.integers(0, len(block.places)))
    start = ([FIRST] + [end for _, end, _ in block.places])[after]
    found = frames(bytes(block.data), start, LIMIT, block.seed)
    assert [frame.body for frame in found] == [body for _, _, body in block.places[after:]]


def test_a_block_can_be_filled_to_the_last_byte() -> None:
    """A body that ends where the tail begins is read, and so are bodies that leave fewer bytes than a frame's head."""
    for left in range(HEADER + 2):
        body = drawn_body(LIMIT - FIRST - HEADER - left, left)
        assert Written([body]).read() == [body]


@given(BLOCKS, st.data())
def test_one_flipped_bit_damages_one_frame_and_is_seen(block: Written, data: st.DataObject) -> None:
    """Any bit flipped in a frame is seen: that frame is not read, in no form, and all others are."""
    at = data.draw(st.integers(FIRST, block.end - 1))
    block.data[at] ^= 1 << data.draw(st.integers(0, 7))
    found = block.read()
    assert [body for body in found if body is not None] == block.undamaged(at, at + 1)
    assert found.count(None) == 1


@given(BLOCKS, st.data())
def test_a_stretch_in_another_place_of_its_block_is_no_frame(block: Written, data: st.DataObject) -> None:
    """What a disk has written once more, elsewhere in the same block, comes once: a frame is one in its own place."""
    size = data.draw(st.integers(1, block.end - FIRST))
    source = data.draw(st.integers(FIRST, block.end - size))
    at = data.draw(st.integers(FIRST, LIMIT - size))
    before = bytes(block.data)
    block.data[at : at + size] = before[source : source + size]
    changed = [place for place in range(at, at + size) if before[place] != block.data[place]]
    undamaged = block.undamaged(changed[0], changed[-1] + 1) if changed else block.undamaged(0, 0)
    assert [body for body in block.read() if body is not None] == undamaged


STRETCHES = st.one_of(
    st.binary(min_size=1, max_size=3_000),
    st.builds(lambda byte, size: bytes([byte]) * size, st.sampled_from((0, 0xFF, SPAN, RECORD)), st.integers(1, 3_000)),
)


@given(BLOCKS, st.data(), STRETCHES)
def test_an_overwritten_stretch_costs_the_frames_in_it(block: Written, data: st.DataObject, over: bytes) -> None:
    """Whatever is written over a part of the block, also zeros, all frames beside it are read and none is invented."""
    at = data.draw(st.integers(FIRST, block.end - 1))
    over = over[: LIMIT - at]
    before = bytes(block.data)
    block.data[at : at + len(over)] = over
    changed = [index for index in range(len(over)) if before[at + index] != over[index]]
    undamaged = block.undamaged(at + changed[0], at + changed[-1] + 1) if changed else block.undamaged(0, 0)
    found = block.read()
    assert [body for body in found if body is not None] == undamaged
    later = changed and block.places[-1][0] >= at + changed[-1] + 1
    assert not later or None in found, "what is lost before a frame that was read is noticed"


@given(BLOCKS, st.data())
def test_zeros_over_frames_cost_these_frames(block: Written, data: st.DataObject) -> None:
    """Sectors that a disk has lost are stepped over like any other damage, and noticed where a frame comes after."""
    first = data.draw(st.integers(0, len(block.places) - 1))
    last = data.draw(st.integers(first, min(first + 3, len(block.places) - 1)))
    start, end = block.places[first][0], block.places[last][1]
    block.data[start:end] = bytes(end - start)
    whole = [body for _, _, body in block.places[:first] + block.places[last + 1 :]]
    found = block.read()
    assert [body for body in found if body is not None] == whole
    assert found.count(None) == (last + 1 < len(block.places))


@pytest.mark.parametrize(("left", "noticed"), [(HEADER + 63, False), (HEADER + 64, True)])
def test_a_block_that_was_filled_ends_in_no_zeros(left: int, noticed: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Where a lane went on, no room for a piece was left: zeros there are a damage."""
    block = Written([drawn_body(LIMIT - FIRST - HEADER - left, 1)])
    found = [frame.body for frame in frames(bytes(block.data), FIRST, LIMIT, block.seed, filled=True)]
    assert found == [block.places[0][2]] + [None] * noticed
    assert block.read() == [block.places[0][2]]


def test_whether_a_block_holds_only_a_rest() -> None:
    """A block that begins with the rest of a body says where that ends; one that begins otherwise does not."""
    block = Written([]).data
    assert end_of_rest(bytes(block[: FIRST + HEADER])) == LIMIT, "nothing is known"
    assert end_of_rest(bytes(block[:FIRST])) == LIMIT
    end = write_frame(memoryview(block), FIRST, b"x" * 50, 0, REST)
    assert end_of_rest(bytes(block[: FIRST + HEADER])) == end
    write_frame(memoryview(block), FIRST, b"x" * 50, 0, MORE)
    assert end_of_rest(bytes(block[: FIRST + HEADER])) is None


@given(BLOCKS, st.data())
def test_cut_anywhere(block: Written, data: st.DataObject) -> None:
    """Of a block that was cut every frame before the cut is read."""
    length = data.draw(st.integers(0, block.end))
    found = block.read(bytes(block.data[:length]))
    assert [body for body in found if body is not None] == [body for _, end, body in block.places if end <= length]


@given(BLOCKS, BODIES)
def test_a_frame_that_was_being_written_is_no_damage(block: Written, body: bytes) -> None:
    """A process that dies between body and checksum leaves no frame, and nothing that looks like a loss."""
    body = body[: LIMIT - block.end - HEADER]
    block.data[block.end + HEADER : block.end + HEADER + len(body)] = body
    assert block.read() == [body for _, _, body in block.places]


@given(BLOCKS, HEADS, st.data())
def test_frames_of_an_earlier_use_are_not_read(block: Written, head: Head, data: st.DataObject) -> None:
    """A frame that another use of a block has left, anywhere and however whole, is not taken for one of this use."""
    earlier = Written([body for _, _, body in block.places], head)
    if earlier.seed == block.seed:
        return
    at = data.draw(st.integers(FIRST, LIMIT))
    before = bytes(block.data)
    block.data[at:LIMIT] = earlier.data[at:LIMIT]
    whole = [body for begin, end, body in block.places if block.data[begin:end] == before[begin:end]]
    assert [body for body in block.read() if body is not None] == whole


@given(st.lists(BODIES, min_size=1, max_size=5), st.lists(BODIES, min_size=1, max_size=5), st.data())
def test_frames_that_a_program_records_are_not_read(
    forged: list[bytes], others: list[bytes], data: st.DataObject
) -> None:
    """Frames of this journal inside a payload stay a payload, also where the frame around them is damaged."""
    inside = Written(forged, Head(1, 2))
    payload = bytes([SPAN]) + bytes(inside.data[FIRST : inside.end])
    block = Written([*others, payload, *others])
    assert block.read() == [*others, payload, *others]
    start, end, _ = block.places[len(others)]
    block.data[data.draw(st.integers(start, end - 1))] ^= 0x10
    assert block.read() == [*others, None, *others]


# -- heads ------------------------------------------------------------------------------------------------------------


def head_in(block: bytes | bytearray) -> Head | None:
    """Return the head that is read from what there is of a block."""
    return Head.read(bytes(block[:FIRST]), bytes(block[LIMIT:BLOCK]), SALT)


@given(HEADS)
def test_a_head_is_read_back(head: Head) -> None:
    """A head says what was written, with the salt of its journal only."""
    block = Written([], head).data
    assert head_in(block) == head
    assert Head.read(bytes(block[:FIRST]), bytes(block[LIMIT:]), SALT + 1) is None


@given(HEADS, st.integers(FIRST, LIMIT), st.data())
def test_a_damaged_head_is_made_up_for_by_the_tail(head: Head, delivered: int, data: st.DataObject) -> None:
    """Whatever is written over the head, the owner is known; what was delivered may come again, none is skipped."""
    block = Written([], head).data
    block[Head.DELIVERED_AT : Head.DELIVERED_AT + 8] = Head.delivered_up_to(delivered)
    before = bytes(block)
    assert head_in(block) == Head(head.lane, head.sequence, delivered)
    at = data.draw(st.integers(0, FIRST - 1))
    block[at : at + data.draw(st.integers(1, FIRST))] = data.draw(st.binary(max_size=FIRST))
    block = block[:FIRST] + before[FIRST:]
    found = head_in(block)
    assert found is not None
    assert (found.lane, found.sequence) == (head.lane, head.sequence)
    assert found.delivered in {delivered, FIRST}


@given(HEADS, st.integers(0, BLOCK - 1))
def test_a_damaged_or_missing_tail_changes_nothing(head: Head, cut: int) -> None:
    """The head alone suffices: where the tail is overwritten, and where the block was cut."""
    block = Written([], head).data
    assert head_in(block[: max(FIRST, cut)]) == head
    block[LIMIT:] = bytes(BLOCK - LIMIT)
    assert head_in(block) == head


@given(HEADS)
def test_a_block_that_was_erased_is_not_in_use(head: Head) -> None:
    """After the end of a use nothing says whose the block was; half erased, it is still known, so that it is read."""
    block = Written([b"{}"], head)
    Head.erase(memoryview(block.data))
    assert head_in(block.data) is None
    assert head_in(bytes(BLOCK)) is None
    assert head_in(b"") is None


def test_a_new_use_leaves_nothing_of_the_one_before() -> None:
    """A block that is begun again holds no frame, also none that its new seed would make whole."""
    block = Written([drawn_body(900, n) for n in range(50)])
    block.head.write(memoryview(block.data), SALT)
    assert block.read() == []
    assert not any(block.data[FIRST:LIMIT])


def test_seeds_tell_uses_lanes_and_journals_apart() -> None:
    """No two of the blocks of a few journals begin their checksums alike."""
    salts = [crc32(b"%d" % journal) for journal in range(20)]
    assert len({Head(lane, use).seed(salt) for lane in range(20) for use in range(20) for salt in salts}) == 8_000


@given(st.integers(0, 2**32 - 1), st.integers(0, 40_000))
def test_a_checksum_in_pieces_is_the_checksum(seed: int, size: int) -> None:
    """A long body's checksum, which is made piece by piece, is the ordinary one."""
    body = drawn_body(size + 1, size)
    assert checksum(body, seed) == crc32(body, seed)


# -- bodies in pieces -------------------------------------------------------------------------------------------------


class Writer:
    """Write bodies into blocks as a lane does, and remember which blocks each of them is in."""

    def __init__(self, first: int = 1) -> None:
        self.blocks: list[bytearray] = []
        self.seeds: list[int] = []
        self.in_blocks: list[tuple[bytes, set[int]]] = []
        self.at = LIMIT
        self._next = first

    def write(self, body: bytes) -> None:
        """Write a body where the last one ended."""
        here, *rest = pieces_of(body, LIMIT - self.at)
        touched = set()
        if here[0]:
            self.at = self._put(here, self.at)
            touched.add(len(self.blocks) - 1)
        for piece in rest:
            self._begin()
            self.at = self._put(piece, FIRST)
            touched.add(len(self.blocks) - 1)
        self.in_blocks.append((body, touched))

    def _begin(self) -> None:
        block = bytearray(BLOCK)
        head = Head(1, self._next)
        self._next += 1
        head.write(memoryview(block), SALT)
        self.blocks.append(block)
        self.seeds.append(head.seed(SALT))

    def _put(self, piece: tuple[bytes, int], at: int) -> int:
        assert at + HEADER + len(piece[0]) <= LIMIT, "a piece fits"
        return write_frame(memoryview(self.blocks[-1]), at, piece[0], self.seeds[-1], piece[1])

    def frames(self, without: Iterable[int] = ()) -> Iterator[tuple[int, Iterator[Frame]]]:
        """Read the frames of all blocks, but those that are lost."""
        for number, (block, seed) in enumerate(zip(self.blocks, self.seeds, strict=True)):
            if number not in set(without):
                yield number, frames(bytes(block), FIRST, LIMIT, seed)


def written(sizes: Iterable[int]) -> Writer:
    """Return a writer that has written bodies of these sizes, all different."""
    writer = Writer()
    for number, size in enumerate(sizes):
        writer.write(drawn_body(size, number))
    return writer


@given(st.lists(SIZES, min_size=1, max_size=8))
def test_bodies_of_any_size_are_put_together(sizes: list[int]) -> None:
    """Bodies that go through any number of blocks are read whole and in order, and it is told where they were."""
    writer = written(sizes)
    found = list(bodies(writer.frames(), ended=True))
    assert [body for body, _ in found] == [body for body, _ in writer.in_blocks]
    assert [{block for block, _ in passed} for _, passed in found] == [blocks for _, blocks in writer.in_blocks]
    ends = [end for _, passed in found for _, end in passed[:-1]]
    assert all(end >= LIMIT - HEADER for end in ends), "all pieces but the last fill their block"


@pytest.mark.parametrize("size", range(LIMIT - FIRST - 40, LIMIT - FIRST + 20))
@pytest.mark.parametrize("room", [0, 70, 72, LIMIT - FIRST])
def test_sizes_around_a_whole_block(size: int, room: int) -> None:
    """No size near that of a block, and no room that is left in one, loses or adds a byte."""
    body = drawn_body(size, size)
    pieces = pieces_of(body, room)
    assert HEADER + len(pieces[0][0]) <= max(room, HEADER)
    assert all(HEADER + len(piece) <= LIMIT - FIRST for piece, _ in pieces[1:])
    found = [(number, [Frame(0, flags, piece)]) for number, (piece, flags) in enumerate(pieces) if piece]
    assert [whole for whole, _ in bodies(found, ended=True)] == [body]
    assert [bool(flags & MORE) for _, flags in pieces if _] == [True] * (len(found) - 1) + [False]
    assert [bool(flags & REST) for _, flags in pieces if _] == [False] + [True] * (len(found) - 1)


@given(st.lists(SIZES, min_size=1, max_size=6), st.data())
def test_where_blocks_are_lost_no_bodies_are_mixed(sizes: list[int], data: st.DataObject) -> None:
    """Of any blocks that are lost, exactly the bodies in them are missing, and none is put together out of two."""
    writer = written(sizes)
    lost = data.draw(st.sets(st.integers(0, len(writer.blocks) - 1)))
    found = [body for body, _ in bodies(writer.frames(without=lost), ended=True)]
    kept = [body for body, blocks in writer.in_blocks if not blocks & lost]
    assert [body for body in found if body is not None] == kept
    begun = [body for body, blocks in writer.in_blocks if blocks & lost and min(blocks) not in lost]
    assert found.count(None) == len(begun), "a body that begins and does not go on is noticed"


@given(st.lists(SIZES, min_size=1, max_size=4), st.data())
def test_a_flipped_byte_in_a_piece_costs_its_body(sizes: list[int], data: st.DataObject) -> None:
    """A byte that is flipped anywhere, also in what ties pieces together, costs the body in it and no other."""
    writer = written(sizes)
    number = data.draw(st.integers(0, len(writer.blocks) - 1))
    at = data.draw(st.integers(FIRST, (writer.at if number == len(writer.blocks) - 1 else LIMIT) - 1))
    writer.blocks[number][at] ^= 1 << data.draw(st.integers(0, 7))
    found = [body for body, _ in bodies(writer.frames(), ended=True) if body is not None]
    assert [body for body, _ in writer.in_blocks if body in found] == found
    missing = [blocks for body, blocks in writer.in_blocks if body not in found]
    assert len(missing) <= 1
    assert all(number in blocks for blocks in missing)


def test_pieces_of_two_bodies_are_never_one() -> None:
    """A beginning whose rest is lost is not finished by the rest of another body, although both pieces are whole."""
    size = 2 * (LIMIT - FIRST)
    writer = written([size, size])
    first, second = (sorted(blocks) for _, blocks in writer.in_blocks)
    lost = set(range(first[0] + 1, second[1]))
    found = [body for body, _ in bodies(writer.frames(without=lost), ended=True)]
    assert found == [None]


def test_a_rest_that_is_not_there_yet_is_waited_for() -> None:
    """While its writer lives, a body whose rest has not been found is neither handed out nor lost."""
    writer = written([100_000])
    assert list(bodies(writer.frames(without={1}))) == []
    assert [body for body, _ in bodies(writer.frames(without={1}), ended=True)] == [None]


def test_a_rest_whose_beginning_was_never_written_is_passed_over() -> None:
    """The process died before it wrote the beginning, so there was no record: the rest is neither read nor damage."""
    writer = written([100_000, 90])
    assert [body for body, _ in bodies(writer.frames(without={0}), ended=True)] == [drawn_body(90, 1)]


def test_a_piece_too_short_to_be_tied_is_no_piece() -> None:
    """A rest without room for what ties it to its beginning goes on nothing."""
    found = [(0, [Frame(40, MORE, b"{begin"), Frame(50, REST, b"xy")])]
    assert [body for body, _ in bodies(found, ended=True)] == [None]
