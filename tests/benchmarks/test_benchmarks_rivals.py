"""The machinery of the rivals' benchmarks: workers that obey, a fleet that believes nobody, and what the suites say."""

from __future__ import annotations

import ast
import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.catalogue import load
from benchmarks.figures import ROOT, Row, Settings
from benchmarks.rivals import catalogue, environments, fleet, member
from benchmarks.rivals.environments import Environment
from benchmarks.rivals.fleet import AGAINST, Fleet, Standing
from benchmarks.rivals.member import Counts, Failed, Member
from benchmarks.suites import rivals_load

FAKES = Path(__file__).parent / "fake_rivals"
ADAPTERS = catalogue.names()
OPTIONS = {"quick": True, "rounds": 1}


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Put the fakes in the place of the rivals, with no environment made; nothing that is late is waited for."""
    monkeypatch.setattr(catalogue, "FOLDER", FAKES)
    monkeypatch.setenv("TRACECORE_BENCHMARK_RIVALS", str(tmp_path / "environments"))
    monkeypatch.setattr(member, "_SETTLE_S", 0.05)


@pytest.fixture
def started() -> Iterator[Callable[[str], tuple[Member, dict[str, Any]]]]:
    """Yield what starts a rival; all of them end with the test."""
    with contextlib.ExitStack() as exits:

        def start(name: str) -> tuple[Member, dict[str, Any]]:
            one = Member(name, catalogue.rival_of(name), Environment(name, Path(sys.executable)))
            exits.callback(one.close, 0.0)
            return one, one.start()

        yield start


def ignored(*_: object) -> None:
    """Take progress and do nothing with it."""


def test_a_worker_obeys_and_everything_it_made_arrives(
    started: Callable[[str], tuple[Member, dict[str, Any]]],
) -> None:
    """Each order is answered with figures, whatever the library prints, and each span has a number of its own."""
    one, said = started("honest")
    assert said["start_ms"] > 0
    assert said["counts_itself"] is False
    called = one.order(20, do="call", calls=50)
    assert 0 < called["bare"] < called["traced"]
    assert one.counted(51) == (51, one.counted(51)[1])
    assert called["made"] == one.counted(51)[1].results == one.counted(51)[1].inputs == 51
    loaded = one.order(20, do="load", requests=10, at_once=4)
    assert loaded["made"] == one.counted(50)[0] == 50
    assert min(loaded["cpu"], loaded["wall"]) > 0
    lagging = one.order(20, do="lag", spans_per_second=1_000, seconds=0.1, tasks=4)
    assert lagging["made"] == one.counted(100)[0] == 100
    assert min(len(lagging["bare"]), len(lagging["traced"])) > 5
    assert one.order(20, do="size") == said
    assert one.close()


def test_what_a_rival_raises_is_an_answer(started: Callable[[str], tuple[Member, dict[str, Any]]]) -> None:
    """A bad order does not end the worker, and the next one is obeyed."""
    one, _ = started("honest")
    with pytest.raises(Failed, match="ZeroDivisionError"):
        one.order(20, do="call", calls=0)
    assert one.order(20, do="call", calls=1)["made"] == 2


def test_a_rival_that_leaves_the_program_is_said_to(started: Callable[[str], tuple[Member, dict[str, Any]]]) -> None:
    """Even an exit while it starts becomes a reason."""
    with pytest.raises(Failed, match="SystemExit: no key was given"):
        started("failing")


def test_ours_is_counted_in_its_file(started: Callable[[str], tuple[Member, dict[str, Any]]]) -> None:
    """Of what sends nothing the file is read back, with what is new in it since it was last read."""
    one, said = started("tracecore_sqlite")
    assert said["counts_itself"] is True
    for calls in (20, 30):
        one.order(20, do="call", calls=calls)
        at_once, counts = one.counted(calls + 1)
        assert at_once == counts.spans == counts.inputs == counts.results == calls + 1


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs descriptors of processes")
def test_nothing_is_left_when_the_parent_dies() -> None:
    """Worker and collector end by themselves when whoever started them is killed."""
    program = f"""
