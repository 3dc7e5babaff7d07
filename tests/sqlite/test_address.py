"""The URL of a file: which file it is, and what is refused before a byte is written to another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracecore.errors import ConfigError
from tracecore_sqlite.address import parse


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///traces.db", "traces.db"),
        ("sqlite:///folder/traces.db?synchronous=full", "folder/traces.db"),
        ("SQLITE:///a%20b+c.db", "a b+c.db"),
        ("sqlite:////abs/traces.db", "/abs/traces.db"),
        ("sqlite://///abs/traces.db", "/abs/traces.db"),
    ],
)
def test_the_file_is_the_one_that_is_named(url: str, path: str) -> None:
    """Three slashes begin a path in the working directory, four an absolute one; one too many does not matter."""
    assert parse(url).path == str(Path.cwd() / path)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:",
        "sqlite:///",
        "sqlite:traces.db",
        "sqlite:/abs/traces.db",
        "sqlite://traces.db",
        "sqlite:///a.db#b",
        "sqlite:///a%00.db",
    ],
)
def test_a_url_that_says_something_else_is_refused(url: str) -> None:
    """One that lacks a slash would name another file than the one that was meant."""
    with pytest.raises(ConfigError, match="sqlite:///relative"):
        parse(url)


@pytest.mark.parametrize("parameters", ["synchronous=full&synchronous=normal", "synchronous=maybe", "sync=full"])
def test_a_parameter_is_known_and_given_once(parameters: str) -> None:
    """Of two that contradict each other none is chosen."""
    with pytest.raises(ConfigError, match="synchronous"):
        parse(f"sqlite:///a.db?{parameters}")
