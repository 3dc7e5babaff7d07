"""A folder of prompts: ``support/greeting`` is the file ``support/greeting.md``, and no name leads out of the folder.

A name may hold what a file's cannot, or should not: ``..``, a colon, ``con``. Such characters are spelt ``%XX``, as in
an address, so that every name has one file and every file one name, on whatever system the repository is checked out;
two names that would be one file where upper and lower case, or forms of Unicode, are the same are refused. Links are
neither followed nor replaced: a link inside the folder could lead anywhere. A file is whole at every moment, and one
that somebody changed while we were at it is left alone.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import unicodedata
from collections.abc import Generator, Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from msgspec import Struct

from tracecore.errors import ConfigError, Conflict
from tracecore.prompt_contents import check_name

__all__ = ["Found", "PromptFolder", "Unreadable", "file_name", "prompt_name", "read_whole", "write_whole"]

_SUFFIX: Final = ".md"
_LONGEST: Final = 255
"""Bytes of a file's name, in the file systems that people have."""
_LARGEST: Final = 32 << 20
"""Bytes of a file that is read."""
_SPELT: Final = re.compile(r'^\.|[%\\:*?"<>|]|[. ]$')
"""What has a meaning to a file system, here or elsewhere: Microsoft's "Naming Files, Paths, and Namespaces"."""
_DEVICE: Final = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)", re.IGNORECASE)
_LIKE_A_FILE: Final = re.compile(r"\.(?=md$)", re.IGNORECASE)
_BYTE: Final = re.compile(r"%([0-9A-F]{2})")
_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_ENTER: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY


class Found(Struct, frozen=True):
    """Hold a file of a prompt, as it was when it was read."""

    name: str
    path: str
    data: bytes


class Unreadable(Struct, frozen=True):
    """Say of a file why it is not that of a prompt."""

    path: str
    reason: str


def file_name(name: str) -> PurePosixPath:
    """Return the path of a prompt inside a folder.

    Raises:
        ConfigError: it is no name of a prompt, or a part of it is too long for a file.
    """
    check_name(name)
    *folders, last = name.split("/")
    parts = [_LIKE_A_FILE.sub(_spelt, _as_part(part)) for part in folders] + [_as_part(last) + _SUFFIX]
    for part in parts:
        if len(os.fsencode(part)) > _LONGEST:
            raise ConfigError("name", name, "the store", f"parts of at most {_LONGEST} bytes, to be names of files")
    return PurePosixPath(*parts)


def prompt_name(path: PurePosixPath) -> str:
    """Return the name of the prompt that a file holds.

    Raises:
        ConfigError: it would be written to another file.
    """
    try:
        name = "/".join(_from_part(part) for part in path.with_name(path.name.removesuffix(_SUFFIX)).parts)
        expected = file_name(name)
    except (UnicodeError, ValueError) as error:
        raise ConfigError("file", str(path), "the folder", "a name in UTF-8, with '%25' for '%'") from error
    if expected != path:
        raise ConfigError("file", str(path), "the folder", f"the name {str(expected)!r} for the prompt {name!r}")
    return name


def read_whole(path: Path) -> bytes | None:
    """Return what a file holds, or None where there is none.

    Raises:
        ConfigError: it is a link, or cannot be read.
    """
    return PromptFolder(path.parent).read_file(PurePosixPath(path.name))


