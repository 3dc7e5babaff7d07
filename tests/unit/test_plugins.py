"""From a URL to a backend: entry points by scheme, and what is said when there is none that works."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from tracecore import memory, plugins
from tracecore.config import Config
from tracecore.errors import ConfigError, MissingDriver
from tracecore.plugins import GROUP, configured_urls, known_schemes, open_backend

PLUGIN = """
from tracecore.errors import ConfigError, MissingDriver

def works(url, *, access="write"):
    return (url, access)

def lacks_driver(url, *, access="write"):
    raise MissingDriver("postgresql", "postgres", "backend URL")

def imports_driver(url, *, access="write"):
    import no_such_driver_module

def takes_it_for_a_port(url, *, access="write"):
    from urllib.parse import urlsplit
    try:
        urlsplit(url).port
    except ValueError as error:
        raise ConfigError("backend", url, "backend URL", f"own://host:port ({error})")

def refuses(url, *, access="write"):
    raise ConfigError("backend", url, "backend URL", "a file name after the slashes")
"""


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install plug-ins as a distribution would: modules on the path, and entry points beside them."""
    (tmp_path / "own_plugin.py").write_text(PLUGIN)
    (tmp_path / "broken_plugin.py").write_text("import no_such_driver_module\n")
    monkeypatch.syspath_prepend(tmp_path)
    plugins._plugins.cache_clear()
    yield
    plugins._plugins.cache_clear()
    for name in ("own_plugin", "broken_plugin"):
        sys.modules.pop(name, None)


def install(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    """Make these the only entry points there are."""
    entries = [EntryPoint(name=name.replace("__", "+"), value=value, group=GROUP) for name, value in values.items()]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda *, group: [e for e in entries if e.group == group])


def test_a_scheme_names_its_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The factory of the scheme's entry point gets the whole URL and the access, whatever the case of the scheme."""
    install(monkeypatch, own="own_plugin:works", memory="tracecore.memory:open_backend")
    made: object = open_backend("OWN://host/x", access="read")
    assert made == ("OWN://host/x", "read")
    assert isinstance(open_backend("memory:"), memory.MemoryBackend)
    assert known_schemes() == ["memory", "own"]


def test_a_plugin_is_imported_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Listing the schemes and opening one imports no other plug-in."""
    install(monkeypatch, own="own_plugin:works", memory="tracecore.memory:open_backend")
    open_backend("memory:")
    assert "own_plugin" not in sys.modules


def test_an_unknown_scheme_lists_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the URL without credentials, its source, every known scheme and the nearest."""
    install(monkeypatch, sqlite="own_plugin:works", memory="own_plugin:works")
    with pytest.raises(ConfigError) as caught:
        open_backend("sqlte://user:secret@host", source="environment variable TRACECORE_BACKEND")
    assert str(caught.value) == (
        "backend = 'sqlte://***@host' (from environment variable TRACECORE_BACKEND): "
        "expected a URL with one of the schemes memory:, sqlite: (perhaps sqlite:)"
    )


@pytest.mark.parametrize("url", ["traces.db", "", ":", "/tmp/traces.db", "://x"])  # noqa: S108 - a path that nothing opens
def test_what_is_no_url_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """A file name is no URL, and nothing is guessed from it."""
    install(monkeypatch, sqlite="own_plugin:works")
    with pytest.raises(ConfigError, match="expected a URL with one of the schemes sqlite:"):
        open_backend(url)


