"""Configuration: one frozen Struct, made from defaults, files, the environment and code.

Later wins: the defaults below < ``[tool.tracecore]`` in ``pyproject.toml`` < ``tracecore.toml`` < environment
variables < code. An environment variable is ``TRACECORE_`` and the key in upper case (``TRACECORE_SAMPLE_RATE``); an
empty one counts as unset. A file may not hold ``secret``: files are shared.

The files are looked for in the working directory and in its parents, up to and including the first that holds
``.git``; of each name the nearest counts. The search ends before a parent that everybody may write to (``/tmp``),
because a stranger's file there could name the backend. ``TRACECORE_CONFIG=path`` names the one file to read instead; a
``pyproject.toml`` is read for its ``[tool.tracecore]``.

Invariants: nothing is read at import; a :class:`Config` that exists is valid, however it was made; every value from
every source is checked, also one that a later source replaces; each error names key, value, source and what was
expected; neither an error nor ``repr`` shows credentials.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, cast, get_args, get_type_hints

import msgspec
from msgspec import Meta, Struct

from tracecore.errors import ConfigError

__all__ = ["Config", "urls_in", "without_credentials"]

_SCHEME: Final = "[A-Za-z][A-Za-z0-9+.-]*"
_JOINT: Final = re.compile(rf"\+(?=(?P<scheme>{_SCHEME}):(?P<slashes>//)?)")
_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})

_Text = Annotated[str, Meta(min_length=1, max_length=200, description="text of 1 to 200 characters")]
_Path = Annotated[str, Meta(pattern=r"\A[^\0]+\Z", max_length=4096, description="the path of a file")]
_Switch = Annotated[bool, Meta(description="true or false")]
_Count = Annotated[int, Meta(ge=1, le=2**24, description="a whole number from 1 to 16777216")]
_Bytes = Annotated[int, Meta(ge=1024, le=2**34, description="a whole number of bytes from 1024 to 17179869184")]
_Milliseconds = Annotated[int, Meta(ge=0, le=3_600_000, description="a whole number of milliseconds, 0 to 3600000")]
_Interval = Annotated[int, Meta(ge=1, le=60_000, description="a whole number of milliseconds, 1 to 60000")]
_Microseconds = Annotated[int, Meta(ge=1, le=1_000_000, description="a whole number of microseconds, 1 to 1000000")]


class Config(Struct, frozen=True, kw_only=True, dict=True):
    """Hold every setting of a recorder; each has a default, so that ``Config()`` works as it is.

    Raises:
        ConfigError: a value has the wrong type or is out of range.
    """

    backend: Annotated[
        str,
        Meta(
            pattern=rf"(?s)\A{_SCHEME}:(?!.*(?:[\s,;]\+?\s*{_SCHEME}://|\+\s+{_SCHEME}:|\+\s*\Z))",
            description="a URL such as 'sqlite:///traces.db' or 'memory:', or several with only a + between them",
        ),
    ] = "sqlite:///tracecore.db"
    """URL of where records are kept; its scheme chooses the backend, a relative path begins at the working directory.
    Several, joined by ``+``, are all sent to, each as if it were alone. Default: sqlite:///tracecore.db."""

    secret: Annotated[str, Meta(min_length=1, max_length=4096, description="text of 1 to 4096 characters")] | None = (
        None
    )
    """The password or key that the backend asks for, where its URL holds none; not to be set in a file, and shown
    nowhere. Default: none."""

    secret_file: _Path | None = None
    """The path of a file that holds nothing but that secret, such as one that Docker or Kubernetes provides; a relative
    path begins at the working directory. Default: none."""

    project: _Text = "default"
    """The project every record belongs to: 1 to 200 characters. Default: default."""

    enabled: _Switch = True
    """Whether anything is recorded at all. Default: true."""

    sample_rate: Annotated[float, Meta(ge=0, le=1, description="a number from 0 to 1")] = 1.0
    """The share of traces that is kept, 0 to 1, decided by the trace id. Default: 1.0."""

    environment: (
        Annotated[
            str,
            Meta(
                pattern=r"\A(?!langfuse)[a-z0-9_-]{1,40}\Z",
                description="1 to 40 characters of a-z, 0-9, - and _, not beginning with 'langfuse'",
            ),
        ]
        | None
    ) = None
    """Deployment environment of every trace that names none: 1 to 40 characters of a-z, 0-9, - and _. Default: none."""

    release: _Text | None = None
    """The deployment's release, such as a commit or a tag: 1 to 200 characters. Default: none."""

    version: _Text | None = None
    """The application's version: 1 to 200 characters. Default: none."""

    service_name: _Text | None = None
    """The name of this service: 1 to 200 characters. Default: none."""

    capture_input: _Switch = True
    """Whether ``@observe`` records arguments by default. Default: true."""

    capture_output: _Switch = True
    """Whether ``@observe`` records return values by default. Default: true."""

    mask: Callable[[str], str] | None = None
    """Called with every string that would leave the process, returns what is kept in its place. In a file or the
    environment an import path ``package.module:function``, imported when the configuration is made. Default: none."""

    buffer_items: _Count = 65_536
    """Records that may wait, per thread that emits. Default: 65536."""

    buffer_bytes: _Bytes = 64 * 2**20
    """Bytes that may wait, per thread that emits. Default: 64 MiB."""

    on_full: Annotated[Literal["drop", "wait"], Meta(description="'drop' or 'wait'")] = "drop"
    """What emitting does when the buffer is full: drop and count the new record, or wait up to ``full_wait_ms`` for
    room first. Default: drop."""

    full_wait_ms: _Milliseconds = 50
    """The longest wait for room in milliseconds, with ``on_full = "wait"``. Default: 50."""

    buffer: Annotated[Literal["memory", "journal"], Meta(description="'memory' or 'journal'")] = "memory"
    """Where records wait: in memory, or in files that survive the death of the process. Default: memory."""

    journal_dir: Annotated[str, Meta(pattern=r"\A[^\0]+\Z", max_length=4096, description="the path of a directory")] = (
        "tracecore-journal"
    )
    """The directory of the journal, for every process of a service the same one, on a local disk; a relative path
    begins at the working directory. Default: tracecore-journal."""

    journal_bytes: Annotated[
        int, Meta(ge=2**22, le=2**40, description="a whole number of bytes from 4194304 (4 MiB) to 1099511627776")
    ] = 512 * 2**20
    """The most that one process's journal takes on the disk; beyond it records wait in memory. Default: 512 MiB."""

    sync: Annotated[Literal["none", "interval", "always"], Meta(description="'none', 'interval' or 'always'")] = "none"
    """When the journal is brought to the disk itself, to survive a loss of power too: left to the system, every
    ``sync_interval_ms``, or before an emit returns, which then takes as long as the disk does. Default: none."""

    sync_interval_ms: _Interval = 1_000
    """How much of the journal a loss of power costs at most, with ``sync = "interval"``, in ms. Default: 1000."""

    flush_interval_ms: _Interval = 200
    """The longest time a record waits for its batch to fill, in milliseconds. Default: 200."""

    batch_items: _Count = 4096
    """Records written at once, at most. Default: 4096."""

    batch_bytes: _Bytes = 8 * 2**20
    """Bytes written at once, at most, unless one record is larger. Default: 8 MiB."""

    write_timeout_ms: _Milliseconds = 30_000
    """A write that takes longer than this many milliseconds counts as failed and is tried again; 0 means never.
    Default: 30000."""

    pending_after_ms: _Milliseconds = 2_000
    """A span open longer than this many milliseconds is written once as running; 0 means never. Default: 2000."""

    shutdown_timeout_ms: _Milliseconds = 5_000
    """The longest time the end of the program waits for delivery, in milliseconds. Default: 5000."""

    max_payload_bytes: _Bytes = 262_144
    """Bytes of JSON kept of one input, output or metadata. Default: 262144."""

    max_string_chars: _Count = 65_536
    """Characters kept of one string inside a payload. Default: 65536."""

    max_nodes: _Count = 5_000
    """Values kept of one payload, counting every element and member. Default: 5000."""

    max_depth: Annotated[int, Meta(ge=1, le=512, description="a whole number from 1 to 512")] = 32
    """Levels of nesting kept of one payload. Default: 32."""

    capture_time_us: _Microseconds = 1_000
    """The longest time spent on encoding one payload, in microseconds. Default: 1000."""

    prompts: (
        Annotated[
            str,
            Meta(
                pattern=rf"\A{_SCHEME}:\S+\Z",
                max_length=4096,
                description="one URL such as 'https://host' or 'sqlite:///traces.db'",
            ),
        ]
        | None
    ) = None
    """URL of where ``get_prompt`` finds prompts: a backend that keeps some, a tracecore server or a Langfuse server;
    where it is not set, the first of the backends that does. Default: none."""

    prompt_ttl_s: Annotated[float, Meta(ge=0, le=31_536_000, description="a number of seconds, 0 to 31536000")] = 60.0
    """How long a prompt is served before it is asked for again, in seconds; 0 means never. Default: 60.0."""

    prompt_wait_ms: _Milliseconds = 1_000
    """The longest wait for a prompt of which nothing is known, in milliseconds. Default: 1000."""

    prompt_cache_items: _Count = 1_000
    """Prompts, by name and version or label, that are kept in memory, and of those on the disk. Default: 1000."""

    prompt_cache_dir: _Path | None = None
    """The directory of copies of prompts, from which a program that starts while the server is away is served; a
    relative path begins at the working directory. Default: none."""

    def __post_init__(self) -> None:
        """Check every value and bring it to its exact type (``1`` to ``1.0``)."""
        for key in self.__struct_fields__:
            value = _checked(key, getattr(self, key), source="code")
            msgspec.structs.force_setattr(self, key, value)

    def __repr__(self) -> str:
        """Show every value, without credentials."""
        return f"Config({', '.join(f'{key}={value!r}' for key, value in self.shown().items())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return what ``repr`` shows, for whoever draws it in colours."""
        return list(self.shown().items())

    def shown(self) -> dict[str, object]:
        """Return every value by its key, without credentials: for people."""
        return {key: _without_secrets(key, getattr(self, key)) for key in self.__struct_fields__}

    @property
    def sources(self) -> Mapping[str, str]:
        """Return where each value came from, by key: for people, and for errors about a value found wrong later."""
        known: Mapping[str, str] | None = self.__dict__.get("sources_of_load")
        return known or MappingProxyType(dict.fromkeys(self.__struct_fields__, "code"))

    @property
    def overridden(self) -> Mapping[str, tuple[str, ...]]:
        """Return the sources whose value did not win, the strongest first, by the keys that have such."""
        known: Mapping[str, tuple[str, ...]] | None = self.__dict__.get("overridden_of_load")
        return known or MappingProxyType({})

    @classmethod
    def load(
        cls,
        *,
        overrides: Mapping[str, object] = MappingProxyType({}),
        environ: Mapping[str, str] | None = None,
        directory: Path | None = None,
        without: Collection[str] = (),
        overrides_source: str = "code",
    ) -> Config:
        """Make the configuration from every source; ``environ`` and ``directory`` default to those of the process.

        Keys in ``without`` keep their default unread: a program that only reads traces need not import the mask.

        Raises:
            ConfigError: a key is unknown, a value is wrong, or a file cannot be read.
        """
        from tracecore import config_sources  # noqa: PLC0415 - with tomllib and difflib, only for who loads

        known = cls.__struct_fields__
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        sources = dict.fromkeys(known, "default")
        lost: dict[str, tuple[str, ...]] = {}
        for settings, source in (
            *config_sources.file_settings(environ, directory),
            *config_sources.environment_settings(environ, known),
            (overrides, overrides_source),
        ):
            for key, value in settings.items():
                if key not in known:
                    near = config_sources.nearest(key, known)
                    meant = f"perhaps '{near}'" if near else f"one of {', '.join(known)}"
                    raise _error(key, value, source, f"a known key, {meant}")
                if key not in without:
                    if key in values:
                        lost[key] = (sources[key], *lost.get(key, ()))
                    values[key] = _checked(key, value, source=source)
                    sources[key] = source
        config = cls(**values)
        vars(config)["sources_of_load"] = MappingProxyType(sources)
        vars(config)["overridden_of_load"] = MappingProxyType(lost)
        return config


