"""A program that forgets to close always ends, soon and quietly, and what it had emitted is in the file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import pytest
from msgspec import Struct

from tests.sqlite.files import ROOT, asked, files_beside, is_whole, keep, span, stored_names
from tests.torture.declaring import torture

pytestmark = torture("T30", "programs that end in every way, without closing")

ENDS_WITHIN = 5.0
"""Seconds, of which starting Python takes most."""
PREAMBLE = """
import asyncio, atexit, os, sys, threading, time
from pathlib import Path
import tracecore
from tracecore import observe, span
FILE = Path(sys.argv[1])
os.environ["TRACECORE_BACKEND"] = f"sqlite:///{FILE}"

@observe
def work(name):
    tracecore.update_current_span(name=name)

@observe
async def awork(name):
    tracecore.update_current_span(name=name)
"""


class Ended(Struct, frozen=True):
    """Say how a program ended, and after how long."""

    code: int
    stdout: str
    stderr: str
    seconds: float


def ended(folder: Path, program: str, *, python: tuple[str, ...] = ("-W", "error"), end: bool = False) -> Ended:
    """Run a program to its end, or interrupt it when it says that it is ready."""
    script = folder / "program.py"
    script.write_text(PREAMBLE + dedent(program))
    began = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, *python, str(script), str(folder / "a.db")],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'backends'}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if end:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        began = time.perf_counter()
        child.send_signal(signal.SIGINT)
    try:
        out, errors = child.communicate(timeout=40)
    finally:
        child.kill()
    return Ended(child.returncode, out, errors, time.perf_counter() - began)


PLAIN = """
work("one")
"""
IN_A_LOOP = """
async def main():
    await awork("one")
asyncio.run(main())
"""
SYSTEM_EXIT = """
work("one")
sys.exit(0)
"""
SYSTEM_EXIT_IN_A_LOOP = """
async def main():
    await awork("one")
    sys.exit(0)
asyncio.run(main())
"""
DAEMON_THREADS = """
begun = threading.Barrier(4)

def forever(number):
    work(f"daemon {number}")
    begun.wait()
    while True:
        time.sleep(0.01)

for number in range(3):
    threading.Thread(target=forever, args=(number,), daemon=True).start()
begun.wait()
"""
THREADS_THAT_OUTLIVE_MAIN = """
def late(number):
    time.sleep(0.1 * number)
    work(f"thread {number}")

for number in range(3):
    threading.Thread(target=late, args=(number,)).start()
"""
TWO_LOOPS = """
async def main(name):
    for number in range(20):
        await awork(f"{name} {number:02}")
        await asyncio.sleep(0)

other = threading.Thread(target=lambda: asyncio.run(main("other")))
other.start()
asyncio.run(main("main"))
other.join()
"""
HUNDRED_LOOPS = """
for number in range(100):
    asyncio.run(awork(f"loop {number:02}"))
"""
FROM_ATEXIT = """
atexit.register(work, "registered before")
work("one")
atexit.register(work, "registered after")
"""
FROM_DEL = """
class Mourned:
    def __del__(self):
        work("mourned")

kept = Mourned()
work("one")
del kept
"""
LATE_FROM_DEL = """
class Mourned:
    def __del__(self):
        work("too late")

kept = Mourned()
work("one")
"""
UVLOOP = """
import uvloop

async def main():
    await awork("one")
    await asyncio.gather(*(awork(f"task {number}") for number in range(3)))
uvloop.run(main())
"""
PENDING_TASKS = """
async def main():
    tasks = [asyncio.ensure_future(asyncio.sleep(60)) for _ in range(3)]
    await awork("one")
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0)

loop = asyncio.new_event_loop()
task = loop.create_task(main())
loop.run_forever()
for left in asyncio.all_tasks(loop):
    left.cancel()
loop.run_until_complete(asyncio.sleep(0))
loop.close()
"""
OWN_RECORDER = """
recorder = tracecore.Recorder(tracecore.Config(backend=os.environ["TRACECORE_BACKEND"])).start()
from tests.fakes import span_record
recorder.emit(span_record("one"))
"""
RECORDER_IN_A_LOOP = """
async def main():
    async with tracecore.Recorder(tracecore.Config(backend=os.environ["TRACECORE_BACKEND"])):
        await awork("one")