import sys
from pathlib import Path
from benchmarks.rivals import catalogue
from benchmarks.rivals.environments import Environment
from benchmarks.rivals.member import Member
catalogue.FOLDER = Path({str(FAKES)!r})
one = Member("honest", catalogue.rival_of("honest"), Environment("honest", Path(sys.executable)))
collector = one._process("collector")
one._url = collector.heard(20).decode().strip()
worker = one._process("worker", one._url)
worker.heard(20)
print(collector._process.pid, worker._process.pid, flush=True)
sys.stdin.read()
"""
    path = os.pathsep.join(filter(None, sys.path))
    with subprocess.Popen(
        [sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": path}, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as parent, contextlib.ExitStack() as exits:  # fmt: skip
        assert parent.stdout is not None
        processes = [os.pidfd_open(int(pid)) for pid in parent.stdout.readline().split()]
        for process in processes:
            exits.callback(os.close, process)
        assert len(processes) == 2
        parent.send_signal(signal.SIGKILL)
        for process in processes:
            assert select.select([process], [], [], 20)[0] == [process]


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs descriptors of processes")
def test_who_hangs_is_killed_with_all_that_it_started(
    started: Callable[[str], tuple[Member, dict[str, Any]]],
) -> None:
    """A flush that never returns ends with the deadline, and neither the worker nor its child outlives it."""
    one, _ = started("hanging")
    with pytest.raises(Failed, match="no answer within 2 s"):
        one.order(2, do="call", calls=1)
    [path] = one._arrived().paths
    child = os.pidfd_open(int(path.rpartition("/")[2]))
    try:
        assert not one.close(0.0)
        assert select.select([child], [], [], 20)[0] == [child]
    finally:
        os.close(child)


def test_a_fleet_believes_nobody() -> None:
    """Who is not installed, fails, or does not send what it claims is out, with the reason; a loss is shown."""
    only = ("boasting", "failing", "honest", "losing", "missing", "silent")
    with Fleet(Settings(**OPTIONS, only=only), ignored) as ships:
        standings = {standing.name: standing for standing in ships.rounds(1, 20, do="call", calls=20)}
    assert list(standings) == ["tracecore_sqlite", *only]
    reasons = {name: standing.reason for name, standing in standings.items() if standing.reason}
    assert reasons.keys() == {"boasting", "failing", "missing", "silent"}
    assert "of 21 spans 21 arrived with arguments, 0 with results" in reasons["boasting"]
    assert "no key was given" in reasons["failing"]
    assert "not installed" in reasons["missing"]
    assert "nothing arrived: 0 requests" in reasons["silent"]
    assert (standings["honest"].made, standings["honest"].delivered) == (42, 42)
    assert (standings["losing"].made, standings["losing"].delivered) == (42, 40)
    assert standings["losing"].note == "95.2% of its spans arrived"
    assert [len(standings[name].taken) for name in ("honest", "losing", "boasting")] == [1, 1, 0]


def test_tracecore_may_not_lose_a_span(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is a figure for a rival is an error for us."""
    monkeypatch.setattr(catalogue, "is_ours", lambda name: name == "losing")
    with (
        pytest.raises(RuntimeError, match="losing: 12 spans were made, 10 are there"),
        Fleet(Settings(**OPTIONS, only=("losing",)), ignored) as ships,
    ):
        ships.rounds(1, 20, do="call", calls=5)


