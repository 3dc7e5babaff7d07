"""Recovery: a process was killed with its journal full, and the next one brings all of it into the store.

The journal is written by a process whose store never opens, and that ends itself with SIGKILL. Every round copies it
and starts a process that adopts it, as a service does that is started again; time runs from the making of its recorder.
The same into a sink that forgets everything says how much of that is finding, reading and decoding.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from msgspec import Struct

from benchmarks.apart import apart
from benchmarks.figures import Row, Settings, Table
from benchmarks.measure import ratio, row_of
from benchmarks.numbered_spans import check_numbered, question_of, tracing
from benchmarks.progress import Step
from benchmarks.sinks import HeldBackend, NullBackend
from tracecore import Config, Recorder
from tracecore.blocks import BLOCK
from tracecore.plugins import open_backend

__all__ = ["Adoption", "Legacy", "adoption", "legacy", "run"]

METHOD: Final = (
    "A process fills its journal with 64 MiB of spans (in a quick run 8 MiB), 100 to a trace, while its store is not"
    " there, and is killed by SIGKILL. Each round has a copy of that journal, just written and so in the system's"
    " memory, a new SQLite file and a new process. Seconds run from the making of its recorder, through imports and the"
    " making of the file, until all spans of the dead one are stored; into nothing, the store is a sink that forgets."
    " Every span is read back and compared, and the adopted files must be gone."
)
_ROUNDS: Final = 3
_BYTES: Final = 64 << 20
_QUICK_BYTES: Final = 8 << 20
_PER_TRACE: Final = 100
_WITHIN_S: Final = 120.0
_LOOK_EVERY_S: Final = 0.005
_SIZES: Final = {"1k": ("1 KB", 1_024), "3k": ("3 KB", 3_072)}
"""Bytes that a span takes in the journal."""
_BESIDES: Final = 250
"""Of those, what is not its question."""
_IN_USE: Final = b"tcj1"
"""How a block begins that is in use."""
_AS_MEANT: Final = 0.02
"""Of the bytes of a journal: by how much it may be larger or smaller."""


class Legacy(Struct, frozen=True, kw_only=True):
    """Say what to leave: where, how many spans, and the length of each one's question."""

    journal: str
    spans: int
    question: int


class Left(Struct, frozen=True):
    """Say how many spans the program knows to be in its journal."""

    spans: int


class Adoption(Struct, frozen=True, kw_only=True):
    """Say what to adopt, and into what: without a URL, into nothing, and the adopted files may stay."""

    journal: str
    url: str = ""
    spans: int


class Adopted(Struct, frozen=True):
    """Say how many seconds adopting took."""

    seconds: float


def legacy(order: Legacy) -> Left:
    """Fill a journal whose store never opens; whoever calls ends the process afterwards."""
    config = Config(backend="memory:", buffer="journal", journal_dir=order.journal, pending_after_ms=0)
    recorder = Recorder(config, backend=HeldBackend(NullBackend(), held=True)).start()
    trace = tracing(recorder, _PER_TRACE, question_of(order.question))

    async def fill() -> None:
        for first in range(0, order.spans, _PER_TRACE):
            await trace(first)

    asyncio.run(fill())
    return Left(recorder.health().pending)


def _size_of(journal: Path) -> int:
    """Return the bytes of a journal's blocks that are in use."""
    blocks = 0
    for path in journal.glob("*/*"):
        data = path.read_bytes() if path.name.isdecimal() else b""
        blocks += sum(data.startswith(_IN_USE, start) for start in range(0, len(data), BLOCK))
    return blocks * BLOCK


def adoption(order: Adoption) -> Adopted:
    """Adopt what a dead process left, wait until all of it is delivered, and say how long that took.

    Raises:
        RuntimeError: it was not, in time.
    """
    config = Config(
        backend=order.url or "memory:", buffer="journal", journal_dir=order.journal, pending_after_ms=0
    )  # fmt: skip
    began = time.perf_counter()
    recorder = Recorder(config, backend=None if order.url else NullBackend()).start()
    if order.url:  # the dead process had another store: this one is asked to take all
        threading.Thread(target=recorder.recover, args=(_WITHIN_S,), kwargs={"everything": True}, daemon=True).start()
    _wait(recorder, lambda: recorder.health().recovered >= order.spans)
    seconds = time.perf_counter() - began
    if order.url:  # it takes them away when the ledger knows what became of their process: a second or two
        _wait(recorder, lambda: len(list(Path(order.journal).iterdir())) == 1)
    recorder.shutdown()
    return Adopted(seconds)


