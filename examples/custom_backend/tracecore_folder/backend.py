"""The backend itself: from a URL to a folder, and from whatever goes wrong to the errors of the contract."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

from tracecore.backend import Access, Batch, Capabilities
from tracecore.errors import BackendError, BackendRejected, BackendUnavailable, Closed, ConfigError, DiskFull
from tracecore.json_lines import Malformed
from tracecore.records import Score, Session, Span
from tracecore_folder.folder import Folder, on_a_thread
from tracecore_folder.stores import FolderObservations, FolderScores, FolderSessions, FolderTraces, Reading

T = TypeVar("T")


def open_backend(url: str, *, access: Access = "write") -> FolderBackend:
    """Return an unopened backend for ``folder:PATH``, relative to the current directory or absolute."""
    scheme, _, path = url.partition(":")
    path = unquote(path)
    if scheme.lower() != "folder" or not path or path.startswith("//") or "\0" in path:
        raise ConfigError("backend", url, "backend URL", "folder:relative or folder:/absolute/path")
    return FolderBackend(str(Path.cwd() / path), access)


class FolderBackend:
    """Keep records in a folder; see ``tracecore.backend.Backend`` for what each member means."""

    capabilities = Capabilities(
        durable=True, traces=True, observations=True, sessions=True, scores=True, search=True, level="handed_over"
    )
    ledger = sql = None

    def __init__(self, path: str, access: Access) -> None:
        self.location = path
        self._access: Access = access
        self._open = False
        self._folder = Folder(path)
        read = Reading(self._folder, self._reading)
        self.traces = FolderTraces(read)
        self.observations = FolderObservations(read)
        self.sessions = FolderSessions(read)
        self.scores = FolderScores(read)

    def another(self) -> FolderBackend:
        """Return an unopened backend of the same folder, wherever the program has gone meanwhile."""
        return FolderBackend(self.location, self._access)

    async def open(self) -> None:
        """Make the folder, or with read access see that it is there."""
        prepare = self._folder.create if self._access == "write" else self._folder.check
        await self._told(lambda: on_a_thread(prepare))
        self._open = True

    async def write(self, batch: Batch) -> None:
        """Keep every record of the batch, or none of it."""
        if self._access == "read":
            raise BackendRejected(f"{self.location} was opened for reading", 'open it with access="write"')
        if not self._open:
            raise BackendUnavailable(f"{self.location} is not open", "open it first")
        for record in batch:
            if not isinstance(record, Span | Session | Score):
                raise BackendRejected(f"a folder has no place for a {type(record).__name__}", "write records only")
        kept = [_own(record) if isinstance(record, Session) else record for record in batch]
        # A write that is cancelled goes on, on its thread: the lock keeps the next one waiting, the number keeps order.
        number = self._folder.next_number()
        await self._told(lambda: on_a_thread(self._folder.keep, number, kept))

    async def maintain(self) -> bool:
        """Return that there is nothing to do: what lists say is worked out when they are read."""
        return False

    async def close(self) -> None:
        """Refuse everything from now on; no file is kept open."""
        self._open = False

    async def _reading(self, work: Callable[[], Awaitable[T]]) -> T:
        if not self._open:
            raise Closed(f"{self.location} is not open; open it first")
        return await self._told(work)

    async def _told(self, work: Callable[[], Awaitable[T]]) -> T:
        """Turn the errors of files and of their content into those of the contract."""
        try:
            return await work()
        except OSError as error:
            raise self._failure(error) from error
        except Malformed as error:
            raise BackendRejected(f"{self.location} holds a file that is damaged", f"look for it ({error})") from error
        except (TypeError, ValueError) as error:
            raise BackendRejected(f"{self.location} cannot hold a value", f"record another one ({error})") from error

    def _failure(self, error: OSError) -> BackendError:
        reason = error.strerror or str(error)
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return DiskFull(f"{self.location} has no space left on its disk", f"free some space ({reason})")
        if error.errno in {errno.ENOTDIR, errno.EEXIST}:
            return BackendRejected(f"{self.location} is no folder", f"name another one ({reason})")
        return BackendUnavailable(f"{self.location} cannot be used", f"see that it is there and writable ({reason})")


def _own(session: Session) -> Session:
    """Return what a session record says itself: sums over its traces are worked out, whatever somebody wrote."""
    return Session(session.project, session.session_id, session.environment, session.public, session.bookmarked)
