"""The suite ``throughput`` stores where and how it is told, reads all of it back, and says no in one sentence."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import stores
from benchmarks.child import SuiteFailed, run_in_child
from benchmarks.cli import main
from benchmarks.figures import ROOT, Refused, Settings, Table
from benchmarks.sinks import NullBackend
from benchmarks.stored import check_space
from benchmarks.suites import throughput
from tracecore.plugins import open_backend

SPANS = 500
STORED = SPANS + 5
"""One request of five spans opens the store before the clock runs."""


def settings_of(**chosen: str | int | bool | None) -> Settings:
    """Return one short round in memory, with what is chosen."""
    return Settings(**{"rounds": 1, "busy_host": False, "spans": SPANS, "buffer": "memory", **chosen})  # pyright: ignore[reportArgumentType] # by name


def run(**chosen: str | int | bool | None) -> Table:
    """Return the table of one short round in a process of its own."""
    return run_in_child("throughput", settings_of(**chosen), lambda *_: None)


def values(table: Table) -> dict[str, float]:
    """Return the figures of a table, by key."""
    return {row.key.removeprefix("throughput."): row.value or 0.0 for row in table.rows}


async def spans_in(url: str) -> int:
    """Return how many spans a file holds."""
    backend = open_backend(url, access="read")
    await backend.open()
    try:
        assert backend.sql is not None
        [[count]] = (await backend.sql.query("select count(*) from spans")).rows
        return int(count)
    finally:
        await backend.close()


@pytest.mark.parametrize("backend", ["sqlite", "memory", "memory:named"])
def test_every_kind_of_store_gives_back_all_that_it_got(backend: str) -> None:
    """A round ends with every span read back, whether the store is a file or lives in the process only."""
    table = run(backend=backend)
    found = values(table)
    assert (found["read_back"], found["lost"]) == (STORED, 0)
    assert min(found["rate"], found["caller"], found["cpu"], found["peak"]) > 0
    assert backend in table.title
    assert not any(key.startswith("live.") for key in found)


@pytest.mark.parametrize("buffer", ["", "journal"])
def test_the_journal_is_measured_beside_memory_or_alone(buffer: str) -> None:
    """Unless one is named both buffers have their figures, the journal's with its ratio; all spans are read back."""
    table = run(backend="memory", buffer=buffer or None)
    found = values(table)
    both = not buffer
    assert found["read_back"] == (1 + both) * STORED
    assert min(found["journal.rate"], found["journal.caller"], found["journal.cpu"]) > 0
    assert ("rate" in found) == both
    [rate] = [row for row in table.rows if row.key == "throughput.journal.rate"]
    assert rate.ratios == ({"this ÷ memory": pytest.approx(found["journal.rate"] / found["rate"])} if both else {})


def test_beside_a_busy_host_there_are_a_rate_and_a_speed_too() -> None:
    """What is stored beside the host is read back as well."""
    found = values(run(backend="memory", busy_host=True))
    assert found["read_back"] == 2 * STORED
    assert min(found["live.rate"], found["live.host"]) > 0


def test_a_file_that_holds_spans_already_is_read_back_exactly(tmp_path: Path) -> None:
    """Each round has a project of its own: what others left in the file is neither counted nor touched."""
    url = f"sqlite:///{tmp_path}/traces.db"
    for already in (0, 2 * STORED):
        if already:
            assert asyncio.run(spans_in(url)) == already
        table = run(backend=url)
        assert values(table)["read_back"] == STORED
        assert any("they stay there" in row.note for row in table.rows)
    assert asyncio.run(spans_in(url)) == 4 * STORED  # a warm-up and a round, twice


def test_a_relative_url_begins_where_the_command_was_given(tmp_path: Path) -> None:
    """The suite's own process works elsewhere, and nobody need know."""
    command = [sys.executable, "-m", "benchmarks", "run", "throughput", "--quick", "--rounds", "1"]
    command += ["--spans", "40", "--buffer", "memory", "--backend", "sqlite:///here.db"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "backends")])}
    subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True, timeout=50)
    assert asyncio.run(spans_in(f"sqlite:///{tmp_path}/here.db")) == 2 * (10 + 5)


def test_uvloop_carries_the_requests() -> None:
    """The loop that is asked for is the one that runs, and it is in the title."""
    uvloop = pytest.importorskip("uvloop")
    assert throughput.loop_factory("uvloop") is uvloop.new_event_loop
    table = run(backend="memory", loop="uvloop")
    assert "uvloop" in table.title
    assert values(table)["read_back"] == STORED


def test_a_loop_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says what to install."""
    monkeypatch.setitem(sys.modules, "uvloop", None)
    with pytest.raises(Refused, match="pip install"):
        throughput.loop_factory("uvloop")


@pytest.mark.parametrize("concurrency", [1, 7, 5_000])
def test_any_number_of_requests_at_once_loses_nothing(concurrency: int) -> None:
    """One at a time, a number that does not divide the requests, and more than there are: all of it arrives."""
    assert values(run(backend="memory", concurrency=concurrency))["read_back"] == STORED


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--backend", "nonsense"], "expected sqlite, memory, or a URL"),
        (["--backend", "sqlit:///x.db"], "perhaps sqlite:"),
        (["--backend", "sqlite:"], "sqlite:///relative.db"),
        (["--backend", "sqlite:////nowhere/at/all.db"], "make its directory"),
        (["--backend", "pigeon://user:hunter2@host/x"], "***@host"),
        (["--concurrency", "5000000"], "at most 1,000,000"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_sentence(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown backend or a wrong URL ends with exit code 2, one line and no traceback, and shows no password."""
    assert main(["run", "throughput", "--quick", *arguments]) == 2
    complaint = capsys.readouterr().err
    assert said in complaint
    assert complaint.startswith("error: throughput: ")
    assert complaint.count("\n") == 1
    assert "hunter2" not in complaint


async def test_a_store_that_cannot_be_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be checked afterwards is not measured."""
    monkeypatch.setattr(stores, "open_backend", lambda *_, **__: NullBackend())
    with pytest.raises(Refused, match="cannot be read back"):
        await stores.check_store("null:")


def test_what_would_fill_the_disk_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The sentence says how much is needed, and where another folder is named; little is let through."""
    check_space(1)
    assert main(["run", "read", "--rows", f"{10**12}"]) == 2
    assert "TMPDIR" in capsys.readouterr().err


def test_a_suite_that_breaks_is_no_refusal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where a suite fails its traceback is shown: only what was asked for wrongly is one sentence."""
    broken = tmp_path / "uvloop.py"
    broken.write_text("raise ValueError('broken on purpose')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SuiteFailed, match=r"(?s)exit code 1.*Traceback.*broken on purpose"):
        run(loop="uvloop")
