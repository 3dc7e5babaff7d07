"""Doctor and the journal: what it is on, who has homes there, what nobody cares for, and what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.cli.left_behind import dead, living
from tests.cli.recorded import Cli
from tracecore.cli import journal_findings
from tracecore.cli.findings import Finding
from tracecore.cli.journal_findings import Journal, look_at_journal
from tracecore.cli.journal_survey import KeptAside, SeenHome, Survey
from tracecore.config import Config

NOW = 1_800_000_000 * 10**9
MINUTE = 60 * 10**9


def found(journal: Journal | Survey, *, buffer: str = "journal", **settings: Any) -> list[Finding]:
    """Return what doctor says of a journal, without what it says of the place when that is well."""
    journal = journal if isinstance(journal, Journal) else Journal(journal)
    config = Config(buffer=buffer, **settings)  # type: ignore[arg-type]  # one of the two
    findings = journal_findings.journal_findings(config, journal, NOW)
    return [finding for finding in findings if "the journal is in" not in finding.what or finding.remedy]


def home(state: Any, *, ago_ns: int = 3 * MINUTE, records: int = 0, **fields: Any) -> SeenHome:
    """Return a home of 4 MiB that was last written some time ago."""
    return SeenHome(f"1-{state}", state, 2**22, NOW - ago_ns, records, **fields)


def seen(*homes: SeenHome, **fields: Any) -> Survey:
    """Return a survey of a directory with these homes."""
    return Survey("/j", homes=homes, **fields)


def test_all_is_well(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that is used, or will be made, is named with what is free there; nothing is made."""
    monkeypatch.setenv("TRACECORE_BUFFER", "journal")
    monkeypatch.setenv("TRACECORE_JOURNAL_BYTES", str(2**22))
    result = cli("doctor", "--backend", "memory:")
    assert result.code == 0
    assert f"the journal is in {tmp_path / 'tracecore-journal'}, on " in result.out
    assert " free, made by the first span" in result.out
    assert list(tmp_path.iterdir()) == []
    process = living(tmp_path / "tracecore-journal", "one")
    result = cli("doctor", "--backend", "memory:")
    assert "processes at work with the journal: 1, with 4.0 MiB" in result.out
    assert result.code == 0
    process.end()


