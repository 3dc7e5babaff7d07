"""Lines on stdout: for a pipe that is read, slow, full, shared, closed, or never there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sqlite.files import python
from tracecore.errors import BackendUnavailable
from tracecore.json_lines import line_of, record_in
from tracecore.records import Span
from tracecore.testing.opening import opened, opened_with
from tracecore.testing.samples import span
from tracecore_jsonl import open_backend, records_in, standard_output

ROOT = Path(__file__).resolve().parents[2]

BEGIN = """
import asyncio, os, signal, sys
from tracecore.errors import BackendUnavailable
from tracecore.testing.samples import json_of, span
from tracecore_jsonl import open_backend

async def write(*batches):
    backend = open_backend("stdout:")
    await backend.open()
    for batch in batches:
        await backend.write(batch)
    await backend.close()

"""
READ_BY_NOBODY = """
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
sys.stdin.readline()
try:
    asyncio.run(write([span(1)]))
except BackendUnavailable as error:
    print(error, file=sys.stderr)
"""
SHARED = """
for number in range(4):
    if os.fork() == 0:
        asyncio.run(write(*([span(n, within=1 + number, input=json_of("x" * 9_000)) for n in range(30)],) * 5))
        os._exit(0)
for _ in range(4):
    assert os.wait()[1] == 0
"""
NOT_BLOCKING = """
os.set_blocking(1, False)
asyncio.run(write([span(n, input=json_of("x" * 50_000)) for n in range(40)]))
"""
TRACED = """
import tracecore
with tracecore.span("work"):
    pass
"""


def pipe_from(program: str, folder: Path, **options: object) -> subprocess.Popen[bytes]:
    """Start a program whose stdout, and stderr, are pipes to the test."""
    script = folder / "program.py"
    script.write_text(BEGIN + program)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'backends'}"}
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([sys.executable, "-W", "error", str(script)], env=environment, **streams, **options)  # type: ignore[call-overload,no-any-return]  # options of the test


def test_a_closed_pipe_is_said_and_kills_nobody(tmp_path: Path) -> None:
    """A reader that has gone is an error that may pass, even where the program lets SIGPIPE end it."""
    with pipe_from(READ_BY_NOBODY, tmp_path) as program:
        assert program.stdout is not None
        program.stdout.close()
        assert program.stdin is not None
        program.stdin.write(b"go\n")
        program.stdin.close()
        assert program.stderr is not None
        said = program.stderr.read().decode()
        assert program.wait(40) == 0
    assert said.startswith("stdout: is read by nobody any more; start what reads it again, or write to a file")


def test_processes_that_share_a_pipe_tear_no_line(tmp_path: Path) -> None:
    """Batches that are longer than a pipe's buffer come whole, one after the other."""
    with pipe_from(SHARED, tmp_path) as program:
        out, errors = program.communicate(timeout=60)
    records = [record_in(line) for line in out.splitlines()]
    traces = [record.trace_id for record in records if isinstance(record, Span)]
    assert (program.returncode, errors, len(traces)) == (0, b"", 4 * 5 * 30)
    batches = [set(traces[at : at + 30]) for at in range(0, len(traces), 30)]
    assert [len(batch) for batch in batches] == [1] * 20


def test_a_pipe_that_does_not_block_is_waited_for(tmp_path: Path) -> None:
    """Two megabytes reach a reader whose pipe holds a few kilobytes and says that it is full."""
    with pipe_from(NOT_BLOCKING, tmp_path) as program:
        out, errors = program.communicate(timeout=60)
    assert (program.returncode, errors) == (0, b"")
    assert [len(line) > 50_000 for line in out.splitlines()] == [True] * 40


def test_a_traced_program_writes_its_lines_to_a_file_or_pipe(tmp_path: Path) -> None:
    """``TRACECORE_BACKEND=stdout:`` is all that a program needs."""
    found = python(folder=tmp_path, program=f"import os\nos.environ['TRACECORE_BACKEND'] = 'stdout:'\n{TRACED}")
    assert (found.returncode, found.stderr) == (0, "")
    (record,) = [record_in(line.encode()) for line in found.stdout.splitlines()]
    assert isinstance(record, Span)
    assert record.name == "work"


async def test_nothing_that_is_not_a_line_is_written(capfd: pytest.CaptureFixture[str]) -> None:
    """Opening, an empty batch and closing leave stdout alone; a batch is its lines."""
    async with opened_with(open_backend("jsonl:-"), []) as backend:
        assert capfd.readouterr().out == ""
        await backend.write([span(1), span(2)])
    assert capfd.readouterr().out.encode() == line_of(span(1)) + line_of(span(2))


async def test_a_program_without_stdout(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was started without a stdout is told so, and no other file is taken for it."""
    monkeypatch.setattr(sys, "__stdout__", None)
    with pytest.raises(BackendUnavailable, match="stdout: is closed; give the program a stdout"):
        await open_backend("stdout:").open()


async def test_a_line_begins_where_a_line_begins(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a batch that stopped in the middle of a line the next one begins a line of its own."""
    left = [10, -1]

    class Short:
        def __getattr__(self, name: str) -> object:
            return getattr(os, name)

        def write(self, descriptor: int, data: memoryview) -> int:
            most = left.pop(0) if left else len(data)
            if most < 0:
                raise OSError(28, "No space left on device")
            return os.write(descriptor, data[:most])

    async with opened(open_backend("stdout:")) as backend:
        monkeypatch.setattr(standard_output, "os", Short())
        with pytest.raises(BackendUnavailable):
            await backend.write([span(1)])
        await backend.write([span(1), span(2)])
    torn, *lines = capfd.readouterr().out.encode().splitlines(keepends=True)
    assert (torn, lines) == (line_of(span(1))[:10] + b"\n", [line_of(span(1)), line_of(span(2))])
    (tmp_path / "a").write_bytes(b"".join(lines))
    assert list(records_in(tmp_path / "a")) == [span(1), span(2)]
