"""The command line: tables and JSON, and one sentence for what cannot be run."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tracecore.testing.tracers.__main__ import main
from tracecore.testing.tracers.child import loaded
from tracecore.testing.tracers.reports import Report

BROKEN = Path(__file__).with_name("broken.py")


def test_tracers_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    """A row for each case, a column for each tracer, and why what failed did; a failure is exit code 1."""
    ours = "tracecore.testing.tracers.ours:Tracecore"
    assert main([ours, f"{BROKEN}:OneStack", "--case", "gathered", "--case", "results"]) == 1
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines]
    assert ["tracecore", "0.1.0", "one", "stack", "1"] in rows
    assert ["gathered", "pass", "FAIL"] in rows
    assert ["the_result_of_a_function", "pass", "-"] in rows
    assert ["passed", "6/6", "0/1"] in rows
    assert ["not", "offered", "0", "5"] in rows
    assert any(line.startswith("  gathered: current: in step") for line in lines)


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """``--json`` prints the reports, tracecore's own when none is named; without a failure the exit code is 0."""
    assert main(["--json", "--case", "timeouts", "--loop", "asyncio"]) == 0
    [report] = msgspec.json.decode(capsys.readouterr().out, type=list[Report])
    assert report.about.title == "tracecore"
    assert report.count("timeouts") == (8, 8, 0)


def test_the_cases_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """``--list`` says what each case asserts."""
    assert main(["--list", "--case", "an_async_generator_drop*"]) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert line.split(maxsplit=1) == [
        "an_async_generator_dropped",
        "A generator that is thrown away before its end ends its span when the loop has closed it.",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--case", "nonsense"], "no case is called nonsense"),
        (["nonsense:Tracer"], "nonsense:Tracer: exit code 1: ModuleNotFoundError: No module named 'nonsense'"),
        (["nonsense"], "expected package.module:name or path/to/file.py:name"),
        (["missing.py:Tracer"], "there is no adapter at"),
        ([f"{BROKEN}:CannotBeMade"], "RuntimeError: not configured"),
    ],
)
def test_what_cannot_be_run_is_said_in_a_sentence(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is 2, and nothing is printed as a result."""
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert said in printed.err


def test_adapters_are_found_by_module_and_by_file() -> None:
    """A file is loaded under a name of its own, whatever it is called."""
    assert loaded("tracecore.testing.tracers.ours:Tracecore").title == "tracecore"
    assert loaded(f"{BROKEN}:OneStack").title == "one stack"
    with pytest.raises(ValueError, match="expected package"):
        loaded("nonsense")
    with pytest.raises(ImportError, match="no adapter at"):
        loaded("nonsense.py:Tracer")
