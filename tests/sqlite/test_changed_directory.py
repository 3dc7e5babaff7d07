"""A relative URL means the file that it meant when the recorder was made, wherever the program has gone since."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tracecore import Config, Recorder
from tracecore.context import INHERITED
from tracecore.plugins import another_backend, open_backend
from tracecore.tracing import span


def test_another_backend_is_one_of_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a connection of its own, and the same place and access; the first is made by the URL."""
    monkeypatch.chdir(tmp_path)
    first = another_backend(None, "sqlite:///a.db")
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir("sub")
    other = another_backend(first, "sqlite:///a.db")
    assert other is not first
    assert (other.location, other.capabilities) == (str(tmp_path / "a.db"), first.capabilities)
    assert open_backend("sqlite:///a.db").location == str(tmp_path / "sub" / "a.db")


def test_a_forked_child_writes_where_its_parent_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child makes a backend of its own, after the program has changed its directory."""
    monkeypatch.chdir(tmp_path)
    recorder = Recorder(Config(backend="sqlite:///a.db")).start()
    outside = INHERITED.set(INHERITED.get().replace(recorder=recorder))
    try:
        (tmp_path / "sub").mkdir()
        monkeypatch.chdir("sub")
        child = os.fork()
        if child == 0:
            try:
                with span("in the child"):
                    pass
                os._exit(0 if recorder.flush(20).delivered else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        INHERITED.reset(outside)
        recorder.shutdown()
    assert sorted(path.name for path in tmp_path.rglob("*.db")) == ["a.db"]