def test_what_dead_processes_left(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a problem, whatever the configuration, and the remedy is the one that helps; JSON has the sums."""
    dead(tmp_path / "tracecore-journal", "one", "two")
    dead(tmp_path / "tracecore-journal", "three")
    result = cli("doctor", "--backend", "memory:")
    assert result.code == 1
    assert "PROBLEM  dead processes left 3 records in 2 homes (" in result.out
    assert "buffer is memory, so nobody will deliver them" in result.out
    monkeypatch.setenv("TRACECORE_BUFFER", "journal")
    answer = cli("doctor", "--backend", "memory:", "--json")
    assert (answer.code, answer.json["journal"]["records_left"]) == (1, 3)
    assert answer.json["journal"]["left"]["homes"] == 2
    assert "start the service, or run `tracecore recover`" in answer.out


def test_what_waits_for_another_backend_is_named(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody with this configuration delivers it: it is told apart from what the next start will deliver."""
    monkeypatch.setenv("TRACECORE_BUFFER", "journal")
    here, there = str(tmp_path / "a.db"), str(tmp_path / "b.db")
    dead(tmp_path / "tracecore-journal", "mine", destination=here)
    dead(tmp_path / "tracecore-journal", "theirs", "too", destination=there)
    result = cli("doctor", "--backend", "sqlite:///a.db")
    size = re.search(r"\(\d+\.\d [KM]iB\)", result.out)
    assert size is not None
    where = f"in 1 home {size[0]} in {tmp_path / 'tracecore-journal'}"
    assert f"PROBLEM  dead processes left 1 record {where}, the first" in result.out
    assert f"PROBLEM  dead processes left 2 records {where} for {there}, not for {here}\n" in result.out
    assert "with --all the configured backend gets them" in result.out
    answer = cli("doctor", "--backend", "sqlite:///a.db", "--json")
    assert answer.json["journal"]["left_elsewhere"] == {there: 1}
    assert cli("doctor", "--backend", "sqlite:///b.db", "--json").json["journal"]["left_elsewhere"] == {here: 1}


def test_without_a_journal_nothing_is_said(cli: Cli, tmp_path: Path) -> None:
    """Who keeps records in memory and left nothing behind hears nothing of journals, whatever has its name."""
    assert "journal" not in "".join(finding.what for finding in found(seen(), buffer="memory"))
    (tmp_path / "tracecore-journal").write_text("a file of somebody else's")
    result = cli("doctor", "--backend", "memory:")
    assert (result.code, result.out.count("PROBLEM")) == (0, 0)
    assert cli("doctor", "--backend", "memory:", "--json").json["journal"]["trouble"] is not None


def test_a_directory_that_cannot_be_used(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in its place, or no right to write there, is a problem with what it costs."""
    monkeypatch.setenv("TRACECORE_BUFFER", "journal")
    (tmp_path / "tracecore-journal").write_text("a file")
    result = cli("doctor", "--backend", "memory:")
    assert result.code == 1
    assert "tracecore-journal is no directory" in result.out
    assert "records wait in memory only, and a crash loses them" in result.out
    monkeypatch.setenv("TRACECORE_JOURNAL_DIR", "elsewhere")
    monkeypatch.setattr("os.access", lambda path, mode: False)
    result = cli("doctor", "--backend", "memory:")
    assert f"PROBLEM  {tmp_path} cannot be written to, and the journal should be {tmp_path / 'elsewhere'}" in result.out


@pytest.mark.parametrize(
    ("free", "ok", "words"),
    [
        (2**30, True, None),
        (2**23, True, "8.0 MiB are free for a journal that may take 16.0 MiB"),
        (2**20, False, "1.0"),
    ],
)
def test_too_little_room(free: int, words: str, *, ok: bool) -> None:
    """Less than the journal may take is to be minded; less than a segment means that there is no journal."""
    findings = found(Journal(seen(), free=free), journal_bytes=2**24)
    assert [finding.ok for finding in findings] == ([] if words is None else [ok])
    assert all(
        words is not None and words in finding.what and "journal_bytes" in finding.remedy for finding in findings
    )


@pytest.mark.parametrize(
    ("kind", "words"),
    [("nfs4", "on a local disk"), ("tmpfs", "not a restart of the machine"), ("ext4", ""), (None, "")],
)
def test_what_it_is_on(kind: str | None, words: str) -> None:
    """Doubtful places are named with what to mind, and are no problem."""
    findings = found(Journal(seen(), file_system=kind))
    assert [finding.ok for finding in findings] == ([True] if words else [])
    assert all(words in finding.remedy for finding in findings)


def test_what_is_left_beside_the_living() -> None:
    """A living process delivers what is left: no problem yet. Where not all was counted, the answer says so."""
    (living_too,) = [one for one in found(seen(home("left", records=7), home("in_use"))) if "left" in one.what]
    assert living_too.ok
    assert living_too.what == "dead processes left 7 records in 1 home (4.0 MiB) in /j, the first 3m 00s ago"
    assert "a living process delivers them" in living_too.remedy
    (many,) = found(seen(home("left"), home("left", records=7), counted=False))
    assert many.what.startswith("dead processes left at least 7 records in 2 homes")
    assert not many.ok


def test_what_is_empty_or_half_made_is_no_problem() -> None:
    """Homes without a record need nobody; one that has just been begun is not spoken of."""
    (empty,) = found(seen(home("left")))
    assert (empty.ok, empty.remedy) == (True, "")
    assert "1 home without a record in /j" in empty.what
    (stale,) = found(seen(home("half_made"), home("half_made", ago_ns=10**9)))
    assert (stale.ok, stale.remedy) == (True, "")
    assert "died while they made 1 home in /j: nothing is in them" in stale.what


def test_what_was_kept_aside_is_a_problem() -> None:
    """Something is lost with each damaged segment: how many, how large, and where to look."""
    (finding,) = found(seen(damaged=(KeptAside("1-a-0", 2**22), KeptAside("1-a-1", 2**22))), buffer="memory")
    assert not finding.ok
    assert "/j/damaged keeps 2 segments (8.0 MiB)" in finding.what
    assert "see whether the disk is sound, then remove /j/damaged" in finding.remedy


def test_what_may_not_be_taken_is_a_problem() -> None:
    """A few are named with why; the others are counted."""
    findings = found(seen(*[home("denied", why="Permission denied") for _ in range(9)]))
    assert [finding.ok for finding in findings] == [False] * 3
    assert "/j/1-denied cannot be taken: Permission denied (6 more are like it)" in findings[0].what
    assert "more" not in findings[1].what


def test_names_with_any_bytes_can_be_shown(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory whose name is no text is shown with escapes, and the answer for programs is JSON."""
    monkeypatch.setenv("TRACECORE_BUFFER", "journal")
    monkeypatch.setenv("TRACECORE_JOURNAL_DIR", "a\nb\x1b[2J")
    result = cli("doctor", "--backend", "memory:")
    assert "\x1b" not in result.out
    assert r"a\nb\x1b[2J" in result.out
    assert cli("doctor", "--backend", "memory:", "--json").json["journal"]["exists"] is False


def test_thousands_of_homes_are_one_finding(tmp_path: Path) -> None:
    """However many were left, the answer is short."""
    for number in range(200):
        (tmp_path / f"{number}-home").mkdir()
    journal = look_at_journal(Config(buffer="journal", journal_dir=str(tmp_path)))
    (finding,) = found(journal, journal_bytes=2**22)
    assert "200 homes without a record" in finding.what
    assert journal_findings.as_json(journal)["left"] == {"homes": 200, "bytes": 0}
