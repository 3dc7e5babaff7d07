"""The URL of a remote place: which protocol is spoken there, who asks, and how.

::

    https://host[:port][/prefix]               a tracecore server
    https+otlp://host[:port][/v1/traces]       any OTLP/HTTP collector
    https+langfuse://pk:sk@host[/prefix]       a Langfuse server

``http`` stands for ``https`` in each. Parameters: ``secret_file``, ``header.NAME``, ``timeout`` (seconds),
``compression`` (``zstd``, ``gzip`` or ``none``) and, for the last two, ``encoding`` (``protobuf`` or ``json``).
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final, Literal, TypeAlias, cast
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from msgspec import Struct

from tracecore.errors import ConfigError
from tracecore_http.credentials import SPEAKABLE, Credentials, is_token

__all__ = ["Address", "Compression", "Encoding", "Protocol", "parse"]

Protocol: TypeAlias = Literal["native", "otlp", "langfuse"]
Compression: TypeAlias = Literal["zstd", "gzip", "none"]
Encoding: TypeAlias = Literal["protobuf", "json"]

_EXPECTED: Final = "https://host[:port][/prefix], https+otlp://host[:port][/v1/traces] or https+langfuse://pk:sk@host"
_PROTOCOLS: Final[dict[str, Protocol]] = {"": "native", "otlp": "otlp", "langfuse": "langfuse"}
_USUAL: Final[dict[Protocol, Compression]] = {"native": "zstd", "otlp": "gzip", "langfuse": "gzip"}
_LONGEST_SECONDS: Final = 3600.0
_TOKEN: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_OURS: Final = frozenset({
    "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "host", "te", "trailer",
    "transfer-encoding", "upgrade",
})  # fmt: skip
"""Headers that say what a request is, which nobody but the client can know."""


class Address(Struct, frozen=True):
    """Say where to send what."""

    protocol: Protocol
    base: str
    """``http://`` or ``https://``, host, port and path, without a slash at the end and without credentials."""
    scheme: str
    """The scheme of the URL."""
    credentials: Credentials = Credentials()
    timeout: float = 10.0
    """Seconds that one request has, answer included."""
    compression: Compression = "zstd"
    encoding: Encoding = "protobuf"

    @property
    def location(self) -> str:
        """Return the URL without credentials and parameters.

        A server has many projects, and the key says which: a few digits of the hash of its public part tell one from
        another, so that what a killed process left for one is never delivered to another.
        """
        place = f"{self.scheme}://{self.base.partition('://')[2]}"
        user = self.credentials.user
        return f"{place}#{sha256(user.encode()).hexdigest()[:8]}" if self.protocol != "otlp" and user else place


def parse(url: str) -> Address:
    """Return what a URL names; nothing is looked up.

    Raises:
        ConfigError: it names no such place, or has a parameter that is not known.
    """
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname or ""
    except ValueError as error:
        raise _refused(url, f"{_EXPECTED} ({error})") from error
    web, _, suffix = parts.scheme.partition("+")
    protocol = _PROTOCOLS.get(suffix)
    if web not in {"http", "https"} or protocol is None or not host or parts.fragment or not _is_plain(url):
        raise _refused(url, _EXPECTED)
    host = f"[{host}]" if ":" in host else host
    port = None if port == {"http": 80, "https": 443}[web] else port
    path = parts.path.rstrip("/") or ("/v1/traces" if protocol == "otlp" else "")
    settings = _Parameters(url, parts, protocol).read()
    base = f"{web}://{host}{'' if port is None else f':{port}'}{path}"
    return Address(protocol=protocol, base=base, scheme=parts.scheme, **settings)