def test_no_entry_points_at_all_is_said_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copied source tree, which nobody installed, has no backends; the error says what to do."""
    install(monkeypatch)
    with pytest.raises(ConfigError, match=f"no entry point '{GROUP}' at all: pip install tracecore"):
        open_backend("sqlite:///x.db")


@pytest.mark.parametrize(
    ("value", "extra"),
    [
        ("own_plugin:lacks_driver", "postgres"),
        ("own_plugin:imports_driver", "own"),
        ("broken_plugin:works", "own"),
        ("broken_plugin:works [special]", "special"),
    ],
)
def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch, value: str, extra: str) -> None:
    """A plug-in that says so itself, and one that simply fails to import, both end in one remedy."""
    install(monkeypatch, own=value)
    with pytest.raises(MissingDriver) as caught:
        open_backend("own://host", source="code")
    assert caught.value.extra == extra
    assert f"pip install 'tracecore[{extra}]'" in str(caught.value)
    assert caught.value.__cause__ is not None


def test_a_url_that_the_plugin_refuses_keeps_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plug-in does not know where its URL came from; the error does, and hides the password."""
    install(monkeypatch, own="own_plugin:refuses")
    with pytest.raises(ConfigError) as caught:
        open_backend("own://u:secret@h", source="tracecore.toml")
    assert str(caught.value) == (
        "backend = 'own://***@h' (from tracecore.toml): expected a file name after the slashes"
    )


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("own_plugin:no_such_function", "own_plugin:no_such_function cannot be used"),
        ("no_such_plugin_module:works", "no_such_plugin_module:works cannot"),
    ],
)
def test_a_broken_plugin_is_named(monkeypatch: pytest.MonkeyPatch, value: str, words: str) -> None:
    """An entry point that leads nowhere is told apart from a missing driver."""
    install(monkeypatch, own=value)
    with pytest.raises(ConfigError, match=words) as caught:
        open_backend("own://host")
    assert not isinstance(caught.value, MissingDriver)


def test_two_plugins_for_one_scheme_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can say which of two plug-ins was meant; one that is listed twice is still one."""
    entries = [EntryPoint("own", value, GROUP) for value in ("a:b", "c:d", "a:b")]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda *, group: entries if group == GROUP else [])
    with pytest.raises(ConfigError, match="one plug-in for 'own:', found a:b and c:d"):
        open_backend("own://host")


def test_twice_the_same_entry_point_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution found twice on the path offers one plug-in."""
    entries = [EntryPoint("own", "own_plugin:works", GROUP)] * 2
    monkeypatch.setattr("importlib.metadata.entry_points", lambda *, group: entries if group == GROUP else [])
    assert known_schemes() == ["own"]
    assert open_backend("own://host")


def test_the_secret_reaches_the_plugin_and_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """The factory gets the URL with the secret in it; the error about that URL hides it."""
    install(monkeypatch, own="own_plugin:works", shy="own_plugin:refuses")
    [url] = configured_urls(Config(backend="own://me@host/x", secret="hush/+"))
    made: object = open_backend(url)
    assert made == ("own://me:hush%2F%2B@host/x", "write")
    [url] = configured_urls(Config(backend="shy://me@host/x", secret="hush/+"))
    with pytest.raises(ConfigError) as caught:
        open_backend(url)
    assert "hush" not in str(caught.value)
    assert "shy://***@host/x" in str(caught.value)


def test_of_several_backends_the_one_without_a_secret_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is joined by a plus is taken apart first."""
    install(monkeypatch, own="own_plugin:works", memory="tracecore.memory:open_backend")
    config = Config(backend="memory:x+own://me@host/y", secret="hush")
    assert configured_urls(config) == ["memory:x", "own://me:hush@host/y"]


@pytest.mark.parametrize("password", ["pass/word", "pass?word", "pass#word", "pass:word/x"])
def test_a_password_that_was_not_encoded_is_not_quoted(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    """Its beginning looks like a port that is wrong; the error says how to write it, and shows none of it."""
    install(monkeypatch, own="own_plugin:takes_it_for_a_port")
    with pytest.raises(ConfigError) as caught:
        open_backend(f"own://me:{password}@host/x")
    assert "pass" not in str(caught.value).replace("in a password", "")
    assert "word" not in str(caught.value).replace("in a password", "")
    assert "write %2F for /" in str(caught.value)