asyncio.run(main())
"""
STILL_RUNNING = """
tracecore.configure(pending_after_ms=50)
forgotten = tracecore.span("forgotten").__enter__()
work("one")
deadline = time.monotonic() + 20
while tracecore.health().last_delivery_age_s is None and time.monotonic() < deadline:
    time.sleep(0.01)
time.sleep(0.5)
"""

PROGRAMS: dict[str, tuple[str, list[str]]] = {
    "plain": (PLAIN, ["one"]),
    "in a loop": (IN_A_LOOP, ["one"]),
    "sys.exit": (SYSTEM_EXIT, ["one"]),
    "sys.exit in a loop": (SYSTEM_EXIT_IN_A_LOOP, ["one"]),
    "daemon threads": (DAEMON_THREADS, [f"daemon {number}" for number in range(3)]),
    "threads that outlive main": (THREADS_THAT_OUTLIVE_MAIN, [f"thread {number}" for number in range(3)]),
    "two loops": (TWO_LOOPS, [f"{name} {number:02}" for name in ("main", "other") for number in range(20)]),
    "a hundred loops": (HUNDRED_LOOPS, [f"loop {number:02}" for number in range(100)]),
    "from atexit": (FROM_ATEXIT, ["one", "registered after"]),
    "from __del__": (FROM_DEL, ["mourned", "one"]),
    "from __del__ of what is left": (LATE_FROM_DEL, ["one"]),
    "uvloop": (UVLOOP, ["one", "task 0", "task 1", "task 2"]),
    "pending tasks": (PENDING_TASKS, ["one"]),
    "a recorder of its own": (OWN_RECORDER, ["one"]),
    "a recorder in a loop": (RECORDER_IN_A_LOOP, ["one"]),
    "a span that never ends": (STILL_RUNNING, ["forgotten", "one"]),
}


@pytest.mark.parametrize("kind", PROGRAMS)
async def test_programs_that_forget_to_close(tmp_path: Path, kind: str) -> None:
    """The program ends by itself with its own exit code and without a word, and everything it emitted is stored."""
    program, expected = PROGRAMS[kind]
    said = ended(tmp_path, program)
    assert (said.code, said.stdout, said.stderr) == (0, "", "")
    assert said.seconds < ENDS_WITHIN
    assert not {"a.db-wal", "a.db-shm"} & files_beside(tmp_path / "a.db").keys()
    assert await stored_names(tmp_path / "a.db") == expected
    assert is_whole(tmp_path / "a.db")


def test_what_comes_after_us_is_counted(tmp_path: Path) -> None:
    """What an older atexit handler emits when the recorder has ended is counted, and neither raises nor hangs."""
    program = """
        def last():
            work("late")
            health = tracecore.health()
            print(health.emitted, health.delivered, health.lost)

        atexit.register(last)
        work("one")
    """
    said = ended(tmp_path, program)
    assert (said.code, said.stdout, said.stderr) == (0, "2 1 {'closing': 1}\n", "")


async def test_an_uncaught_exception(tmp_path: Path) -> None:
    """The traceback is the program's own, the exit code too, and the span says how it ended."""
    program = """
        @observe
        def fails():
            raise ValueError("its own")

        work("one")
        fails()
    """
    said = ended(tmp_path, program)
    assert said.code == 1
    assert said.stderr.count("Traceback") == 1
    assert said.stderr.endswith("ValueError: its own\n")
    assert said.seconds < ENDS_WITHIN
    assert asked(tmp_path / "a.db", "SELECT name, status, error_message FROM spans ORDER BY start_ns") == [
        ("one", "ok", None),
        ("fails", "error", "its own"),
    ]


