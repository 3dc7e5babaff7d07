"""What cannot be read of a dead process: what is whole is handed out, a loss is noticed, and nothing is taken away."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.journals import (
    adopted,
    batch_from,
    begun,
    delivered_from,
    finish,
    left_by,
    name_of,
    reader_of,
    recovered_from,
    set_aside_in,
)
from tests.torture.declaring import by_mode
from tracecore.blocks import BLOCK, FIRST, LIMIT, Head, frames, write_frame
from tracecore.files import Files
from tracecore.frames import Origin
from tracecore.owners import salt_of
from tracecore.records import Provenance
from tracecore.segments import SEGMENT

OTHER = Origin("another project", Provenance(service_name="dead service"))
NAMES = [f"{number}" for number in range(12)]


def test_a_damaged_segment_is_kept_as_it_was(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is whole is delivered, the rest is counted and said once, and the segment is kept, untouched."""
    home = left_by(tmp_path, "dead", NAMES, size=25_000)
    data = bytearray((home / "0").read_bytes())
    at = data.index(b"<5><5>")
    data[at] ^= 1
    (home / "0").write_bytes(data)
    reader, leftover = reader_of(tmp_path)
    assert delivered_from(leftover) == [name for name in NAMES if name != "5"]
    assert leftover.damages == 1
    finish(reader)
    assert [path.name for path in tmp_path.iterdir()] == ["damaged"]
    (kept,) = (tmp_path / "damaged").iterdir()
    assert kept.name == f"{home.name}-0"
    assert kept.read_bytes() == bytes(data)
    assert set(set_aside_in(tmp_path)) == set(NAMES) - {"5"}
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "1 damaged stretches are lost" in warning
    assert str(tmp_path / "damaged") in warning
    assert recovered_from(tmp_path) == [], "what was set aside is not adopted again"


def test_damage_is_seen_by_whoever_comes_after_an_adopter_that_died(tmp_path: Path) -> None:
    """An adopter that dies after it has met a damage takes no trace of it away."""
    home = left_by(tmp_path, "dead", NAMES, size=25_000)
    data = bytearray((home / "0").read_bytes())
    data[data.index(b"<5><5>")] ^= 1
    (home / "0").write_bytes(data)
    reader, leftover = reader_of(tmp_path)
    leftover.settle(len(batch_from(leftover, 8, 10**9)))
    leftover.note()
    reader.closed = True
    reader.end()
    reader, leftover = reader_of(tmp_path, name="second")
    assert delivered_from(leftover) == NAMES[-3:]
    assert leftover.damages == 1
    finish(reader)
    assert [path.name for path in tmp_path.iterdir()] == ["damaged"]


