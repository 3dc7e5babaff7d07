"""Where lines go: what each URL means, and which are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tracecore.errors import ConfigError
from tracecore_jsonl import open_backend
from tracecore_jsonl.address import Address, parse


def test_a_path_is_relative_or_absolute(in_directory: Callable[[], Path]) -> None:
    """A relative path is one of the directory in which the URL was read; special characters are escaped."""
    folder = in_directory()
    assert parse("jsonl:a.jsonl") == Address(f"{folder}/a.jsonl")
    assert parse("JSONL:logs/./a.jsonl?synchronous=full") == Address(f"{folder}/logs/a.jsonl", synchronous=True)
    assert parse("jsonl:/var/log/a%3Fb%25.jsonl?synchronous=normal") == Address("/var/log/a?b%.jsonl")
    assert not (folder / "a.jsonl").exists()


@pytest.mark.parametrize("url", ["stdout:", "jsonl:-"])
def test_stdout_has_two_names(url: str) -> None:
    """Both mean the same, and are called the same."""
    assert parse(url) == Address(None)
    assert open_backend(url).location == "stdout:"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("jsonl:", "jsonl:relative.jsonl"),
        ("jsonl:logs/", "jsonl:relative.jsonl"),
        ("jsonl:///a.jsonl", "jsonl:/absolute/path.jsonl"),
        ("jsonl:a%00b", "jsonl:relative.jsonl"),
        ("stdout:a", "or stdout:"),
        ("stdout:?synchronous=full", "or stdout:"),
        ("jsonl:a?synchronous=off", "not synchronous=off"),
        ("jsonl:a?sync=full", "not sync=full"),
        ("other:a", "jsonl:relative.jsonl"),
    ],
)
def test_a_wrong_url_says_what_would_be_right(url: str, expected: str) -> None:
    """The error names the URL and the form that it should have."""
    with pytest.raises(ConfigError) as found:
        open_backend(url)
    assert (found.value.value, expected in str(found.value)) == (url, True)


async def test_another_one_writes_to_the_same_file(in_directory: Callable[[], Path], tmp_path: Path) -> None:
    """Wherever the program has gone, another backend of the same data has the same location."""
    in_directory()
    backend = open_backend("jsonl:a.jsonl", access="read")
    in_directory().mkdir(exist_ok=True)
    other = backend.another()
    assert (other.location, other.location == backend.location) == (f"{tmp_path}/a.jsonl", True)
    await other.open()
    assert not (tmp_path / "a.jsonl").exists()
