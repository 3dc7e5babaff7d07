"""A secret that is kept apart from the URL reaches the server, and nothing else."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.http_server import Asked, Reply, stub
from tracecore import Config, Recorder
from tracecore.testing.samples import span

SECRET = "hush/hush+%"


@pytest.mark.parametrize("in_a_file", [False, True])
def test_a_recorder_sends_it_and_shows_it_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *, in_a_file: bool
) -> None:
    """Every request carries the token; neither health, nor the log, nor a file of the journal has it."""
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.DEBUG)
    (tmp_path / "secret").write_text(f"{SECRET}\n")

    def answer(asked: Asked) -> Reply:
        if asked.path.endswith("capabilities"):
            return Reply(body=b"{}")
        return Reply(401, f'{{"detail": "no: {SECRET}"}}'.encode())

    with stub(answer) as server:
        named = {"secret_file": str(tmp_path / "secret")} if in_a_file else {"secret": SECRET}
        config = Config(backend=f"http://{server.address}", buffer="journal", **named)  # type: ignore[arg-type]  # texts only
        recorder = Recorder(config).start()
        assert recorder.emit(span(1))
        recorder.flush(1)
        health = recorder.health()
        recorder.shutdown(0.5)
    assert {asked.headers["authorization"] for asked in server.asked} == {f"Bearer {SECRET}"}
    assert any(asked.path.endswith("batch") for asked in server.asked)
    assert "401" in (health.last_error or "")
    shown = [repr(health), repr(config), caplog.text]
    files = [path for path in (tmp_path / "tracecore-journal").rglob("*") if path.is_file()]
    shown += [path.read_bytes().decode("latin-1") for path in files]
    assert len(shown) > 3
    for text in shown:
        assert "hush" not in text