@pytest.mark.parametrize("last", [False, True])
def test_sectors_that_the_disk_has_lost(tmp_path: Path, last: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Zeros in a block that was filled are a damage; at the end of the last one there may have been nothing."""
    names = [f"{number}" for number in range(2_000)]
    home = left_by(tmp_path, "dead", names, size=100)
    data = bytearray((home / "0").read_bytes())
    salt = salt_of(home.name)
    heads = {start: Head.read(bytes(data[start:][:FIRST]), b"", salt) for start in range(0, SEGMENT, BLOCK)}
    used = sorted(((head.sequence, start) for start, head in heads.items() if head is not None))
    assert len(used) > 3
    _, start = used[-1] if last else used[1]
    head = heads[start]
    assert head is not None
    read = list(frames(bytes(data[start : start + BLOCK]), FIRST, LIMIT, head.seed(salt)))
    assert len(read) > 20
    data[start + read[-10].end : start + LIMIT] = bytes(LIMIT - read[-10].end)
    (home / "0").write_bytes(data)
    reader, leftover = reader_of(tmp_path)
    found = delivered_from(leftover)
    assert len(names) - 11 <= len(found) <= len(names) - 9
    assert leftover.damages == 1 - last
    finish(reader)


class Wanting(Files):
    """A system that gives no more descriptors for a while, or whose disk does not give one stretch."""

    def __init__(self, error: int) -> None:
        self.error = error
        self.fails: Callable[[str, int], bool] = lambda name, count: False
        self.counts: Counter[str] = Counter()

    def open(self, path: Path) -> int:
        """Fail when it is time to."""
        self._try("open")
        return super().open(path)

    def read(self, descriptor: int, size: int, offset: int) -> bytes:
        """Fail when it is time to."""
        self._try("read")
        return super().read(descriptor, size, offset)

    def _try(self, name: str) -> None:
        self.counts[name] += 1
        if self.fails(name, self.counts[name]):
            raise OSError(self.error, os.strerror(self.error))


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EACCES])
def test_what_cannot_be_read_now_is_read_later(tmp_path: Path, error: int) -> None:
    """A process without descriptors or memory to spare loses nothing, and calls nothing damaged."""
    left_by(tmp_path, "dead", NAMES, size=25_000)
    files = Wanting(error)
    reader = begun(tmp_path, "reader", files=files)
    files.fails = lambda name, count: name == "open" and count % 3 == 2
    found: list[str] = []
    for now in range(1, 50):
        reader.housekeep(now * 10**11)
        for leftover in adopted(reader):
            assert leftover.damages == 0
            batch = batch_from(leftover, 2, 10**9)
            found += map(name_of, batch)
            leftover.settle(len(batch))
        reader.farewells.clear()
    assert found == NAMES
    reader.closed = True
    reader.end()
    files.fails = lambda name, count: False
    assert list(tmp_path.iterdir()) == []


def test_a_block_that_the_disk_does_not_give_is_one_damage(tmp_path: Path) -> None:
    """One bad sector costs the block that it is in, whichever read meets it; everything else is delivered."""
    files = Wanting(errno.EIO)
    files.fails = lambda name, count: False
    left_by(tmp_path / "count", "dead", NAMES, size=25_000)
    recovered_from(tmp_path / "count", files=files)
    for nth in range(2, files.counts["read"] + 1, by_mode(9, full=1)):
        directory = tmp_path / f"{nth}"
        left_by(directory, "dead", NAMES, size=25_000)
        failing = Wanting(errno.EIO)
        failing.fails = lambda name, count, nth=nth: name == "read" and count == nth  # type: ignore[misc]  # bound here
        found = recovered_from(directory, files=failing)
        assert found == [name for name in NAMES if name in found], "in order"
        assert len(found) >= len(NAMES) - 4
        assert set(found) | set(set_aside_in(directory)) == set(NAMES)


def test_a_half_written_home_of_a_process_that_was_killed(tmp_path: Path) -> None:
    """A body of which only the later pieces were written, and a segment that was never finished, are nothing."""
    home = left_by(tmp_path, "dead", ["before"])
    salt = salt_of(home.name)
    data = bytearray((home / "0").read_bytes())
    used = next(
        number for number in range(64) if Head.read(bytes(data[number * BLOCK :][:FIRST]), b"", salt) is not None
    )
    free = (used + 1) % 64
    block = memoryview(bytearray(BLOCK))
    head = Head(1, 99)
    head.write(block, salt)
    write_frame(block, FIRST, b"\0" * 8 + b"the rest of a body", head.seed(salt), 1 << 30)
    data[free * BLOCK : (free + 1) * BLOCK] = block
    data[used * BLOCK + LIMIT - 900 : used * BLOCK + LIMIT - 100] = b"x" * 800
    (home / "0").write_bytes(data)
    (home / "1.new").write_bytes(b"\0" * 1_000)
    reader, leftover = reader_of(tmp_path)
    assert delivered_from(leftover) == ["before"]
    assert leftover.damages == 0
    finish(reader)
    assert list(tmp_path.iterdir()) == []
