"""Several URLs in one setting: where they are split, what is read of them, and that none shows its credentials."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracecore.config import Config, urls_in, without_credentials
from tracecore.errors import ConfigError
from tracecore.memory import MemoryBackend
from tracecore.plugins import configured_urls, open_backend, open_to_read

KNOWN = {"sqlite", "memory", "https", "stdout"}


@pytest.mark.parametrize(
    "urls",
    [
        ("sqlite:///a.db",),
        ("sqlite:///a.db", "https://host"),
        ("sqlite:///a.db", "https+otlp://host:4318/v1", "memory:"),
        ("memory:", "memory:b", "sqlite:///c.db?synchronous=full"),
        ("SQLITE:///a.db", "STDOUT:", "HTTPS://host"),
        ("https://key:hidden@host", "postgresql://user:password@host:5432/db"),
        ("own-plugin.x://somewhere", "unheard-of://elsewhere"),
        ("https+otlp://host",),
        ("sqlite:///a+b.db",),
        ("sqlite:///a+b:c.db",),
        ("sqlite:///a%2Bhttps://b.db",),
        ("postgresql://user:pass+word:more@host/db", "memory:"),
        ("https://host?token=a+b:c", "sqlite:///x.db"),
        ("traces.db+https://host",),
    ],
)
def test_a_plus_between_two_urls_splits_them(urls: tuple[str, ...]) -> None:
    """It does where a whole URL is before it and a scheme behind it; any other belongs to its URL."""
    assert urls_in("+".join(urls), KNOWN) == list(urls)


@pytest.mark.parametrize("between", [" + ", "+ ", " +", ",", ", ", ";", " ", "\n+", "+\n"])
def test_what_was_meant_to_be_two_urls_is_refused(between: str) -> None:
    """Else all would go into a file of an odd name, and nothing to the second backend."""
    for second in ("https://key:hidden@host", "sqlite:///b.db", "https+otlp://host"):
        with pytest.raises(ConfigError, match="only a \\+ between them") as caught:
            Config(backend=f"sqlite:///a.db{between}{second}")
        assert "hidden" not in str(caught.value)
    with pytest.raises(ConfigError, match="only a \\+ between them"):
        Config(backend="sqlite:///a.db+")


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///My Files/a, b + c.db",
        "jsonl:a+b: c",
        "https://host?header.X-From=https://a",
        "sqlite:///a.db+memory:b",
    ],
)
def test_blanks_and_commas_belong_to_their_url(url: str) -> None:
    """They are refused nowhere else."""
    assert Config(backend=url).backend == url


@given(st.text("a+:/@.%", max_size=30))
def test_nothing_is_added_or_left_out(text: str) -> None:
    """However odd the text, its parts joined again are what it was, and each but the last is something with a colon."""
    found = urls_in(text, {"a", "aa"})
    assert "+".join(found) == text
    assert all(":" in url for url in found[:-1])


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///a.db+https://key:hidden@host", "sqlite:///a.db+https://***@host"),
        ("https://k:hidden@host+postgresql://u:hidden@host:5432/db", "https://***@host+postgresql://***@host:5432/db"),
        ("http://host:80+http://host:81/x", "http://host:80+http://host:81/x"),
        ("https://host?token=hidden+sqlite:///a.db", "https://host?token=***+sqlite:///a.db"),
        ("postgresql://user:hid+x://den@host", "postgresql://***+x://***@host"),
        ("postgresql://user:hid+den@host+memory:", "postgresql://***@host+memory:"),
    ],
)
def test_no_part_shows_its_credentials(url: str, shown: str) -> None:
    """Neither a part nor a password that was not encoded, and looks like two, is to be seen anywhere."""
    assert without_credentials(url) == shown
    assert "hid" not in repr(Config(backend=url))
    assert str(Config(backend=url).shown()["backend"]) == shown


def test_who_reads_is_given_the_first_that_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that only takes records is passed over; where all are such, the first is as good as any."""
    url = "memory://takes-only+memory://reads+memory://reads-too"
    assert open_backend(url, access="read").location == "memory:takes-only"

    class TakesOnly(MemoryBackend):
        """A backend without a store."""

        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **settings)
            if self.location.endswith("only"):
                for store in ("traces", "observations", "sessions", "ledger"):
                    setattr(self, store, None)

    monkeypatch.setattr("tracecore.memory.MemoryBackend", TakesOnly)
    assert open_backend(url, access="read").location == "memory:reads"
    assert open_to_read(Config(backend=url)).location == "memory:reads"
    assert open_backend("memory://takes-only+memory://only", access="read").location == "memory:takes-only"


def test_who_writes_to_several_is_a_recorder() -> None:
    """Whoever writes himself names one URL; the error says so, where they came from, and no credentials."""
    with pytest.raises(ConfigError, match="expected one URL here") as caught:
        open_backend("memory:+https://key:hidden@host", source="option --to")
    assert "option --to" in str(caught.value)
    assert "hid" not in str(caught.value)


def test_each_url_is_made_a_backend_of() -> None:
    """What is configured is known URL by URL."""
    assert configured_urls(Config(backend="memory:+sqlite:///a+b.db")) == ["memory:", "sqlite:///a+b.db"]
