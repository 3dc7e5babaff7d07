"""A journal in which bytes were flipped, overwritten, moved or cut off: what is whole is recovered, nothing is altered.

Each case damages a copy of one home, of which it is known where every record is; what the damage has not touched must
come back, in order and as it was, and a loss must be noticed.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from msgspec import Struct

from tests.journals import ORIGIN, adopted, begun, delivered_from, emitter, in_thread
from tests.torture.declaring import torture
from tests.torture.trial import Trial
from tracecore.blocks import BLOCK, FIRST, HEADER, LIMIT, Head, bodies, frames
from tracecore.frames import record_of
from tracecore.owners import salt_of
from tracecore.records import Span
from tracecore.segments import SEGMENT

Stretch: TypeAlias = tuple[str, int, int]
"""Name of a file, and from where to where."""


class Where(Struct, frozen=True):
    """Say where a record is: its frames, and the blocks that they are in."""

    lane: int
    frames: tuple[Stretch, ...]
    blocks: tuple[tuple[str, int], ...]


class Template:
    """Hold the files of one home, and where everything in them is."""

    def __init__(self, directory: Path) -> None:
        journal = begun(directory, "dead")
        emit = emitter(journal)

        def work(thread: int) -> Callable[[], None]:
            sizes = [0, 900, 20_000, 90_000, 300, 5_500, 160_000, 40]
            return lambda: [emit(f"{thread}.{n}", sizes[(n + thread) % 8]) for n in range(24)] and None

        for thread in range(3):
            in_thread(work(thread))
        journal.end()
        (self.home,) = directory.iterdir()
        self.files = {path.name: path.read_bytes() for path in self.home.iterdir()}
        self.where: dict[str, Where] = {}
        self._find()
        self.used = max(end for where in self.where.values() for _, _, end in where.frames)
        assert len(self.where) == 72
        assert set(self.files) == {"owner", "0"}

    def _find(self) -> None:
        salt = salt_of(self.home.name)
        found = []
        for start in range(0, SEGMENT, BLOCK):
            block = self.files["0"][start : start + BLOCK]
            head = Head.read(block[:FIRST], block[LIMIT:], salt)
            if head is not None:
                found.append((head.lane, head.sequence, start, list(frames(block, FIRST, LIMIT, head.seed(salt)))))
        lanes = {start: lane for lane, _, start, _ in found}
        begins = {start: FIRST for _, _, start, _ in found}
        for body, passed in bodies(((start, read) for _, _, start, read in sorted(found)), ended=True):
            assert body is not None
            record = record_of(body, ORIGIN)
            assert isinstance(record, Span)
            stretches = []
            for start, end in passed:
                stretches.append(("0", start + begins[start], start + end))
                begins[start] = end
            blocks = tuple(("0", start) for start, _ in passed)
            self.where[record.name] = Where(lanes[passed[0][0]], tuple(stretches), blocks)

    def copy_to(self, directory: Path) -> Path:
        """Write the files into another directory; return the home."""
        home = directory / self.home.name
        home.mkdir(parents=True)
        for name, data in self.files.items():
            with (home / name).open("wb") as file:
                file.write(data[: self.used + BLOCK] if name == "0" else data)
                file.truncate(len(data))
        return home

    def undamaged(self, files: dict[str, bytes]) -> set[str]:
        """Return the records that can be told from what the files have become."""
        return {name for name, where in self.where.items() if self._is_whole(where, files)}

    def _is_whole(self, where: Where, files: dict[str, bytes]) -> bool:
        return all(self._is_as_it_was(stretch, files) for stretch in where.frames) and all(
            self._is_as_it_was((name, start, start + FIRST), files)
            or self._is_as_it_was((name, start + LIMIT, start + BLOCK), files)
            for name, start in where.blocks
        )

    def is_blank(self, name: str, data: bytes) -> bool:
        """Return whether a record is where it looks as if nothing had ever been written."""
        where = self.where[name]
        return any(not any(data[start : start + HEADER]) for _, start, _ in where.frames) or any(
            not any(data[start : start + FIRST] + data[start + LIMIT : start + BLOCK]) for _, start in where.blocks
        )

    def _is_as_it_was(self, stretch: Stretch, files: dict[str, bytes]) -> bool:
        name, start, end = stretch
        return files.get(name, b"")[start:end] == self.files[name][start:end]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """Return a home to be damaged."""
    return Template(tmp_path_factory.mktemp("template"))


Damage: TypeAlias = Callable[[random.Random, bytearray, int], None]
"""Damages a segment, of which so many bytes are in use."""


def flip(chance: random.Random, data: bytearray, used: int) -> None:
    """Flip one bit."""
    data[chance.randrange(used)] ^= 1 << chance.randrange(8)


def flip_many(chance: random.Random, data: bytearray, used: int) -> None:
    """Flip bits all over."""
    for _ in range(chance.randint(2, 40)):
        flip(chance, data, used)


def cut(chance: random.Random, data: bytearray, used: int) -> None:
    """Cut the file, most often inside of what is in use."""
    del data[chance.choice([chance.randrange(used), chance.randrange(len(data))]) :]


def overwrite(chance: random.Random, data: bytearray, used: int) -> None:
    """Write other bytes over a stretch: noise, ones, or what is elsewhere in the file."""
    size = chance.choice([10, 500, 4_096, 70_000, 200_000])
    size = chance.randint(1, size)
    at, source = chance.randrange(used), chance.randrange(used)
    over = chance.choice([chance.randbytes(size), b"\xff" * size, bytes(data[source : source + size])])
    data[at : at + len(over)] = over
    del data[SEGMENT:]


def blank(chance: random.Random, data: bytearray, used: int) -> None:
    """Write zeros over sectors, as a disk does that has lost them."""
    size = chance.choice([512, 4_096])
    at = chance.randrange(used) // size * size
    count = chance.randint(1, 12)
    data[at : at + size * count] = bytes(min(size * count, len(data) - at))


def move_blocks(chance: random.Random, data: bytearray, used: int) -> None:
    """Put one block in the place of another, which is lost or goes to where that one was."""
    count = used // BLOCK
    one, other = chance.randrange(count) * BLOCK, chance.randrange(count) * BLOCK
    first, second = data[one : one + BLOCK], data[other : other + BLOCK]
    data[other : other + BLOCK] = first
    if chance.random() < 0.5:
        data[one : one + BLOCK] = second


DAMAGES: list[Damage] = [flip, flip, flip_many, cut, cut, overwrite, blank, move_blocks]


def owner_too(chance: random.Random, home: Path) -> None:
    """Damage the owner's file, remove it, or leave it."""
    path = home / "owner"
    what = chance.randrange(4)
    if what == 0:
        path.unlink()
    elif what == 1:
        data = bytearray(path.read_bytes())
        data[chance.randrange(len(data))] ^= 0xFF
        path.write_bytes(data)
    elif what == 2:
        path.write_bytes(path.read_bytes()[: chance.randrange(8_192)])


