"""Where prompts are looked for, and who is given the secret."""

from __future__ import annotations

from typing import Any

import pytest

from tracecore import prompt_sources
from tracecore.config import Config
from tracecore.errors import BackendRejected, ConfigError
from tracecore.memory import MemoryBackend, MemoryData
from tracecore.prompt_sources import source_of


@pytest.fixture
def urls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the URLs that backends are made of, in place of making those."""
    found: list[str] = []

    def opened(url: str, **_: Any) -> MemoryBackend:
        found.append(url)
        return MemoryBackend(MemoryData(), location="memory:", access="read")

    monkeypatch.setattr(prompt_sources, "open_backend", opened)
    return found


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"backend": "sqlite:///a.db"}, "sqlite:///a.db"),
        ({"backend": "https://one", "secret": "s"}, "https://:s@one"),
        ({"backend": "sqlite:///a.db", "prompts": "https://one", "secret": "s"}, "https://:s@one"),
        ({"backend": "https://one", "prompts": "https://one", "secret": "s"}, "https://:s@one"),
        ({"backend": "https://one", "prompts": "https://a:b@two", "secret": "s"}, "https://a:b@two"),
        ({"backend": "https://u:p@one", "prompts": "https://two", "secret": "s"}, "https://:s@two"),
        ({"backend": "sqlite:///a.db+https://one", "prompts": "https://one", "secret": "s"}, "https://:s@one"),
    ],
)
def test_the_secret_goes_to_whom_it_is_meant_for(urls: list[str], settings: dict[str, Any], expected: str) -> None:
    """To the backend, or to the store of prompts where only that lacks one."""
    source_of(Config(**settings))
    assert urls == [expected]


def test_who_asks_tells_one_place_from_another() -> None:
    """A server answers each key with its own project, so copies of one are never served to another; no key is said."""
    urls = [
        "http://h", "http://pk-a:secret-1@h", "http://pk-b:secret-1@h", "http://:secret-1@h", "http://:secret-2@h",
        "http://h?secret_file=/run/one", "http://h?secret_file=/run/two", "https+langfuse://:secret-1@h",
    ]  # fmt: skip
    places = [source_of(Config(backend=url)).location for url in urls]
    assert len(set(places)) == len(urls)
    assert places[0] == "http://h"
    assert not any(word in place for place in places for word in ("pk-", "secret", "/run"))
    assert source_of(Config(backend="http://pk-a:secret-2@h")).location == places[1]
    assert source_of(Config(prompts="http://pk-a:secret-1@h")).location == places[1]


def test_a_secret_that_may_be_meant_for_two_is_given_to_none(urls: list[str]) -> None:
    """A password of one server is never sent to another."""
    with pytest.raises(ConfigError) as raised:
        source_of(Config(backend="https://one", prompts="https://two", secret="hidden"))
    assert urls == []
    assert "hidden" not in str(raised.value)


def test_a_backend_that_is_given_as_an_object(urls: list[str]) -> None:
    """Its data is read beside it, by another backend; what cannot be read so is said."""
    given = MemoryBackend(MemoryData(), location="memory:", access="write")
    source = source_of(Config(project="p"), [given])
    assert (source.location, source.project, urls) == ("memory:", "p", [])
    strange: Any = object()
    with pytest.raises(BackendRejected, match="given as an object keeps no prompts"):
        source_of(Config(), [strange])
    source_of(Config(prompts="memory:x"), [strange])
    assert urls == ["memory:x"]


@pytest.mark.parametrize("url", ["", "memory", "https://a b", "/path", "https://one+\n"])
def test_what_is_no_url(url: str) -> None:
    """It is refused when the configuration is made."""
    with pytest.raises(ConfigError, match="prompts"):
        Config(prompts=url)
