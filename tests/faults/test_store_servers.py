"""The server of a store is killed while programs record into it, and comes back: each span is there, and counted, once.

A program with a journal emits from threads and tasks. Meanwhile its server is killed at random moments and started
again on the same data and address. In every other round the program also ends while the server is away, and a second
one, which is treated no better, delivers what the first has left.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Protocol

import anyio
import msgspec
import pytest

from tests.faults.oracle import environment_of
from tests.faults.processes import HANG_SECONDS, POLL_SECONDS, Program, asked, free_port, running
from tests.postgres_server import Database, create, start, stop
from tests.torture.declaring import torture
from tests.torture.trial import Trial
from tracecore.backend import LedgerQuery, ObservationQuery
from tracecore.plugins import open_backend
from tracecore.records import LedgerEntry, Observation
from tracecore.testing.opening import ledger_in, observations_in, opened, pages_of
from tracecore.testing.samples import PROJECT
from tracecore.wire import BASE

WORKERS, TRACES, STEPS = 5, 150, 4
"""Threads and tasks of a program, traces of each, and spans below the first one of each trace."""
RECORDING = f"""
import asyncio, json, sys, threading, time
import tracecore

name = sys.argv[1]
recorder = tracecore.configure()

@tracecore.observe
def step(label, text):
    tracecore.update_current_span(name=label)
    return text

@tracecore.observe
def work(label):
    tracecore.update_current_span(name=label)
    for number in range({STEPS}):
        step(f"{{label}}.{{number}}", "x" * 300)

@tracecore.observe
async def serve(label):
    tracecore.update_current_span(name=label)
    for number in range({STEPS}):
        step(f"{{label}}.{{number}}", "x" * 300)
        await asyncio.sleep(0)

def in_a_thread(worker):
    for number in range({TRACES}):
        work(f"{{name}}.{{worker}}.{{number}}")
        time.sleep(0.01)

async def in_a_task(worker):
    for number in range({TRACES}):
        await serve(f"{{name}}.{{worker}}.{{number}}")
        await asyncio.sleep(0.01)

async def in_tasks(*workers):
    async with asyncio.TaskGroup() as group:
        for worker in workers:
            group.create_task(in_a_task(worker))

threads = [threading.Thread(target=in_a_thread, args=(worker,)) for worker in range(2, {WORKERS})]
for thread in threads:
    thread.start()
print("begun", flush=True)
asyncio.run(in_tasks(0, 1))
for thread in threads:
    thread.join()
stays = sys.stdin.readline() == "deliver\\n"
work(f"{{name}}.last")
if stays:
    found = recorder.recover(60)
    assert found.complete, found
result = tracecore.shutdown(60 if stays else 0.3)
assert result.delivered == stays, (result, tracecore.health())
health = tracecore.health()
print(json.dumps([health.process, health.emitted, health.pending, health.recovered, health.lost]))
"""
SERVING = """
import contextlib, sys
import uvicorn
from starlette.applications import Starlette
from tracecore.server.native import routes
from tracecore_sqlite import open_backend

backend = open_backend(sys.argv[1])

@contextlib.asynccontextmanager
async def life(app):
    await backend.open()
    yield
    await backend.close()

app = Starlette(routes=routes(backend), lifespan=life)
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), ws="none", log_level="error")
"""


class Server(Protocol):
    """Run as often as it is started; what was killed is gone when ``kill`` returns."""

    def start(self) -> None:
        """Start on what was there before, unless it runs; return when it answers."""
        ...

    def kill(self) -> None:
        """End it as ``kill -9`` does, with every process that it has started."""
        ...


class Postgres:
    """A PostgreSQL server of its own, which waits for the disk as it does unless it is told otherwise."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        create(folder)

    def start(self) -> None:
        """Start on what was there before, unless it runs; return when it has recovered that."""
        if self._process is None:
            self._process = start(self.folder, fsync="on", full_page_writes="on")

    def kill(self) -> None:
        """Kill the server and its children, which are in sessions of their own."""
        assert self._process is not None
        process, self._process = self._process, None
        process.send_signal(signal.SIGSTOP)  # so that it has no more of them
        wait_for_state("T", process.pid)
        children = children_of(process.pid)
        assert children
        for pid in (process.pid, *children):
            os.kill(pid, signal.SIGKILL)
        assert process.wait(HANG_SECONDS) == -signal.SIGKILL
        for pid in children:
            wait_for_state("ZX", pid)

    def close(self) -> None:
        """End in a way that leaves nothing of it in memory."""
        if self._process is not None:
            stop(self._process, os.getpid())