@torture("T11", "the journal is damaged", rounds=150, full=10_000)
def test_what_is_whole_is_recovered(trial: Trial, template: Template) -> None:
    """Whatever happens to the bytes: the start succeeds, what is whole comes back as it was, losses are noticed."""
    noticed = 0
    for case in trial.cases():
        with case:
            home = template.copy_to(case.folder)
            data = bytearray(template.files["0"])
            damage = case.chance.choice(DAMAGES)
            damage(case.chance, data, template.used)
            (home / "0").write_bytes(data)
            if case.number % 5 == 0:
                owner_too(case.chance, home)
            noticed += check(case.folder, template, bytes(data))
    assert noticed > trial.ran // 3


def check(directory: Path, template: Template, data: bytes) -> bool:
    """Recover a damaged home and assert what must hold; return whether a damage was noticed."""
    reader = begun(directory, "reader")
    reader.housekeep(1)
    (leftover,) = adopted(reader)
    found = delivered_from(leftover)
    assert len(found) == len(set(found)), "nothing comes twice"
    undamaged = template.undamaged({"0": data})
    if not moved(template, data):
        assert set(found) == undamaged
    assert set(found) <= template.where.keys()
    for lane in {where.lane for where in template.where.values()}:
        expected = [name for name, where in template.where.items() if where.lane == lane and name in found]
        assert [name for name in found if template.where[name].lane == lane] == expected, "in order"
    damages = leftover.damages
    lost = template.where.keys() - set(found)
    assert damages or all(template.is_blank(name, data) for name in lost), f"nobody has noticed: {lost}"
    reader.housekeep(2)
    reader.farewells.clear()
    reader.housekeep(3)
    reader.closed = True
    reader.end()
    aside = directory / "damaged" / f"{template.home.name}-0"
    assert [path.name for path in directory.iterdir()] == (["damaged"] if damages else [])
    assert not damages or aside.read_bytes() == data, "it is kept as it was found"
    return damages > 0


