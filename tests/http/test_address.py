"""The URL of a remote place says what is spoken there. What it cannot say is refused; what is secret is not shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tracecore import plugins
from tracecore.errors import BackendUnavailable, ConfigError, MissingDriver
from tracecore_http import backend, open_backend
from tracecore_http.address import Address, parse
from tracecore_http.credentials import Credentials, Key
from tracecore_http.langfuse import LangfuseBackend
from tracecore_http.native import NativeBackend
from tracecore_http.otlp import OtlpBackend


@pytest.mark.parametrize(
    ("url", "base", "location", "protocol"),
    [
        ("https://traces.example", "https://traces.example", "https://traces.example", "native"),
        ("HTTP://Traces.Example:80/", "http://traces.example", "http://traces.example", "native"),
        ("https://u:p@h:8443/a/b/?timeout=3", "https://h:8443/a/b", "https://h:8443/a/b#0bfe935e", "native"),
        ("http://[::1]:4000", "http://[::1]:4000", "http://[::1]:4000", "native"),
        ("http+otlp://c:4318", "http://c:4318/v1/traces", "http+otlp://c:4318/v1/traces", "otlp"),
        ("https+otlp://c/else", "https://c/else", "https+otlp://c/else", "otlp"),
        ("https+langfuse://pk:sk@l:443", "https://l", "https+langfuse://l#eb3102a6", "langfuse"),
        ("https+langfuse://l?secret_file=keys", "https://l", "https+langfuse://l", "langfuse"),
    ],
)
def test_what_urls_mean(url: str, base: str, location: str, protocol: str) -> None:
    """Scheme, host, port and path say where; the location is the same however that is written."""
    address = parse(url)
    assert (address.base, address.location, address.protocol) == (base, location, protocol)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://h", NativeBackend),
        ("http+otlp://h", OtlpBackend),
        ("https+otlp://h", OtlpBackend),
        ("https+langfuse://pk:sk@h", LangfuseBackend),
    ],
)
def test_schemes_with_a_plus_are_found_by_what_stands_before_it(url: str, kind: type[object]) -> None:
    """One plug-in serves a scheme and everything that is spoken over it."""
    assert type(plugins.open_backend(url)) is kind


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https:///path", "https://host"),
        ("https+nothing://h", "https://host"),
        ("ftp://h", "https://host"),
        ("https://h:port", "https://host"),
        ("https://h:99999", "https://host"),
        ("https://h/#f", "https://host"),
        ("https://h/a b", "https://host"),
        ("https://h/\x00", "https://host"),
        ("https://h?colour=red", "not colour"),
        ("https://h?encoding=json", "not encoding"),
        ("https://h?timeout=soon", "not soon"),
        ("https://h?timeout=-1", "not -1"),
        ("https://h?timeout=nan", "not nan"),
        ("https://h?timeout=1e9", "not 1e9"),
        ("https://h?compression=rot13", "not rot13"),
        ("https+otlp://h?encoding=xml", "not xml"),
        ("https+langfuse://pk:sk@h?compression=zstd", "gzip or none"),
        ("https+langfuse://h", "both keys"),
        ("https+langfuse://pk@h", "both keys"),
        ("https://h?header.content-length=3", "not header.content-length"),
        ("https://h?header.a%0d%0ab=3", "not header."),
        ("https://h?header.x-a=%0d%0ab", "not header.x-a"),
        ("https://u:p@h?secret_file=x", "not both"),
        ("https://h?secret_file=", "secret_file=PATH"),
        ("https://h?timeout=1&timeout=2", "not timeout several times"),
        ("https://:t%0A@h", "printable ASCII"),
        ("https://:t%C3%A4@h", "printable ASCII"),
        ("https://:%20t@h", "printable ASCII"),
        ("https://h?header.x-a=%20b", "not header.x-a"),
    ],
)
def test_what_cannot_be_used_is_named(url: str, says: str) -> None:
    """A parameter that is not known, or a value that makes no sense, is refused by name."""
    with pytest.raises(ConfigError) as raised:
        plugins.open_backend(url.replace("ftp:", "https+ftp:"))
    assert says in str(raised.value)


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    """Neither the location nor the representation of anything, nor an error, holds user, password or header."""
    shown: list[str] = []
    with pytest.raises(ConfigError) as raised:
        open_backend("https://:hunter2%0a@h?header.x-a=hunter2")
    shown.append(str(raised.value))
    for url in ("https://alice:hunter2@h?header.authorization=hunter2", "https+langfuse://alice:hunter2@h"):
        made = open_backend(url)
        shown += [made.location, repr(made), repr(vars(made)["_address"]), repr(parse(url))]
        for opener in (open_backend, plugins.open_backend):
            with pytest.raises(ConfigError) as raised:
                opener(f"{url}{'&' if '?' in url else '?'}colour=red")
            shown.append(str(raised.value))
    assert not [text for text in shown if "hunter2" in text or "alice" in text]


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://alice:a%3Ab%40@h", [("authorization", "Basic YWxpY2U6YTpiQA==")]),
        ("https://alice@h", [("authorization", "Basic YWxpY2U6")]),
        ("https://:token@h", [("authorization", "Bearer token")]),
        ("https://h", []),
        ("https://h?header.X-Foo=bar&header.x-b=1%2C2", [("x-foo", "bar"), ("x-b", "1,2")]),
        ("https://:token@h?header.authorization=Other", [("authorization", "Other")]),
    ],
)
def test_how_credentials_are_sent(url: str, sent: list[tuple[str, str]]) -> None:
    """A user and a password are Basic, a password alone is a token, and other headers are as they are."""
    assert Key(parse(url).credentials).headers() == sent


@pytest.mark.parametrize(
    ("user", "held", "sent"),
    [
        ("", "token\n", "Bearer token"),
        ("", "pk:sk\n", "Basic cGs6c2s="),
        ("pk", " s:k ", "Basic cGs6czpr"),
    ],
)
def test_a_secret_may_be_in_a_file(tmp_path: Path, user: str, held: str, sent: str) -> None:
    """The file holds the password, or user and password; it is read when needed, and again when that was refused."""
    file = tmp_path / "secret"
    key = Key(Credentials(user, secret_file=str(file)))
    with pytest.raises(BackendUnavailable, match="cannot be read"):
        key.headers()
    file.write_text(held)
    assert key.headers() == [("authorization", sent)]
    file.write_text("other")
    assert key.headers() == [("authorization", sent)]
    key.forget()
    assert key.headers() != [("authorization", sent)]


@pytest.mark.parametrize("held", [b"", b"\n", b"a\nb", b"x" * 5000, b"\xff", "schl\u00fcssel".encode()])
def test_a_file_without_a_secret_is_an_error_that_may_pass(tmp_path: Path, held: bytes) -> None:
    """Whoever mends the file need start nothing again."""
    file = tmp_path / "secret"
    file.write_bytes(held)
    with pytest.raises(BackendUnavailable, match="secret file"):
        Key(Credentials(secret_file=str(file))).headers()


def test_a_secret_file_is_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path means the directory in which the URL was read."""
    monkeypatch.chdir(tmp_path)
    assert parse("https://h?secret_file=key").credentials.secret_file == os.path.join(tmp_path, "key")  # noqa: PTH118 - what the code does


