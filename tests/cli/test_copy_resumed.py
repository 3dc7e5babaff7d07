"""A copy that is interrupted goes on where it stopped: killed at every batch, cut off, or left by one of the two."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel
import msgspec
import pytest

from tests.cli.copies import PROJECT, everything, everything_at, kept_at, opened, records
from tests.cli.recorded import Cli
from tests.sqlite.files import python
from tracecore.cli import copy_run, copy_source, copying
from tracecore.cli.copy_source import Selection
from tracecore.cli.copy_state import CopyState, Job, Position, StateFile, state_directory
from tracecore.cli.copying import Copier
from tracecore.cli.patience import Patience
from tracecore.cli.together import together
from tracecore.errors import BackendRejected, BackendUnavailable
from tracecore.memory import open_backend
from tracecore.testing.faults import FailNth, FaultyBackend

MOST = 200
JOB = Job("here", "there", PROJECT)

KILLED_AT_EVERY_BATCH = """
import os, signal, sys
from pathlib import Path
import anyio
from tests.cli.copies import everything_at, kept_at, records
from tracecore.cli import copy_source, copying
from tracecore.cli.main import main
from tracecore.cli.copy_state import StateFile
from tracecore_sqlite import SqliteBackend

folder, timed = Path(sys.argv[1]), sys.argv[2:]
copy_source._PAGE, copying._MOST_ITEMS = 3, 4
here = f"sqlite:///{folder}/here.db"
anyio.run(kept_at, here, records())


def in_both(found):
    # A session without a trace has no time.
    return {name: items for name, items in found.items() if name != "sessions" or not timed}

expected = in_both(everything_at(here))
write, keep = SqliteBackend.write, StateFile.keep
left = [0]

def count_down():
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)

async def fatal_write(self, batch):
    count_down()
    await write(self, batch)
    count_down()

def fatal_keep(self, state):
    keep(self, state)
    count_down()

def run_and_be_killed(there, nth):
    child = os.fork()
    if child == 0:
        left[0] = nth
        SqliteBackend.write, StateFile.keep = fatal_write, fatal_keep
        sys.stdout = sys.stderr = open(os.devnull, "w")
        os._exit(main(["copy", here, there, *timed]))
    status = os.waitpid(child, 0)[1]
    assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL, status
    return status != 0

for nth in range(1, 500):
    there = f"sqlite:///{folder}/{nth}.db"
    killed = run_and_be_killed(there, nth)
    while nth == 7 and run_and_be_killed(there, nth):  # each time it comes a little further
        pass
    sys.stdout = open(os.devnull, "w")
    assert main(["copy", here, there, "--verify", *timed]) == 0, nth
    sys.stdout = sys.__stdout__
    assert in_both(everything_at(there)) == expected, nth
    if not killed:
        break
print("killed up to", nth)
"""


@pytest.fixture(autouse=True)
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the positions of copies in a folder of the test, and read and write in many small steps."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(copy_source, "_PAGE", 3)
    monkeypatch.setattr(copying, "_MOST_ITEMS", 4)
    return tmp_path / "state" / "tracecore" / "copy"


class PowerCut(BaseException):
    """End a copy at a moment."""


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("since_ns", [None, 0])
def test_cut_off_at_every_write(tmp_path: Path, moment: str, since_ns: int | None) -> None:
    """Whichever write was the last, before or after it was done, the rest follows; what was acknowledged does not."""

    async def one_round(nth: int) -> tuple[bool, int]:
        source, target = open_backend(f"memory:cut-{moment}-{since_ns}"), open_backend("memory:")
        file = StateFile(tmp_path / str(nth), JOB)
        plan = FailNth(nth, moment=moment, error=PowerCut)  # type: ignore[arg-type]  # one of the two
        selection = Selection(PROJECT, since_ns)
        begun = CopyState(begun_ns=1, since_ns=since_ns)
        async with opened(source), opened(target):
            # A session without a trace has no time.
            await source.write([one for one in records() if getattr(one, "session_id", "") != "alone\ud800"])
            copied = partial(Copier, source, selection=selection, patience=Patience(0, None))
            try:
                await copied(FaultyBackend(target, plan)).copy(begun, file.keep)
            except PowerCut:
                counting = FailNth(MOST)
                state = file.read() or begun
                assert not any(state.copied.values()) or state.position != begun.position
                await copied(FaultyBackend(target, counting)).copy(state, file.keep)
                assert await everything(target) == await everything(source)
                return True, MOST - counting._left
            return False, 0

    total = 0
    for nth in range(1, MOST):
        happened, writes = anyio.run(one_round, nth)
        if not happened:
            break
        total = total or writes
        # Those that were acknowledged are not written again; the page that was begun is, which may be two batches.
        assert total - nth + 1 <= writes <= total - nth + 2
    assert nth > 5


@pytest.mark.timeout(200)
@pytest.mark.parametrize("timed", [[], ["--since", "2020-01-01"]], ids=["all", "timed"])
def test_killed_at_every_batch(tmp_path: Path, timed: list[str]) -> None:
    """A command that is killed before or after any write goes on, again and again, until everything is there."""
    (tmp_path / "files").mkdir()
    ended = python(str(tmp_path / "files"), *timed, folder=tmp_path, program=KILLED_AT_EVERY_BATCH)
    said = [line for line in ended.stderr.splitlines() if not line.startswith("going on where it stopped: ")]
    assert said == [], ended.stderr
    assert len(ended.stderr.splitlines()) > 5
    assert int(ended.stdout.split()[-1]) > 15


def test_it_says_that_it_goes_on(cli: Cli, tmp_path: Path, state_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that was interrupted says so and how to go on; the next says where it begins; --restart begins anew."""
    here, there = "memory:interrupted", f"sqlite:///{tmp_path}/there.db"
    anyio.run(kept_at, here, records())
    monkeypatch.setattr(copy_run, "open_backend", failing_writes(KeyboardInterrupt, nth=5))
    interrupted = cli("copy", here, there)
    assert (interrupted.code, interrupted.out) == (130, "")
    assert "the same command goes on where it stopped" in interrupted.err
    [kept] = state_folder.iterdir()
    content = kept.read_bytes()
    monkeypatch.undo()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    resumed = cli("copy", here, there, "--json", "--verify")
    assert "going on where it stopped: " in resumed.err
    assert (resumed.code, resumed.json["resumed"]) == (0, True)
    assert resumed.json["copied"]["observations"] == 16
    assert everything_at(there) == everything_at(here)
    kept.write_bytes(content)
    assert cli("copy", here, there, "--json", "--restart").json["resumed"] is False
    assert list(state_folder.iterdir()) == []


