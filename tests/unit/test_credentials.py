"""The secret of a backend: whose it is, where it is put, and that nobody sees it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracecore.config import Config
from tracecore.credentials import secret_of, takes_secret, with_secret
from tracecore.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "final"),
    [
        ("postgresql://me@db:5432/traces?schema=x", "postgresql://me:hush@db:5432/traces?schema=x"),
        ("postgresql://me@/traces?host=/run/postgresql", "postgresql://me:hush@/traces?host=/run/postgresql"),
        ("postgresql://db/traces", "postgresql://:hush@db/traces"),
        ("postgresql://me@one:1,two:2/traces", "postgresql://me:hush@one:1,two:2/traces"),
        ("postgresql://me@[::1]:5/traces", "postgresql://me:hush@[::1]:5/traces"),
        ("https://traces.internal", "https://:hush@traces.internal"),
        ("https+langfuse://pk@host/prefix", "https+langfuse://pk:hush@host/prefix"),
        ("https://me:@host", "https://me:hush@host"),
    ],
)
def test_it_becomes_the_password_of_the_urls_user(url: str, final: str) -> None:
    """A URL with a host and without a credential is given the secret, and is otherwise as it was."""
    assert takes_secret(url)
    assert with_secret([url], Config(secret="hush")) == [final]


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///traces.db",
        "sqlite:////abs/traces.db",
        "memory:",
        "memory:name",
        "memory://name",
        "jsonl:traces.jsonl",
        "stdout:",
        "postgresql:///traces",
        "postgresql:///traces?host=db&user=me",
        "postgresql://me:own@db/traces",
        "postgresql://me@db/traces?secret_file=/run/secrets/db",
        "postgresql://me@db/traces?x=1&passfile=/home/me/.pgpass",
        "https://host/?header.authorization=Bearer%20x",
    ],
)
def test_a_url_without_a_place_for_it_stays_as_it_is(url: str) -> None:
    """A URL that names no host, or says where its credential is, is not touched, and a secret then is no mistake."""
    assert not takes_secret(url)
    assert with_secret([url], Config(secret="hush")) == [url]


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_any_secret_comes_back_from_the_url(secret: str) -> None:
    """Whatever characters it has, whoever takes the URL apart gets the very same secret, host and path."""
    [final] = with_secret(["https://me@host:8/p+q?x=1"], Config(secret=secret))
    parts = urlsplit(final)
    assert unquote(parts.password or "") == secret
    assert (parts.username, parts.hostname, parts.port, parts.path, parts.query) == ("me", "host", 8, "/p+q", "x=1")
    assert "+" not in final.partition("@")[0].partition("://")[2]  # which might join two backends


def test_of_several_the_one_that_lacks_it_gets_it() -> None:
    """Beside a file and a backend with a credential of its own it is plain whose the secret is."""
    urls = ["sqlite:///a.db", "https://me:own@one", "postgresql://me@two/traces"]
    assert with_secret(urls, Config(secret="hush")) == [*urls[:2], "postgresql://me:hush@two/traces"]


def test_where_several_lack_one_nobody_gets_it() -> None:
    """The error names the backends and what to write instead, and not the secret."""
    with pytest.raises(ConfigError) as caught:
        with_secret(["https://one", "postgresql://me@two/traces"], Config(secret="hush"))
    assert "not https://one and postgresql://***@two/traces" in str(caught.value)
    assert "?secret_file=PATH" in str(caught.value)
    assert "hush" not in str(caught.value)
    assert caught.value.key == "secret"


def test_a_file_holds_it(tmp_path: Path) -> None:
    """Blanks and line ends around the secret are not part of it; it is read anew each time."""
    file = tmp_path / "secret"
    config = Config(secret_file=str(file))
    for secret in ("first", "sécond one"):
        file.write_text(f"  {secret}\n\n")
        assert secret_of(config) == secret
    assert with_secret(["https://host"], config) == ["https://:s%C3%A9cond%20one@host"]


def test_the_value_wins_over_the_file() -> None:
    """Where both are set the file is not even looked for."""
    assert secret_of(Config(secret="hush", secret_file="no/such/file")) == "hush"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, r"can be read \(No such file"),
        (b"\n \n", "of 1 to 4096 characters, not of 0"),
        (b"x" * 5000, "not of 5,000"),
        (b"\xff\xfe", "no UTF-8"),
    ],
)
def test_a_file_without_a_secret_is_an_error_that_names_it(tmp_path: Path, content: bytes | None, why: str) -> None:
    """What cannot be a secret is refused with the path, the source and the reason, when a backend is to be made."""
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    config = Config.load(environ={"TRACECORE_SECRET_FILE": str(file)}, directory=tmp_path)
    with pytest.raises(ConfigError, match=why) as caught:
        with_secret(["https://host"], config)
    assert str(file) in str(caught.value)
    assert caught.value.source == "environment variable TRACECORE_SECRET_FILE"


def test_a_file_without_an_end_is_no_secret() -> None:
    """A device is read no further than a secret may be long."""
    with pytest.raises(ConfigError, match="not of"):
        with_secret(["https://host"], Config(secret_file="/dev/zero"))


def test_a_byte_order_mark_is_no_part_of_it(tmp_path: Path) -> None:
    """Some editors begin a file with a mark, which no password has."""
    (tmp_path / "secret").write_bytes(b"\xef\xbb\xbfhush\r\n")
    assert secret_of(Config(secret_file=str(tmp_path / "secret"))) == "hush"


def test_a_file_that_nobody_needs_is_not_read() -> None:
    """A backend without a place for a secret works, whatever the file is."""
    assert with_secret(["sqlite:///a.db"], Config(secret_file="no/such/file")) == ["sqlite:///a.db"]
