"""The URL of a file: ``sqlite:///relative.db``, ``sqlite:////absolute/path.db``, ``?synchronous=full``."""

from __future__ import annotations

import os
from typing import Final, Literal, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

from msgspec import Struct

from tracecore.errors import ConfigError

__all__ = ["Address", "Synchronous", "parse"]

Synchronous: TypeAlias = Literal["normal", "full"]
_EXPECTED: Final = "sqlite:///relative.db or sqlite:////absolute/path.db, with ?synchronous=full if wanted"


class Address(Struct, frozen=True):
    """Say which file, and what a commit survives.

    With ``normal`` a committed batch survives the death of the process; with ``full`` also a power cut, if the disk
    honours sync.
    """

    path: str
    """Absolute, so that it stays the same file when the program changes its directory."""
    synchronous: Synchronous = "normal"


def parse(url: str) -> Address:
    """Return the file that a URL names, relative to the current directory.

    Raises:
        ConfigError: the URL names no file, or has a parameter that is not known.
    """
    parts = urlsplit(url)
    path = unquote(parts.path[1:])
    # Without its slashes sqlite:traces.db would lose its first letter, and sqlite:/abs.db its root.
    slashes = url.partition(":")[2].startswith("///")
    if parts.scheme != "sqlite" or not slashes or not path or parts.fragment or "\0" in path:
        raise _refused(url, _EXPECTED)
    if path == ":memory:":
        raise _refused(url, "a file; for a store that lives in this process write memory:")
    synchronous: Synchronous = "normal"
    parameters = parse_qsl(parts.query, keep_blank_values=True)
    if len(parameters) > 1:
        raise _refused(url, "one parameter, synchronous, given once")
    for key, value in parameters:
        if key != "synchronous":
            raise _refused(url, f"no parameter but synchronous, not {key}")
        if value not in {"normal", "full"}:
            raise _refused(url, f"synchronous=normal or synchronous=full, not {value}")
        synchronous = "full" if value == "full" else "normal"
    # What is put together of sqlite:/// + / and a path that begins with a slash has one too many, which POSIX keeps.
    path = "/" + path.lstrip("/") if path.startswith("/") else path
    return Address(os.path.abspath(path), synchronous)  # noqa: PTH100 - Path.resolve would touch the disk


def _refused(url: str, expected: str) -> ConfigError:
    return ConfigError("backend", url, "backend URL", expected)
