"""The backend of lines of JSON: a sink, which others read."""

from __future__ import annotations

from typing import Final, Protocol

import anyio.to_thread

from tracecore.backend import Access, Batch, Capabilities, Page
from tracecore.errors import BackendRejected, BackendUnavailable
from tracecore.json_lines import line_of
from tracecore.records import LedgerEntry, Record, Score, Session, Span
from tracecore_jsonl.address import Address, parse
from tracecore_jsonl.failures import translated
from tracecore_jsonl.log_file import LogFile
from tracecore_jsonl.reading import page_of
from tracecore_jsonl.standard_output import StandardOutput
from tracecore_jsonl.worker import Worker

__all__ = ["JsonlBackend", "open_backend"]


class _Target(Protocol):
    """Where lines go; what it raises is ``OSError``, or an error of ours."""

    def open(self) -> None: ...
    def append(self, lines: bytes) -> None: ...
    def close(self) -> None: ...


def open_backend(url: str, *, access: Access = "write") -> JsonlBackend:
    """Return an unopened backend for ``jsonl:PATH`` or ``stdout:``.

    Raises:
        ConfigError: the URL is not of this form.
    """
    return JsonlBackend(parse(url), access=access)


class JsonlBackend:
    """Append records to a file, or write them to stdout; see :class:`tracecore.backend.Backend` for each member.

    A file keeps what was written when the process dies, and with ``?synchronous=full`` when the power fails; what
    becomes of stdout nobody knows. Ledger entries are lines like all others to who writes them (``tracecore export``);
    a recorder writes none, because nothing here reads them.
    """

    traces: Final = None
    observations: Final = None
    sessions: Final = None
    scores: Final = None
    ledger: Final = None
    sql: Final = None

    def __init__(self, address: Address, *, access: Access) -> None:
        self._address = address
        self._access: Access = access
        self._worker: Worker | None = None
        self._target = _target_of(address)
        self._told = 0
        is_file = address.path is not None
        self.location: Final = address.location
        self.capabilities: Final = Capabilities(
            durable=is_file, level="accepted" if not is_file else "durable" if address.synchronous else "handed_over"
        )

    @property
    def torn_lines(self) -> int:
        """Return how many rests of lines, of processes that were killed while they wrote, were cut off."""
        return self._target.torn if isinstance(self._target, LogFile) else 0

    def another(self) -> JsonlBackend:
        """Return an unopened backend of the same file, whatever the current directory is now."""
        return JsonlBackend(self._address, access=self._access)

    async def open(self) -> None:
        """Make the file, unless it is there, and see that it can be written; with read access do nothing."""
        if self._access == "read" or self._worker is not None:
            return
        worker = Worker(self._target.close)
        try:
            with translated(self.location):
                await worker.run(self._target.open)
        except BaseException:
            await worker.close()
            raise
        self._worker = worker
        self._tell()

    async def write(self, batch: Batch) -> None:
        """Append every record of the batch as a line, or none."""
        if self._access == "read":
            raise BackendRejected(f"{self.location} was opened for reading", 'open it with access="write"')
        if self._worker is None:
            raise BackendUnavailable(f"{self.location} is not open", "open it first")
        for record in batch:
            if not isinstance(record, Span | Session | Score | LedgerEntry):  # pyright: ignore[reportUnnecessaryIsInstance] # untyped callers
                raise BackendRejected(f"a batch cannot hold a {type(record).__name__}", "write records only")
        with translated(self.location):
            await self._worker.run(_append, self._target, batch)
        self._tell()

    async def replay(self, project: str, *, cursor: str | None = None, limit: int = 100) -> Page[Record]:
        """Return some records of a project, in the order of the lines of the file; a cursor is a place in it."""
        if self._address.path is None:
            raise BackendRejected(f"{self.location} gives nothing back", "write to a file, and read that")
        with translated(self.location):
            return await anyio.to_thread.run_sync(page_of, self._address.path, project, cursor, limit)

    async def maintain(self) -> bool:
        """Return that there is nothing to do."""
        return False

    async def close(self) -> None:
        """Let go of the thread, and of stdout."""
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.close()

    def _tell(self) -> None:
        """Say in the log, once for each, that the rest of a line was cut off."""
        torn = self.torn_lines
        if torn == self._told:
            return
        import logging  # noqa: PLC0415 - only who has something to say pays for it

        count, self._told = torn - self._told, torn
        logging.getLogger("tracecore").warning(
            "%s ended in the middle of a line, as when its writer is killed; cut off %d", self.location, count
        )


def _target_of(address: Address) -> _Target:
    if address.path is None:
        return StandardOutput()
    return LogFile(address.path, synchronous=address.synchronous)


def _append(target: _Target, batch: Batch) -> None:
    """Encode a batch and append it, on the thread."""
    if batch:
        target.append(b"".join(map(line_of, batch)))
