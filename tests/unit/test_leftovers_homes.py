"""Homes of the dead, of the living and half made ones, and several who look for them: one of them adopts each."""

from __future__ import annotations

import os
import threading
from collections import Counter
from pathlib import Path

import pytest

from tests.journals import (
    ORIGIN,
    adopted,
    batch_from,
    begun,
    delivered_from,
    emitter,
    finish,
    left_by,
    name_of,
    reader_of,
    recovered_from,
    small_home,
)
from tests.torture.declaring import by_mode
from tracecore.files import Files
from tracecore.frames import Origin
from tracecore.journal import Journal
from tracecore.owners import Owner
from tracecore.records import Provenance

OTHER = Origin("another project", Provenance(service_name="dead service"))
NAMES = [f"{number}" for number in range(12)]


def test_the_living_are_left_alone(tmp_path: Path) -> None:
    """Nobody adopts the home of a process that lives, nor its own, whatever is in it."""
    living = begun(tmp_path, "living")
    emitter(living)("mine")
    other = begun(tmp_path, "other")
    emitter(other)("also mine")
    for journal in (living, other):
        for second in range(3):
            journal.housekeep(second * 10**11)
        assert adopted(journal) == []
    assert recovered_from(tmp_path) == []
    for journal in (living, other):
        (lane,) = journal.lanes()
        assert len(delivered_from(lane)) == 1
        journal.closed = True
        journal.end()
    assert list(tmp_path.iterdir()) == []


def test_homes_that_are_being_made_are_left_to_their_makers(tmp_path: Path) -> None:
    """A home that is half made is looked into only when it was there the last time too, and nobody holds it."""
    unowned, owned, held = (tmp_path / f"{number}-a.new" for number in (1, 2, 3))
    for path in (unowned, owned, held):
        path.mkdir()
    Owner.create(Files(), owned / "owner", ORIGIN, 0).close()
    maker = Owner.create(Files(), held / "owner", ORIGIN, 0)
    reader = begun(tmp_path, "reader")
    reader.housekeep(1)
    assert adopted(reader) == []
    assert unowned.exists()
    for second in range(2, 6):
        reader.housekeep(second * 10**11)
        for leftover in adopted(reader):
            assert delivered_from(leftover) == []
    assert [unowned.exists(), owned.exists(), held.exists()] == [False, False, True]
    assert reader.farewells == []
    maker.close()
    reader.closed = True
    reader.end()


def test_a_home_can_be_made_while_others_look_around(tmp_path: Path) -> None:
    """Of many processes that begin and look around at once, none takes another's new home away from it."""
    journals: list[Journal] = []
    ready = threading.Barrier(8)

    def work(number: int) -> None:
        for attempt in range(10):
            ready.wait(30)
            journal = begun(tmp_path, f"{number}-{attempt}")
            journals.append(journal)
            journal.housekeep(1)
            assert journal.trouble is None, journal.trouble
            journal.closed = True
            journal.end()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(journals) == 80, "all of them came through"
    assert list(tmp_path.iterdir()) == []