def test_a_fleet_that_cannot_start_leaves_nobody_running(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ours does not start, those that did are ended."""
    monkeypatch.setattr(catalogue, "is_ours", lambda name: name == "failing")
    ships = Fleet(Settings(**OPTIONS, only=("failing",)), ignored)
    with pytest.raises(RuntimeError, match="failing: SystemExit: no key was given"), ships:
        pytest.fail("it started")
    assert not ships._members


def test_an_adapter_that_counts_too_much_is_found_out() -> None:
    """More spans than were made are nobody's merit."""
    standing = Standing("honest", catalogue.rival_of("honest"), Environment("honest"), made=10, delivered=11)
    with pytest.raises(Failed, match="11 spans were counted, 10 made"):
        fleet._check_all(standing)


def suite_of(name: str, *only: str) -> dict[str, Row]:
    """Return what a suite says of tracecore and these."""
    table = load(name)(Settings(**OPTIONS, only=only), ignored)
    assert table.suite == name
    rows = {row.key: row for row in table.rows}
    assert len(rows) == len(table.rows)
    return rows


def check_compared(rows: dict[str, Row], prefix: str) -> None:
    """Check that who works has figures and is compared with ours, and that who is missing says why."""
    ours, honest, missing = (rows[f"{prefix}.{rival}"] for rival in ("tracecore_sqlite", "honest", "missing"))
    assert ours.value
    assert honest.value
    assert min(ours.value, honest.value) > 0
    assert honest.ratios[AGAINST] == pytest.approx(honest.value / ours.value)
    assert (missing.value, missing.note) == (None, "not installed: python -m benchmarks rivals install")


def test_the_suite_of_calls() -> None:
    """Each has its cost, and what a reader must know of it."""
    rows = suite_of("rivals/call", "honest", "missing")
    check_compared(rows, "rivals.call")
    assert rows["rivals.call.honest"].note == "Does what it says"


def test_the_suite_of_load() -> None:
    """Each has its CPU and its rate, and a loss has a row of its own."""
    rows = suite_of("rivals/load", "honest", "losing", "missing")
    check_compared(rows, "rivals.load.cpu")
    check_compared(rows, "rivals.load.rate")
    assert [key for key in rows if key.startswith("rivals.load.delivered")] == ["rivals.load.delivered.losing"]
    assert rows["rivals.load.delivered.losing"].value == pytest.approx(100 - 100 / 2_500)


def test_a_rate_ends_with_the_last_span() -> None:
    """What a flush waits for when everything is there is in a note; what is stored is there when its flush says so."""
    slow = fleet.Taken({"began": 10.0, "wall": 3.0}, 100, 100, Counts(spans=100, last=12.0))
    stored = fleet.Taken({"began": 10.0, "wall": 3.0}, 100, 100, Counts(spans=100))
    assert [rivals_load._rate(taken) for taken in (slow, stored)] == [50.0, pytest.approx(100 / 3)]
    standing = Standing("slow", catalogue.rival_of("honest"), Environment("slow"), "1.0", taken=[slow])
    assert rivals_load._rate_note(standing) == "1.0, its flush returns 1.0 s later"
    standing.taken = [stored]
    assert rivals_load._rate_note(standing) == "1.0"


def test_the_suite_of_lag() -> None:
    """Each has the lag that it caused, which may be none."""
    rows = suite_of("rivals/lag", "missing")
    assert rows.keys() == {"rivals.lag.tracecore_sqlite", "rivals.lag.missing"}
    assert rows["rivals.lag.tracecore_sqlite"].value is not None
    assert rows["rivals.lag.missing"].value is None


def test_the_suite_of_size() -> None:
    """Each has its start; ours is weighed as an installation, and who has no environment of its own is not weighed."""
    rows = suite_of("rivals/size", "honest", "missing")
    check_compared(rows, "rivals.size.import")
    weighed = [key for key in rows if not key.startswith("rivals.size.import")]
    assert weighed == ["rivals.size.disk.tracecore_sqlite", "rivals.size.distributions.tracecore_sqlite"]
    assert 0.5 < (rows["rivals.size.disk.tracecore_sqlite"].value or 0) < 5


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_is_read_without_its_rival(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It pins what it requires, never asks for litellm, and imports the rival inside its functions only."""
    monkeypatch.undo()
    rival = catalogue.rival_of(name)
    assert rival.title
    assert [text for text in rival.requirements if "==" not in text or "litellm" in text] == []
    assert bool(rival.requirements) != catalogue.is_ours(name)
    tree = ast.parse(catalogue.path_of(name).read_text())
    imported = {
        (alias.name if isinstance(node, ast.Import) else node.module or "").partition(".")[0]
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert imported <= sys.stdlib_module_names | {"benchmarks"}


def test_ours_comes_first_and_what_is_no_tracer_last() -> None:
    """The order of the tables is that of the catalogue."""
    assert ADAPTERS[:3] == ["tracecore_sqlite", "opentelemetry", "opentelemetry_bare"]
    assert ADAPTERS[-1] == "structlog"
    assert sorted(ADAPTERS) == sorted(
        path.stem for path in (ROOT / "benchmarks" / "rivals" / "adapters").glob("[!_]*.py")
    )


def test_litellm_is_installed_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the environments that are there, none holds it."""
    monkeypatch.undo()
    there = [environments.installed(name, catalogue.rival_of(name)) for name in ADAPTERS]
    assert [environment.name for environment in there if "litellm" in environment.distributions] == []
