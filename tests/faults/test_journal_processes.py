"""Processes around one journal directory: killed, racing, forking; each record is recovered by exactly one of them."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.processes import running
from tests.journals import (
    adopted,
    all_of,
    batch_from,
    begun,
    delivered_from,
    emitter,
    in_a_thread,
    recovered_from,
    taken,
)
from tests.torture.declaring import torture
from tests.torture.trial import Trial
from tracecore.files import Files
from tracecore.journal import Journal
from tracecore.owners import Owner, salt_of
from tracecore.segments import SEGMENT

WRITER = """
import os, sys
from pathlib import Path
from tests.journals import begun, emitter
from tests.journals import in_thread

directory, process, most = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
sizes = [0, 300, 5_500, 40_000, 70_000, 10, 200_000]
journal = begun(directory, process, most_bytes=most)
emit = emitter(journal)
os.write(1, b"begun\\n")
number = 0
while True:
    name = f"{process}.{number}"
    emit(name, sizes[number % 7])
    os.write(1, f"{name}\\n".encode())  # after the emit has returned: from here on it may not be lost
    number += 1
    if number % 20 == 0:
        for lane in journal.lanes():
            if journal._home is None or len(journal._home.free) < 40:
                items = lane.take(30, 10**9)
                for item in items:
                    os.write(2, f"{item.seal().name}\\n".encode())
                lane.settle(len(items))
            assert not lane.in_memory
        journal.housekeep(number)
"""
"""Emit for ever, saying what was emitted; deliver some of it, saying so before it is settled."""

READER = """
import os, sys, time
from pathlib import Path
from tests.journals import adopted, batch_from, begun, name_of

directory, process, batch = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
reader = begun(directory, process)
os.write(1, b"begun\\n")
if len(sys.argv) > 4:
    while not Path(sys.argv[4]).exists():
        pass
now = 0
while now < 3 or reader.recovering:
    now += 1
    reader.housekeep(now * 10**11)
    for lane in adopted(reader):
        items = batch_from(lane, batch, 10**9)
        os.write(1, b"".join(b"taken %b\\n" % name_of(item).encode() for item in items))
        lane.settle(len(items))
        lane.note()
        os.write(1, b"".join(b"settled %b\\n" % name_of(item).encode() for item in items))
    reader.farewells.clear()
os.write(1, b"done\\n")
reader.closed = True
reader.end()
"""
"""Recover whatever there is, saying what was handed out and what was settled."""


def lines_of(text: str, prefix: str = "") -> list[str]:
    """Return the whole lines that begin with a word, without it."""
    return [line.removeprefix(prefix) for line in text.split("\n")[:-1] if line.startswith(prefix)]


@torture("T04", "kill -9 while it writes into the journal", rounds=8, full=200)
def test_a_writer_is_killed(trial: Trial) -> None:
    """Whatever an emit has returned for is recovered, once, in order and whole; at most one record more."""
    for case in trial.cases():
        with case:
            directory = case.folder / "journal"
            most = case.chance.choice([8, 64]) << 20
            arguments = ("-c", WRITER, str(directory), "writer", str(most))
            with running(*arguments, folder=case.folder, environment={}) as writer:
                writer.wait_for_word("begun")
                time.sleep(case.chance.uniform(0, 0.3))
                writer.send(signal.SIGKILL)
                assert writer.wait() == -signal.SIGKILL, writer.errors
                emitted, delivered = lines_of(writer.out)[1:], lines_of(writer.errors)
            found = recovered_from(directory)
            assert len(found) == len(set(found))
            assert set(emitted) <= {*delivered, *found}
            assert len({*delivered, *found} - set(emitted)) <= 1
            assert found == sorted(found, key=lambda name: int(name.partition(".")[2]))
            assert len(set(delivered) & set(found)) <= 30, "a batch that was not settled comes again, and no other"
            assert list(directory.iterdir()) == []


def write_homes(directory: Path, count: int, each: int) -> list[str]:
    """Leave records in the homes of so many dead processes; return their names."""
    names: list[str] = []
    for number in range(count):
        journal = begun(directory, f"dead-{number}")
        emit = emitter(journal)
        for place in range(each):
            names.append(f"{number}.{place}")
            emit(names[-1], (place % 4) * 30_000)
        journal.end()
    return names


@torture("T04", "kill -9 while it recovers", rounds=3, full=100)
def test_an_adopter_is_killed_again_and_again(trial: Trial) -> None:
    """What an adopter has settled comes never again; what it had only taken does; in the end everything has come."""
    for case in trial.cases():
        with case:
            directory = case.folder / "journal"
            names = write_homes(directory, 3, 40)
            settled: list[str] = []
            seen: set[str] = set()
            for death in range(100):
                batch = case.chance.randint(1, 9)
                arguments = ("-c", READER, str(directory), f"reader-{death}", str(batch))
                with running(*arguments, folder=case.folder, environment={}) as reader:
                    reader.wait_for_word("begun")
                    time.sleep(case.chance.uniform(0, 0.02) if death < 6 else 0)
                    if death < 6:
                        reader.send(signal.SIGKILL)
                    code = reader.wait()
                    new = lines_of(reader.out, "settled ")
                    assert not set(lines_of(reader.out, "taken ")) & set(settled)
                    settled += new
                    seen.update(lines_of(reader.out, "taken "))
                    if code == 0:
                        break
            assert seen == set(names)
            assert len(settled) == len(set(settled))
            assert list(directory.iterdir()) == []


@torture("T04", "many processes recover at once", rounds=3, full=50)
def test_adopters_that_race(trial: Trial) -> None:
    """Processes that begin at one moment share what there is: every record is recovered by one of them."""
    for case in trial.cases():
        with case:
            directory, start = case.folder / "journal", case.folder / "start"
            names = write_homes(directory, 12, 8)
            with contextlib.ExitStack() as stack:
                readers = []
                for number in range(4):
                    folder = case.folder / f"{number}"
                    folder.mkdir()
                    arguments = ("-c", READER, str(directory), f"reader-{number}", "3", str(start))
                    readers.append(stack.enter_context(running(*arguments, folder=folder, environment={})))
                for reader in readers:
                    reader.wait_for_word("begun")
                start.touch()
                for reader in readers:
                    assert reader.wait() == 0, reader.errors
                found = [name for reader in readers for name in lines_of(reader.out, "settled ")]
            assert Counter(found) == Counter(names)
            assert list(directory.iterdir()) == []


# -- forks ------------------------------------------------------------------------------------------------------------


class Child:
    """A forked child that does something and ends without any of its parent's cleaning up."""

    def __init__(self, work: Callable[[], object], *, stays: bool = False) -> None:
        self._reading, writing = os.pipe()
        self._go_reading, self._going = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            try:
                said = repr(work())
            except BaseException as error:  # noqa: BLE001 - told to the parent
                said = f"raised {error!r}"
            os.write(writing, said.encode() + b"\n")
            if stays:
                os.read(self._go_reading, 1)
            os._exit(0)
        os.close(writing)
        os.close(self._go_reading)

    def said(self) -> str:
        """Wait for what the child's work returned."""
        text = b""
        while not text.endswith(b"\n"):
            text += os.read(self._reading, 1 << 16)
        return text.decode().strip()

    def end(self) -> None:
        """Let the child end."""
        os.close(self._going)
        os.close(self._reading)
        os.waitpid(self.pid, 0)


