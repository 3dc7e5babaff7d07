"""Several backends in processes that are killed, that fork, that run out of time: each has everything, once."""

from __future__ import annotations

import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import anyio
import pytest

from tests.faults.processes import running
from tests.programs import run_program
from tests.several import At, balanced, work
from tests.torture.declaring import torture
from tests.torture.trial import Trial
from tracecore.config import Config
from tracecore.fan_out import FanOut
from tracecore.open_span import open_root
from tracecore.recorder import Recorder
from tracecore.records import Record

WITHIN = 60.0
GRACE = 1.5
"""Seconds that a deadline may be missed by on a busy machine; 0.2 is promised."""

EMITTER = """
import os, sys
import tracecore
from tracecore import Recorder
from tracecore.open_span import open_root

recorder = tracecore.configure(backend=sys.argv[1], buffer="journal", journal_dir=sys.argv[2], pending_after_ms=0)
number = 0
os.write(1, b"begun\\n")
while True:
    open_root(recorder.route, f"{number}").end()
    os.write(1, f"{number}\\n".encode())  # after the emit has returned: from here on no backend may go without it
    number += 1
    if number % 500 == 0:
        recorder.flush(0.05)
"""
"""Emit for ever to several backends, saying what was emitted."""

FORKING = """
import os, sys, signal
from tracecore.open_span import open_root

backend = f"sqlite:///{OUT.parent}/a.db+sqlite:///{OUT.parent}/b.db"
recorder = tracecore.configure(backend=backend, buffer=BUFFER)

def emit(name, count):
    for number in range(count):
        open_root(recorder.route, f"{name}.{number}").end()

emit("before", 20)
children = []
for child in range(3):
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)
        emit(f"child-{child}", 10)
        os._exit(0 if recorder.flush(20).delivered else 9)
    children.append(pid)
assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 3
emit("after", 20)
assert recorder.recover(20).complete, "what children that end so have in their homes is delivered already"
assert recorder.shutdown(20).delivered
"""


def stored(path: Path) -> Counter[str]:
    """Return the names of the spans in a file, each as often as it is there."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
        return Counter(name for (name,) in connection.execute("select name from spans"))


def told(path: Path) -> dict[str, int]:
    """Return the sums that the ledger in a file has of every process."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        (row,) = connection.execute(
            "select sum(emitted) emitted, sum(delivered) delivered, sum(waiting) waiting, count(*) processes from "
            "(select *, max(seen_ns) from ledger group by process) where emitted > 0"
        )
        return dict(row)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep everybody from writing to a file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("pragma journal_mode = wal")
        connection.execute("begin immediate")
        yield
        connection.execute("rollback")


@torture("T04", "kill -9 while two backends are written to", rounds=3, full=100)
def test_kill_9_leaves_no_backend_without_a_record(trial: Trial) -> None:
    """Whatever an emit has returned for is in both files in the end, once; one of them may be away meanwhile."""
    for case in trial.cases():
        with case:
            a, b, journal = case.folder / "a.db", case.folder / "b.db", case.folder / "journal"
            url = f"sqlite:///{a}+sqlite:///{b}"
            away = case.chance.choice([True, False])
            with locked(b) if away else locked(case.folder / "unused.db"):
                arguments = ("-c", EMITTER, url, str(journal))
                with running(*arguments, folder=case.folder, environment={}) as emitter:
                    emitter.wait_for_word("begun")
                    time.sleep(case.chance.uniform(0.05, 0.8))
                    emitter.send(signal.SIGKILL)
                    assert emitter.wait() == -signal.SIGKILL
                    emitted = emitter.out.split("\n")[1:-1]
            config = Config(backend=url, buffer="journal", journal_dir=str(journal))
            recorder = Recorder(config).start()
            assert recorder.recover(WITHIN).complete
            assert recorder.shutdown(WITHIN).delivered
            assert list(journal.iterdir()) == []
            found = stored(a), stored(b)
            for names in found:
                assert set(emitted) <= set(names)
                assert len(names) - len(emitted) <= 1
                assert set(names.values()) <= {1}
            for path in (a, b):
                sums = told(path)
                assert sums["delivered"] == len(stored(path)), sums
                assert (sums["waiting"], sums["processes"]) == (0, 1), sums


