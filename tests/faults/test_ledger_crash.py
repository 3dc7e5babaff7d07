"""Whenever a process dies, the last entry of its ledger counts exactly what is stored of it: they are one commit."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from tests.faults.oracle import each_buffer, environment_of
from tests.programs import ROOT, run_program
from tests.torture.declaring import torture
from tests.torture.trial import Trial

PROGRAM = """
import sys, threading, time
import tracecore

tracecore.configure(batch_items=int(sys.argv[1]), flush_interval_ms=3, pending_after_ms=10, buffer_items=500)

def work():
    while True:
        with tracecore.span("slow"):
            for number in range(50):
                tracecore.span("quick").update(input="x" * 100).end()
            time.sleep(0.02)

for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
print("begun", flush=True)
time.sleep(30)
"""
LAST = "SELECT process, delivered, unaccounted, emitted FROM ledger ORDER BY seen_ns DESC LIMIT 1"
STORED = "SELECT count(*) FROM spans WHERE status NOT IN ('running', 'abandoned')"


@torture("T01", "killed while it delivers: the ledger counts what is stored, to the unit", rounds=3, full=60)
@each_buffer
def test_killed_while_it_delivers(buffer: str, trial: Trial) -> None:
    """After ``kill -9`` at a random moment as many spans are stored as the ledger says, and its entry adds up."""
    found = 0
    for case in trial.cases():
        with case:
            path = case.folder / "a.db"
            child = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(case.chance.choice([1, 7, 100, 4_096]))],
                stdout=subprocess.PIPE,
                cwd=case.folder,
                env={
                    **os.environ,
                    **environment_of(buffer, f"sqlite:///{path}"),
                    "PYTHONPATH": f"{ROOT}:{ROOT / 'backends'}",
                },
            )
            assert child.stdout is not None
            assert child.stdout.readline() == b"begun\n"
            time.sleep(case.chance.uniform(0.3, 1.2))
            child.send_signal(signal.SIGKILL)
            child.communicate(timeout=20)
            found += check(path)
    assert found > 0


def check(path: Path) -> int:
    """Assert that ledger and store agree; return how many spans are stored."""
    with closing(sqlite3.connect(path)) as raw:
        entries = raw.execute(LAST).fetchall()
        ((stored,),) = raw.execute(STORED).fetchall()
    if not entries:
        assert stored == 0
        return 0
    ((_, delivered, unaccounted, emitted),) = entries
    assert (delivered, unaccounted) == (stored, 0)
    assert emitted >= delivered
    return int(stored)


FORKING = """
import os
import tracecore

tracecore.configure(backend="sqlite:///a.db", pending_after_ms=1)
with tracecore.span("parent's"):
    time.sleep(0.3)
    pid = os.fork()
    if pid == 0:
        with tracecore.span("child's"):
            time.sleep(0.3)
        assert tracecore.shutdown(20).delivered
        print(tracecore.health().process, flush=True)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
assert tracecore.shutdown(20).delivered
print(tracecore.health().process)
"""
BY_PROCESS = """
SELECT process, max(emitted), max(delivered), min(unaccounted), max(ended) FROM ledger GROUP BY process ORDER BY process
"""


def test_a_forked_child_keeps_a_ledger_of_its_own(tmp_path: Path) -> None:
    """Parent and child have different ids, and each accounts for its own span and for nothing else."""
    ended = run_program(FORKING, tmp_path, python=("-W", "ignore"))
    assert ended.code == 0, ended
    child, parent = ended.stdout.split()
    assert child != parent
    with closing(sqlite3.connect(tmp_path / "a.db")) as raw:
        assert raw.execute(BY_PROCESS).fetchall() == sorted([(child, 1, 1, 0, 1), (parent, 1, 1, 0, 1)])
