"""The URL of a database: what it may say, what it says of itself, and that it tells nobody the password."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tracecore.errors import BackendUnavailable, ConfigError, MissingDriver
from tracecore_postgres import open_backend
from tracecore_postgres.address import parse


@pytest.fixture(autouse=True)
def _no_settings_of_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGHOST", "PGDATABASE", "PGPASSWORD"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("postgresql://h/d", "postgresql://h/d?schema=tracecore"),
        ("postgres://h:5433/d", "postgresql://h:5433/d?schema=tracecore"),
        ("postgresql://ann:secret@h/d?schema=traces", "postgresql://h/d?schema=traces"),
        ("postgresql://h1:1,h2:2/d", "postgresql://h1:1,h2:2/d?schema=tracecore"),
        ("postgresql:///d?host=/run/pg&port=6000", "postgresql:///d?host=/run/pg&port=6000&schema=tracecore"),
        ("postgresql://h/?dbname=d&password=x&user=y", "postgresql://h/?dbname=d&schema=tracecore"),
        ("postgresql://h/d?sslmode=require&retention_days=3", "postgresql://h/d?schema=tracecore"),
    ],
)
def test_the_location_names_the_data_and_nothing_else(url: str, location: str) -> None:
    """Host, port, database and schema, without credentials and without what does not say which data it is."""
    address = parse(url)
    assert address.location == location
    assert "secret" not in repr(address)


def test_what_the_environment_adds_is_part_of_the_location(monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL that leaves the place to the driver's variables is of the place that they name."""
    monkeypatch.setenv("PGHOST", "elsewhere")
    monkeypatch.setenv("PGDATABASE", "data")
    assert parse("postgresql://").location == "postgresql://elsewhere/data?schema=tracecore"


def test_our_parameters_are_kept_from_the_driver() -> None:
    """The driver gets its own parameters and the credentials, and nothing that it would send to the server."""
    address = parse(
        "postgresql://ann:p%40ss@h/d?schema=s&retention_days=0.5&statement_cache_size=0&secret_file=/run/s"
        "&synchronous_commit=off&sslmode=require&application_name=a%26b"
    )
    assert address.dsn == "postgresql://ann:p%40ss@h/d?sslmode=require&application_name=a%26b"
    assert (address.schema, address.retention_days, address.statement_cache_size) == ("s", 0.5, 0)
    assert (address.secret_file, address.synchronous_commit, address.application_name) == ("/run/s", "off", "a&b")


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("mysql://h/d", "postgresql://"),
        ("postgresql://h/d#part", "postgresql://"),
        ("postgresql://h:x/d", "postgresql://"),
        ("postgresql://h/d%00", "postgresql://"),
        ("postgres:/d", "postgresql://user@host"),
        ("postgresql:d", "postgresql:///database"),
        ("postgresql://h/d?schema=a&schema=b", "each parameter once, not schema twice"),
        ("postgresql://h/d?user=a&user=b", "not user twice"),
        ("postgresql://h/d?scheme=x", "not scheme"),
        ("postgresql://h/d?search_path=x", "not search_path"),
        ("postgresql://h/d?schema=", "schema"),
        ("postgresql://h/d?schema=pg_x", "schema"),
        (f"postgresql://h/d?schema={'é' * 32}", "schema"),
        ("postgresql://h/d?retention_days=0", "retention_days"),
        ("postgresql://h/d?retention_days=nan", "retention_days"),
        ("postgresql://h/d?retention_days=many", "retention_days"),
        ("postgresql://h/d?statement_cache_size=-1", "statement_cache_size"),
        ("postgresql://h/d?secret_file=", "secret_file"),
        ("postgresql://h/d?synchronous_commit=maybe", "synchronous_commit"),
    ],
)
def test_what_is_not_known_is_refused_by_name(url: str, named: str) -> None:
    """A misspelt parameter or value is an error that names it, before anything is connected to."""
    with pytest.raises(ConfigError, match=named):
        open_backend(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:hush@h/d?x=1",
        "postgresql://h/d?password=hush&x=1",
        "postgres:/ann:hush@h/d",
        "postgresql://ann:hush?x@h/d",
        "postgresql://ann:12?hush@h/d",
        "postgresql://ann:hush/x@h/d",
        "postgresql://ann:12/hush@h/d",
        "postgresql://ann:#hush@h/d",
        "postgresql://ann:a@hush@h/d",
    ],
)
def test_an_error_does_not_tell_the_password(url: str) -> None:
    """The URL in the error has *** in its place."""
    with pytest.raises(ConfigError) as caught:
        parse(url)
    assert "hush" not in str(caught.value)
    assert "***" in str(caught.value)


def test_the_password_comes_out_of_the_secret_file(tmp_path: Path) -> None:
    """White space around it is not part of it; it is read anew each time, and its absence says which file."""
    file = tmp_path / "secret"
    address = parse(f"postgresql://h/d?secret_file={file}")
    assert parse("postgresql://h/d").password() is None
    with pytest.raises(BackendUnavailable, match=str(file)):
        address.password()
    for password in ("one", "two"):
        file.write_text(f" {password}\n")
        assert address.password() == password


def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without asyncpg the factory says what to install."""
    monkeypatch.setattr("tracecore_postgres.backend.find_spec", lambda name: None)
    with pytest.raises(MissingDriver, match=r"tracecore\[postgres\]"):
        open_backend("postgresql://h/d")
    assert importlib.util.find_spec("asyncpg") is not None