def test_what_a_server_sends_back_is_hidden() -> None:
    """A secret that the other side repeats is not repeated by us."""
    key = Key(parse("https://alice:hunter2@h?header.x-key=swordfish").credentials)
    (_, header), _ = key.headers()[::-1]
    assert key.hide(f"no hunter2, no swordfish, no {header.partition(' ')[2]}") == "no ***, no ***, no ***"


@pytest.mark.parametrize(
    ("url", "missing"),
    [
        ("https://h", "httpx2"),
        ("https://h", "backports.zstd"),
        ("https+otlp://h", "httpx2"),
        ("https+otlp://h?compression=zstd", "backports.zstd"),
        ("https+langfuse://pk:sk@h", "httpx2"),
    ],
)
def test_a_missing_driver_names_its_extra(monkeypatch: pytest.MonkeyPatch, url: str, missing: str) -> None:
    """What a protocol needs is looked for when the backend is made, and what is not needed is not."""
    monkeypatch.setattr(backend, "_is_there", lambda name: name != missing)
    with pytest.raises(MissingDriver) as raised:
        plugins.open_backend(url)
    assert raised.value.extra == "http"
    monkeypatch.setattr(backend, "_is_there", lambda name: name == "httpx2")
    open_backend("https+otlp://h")
    open_backend("https+langfuse://pk:sk@h")
    open_backend("https://h?compression=gzip")


@pytest.mark.parametrize("scheme", ["https", "https+langfuse"])
def test_projects_of_a_server_are_different_places(scheme: str) -> None:
    """What was left for the project of one public key is not for that of another; a new secret key changes nothing."""
    one, other, same = (open_backend(f"{scheme}://{keys}@h").location for keys in ("a:1", "b:1", "a:2"))
    assert one == same != other


def test_an_address_is_a_value() -> None:
    """Two URLs that mean the same are the same."""
    assert parse("https://h/") == parse("https://H:443") == Address("native", "https://h", "https")
