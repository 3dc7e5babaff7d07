"""Forks of every kind: each process delivers its own spans, once, into one SQLite file, and nobody hangs.

Every program runs in a process of its own under a time limit, with what ``makers`` lends it: every span says who made
it and who sent it.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

import anyio
import pytest

from tests.faults.makers import delivered_by_its_maker, label_of, lend_makers, rows, with_each_buffer
from tests.programs import Ended, run_program
from tests.sqlite.files import url_of
from tests.torture.declaring import by_mode, torture
from tracecore.clock import wall_ns
from tracecore_sqlite import SqliteBackend
from tracecore_sqlite.address import parse

__all__ = ["with_each_buffer"]

pytestmark = torture("T26", "forks of every kind")

QUIET = ("-W", "error", "-W", "ignore:This process:DeprecationWarning")
"""Python 3.12 warns of every fork beside threads: that it is safe for us is what is tested."""

_BUSY = re.compile(r"tracecore cannot deliver: .* \(database is locked\);.*")
"""Several processes may create one file at the same moment: all but one try again, and say so."""
METHODS = pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])


class Stored(NamedTuple):
    """What a program stored: how many spans by label, by how many processes, and how it ended."""

    labels: dict[str, int]
    makers: int
    ended: Ended


def run(program: str, folder: Path) -> Stored:
    """Run a program, hold what was stored to the ledger, and return it."""
    lend_makers(folder)
    ended = run_program("from forked import *\n" + dedent(program), folder, python=QUIET)
    assert ended.code == 0, ended
    assert [line for line in ended.stderr.splitlines() if not _BUSY.fullmatch(line)] == []
    labels, makers = delivered_by_its_maker(folder)
    return Stored(labels, len(makers), ended)


def test_children_deliver_their_own(tmp_path: Path) -> None:
    """What the parent had not delivered stays the parent's; each child delivers what it emits; the parent goes on."""
    stored = run(
        """
        work("before", 3)
        children(3, "child", 2)
        work("after", 2)
        """,
        tmp_path,
    )
    assert (stored.labels, stored.makers) == ({"before": 3, "child": 6, "after": 2}, 4)
    told = "SELECT count(DISTINCT process), sum(emitted), sum(delivered) FROM ledger"
    assert rows(tmp_path, told) == [(4, 11, 11)], "siblings are different processes to the ledger, too"


def test_a_child_that_emits_nothing_delivers_nothing(tmp_path: Path) -> None:
    """Flushing in a child that has emitted nothing starts nothing there, and takes nothing from the parent."""
    stored = run(
        """
        work("before", 50)
        children(2, "none", 0)
        """,
        tmp_path,
    )
    assert (stored.labels, stored.makers) == ({"before": 50}, 1)


@pytest.mark.parametrize("delay_ms", [0, 5, 20])
def test_right_after_the_first_span(tmp_path: Path, delay_ms: int) -> None:
    """A fork while the pump's thread is still importing leaves no half a module behind, ours or anybody's."""
    stored = run(
        f"""
        work("first")
        time.sleep({delay_ms} / 1000)
        pid = os.fork()
        work("child" if pid == 0 else "parent")
        if pid == 0:
            import anyio, asyncio
            anyio.run(anyio.sleep, 0)
            os._exit(0 if tracecore.flush(20).delivered else 9)
        assert os.waitpid(pid, 0)[1] == 0
        """,
        tmp_path,
    )
    assert (stored.labels, stored.makers) == ({"first": 1, "child": 1, "parent": 1}, 2)


def test_while_another_thread_makes_the_recorder(tmp_path: Path) -> None:
    """A fork beside the first span of another thread waits for the backend's import; the child makes its own."""
    stored = run(
        """
        first = threading.Thread(target=work, args=("first",))
        first.start()
        children(3, "child")
        first.join()
        """,
        tmp_path,
    )
    assert (stored.labels, stored.makers) == ({"first": 1, "child": 3}, 4)


