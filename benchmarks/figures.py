"""What a benchmark says: rows of figures in tables, in one file.

A :class:`Row` holds one figure. Where rounds were taken it is their median, with the minimum and the spread (the
distance between the quartiles) beside it. A figure that could not be taken has no value and a note that says why.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

__all__ = [
    "BUFFERS",
    "FORMAT",
    "LOOPS",
    "OTHER",
    "OTHER_CAPTURED",
    "RIVALS_FOLDER",
    "ROOT",
    "STARTED_IN",
    "Refused",
    "Results",
    "Row",
    "Settings",
    "Table",
    "read_results",
    "write_results",
]

ROOT: Final = Path(__file__).resolve().parent.parent
FORMAT: Final = 1
"""Of the results file; a reader refuses any other."""
LOOPS: Final = ("asyncio", "uvloop")
BUFFERS: Final = ("memory", "journal")
STARTED_IN: Final = "BENCHMARKS_STARTED_IN"
"""The environment variable that tells a suite's process where the command was given: a relative path begins there."""
RIVALS_FOLDER: Final = "TRACECORE_BENCHMARK_RIVALS"
"""The environment variable that names the folder of the rivals' environments."""
OTHER: Final = "OpenTelemetry ÷ this"
OTHER_CAPTURED: Final = "OpenTelemetry, captured ÷ this"


class Refused(Exception):
    """A suite cannot do what the settings ask for. The message is one sentence for whoever asked."""


class Settings(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Say how much to measure. ``rounds`` replaces each suite's own number of rounds."""

    rounds: int | None = None
    quick: bool = False
    busy_host: bool = True
    """Repeat the store's figures beside a thread that computes."""
    seed: int = 20_240_229
    backend: str = "sqlite"
    """Of ``throughput``: a backend's name, for a new and empty one, or a URL."""
    loop: str = "asyncio"
    """Of ``throughput``: one of :data:`LOOPS`."""
    buffer: str | None = None
    """Of ``throughput`` and ``lag``: one of :data:`BUFFERS`; unless named both."""
    concurrency: int = 50
    """Of ``throughput``: requests at once."""
    spans: int = 50_000
    """Of ``throughput``: spans in a round."""
    rows: int = 1_000_000
    """Of ``read``, ``postgres/read`` and ``server``: spans in the store."""
    seconds: int = 60
    """Of ``soak``."""
    only: tuple[str, ...] = ()
    """Of the suites named ``rivals/…``: the rivals to take; unless named all of them."""

    @property
    def buffers(self) -> tuple[str, ...]:
        """Return the buffers in which spans are to wait, in turn."""
        return BUFFERS if self.buffer is None else (self.buffer,)

    def rounds_of(self, full: int) -> int:
        """Return the rounds to take where ``full`` is the suite's own number; a quick run takes a quarter."""
        return self.rounds or (max(2, full // 4) if self.quick else full)

    def size_of(self, full: int) -> int:
        """Return how much to do in one round where ``full`` is the suite's own amount; a quick run does a quarter."""
        return full // 4 if self.quick else full


class Row(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Hold one figure. ``ratios`` compare it with others of the same run, by the title of the column."""

    key: str
    """Names the figure for programs, such as ``call.nested``; stays the same from version to version."""
    label: str
    unit: str
    value: float | None
    minimum: float | None = None
    spread: float | None = None
    ratios: dict[str, float] = {}
    note: str = ""


class Table(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Hold the figures of one suite. ``method`` says in a sentence or two what was done to get them."""

    suite: str
    title: str
    method: str
    rows: list[Row]
    seconds: float = 0.0
    peak_mb: float = 0.0
    """The most memory that the suite's process has had; 0 where the system does not say."""
    when: str = ""
    """When it was measured (UTC), and after what load, where the rest of its run was measured at another time."""
    load: str = ""

    @property
    def ratio_titles(self) -> list[str]:
        """Return the titles of the columns of ratios, in the order in which they first appear."""
        return list(dict.fromkeys(title for row in self.rows for title in row.ratios))


class Results(Struct, frozen=True, kw_only=True):
    """Hold a whole run: when it was made (UTC), on what, how, and what came out; some tables may be newer."""

    format: int
    when: str
    facts: dict[str, str]
    settings: Settings
    tables: list[Table]

    def when_of(self, suite: str) -> str:
        """Return when a suite was measured, by itself or with the run."""
        return next((table.when for table in self.tables if table.suite == suite and table.when), self.when)

    def row(self, key: str) -> Row | None:
        """Return the figure of this key, or None when the run did not take it."""
        return next((row for table in self.tables for row in table.rows if row.key == key), None)


def write_results(results: Results, path: Path) -> None:
    """Write a run as indented JSON, so that two runs can be compared line by line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def read_results(path: Path) -> Results:
    """Return the run that a file holds.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds no results, or those of another version of this program.
    """
    results = msgspec.json.decode(path.read_bytes(), type=Results)
    if results.format != FORMAT:
        raise ValueError(f"{path} has format {results.format}, expected {FORMAT}: run the benchmarks again")
    return results
