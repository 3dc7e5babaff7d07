"""A look at a journal's directory: whose homes are there, what dead processes left, what was kept aside as damaged.

Invariants: nothing is made, changed or removed; what is somebody else's in the directory is counted and not looked
into; an owner's file is locked, shared, for the time that it takes to ask, and never one that is just being made.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from tracecore.blocks import BLOCK, FIRST, LIMIT, Frame, Head, bodies, frames
from tracecore.errors import TracecoreError
from tracecore.frames import Origin
from tracecore.owners import OWNER, OWNER_BYTES, Note, note_in, origin_in, salt_of
from tracecore.segments import DAMAGED, SEGMENT, UNFINISHED, is_home, is_segment

__all__ = ["CannotLook", "KeptAside", "SeenHome", "State", "Survey", "readable", "survey"]

State: TypeAlias = Literal["in_use", "left", "half_made", "denied"]
"""Of a home: a living process has it; nobody has; it has not been made whole; this user may not take it."""

_UNIT: Final = 512
"""Bytes that the system counts the space of a file in."""
_MOST_BLOCKS: Final = 2048
"""Blocks (128 MiB) whose records one survey counts: about half a second."""


class CannotLook(TracecoreError):
    """Report a directory that is no journal's, or that cannot be read: what it is instead, and what to do."""


class SeenHome(Struct, frozen=True):
    """Say what one home looks like from outside."""

    name: str
    state: State
    bytes: int = 0
    """That its files take on the disk."""
    written_ns: int = 0
    """When one of them was last written, as far as the system knows, in ns since the epoch."""
    records: int = 0
    """Records in it that have not been delivered: counted only where nobody has it, as far as blocks are read."""
    why: str | None = None
    """Why this user may not take it."""
    destination: str | None = None
    """The backend that it is meant for (:func:`tracecore.destinations.destination_of`); None where it does not say so,
    or somebody has it."""
    masked: bool = False
    """Whether it is known that its records were masked before they were kept."""


class KeptAside(Struct, frozen=True):
    """Name a segment in which something could not be read, and its size in bytes."""

    name: str
    bytes: int


class Survey(Struct, frozen=True):
    """Hold what was seen in a journal's directory."""

    directory: str
    exists: bool = True
    homes: tuple[SeenHome, ...] = ()
    damaged: tuple[KeptAside, ...] = ()
    foreign: int = 0
    """Entries that are not the journal's."""
    counted: bool = True
    """Whether the records of every home that nobody has were counted: there may be too many blocks for a look."""

    def of(self, state: State) -> list[SeenHome]:
        """Return the homes of one state."""
        return [home for home in self.homes if home.state == state]

    def left_for(self, backends: frozenset[str] | None) -> list[SeenHome]:
        """Return the homes that nobody has and whoever delivers to these backends adopts; of None all of them."""
        return [home for home in self.of("left") if backends is None or home.destination in {None, *backends}]

    def elsewhere(self, backends: frozenset[str] | None) -> dict[str, list[SeenHome]]:
        """Return the homes that nobody has and that are meant for other backends than these, by those; with records."""
        found: dict[str, list[SeenHome]] = {}
        for home in self.of("left"):
            meant_for = home.destination
            if meant_for is not None and backends is not None and meant_for not in backends and self.may_hold(home):
                found.setdefault(meant_for, []).append(home)
        return found

    def may_hold(self, home: SeenHome) -> bool:
        """Return whether records are in a home, as far as they were counted."""
        return home.records > 0 or not self.counted

    @property
    def waiting(self) -> int:
        """Return how many records nobody cares for, at least."""
        return sum(home.records for home in self.of("left"))


def survey(directory: Path) -> Survey:
    """Look at a journal's directory; a missing one is an empty journal.

    Raises:
        CannotLook: it cannot be read, is no directory, or is the home of one process.
    """
    directory = directory.absolute()
    try:
        names = sorted(os.listdir(directory))  # noqa: PTH208 - half the time of iterdir, of many thousand names
    except FileNotFoundError:
        if directory.is_symlink():
            raise CannotLook(f"{directory} is a link to nothing; make the directory that it names") from None
        return Survey(readable(directory), exists=False)
    except NotADirectoryError:
        raise CannotLook(f"{directory} is no directory; name the one that journal_dir names") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in it
        raise _unreadable(directory, error) from error
    if OWNER in names and any(map(is_segment, names)):
        raise CannotLook(f"{directory} is what one process left, not the journal; name {directory.parent}")
    budget = _Budget()
    homes = [home for name in filter(is_home, names) if (home := _seen(directory / name, budget)) is not None]
    damaged = _kept_aside(directory / DAMAGED) if DAMAGED in names else ()
    others = len(names) - len(homes) - (DAMAGED in names)
    return Survey(
        readable(directory),
        homes=tuple(homes),
        damaged=tuple(damaged),
        foreign=max(0, others),
        counted=budget.left >= 0,
    )