@pytest.mark.parametrize("where", ["main", "loop"])
async def test_interrupted(tmp_path: Path, where: str) -> None:
    """Ctrl-C ends the program as it would without tracecore, and the interrupted span is stored as cancelled."""
    program = """
        @observe
        async def waits():
            print("ready", flush=True)
            await asyncio.sleep(60)

        @observe
        def sleeps():
            print("ready", flush=True)
            time.sleep(60)

        work("one")
        tracecore.flush()  # while modules are imported, Python forgets that an interrupt is about to end it
        WHERE
    """
    said = ended(
        tmp_path, program.replace("WHERE", "sleeps()" if where == "main" else "asyncio.run(waits())"), end=True
    )
    assert said.code == -signal.SIGINT
    assert said.stderr.endswith("KeyboardInterrupt\n")
    assert "tracecore" not in said.stderr.splitlines()[-1]
    assert said.seconds < ENDS_WITHIN
    name = "sleeps" if where == "main" else "waits"
    rows = asked(tmp_path / "a.db", "SELECT name, status FROM spans ORDER BY start_ns")
    assert rows[0] == ("one", "ok")
    assert rows[1][0] == name
    assert rows[1][1] in {"cancelled", "error"}
    assert is_whole(tmp_path / "a.db")


NEVER_CLOSED = {
    "a writer": """
        from tests.sqlite.files import span as record
        from tracecore.plugins import open_backend

        async def main():
            backend = open_backend(os.environ["TRACECORE_BACKEND"])
            await backend.open()
            await backend.write([record(2)])
            return backend
        kept = asyncio.run(main())
    """,
    "a reader": """
        from tracecore.backend import TraceQuery
        from tracecore.plugins import open_backend

        async def main():
            backend = open_backend(os.environ["TRACECORE_BACKEND"], access="read")
            await backend.open()
            assert (await backend.traces.find("default", TraceQuery())).items
            assert (await backend.sql.query("select 1")).rows
            return backend
        kept = asyncio.run(main())
    """,
    "a writer, in the middle of a batch": """
        from tests.sqlite.files import span as record
        from tracecore.plugins import open_backend

        async def main():
            backend = open_backend(os.environ["TRACECORE_BACKEND"])
            await backend.open()
            await backend.write([record(2)])
            asyncio.ensure_future(backend.write([record(number, "in flight") for number in range(10, 5_010)]))
            await asyncio.sleep(0.01)
            return backend
        kept = asyncio.run(main())
        import sqlite3
        reader = sqlite3.connect(FILE)
        deadline = time.monotonic() + 20
        while reader.execute("SELECT count(*) FROM spans").fetchone() != (5_002,) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        reader.close()
    """,
    "a reader that could not be opened": """
        from tracecore.errors import BackendRejected
        from tracecore.plugins import open_backend

        async def main():
            backend = open_backend(f"sqlite:///{FILE.parent}", access="read")
            try:
                await backend.open()
            except BackendRejected:
                return backend
        threading.settrace(lambda *_: time.sleep(0.03))  # threads are slow: the loop is gone before they are
        assert asyncio.run(main())
    """,
}


@pytest.mark.parametrize("kind", NEVER_CLOSED)
async def test_a_backend_that_is_never_closed(tmp_path: Path, kind: str) -> None:
    """A backend that a program opened itself and forgot keeps nothing alive, and what was acknowledged is stored."""
    path = await keep(tmp_path / "a.db", span(1))
    said = ended(tmp_path, NEVER_CLOSED[kind], python=())
    assert (said.code, said.stdout, said.stderr) == (0, "", "")
    assert said.seconds < ENDS_WITHIN
    stored = asked(path, "SELECT name, count(*) FROM spans GROUP BY name ORDER BY name")
    assert stored[-1] == ("s2" if "writer" in kind else "s1", 1)
    assert dict(stored).get("in flight", 5_000) == 5_000
    assert is_whole(path)


async def test_a_store_that_is_locked_until_the_end(tmp_path: Path) -> None:
    """A file that somebody else holds keeps the end waiting for the configured time and not longer."""
    path = await keep(tmp_path / "a.db", span(1))
    program = """
        import sqlite3
        other = sqlite3.connect(FILE, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        tracecore.configure(shutdown_timeout_ms=500)
        work("lost")
        atexit.register(lambda: print(tracecore.health().pending))
    """
    said = ended(tmp_path, program, python=())
    assert said.code == 0
    assert said.seconds < ENDS_WITHIN
    assert "Traceback" not in said.stderr
    assert asked(path, "SELECT name FROM spans") == [("s1",)]
    assert is_whole(path)
