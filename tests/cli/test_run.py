"""``tracecore run`` from end to end: nothing in the program sets up tracing, and its end says what became of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.recorded import Runner, runner, write
from tracecore import Config, Health
from tracecore.cli import run

PROGRAM = """
import asyncio, sys
from tracecore import generation, observe, propagate_attributes

@observe
async def answer(question: str) -> str:
    async with generation("llm", model="gpt-x", input=question) as call:
        call.update(output="because", usage_details={"input": 3, "output": 1}, cost_details={"input": 0.25})
    return "because"

async def main() -> None:
    with propagate_attributes(user_id="u1", session_id="s1"):
        await asyncio.gather(*(answer(f"why {i}?") for i in range(10)))

asyncio.run(main())
print("done", sys.argv[1:])
"""


@pytest.fixture
def tracecore(tmp_path: Path, project_root: Path) -> Runner:
    """Return a function that runs ``tracecore`` in an empty folder, as if it were installed."""
    write(tmp_path / "app.py", PROGRAM)
    return runner(tmp_path, project_root, "-m", "tracecore")


def test_two_commands_from_nothing_to_an_answer(tracecore: Runner, tmp_path: Path) -> None:
    """A decorated program run once leaves one file, and the command line answers from it: who, what, how much."""
    before = tracecore("traces")
    assert before.returncode == 1
    assert "no traces yet" in before.stderr
    assert not list(tmp_path.glob("*.db*"))
    run = tracecore("run", "app.py", "--flag", "x")
    assert (run.returncode, run.stdout) == (0, "done ['--flag', 'x']\n")
    assert run.stderr.splitlines() == [
        f"tracecore: 20 records in {tmp_path / 'tracecore.db'}",
        "tracecore: nothing was lost",
    ]
    found = json.loads(tracecore("traces", "--user", "u1", "--json").stdout)["items"]
    assert {(item["name"], item["total_cost"]) for item in found} == {("answer", 0.25)}
    assert len(found) == 10
    shown = tracecore("show", found[0]["trace_id"][:20])
    assert "└─ llm [generation]" in shown.stdout
    assert "gpt-x  3+1 tok  $0.25" in shown.stdout
    assert "s1       u1        10     20" in tracecore("sessions").stdout
    asked = tracecore("sql", "select count(*) as n, sum(total_cost) as usd from generations", "--json")
    assert json.loads(asked.stdout)["rows"] == [[10, 2.5]]
    assert "10 traces, 20 spans, 0 errors" in tracecore("stats").stdout
    assert len(tracecore("export").stdout.splitlines()) == 21
    assert tracecore("doctor").returncode == 0


WRITING = ("delete from traces", "drop view traces", "attach 'x.db' as x", "pragma user_version = 9", "select")


def test_sql_only_reads(tracecore: Runner, tmp_path: Path) -> None:
    """A statement that would write, or is wrong, is refused in one sentence, and changes nothing."""
    tracecore("run", "app.py")
    for statement in WRITING:
        refused = tracecore("sql", statement)
        assert refused.returncode == 1
        assert refused.stderr.startswith("tracecore: ")
        assert "Traceback" not in refused.stderr
    assert not (tmp_path / "x.db").exists()
    assert "10 traces" in tracecore("stats").stdout


def test_options_reach_the_program(tracecore: Runner, tmp_path: Path) -> None:
    """``--backend`` and ``--project`` win over the environment, and the summary may be JSON."""
    run = tracecore("run", "--backend", "sqlite:///own.db", "--project=shop", "--json", "app.py")
    summary = json.loads(run.stderr)["tracecore"]
    assert (summary["emitted"], summary["delivered"], summary["pending"], summary["lost"]) == (20, 20, 0, {})
    assert summary["location"] == str(tmp_path / "own.db")
    listed = tracecore("traces", "--backend", "sqlite:///own.db", "--project", "shop", "--json")
    assert len(json.loads(listed.stdout)["items"]) == 20 / 2


def test_settings_come_from_the_environment(tracecore: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sampling and switching off are said at the end."""
    monkeypatch.setenv("TRACECORE_BACKEND", "memory:")
    monkeypatch.setenv("TRACECORE_SAMPLE_RATE", "0")
    assert "10 traces left out by the sampling rate" in tracecore("run", "app.py").stderr
    monkeypatch.setenv("TRACECORE_ENABLED", "off")
    assert "recording is switched off" in tracecore("run", "app.py").stderr