@pytest.mark.parametrize("scheme", ["sqlite:///", "jsonl:"])
def test_a_target_that_was_removed_begins_anew(
    cli: Cli, tmp_path: Path, state_folder: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """What a position says of a file is gone with it; half of the records would be missing in the next one."""
    here, path = "memory:removed", tmp_path / "there"
    anyio.run(kept_at, here, records())
    monkeypatch.setattr(copy_run, "open_backend", failing_writes(KeyboardInterrupt, nth=5))
    assert cli("copy", here, f"{scheme}{path}").code == 130
    for left in tmp_path.glob("there*"):
        left.unlink()
    monkeypatch.undo()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    answer = cli("copy", here, f"{scheme}{path}", "--json")
    assert (answer.code, answer.json["resumed"]) == (0, False)
    assert everything_at(f"{scheme}{path}")["spans"] == everything_at(here)["spans"]
    assert list(state_folder.iterdir()) == []


def failing_writes(error: Callable[[], BaseException], *, nth: int) -> Callable[..., FaultyBackend]:
    """Return what makes backends whose ``nth`` write fails."""
    from tracecore.plugins import open_backend as made

    return lambda url, **how: FaultyBackend(made(url, **how), FailNth(nth, error=error))


def test_a_target_that_stays_away(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many times it ends, says how far it came and what the matter is; the next run goes on from there."""
    here, there = "memory:away", f"sqlite:///{tmp_path}/there.db"
    anyio.run(kept_at, here, records())
    gone = BackendUnavailable("the network is down", "see to it")
    monkeypatch.setattr(copy_run, "open_backend", failing_writes(lambda: gone, nth=5))
    result = cli("copy", here, there, "--retries", "0")
    assert (result.code, result.out) == (1, "")
    assert "the network is down" in result.err
    assert "stopped after 12 spans had been copied: run it again to go on from there" in result.err
    monkeypatch.undo()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert cli("copy", here, there, "--json").json["resumed"] is True
    assert everything_at(there) == everything_at(here)


@pytest.mark.parametrize("content", [b"", b"{", b'{"begun_ns": "x"}', b"\xff", b"[]"])
def test_a_position_that_cannot_be_read_costs_only_itself(
    cli: Cli, tmp_path: Path, state_folder: Path, content: bytes
) -> None:
    """A file that is damaged is named, and the copy begins anew."""
    here, there = "memory:damaged", f"sqlite:///{tmp_path}/there.db"
    anyio.run(kept_at, here, records())
    state_folder.mkdir(parents=True)
    file = StateFile(state_folder, Job(here, str(tmp_path / "there.db"), PROJECT))
    file.path.write_bytes(content)
    result = cli("copy", here, there)
    assert result.code == 0
    assert f"{file.path} cannot be read" in result.err
    assert "begins anew" in result.err
    assert not file.path.exists()


def test_a_position_that_cannot_be_kept_stops_nobody(cli: Cli, tmp_path: Path, state_folder: Path) -> None:
    """Where nothing can be written the copy runs all the same."""
    here, there = "memory:nowhere", f"sqlite:///{tmp_path}/there.db"
    anyio.run(kept_at, here, records())
    state_folder.parent.mkdir(parents=True)
    state_folder.write_text("no folder")
    assert cli("copy", here, there).code == 0
    assert everything_at(there) == everything_at(here)


def test_no_position_is_kept_for_what_keeps_nothing(cli: Cli, tmp_path: Path, state_folder: Path) -> None:
    """What is in the memory of a process is gone with it: there would be nothing to go on with."""
    anyio.run(kept_at, "memory:fleeting", records())
    assert cli("copy", "memory:fleeting", "memory:there").code == 0
    assert not state_folder.exists()


def test_a_cursor_that_the_source_does_not_know_any_more(tmp_path: Path) -> None:
    """The part that it was in begins anew; those before it are not copied again."""

    async def copied() -> None:
        source, target = open_backend("memory:cursors"), open_backend("memory:")
        async with opened(source), opened(target):
            await source.write(records())
            odd = CopyState(begun_ns=1, position=Position("scores", "made by another version"), copied={"scores": 2})
            state = await Copier(source, target, Selection(PROJECT), Patience(0, None)).copy(odd)
            assert state.copied == {"scores": 5, "ledger": 3}
            assert (await everything(target))["scores"] == (await everything(source))["scores"]
            with pytest.raises(BackendRejected):  # which is not taken for a cursor that is old
                await Copier(source, target, Selection(PROJECT), Patience(0, None)).copy(
                    CopyState(begun_ns=1, position=Position(), copied={}), _reject
                )

    anyio.run(copied)


def _reject(_: CopyState) -> None:
    raise BackendRejected("not because of a cursor")


def test_each_job_has_a_position_of_its_own() -> None:
    """Other places, another project, another time or no ledger are another copy; a time is the same as it was typed."""
    jobs = [JOB, *(msgspec.structs.replace(JOB, **{name: "x"}) for name in ("source", "target", "project", "since"))]
    jobs += [msgspec.structs.replace(JOB, ledger=False), Job("a\udcff", "b", PROJECT)]
    assert len({job.digest for job in jobs}) == len(jobs)
    assert Job("here", "there", PROJECT, since="3d").digest == Job("here", "there", PROJECT, since="3d").digest


def test_where_positions_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the rules of XDG: the variable if it is an absolute path, else below the home directory, if there is one."""
    assert state_directory({"XDG_STATE_HOME": "/var/state"}) == Path("/var/state/tracecore/copy")
    monkeypatch.setenv("HOME", "/home/me")
    for environ in ({}, {"XDG_STATE_HOME": ""}, {"XDG_STATE_HOME": "relative"}):
        assert state_directory(environ) == Path("/home/me/.local/state/tracecore/copy")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)  # whom no list of users names
    assert state_directory({}) == Path("/nonexistent/.local/state/tracecore/copy")


def test_a_relative_time_keeps_its_first_meaning(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state_folder: Path
) -> None:
    """``3d`` that was interrupted goes on with the moment that it meant when it began."""
    here, there = "memory:relative", f"sqlite:///{tmp_path}/there.db"
    anyio.run(kept_at, here, records())
    monkeypatch.setattr(copy_run, "open_backend", failing_writes(KeyboardInterrupt, nth=5))
    assert cli("copy", here, there, "--since", "20000d").code == 130
    [kept] = state_folder.iterdir()
    state = msgspec.json.decode(kept.read_bytes(), type=CopyState)
    assert state.since_ns is not None
    monkeypatch.undo()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    answer = cli("copy", here, there, "--since", "20000d", "--json").json
    assert (answer["resumed"], answer["begun_ns"]) == (True, state.begun_ns)
    assert os.listdir(state_folder) == []  # noqa: PTH208 - names are enough


@pytest.mark.parametrize(("failures", "passes"), [(0, True), (3, True), (4, False)])
async def test_patience(failures: int, passes: bool) -> None:  # noqa: FBT001 - pytest passes by name
    """What is away is asked again after longer and longer pauses, as long as it wishes, and only so often."""
    pauses: list[float] = []
    said: list[str] = []
    left = [failures]

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async def call() -> str:
        left[0] -= 1
        if left[0] >= 0:
            raise BackendUnavailable("away", retry_after=7.0 if left[0] == failures - 1 else None)
        return "done"

    patience = Patience(3, None, tell=said.append, sleep=sleep)
    if passes:
        assert await patience(call) == "done"
    else:
        with pytest.raises(BackendUnavailable):
            await patience(call)
    assert pauses == [7.0, 1.0, 2.0][:failures]
    assert len(said) == len(pauses)


async def test_what_never_answers_is_given_up() -> None:
    """A call that takes too long is cancelled, and counts as one that is away."""
    with pytest.raises(BackendUnavailable, match="no answer within 10"):
        await Patience(1, 0.01, sleep=lambda _: anyio.lowlevel.checkpoint())(anyio.sleep_forever)


async def test_what_is_asked_at_once_is_answered_in_order() -> None:
    """Answers come in the order of the calls, whichever is ready first; the first error ends the others, as it is."""
    ready = anyio.Event()

    async def slow() -> str:
        await ready.wait()
        return "slow"

    async def quick() -> str:
        ready.set()
        return "quick"

    async def fails() -> str:
        raise BackendUnavailable("away")

    assert await together([slow, quick]) == ["slow", "quick"]
    assert await together([]) == []
    ready = anyio.Event()
    with pytest.raises(BackendUnavailable, match="away"):
        await together([slow, fails])