def test_inside_a_span(tmp_path: Path) -> None:
    """A span open at the fork is ended by the parent alone; what the child opens inside of it is its child."""
    stored = run(
        """
        with tracecore.span(name("outer")):
            pid = os.fork()
            with tracecore.span(name("inside")):
                work("below")
        if pid == 0:
            os._exit(0 if tracecore.flush().delivered else 9)
        assert os.waitpid(pid, 0)[1] == 0
        """,
        tmp_path,
    )
    assert (stored.labels, stored.makers) == ({"outer": 1, "inside": 2, "below": 2}, 2)
    family = rows(
        tmp_path,
        "select a.name, b.name from spans a join spans b on a.trace_id = b.trace_id and b.parent_id = a.span_id",
    )
    assert Counter((label_of(up), label_of(down)) for up, down in family) == {
        ("outer", "inside"): 2,
        ("inside", "below"): 2,
    }


@pytest.mark.parametrize("ending", ["pass", "sys.exit(0)", "os._exit(0 if tracecore.shutdown().delivered else 9)"])
def test_however_the_child_ends(tmp_path: Path, ending: str) -> None:
    """A child that ends like any program needs no flush, whether it falls off the end, exits or shuts down."""
    stored = run(
        f"""
        work("before", 10)
        pid = os.fork()
        if pid == 0:
            work("child", 10)
            {ending}
        else:
            assert os.waitpid(pid, 0)[1] == 0
            work("after", 10)
        """,
        tmp_path,
    )
    assert (stored.labels, stored.makers) == ({"before": 10, "child": 10, "after": 10}, 2)


def test_from_a_thread(tmp_path: Path) -> None:
    """A fork by a thread that has emitted works like any other, while other threads of the parent go on emitting."""
    stored = run(
        """
        def forking(number):
            work("thread", 5)
            children(2, "child", 3)
            work("thread", 5)

        threads = [threading.Thread(target=forking, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        """,
        tmp_path,
    )
    assert (stored.labels, stored.makers) == ({"thread": 30, "child": 18}, 7)


def test_a_child_outlives_its_parent(tmp_path: Path) -> None:
    """What a child stores after its parent has closed the file is kept: its locks on it are its own."""
    stored = run(
        """
        work("before", 3)
        assert tracecore.flush().delivered
        parent = os.getpid()
        if os.fork() == 0:
            signal.alarm(30)
            work("child", 2)
            assert tracecore.flush().delivered
            while os.getppid() == parent:
                time.sleep(0.01)
            work("orphan", 2)
            os._exit(0 if tracecore.flush().delivered else 9)
        time.sleep(0.5)
        """,
        tmp_path,
    )
    assert (stored.labels, stored.makers) == ({"before": 3, "child": 2, "orphan": 2}, 2)


def test_nested(tmp_path: Path) -> None:
    """Children of children deliver theirs too, whether or not the one between has emitted anything."""
    stored = run(
        """
        def generation(depth):
            if depth % 2:
                work(f"depth {depth}", 2)
            pid = os.fork() if depth < 4 else 1
            if pid == 0:
                generation(depth + 1)
            if depth < 4:
                assert os.waitpid(pid, 0)[1] == 0
            work(f"depth {depth} after", 2)
            if depth:
                os._exit(0 if tracecore.flush().delivered else 9)

        generation(0)
        """,
        tmp_path,
    )
    assert stored.labels == {f"depth {d} after": 2 for d in range(5)} | {f"depth {d}": 2 for d in (1, 3)}
    assert stored.makers == 5


def test_recorders_of_ones_own(tmp_path: Path) -> None:
    """Recorders that the program made, in a thread and in a loop, begin anew in a child like the default one."""
    stored = run(
        """
        import asyncio

        def config():
            return Config(backend="sqlite:///traces.db", mask=mask, pending_after_ms=0)

        @tracecore.observe(name="made by nobody", recorder=(own := Recorder(config()).start()))
        def observed(label):
            tracecore.update_current_span(name=name(label))

        async def main():
            async with Recorder(config()) as hosted:
                work("in the loop", 3)
                observed("own")
                pid = os.fork()
                if pid == 0:
                    work("child's in the loop", 2)
                    observed("child's own")
                    os._exit(0 if own.flush().delivered and hosted.flush().delivered else 9)
                assert os.waitpid(pid, 0)[1] == 0
                work("in the loop", 3)

        asyncio.run(main())
        """,
        tmp_path,
    )
    assert stored.labels == {"in the loop": 6, "own": 1, "child's in the loop": 2, "child's own": 1}


