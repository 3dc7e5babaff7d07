"""What tests of benchmarks share: a machine that is not busy, as far as they can tell, and a copy of the documents."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import cli, kept, machine
from benchmarks.figures import ROOT


@pytest.fixture(autouse=True)
def quiet_machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no warning depend on what else is running, but where the warning itself is tested."""
    if "busyness" not in request.node.name:
        monkeypatch.setattr(machine, "busyness", lambda facts: "")


@pytest.fixture
def in_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Return a function that makes the command work on a copy of both documents, without results, and returns it."""

    def enter() -> Path:
        for name in ("README.md", "benchmarks/README.md"):
            target = tmp_path / name
            target.parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, target)
        folder = tmp_path / "benchmarks" / "results"
        folder.mkdir()
        monkeypatch.setattr(cli, "ROOT", tmp_path)
        monkeypatch.setattr(kept, "LATEST", folder / "latest.json")
        monkeypatch.setattr(kept, "RIVALS", folder / "rivals.json")
        monkeypatch.setattr(kept, "LARGE", folder / "large.json")
        return folder

    return enter
