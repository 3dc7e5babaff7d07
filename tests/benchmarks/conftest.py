"""What tests of benchmarks share: a machine that is not busy, as far as their own process can tell."""

from __future__ import annotations

import pytest

from benchmarks import machine


@pytest.fixture(autouse=True)
def quiet_machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no warning depend on what else is running, but where the warning itself is tested."""
    if "busyness" not in request.node.name:
        monkeypatch.setattr(machine, "busyness", lambda facts: "")
