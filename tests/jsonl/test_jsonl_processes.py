"""A file of lines under several processes: killed in the middle of a batch, writing at once, and forking."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from tests.sqlite.files import python
from tests.torture.declaring import torture
from tests.torture.trial import Trial
from tracecore.records import Span
from tracecore.testing.opening import opened_with
from tracecore.testing.samples import span
from tracecore_jsonl import open_backend, records_in

ROOT = Path(__file__).resolve().parents[2]
LINES, BATCHES, WRITERS = 40, 25, 4

WRITES_FOR_EVER = """
import asyncio, sys
from itertools import count
from tracecore.testing.samples import json_of, span
from tracecore_jsonl import open_backend

async def main():
    backend = open_backend(f"jsonl:{sys.argv[1]}")
    await backend.open()
    for batch in count():
        await backend.write([span(n, within=batch + 1, input=json_of("x" * 20_000)) for n in range(40)])
        print(batch, flush=True)

asyncio.run(main())
"""
KILLED_INSIDE = """
import asyncio, os, signal, sys
from tracecore.testing.samples import span
from tracecore_jsonl import log_file, open_backend

class Deadly:
    def __getattr__(self, name):
        return getattr(os, name)
    def write(self, descriptor, data):
        os.write(descriptor, data[: int(sys.argv[2])])
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    backend = open_backend(f"jsonl:{sys.argv[1]}")
    await backend.open()
    await backend.write([span(1), span(2)])
    log_file.os = Deadly()
    await backend.write([span(3), span(4)])

asyncio.run(main())
"""
WRITES_SOME = """
import asyncio, sys
from tracecore.testing.samples import json_of, span
from tracecore_jsonl import open_backend

async def main():
    writer = int(sys.argv[2])
    backend = open_backend(f"jsonl:{sys.argv[1]}")
    await backend.open()
    for batch in range(25):
        await backend.write([span(n, within=1 + writer * 25 + batch, input=json_of("x" * 3_000)) for n in range(40)])
    await backend.close()

print("ready", flush=True)
sys.stdin.readline()
asyncio.run(main())
"""
FULL = """
import asyncio, resource, sys
from tracecore.errors import DiskFull
from tracecore.testing.samples import json_of, span
from tracecore_jsonl import open_backend, records_in

async def main():
    backend = open_backend(f"jsonl:{sys.argv[1]}")
    await backend.open()
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, most))
    kept, refused = [], 0
    for number in range(60):
        batch = [span(n, within=number + 1, input=json_of("x" * 1_000)) for n in range(5)]
        try:
            await backend.write(batch)
            kept += batch
        except DiskFull:
            refused += 1
            assert list(records_in(sys.argv[1])) == kept
        if refused == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    await backend.close()
    print(len(kept), refused, list(records_in(sys.argv[1])) == kept)

asyncio.run(main())
"""
FORKS = """
import os, sys
import tracecore
from tracecore.testing.samples import span

tracecore.configure(backend=f"jsonl:{sys.argv[1]}", pending_after_ms=0)
with tracecore.span("before"):
    pass
assert tracecore.flush(20).delivered
with tracecore.span("parent"):
    children = []
    for number in range(6):
        child = os.fork()
        if child == 0:
            with tracecore.span(f"child {number}"):
                pass
            assert tracecore.flush(20).delivered
            os._exit(0)
        children.append(child)
        with tracecore.span(f"beside {number}"):
            pass
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 6
assert tracecore.shutdown(20).delivered
"""


def start(program: str, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a program in a process of its own."""
    script = folder / "program.py"
    script.write_text(program)
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(script), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'backends'}"},
    )


def killed_after(batches: int, seconds: float, path: Path) -> list[int]:
    """Kill a writer so long after so many batches; return the batches that it was told are written."""
    with start(WRITES_FOR_EVER, path.parent, str(path)) as writer:
        assert writer.stdout is not None
        acknowledged = [int(writer.stdout.readline()) for _ in range(batches)]
        time.sleep(seconds)  # the moment is what is drawn
        writer.kill()
        rest = writer.stdout.read().splitlines(keepends=True)
    return [*acknowledged, *(int(line) for line in rest if line.endswith("\n"))]


@torture("T01", "kill -9 while a batch is appended to a file of lines", rounds=6, full=100)
async def test_killed_at_any_moment(trial: Trial) -> None:
    """Every batch that was acknowledged is there whole, every line but the last is a record, and writing goes on."""
    for case in trial.cases():
        with case:
            path = case.folder / "a.jsonl"
            acknowledged = killed_after(case.chance.randint(1, 4), case.chance.random() / 200, path)
            for _ in range(2):
                kept = [record for record in records_in(path) if isinstance(record, Span)]
                found = {(int(record.trace_id, 16) - 1, int(record.span_id, 16)) for record in kept}
                assert {(batch, number) for batch in acknowledged for number in range(LINES)} <= found
                async with opened_with(open_backend(f"jsonl:{path}"), [span(1)]):
                    assert path.read_bytes().endswith(b"\n")


@pytest.mark.parametrize("kept", [0, 1, 20, 170, 171, 172, 200])
async def test_killed_inside_a_write(tmp_path: Path, kept: int) -> None:
    """However many bytes of a batch have reached the file, the batches before it are whole, and no line is torn."""
    path = tmp_path / "a.jsonl"
    with start(KILLED_INSIDE, tmp_path, str(path), str(kept)) as killed:
        assert killed.wait(40) == -signal.SIGKILL
    before = list(records_in(path))
    assert before[:2] == [span(1), span(2)]
    assert before[2:] in ([], [span(3)])
    async with opened_with(open_backend(f"jsonl:{path}"), [span(3), span(4)]):
        assert list(records_in(path)) == [*before, span(3), span(4)]


def test_several_processes_write_at_once(tmp_path: Path) -> None:
    """No line is torn and none is missing, whoever writes; the lines of a batch follow each other."""
    path = tmp_path / "a.jsonl"
    writers = [start(WRITES_SOME, tmp_path, str(path), str(number)) for number in range(WRITERS)]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    assert [writer.communicate("go\n", timeout=60)[0] for writer in writers] == [""] * WRITERS
    assert [writer.returncode for writer in writers] == [0] * WRITERS
    kept = [record for record in records_in(path) if isinstance(record, Span)]
    traces = [record.trace_id for record in kept]
    assert len(kept) == len({(one.trace_id, one.span_id) for one in kept}) == WRITERS * BATCHES * LINES
    assert sum(before != after for before, after in pairwise(traces)) == WRITERS * BATCHES - 1


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """Where there is no more space nothing of a batch stays, not even what would have fitted; later there is again."""
    ended = python(str(tmp_path / "a.jsonl"), folder=tmp_path, program=FULL)
    assert (ended.stdout, ended.stderr) == ("285 3 True\n", "")


def test_a_program_that_forks(tmp_path: Path) -> None:
    """What parent and children record is in the file once, each line whole, and nobody hangs."""
    path = tmp_path / "a.jsonl"
    ended = python(str(path), folder=tmp_path, program=FORKS)
    assert (ended.returncode, ended.stderr) == (0, "")
    names = sorted(record.name for record in records_in(path) if isinstance(record, Span))
    assert names == sorted(["before", "parent", *(f"{who} {n}" for who in ("child", "beside") for n in range(6))])
