"""The small examples run as printed, stay small, and record what they say."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from examples import background_worker, survives_kill
from examples.asgi_service import app
from tests.http_server import room_names, served
from tracecore import Config, Recorder
from tracecore.backend import TraceQuery
from tracecore.memory import MemoryBackend, open_backend
from tracecore.records import Observation

EXAMPLES = Path(background_worker.__file__).parent


async def _only_tree(recorder: Recorder, backend: MemoryBackend) -> list[Observation]:
    assert (await recorder.aflush()).delivered
    (trace,) = (await backend.traces.find("default", TraceQuery())).items
    return await backend.observations.tree("default", trace.trace_id)


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("quickstart.py", 25),
        ("asgi_service.py", 60),
        ("background_worker.py", 60),
        ("survives_kill.py", 60),
        ("choose_backend.py", 60),
        ("prompt_fallback.py", 150),
    ],
)
def test_examples_stay_small(name: str, lines: int) -> None:
    """An example that is read in a minute is read."""
    assert len((EXAMPLES / name).read_text().splitlines()) <= lines


def test_the_life_of_a_prompt(tmp_path: Path) -> None:
    """Each version is served when it is promoted, a killed server harms nobody, and each version has its metrics."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRACECORE_")}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "prompt_fallback.py")], cwd=tmp_path, env=environment, capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, one, two, killed, back = done.stdout.splitlines()[:5]
    assert "fallback" in first
    assert one.startswith("version 1 published       served after ")
    assert two.startswith("version 2 published       served after ")
    assert "version 2 from memory" in killed
    assert back.startswith("rolled back to version 1  served after ")
    assert "rolled production back from version 2 to 1" in done.stdout
    assert "too short for our customers" in done.stdout
    assert " 1,002 " in done.stdout  # what was generated while the server was away is counted, too
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["quickstart.py", "background_worker.py", "survives_kill.py", "choose_backend.py"])
def test_a_script_runs_as_printed_and_leaves_its_traces(name: str, tmp_path: Path) -> None:
    """``python examples/NAME`` works without any set-up and writes tracecore.db where it is started."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRACECORE_")}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)], cwd=tmp_path, env=environment, capture_output=True, text=True,
        timeout=30, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "tracecore.db").stat().st_size > 0
    assert list(tmp_path.glob("tracecore-journal/*")) == []  # of a journal, nothing is left to deliver


def test_a_worker_that_is_killed_loses_no_span(tmp_path: Path) -> None:
    """All that the worker had emitted is in the store once the next start has recovered it, each span once."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "survives_kill.py")], cwd=tmp_path, capture_output=True, text=True, timeout=30,
        check=False,
    )  # fmt: skip
    assert done.stdout.splitlines()[0] == "the worker was killed (exit code -9)"
    with closing(sqlite3.connect(tmp_path / "tracecore.db")) as connection:
        assert connection.execute("select count(*), count(distinct span_id) from spans").fetchall() == [
            (survives_kill.SPANS, survives_kill.SPANS)
        ]


async def test_the_asgi_service_traces_each_request() -> None:
    """The request is the root, with its user and its caller's trace; what ran in a thread is its child."""
    backend = open_backend("memory:")
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"X-User-Id": "user-123", "traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"}
    transport = httpx2.ASGITransport(app)
    async with (
        Recorder(Config(), backend=backend) as recorder,
        httpx2.AsyncClient(transport=transport, base_url="http://service.test", headers=headers) as client,
    ):
        answer = (await client.get("/primes", params={"below": "12"})).json()
        root, child = await _only_tree(recorder, backend)
    assert answer == {"primes": [2, 3, 5, 7, 11], "trace_id": trace_id}
    assert (root.name, root.trace.user_id, root.trace_id) == ("GET /primes", "user-123", trace_id)
    assert (child.name, child.parent_id) == ("primes", root.span_id)


async def test_the_worker_keeps_its_threads_in_one_trace(tmp_path: Path) -> None:
    """Every file is a child of the job, also the empty one, whose error is recorded and skipped."""
    (tmp_path / "long.py").write_text("x = 1\n" * 1_000)
    (tmp_path / "empty.py").write_text("")
    backend = open_backend("memory:")
    async with Recorder(Config(), backend=backend) as recorder:
        assert await asyncio.to_thread(background_worker.run_job, tmp_path) > 50
        job, *parts = await _only_tree(recorder, backend)
    assert (job.name, job.trace.user_id) == ("job", "nightly-job")
    assert {part.parent_id for part in parts} == {job.span_id}
    assert sorted((part.name, part.status) for part in parts) == [
        ("compress", "error"),
        ("compress", "ok"),
        ("skipped", "ok"),
    ]


@pytest.mark.parametrize(
    ("backend", "level", "read_back"),
    [
        ("sqlite:///chosen.db", "handed_over", "3 traces with 6 spans are in it"),
        ("sqlite:///chosen.db?synchronous=full", "durable", "3 traces with 6 spans are in it"),
        ("memory:chosen", "accepted", "3 traces with 6 spans are in it"),
        ("jsonl:chosen.jsonl", "handed_over", "it is read elsewhere"),
        ("jsonl:chosen.jsonl+sqlite:///chosen.db", "handed_over", "3 traces with 6 spans are in it"),
    ],
)
def test_one_program_on_any_backend(backend: str, level: str, read_back: str, tmp_path: Path) -> None:
    """The very same program delivers to whatever the environment names, and reads it back where that is possible."""
    delivered, found = _run_choosing(backend, tmp_path)
    assert delivered.endswith(f": delivered ({level})")
    assert "chosen" in delivered
    assert found == read_back


def test_the_same_program_on_a_database(postgres_url: str, tmp_path: Path) -> None:
    """With the URL of a database it delivers there, and the database's disk has it."""
    delivered, found = _run_choosing(postgres_url, tmp_path)
    assert delivered.endswith(": delivered (durable)")
    assert found == "3 traces with 6 spans are in it"


def test_the_same_program_on_a_server(tmp_path: Path) -> None:
    """With the URL of a server it delivers there, and another host has it."""
    with served() as url:
        delivered, found = _run_choosing(f"{url}/{next(room_names)}", tmp_path)
    assert delivered.endswith(": delivered (received)")
    assert found == "3 traces with 6 spans are in it"


def _run_choosing(backend: str, folder: Path) -> list[str]:
    """Run the program with a backend in its environment, and return what it says."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("TRACECORE_")}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "choose_backend.py")], cwd=folder, capture_output=True, text=True,
        env={**own, "TRACECORE_BACKEND": backend}, timeout=30, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()