def moved(template: Template, data: bytes) -> bool:
    """Return whether whole blocks are in another place than before: what is in them may be whole there."""
    clean = template.files["0"]
    blocks = {clean[start : start + BLOCK]: start for start in range(0, template.used, BLOCK)}
    return any(
        blocks.get(data[start : start + BLOCK], start) != start
        for start in range(0, min(template.used, len(data)), BLOCK)
    )


def test_blocks_that_changed_places_are_read_where_they_are(tmp_path: Path, template: Template) -> None:
    """A block says itself whose it is: nothing is lost where two have changed places, nor out of order."""
    home = template.copy_to(tmp_path)
    data = bytearray(template.files["0"])
    blocks = [data[start : start + BLOCK] for start in range(0, SEGMENT, BLOCK)]
    (home / "0").write_bytes(b"".join(reversed(blocks)))
    reader = begun(tmp_path, "reader")
    reader.housekeep(1)
    (leftover,) = adopted(reader)
    assert delivered_from(leftover) == list(template.where)
    assert leftover.damages == 0
    reader.closed = True
    reader.end()


def test_a_block_that_is_there_twice_is_delivered_once(tmp_path: Path, template: Template) -> None:
    """A disk that has written a block in the place of another costs that other one, and it is noticed."""
    home = template.copy_to(tmp_path)
    data = bytearray(template.files["0"])
    (one, other) = sorted({start for where in template.where.values() for _, start in where.blocks})[:2]
    data[other : other + BLOCK] = data[one : one + BLOCK]
    (home / "0").write_bytes(data)
    reader = begun(tmp_path, "reader")
    reader.housekeep(1)
    (leftover,) = adopted(reader)
    found = delivered_from(leftover)
    assert len(found) == len(set(found)) < len(template.where)
    assert leftover.damages >= 1
    reader.closed = True
    reader.end()


def test_a_sector_that_is_in_its_block_twice_is_delivered_once(tmp_path: Path, template: Template) -> None:
    """A frame counts in its own place only: what a disk has written once more, elsewhere in the block, is a damage."""
    home = template.copy_to(tmp_path)
    data = bytearray(template.files["0"])
    small = min((where for where in template.where.values() if len(where.frames) == 1), key=lambda where: where.frames)
    (_, block), (_, start, end) = small.blocks[0], small.frames[0]
    data[block + 60_000 : block + 60_000 + end - start] = data[start:end]
    (home / "0").write_bytes(data)
    reader = begun(tmp_path, "reader")
    reader.housekeep(1)
    (leftover,) = adopted(reader)
    found = delivered_from(leftover)
    assert len(found) == len(set(found))
    assert set(found) >= template.undamaged({"0": bytes(data)})
    reader.closed = True
    reader.end()


def test_a_home_without_segments_is_nothing(tmp_path: Path, template: Template) -> None:
    """Where the segments are gone nothing is recovered, and the rest is tidied away."""
    home = template.copy_to(tmp_path)
    (home / "0").unlink()
    reader = begun(tmp_path, "reader")
    reader.housekeep(1)
    (leftover,) = adopted(reader)
    assert delivered_from(leftover) == []
    reader.housekeep(2)
    reader.farewells.clear()
    reader.housekeep(3)
    assert not home.exists()
    reader.closed = True
    reader.end()
    shutil.rmtree(tmp_path)
