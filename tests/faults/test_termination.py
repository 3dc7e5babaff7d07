"""SIGTERM with 10,000 spans waiting: every program ends soon, and all of them are delivered, or reported as lost.

The programs are the examples, as they are: what they do is what we tell others to do. That the spans wait is seen to by
the test, which holds the write lock of the file. It lets go when the signal has been sent (then everything is
delivered), or never (then everything is reported).
"""

from __future__ import annotations

import json
import re
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.oracle import deliver_leftovers, each_buffer, environment_of, locked, stored_ids
from tests.faults.processes import ROOT, Program, asked, free_port, running
from tests.sqlite.files import keep
from tests.torture.declaring import torture

WAITING = 10_000
ENDS_WITHIN = 5.0
"""Seconds from the moment in which the file can be written again."""
EXAMPLES = "examples.stopping"
LOST = re.compile(r"tracecore has lost (\d+) records so far")

pytestmark = torture("T05", "SIGTERM with 10,000 spans waiting, in scripts, asyncio programs and servers")


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """Return the file of an empty store."""
    return await keep(tmp_path / "a.db")


def settings(buffer: str, path: Path) -> dict[str, str]:
    """Return the environment of a program, which gives up on a store that cannot be written after two seconds."""
    return {**environment_of(buffer, f"sqlite:///{path}"), "TRACECORE_SHUTDOWN_TIMEOUT_MS": "2000"}


def reported(program: Program) -> int:
    """Return how many records the program said it had lost."""
    return max([0, *map(int, LOST.findall(program.errors))])


def server(kind: str, port: int, extra: tuple[str, ...] = ()) -> list[str]:
    """Return the command that serves the example application of a kind."""
    gunicorn = ["-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--timeout", "60", *extra]
    return {
        "uvicorn": ["-m", "uvicorn", "--port", str(port), *extra, f"{EXAMPLES}.asgi_app:app"],
        "gunicorn": [*gunicorn, f"{EXAMPLES}.wsgi_app:app"],
        "gunicorn, preloaded": [*gunicorn, "--preload", f"{EXAMPLES}.wsgi_app:app"],
        "gunicorn, threads": [*gunicorn, "--worker-class", "gthread", "--threads", "4", f"{EXAMPLES}.wsgi_app:app"],
        "gunicorn, asgi": [*gunicorn, "--worker-class", "asgi", f"{EXAMPLES}.asgi_app:app"],
    }[kind]


@contextmanager
def holding(kind: str, path: Path, environment: Mapping[str, str]) -> Iterator[Program]:
    """Start a program of a kind and let it record what waits."""
    folder = path.parent
    if kind in {"script", "asyncio_worker"}:
        script = str(ROOT / "examples" / "stopping" / f"{kind}.py")
        with running(script, str(WAITING), folder=folder, environment=environment) as program:
            program.wait_for_word("idle")
            yield program
    else:
        port = free_port()
        with running(*server(kind, port), folder=folder, environment=environment, python=()) as program:
            assert len(json.loads(asked(port, f"/jobs?jobs={WAITING}"))) == WAITING
            yield program


PROGRAMS = ["script", "asyncio_worker"]
SERVERS = ["uvicorn", "gunicorn", "gunicorn, preloaded", "gunicorn, threads", "gunicorn, asgi"]


@each_buffer
@pytest.mark.parametrize("kind", [*PROGRAMS, *SERVERS])
def test_everything_is_delivered(path: Path, kind: str, buffer: str) -> None:
    """With a file that can be written when the signal comes, the program ends in time and all of it is stored, once."""
    with locked(path) as lock, holding(kind, path, settings(buffer, path)) as program:
        assert not stored_ids(path)
        program.send(signal.SIGTERM)
        lock.execute("ROLLBACK")
        assert program.ended_after(time.monotonic()) < ENDS_WITHIN
        assert program.wait() == (-signal.SIGTERM if kind == "uvicorn" else 0), program.errors
    stored = stored_ids(path)
    assert (len(stored), set(stored.values()), reported(program)) == (WAITING, {1}, 0)
    assert "Traceback" not in program.errors


@each_buffer
@pytest.mark.parametrize("kind", [*PROGRAMS, "uvicorn", "gunicorn"])
def test_everything_is_reported(path: Path, kind: str, buffer: str) -> None:
    """With a file that cannot be written, the program ends in time all the same and says how much it has lost."""
    with locked(path), holding(kind, path, settings(buffer, path)) as program:
        program.send(signal.SIGTERM)
        assert program.ended_after(time.monotonic()) < ENDS_WITHIN
    assert not stored_ids(path)
    deliver_leftovers(buffer, path)
    assert len(stored_ids(path)) + reported(program) == WAITING
    assert "Traceback" not in program.errors


@each_buffer
def test_without_a_handler(path: Path, buffer: str) -> None:
    """A program that does nothing about SIGTERM dies of it at once, as without us, and its file is whole."""
    program = f"""
import time
from tests.faults.telling import Teller
from tracecore import span
for number in range({WAITING}):
    span("work").end()
print("idle", flush=True)
time.sleep(60)
"""
    with (
        locked(path) as lock,
        running("-c", program, folder=path.parent, environment=settings(buffer, path)) as started,
    ):
        started.wait_for_word("idle")
        began = time.monotonic()
        started.send(signal.SIGTERM)
        assert started.ended_after(began) < ENDS_WITHIN
        assert (started.wait(), started.errors) == (-signal.SIGTERM, "")
        lock.execute("ROLLBACK")
    deliver_leftovers(buffer, path)
    assert len(stored_ids(path)) == (0 if buffer == "memory" else WAITING)


HOOKS = """
import asyncio, atexit, gc, os, signal, sys, threading, warnings
import tracecore

def hooks():
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    return handlers, masked, sys.excepthook, sys.unraisablehook, threading.excepthook, gc.callbacks[:], sys.getprofile()

def mine(*_):
    print("mine", flush=True)

signal.signal(signal.SIGTERM, mine)
before = hooks()
tracecore.span("one").end()
assert tracecore.flush(20).delivered
pid = os.fork()
tracecore.span("two").end()
assert tracecore.flush(20).delivered
assert hooks() == before
if pid == 0:
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0

async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, mine)
    inside = hooks()
    async with tracecore.Recorder(tracecore.Config(backend="memory:")):
        tracecore.span("three").end()
        assert hooks() == inside
        os.kill(os.getpid(), signal.SIGUSR1)
        await asyncio.sleep(0.05)
    assert hooks() == inside

asyncio.run(main())
os.kill(os.getpid(), signal.SIGTERM)
tracecore.shutdown()
assert hooks()[1:] == before[1:] and signal.getsignal(signal.SIGTERM) is mine
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_the_hosts_own_handlers_are_untouched(path: Path) -> None:
    """No signal handler, mask or hook of the program is changed, from the first span to the end; its own are called."""
    environment = settings("memory", path)
    with running("-c", HOOKS, folder=path.parent, environment=environment, python=()) as program:
        assert program.wait() == 0, program.errors
    assert (program.out, program.errors) == ("mine\nmine\n", "")