def _wait(recorder: Recorder, arrived: Callable[[], bool]) -> None:
    began = time.perf_counter()
    while not arrived():
        if time.perf_counter() - began > _WITHIN_S:
            raise RuntimeError(f"after {_WITHIN_S} s not all of a journal is stored and gone: {recorder.health()}")
        time.sleep(_LOOK_EVERY_S)


class _Estate:
    """Keep a journal that a dead process left, to be adopted as often as is asked for."""

    def __init__(self, folder: Path, size: int, bytes_per_span: int) -> None:
        self.spans = size // bytes_per_span // _PER_TRACE * _PER_TRACE
        self._folder = folder
        self._question = question_of(bytes_per_span - _BESIDES)
        self._pristine = folder / "left"
        order = Legacy(journal=str(self._pristine), spans=self.spans, question=len(self._question))
        left, found = apart(legacy, order, killed=True).spans, _size_of(self._pristine)
        if left != self.spans or abs(found - size) > _AS_MEANT * size:
            raise RuntimeError(f"{left} spans of {self.spans} were left in {found} bytes; {size} bytes were meant")

    def stored(self) -> float:
        """Have a new process bring everything into a new SQLite file, read it back, and return the seconds."""
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            url = f"sqlite:///{folder}/traces.db"
            seconds = self._adopted(Path(folder), url)
            asyncio.run(self._check(url))
        return seconds

    def read(self) -> float:
        """Have a new process bring everything into nothing, and return the seconds."""
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            return self._adopted(Path(folder))

    def _adopted(self, folder: Path, url: str = "") -> float:
        journal = shutil.copytree(self._pristine, folder / "journal")
        seconds = apart(adoption, Adoption(journal=str(journal), url=url, spans=self.spans)).seconds
        if url and (left := list(journal.iterdir())):
            raise RuntimeError(f"everything was delivered, and the journal has left {left}")
        return seconds

    async def _check(self, url: str) -> None:
        reader = open_backend(url, access="read")
        await reader.open()
        try:
            found = await check_numbered(reader, range(self.spans), _PER_TRACE, self._question)
        finally:
            await reader.close()
        if found != self.spans:
            raise RuntimeError(f"{found} of {self.spans} spans were recovered")


def run(settings: Settings, step: Step) -> Table:
    """Have journals of small and of large spans adopted, into SQLite and into nothing by turns."""
    size, rounds = _QUICK_BYTES if settings.quick else _BYTES, settings.rounds_of(_ROUNDS)
    rows: list[Row] = []
    for part, (key, (label, bytes_per_span)) in enumerate(_SIZES.items()):
        with tempfile.TemporaryDirectory(prefix="tracecore-benchmark-") as folder:
            step(f"spans of {label}: a process fills its journal", part / len(_SIZES))
            estate = _Estate(Path(folder), size, bytes_per_span)
            stored: list[float] = []
            read: list[float] = []
            for number in range(rounds):  # none is thrown away: every process begins cold
                step(f"spans of {label}: round {number + 1} of {rounds}", (part + number / rounds) / len(_SIZES))
                stored.append(estate.stored())
                read.append(estate.read())
            rows += _rows(key, f"spans of {label}", estate.spans, stored, read)
    return Table(suite="recovery", title=f"A journal of {size >> 20} MiB", method=METHOD, rows=rows)


def _rows(key: str, label: str, spans: int, stored: list[float], read: list[float]) -> list[Row]:
    note = "finding, reading, decoding"
    return [
        Row(key=f"recovery.{key}.spans", label=f"{label}: read back each round", unit="spans", value=spans),
        row_of(f"recovery.{key}.stored", f"{label}: until all are in SQLite", "s", stored),
        row_of(
            f"recovery.{key}.read", f"{label}: the same into nothing", "s", read, note=note,
            ratios={"this ÷ into SQLite": ratio(statistics.median(read), statistics.median(stored))},
        ),
        row_of(f"recovery.{key}.rate", f"{label}: stored", "spans/s", [spans / seconds for seconds in stored]),
    ]  # fmt: skip