@torture("T27", "forks while the pump writes", rounds=15, full=200)
@pytest.mark.parametrize("forks", [by_mode(15, full=200)])
def test_while_the_pump_writes(tmp_path: Path, forks: int) -> None:
    """Forks in the middle of everything, batch after batch: no child is stuck by a lock of SQLite, ours or its own."""
    stored = run(
        f"""
        import sqlite3
        emitted = 0
        enough = threading.Event()

        def emit():
            global emitted
            while not enough.is_set():
                emitted += 20
                work("parent", 20)
                time.sleep(0.001)

        def used():
            sqlite3.connect(":memory:").execute("create table mine (a)")
            return tracecore.flush(20).delivered

        tracecore.configure(buffer_items=100_000)
        emitting = threading.Thread(target=emit)
        emitting.start()
        for _ in range({forks}):
            children(2, "child", 3, used)
        enough.set()
        emitting.join()
        assert tracecore.shutdown(20).delivered
        print(emitted)
        """,
        tmp_path,
    )
    assert stored.labels == {"parent": int(stored.ended.stdout), "child": 6 * forks}
    assert stored.makers == 1 + 2 * forks


STEPS = [
    "tracecore.pump:Pump._taken", "tracecore.delivery:Delivery._settle", "tracecore.hosting:PumpThread._main",
    "tracecore_sqlite.backend:SqliteBackend.open", "tracecore_sqlite.backend:SqliteBackend.write",
    "tracecore_sqlite.connection:Connection.run",
]  # fmt: skip
MORE_STEPS = [
    "tracecore.pump:Pump._seal_some", "tracecore.alarm:Alarm._go_off", "tracecore.ring:Ring.housekeep",
    "tracecore_sqlite.backend:SqliteBackend.maintain", "forked:mask", "logging:Logger.handle",
]  # fmt: skip


@torture("T27", "forks in each critical section of the pump")
@pytest.mark.parametrize("step", by_mode(STEPS, full=[*STEPS, *MORE_STEPS]))
def test_in_each_critical_section(tmp_path: Path, step: str) -> None:
    """A fork while the pump stands in the middle of any of its steps, holding what it holds there, harms neither."""
    stored = run(
        f"""
        import importlib, logging
        inside, go_on = threading.Event(), threading.Event()
        module, _, path = "{step}".partition(":")
        *owners, last = path.split(".")
        owner = importlib.import_module(module)
        for part in owners:
            owner = getattr(owner, part)
        original = getattr(owner, last)
        parent = os.getpid()

        def held(*args, **kwargs):
            if os.getpid() == parent and threading.current_thread().name == "tracecore-pump" and not inside.is_set():
                inside.set()
                go_on.wait(20)
            return original(*args, **kwargs)

        class Noisy(logging.Handler):
            def emit(self, record):
                pass

        logging.getLogger("asyncio").addHandler(Noisy())
        logging.getLogger("asyncio").setLevel(logging.DEBUG)
        setattr(owner, last, held)
        work("before", 3)
        assert inside.wait(20)
        children(2, "child", 2, lambda: tracecore.flush(20).delivered)
        go_on.set()
        work("after", 3)
        assert tracecore.flush(20).delivered
        """,
        tmp_path,
    )
    assert (stored.labels, stored.makers) == ({"before": 3, "child": 4, "after": 3}, 3)


