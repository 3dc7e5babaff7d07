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
_SIZES: Final = {"1k": ("1 KB", 775), "3k": ("3 KB", 2_833)}
"""What spans take in the journal, and the characters of the question that makes them so large."""


class Legacy(Struct, frozen=True, kw_only=True):
    """Say what to leave: where, how many bytes at least, and the length of each span's question."""

    journal: str
    size: int
    question: int


class Left(Struct, frozen=True):
    """Say how many spans were left."""

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
    return Left(asyncio.run(_fill(recorder, order)))


async def _fill(recorder: Recorder, order: Legacy) -> int:
    """Emit until segments of this size are full, and one more has been begun; return the number of spans."""
    trace, spans = tracing(recorder, _PER_TRACE, question_of(order.question)), 0
    while _size_of(Path(order.journal)) <= order.size:
        await trace(spans)
        spans += _PER_TRACE
    return spans


def _size_of(journal: Path) -> int:
    """Return the bytes of a journal's segments, which have numbers for names."""
    return sum(path.stat().st_size for path in journal.glob("*/*") if path.name.isdecimal())


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

    def __init__(self, folder: Path, size: int, question: int) -> None:
        self._folder = folder
        self._question = question_of(question)
        self._pristine = folder / "left"
        self.spans = apart(legacy, Legacy(journal=str(self._pristine), size=size, question=question), killed=True).spans

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
    for part, (key, (label, question)) in enumerate(_SIZES.items()):
        with tempfile.TemporaryDirectory(prefix="tracecore-benchmark-") as folder:
            step(f"spans of {label}: a process fills its journal", part / len(_SIZES))
            estate = _Estate(Path(folder), size, question)
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
