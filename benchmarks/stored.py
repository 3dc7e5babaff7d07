"""A recorder into a new SQLite file in a temporary folder (``TMPDIR`` chooses where), gone when the block ends."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from benchmarks.flow import check_stored
from benchmarks.request_mix import Texts
from benchmarks.sinks import HeldBackend
from tracecore import Config, Recorder
from tracecore.backend import Backend
from tracecore.plugins import open_backend

__all__ = ["Stored", "maintained"]


class Stored:
    """Record into a new file for the length of a block; ``held`` keeps the store from opening until released."""

    def __init__(self, *, held: bool = False, **settings: Any) -> None:
        self._exits = ExitStack()
        folder = self._exits.enter_context(tempfile.TemporaryDirectory(prefix="tracecore-benchmark-"))
        self._path = Path(folder) / "traces.db"
        self.url = f"sqlite:///{self._path}"
        self.backend = HeldBackend(open_backend(self.url), held=held)
        self.recorder = Recorder(Config(backend=self.url, pending_after_ms=0, **settings), backend=self.backend)

    def __enter__(self) -> Self:
        self.recorder.start()
        self._exits.callback(self.recorder.shutdown)
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    @property
    def size(self) -> int:
        """Return the bytes on disk, logs included."""
        return sum(path.stat().st_size for path in self._path.parent.iterdir())

    async def read_back(self, texts: Texts, requests: range) -> int:
        """Compare everything with what was emitted and return the number of spans."""
        reader = open_backend(self.url, access="read")
        await reader.open()
        try:
            return await check_stored(reader, texts, requests)
        finally:
            await reader.close()

    async def count(self) -> int:
        """Return the number of spans in the file, as somebody else sees it."""
        reader = open_backend(self.url, access="read")
        await reader.open()
        try:
            assert reader.sql is not None
            [[spans]] = (await reader.sql.query("select count(*) from spans")).rows
            return int(spans)
        finally:
            await reader.close()


async def maintained(backend: Backend) -> None:
    """Do all the deferred work of a store."""
    await backend.open()
    try:
        while await backend.maintain():
            pass
    finally:
        await backend.close()
