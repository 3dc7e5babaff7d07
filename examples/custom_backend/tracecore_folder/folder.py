"""The files of a folder: one for each trace, session and score, a line for each record in it.

Invariant: a file appears whole, because it is written under another name and renamed. Everything of a :class:`Folder`
blocks, and runs on a thread.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import ParamSpec, TypeVar
from urllib.parse import quote

import anyio.to_thread

from tracecore.errors import BackendUnavailable
from tracecore.json_lines import line_of, merged, record_in
from tracecore.records import Observation, Record, Score, Session, Span

P = ParamSpec("P")
T = TypeVar("T")
_LONGEST_NAME = 100


async def on_a_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call what blocks on a thread; who waits for it may be cancelled, and it goes on by itself.

    The pool of ``asyncio.to_thread`` is of no use here: it is closed before a program writes its last batch.
    """
    return await anyio.to_thread.run_sync(partial(function, *args, **kwargs), abandon_on_cancel=True)


class Folder:
    """Read and write the records below a path."""

    def __init__(self, path: str) -> None:
        self._root = Path(path)
        self._numbers = count(1)
        self._newest = 0

    def next_number(self) -> int:
        """Return the number of a write that begins; called where writes follow one another, before its thread runs."""
        return next(self._numbers)

    def create(self) -> None:
        """Make the folder, unless it is there; its parent has to be."""
        self._root.mkdir(exist_ok=True)

    def check(self) -> None:
        """Raise ``OSError`` when there is no folder."""
        os.scandir(self._root).close()

    def keep(self, number: int, records: Iterable[Record]) -> None:
        """Merge records into their files, all of them or none.

        Refused where a write of a later number was faster to the lock: this one was cancelled before that began.
        """
        changes: dict[Path, list[Record]] = {}
        for record in records:
            changes.setdefault(self._path_of(record), []).append(record)
        with self._locked():
            if number < self._newest:
                raise BackendUnavailable("another write has overtaken this one", "write the batch again")
            self._newest = number
            staged: list[Path] = []
            try:
                for path, new in changes.items():
                    staged.append(path.with_suffix(".part"))
                    path.parent.mkdir(parents=True, exist_ok=True)
                    staged[-1].write_bytes(b"".join(map(line_of, merged([*_records_in(path), *new]))))
                for part, path in zip(staged, changes, strict=True):
                    part.replace(path)
            finally:
                for part in staged:
                    part.unlink(missing_ok=True)

    def traces(self, project: str) -> dict[str, list[Observation]]:
        """Return the observations of every trace."""
        found: dict[str, list[Observation]] = {}
        for record in self._all_of(project, "traces"):
            if isinstance(record, Span):
                found.setdefault(record.trace_id, []).append(record)
        return found

    def trace(self, project: str, trace_id: str) -> list[Observation]:
        """Return the observations of one trace, none when it is unknown."""
        found = _records_in(self._root / _name_of(project) / "traces" / f"{_name_of(trace_id)}.jsonl")
        return [one for one in found if isinstance(one, Span) and (one.project, one.trace_id) == (project, trace_id)]

    def sessions(self, project: str) -> dict[str, Session]:
        """Return the own record of each session that has one."""
        return {one.session_id: one for one in self._all_of(project, "sessions") if isinstance(one, Session)}

    def scores(self, project: str) -> dict[str, Score]:
        """Return every score by its id."""
        return {one.score_id: one for one in self._all_of(project, "scores") if isinstance(one, Score)}

    def _all_of(self, project: str, kind: str) -> Iterator[Record]:
        for path in sorted((self._root / _name_of(project) / kind).glob("*.jsonl")):
            yield from (record for record in _records_in(path) if record.project == project)

    def _path_of(self, record: Record) -> Path:
        match record:
            case Span():
                kind, name = "traces", record.trace_id
            case Session():
                kind, name = "sessions", record.session_id
            case Score():
                kind, name = "scores", record.score_id
            case _:
                message = f"a folder has no place for a {type(record).__name__}"
                raise ValueError(message)
        return self._root / _name_of(record.project) / kind / f"{_name_of(name)}.jsonl"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other writers away, those in other processes too, until a change is done."""
        with (self._root / ".lock").open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(file, fcntl.LOCK_UN)  # also where a forked child has inherited it


def _records_in(path: Path) -> list[Record]:
    """Return the records of a file, none when it is not there."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return [record for line in lines if isinstance(record := record_in(line), Record)]


def _name_of(text: str) -> str:
    """Return the name of a file for any text: itself where that can be, else what it hashes to.

    Two texts may have one name, on a disk that takes ``A`` for ``a``: records say themselves whose they are.
    """
    encoded = text.encode("utf-8", "surrogatepass")
    name = quote(encoded, safe="")
    return name if 0 < len(name) <= _LONGEST_NAME and name[0] != "." else f"%{sha256(encoded).hexdigest()}"
