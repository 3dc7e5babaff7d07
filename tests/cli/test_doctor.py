"""Doctor: what is set and why, whether the backend answers, and what to do about what is wrong."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import anyio
import pytest

from tests.cli.recorded import Cli, Store
from tests.migrations.test_schema import apply
from tracecore.cli import backend_findings, health
from tracecore.config import Config
from tracecore.memory import MemoryBackend
from tracecore.records import Record
from tracecore_sqlite.schema import migrations


def test_a_healthy_set_up(cli: Cli, stored: Store, sample: list[Record], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every setting comes with its source, every version is there, and the backend was really asked."""
    monkeypatch.setenv("TRACECORE_SAMPLE_RATE", "0.5")
    url = stored(sample)
    answer = cli("doctor", "--json", "--backend", url)
    assert answer.code == 0
    assert answer.json["ok"] is True
    assert answer.json["settings"]["sample_rate"] == {
        "value": 0.5, "source": "environment variable TRACECORE_SAMPLE_RATE", "overrode": [],
    }  # fmt: skip
    assert answer.json["settings"].keys() | {"mask"} == set(Config.__struct_fields__)
    assert {"python", "sqlite", "msgspec", "uvloop"} <= answer.json["versions"].keys()
    out = cli("doctor", "--backend", url).out
    assert "has traces" in out
    assert "PROBLEM" not in out


def test_a_problem_says_what_to_do(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that cannot be opened and a mask that cannot be imported are problems, and the exit code is 1."""
    monkeypatch.setenv("TRACECORE_MASK", "no_such_module_here:mask")
    result = cli("doctor", "--backend", "sqlte://user:pass-word@host/x")
    assert result.code == 1
    assert result.out.count("PROBLEM") == 2
    assert result.out.count("what to do:") == 2
    assert "pass-word" not in result.out + result.err
    assert "one of the schemes http:, jsonl:, memory:, postgresql:, sqlite:" in result.out


def test_variables_that_are_no_settings_are_listed(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that nobody reads is named, in case it was meant to be read; it is a note, and no problem."""
    monkeypatch.setenv("TRACECORE_SERVICE_HOST", "10.0.0.1")
    result = cli("doctor", "--backend", "memory:")
    assert "note     environment variable TRACECORE_SERVICE_HOST is no setting" in result.out
    assert result.code == 0


@pytest.mark.parametrize(
    ("installed", "backend", "noted"),
    [
        ((3, 40, 1), "sqlite:///a.db", True),
        ((3, 40, 1), "memory:+SQLite:///a.db", True),
        ((3, 40, 1), "memory:", False),
        (health._SAFE_SQLITE, "sqlite:///a.db", False),
    ],
)
def test_an_old_sqlite_is_noted(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, installed: tuple[int, int, int], backend: str, *, noted: bool
) -> None:
    """A version that asks for caution is never called ok where a file of it is used; what to mind stands below it."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", installed)
    lines = cli("doctor", "--backend", backend).out.splitlines()
    found = [i for i, line in enumerate(lines) if line.startswith("note     SQLite ")]
    assert bool(found) is noted
    assert all("only one process" in lines[i + 1] for i in found)


def test_settings_are_written_as_a_file_would(cli: Cli) -> None:
    """What is shown can be copied into a TOML file: lower-case truth, and no ``None``."""
    rows = [line.split("  ") for line in cli("doctor", "--backend", "memory:").out.splitlines()]
    values = {row[0].strip(): next(cell.strip() for cell in row[1:] if cell) for row in rows if len(row) > 1}
    assert (values["enabled"], values["release"], values["sample_rate"]) == ("true", "not set", "1.0")


def test_a_mask_beside_the_program_is_found(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mask is looked for in the working directory, as the program would."""
    (tmp_path / "mask_beside_program.py").write_text("def mask(text):\n    return text\n")
    monkeypatch.setenv("TRACECORE_MASK", "mask_beside_program:mask")
    assert "ok       mask: mask" in cli("doctor", "--backend", "memory:").out


def test_writing_is_tried_only_when_asked(cli: Cli) -> None:
    """The probe is one record in a project of its own, the same each time."""
    assert "can be written to" not in cli("doctor", "--backend", "memory:doctor").out
    for _ in range(2):
        assert "can be written to" in cli("doctor", "--write", "--backend", "memory:doctor").out
    assert cli("traces", "--backend", "memory:doctor").out == ""
    probes = cli("traces", "--json", "--project", "tracecore-doctor", "--backend", "memory:doctor").json
    assert len(probes["items"]) == 1


def test_what_cannot_be_written_is_a_problem(cli: Cli, tmp_path: Path) -> None:
    """A backend that refuses the probe is a problem, with what it means."""
    (tmp_path / "bad.db").write_bytes(b"this is no database, and never was one" * 100)
    result = cli("doctor", "--write", "--backend", "sqlite:///bad.db")
    assert result.code == 1
    assert "writing failed" in result.out
    assert "Traceback" not in result.out + result.err


def test_a_missing_file_is_no_problem_and_stays_missing(cli: Cli, tmp_path: Path) -> None:
    """Before anything was recorded, doctor says what will happen, and makes nothing happen."""
    result = cli("doctor", "--backend", "sqlite:///traces.db")
    assert result.code == 0
    assert "the first span makes it" in result.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("location", "ok", "words"),
    [("traces.db", True, "the first span makes it"), ("no/folder/traces.db", False, "mkdir -p")],
)
def test_a_file_that_is_not_there_yet(location: str, ok: bool, words: str) -> None:  # noqa: FBT001 - pytest passes by name
    """A missing file is no problem where it can be made, and one where it cannot."""
    finding = backend_findings._place_for_file(location)
    assert finding.ok is ok
    assert words in finding.what + finding.remedy


