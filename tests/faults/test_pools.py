"""Pools whose workers do one task each: every trace is there, with the hook of the examples where one is needed."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.oracle import each_buffer, environment_of, stored_ids
from tests.faults.processes import HANG_SECONDS, ROOT, running
from tests.torture.declaring import by_mode, torture

TASKS = by_mode(6, full=100)
KINDS = [
    *(("pool", method) for method in ("fork", "spawn", "forkserver")),
    *(("executor", method) for method in ("spawn", "forkserver")),  # which refuses workers of one task that are forked
]
SENT = """
import os

def mask(text):
    if text == "handle":
        with open("sent", "ab", buffering=0) as sent:
            sent.write(b"%d\\n" % os.getpid())
    return text
"""
POOL = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
from tracecore import observe

@observe
def handle(job):
    return job

if __name__ == "__main__":
    kind, method, tasks = sys.argv[1], sys.argv[2], int(sys.argv[3])
    context = multiprocessing.get_context(method)
    if kind == "pool":
        pool = context.Pool(2, maxtasksperchild=1)
        assert pool.map(handle, range(tasks), chunksize=1) == list(range(tasks))
        pool.close()
        pool.join()
    else:
        with ProcessPoolExecutor(2, mp_context=context, max_tasks_per_child=1) as pool:
            assert list(pool.map(handle, range(tasks))) == list(range(tasks))
"""

pytestmark = torture("T07", "pools with one task per child, children that end by os._exit, celery", rounds=TASKS)


def settings(folder: Path, buffer: str) -> dict[str, str]:
    """Return the environment of a program that notes which process sent each span."""
    (folder / "sent.py").write_text(SENT)
    return {**environment_of(buffer, f"sqlite:///{folder / 'a.db'}"), "TRACECORE_MASK": "sent:mask"}


def ran(folder: Path, buffer: str, *arguments: str, **more: str) -> None:
    """Run a program to its end, which must be a good one."""
    environment = {**settings(folder, buffer), **more}
    with running(*arguments, folder=folder, environment=environment, python=()) as program:
        assert program.wait() == 0, program.errors


def inputs(folder: Path) -> Counter[str]:
    """Return the inputs of all spans, each of which is a trace of its own and was sent by a process of its own."""
    path = folder / "a.db"
    ids = stored_ids(path)
    assert len({trace for trace, _ in ids}) == len(ids) == ids.total()
    senders = Counter((folder / "sent").read_text().split())
    assert (senders.total(), set(senders.values())) == (len(ids), {1})
    with closing(sqlite3.connect(path)) as raw:
        return Counter(given for (given,) in raw.execute("SELECT input FROM spans"))


@each_buffer
@pytest.mark.parametrize(("kind", "method"), KINDS)
def test_one_task_per_child(tmp_path: Path, kind: str, method: str, buffer: str) -> None:
    """Each worker of a pool ends after its task and has delivered the trace, whatever it was started by."""
    (tmp_path / "pool.py").write_text(POOL)
    ran(tmp_path, buffer, "pool.py", kind, method, str(TASKS))
    assert inputs(tmp_path) == Counter(f'{{"job":{number}}}' for number in range(TASKS))


@each_buffer
def test_the_example(tmp_path: Path, buffer: str) -> None:
    """The example, as it is: a pool, an executor, and children that end by ``os._exit``; all of it is there."""
    ran(tmp_path, buffer, str(ROOT / "examples" / "stopping" / "pools.py"), str(TASKS))
    assert inputs(tmp_path) == {f'{{"job":{number}}}': 3 for number in range(TASKS)}


@each_buffer
def test_celery(tmp_path: Path, buffer: str) -> None:
    """Each process of celery's pool ends after its task and has delivered the trace; the worker then ends in order."""
    for name in ("queue", "control"):
        (tmp_path / name).mkdir()
    for name in ("data_in", "data_out"):  # the names that the broker of files looks for
        (tmp_path / name).symlink_to("queue")
    client = f"from examples.stopping.celery_tasks import handle\nfor number in range({TASKS}): handle.delay(number)"
    ran(tmp_path, buffer, "-c", client, CELERY_BROKER_URL="filesystem://")
    command = ["-m", "celery", "-A", "examples.stopping.celery_tasks", "worker", "--max-tasks-per-child=1"]
    command += ["--concurrency=2", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    environment = {**settings(tmp_path, buffer), "CELERY_BROKER_URL": "filesystem://"}
    with running(*command, folder=tmp_path, environment=environment, python=()) as worker:
        wait_until_sent(tmp_path, TASKS)
        worker.send(signal.SIGTERM)
        assert worker.wait() == 0, worker.errors
    assert inputs(tmp_path) == Counter(f'{{"job":{number}}}' for number in range(TASKS))


def wait_until_sent(folder: Path, count: int) -> None:
    """Wait until so many spans were sent by anybody."""
    sent = folder / "sent"
    deadline = time.monotonic() + HANG_SECONDS + count
    while not sent.exists() or len(sent.read_text().split()) < count:
        assert time.monotonic() < deadline, sorted(folder.iterdir())
        time.sleep(0.05)
