"""What the tests of the command line share: a store with known records, and a way to run a command."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path

import anyio
import pytest

from tests.cli.recorded import SECOND, START, Cli, Result, Store, generation, span
from tracecore import plugins
from tracecore.cli.main import main
from tracecore.plugins import open_backend
from tracecore.records import ErrorInfo, Event, Record, Session, TraceAttributes

_stores = itertools.count()


@pytest.fixture(autouse=True)
def _our_backends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Generator[None]:
    """Offer our backends, installed or not, and an empty working directory."""
    offered = {
        "memory": "tracecore.memory:open_backend",
        "sqlite": "tracecore_sqlite:open_backend",
        "jsonl": "tracecore_jsonl:open_backend",
        "postgresql": "tracecore_postgres:open_backend",
        "http": "tracecore_http:open_backend",
    }
    entries = [EntryPoint(scheme, value, plugins.GROUP) for scheme, value in offered.items()]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda *, group: entries if group == plugins.GROUP else [])
    monkeypatch.chdir(tmp_path)
    plugins._plugins.cache_clear()
    yield
    plugins._plugins.cache_clear()


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Return a function that runs one command in this process."""

    def run(*arguments: str) -> Result:
        capsys.readouterr()
        code = main(arguments)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture
def stored() -> Store:
    """Return a function that keeps records, in memory unless a URL is given, and returns the URL."""

    def keep(records: Sequence[Record], url: str = "") -> str:
        url = url or f"memory:cli{next(_stores)}"

        async def write() -> None:
            backend = open_backend(url)
            await backend.open()
            await backend.write(records)
            await backend.close()

        anyio.run(write)
        return url

    return keep


@pytest.fixture
def sample() -> list[Record]:
    """Return three traces of two users: one with everything, one that failed, one that runs."""
    chat = TraceAttributes(name="chat", user_id="u1", session_id="s1", tags=("web", "ios"), release="r1", version="1.2")
    other = TraceAttributes(name="chat", user_id="u2", session_id="s2", environment="staging")
    used = {"usage_details": {"input": 1000, "output": 234}, "total_cost": 0.0125}
    begun = START + 2 * SECOND
    failure = ErrorInfo("ValueError", "no such city")
    return [
        span(1, trace=0xA1, duration_ns=3 * SECOND, input={"question": "why?"}, output="because", about=chat),
        span(2, trace=0xA1, parent=1, type="retriever", name="retrieve", after_s=0.5, about=chat),
        generation(3, trace=0xA1, parent=1, after_s=1.5, model="gpt-x", completion_start_ns=begun, about=chat, **used),
        Event("default", f"{0xA1:032x}", f"{4:016x}", "cache hit", START, f"{1:016x}", "event", 0, trace=chat),
        span(5, trace=0xB1, after_s=60, status="error", error=failure, about=other),
        generation(6, trace=0xB1, parent=5, after_s=60, model="gpt-y", usage_details={"input": 7}, about=other),
        span(7, trace=0xC1, after_s=120, status="running", duration_ns=None, about=chat),
        Session("default", "s1"),
    ]
