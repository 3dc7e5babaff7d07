"""The pytest plugin of torture tests: ``make torture`` runs them with all rounds and prints a table.

Options: ``--torture`` (all rounds of these tests, and no other tests), ``--torture-seed N`` (repeat a run),
``--torture-case N`` (only that case of each test), ``--torture-json FILE``. What fails is kept in ``.torture``.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Generator
from pathlib import Path
from typing import Final

import hypothesis.core
import pytest

from tests.torture.declaring import MODE, TOGETHER
from tests.torture.outcome import Outcome
from tests.torture.trial import Trial, keep

FULL_LIMIT_SECONDS: Final = 3_600
KEPT: Final = ".torture"
OUTCOME: Final[pytest.StashKey[Outcome]] = pytest.StashKey()
TRIAL: Final[pytest.StashKey[Trial]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("torture")
    group.addoption("--torture", action="store_true", help="run the torture tests only, with all their rounds")
    group.addoption("--torture-seed", type=int, metavar="N", help="draw as another run did")
    group.addoption("--torture-case", type=int, metavar="N", help="run only this case of each torture test")
    group.addoption("--torture-json", type=Path, metavar="FILE", help="write the table to a file")


def pytest_configure(config: pytest.Config) -> None:
    """Choose the mode before any test is read."""
    MODE.full = config.getoption("--torture")
    MODE.only = config.getoption("--torture-case")
    seed = config.getoption("--torture-seed")
    MODE.seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    if MODE.full and config.getoption("hypothesis_seed", None) is None:
        hypothesis.core.global_force_seed = MODE.seed
    config.stash[OUTCOME] = Outcome()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what belongs to the other mode, mark what may run beside others, and give all rounds their time."""
    unwanted = [item for item in items if not _is_wanted(item)]
    items[:] = [item for item in items if _is_wanted(item)]
    config.hook.pytest_deselected(items=unwanted)
    for item in items:
        mark = item.get_closest_marker("torture")
        if mark is not None and mark.args[0] in TOGETHER:
            item.add_marker(pytest.mark.together)  # before markers are chosen by what is asked for
    for item in items if MODE.full else []:
        item.add_marker(pytest.mark.timeout(FULL_LIMIT_SECONDS), append=False)


def _is_wanted(item: pytest.Item) -> bool:
    if MODE.full:
        return item.get_closest_marker("torture") is not None
    return item.get_closest_marker("only_in_full") is None


@pytest.fixture
def trial(request: pytest.FixtureRequest, tmp_path: Path) -> Trial:
    """Return the rounds of this test."""
    marker = request.node.get_closest_marker("torture")
    if marker is None:
        raise pytest.UsageError(f"{request.node.nodeid} asks for rounds: declare it with @torture(...)")
    made = Trial(request.node.nodeid, marker.args[2], tmp_path, request.config.rootpath / KEPT)
    request.node.stash[TRIAL] = made
    return made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what a torture test did to its line, and keep the files of one that failed."""
    report = yield
    marker = item.get_closest_marker("torture")
    if marker is not None:
        number, title, rounds = marker.args
        _count(item, report, number, title, rounds)
        if report.failed:
            _explain(item, report)
    return report


def pytest_runtest_logfinish() -> None:
    """Keep the collector away from what a test has left: thousands of random programs leave a gigabyte behind.

    Tests after it collect after each of their rounds, which then took a second.
    """
    if MODE.full:
        gc.collect()
        gc.freeze()


def _count(item: pytest.Item, report: pytest.TestReport, number: str, title: str, rounds: int) -> None:
    line = item.config.stash[OUTCOME].line(number, title)
    trial = item.stash.get(TRIAL, None)
    line.seconds += report.duration
    line.tests += report.when == "setup"
    if report.when == "call" and not report.skipped:
        line.rounds += rounds if trial is None else trial.ran
        line.figures += [] if trial is None else trial.figures
    if report.failed:
        line.violations += max(1, 0 if trial is None else len(trial.violations)) if report.when == "call" else 1
    if report.skipped and hasattr(report, "wasxfail"):
        line.known += 1
    elif report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        line.skipped.append(reason.removeprefix("Skipped: "))


def _explain(item: pytest.Item, report: pytest.TestReport) -> None:
    """Say how to run a failed test again, and where its files are."""
    said = [f"again: python -m pytest {item.nodeid!r} --torture-seed {MODE.seed}" + " --torture" * MODE.full]
    trial = item.stash.get(TRIAL, None)
    if trial is not None and trial.violations:
        said += trial.violations
    else:
        place = Trial(item.nodeid, 0, Path(), item.config.rootpath / KEPT).place()
        folder = getattr(item, "funcargs", {}).get("tmp_path")
        said.append(f"kept in {keep(folder, place, report.longreprtext)}")
    report.sections.append(("torture", "\n".join(said)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table, with the seed of the run."""
    outcome = config.stash[OUTCOME]
    if MODE.full:
        terminalreporter.section(f"torture, seed {MODE.seed}")
        for row in outcome.table():
            terminalreporter.write_line(row)
    path = config.getoption("--torture-json")
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(outcome.as_json(seed=MODE.seed, full=MODE.full))
