"""``tracecore recover``: what killed processes left is delivered, and the answer is true whatever was in there."""

from __future__ import annotations

import io
import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.cli.left_behind import damage, dead, living
from tests.cli.recorded import Cli
from tracecore import Config, Health, Recorder
from tracecore.cli import recovery
from tracecore.cli.commands import recover as command
from tracecore.cli.journal_survey import Survey, survey
from tracecore.cli.recovery import recovered_from
from tracecore.errors import BackendRejected
from tracecore.records import Record, Span
from tracecore_sqlite.backend import SqliteBackend

STORE = "sqlite:///traces.db"
JOURNAL = "tracecore-journal"


def asked(question: str, file: str = "traces.db") -> list[tuple[Any, ...]]:
    """Return what a database answers."""
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(question).fetchall()


def stored() -> list[tuple[Any, ...]]:
    """Return project and name of every stored span."""
    return asked("select project, name from spans order by name")


@pytest.fixture(autouse=True)
def _busy_pumps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have pumps look after homes without the second that they otherwise leave between two looks."""
    monkeypatch.setattr("tracecore.pump._HOUSEKEEP_EVERY", 0.02)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Return the journal's directory of the working directory's configuration; it is not there yet."""
    return tmp_path / JOURNAL


def test_what_was_left_is_delivered_once(cli: Cli, journal: Path) -> None:
    """Every record of every home is stored, in its own project, and the homes are gone; the next run finds nothing."""
    dead(journal, "one", "two")
    dead(journal, "three", project="other")
    result = cli("recover", "--backend", STORE)
    assert (result.code, result.err) == (0, "")
    assert result.out == f"delivered 3 records to {Path('traces.db').absolute()}; 2 of 2 homes in {journal} emptied\n"
    assert stored() == [("default", "one"), ("other", "three"), ("default", "two")]
    assert list(journal.iterdir()) == []
    again = cli("recover", "--backend", STORE)
    assert (again.code, again.out) == (0, f"nothing to recover in {journal}\n")
    assert len(stored()) == 3


def test_where_there_is_nothing_nothing_is_made(cli: Cli, journal: Path, tmp_path: Path) -> None:
    """A missing directory is no error and stays missing; an empty one, and one of somebody else's, stay as they are."""
    result = cli("recover", "--backend", STORE)
    assert (result.code, result.out) == (0, f"nothing to recover: {journal} does not exist\n")
    assert cli("recover", "--backend", STORE, "--json").json["exists"] is False
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a" / "lost+found").mkdir(parents=True)
    result = cli("recover", "--backend", STORE, "--dir", "a")
    assert result.code == 0
    assert f"nothing to recover in {tmp_path / 'a'}: it is no journal's, but has 1 other name in it" in result.out
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "lost+found"]


def test_json_is_always_one_document(cli: Cli, journal: Path) -> None:
    """With nothing to do, with something left and with everything delivered, a program reads the same keys."""
    nothing = cli("recover", "--backend", STORE, "--json")
    dead(journal, "one")
    incomplete = cli("recover", "--backend", "sqlite:///no/folder/x.db", "--timeout", "100ms", "--json")
    complete = cli("recover", "--backend", STORE, "--json")
    assert [result.code for result in (nothing, incomplete, complete)] == [0, 1, 0]
    assert nothing.json.keys() == incomplete.json.keys() == complete.json.keys()
    assert [result.json["delivered"] for result in (nothing, incomplete, complete)] == [0, 0, 1]
    assert (complete.json["complete"], complete.json["why"], complete.json["homes_emptied"]) == (True, None, 1)
    assert (incomplete.json["complete"], incomplete.json["homes_left"]) == (False, 1)
    assert "mkdir -p" in incomplete.json["why"]


def test_a_backend_that_is_away_costs_nothing_but_time(cli: Cli, journal: Path) -> None:
    """When the time is up the answer says why, what is left is still there, and no record was lost."""
    home = dead(journal, "one", "two")
    result = cli("recover", "--backend", "sqlite:///no/folder/x.db", "--timeout", "200ms")
    assert result.code == 1
    assert "not complete: 1 home (" in result.out
    assert f" left in {journal}: the 200 ms of --timeout were up" in result.out
    assert "x.db cannot be opened; make its directory" in result.out
    assert "lost" not in result.out
    assert (survey(journal).waiting, home.is_dir()) == (2, True)


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        ("memory:", "memory: would keep the records in the memory of this command"),
        ("sqlite:///bad.db", "bad.db is not an SQLite database"),
        ("nosuch:", "backend = 'nosuch:' (from the command line)"),
    ],
)
def test_a_backend_that_will_never_do_is_refused(cli: Cli, journal: Path, backend: str, words: str) -> None:
    """What no time can mend is one sentence at once, and the journal is as it was."""
    dead(journal, "one")
    Path("bad.db").write_bytes(b"this is no database, and never was one" * 100)
    result = cli("recover", "--backend", backend)
    assert (result.code, result.out, result.err.count("\n")) == (1, "", 1)
    assert words in result.err
    assert (len(list(journal.iterdir())), survey(journal).waiting) == (1, 1)


