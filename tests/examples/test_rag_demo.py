"""The demo, whole: a real server process, a real file, the real command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.rag_service import demo
from tests.http_server import room_names, served


@pytest.mark.timeout(240)  # two services and ten commands, each a process: 10 s alone, a minute on a busy machine
def test_the_demo_shows_and_verifies_what_it_did(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice into one file: every command works, every claim holds, and settings of the caller do not get in the way."""
    monkeypatch.setenv("TRACECORE_SAMPLE_RATE", "0")
    monkeypatch.setenv("RAG_OPENAI_MODEL", "")
    database = tmp_path / "demo.db"
    arguments = ["--users", "6", "--requests", "24", "--database", str(database)]
    assert demo.main(arguments) == 0
    shown = capfd.readouterr().out
    assert "24 traces, one per request" in shown
    assert "FAILED" not in shown
    assert all(step in shown for step in ("POST /ask", "embed", "retrieve", "build-prompt", "generate"))
    assert demo.main([*arguments, "--keep"]) == 0
    assert "FAILED" not in capfd.readouterr().out


@pytest.mark.timeout(240)  # as above
@pytest.mark.parametrize("backend", ["sqlite:///elsewhere.db?synchronous=full", "jsonl:elsewhere.jsonl"])
def test_the_demo_runs_wherever_the_environment_says(
    backend: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One variable chooses another backend; where that can be read, everything is verified, in a project of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRACECORE_BACKEND", backend)
    assert demo.main(["--users", "4", "--requests", "12"]) == 0
    shown = capfd.readouterr().out
    assert "FAILED" not in shown
    if backend.startswith("sqlite"):
        assert "12 traces, one per request" in shown
        assert "TRACECORE_PROJECT=demo-" in shown
    else:
        made = tmp_path / "elsewhere.jsonl"
        assert f"Everything went to {made}" in shown
        assert len(made.read_bytes().splitlines()) > 12


@pytest.mark.timeout(240)  # as above
@pytest.mark.parametrize("kind", ["database", "server"])
def test_the_demo_runs_on_another_host(
    kind: str, postgres_url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The demo is the same on a database and on a server: nothing in it knows of a file."""
    monkeypatch.chdir(tmp_path)
    with served() as url:
        monkeypatch.setenv("TRACECORE_BACKEND", postgres_url if kind == "database" else f"{url}/{next(room_names)}")
        assert demo.main(["--users", "4", "--requests", "12"]) == 0
    shown = capfd.readouterr().out
    assert "FAILED" not in shown
    assert "12 traces, one per request" in shown
    assert ("which step was slow?" in shown) is (kind == "database")
    assert list(tmp_path.iterdir()) == []


def test_what_nobody_else_can_read_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traces in the memory of the service could not be shown: that is said before it starts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRACECORE_BACKEND", "memory:demo")
    assert demo.main(["--requests", "1"]) == 1
    assert "in the memory of the service" in capsys.readouterr().err


def test_a_file_of_somebody_else_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only the demo's own default file is begun anew."""
    precious = tmp_path / "precious.db"
    precious.write_text("precious")
    with pytest.raises(SystemExit):
        demo.main(["--database", str(precious)])
    assert "--keep" in capsys.readouterr().err
    assert precious.read_text() == "precious"


def test_a_service_that_does_not_start_is_one_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong setting of the service ends the demo with its reason."""
    monkeypatch.setenv("RAG_INPUT_PRICE", "cheap")
    assert demo.main(["--requests", "1", "--database", str(tmp_path / "x.db")]) == 1
    said = capfd.readouterr().err
    assert "RAG_INPUT_PRICE = 'cheap': expected a number" in said
    assert "the demo failed: the service did not start: exit code 2" in said
    assert "Traceback" not in said