class Http:
    """Our endpoint over an SQLite file, in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._names = (f"server-{number}" for number in count())
        self._process = ExitStack()
        self._program: Program | None = None
        self.url = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start on the same file and port, unless it runs; return when it answers."""
        if self._program is None:
            folder = self._folder / next(self._names)
            folder.mkdir()
            arguments = ("-c", SERVING, f"sqlite:///{self._folder}/store.db", str(self._port))
            self._program = self._process.enter_context(running(*arguments, folder=folder, environment={}))
            assert b"ledger" in asked(self._port, f"{BASE}/capabilities"), self._program.errors

    def kill(self) -> None:
        """Kill the process."""
        assert self._program is not None
        program, self._program = self._program, None
        program.send(signal.SIGKILL)
        assert program.wait() == -signal.SIGKILL, program.errors

    def close(self) -> None:
        """End it."""
        self._process.close()


def state_of(pid: int) -> tuple[str, int]:
    """Return the state of a process, X where there is none, and its parent."""
    try:
        state, parent, *_ = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return "X", 0
    return state, int(parent)


def wait_for_state(wanted: str, pid: int) -> None:
    """Wait until a process is in one of some states."""
    deadline = time.monotonic() + HANG_SECONDS
    while (state := state_of(pid)[0]) not in wanted:
        assert time.monotonic() < deadline, f"process {pid} stays in state {state}"
        time.sleep(POLL_SECONDS)