def test_a_wrong_directory_is_one_sentence(cli: Cli, journal: Path, tmp_path: Path) -> None:
    """A file, one process's home and an empty name are refused, and nothing is made."""
    home = dead(journal, "one")
    (tmp_path / "file\n\x1b[2J").write_bytes(b"")
    for directory, words in (
        ("file\n\x1b[2J", "\\n\\x1b[2J is no directory"),
        (str(home), f"name {journal}"),
        ("", "the path of a directory"),
    ):
        result = cli("recover", "--backend", STORE, "--dir", directory)
        assert (result.code, result.out, result.err.count("\n")) == (1, "", 1)
        assert words in result.err
    assert not Path("traces.db").exists()


def test_names_are_made_visible(cli: Cli, tmp_path: Path) -> None:
    """Whatever bytes are in a name, the answer is one line, harmless to a terminal, and JSON."""
    for name in ("new\nline\x1b[2J", os.fsdecode(b"\xff\xfe")):
        result = cli("recover", "--backend", STORE, "--dir", name)
        assert (result.code, result.out.count("\n")) == (0, 1)
        assert "\x1b" not in result.out
        assert cli("recover", "--backend", STORE, "--dir", name, "--json").json["exists"] is False


def test_homes_of_the_living_are_left_alone(cli: Cli, journal: Path) -> None:
    """What a process at work has is neither delivered nor touched; it is no reason to be incomplete."""
    process = living(journal, "mine")
    dead(journal, "left")
    result = cli("recover", "--backend", STORE)
    assert result.code == 0
    assert "left alone: 1 home in use" in result.out
    assert stored() == [("default", "left")]
    process.end()
    assert survey(journal).waiting == 1


def test_what_is_somebody_else_s_stays(cli: Cli, journal: Path, tmp_path: Path) -> None:
    """Files, folders and links in the directory survive a recovery, through a link to the directory, too."""
    dead(tmp_path / "real", "one")
    journal.symlink_to("real")
    (journal / "lost+found").mkdir()
    (journal / "note.txt").write_text("mine")
    (tmp_path / "elsewhere").mkdir()
    (journal / "4711-link").symlink_to(tmp_path / "elsewhere")
    assert cli("recover", "--backend", STORE).code == 0
    assert stored() == [("default", "one")]
    assert sorted(path.name for path in journal.iterdir()) == ["4711-link", "lost+found", "note.txt"]


def test_a_damaged_segment_is_kept_aside(cli: Cli, journal: Path) -> None:
    """What is whole is delivered; the segment with the rest is named, with what its place means."""
    home = dead(journal, "one", "two", "three")
    damage(home)
    result = cli("recover", "--backend", STORE)
    assert result.code == 0
    assert f"kept aside in {journal}/damaged: 1 segment (4.0 MiB) in which something could not be read" in result.out
    assert stored() == [("default", "three"), ("default", "two")]
    assert [path.name for path in (journal / "damaged").iterdir()] == [f"{home.name}-0"]
    assert "kept aside" not in cli("recover", "--backend", STORE).out


