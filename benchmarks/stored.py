"""A recorder into a store, for the length of a block, and what it stored read back by somebody else.

:class:`Stored` makes a new SQLite file in a temporary folder (``TMPDIR`` chooses where), gone when the block ends.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, Self

from benchmarks.figures import Refused
from benchmarks.flow import check_stored
from benchmarks.request_mix import Texts
from benchmarks.sinks import HeldBackend
from tracecore import Config, Recorder
from tracecore.backend import Backend, ObservationQuery
from tracecore.plugins import open_backend

__all__ = ["Recorded", "Stored", "check_space", "index", "maintained"]

_BYTES_OF_SPAN: Final = 2_000
"""What a span of the request mix takes on disk, its search index and a log beside the file included."""


class Recorded:
    """Record into the store of a URL for the length of a block.

    ``held`` keeps the store from opening until released; its deferred work is left undone unless ``maintaining``. With
    ``buffer="journal"`` the journal is in a temporary folder of its own, unless a setting names another.
    """

    def __init__(self, url: str, *, held: bool = False, maintaining: bool = False, **settings: Any) -> None:
        self.url = url
        self._exits = ExitStack()
        if settings.get("buffer") == "journal":
            settings = {"journal_dir": self._new_folder(), **settings}
        self.backend = HeldBackend(open_backend(url), held=held, maintaining=maintaining)
        self.recorder = Recorder(Config(backend=url, pending_after_ms=0, **settings), backend=self.backend)
        self.journal = Path(self.recorder.config.journal_dir)

    def __enter__(self) -> Self:
        self.recorder.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._exits:
            self.recorder.shutdown()

    def _new_folder(self) -> str:
        """Make a folder that is gone when the block ends."""
        return self._exits.enter_context(tempfile.TemporaryDirectory(prefix="tracecore-benchmark-"))

    async def read_back(self, texts: Texts, requests: range, *, newest: bool = False) -> int:
        """Compare everything, or as many of the newest spans, with what was emitted; return the number of spans.

        What is durable is read by somebody else; what is not lives in the backend that has it, and the recorder must
        have ended.
        """
        async with self.reading() as reader:
            project = self.recorder.config.project
            return await check_stored(reader, texts, requests, project=project, newest=newest)

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[Backend]:
        """Open the store to read, as somebody else where it is durable, for the length of a block."""
        durable = self.backend.capabilities.durable
        reader: Backend = open_backend(self.url, access="read") if durable else self.backend
        await reader.open()
        try:
            yield reader
        finally:
            await reader.close()

    def check_journal(self) -> None:
        """Raise unless a recorder that has ended, and delivered everything, has left no file of its journal.

        Raises:
            RuntimeError: there is one.
        """
        if self.recorder.config.buffer == "journal" and (left := list(self.journal.iterdir())):
            raise RuntimeError(f"everything was delivered, and the journal has left {left}")


class Stored(Recorded):
    """Record into a new SQLite file."""

    def __init__(self, *, held: bool = False, maintaining: bool = False, **settings: Any) -> None:
        with ExitStack() as exits:
            folder = exits.enter_context(tempfile.TemporaryDirectory(prefix="tracecore-benchmark-"))
            self._path = Path(folder) / "traces.db"
            super().__init__(f"sqlite:///{self._path}", held=held, maintaining=maintaining, **settings)
            self._exits.push(exits.pop_all())

    @property
    def size(self) -> int:
        """Return the bytes on disk, logs included."""
        return sum(path.stat().st_size for path in self._path.parent.iterdir())

    async def count(self) -> int:
        """Return the number of spans in the file, as somebody else sees it."""
        async with self.reading() as reader:
            assert reader.sql is not None
            [[spans]] = (await reader.sql.query("select count(*) from spans")).rows
            return int(spans)


def check_space(spans: int) -> None:
    """Refuse to begin what would fill the disk.

    Raises:
        Refused: so many spans have no room in the temporary folder.
    """
    folder = tempfile.gettempdir()
    free, needed = shutil.disk_usage(folder).free, spans * _BYTES_OF_SPAN
    if needed > free:
        raise Refused(
            f"{spans:,} spans take {needed / 1e9:,.0f} GB or so, and {folder} has {free / 1e9:,.0f} GB: TMPDIR names"
            " another folder"
        )


async def maintained(backend: Backend, note: Callable[[int], object] = lambda _: None) -> None:
    """Do all the deferred work of a store; ``note`` is told how many slices of it are done."""
    await backend.open()
    try:
        slices = 0
        while await backend.maintain():
            slices += 1
            note(slices)
    finally:
        await backend.close()


async def index(backend: Backend, requests: range) -> float:
    """Do all deferred work, check that the last request is found by its number, and return our seconds of CPU.

    Raises:
        RuntimeError: it is not found.
    """
    await backend.open()
    try:
        cpu = time.process_time()
        while await backend.maintain():
            pass
        cpu = time.process_time() - cpu
        assert backend.observations is not None
        found = await backend.observations.find("default", ObservationQuery(search=f"{requests[-1]:08}"))
        if not found.items:
            raise RuntimeError(f"the search does not find request {requests[-1]}")
        return cpu
    finally:
        await backend.close()