def said_by_child(work: Callable[[], object]) -> str:
    """Do something in a forked child; return what it returned there."""
    child = Child(work)
    said = child.said()
    child.end()
    return said


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[Journal]:
    """Return a journal with something in it, that ends with the test."""
    journal = begun(tmp_path / "journal", "parent")
    emitter(journal)("parent's", 100_000)
    yield journal
    all_of(journal)
    journal.closed = True
    journal.end()
    assert list((tmp_path / "journal").iterdir()) == []


def contents(directory: Path) -> dict[str, bytes]:
    """Return everything that is in a directory."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def open_files() -> list[str]:
    """Return the files that this process has open."""
    found: list[str] = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that lists the others is gone by then
            found.append(str(descriptor.readlink()))
    return found


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux lists what a process has open")


@needs_proc
def test_a_child_lets_go_of_its_parents_files(parent: Journal, tmp_path: Path) -> None:
    """Nothing of the parent's journal stays open or mapped in a child, also before anybody collects garbage."""
    emitter(parent)("more", 70_000)

    def work() -> tuple[list[str], list[str]]:
        parent.forget_everything()
        maps = Path("/proc/self/maps").read_text().splitlines()
        return [name for name in open_files() if str(tmp_path) in name], [
            line for line in maps if str(tmp_path) in line
        ]

    before = contents(tmp_path)
    assert said_by_child(work) == "([], [])"
    assert contents(tmp_path) == before


def test_a_child_keeps_its_records_in_a_home_of_its_own(parent: Journal, tmp_path: Path) -> None:
    """Before it begins, a child's records wait in memory; then in its own files; the parent's stay as they are."""
    directory = tmp_path / "journal"
    before = contents(directory)

    def work() -> object:
        parent.forget_everything()
        emit = emitter(parent)
        emit("early")
        parent.housekeep(10**12)
        early = (parent.left, [path.name for path in directory.iterdir()])
        parent.begin("child")
        emit("own")
        homes = sorted(path.name.partition("-")[2] for path in directory.iterdir())
        names = all_of(parent)
        parent.closed = True
        parent.end()
        return early[0], len(early[1]), homes, names, adopted(parent)

    assert said_by_child(work) == str((0, 1, ["child", "parent"], ["own", "early"], []))
    assert contents(directory) == before
    assert taken(parent.lanes()[0]) == ["parent's"]
    parent.rewind()


