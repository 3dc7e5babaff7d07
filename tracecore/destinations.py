"""Which of the homes in a journal's directory are adopted here, and which are passed over, and why.

Processes of several backends may share one directory. What was meant for another backend is left to whoever delivers to
that one, and is not even locked: who looks whether something is his must not keep its adopter from taking it. Only who
is to say whether somebody delivers it asks for its lock, shared, for a moment that its adopter waits for. What was kept
before homes named their destination is anybody's, except of a backend that keeps nothing itself.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from tracecore.config import without_credentials
from tracecore.files import Files
from tracecore.frames import Origin
from tracecore.owners import OWNER, Owner, salt_of
from tracecore.reporting import text_of_error
from tracecore.segments import UNFINISHED

__all__ = ["UNKNOWN", "Passing", "destination_of", "origin_of"]

UNKNOWN: Final = "unknown"
"""Stands for the destination of a home that names none."""
_LONGEST: Final = 512
"""Bytes of a destination: in an owner's file there is so much room."""


def destination_of(location: str) -> str:
    """Return how a journal names the backend of a location: as text without credentials, and never a long one."""
    named = without_credentials(location) if "://" in location else location
    text = named.encode(errors="backslashreplace")
    if len(text) > _LONGEST:
        digest = hashlib.sha256(text).hexdigest()
        return text[: _LONGEST - len(digest) - 3].decode(errors="ignore") + "..." + digest
    return text.decode()


def origin_of(home: Path, files: Files) -> Origin | None:
    """Return what a home's spans have in common; None where its owner's file is damaged or is not there.

    It is written once, before the home has its name: nobody has to lock it to read that.

    Raises:
        OSError: this user may not open it, or nobody can for now.
    """
    try:
        descriptor = files.open(home / OWNER)
    except FileNotFoundError:
        return None
    owner = Owner(files, descriptor, salt_of(home.name))
    try:
        owner.read()
        return owner.origin
    finally:
        owner.close()


class Passing:
    """Decide for one process about every home that it meets, and remember what it passes over: by name, for good.

    ``own`` is the destination of what this process keeps; None adopts all. A process that ``keeps_nothing`` of what it
    delivers adopts nothing but that.
    """

    def __init__(self, files: Files, origin: Origin) -> None:
        self.fallback = replace(origin, masked=False)
        """Of a home that does not say so nobody knows whether what is in it was masked."""
        self.own: str | None = None
        self.keeps_nothing = False
        self.beside: frozenset[str] = frozenset()
        """Destinations that others of this process deliver to: what is meant for those is never adopted here."""
        self._files = files
        self._takers: set[object] = set()
        """Who asks for everything just now."""
        self._elsewhere: dict[str, str] = {}
        """The destinations of the homes that were passed over, by their names."""
        self._denied: dict[str, str] = {}
        """Why a home could not be looked into the last time, by its name."""

    def take_all(self, taker: object) -> None:
        """Adopt whatever the homes were meant for, as long as somebody asks for that."""
        self._takers.add(taker)

    def take_own(self, taker: object) -> None:
        """Adopt what is meant for this process only, unless somebody else asks for everything."""
        self._takers.discard(taker)

    def renew(self) -> None:
        """Begin anew, as in a forked child: whoever asked for everything did so in the parent."""
        self._takers = set()

    def begin(self, names: list[str]) -> None:
        """Forget those that are not in the directory any more, and what the look before could not look into."""
        there = set(names)
        self._elsewhere = {name: destination for name, destination in list(self._elsewhere.items()) if name in there}
        self._denied = {}

    def passes(self, home: Path) -> bool:
        """Return whether a home is none to be adopted here.

        Raises:
            OSError: it cannot be found out.
        """
        takes_all = bool(self._takers) and not self.keeps_nothing
        if self.own is None or (takes_all and not self.beside):
            return False
        if home.name in self._elsewhere:
            return not takes_all or self._elsewhere[home.name] in self.beside
        origin = origin_of(home, self._files)
        destination = None if origin is None else origin.destination
        if destination == self.own or (destination is None and not self.keeps_nothing):
            return False
        if takes_all and destination not in self.beside:
            return False
        if not home.name.endswith(UNFINISHED):  # else it is being made, and may say more when it is
            self._elsewhere[home.name] = destination or UNKNOWN
        return True

    def note_denied(self, name: str, error: OSError) -> None:
        """Note that a home cannot be adopted."""
        self._denied[name] = text_of_error(error)

    def elsewhere(self, directory: Path) -> dict[str, int]:
        """Return how many of the homes that were passed over belong to nobody now, by destination."""
        return dict(Counter(to for name, to in list(self._elsewhere.items()) if self._is_left(directory / name)))

    @property
    def trouble(self) -> str | None:
        """Return why some homes could not be looked into; None where all could be."""
        denied = list(self._denied.items())
        if not denied:
            return None
        more = f"; {len(denied) - 1:,} more are like it" if len(denied) > 1 else ""
        return f"{denied[0][0]} cannot be adopted: {denied[0][1]}{more}"

    def _is_left(self, home: Path) -> bool:
        """Return whether nobody has a home: its process has died, and nobody delivers it."""
        with contextlib.suppress(OSError):  # nobody can tell, or nothing is there to be locked
            if self._files.is_locked(home / OWNER):
                return False
        return self._files.is_directory(home)