@cache
def _hints() -> Mapping[str, Any]:
    """Return the type of each key, with its bounds."""
    return get_type_hints(Config, include_extras=True)


def _expected(hint: Any) -> str:
    """Return the sentence that describes ``hint``: the one place where it is written is the type."""
    meta = next((part for part in get_args(hint) if isinstance(part, Meta)), None)
    if meta is None:  # optional: the description is on the type inside
        return _expected(get_args(hint)[0])
    return str(meta.description)


def _checked(key: str, value: object, *, source: str) -> Any:
    """Return ``value`` as the type of ``key``, or say why it cannot be; text is converted only from the environment."""
    if key == "mask":
        return _mask(value, source)
    hint = _hints()[key]
    from_environment = source.startswith("environment ")
    if from_environment and hint == _Switch:
        value = _switch(str(value))
    try:
        return msgspec.convert(value, hint, strict=not from_environment)
    except msgspec.ValidationError:
        raise _error(key, value, source, _expected(hint)) from None


def _error(key: str, value: object, source: str, expected: str) -> ConfigError:
    """Return the error about a value, without the credentials in it; ``key`` may be misspelt."""
    return ConfigError(key, _without_secrets(key, value), source, expected)


def _without_secrets(key: str, value: object) -> object:
    """Return a value as it may be shown."""
    if value is not None and re.search("secret|passw|credential", key, re.IGNORECASE) and key != "secret_file":
        return "***"
    if isinstance(value, dict | list):  # anything may be inside
        inside = cast("Collection[object]", value)
        return f"a {'table' if isinstance(value, dict) else 'list'} of {len(inside)}"
    return without_credentials(value) if isinstance(value, str) else value