def test_a_child_that_dies_leaves_only_its_own(parent: Journal, tmp_path: Path) -> None:
    """What a child left is recovered once, by whoever looks, as the child's; its parent goes on with what it has."""

    def work() -> None:
        parent.forget_everything()
        parent.begin("child")
        emit = emitter(parent)
        for number in range(5):
            emit(f"child's {number}", 30_000)

    assert said_by_child(work) == "None"
    emitter(parent)("parent's too")
    parent.housekeep(10**12)
    (leftover,) = adopted(parent)
    assert delivered_from(leftover) == [f"child's {number}" for number in range(5)]
    parent.housekeep(2 * 10**12)
    parent.farewells.clear()
    parent.housekeep(3 * 10**12)
    assert all_of(parent) == ["parent's", "parent's too"]


def test_a_child_does_not_keep_its_dead_parents_home_locked(tmp_path: Path) -> None:
    """When a parent dies while its children live, what it left can be adopted: no child holds its lock."""
    directory = tmp_path / "journal"
    program = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from tests.journals import begun, emitter\n"
        "journal = begun(Path(sys.argv[1]), 'parent')\n"
        "emitter(journal)('left', 100_000)\n"
        "if not os.fork():\n"
        "    journal.forget_everything()\n"
        "    print('child lives', flush=True)\n"
        "    time.sleep(100)\n"
        "time.sleep(100)\n"
    )
    with running("-c", program, str(directory), folder=tmp_path, environment={}) as process:
        process.wait_for_word("child lives")
        assert recovered_from(directory) == [], "the parent lives"
        process.send(signal.SIGKILL)
        process.wait()
        assert recovered_from(directory) == ["left"]
        os.killpg(process.pid, 0)  # the child still lives


def test_a_child_leaves_alone_what_its_parent_adopts(tmp_path: Path) -> None:
    """A home that the parent is delivering is neither delivered nor removed by a child, and goes on in the parent."""
    directory = tmp_path / "journal"
    names = write_homes(directory, 1, 10)
    parent = begun(directory, "parent")
    parent.housekeep(1)
    (leftover,) = adopted(parent)
    leftover.settle(len(batch_from(leftover, 4, 10**9)))
    leftover.note()

    def work() -> object:
        parent.forget_everything()
        parent.begin("child")
        parent.housekeep(10**12)
        found = [delivered_from(lane) for lane in adopted(parent)]
        parent.closed = True
        parent.end()
        return found

    assert said_by_child(work) == "[]"
    assert delivered_from(leftover) == names[4:]
    parent.housekeep(2)
    parent.farewells.clear()
    parent.housekeep(3)
    parent.closed = True
    parent.end()
    assert list(directory.iterdir()) == []


def test_forks_while_threads_are_emitting(tmp_path: Path) -> None:
    """Whatever the parent's other threads are doing at that moment, a child starts clean, and the parent goes on."""
    directory = tmp_path / "journal"
    parent = begun(directory, "parent", most_bytes=16 * SEGMENT)
    emit = emitter(parent)
    each = 120
    rounds = [threading.Barrier(3) for _ in range(20)]

    def produce(producer: int) -> Callable[[], None]:
        def work() -> None:
            for number, barrier in enumerate(rounds):
                barrier.wait(30)
                for place in range(each):
                    emit(f"{producer}.{number}.{place}", (place % 3) * 40_000)

        return work

    def child_work() -> object:
        parent.forget_everything()
        parent.begin("child")
        for number in range(5):
            emit(f"child.{number}", 50_000)
        names = all_of(parent)
        parent.closed = True
        parent.end()
        return names

    found: list[str] = []
    with in_a_thread(produce(0)), in_a_thread(produce(1)):
        for barrier in rounds:
            barrier.wait(30)
            assert said_by_child(child_work) == str([f"child.{number}" for number in range(5)])
            found += all_of(parent)
    found += all_of(parent)
    assert Counter(found) == Counter(f"{p}.{n}.{place}" for p in range(2) for n in range(20) for place in range(each))
    parent.closed = True
    parent.end()
    assert list(directory.iterdir()) == []


@needs_proc
def test_programs_that_are_started_inherit_nothing(parent: Journal, tmp_path: Path) -> None:
    """A program that the host starts gets none of our descriptors, also where it asks for all of them."""
    program = (
        "from tests.faults.test_journal_processes import open_files\nprint([n for n in open_files() if 'journal' in n])"
    )
    reading, writing = os.pipe()
    pid = os.posix_spawn(
        sys.executable, [sys.executable, "-c", program], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, writing, 1)]
    )
    os.close(writing)
    os.waitpid(pid, 0)
    assert os.read(reading, 1_000) == b"[]\n"
    os.close(reading)
    home = parent._home
    assert home is not None
    assert Owner.adopt(Files(), home.path / "owner", salt_of(home.path.name)) is None
