"""The process dies by ``kill -9`` at any moment of writing: what was acknowledged is there, and no part of a batch is.

The child writes batch after batch (running spans, then the same ones ended, scores and sessions, with indexing and
settling between) and says on a pipe which ones were acknowledged: this process, which survives, is the ledger.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.oracle import Ledger, deliver_leftovers, each_buffer, environment_of, stored_ids
from tests.faults.processes import running
from tests.sqlite.files import ROOT, asked, is_whole, keep, span
from tests.torture.declaring import torture
from tests.torture.trial import Trial

IN_A_BATCH = 7
PROGRAM = """
import asyncio, os, sys
from msgspec.structs import replace
from tests.sqlite.files import span
from tracecore.records import Score, Session
from tracecore_sqlite import open_backend, search, settling

search._SLICE_ROWS, settling._KEPT, settling._SLICE = 20, 20, 10

async def main(url, first, in_a_batch):
    backend = open_backend(url)
    await backend.open()
    print("open", flush=True)
    number = first
    while True:
        base = number * in_a_batch
        spans = [span(base + place, f"batch {number}", trace=number // 3) for place in range(in_a_batch)]
        await backend.write([replace(record, status="running", duration_ns=None) for record in spans[:3]])
        score = Score("default", f"{number}", f"batch {number}", number)
        await backend.write([*spans, score, Session("default", f"{number}")])
        os.write(1, b"%d\\n" % number)
        await backend.maintain()
        number += 1

asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""
COMPLETE = """
SELECT cast(substr(name, 7) AS INTEGER), count(*), sum(status = 'ok'), count(input), min(trace_id) = max(trace_id)
FROM spans WHERE name LIKE 'batch %' GROUP BY name
"""

each_synchronous = pytest.mark.parametrize("synchronous", ["normal", "full"])


def acknowledged_before_death(path: Path, parameters: str, *, first: int, after: float) -> list[int]:
    """Let a child write from a batch on, kill it when the file has been open for a while; return what it was told."""
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, f"sqlite:///{path}{parameters}", str(first), str(IN_A_BATCH)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'backends'}"},
    )
    assert child.stdout is not None
    opened = child.stdout.readline()
    time.sleep(after)
    child.send_signal(signal.SIGKILL)
    said, errors = child.communicate(timeout=40)
    assert opened == b"open\n", errors
    assert child.returncode == -signal.SIGKILL, errors
    # The last line may be cut; one that is whole was acknowledged.
    return [int(line) for line in said.split(b"\n")[:-1]]


def check(path: Path, acknowledged: set[int]) -> set[int]:
    """Assert that every acknowledged batch is complete and no other is there in part; return those that are there."""
    assert is_whole(path)
    found = {number: counts for number, *counts in asked(path, COMPLETE)}
    complete = {number for number, counts in found.items() if counts == [IN_A_BATCH, IN_A_BATCH, IN_A_BATCH, 1]}
    announced = {number for number, counts in found.items() if counts == [3, 0, 3, 1]}
    assert complete | announced == found.keys()
    assert acknowledged <= complete
    assert {int(name) for (name,) in asked(path, "SELECT score_id FROM scores")} == complete
    assert {int(name) for (name,) in asked(path, "SELECT session_id FROM sessions")} == complete
    ((observations,),) = asked(path, "SELECT sum(observation_count) FROM traces")
    assert observations == asked(path, "SELECT count(*) FROM spans")[0][0]
    return complete


@torture("T01", "kill -9 at a random moment of writing", rounds=6, full=200)
@each_synchronous
async def test_killed_at_any_moment(trial: Trial, synchronous: str) -> None:
    """Over many deaths on one file, every acknowledged batch is complete, none is there in part, and it is whole."""
    path = trial.folder / "a.db"
    acknowledged: set[int] = set()
    for case in trial.cases():
        with case:
            first = max(acknowledged, default=0) + 2
            parameters = f"?synchronous={synchronous}"
            new = acknowledged_before_death(path, parameters, first=first, after=case.chance.uniform(0, 0.15))
            assert new == list(range(first, first + len(new)))
            complete = check(path, acknowledged | set(new))
            assert len(complete - acknowledged) <= len(new) + 1  # the one batch that nobody was told of
            acknowledged = complete
    assert len(acknowledged) > trial.ran
    await keep(path, span(10**9, "afterwards"))
    assert "afterwards" in {name for (name,) in asked(path, "SELECT name FROM spans")}


RECORDING = """
import threading
from tests.faults.telling import Teller

teller = Teller()

def emit(thread):
    number = 0
    while True:
        teller.emit(f"{thread}:{number}", input={"n": number})
        number += 1

for thread in range(2):
    threading.Thread(target=emit, args=(thread,), daemon=True).start()
teller.tell("ready", None)
while True:
    assert teller.flush(20)
"""


@torture("T01", "kill -9 of a program that records and flushes", rounds=4, full=200)
@each_buffer
@each_synchronous
def test_a_program_is_killed(trial: Trial, synchronous: str, buffer: str) -> None:
    """Whatever a flush of a killed program called delivered is there, once; nothing is there that was not recorded."""
    for case in trial.cases():
        with case, Ledger(case.folder, buffer) as ledger:
            path = case.folder / "a.db"
            environment = environment_of(buffer, f"sqlite:///{path}?synchronous={synchronous}")
            for _ in range(2):  # the second begins with what the first has left behind
                deaths = len(ledger.said)
                told = environment | ledger.environment
                with running("-c", RECORDING, folder=case.folder, environment=told) as program:
                    ledger.wait_for(lambda ledger, deaths=deaths: len(ledger.said) > deaths)  # type: ignore[misc] # bound on purpose
                    time.sleep(case.chance.uniform(0, 0.4))
                    program.send(signal.SIGKILL)
                    assert program.wait() == -signal.SIGKILL
                assert program.errors == ""
            deliver_leftovers(buffer, path)
            ledger.check(stored_ids(path))