@METHODS
def test_processes(tmp_path: Path, method: str) -> None:
    """A ``multiprocessing.Process`` delivers what its function emitted, with no word of flushing."""
    stored = run(
        f"""
        import multiprocessing

        if __name__ == "__main__":
            context = multiprocessing.get_context("{method}")
            work("before", 3)
            processes = [context.Process(target=work, args=("process", 4)) for _ in range(3)]
            for process in processes:
                process.start()
            work("meanwhile", 3)
            for process in processes:
                process.join()
                assert process.exitcode == 0
            work("after", 3)
        """,
        tmp_path,
    )
    assert (stored.labels, stored.makers) == ({"before": 3, "process": 12, "meanwhile": 3, "after": 3}, 4)


@METHODS
@pytest.mark.parametrize("per_child", by_mode([1], full=[1, None]))
def test_pools(tmp_path: Path, method: str, per_child: int | None) -> None:
    """Workers of a ``multiprocessing.Pool`` deliver each task's spans, also workers that end after one task."""
    stored = run(
        f"""
        import multiprocessing

        if __name__ == "__main__":
            work("before", 3)
            pool = multiprocessing.get_context("{method}").Pool(2, maxtasksperchild={per_child})
            makers = set(pool.map(work, ["task"] * 6, chunksize=1))
            pool.close()
            pool.join()
            assert len(makers) == 6 or {per_child} != 1
            work("after", 3)
        """,
        tmp_path,
    )
    assert stored.labels == {"before": 3, "task": 6, "after": 3}


@METHODS
def test_executors(tmp_path: Path, method: str) -> None:
    """Workers of a ``ProcessPoolExecutor`` deliver each call's spans, inside a span of the parent and after it."""
    stored = run(
        f"""
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        if __name__ == "__main__":
            with tracecore.span(name("outer")):
                with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("{method}")) as pool:
                    makers = set(pool.map(work, ["call"] * 8))
            assert os.getpid() not in makers
            work("after")
        """,
        tmp_path,
    )
    assert stored.labels == {"outer": 1, "call": 8, "after": 1}


def test_a_worker_that_is_killed_takes_nothing_along(tmp_path: Path) -> None:
    """A child that is killed loses what it had not flushed, and nothing of the parent's or of its sister's."""
    stored = run(
        """
        work("before", 3)
        pid = os.fork()
        if pid == 0:
            work("flushed", 2)
            assert tracecore.flush().delivered
            os.kill(os.getpid(), signal.SIGKILL)
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL
        children(1, "sister", 2)
        work("after", 3)
        """,
        tmp_path,
    )
    assert (stored.labels, stored.makers) == ({"before": 3, "flushed": 2, "sister": 2, "after": 3}, 3)


def test_a_first_span_that_never_ends_is_known_of(tmp_path: Path) -> None:
    """A child inside its first span is stored as running before it has emitted anything; killed there, as abandoned.

    That it was asked how it is before, as a probe of a server does, changes nothing.
    """
    stored = run(
        """
        import sqlite3
        os.environ["TRACECORE_PENDING_AFTER_MS"] = "50"
        work("before")
        assert tracecore.flush().delivered
        pid = os.fork()
        if pid == 0:
            signal.alarm(100)
            tracecore.health()
            with tracecore.span(name("long")):
                signal.pause()
        file = sqlite3.connect(HERE / "traces.db")
        while not file.execute("SELECT 1 FROM spans WHERE name LIKE '%long' AND status = 'running'").fetchall():
            time.sleep(0.01)
        os.kill(pid, signal.SIGKILL)
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL
        """,
        tmp_path,
    )
    assert (stored.labels, stored.makers) == ({"before": 1, "long": 1}, 2)
    anyio.run(_maintain_much_later, tmp_path / "traces.db")
    assert rows(tmp_path, "SELECT status FROM spans ORDER BY start_ns") == [("ok",), ("abandoned",)]


async def _maintain_much_later(path: Path) -> None:
    """Have the store do what it would after an hour without a word."""
    backend = SqliteBackend(parse(url_of(path)), access="write", wall=lambda: wall_ns() + 3_600_000_000_000)
    await backend.open()
    try:
        while await backend.maintain():
            pass
    finally:
        await backend.close()