def children_of(parent: int) -> list[int]:
    """Return the processes that a process has started and that run."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    found = [(pid, *state_of(pid)) for pid in pids]
    return [pid for pid, state, its_parent in found if its_parent == parent and state != "Z"]


def tortured(program: Program, server: Server, chance: Random) -> None:
    """Kill the server of a program that records once or twice, and start it again."""
    program.wait_for_word("begun")
    for _ in range(chance.randint(1, 2)):
        time.sleep(chance.uniform(0, 0.8))
        server.kill()
        time.sleep(chance.uniform(0, 0.4))
        server.start()


def run(name: str, url: str, server: Server, chance: Random, folder: Path, *, ends_alone: bool) -> list[Any]:
    """Let a program record into a server that is killed; return what it says of itself at the end.

    One that ``ends_alone`` does so while its server is away, which is back afterwards.
    """
    environment = environment_of("journal", url) | {
        "TRACECORE_JOURNAL_DIR": str(folder.parent / "journal"),
        "TRACECORE_FLUSH_INTERVAL_MS": "10",
        "TRACECORE_BATCH_ITEMS": f"{chance.choice([20, 300, 4_096])}",
    }
    with running("-c", RECORDING, name, folder=folder, environment=environment) as program:
        tortured(program, server, chance)
        if ends_alone:
            time.sleep(chance.uniform(0, 0.8))
            server.kill()
        program.say("end" if ends_alone else "deliver")
        code = program.wait()
        server.start()
        assert code == 0, program.errors
        said: list[Any] = msgspec.json.decode(program.out.partition("\n")[2])
        return said


def names_of(program: str) -> Counter[str]:
    """Return the name of each span that a program emits."""
    traces = [f"{program}.{worker}.{number}" for worker in range(WORKERS) for number in range(TRACES)]
    found: Counter[str] = Counter()
    for trace in (*traces, f"{program}.last"):
        found.update((trace, *(f"{trace}.{number}" for number in range(STEPS))))
    return found


async def stored_at(url: str) -> tuple[list[Observation], list[LedgerEntry]]:
    """Return every observation of a store, and the last entry of each process."""
    async with opened(open_backend(url, access="read")) as reader:
        pages = await pages_of(observations_in(reader).find, PROJECT, ObservationQuery(limit=1000))
        entries = await ledger_in(reader).find(PROJECT, LedgerQuery(limit=1000, last=True))
    return [one for page in pages for one in page], entries.items


def stats_of(url: str, folder: Path) -> dict[str, Any]:
    """Return what ``tracecore stats --json`` says."""
    arguments = ("-m", "tracecore", "stats", "--json", "--backend", url)
    with running(*arguments, folder=folder, environment={}) as stats:
        assert stats.wait() == 0, stats.errors
        found: dict[str, Any] = msgspec.json.decode(stats.out)
        return found


def check(url: str, folder: Path, accounts: dict[str, list[Any]]) -> None:
    """Assert that all that was emitted is stored once, and that the ledger of every process says so."""
    expected = sum(map(names_of, accounts), Counter[str]())
    observations, entries = anyio.run(stored_at, url)
    assert Counter(one.name for one in observations) == expected
    assert {one.status for one in observations} == {"ok"}
    by_process = {entry.process: entry for entry in entries}
    assert by_process.keys() == {process for process, *_ in accounts.values()}
    for name, (process, emitted, _, _, lost) in accounts.items():
        entry = by_process[process]
        assert emitted == names_of(name).total()
        assert (entry.emitted, entry.delivered, entry.waiting, entry.lost or {}) == (emitted, emitted, 0, {}), name
        assert (entry.unaccounted, entry.ended, lost) == (0, True, {})
    stats = stats_of(url, folder)
    said = stats["delivery"]
    assert stats["observations"] == said["emitted"] == said["delivered"] == expected.total()
    assert (said["waiting"], said["lost"], said["unbalanced"]) == (0, {}, 0)
    assert said["processes"] == said["ended"] == len(accounts)
    assert said["recovered"] == sum(pending for _, _, pending, _, _ in accounts.values())


def one_round(url: str, server: Server, chance: Random, folder: Path, *, ends_alone: bool) -> None:
    """Let one program or two, one after the other, record into a server that is killed; find everything once."""
    accounts: dict[str, list[Any]] = {}
    for name in ("first", "next") if ends_alone else ("first",):
        place = folder / name
        place.mkdir()
        alone = ends_alone and name == "first"
        accounts[name] = run(name, url, server, chance, place, ends_alone=alone)
        _, _, pending, recovered, _ = accounts[name]
        assert (pending > 0) == alone
        assert (recovered > 0) == (name == "next")
    check(url, folder, accounts)
    assert list((folder / "journal").iterdir()) == []


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """Return a PostgreSQL server that this test may kill."""
    folder = Path(tempfile.mkdtemp(prefix="tc-pg-"))
    try:
        with closing(Postgres(folder)) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.timeout(120)
@torture("T02", "kill -9 of the server under programs that record: PostgreSQL", rounds=2, full=50)
def test_postgres_is_killed(own_postgres: Postgres, trial: Trial) -> None:
    """What was emitted while PostgreSQL was killed and had to recover is there once, and the ledger says so."""
    for case in trial.cases():
        with case:
            own_postgres.start()
            url = Database(own_postgres.folder, f"case_{case.number}").url()
            one_round(url, own_postgres, case.chance, case.folder, ends_alone=bool(case.number % 2))


@pytest.mark.timeout(120)
@torture("T02", "kill -9 of the server under programs that record: over HTTP", rounds=2, full=50)
def test_an_http_server_is_killed(trial: Trial) -> None:
    """What was emitted while our endpoint was killed is in its file once, and the ledger says so."""
    for case in trial.cases():
        with case, closing(Http(case.folder)) as server:
            server.start()
            one_round(server.url, server, case.chance, case.folder, ends_alone=bool(case.number % 2))
