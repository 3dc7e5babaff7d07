"""Commands where several backends are configured: one is read, all are looked at, and each is recovered to."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.cli.left_behind import dead
from tests.cli.recorded import Cli, Store
from tracecore import Config, Health
from tracecore.cli import run
from tracecore.fan_out import health_of_all
from tracecore.records import Record

BOTH = "sqlite:///a.db+sqlite:///b.db"


def names_in(file: str) -> list[str]:
    """Return the names of the spans in a file."""
    with closing(sqlite3.connect(file)) as connection:
        return [name for (name,) in connection.execute("select name from spans order by name")]


@pytest.fixture(autouse=True)
def _busy_pumps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have pumps look after homes without the second that they otherwise leave between two looks."""
    monkeypatch.setattr("tracecore.pump._HOUSEKEEP_EVERY", 0.02)


def test_what_is_read_is_the_first(cli: Cli, stored: Store, sample: list[Record]) -> None:
    """A command that reads shows what the first backend has, whatever the second one has or is."""
    first, second = stored(sample), stored([])
    shown = cli("traces", "--backend", first)
    assert cli("traces", "--backend", f"{first}+{second}") == shown
    assert cli("traces", "--backend", f"{first}+sqlite:///not-there.db") == shown
    assert cli("traces", "--backend", f"{second}+{first}") != shown
    assert not Path("not-there.db").exists()


def test_a_backend_that_only_takes_is_not_read(cli: Cli, stored: Store, sample: list[Record]) -> None:
    """Where the first has nothing to read, as a file of lines, the next one is read."""
    first = stored(sample)
    assert cli("traces", "--backend", f"jsonl:lines.jsonl+{first}") == cli("traces", "--backend", first)
    assert cli("traces", "--backend", f"{first}+jsonl:lines.jsonl") == cli("traces", "--backend", first)


def test_doctor_looks_at_each_and_says_which_is_read(cli: Cli, stored: Store, sample: list[Record]) -> None:
    """Every backend is tried, written to if asked for, and one that cannot be used is a problem of its own."""
    stored(sample, "sqlite:///a.db")
    result = cli("doctor", "--write", "--backend", BOTH)
    assert result.code == 0, result.out
    a, b = Path("a.db").absolute(), Path("b.db").absolute()
    assert f"records go to 2 backends; commands read from {a}" in result.out
    assert f"{a} can be written to" in result.out
    assert f"{b} can be written to" in result.out
    broken = cli("doctor", "--backend", "sqlite:///a.db+nowhere://user:hidden@host")
    assert broken.code == 1
    assert f"{a} answered" in broken.out
    assert "nowhere://***@host" in broken.out
    assert "hidden" not in broken.out + broken.err


def test_what_was_left_for_each_is_recovered_to_each(cli: Cli, tmp_path: Path) -> None:
    """Homes of both backends are emptied, each into its own; what waits for a third one is named, and stays."""
    journal = tmp_path / "tracecore-journal"
    for letter in "abc":
        dead(journal, f"for {letter}", destination=str(tmp_path / f"{letter}.db"))
    found = cli("doctor", "--backend", BOTH)
    assert f"not for {tmp_path / 'a.db'} and {tmp_path / 'b.db'}" in found.out
    result = cli("recover", "--backend", BOTH)
    assert result.code == 1
    assert f"delivered 2 records to {tmp_path / 'a.db'} and {tmp_path / 'b.db'}; 2 of 2 homes" in result.out
    assert f"wait{'s'} for {tmp_path / 'c.db'}" in result.out
    assert (names_in("a.db"), names_in("b.db")) == (["for a"], ["for b"])
    assert cli("recover", "--backend", BOTH, "--all").code == 0
    assert (names_in("a.db"), names_in("b.db")) == (["for a", "for c"], ["for b"])
    assert list(journal.iterdir()) == []
    assert not Path("c.db").exists()


def test_a_program_is_summed_up_for_each_backend() -> None:
    """What a run says in the end is said of every backend: what one has lost is not said of the other."""

    def health(location: str, **said: Any) -> Health:
        known: dict[str, Any] = {
            "state": "closed", "location": location, "emitted": 5, "delivered": 5, "pending": 0, "lost": {},
            "sampled": 0, "open_spans": 0, "buffer_depth": 0, "last_error": None, "last_delivery_age_s": None,
        }  # fmt: skip
        return Health(**(known | said))

    kept, gone = health("a.db"), health("b.db", delivered=3, lost={"closing": 2}, last_error="away")
    said = run._as_text(health_of_all({"a.db": kept, "b.db": gone}), Config())
    assert said.splitlines() == [
        "tracecore: 5 records in a.db",
        "tracecore: nothing was lost",
        "tracecore: 3 records in b.db",
        "tracecore: 2 records lost (closing 2)",
        "tracecore: last error: away",
    ]


def test_a_backend_that_keeps_nothing_beside_one_that_does(cli: Cli, tmp_path: Path) -> None:
    """Recovery goes to the one that keeps what it is given; where none does, it is refused, and nothing is lost."""
    journal = tmp_path / "tracecore-journal"
    dead(journal, "one")
    refused = cli("recover", "--backend", "memory:a+memory:b")
    assert refused.code == 1
    assert "would keep the records in the memory of this command" in refused.err
    assert cli("recover", "--backend", "memory:a+sqlite:///a.db").code == 0
    assert names_in("a.db") == ["one"]
