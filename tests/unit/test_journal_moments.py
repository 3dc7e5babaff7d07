"""The files of a journal at every moment of an emit, of a settlement and of an adoption: what a death leaves.

At each line that the kernel runs, the files are copied as they are, as ``kill -9`` would leave them; each copy is
recovered. What an emit had returned for is there, once, and nothing looks like damage.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.journals import adopted, batch_from, begun, delivered_from, ended, lane_of, name_of, span_for
from tests.lines import at_each_line
from tests.torture.declaring import by_mode, torture
from tracecore.journal import Journal

EVERY = by_mode(7, full=1)
SIZES = [20, 70_000, 5_300, 40_000, 200_000, 10, 66_000]


@contextmanager
def copied(directory: Path, into: Path) -> Iterator[list[Path]]:
    """Copy a directory at every line that the kernel runs meanwhile; return the copies."""
    copies: list[Path] = []

    def copy(line: int) -> None:
        if line % EVERY == 0:
            copies.append(into / f"{line}")
            shutil.copytree(directory, copies[-1])

    with at_each_line(copy):
        yield copies


def found_in(copy: Path) -> list[str]:
    """Return what the next process finds in a copy, having asserted that nothing looks like damage."""
    reader = begun(copy, "next")
    reader.housekeep(1)
    found: list[str] = []
    for leftover in adopted(reader):
        found += delivered_from(leftover)
        assert leftover.damages == 0
    reader.housekeep(2)
    reader.farewells.clear()
    reader.housekeep(3)
    ended(reader)
    assert list(copy.iterdir()) == []
    shutil.rmtree(copy)
    return found


def emitted(journal: Journal, sizes: list[int]) -> list[str]:
    """Emit spans of these sizes; return their names."""
    for number, size in enumerate(sizes):
        span_for(journal, f"{number}", size).end()
    return [f"{number}" for number in range(len(sizes))]


def check(copies: list[Path], certain: list[str], possible: list[str]) -> None:
    """Assert that each copy holds what is certain, and of what is possible a beginning or an end, in order."""
    assert len(copies) > 3
    for copy in copies:
        found = found_in(copy)
        assert [name for name in found if name in certain] == certain
        others = [name for name in found if name not in certain]
        assert others == possible[: len(others)] or others == possible[len(possible) - len(others) :]


@torture("T04", "the files at every line of an emit", rounds=len(SIZES))
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("before", [0, 3])
def test_while_a_span_is_emitted(tmp_path: Path, size: int, before: int) -> None:
    """What was emitted before is there; the span that is being emitted is there as a whole or not at all."""
    journal = begun(tmp_path / "journal")
    certain = emitted(journal, SIZES[:before])
    span = span_for(journal, "now", size)
    with copied(tmp_path / "journal", tmp_path / "copies") as copies:
        span.end()
    check(copies, certain, ["now"])
    lane = lane_of(journal)
    lane.settle(len(batch_from(lane, 100, 10**9)))
    ended(journal)


@torture("T04", "the files at every line of a settlement", rounds=4)
@pytest.mark.parametrize("count", [1, 2, 5, 7])
def test_while_spans_are_settled(tmp_path: Path, count: int) -> None:
    """What is not settled is there; what is being settled comes once more, from some point on, or not at all."""
    journal = begun(tmp_path / "journal")
    names = emitted(journal, SIZES)
    lane = lane_of(journal)
    assert [name_of(item) for item in batch_from(lane, 100, 10**9)] == names
    with copied(tmp_path / "journal", tmp_path / "copies") as copies:
        lane.settle(count)
    check(copies, names[count:], names[:count])
    lane.settle(len(names) - count)
    ended(journal)


def adopting(directory: Path) -> tuple[Journal, list[str]]:
    """Let a process leave some spans; return a journal that has adopted them, and their names."""
    dead = begun(directory, "dead")
    names = emitted(dead, SIZES)
    dead.end()
    reader = begun(directory, "adopter")
    reader.housekeep(1)
    return reader, names


@torture("T04", "the files at every line of an adoption", rounds=3)
@pytest.mark.parametrize("count", [1, 5, 7])
def test_while_an_adopter_settles(tmp_path: Path, count: int) -> None:
    """An adopter that dies while it notes what it has delivered leaves the rest, and no damage."""
    reader, names = adopting(tmp_path / "journal")
    (leftover,) = adopted(reader)
    assert [name_of(item) for item in batch_from(leftover, 100, 10**9)] == names
    with copied(tmp_path / "journal", tmp_path / "copies") as copies:
        leftover.settle(count)
        leftover.note()
    check(copies, names[count:], names[:count])
    leftover.settle(len(names) - count)
    reader.housekeep(2)
    reader.farewells.clear()
    reader.housekeep(3)
    ended(reader)


@torture("T04", "the files at every line of the end of a home", rounds=1)
def test_while_a_home_is_removed(tmp_path: Path) -> None:
    """A process that dies while it removes a home, once all of it is delivered, leaves nothing to be delivered."""
    journal = begun(tmp_path / "journal")
    emitted(journal, SIZES)
    delivered_from(lane_of(journal))
    with copied(tmp_path / "journal", tmp_path / "copies") as copies:
        ended(journal)
    check(copies, [], [])


@torture("T04", "the files at every line of the end of an adoption", rounds=1)
def test_while_an_adopted_home_is_removed(tmp_path: Path) -> None:
    """The same of a home that was adopted."""
    reader, names = adopting(tmp_path / "journal")
    (leftover,) = adopted(reader)
    assert delivered_from(leftover) == names
    with copied(tmp_path / "journal", tmp_path / "copies") as copies:
        reader.housekeep(2)
        reader.farewells.clear()
        reader.housekeep(3)
    check(copies, [], [])
    ended(reader)


@torture("T04", "the files at every line of a beginning", rounds=1)
def test_while_a_home_is_made(tmp_path: Path) -> None:
    """A process that dies while it makes its home, or adds a segment, leaves nothing that looks like a loss."""
    (tmp_path / "journal").mkdir()
    with copied(tmp_path / "journal", tmp_path / "copies") as copies:
        journal = begun(tmp_path / "journal")
        home = journal._home
        assert home is not None
        assert home.grow()
    for copy in copies:
        reader = begun(copy, "next")
        for look in range(1, 6):
            reader.housekeep(look * 10**11)
            for leftover in adopted(reader):
                assert delivered_from(leftover) == []
                assert leftover.damages == 0
            reader.farewells.clear()
        ended(reader)
        assert list(copy.iterdir()) == []
    ended(journal)