def test_what_may_not_be_taken_is_not_complete(cli: Cli, journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Homes of another user make the exit code 1, each with why, at most a few by name."""
    for number in range(5):
        dead(journal, f"s{number}")
    monkeypatch.setattr("os.access", lambda path, mode: False)
    result = cli("recover", "--backend", STORE)
    assert result.code == 1
    assert result.out.count("cannot be taken: its file 'owner' cannot be written to; let this user write there") == 3
    assert "not complete: 2 more like that" in result.out
    assert "nothing to recover" not in result.out
    assert cli("recover", "--backend", STORE, "--json").json["homes_denied"] == 5


def test_a_service_that_is_switched_off_is_recovered(cli: Cli, journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command needs no journal in the configuration, and no program: a mask that is gone hides its own names."""
    dead(journal, "one", masked=True)
    monkeypatch.setenv("TRACECORE_ENABLED", "false")
    monkeypatch.setenv("TRACECORE_BUFFER", "memory")
    monkeypatch.setenv("TRACECORE_SERVICE_NAME", "secret-service")
    monkeypatch.setenv("TRACECORE_MASK", "no_such_module_here:mask")
    result = cli("recover", "--backend", STORE)
    assert (result.code, stored()) == (0, [("default", "one")])
    assert "the mask cannot be imported" in result.err
    assert asked("select host, service_name from ledger where recovered > 0") == [("***", "***")]


def test_what_was_not_masked_waits_for_the_mask(cli: Cli, journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mask that is configured and cannot be imported keeps what no process has masked from being delivered."""
    home = dead(journal, "one")
    monkeypatch.setenv("TRACECORE_MASK", "no_such_module_here:mask")
    result = cli("recover", "--backend", STORE)
    assert (result.code, result.out, result.err.count("\n")) == (1, "", 1)
    assert "no_such_module_here" in result.err
    assert (home.is_dir(), Path("traces.db").exists()) == (True, False)


def test_what_is_meant_for_another_backend_is_named(cli: Cli, journal: Path, tmp_path: Path) -> None:
    """It is left there, which is not complete, until it is asked for with its backend, or with all."""
    other = str(tmp_path / "other.db")
    dead(journal, "mine", destination=str(tmp_path / "traces.db"))
    for name in ("one", "two"):
        dead(journal, name, destination=other)
    result = cli("recover", "--backend", STORE)
    assert result.code == 1
    taken = re.search(r"\(\d+\.\d [KM]iB\)", result.out)
    assert taken is not None
    waiting = f"2 homes {taken[0]} in {journal} wait for {other}: name that with --backend, or deliver to"
    assert result.out == (
        f"delivered 1 record to {tmp_path / 'traces.db'}; 1 of 1 home in {journal} emptied\n"
        f"not complete: {waiting} {tmp_path / 'traces.db'} with --all\n"
    )
    again = cli("recover", "--backend", STORE, "--json")
    assert (again.code, again.json["delivered"], again.json["homes_left"]) == (1, 0, 0)
    assert (again.json["complete"], again.json["homes_elsewhere"]) == (False, {other: 2})
    assert stored() == [("default", "mine")]
    assert cli("recover", "--backend", "sqlite:///other.db").code == 0
    assert asked("select name from spans order by name", other) == [("one",), ("two",)]
    assert list(journal.iterdir()) == []


def test_all_is_delivered_to_the_backend_that_is_named(cli: Cli, journal: Path, tmp_path: Path) -> None:
    """Where a database has been moved, what is left for its old place goes to the new one."""
    dead(journal, "one", destination=str(tmp_path / "old.db"))
    result = cli("recover", "--backend", STORE, "--all")
    assert (result.code, stored()) == (0, [("default", "one")])
    assert "1 of 1 home" in result.out
    assert not (tmp_path / "old.db").exists()


def test_the_mask_of_the_service_is_used(cli: Cli, journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the program is beside, what the command says of itself is masked as the service would."""
    dead(journal, "one")
    Path("mask_beside_recover.py").write_text("def mask(text):\n    return text.replace('secret', 'masked')\n")
    monkeypatch.setenv("TRACECORE_SERVICE_NAME", "secret-service")
    monkeypatch.setenv("TRACECORE_MASK", "mask_beside_recover:mask")
    assert cli("recover", "--backend", STORE).err == ""
    assert asked("select service_name from ledger where recovered > 0") == [("masked-service",)]


def configuration(journal: Path) -> Config:
    """Return what the command makes for a journal."""
    return Config(buffer="journal", journal_dir=str(journal), journal_bytes=2**22, backend=STORE)


def test_who_dies_meanwhile_is_recovered_too(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory is looked at again at the end: what has been left since is delivered by another round."""
    dead(journal, "first")
    rounds: list[Recorder] = []
    shutdown = Recorder.shutdown

    def meanwhile(recorder: Recorder, timeout: float | None = None) -> object:
        if not rounds:
            dead(journal, "second")
        rounds.append(recorder)
        return shutdown(recorder, timeout)

    monkeypatch.setattr(Recorder, "shutdown", meanwhile)
    answer = recovered_from(configuration(journal), 30.0, lambda *_: None)
    assert (answer.complete, answer.delivered, len(rounds)) == (True, 2, 2)
    assert [name for _, name in stored()] == ["first", "second"]


def test_what_nobody_can_take_ends_the_rounds(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a round has changed nothing the answer says so, and does not go on until the time is up."""
    dead(journal, "one")
    monkeypatch.setattr("tracecore.adoption.adopt", lambda *_: iter(()))
    answer = recovered_from(configuration(journal), 3600.0, lambda *_: None)
    assert (answer.finished, answer.complete, answer.delivered) == (True, False, 0)
    assert [home.name for home in answer.left] == [home.name for home in answer.before.homes]


def test_losses_are_counted(cli: Cli, journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the backend refuses in every form is lost: counted by reason, with what that means."""
    dead(journal, "one", "two")

    write = SqliteBackend.write

    async def refuse(backend: SqliteBackend, batch: list[Record]) -> object:
        if any(isinstance(record, Span) for record in batch):
            raise BackendRejected("no span is ever good enough")
        return await write(backend, batch)

    monkeypatch.setattr(SqliteBackend, "write", refuse)
    result = cli("recover", "--backend", STORE)
    assert "lost 2 records, rejected: the backend refused them" in result.out
    assert cli("recover", "--backend", STORE, "--json").json["lost"] == {}


def test_an_interrupt_leaves_everything_in_order(cli: Cli, journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends with 130; what was not delivered is there for the next run, unlocked."""
    dead(journal, "one")

    def interrupted(*_: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(command._Teller, "__call__", interrupted)
    result = cli("recover", "--backend", "sqlite:///no/folder/x.db")
    assert (result.code, result.out) == (130, "")
    assert [home.state for home in survey(journal).homes] == ["left"]


def health(**said: Any) -> Health:
    """Return the health of a recorder at work."""
    known: dict[str, Any] = {
        "state": "recording", "location": "", "emitted": 0, "delivered": 0, "pending": 0, "lost": {}, "sampled": 0,
        "open_spans": 0, "buffer_depth": 0, "last_error": None, "last_delivery_age_s": None,
    }  # fmt: skip
    return Health(**(known | said))


def test_long_work_says_how_far_it_is(
    capsys: pytest.CaptureFixture[str], journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line every five seconds, on stderr, with what the matter is while the backend is away."""
    now = [0]
    monkeypatch.setattr(command, "monotonic_ns", lambda: now[0])
    dead(journal, *(f"s{number}" for number in range(7)))
    before = survey(journal)
    tell = command._Teller()
    for second in range(12):
        now[0] = second * 10**9
        tell(before, health(recovered=second, backend_state="down" if second > 9 else "up", last_error="Boom: no"))
    assert capsys.readouterr().err.splitlines() == [
        "still at work: 5 of 7 records delivered",
        "still at work: 10 of 7 records delivered; the backend is away: Boom: no",
    ]
    now[0] = 99 * 10**9
    tell(Survey("", counted=False), health())
    assert capsys.readouterr().err == "still at work: 0 records delivered\n"


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_a_bar(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who watches sees the share that is delivered, and when the backend is away."""
    terminal = _Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    dead(journal, "one", "two")
    with command._progress() as tell:
        tell(survey(journal), health(recovered=1))
        tell(survey(journal), health(recovered=1, backend_state="down"))
    assert "recovering" in terminal.getvalue()
    assert "50%" in terminal.getvalue()
    assert "the backend is away" in terminal.getvalue()


def test_the_log_is_as_it_was_afterwards(journal: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What the kernel would say to a service's log is not said beside the answer, and is said again later."""
    import logging

    log = logging.getLogger("tracecore")
    before = (list(log.handlers), log.propagate)
    damage(dead(journal, "one"))
    recovered_from(configuration(journal), 30.0, lambda *_: None)
    assert (list(log.handlers), log.propagate) == before
    assert [record.message for record in caplog.records if record.name == "tracecore"] == []


def test_nothing_is_claimed_of_what_is_in_our_own_hands(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home that is still locked when the time is up, by a pump that hangs, is not taken for somebody else's."""
    process = living(journal, "one")
    seen = survey(journal)
    left = Survey(seen.directory, homes=tuple(recovery.SeenHome(home.name, "left", records=1) for home in seen.homes))
    assert not recovery.Answer(left, seen, finished=False).complete
    assert recovery.Answer(left, seen, finished=True).complete
    process.end()
