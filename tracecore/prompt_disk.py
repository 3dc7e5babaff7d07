"""Copies of prompts on the disk, so that a program that starts while its server is away still has what was served last.

One file a key, named by a hash, written beside its place and renamed into it. A file says which store, project and key
it is of, and has a checksum: what is damaged, cut, of another store or of another format is not there. Only the thread
that fetches prompts comes here; a disk that cannot be written to is reported now and then, and otherwise ignored.

The format: the line ``tracecore-prompt 1 <SHA-256 of the rest, in hexadecimal>``, then a JSON object.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from tracecore.clock import monotonic_ns
from tracecore.prompts import Prompt
from tracecore.reporting import Voice, report, text_of_error

__all__ = ["PromptDisk"]

_MARK: Final = b"tracecore-prompt 1 "
_SUFFIX: Final = ".prompt"
_LARGEST: Final = 16 * 2**20
"""Bytes of a file; larger is none of ours, and a device has no end."""


class _Copy(Struct, frozen=True):
    location: str
    project: str
    name: str
    version: int | None
    label: str | None
    prompt: Prompt


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Copy).decode


class PromptDisk:
    """Keep copies of the prompts of one project of one store in a directory, for every process the same one."""

    def __init__(
        self, directory: Path, *, location: str, project: str, most: int, clock: Callable[[], int] = monotonic_ns
    ) -> None:
        self._directory = directory
        self._place = (location, project)
        self._most = most
        self._voice = Voice(clock)
        self._written = 0

    def read(self, key: tuple[str, int | None, str | None]) -> Prompt | None:
        """Return the copy of a key; None where there is none that can be trusted."""
        try:
            with self._path(key).open("rb") as file:
                data = file.read(_LARGEST + 1)
        except (OSError, ValueError):
            return None
        head, _, body = data.partition(b"\n")
        if len(data) > _LARGEST or head != _MARK + hashlib.sha256(body).hexdigest().encode():
            return None
        try:
            found = _decode(body)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
        is_it = (found.location, found.project, found.name, found.version, found.label) == (*self._place, *key)
        return found.prompt if is_it else None

    def write(self, key: tuple[str, int | None, str | None], prompt: Prompt) -> None:
        """Keep the copy of a key, in place of the one that is there."""
        location, project = self._place
        name, version, label = key
        body = _encode(_Copy(location, project, name, version, label, prompt))
        data = _MARK + hashlib.sha256(body).hexdigest().encode() + b"\n" + body
        if len(data) > _LARGEST:
            return
        path = self._path(key)
        beside = path.with_suffix(f".{os.getpid()}-{self._written}.tmp")
        self._written += 1
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(beside, "xb", opener=_private) as file:
                file.write(data)
            beside.replace(path)
            self._keep_most()
        except OSError as error:
            with contextlib.suppress(OSError):
                beside.unlink()
            if self._voice.may_speak_of("write"):
                report("no copy of a prompt can be kept in %s: %s", self._directory, text_of_error(error))

    def forget(self, key: tuple[str, int | None, str | None]) -> None:
        """Remove the copy of a key: the store says that there is no such prompt."""
        with contextlib.suppress(OSError):
            self._path(key).unlink()

    def _path(self, key: tuple[str, int | None, str | None]) -> Path:
        named = hashlib.sha256(_encode((*self._place, *key))).hexdigest()[:40]
        return self._directory / (named + _SUFFIX)

    def _keep_most(self) -> None:
        """Remove the oldest copies, and what others left half written, where there are more than there may be."""
        if self._written % 16 != 1:  # listing a directory for each would cost more than writing
            return
        with os.scandir(self._directory) as entries:
            ours = [(_written_ns(entry), entry.path) for entry in entries if _is_ours(entry.name)]
        for _, path in sorted(ours)[: max(0, len(ours) - self._most)]:
            with contextlib.suppress(OSError):
                Path(path).unlink()


def _is_ours(name: str) -> bool:
    return name.endswith((_SUFFIX, ".tmp")) and len(name.partition(".")[0]) == 40  # noqa: PLR2004 - as in _path


def _written_ns(entry: os.DirEntry[str]) -> int:
    """Return when a file was written; 0 where another process has just removed it."""
    try:
        return entry.stat(follow_symlinks=False).st_mtime_ns
    except OSError:
        return 0


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