def _switch(text: str) -> object:
    """Return the truth value that an environment variable spells, or the text as it is."""
    word = text.strip().lower()
    return True if word in _TRUE else False if word in _FALSE else text


def _mask(value: object, source: str) -> object:
    """Return the masking function that ``value`` is or names."""
    if value is None or callable(value):
        return value
    if not isinstance(value, str):
        raise ConfigError("mask", value, source, "a function, or an import path 'package.module:function'")
    from tracecore.config_sources import imported_function  # noqa: PLC0415 - as in load()

    return imported_function(value, key="mask", source=source)


def urls_in(text: str, opaque: Collection[str] = ()) -> list[str]:
    """Return the URLs that are joined by ``+``: ``sqlite:///a.db+https://host`` has two of them.

    A ``+`` joins where a whole URL is before it and ``scheme://`` behind it, or the ``scheme:`` of one of the schemes
    that may be followed by anything. Any other belongs to its URL (``https+otlp://host``, ``sqlite:///a+b.db``), and so
    does one that is written ``%2B``.
    """
    found, start = list[str](), 0
    for plus in _JOINT.finditer(text):
        joins = plus["slashes"] or plus["scheme"].lower() in opaque
        if joins and ":" in text[start : plus.start()]:
            found.append(text[start : plus.start()])
            start = plus.start() + 1
    return [*found, text[start:]]


def without_credentials(url: str) -> str:
    """Return ``url``, or several joined ones, with users, passwords and secret query parameters replaced by ``***``."""
    urls = urls_in(url)
    return "+".join([*map(_without_half_an_authority, urls[:-1]), ""]) + _without_credentials(urls[-1])


def _without_half_an_authority(url: str) -> str:
    """Return a URL that others follow; what is no port, but may be half a password that was not encoded, is hidden."""
    return re.sub(r"//[^/?#@]*:(?![0-9]+(?:[/?#]|\Z)).*", "//***", _without_credentials(url))


def _without_credentials(url: str) -> str:
    url = re.sub(r"(?s)(//|^(?!.*//)).*@", r"\1***@", url)  # a password that was not encoded may hold anything
    return re.sub(r"(?i)([?&;][^=&;]*(?:password|passwd|secret|token|key|header\.)[^=&;]*=)[^&;#]*", r"\1***", url)