def test_what_a_setting_overrode_is_said(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several sources of one setting the winner is named, and those it won over, the strongest first."""
    (tmp_path / "tracecore.toml").write_text('project = "in-the-file"\n')
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("TRACECORE_PROJECT", "in-the-environment")
    arguments = ("doctor", "--backend", "memory:", "--project", "typed")
    said = cli(*arguments, "--json").json["settings"]["project"]
    file = str(tmp_path / "tracecore.toml")
    assert said == {
        "value": "typed", "source": "the command line", "overrode": ["environment variable TRACECORE_PROJECT", file],
    }  # fmt: skip
    [row] = [line for line in cli(*arguments).out.splitlines() if line.startswith("project ")]
    assert f"the command line, over environment variable TRACECORE_PROJECT, then {file}" in row


def test_secrets_are_never_shown(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the secret of a variable nor a password in a URL is in what doctor says, whatever it finds."""
    monkeypatch.setenv("TRACECORE_SECRET", "hush-hush")
    for url in ("memory:", "nowhere://user:pass-word@host/x", f"sqlite:///{tmp_path}/a.db+memory:b"):
        for form in ([], ["--json"]):
            result = cli("doctor", *form, "--backend", url)
            assert "hush" not in result.out + result.err
            assert "pass-word" not in result.out + result.err
    assert cli("doctor", "--json", "--backend", "memory:").json["settings"]["secret"]["value"] == "***"
    assert "a secret is set, and no backend's URL has a place for it" in cli("doctor", "--backend", "memory:").out


@pytest.mark.parametrize(
    ("backend", "file", "notes"),
    [
        ("sqlite://host/a.db", None, []),
        ("sqlite://host/a.db", "other", ["secret_file (from environment variable TRACECORE_SECRET_FILE) is not read"]),
        ("sqlite://me:own@host/a.db", None, ["secret (from environment variable TRACECORE_SECRET) is not used"]),
        ("memory:+sqlite://host/a.db?secret_file=x", None, ["secret (from environment variable"]),
        ("sqlite://me:own@host/a.db+sqlite://other/b.db", None, []),
    ],
)
def test_a_secret_that_is_not_used_is_named(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, backend: str, file: str | None, notes: list[str]
) -> None:
    """The weaker of two, and one beside a URL that has its own, are notes with their source; none is shown."""
    monkeypatch.setenv("TRACECORE_SECRET", "hush")
    if file is not None:
        monkeypatch.setenv("TRACECORE_SECRET_FILE", file)
    findings = cli("doctor", "--json", "--backend", backend).json["findings"]
    found = [one["what"] for one in findings if one["what"].startswith("secret") and one["ok"]]
    assert len(found) == len(notes)
    assert all(map(str.startswith, found, notes))


def test_a_secret_that_cannot_be_read_is_a_problem(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of a secret that is not there is one problem, with its path."""
    monkeypatch.setenv("TRACECORE_SECRET_FILE", "no/such/file")
    result = cli("doctor", "--backend", "sqlite://host/a.db")
    assert result.code == 1
    assert "secret_file = 'no/such/file'" in result.out
    assert result.out.count("PROBLEM") == 1


def test_each_of_several_backends_is_asked(cli: Cli, stored: Store, sample: list[Record], tmp_path: Path) -> None:
    """One that works and one that does not are two answers, and the exit code is 1."""
    (tmp_path / "bad.db").write_bytes(b"this is no database, and never was one" * 100)
    result = cli("doctor", "--backend", f"{stored(sample)}+sqlite:///bad.db")
    assert result.code == 1
    assert "records go to 2 backends" in result.out
    assert "has traces" in result.out
    assert f"PROBLEM  {tmp_path}/bad.db is not an SQLite database" in result.out
    assert "the sentence above" not in result.out


def test_what_a_backend_can_do_is_said(cli: Cli, stored: Store, sample: list[Record], tmp_path: Path) -> None:
    """Its stores, the level of what it has taken, its schema, and what it says of itself."""
    out = cli("doctor", "--backend", stored(sample, f"sqlite:///{tmp_path}/a.db")).out
    assert "gives back traces, observations, sessions, scores, ledger, search, SQL" in out
    assert f"what it has taken is handed_over; schema {len(migrations())}, up to date" in out
    assert f"{tmp_path}/a.db: SQLite {sqlite3.sqlite_version}" in out
    assert f"{tmp_path}/a.db: journal mode wal" in out


def test_an_older_schema_is_a_problem_that_migrate_solves(cli: Cli, tmp_path: Path) -> None:
    """A file that an older version made cannot be read until it is brought up to date, which doctor says and how."""
    apply(tmp_path / "old.db", migrations()[:2])
    arguments = ("--backend", "sqlite:///old.db")
    before = cli("doctor", *arguments)
    assert before.code == 1
    assert f"has schema 2 of {len(migrations())}" in before.out
    assert "tracecore migrate" in before.out
    assert cli("migrate", *arguments).code == 0
    assert cli("doctor", *arguments).code == 0


def test_a_backend_that_hangs_is_not_waited_for(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks for a mistake gets an answer within some seconds, whatever does not answer."""

    async def hang(self: MemoryBackend) -> None:
        await anyio.sleep_forever()

    monkeypatch.setattr(backend_findings, "_PATIENCE", 0.01)
    monkeypatch.setattr(MemoryBackend, "open", hang)
    result = cli("doctor", "--write", "--backend", "memory:hangs")
    assert result.code == 1
    assert "PROBLEM  memory:hangs did not answer within 0.01 s" in result.out
    assert "writing failed: memory:hangs did not answer" in result.out