def test_without_an_owners_file_the_records_are_still_there(tmp_path: Path) -> None:
    """Where somebody removed that file, or the disk lost it, segments are read, and origins are the reader's."""
    home = left_by(tmp_path, "dead", NAMES, origin=OTHER)
    (home / "owner").unlink()
    (tmp_path / "7-empty").mkdir()
    reader, leftover = reader_of(tmp_path)
    items = batch_from(leftover, 99, 10**9)
    assert [name_of(item) for item in items] == NAMES
    assert {item.seal().project for item in items} == {ORIGIN.project}
    leftover.settle(len(items))
    finish(reader)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("start", "end", "known"),
    [
        pytest.param(0, 4_096, True, id="first copy"), pytest.param(4_096, 8_192, True, id="second copy"),
        pytest.param(30, 31, True, id="a byte of the first"), pytest.param(0, 8_192, False, id="both copies"),
        pytest.param(0, 40_960, False, id="everything"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("byte", [0, 0xFF, 0x20])
def test_a_damaged_owners_file(tmp_path: Path, start: int, end: int, known: bool, byte: int) -> None:  # noqa: FBT001 - a parameter of the test
    """What the spans have in common is there twice; without both, spans are the reader's, and none is lost."""
    home = left_by(tmp_path, "dead", NAMES, origin=OTHER)
    data = bytearray((home / "owner").read_bytes())
    data[start:end] = bytes([byte]) * (len(data[start:end]))
    (home / "owner").write_bytes(data)
    reader, leftover = reader_of(tmp_path)
    items = batch_from(leftover, 99, 10**9)
    assert [name_of(item) for item in items] == NAMES
    assert {item.seal().project for item in items} == {OTHER.project if known else ORIGIN.project}
    leftover.settle(len(items))
    finish(reader)


@pytest.mark.parametrize("length", [0, 1, 9, 4_095, 4_096, 8_191, 9_000])
def test_an_owners_file_that_was_cut(tmp_path: Path, length: int) -> None:
    """However short that file is, the records are recovered."""
    home = left_by(tmp_path, "dead", NAMES)
    os.truncate(home / "owner", length)
    assert recovered_from(tmp_path) == NAMES


def test_thousands_of_homes_are_delivered_a_few_at_a_time(tmp_path: Path) -> None:
    """A crash loop of days costs neither descriptors nor a long halt: of all that is there, a few are open at once."""
    count = by_mode(300, full=3_000)
    for number in range(count):
        small_home(tmp_path, f"dead-{number:05}", [f"{number}"])
    reader = begun(tmp_path, "reader")
    found: list[str] = []
    most = rounds = 0
    while reader.recovering:
        rounds += 1
        reader.housekeep(rounds)
        most = max(most, len(adopted(reader)))
        for leftover in adopted(reader):
            found += delivered_from(leftover)
        reader.farewells.clear()
    assert found == [f"{number}" for number in range(count)]
    assert most <= 4
    assert rounds <= count
    reader.closed = True
    reader.end()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("readers", [2, 8])
def test_adopters_that_race_find_each_record_once(tmp_path: Path, readers: int) -> None:
    """Threads that look around at the same moment, as processes do: every record is handed out by one of them."""
    homes = by_mode(24, full=200)
    for number in range(homes):
        small_home(tmp_path, f"dead-{number}", [f"{number}.{n}" for n in range(5)])
    found: list[str] = []
    ready = threading.Barrier(readers)

    def work(number: int) -> None:
        reader = begun(tmp_path, f"reader-{number}")
        ready.wait(30)
        now = 0
        while reader.recovering:
            now += 10**11
            reader.housekeep(now)
            for leftover in adopted(reader):
                found.extend(delivered_from(leftover))
            reader.farewells.clear()
        reader.closed = True
        reader.end()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(readers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(found) == Counter(f"{number}.{n}" for number in range(homes) for n in range(5))
    assert list(tmp_path.iterdir()) == []


def test_whoever_looks_while_a_home_is_removed_finds_nothing(tmp_path: Path) -> None:
    """A home of which another adopter has just removed a part is not adopted a second time."""
    for step in range(4):
        directory = tmp_path / f"{step}"
        home = left_by(directory, "dead", ["a"])
        other = begun(directory, "other")
        steps: list[str] = []

        class Slow(Files):
            def _look(self, other: Journal = other, steps: list[str] = steps, step: int = step) -> None:
                steps.append("step")
                if len(steps) == step + 1:
                    other.housekeep(1)

            def remove(self, path: Path) -> None:
                self._look()
                super().remove(path)

            def remove_directory(self, path: Path) -> None:
                self._look()
                super().remove_directory(path)

        assert recovered_from(directory, files=Slow()) == ["a"]
        for leftover in adopted(other):
            assert delivered_from(leftover) == []
        other.housekeep(2)
        other.closed = True
        other.end()
        assert not home.exists()
        assert list(directory.iterdir()) == []


def test_a_home_that_was_removed_before_it_could_be_locked(tmp_path: Path) -> None:
    """Who has opened an owner's file, and gets its lock only when another adopter is done, has got nothing."""
    left_by(tmp_path, "dead", ["a"])
    reader, leftover = reader_of(tmp_path)
    assert delivered_from(leftover) == ["a"]

    class Late(Files):
        def lock(self, descriptor: int) -> bool:
            if leftover in reader.lanes():
                finish(reader)
            return super().lock(descriptor)

    other = begun(tmp_path / "elsewhere", "other")
    other._adoption._files = Late()
    other._adoption._directory = tmp_path
    other.housekeep(1)
    assert leftover not in reader.lanes()
    assert adopted(other) == []
    other.closed = True
    other.end()