@pytest.mark.parametrize(
    ("variable", "value"),
    [("TRACECORE_SAMPLE_RATE", "lots"), ("TRACECORE_BACKEND", "nosuch:"), ("TRACECORE_MASK", "nosuch:mask")],
)
def test_a_wrong_setting_starts_nothing(
    tracecore: Runner, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """A program that could not be traced is not started, and one sentence says why."""
    monkeypatch.setenv(variable, value)
    run = tracecore("run", "app.py")
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.count("\n") == 1
    assert run.stderr.startswith("tracecore: ")


def test_a_mask_beside_the_program(tracecore: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mask that lies beside the program is found, because the program's folder is on the path first."""
    write(tmp_path / "masks.py", "def mask(text):\n    return text.replace('why', '***')\n")
    monkeypatch.setenv("TRACECORE_MASK", "masks:mask")
    assert tracecore("run", "app.py").returncode == 0
    exported = tracecore("export").stdout
    assert "*** 3?" in exported
    assert "why" not in exported


def test_a_program_that_fails_is_recorded_all_the_same(tracecore: Runner, tmp_path: Path) -> None:
    """The traceback and the exit code are the program's, and what it did until then is kept."""
    write(tmp_path / "fails.py", "import tracecore\n@tracecore.observe\ndef f():\n    1 / 0\nf()\n")
    run = tracecore("run", "fails.py")
    assert run.returncode == 1
    assert "ZeroDivisionError" in run.stderr
    assert "tracecore: 1 record in" in run.stderr
    (trace,) = json.loads(tracecore("traces", "--json").stdout)["items"]
    assert "ZeroDivisionError" in tracecore("show", trace["trace_id"]).stdout


def test_what_a_killed_program_leaves(tracecore: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Doctor tells of it, ``recover`` delivers it, each span once, and doctor is content again."""
    write(tmp_path / "killed.py", PROGRAM + "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    monkeypatch.setenv("TRACECORE_BUFFER", "journal")
    assert tracecore("run", "killed.py").returncode == -signal.SIGKILL
    stopped = tracecore("doctor")
    assert stopped.returncode == 1
    assert "in 1 home (" in stopped.stdout
    recovered = tracecore("recover")
    assert (recovered.returncode, recovered.stderr) == (0, "")
    assert "1 of 1 home in" in recovered.stdout
    assert json.loads(tracecore("sql", "select count(*) from spans", "--json").stdout)["rows"] == [[20]]
    assert list((tmp_path / "tracecore-journal").iterdir()) == []
    assert tracecore("doctor").returncode == 0


def test_what_the_journal_keeps_is_not_lost(tracecore: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a program whose backend is away says where its records are, and who will deliver them."""
    monkeypatch.setenv("TRACECORE_BUFFER", "journal")
    monkeypatch.setenv("TRACECORE_SHUTDOWN_TIMEOUT_MS", "200")
    run = tracecore("run", "--backend", "sqlite:///away/x.db", "app.py")
    assert run.returncode == 0
    assert "tracecore: nothing was lost" in run.stderr
    assert "20 records left in tracecore-journal for the next start, or `tracecore recover`" in run.stderr
    (tmp_path / "away").mkdir()
    recovered = tracecore("recover", "--backend", "sqlite:///away/x.db", "--json")
    assert json.loads(recovered.stdout)["delivered"] == 20


@pytest.mark.parametrize(
    ("said", "buffer", "lines"),
    [
        ({"delivered": 3}, "memory", ["3 records in place", "nothing was lost"]),
        ({"pending": 4}, "memory", ["0 records in place", "4 records lost (not delivered)"]),
        (
            {"pending": 4, "lost": {"rejected": 2}, "recovered": 5}, "journal",
            [
                "0 records in place", "5 records more, which killed processes had left", "2 records lost (rejected 2)",
                "4 records left in tracecore-journal for the next start, or `tracecore recover`",
            ],
        ),
        (
            {"emitted": 0, "recovered": 5}, "journal",
            [
                "nothing was recorded by this process; decorate a function with @tracecore.observe (for place)",
                "5 records more, which killed processes had left",
            ],
        ),
    ],
)  # fmt: skip
def test_the_summary_tells_lost_from_kept(said: dict[str, Any], buffer: Any, lines: list[str]) -> None:
    """What waits is lost with a process's memory, and is not with its journal; both are said, each for itself."""
    known: dict[str, Any] = {
        "state": "closed", "location": "place", "emitted": 9, "delivered": 0, "pending": 0, "lost": {}, "sampled": 0,
        "open_spans": 0, "buffer_depth": 0, "last_error": None, "last_delivery_age_s": None,
    }  # fmt: skip
    text = run._as_text(Health(**(known | said)), Config(buffer=buffer))
    assert text.splitlines() == [f"tracecore: {line}" for line in lines]


def test_tail_sees_a_program_that_runs(tmp_path: Path, project_root: Path) -> None:
    """A span is seen while it runs and again when it ends, from another process."""
    write(
        tmp_path / "slow.py",
        """
        import tracecore
        with tracecore.span("slow"):
            tracecore.event("begun")
            input()
        """,
    )
    runner(tmp_path, project_root)  # for its installation
    path = os.pathsep.join(map(str, (project_root, project_root / "backends", tmp_path / "installed")))
    environ = {**os.environ, "TRACECORE_PENDING_AFTER_MS": "1", "PYTHONPATH": path}
    command = [sys.executable, "-m", "tracecore"]
    with subprocess.Popen(
        [*command, "run", "slow.py"], cwd=tmp_path, env=environ, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as program:
        while not (tmp_path / "tracecore.db").exists():
            assert program.poll() is None
        with subprocess.Popen(
            [*command, "tail", "--json", "--interval", "20ms", "--back", "1h"],
            cwd=tmp_path, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as tail:  # fmt: skip
            assert tail.stdout is not None
            assert tail.stderr is not None
            states: list[str] = []
            while "running" not in states:
                states += [status for name, status in [_state(tail.stdout.readline())] if name == "slow"]
            program.communicate(b"\n", timeout=30)
            while "ok" not in states:
                states += [status for name, status in [_state(tail.stdout.readline())] if name == "slow"]
            tail.send_signal(signal.SIGINT)
            assert tail.wait(30) == 130
            assert tail.stderr.read().strip() == b""
    assert states == ["running", "ok"]


def _state(line: bytes) -> tuple[str, str]:
    assert line, "tail ended too early"
    record = json.loads(line)
    return record["name"], record.get("status", "ok")
