"""The commands on backends that are elsewhere: PostgreSQL and a server behind HTTP, copied from, to and between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from tests.cli.copies import everything_at, kept_at, records
from tests.cli.recorded import Cli
from tests.http_server import Asked, Reply, room_names, served, stub
from tests.postgres_server import Database
from tracecore.cli import copy_source, copying
from tracecore_postgres.schema import migrations

PAIRS = [
    ("sqlite", "postgresql"),
    ("postgresql", "sqlite"),
    ("sqlite", "http"),
    ("http", "sqlite"),
    ("postgresql", "http"),
    ("http", "postgresql"),
    ("memory", "postgresql"),
    ("http", "http"),
    ("postgresql", "jsonl"),
]


@pytest.fixture
def server() -> Iterator[str]:
    """Return the URL of a server with any number of rooms."""
    with served() as url:
        yield url


@pytest.fixture(autouse=True)
def _small_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep positions in a folder of the test, and read and write in many small steps."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(copy_source, "_PAGE", 3)
    monkeypatch.setattr(copying, "_MOST_ITEMS", 7)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_everything_is_on_the_other_side(  # noqa: PLR0917 - two places, and what makes them
    cli: Cli, tmp_path: Path, postgres: Database, server: str, source: str, target: str
) -> None:
    """Every record is there as it was, and so is what follows from them; copying again changes nothing."""
    urls = [
        {
            "postgresql": postgres.url(),
            "http": f"{server}/{next(room_names)}",
            "sqlite": f"sqlite:///{tmp_path}/{role}.db",
            "memory": f"memory:{next(room_names)}",
            "jsonl": f"jsonl:{tmp_path}/lines",
        }[scheme]
        for role, scheme in (("source", source), ("target", target))
    ]
    here, there = urls
    anyio.run(kept_at, here, records())
    expected = everything_at(here)
    if target == "jsonl":
        expected["ledger"] = []
    for arguments in (("--verify",), ("--verify",), ("--since", "2020-01-01")):
        answer = cli("copy", here, there, "--json", *arguments)
        assert answer.code == 0, answer.err + answer.out
        assert everything_at(there) == expected
        assert answer.json["rejected"]["records"] == 0


def test_a_password_in_a_url_is_never_shown(cli: Cli, postgres: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks with a secret gets an answer without it, where it works and where it does not."""
    monkeypatch.setenv("TRACECORE_SECRET", "hush-hush")
    anyio.run(kept_at, postgres.url(), records())
    missing = postgres.url().replace("postgres@/postgres", "postgres@/missing")
    for url, code in ((postgres.url(), 0), (missing, 1), ("postgresql://me:pass-word@127.0.0.1:1/db", 1)):
        for command in (["traces"], ["doctor"], ["doctor", "--json"], ["stats"], ["migrate", "--status"]):
            result = cli(*command, "--backend", url)
            assert result.code == code, (command, result)
            assert "hush" not in result.out + result.err
            assert "pass-word" not in result.out + result.err


def test_the_schema_of_a_database(cli: Cli, postgres: Database) -> None:
    """A schema that is not there is made when that is asked for, and no sooner."""
    arguments = ("migrate", "--backend", postgres.url())
    newest = len(migrations())
    status = cli(*arguments, "--status")
    assert status.code == 1
    assert f"no schema yet; {newest} migrations to run: 0001_" in status.out
    assert "has no schema yet" in cli("doctor", "--backend", postgres.url()).out
    assert cli(*arguments, "--status").code == 1
    assert f"brought from schema 0 to {newest}" in cli(*arguments).out
    assert cli(*arguments, "--status").out.endswith(f": schema {newest}, up to date\n")


def test_what_doctor_says_of_a_database(cli: Cli, postgres: Database) -> None:
    """The version of the server, what a commit waits for, and whether a pooler is in the way."""
    anyio.run(kept_at, postgres.url(), records())
    result = cli("doctor", "--backend", postgres.url())
    assert result.code == 0, result.out
    assert ": PostgreSQL 1" in result.out
    assert ": synchronous_commit on" in result.out
    assert ": pooler none" in result.out
    assert "what it has taken is durable; schema" in result.out
    assert "one that hands connections around" in cli("doctor", "--backend", postgres.url(statement_cache_size=0)).out


def test_what_doctor_says_of_a_server(cli: Cli, server: str) -> None:
    """Whether it is reached, and what is behind it."""
    url = f"{server}/{next(room_names)}"
    anyio.run(kept_at, url, records())
    result = cli("doctor", "--write", "--backend", url)
    assert result.code == 0, result.out
    assert f"{url} answered in" in result.out
    assert (
        "gives back traces, observations, sessions, scores, ledger, search; what it has taken is received" in result.out
    )
    assert f"{url} can be written to" in result.out


def test_the_key_of_a_server(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret is sent as a token; a server that refuses it is a problem, and nothing of it is shown."""

    def answer(asked: Asked) -> Reply:
        return Reply(401, b'{"detail": "not you: hush-hush"}')

    monkeypatch.setenv("TRACECORE_SECRET", "hush-hush")
    with stub(answer) as other:
        result = cli("doctor", "--backend", f"http://{other.address}")
        asked = list(other.asked)
    assert result.code == 1
    assert {one.headers["authorization"] for one in asked} == {"Bearer hush-hush"}
    assert "401 Unauthorized" in result.out
    assert "hush" not in result.out + result.err