@pytest.mark.parametrize("buffer", ["memory", "journal"])
def test_forked_children_deliver_to_each(tmp_path: Path, buffer: str) -> None:
    """Parent and children each deliver their own to both files, once."""
    program = f"BUFFER = {buffer!r}{FORKING}"
    ended = run_program(program, tmp_path, python=("-W", "error", "-W", "ignore:This process:DeprecationWarning"))
    assert ended.code == 0, ended
    expected = Counter(f"{name}.{number}" for name in ("before", "after") for number in range(20))
    expected.update(f"child-{child}.{number}" for child in range(3) for number in range(10))
    for path in (tmp_path / "a.db", tmp_path / "b.db"):
        assert stored(path) == expected
        assert told(path)["processes"] == 4
    assert not any((tmp_path / "tracecore-journal").glob("*"))


def test_a_program_that_ends_in_order_waits_for_each(tmp_path: Path) -> None:
    """At exit both are delivered to, and one that is locked costs the time that is left and not the other's records."""
    program = """
    backend = f"sqlite:///{OUT.parent}/a.db+sqlite:///{OUT.parent}/b.db"
    tracecore.configure(backend=backend, shutdown_timeout_ms=1_500)
    for number in range(50):
        tracecore.span(f"{number}").end()
    """
    with locked(tmp_path / "b.db"):
        ended = run_program(program, tmp_path)
    assert ended.code == 0, ended
    assert ended.seconds < 1.5 + 10 * GRACE
    assert sum(stored(tmp_path / "a.db").values()) == 50
    assert "tracecore has lost 50 records for sqlite" in ended.stderr


# -- deadlines ---------------------------------------------------------------------------------------------------------

release = threading.Event()
"""Lets what blocks go on, so that no thread outlives its test."""


async def hangs(_: list[Record]) -> None:
    """Never return."""
    await anyio.sleep_forever()


async def blocks(_: list[Record]) -> None:
    """Keep the pump's own loop from running."""
    release.wait(WITHIN)


@pytest.fixture(params=[(hangs,), (blocks,), (hangs, blocks, hangs)], ids=["hangs", "blocks", "three"])
def stalling(request: pytest.FixtureRequest) -> Iterator[Callable[[At], Recorder]]:
    """Yield a maker of started recorders whose other backends never answer."""

    def make(healthy: At) -> Recorder:
        others = [At(f"{number}:", on_write=hook) for number, hook in enumerate(request.param)]
        return Recorder(Config(flush_interval_ms=5), backend=[*others, healthy]).start()

    release.clear()
    yield make
    release.set()


def test_deadlines_are_hard_for_all_together(stalling: Callable[[At], Recorder]) -> None:
    """Flush and shutdown return in time however many backends never answer, and say what is true of each."""
    healthy = At("healthy:")
    recorder = stalling(healthy)
    for number in range(20):
        work(recorder, f"{number}")
    began = time.perf_counter()
    flushed = recorder.flush(0.5)
    assert 0.49 < time.perf_counter() - began < 0.5 + GRACE
    assert (flushed.delivered, flushed.pending, flushed.lost) == (False, 20, {})
    assert flushed.backends["healthy:"].delivered
    began = time.perf_counter()
    ended = recorder.shutdown(0.5)
    assert time.perf_counter() - began < 0.5 + GRACE
    assert not ended.delivered
    assert ended.backends["healthy:"].delivered
    assert len(healthy.records) == 20
    balanced(recorder.health(), emitted=20)
    release.set()
    recorder.shutdown(WITHIN)


def test_from_many_threads_nothing_is_lost_or_counted_twice() -> None:
    """Eight threads emit to three backends, of which one is slow and drops: the accounts of each are exact."""

    async def slow(_: list[Record]) -> None:
        await anyio.sleep(0.01)

    backends = [At("a:"), At("slow:", on_write=slow), At("c:")]
    recorder = Recorder(Config(buffer_items=64, batch_items=32, flush_interval_ms=1), backend=backends).start()
    assert recorder.route is not None
    assert isinstance(recorder.route.ring, FanOut)

    def emit() -> None:
        for number in range(2_000):
            open_root(recorder.route, f"{number}").end()

    threads = [threading.Thread(target=emit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorder.shutdown(WITHIN)
    health = recorder.health()
    balanced(health, emitted=16_000)
    for backend in backends:
        said = health.backends[backend.location]
        assert said.delivered == len(backend.records)
        assert set(said.lost) <= {"ring_full"}