class _Parameters:
    """Read the parameters of one URL, each by the method of its name."""

    def __init__(self, url: str, parts: SplitResult, protocol: Protocol) -> None:
        self._url = url
        self._parts = parts
        self._protocol: Protocol = protocol
        self._headers: list[tuple[str, str]] = []
        self._secret_file: str | None = None
        self._found: dict[str, Any] = {"compression": _USUAL[protocol]}
        self._known: dict[str, Callable[[str], None]] = {
            "secret_file": self._read_secret_file,
            "timeout": self._read_timeout,
            "compression": self._read_compression,
        }
        if protocol != "native":
            self._known["encoding"] = self._read_encoding

    def read(self) -> dict[str, Any]:
        """Return the fields of an address that the parameters, user and password say."""
        said = parse_qsl(self._parts.query, keep_blank_values=True)
        for key, value in said:
            if [one for one, _ in said].count(key) > 1:
                raise _refused(self._url, f"each parameter once, not {key[:40]} several times")
            if key.lower().startswith("header."):
                self._read_header(key.lower().removeprefix("header."), value)
            elif key in self._known:
                self._known[key](value)
            else:
                names = ", ".join((*self._known, "header.NAME"))
                raise _refused(self._url, f"only the parameters {names}, not {key[:40]}")
        self._found["credentials"] = self._credentials()
        return self._found

    def _credentials(self) -> Credentials:
        user, password = unquote(self._parts.username or ""), self._parts.password
        given = password or None
        if given is None and user and self._secret_file is None:
            given = ""
        if given and self._secret_file is not None:
            raise _refused(self._url, "a password or secret_file, not both")
        if ":" in user:
            raise _refused(self._url, "a user without a colon")
        secret = None if given is None else unquote(given)
        if self._protocol == "langfuse" and not secret and self._secret_file is None:
            raise _refused(self._url, "both keys, https+langfuse://pk:sk@host, or ?secret_file=PATH")
        if not user and secret and not is_token(secret):
            raise _refused(self._url, f"{SPEAKABLE} behind the colon, percent-encoded, or a user before it")
        return Credentials(user, secret, self._secret_file, tuple(self._headers))

    def _read_header(self, name: str, value: str) -> None:
        if name in _OURS or not _TOKEN.fullmatch(name) or not (is_token(value) or not value):
            raise _refused(self._url, f"a header that a request may have besides, not header.{name[:40]}")
        self._headers.append((name, value))

    def _read_secret_file(self, value: str) -> None:
        if not value or "\0" in value:
            raise _refused(self._url, "secret_file=PATH")
        self._secret_file = os.path.abspath(value)  # noqa: PTH100 - Path.resolve would touch the disk

    def _read_timeout(self, value: str) -> None:
        try:
            seconds = float(value)
        except ValueError:
            seconds = math.nan
        if not 0 < seconds <= _LONGEST_SECONDS:
            raise _refused(
                self._url, f"timeout=SECONDS, more than 0 and at most {_LONGEST_SECONDS:g}, not {value[:40]}"
            )
        self._found["timeout"] = seconds

    def _read_compression(self, value: str) -> None:
        allowed = ("gzip", "none") if self._protocol == "langfuse" else ("zstd", "gzip", "none")
        if value not in allowed:
            raise _refused(self._url, f"compression={' or '.join(allowed)}, not {value[:40]}")
        self._found["compression"] = cast("Compression", value)

    def _read_encoding(self, value: str) -> None:
        if value not in {"protobuf", "json"}:
            raise _refused(self._url, f"encoding=protobuf or encoding=json, not {value[:40]}")
        self._found["encoding"] = cast("Encoding", value)


def _is_plain(url: str) -> bool:
    """Return whether a URL has only characters that may stand in one: no space, no control character, no script."""
    return url.isascii() and url.isprintable() and " " not in url


def _refused(url: str, expected: str) -> ConfigError:
    """Return the error for a URL, which it shows without what stands before its host and behind its path."""
    scheme, _, rest = url.partition("://")
    shown = re.split(r"[?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    return ConfigError("backend", f"{scheme}://{shown}", "backend URL", expected)
