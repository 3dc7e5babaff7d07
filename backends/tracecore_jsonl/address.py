"""The URL of lines: ``jsonl:relative.jsonl``, ``jsonl:/absolute.jsonl?synchronous=full``, ``stdout:``."""

from __future__ import annotations

import os
from typing import Final
from urllib.parse import parse_qsl, unquote

from msgspec import Struct

from tracecore.errors import ConfigError

__all__ = ["STDOUT", "Address", "parse"]

STDOUT: Final = "stdout:"
_EXPECTED: Final = "jsonl:relative.jsonl, jsonl:/absolute/path.jsonl (with ?synchronous=full if wanted), or stdout:"


class Address(Struct, frozen=True):
    """Say where lines go."""

    path: str | None
    """Absolute, so that it stays the same file when the program changes its directory; None is stdout."""
    synchronous: bool = False
    """Whether a batch survives a loss of power too, if the disk honours sync."""

    @property
    def location(self) -> str:
        """Return the path, or what stdout is called."""
        return STDOUT if self.path is None else self.path


def parse(url: str) -> Address:
    """Return where a URL leads, relative to the current directory.

    Raises:
        ConfigError: the URL names no file, or has a parameter that is not known.
    """
    scheme, _, rest = url.partition(":")
    name, _, parameters = rest.partition("?")
    path = unquote(name)
    if (scheme.lower(), path, parameters) in {("stdout", "", ""), ("jsonl", "-", "")}:
        return Address(None)
    if scheme.lower() != "jsonl" or path in {"", "-"} or path.startswith("//") or path.endswith("/") or "\0" in path:
        raise ConfigError("backend", url, "backend URL", _EXPECTED)
    synchronous = False
    for key, value in parse_qsl(parameters, keep_blank_values=True):
        if key != "synchronous" or value not in {"normal", "full"}:
            raise ConfigError(
                "backend",
                url,
                "backend URL",
                f"no parameter but synchronous=normal or synchronous=full, not {key}={value}",
            )
        synchronous = value == "full"
    return Address(os.path.abspath(path), synchronous)  # noqa: PTH100 - Path.resolve would touch the disk