def readable(path: Path | str) -> str:
    """Return a path as text that can be encoded, whatever bytes a file system let into it."""
    return os.fsencode(path).decode(errors="backslashreplace")


class _Budget:
    """Bound how many blocks are read."""

    def __init__(self) -> None:
        self.left = _MOST_BLOCKS


def _seen(home: Path, budget: _Budget) -> SeenHome | None:
    """Look at one home; None where there is no directory of that name, or not any more."""
    try:
        itself = home.lstat()
        if not stat.S_ISDIR(itself.st_mode):
            return None
        files = _regular_files(home)
        state, why = _state(home)
    except FileNotFoundError:
        return None
    except OSError as error:
        return SeenHome(home.name, "denied", why=_reason(error))
    size = sum(min(found.st_size, found.st_blocks * _UNIT) for found in files.values())
    written_ns = max(found.st_mtime_ns for found in (itself, *files.values()))
    segments = [name for name in files if is_segment(name) and not name.endswith(UNFINISHED)]
    if state != "left":
        return SeenHome(home.name, state, size, written_ns, why=why)
    origin, records = _origin(home), _records(home, segments, budget)
    destination, masked = (None, False) if origin is None else (origin.destination, origin.masked)
    return SeenHome(home.name, state, size, written_ns, records, destination=destination, masked=masked)


def _origin(home: Path) -> Origin | None:
    """Return what a home says of its records; None where it says nothing that can be read."""
    with suppress(OSError), _opened(home / OWNER) as descriptor:
        return origin_in(os.pread(descriptor, OWNER_BYTES, 0), salt_of(home.name))
    return None


def _regular_files(home: Path) -> dict[str, os.stat_result]:
    found: dict[str, os.stat_result] = {}
    with os.scandir(home) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                if entry.is_file(follow_symlinks=False):
                    found[entry.name] = entry.stat(follow_symlinks=False)
    return found


def _state(home: Path) -> tuple[State, str | None]:
    """Return whose a home is.

    Raises:
        OSError: that cannot be found out.
    """
    if home.name.endswith(UNFINISHED):
        return "half_made", None
    try:
        with _opened(home / OWNER) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return "in_use", None
    except FileNotFoundError:  # of a home that is still there, an adopter makes it again
        home.lstat()
    for path, name in ((home / OWNER, f"its file '{OWNER}'"), (home, "it")):
        if path.exists() and not os.access(path, os.W_OK):
            return "denied", f"{name} cannot be written to"
    return "left", None


def _records(home: Path, segments: Sequence[str], budget: _Budget) -> int:
    """Count the records of a home that have not been delivered, as its adopter would read them."""
    salt = salt_of(home.name)
    note = _note(home, salt)
    found: list[tuple[int, int, list[Frame]]] = []
    for name in segments:
        with suppress(OSError), _opened(home / name) as descriptor:
            found += _in_use(descriptor, salt, note, budget)
    ordered = sorted(found, key=lambda block: block[:2])
    return sum(body is not None for body, _ in bodies((sequence, block) for _, sequence, block in ordered))


def _note(home: Path, salt: int) -> Note:
    """Return how far a home has been delivered, as its owner's file says."""
    with suppress(OSError), _opened(home / OWNER) as descriptor:
        return note_in(os.pread(descriptor, OWNER_BYTES, 0), salt)
    return Note()


def _in_use(descriptor: int, salt: int, note: Note, budget: _Budget) -> Iterator[tuple[int, int, list[Frame]]]:
    """Yield lane, number and frames of each block of a segment that is in use."""
    for start in range(0, min(SEGMENT, os.fstat(descriptor).st_size), BLOCK):
        first, last = os.pread(descriptor, FIRST, start), os.pread(descriptor, BLOCK - LIMIT, start + LIMIT)
        head = Head.read(first, last, salt)
        delivered = None if head is None else note.delivered(head.lane, head.sequence, head.delivered)
        if head is None or delivered is None:
            continue
        budget.left -= 1
        if budget.left < 0:
            return
        data = os.pread(descriptor, BLOCK, start)
        whole = frames(data, delivered, min(len(data), LIMIT), head.seed(salt))
        yield head.lane, head.sequence, list(whole)


def _kept_aside(folder: Path) -> list[KeptAside]:
    try:
        return [KeptAside(readable(name), found.st_size) for name, found in sorted(_regular_files(folder).items())]
    except NotADirectoryError:
        return []
    except OSError as error:
        raise _unreadable(folder, error) from error


@contextmanager
def _opened(path: Path) -> Generator[int]:
    """Open a regular file to read; whatever else has the name is neither followed nor waited for.

    Raises:
        OSError: it cannot be opened, or is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path.name)
        yield descriptor
    finally:
        os.close(descriptor)


def _unreadable(path: Path, error: OSError | ValueError) -> CannotLook:
    return CannotLook(f"{path} cannot be read: {_reason(error)}; run this as the user that the service runs as")


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