def write_whole(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        ConfigError: it cannot be written.
    """
    with _in_a_sentence(PurePosixPath(path.name)), contextlib.ExitStack() as entered:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(_kept(entered, os.open(path.parent, _ENTER)), path.name, data)


class PromptFolder:
    """Read and write the files of prompts below one directory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._spellings: dict[str, str] = {}

    def files(self) -> tuple[list[Found], list[Unreadable]]:
        """Return every file of a prompt by its path, and every one of which it cannot be told what it holds.

        Files with other endings, and what begins with a dot, are not looked at.
        """
        found: list[Found] = []
        problems: list[Unreadable] = []
        for path in self._paths():
            try:
                found += self._found(path)
            except ConfigError as error:
                problems.append(Unreadable(str(path), str(error)))
        return found, problems

    def write(self, name: str, data: bytes, *, known: bytes | None) -> str:
        """Write a file, whole or not at all, where it still holds what is known of it; return its path.

        Raises:
            ConfigError: no file can have that name beside the others, or it cannot be written.
            Conflict: somebody else wrote it meanwhile.
        """
        path = file_name(name)
        self._claim(path)
        with self._inside(path, make=True) as directory:
            if _content(directory, path) != known:
                raise Conflict(f"{self._root / path} was changed meanwhile, and is left as it is; do the same again")
            _replace(directory, path.name, data)
        return str(path)

    def read(self, name: str) -> bytes | None:
        """Return what the file of a prompt holds, or None where there is none."""
        return self.read_file(file_name(name))

    def _paths(self) -> Iterator[PurePosixPath]:
        """Yield the files, and the links to folders: nobody shall believe that what is behind them was read."""
        for at, folders, files in os.walk(self._root, onerror=_refused):
            folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
            here = Path(at)
            linked = [folder for folder in folders if (here / folder).is_symlink()]
            named = [name for name in files if name.endswith(_SUFFIX) and not name.startswith(".")]
            for name in sorted(named + linked):
                yield PurePosixPath((here / name).relative_to(self._root).as_posix())

    def _found(self, path: PurePosixPath) -> list[Found]:
        if (self._root / path).is_symlink():
            raise ConfigError("file", str(path), "the folder", "folders and files, no links")
        name = prompt_name(path)
        self._claim(path)
        data = self.read_file(path)
        return [] if data is None else [Found(name, str(path), data)]

    def _claim(self, path: PurePosixPath) -> None:
        """Refuse a path that would be another's where case and forms of Unicode do not count."""
        for part in (path, *path.parents[:-1]):
            spelling = str(part)
            known = self._spellings.setdefault(unicodedata.normalize("NFC", spelling).casefold(), spelling)
            if known != spelling:
                expected = f"a name that differs from {known!r} by more than upper and lower case"
                raise ConfigError("file", spelling, "the folder", expected)

    def read_file(self, path: PurePosixPath) -> bytes | None:
        """Return what a file holds, or None where there is none."""
        try:
            with self._inside(path) as directory:
                return _content(directory, path)
        except FileNotFoundError:
            return None

    @contextlib.contextmanager
    def _inside(self, path: PurePosixPath, *, make: bool = False) -> Generator[int]:
        """Enter the directory of a file, step by step, so that no link is followed on the way."""
        with contextlib.ExitStack() as entered, _in_a_sentence(path):
            if make:
                self._root.mkdir(parents=True, exist_ok=True)
            directory = _kept(entered, os.open(self._root, _ENTER))
            for part in path.parts[:-1]:
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, dir_fd=directory)
                directory = _kept(entered, os.open(part, _ENTER | os.O_NOFOLLOW, dir_fd=directory))
            yield directory


def _as_part(part: str) -> str:
    spelt = _SPELT.sub(_spelt, part)
    return f"%{ord(spelt[0]):02X}{spelt[1:]}" if _DEVICE.match(spelt) else spelt


def _spelt(found: re.Match[str]) -> str:
    return f"%{ord(found[0]):02X}"


def _from_part(part: str) -> str:
    pieces = _BYTE.split(part)
    return "".join(chr(int(piece, 16)) if i % 2 else piece for i, piece in enumerate(pieces))


def _kept(entered: contextlib.ExitStack, descriptor: int) -> int:
    entered.callback(os.close, descriptor)
    return descriptor


def _content(directory: int, path: PurePosixPath) -> bytes | None:
    """Return what a file holds, or None where there is none; anything but a file is refused."""
    try:
        descriptor = os.open(path.name, _READ, dir_fd=directory)
    except FileNotFoundError:
        return None
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode) or about.st_size > _LARGEST:
        os.close(descriptor)
        raise ConfigError("file", str(path), "the folder", f"a file of at most {_LARGEST >> 20} MiB")
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def _replace(directory: int, name: str, data: bytes) -> None:
    """Put a new file in the place of an old one, with the rights of that."""
    temporary = f".{secrets.token_hex(8)}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        with os.fdopen(os.open(temporary, flags, 0o666, dir_fd=directory), "wb") as file:
            with contextlib.suppress(FileNotFoundError):
                os.fchmod(file.fileno(), stat.S_IMODE(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode))
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=directory)
        raise
    os.fsync(directory)


@contextlib.contextmanager
def _in_a_sentence(path: PurePosixPath) -> Generator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        is_link = error.errno in {errno.ELOOP, errno.ENOTDIR}
        expected = "folders and files, no links" if is_link else f"what can be read and written ({error.strerror})"
        raise ConfigError("file", str(path), "the folder", expected) from error


def _refused(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise ConfigError("folder", str(error.filename), "the command", f"one that can be read ({error.strerror})")
