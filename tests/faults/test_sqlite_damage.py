"""A file that something else has damaged: the program starts as ever, and is told in one sentence what is wrong.

SQLite keeps checksums in its log and none in its pages. So what lies in the log comes back as it was or not at all,
while a flipped bit in the text of a page goes unnoticed by every reader of SQLite files: the table says how often.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.fakes import accounts_balance
from tests.faults.processes import HANG_SECONDS
from tests.sqlite.files import keep, opened, span
from tests.torture.declaring import torture
from tests.torture.trial import Case, Trial
from tracecore import Config, Recorder
from tracecore.backend import ObservationQuery
from tracecore.errors import BackendError
from tracecore.records import Observation
from tracecore.testing.samples import json_of
from tracecore_sqlite.schema import migrations

RECORDS = 200
SENTENCES = (
    *("is damaged", "is not an SQLite database", "is the database of another program", "was made by another build"),
    *("has schema", "refused a record", "no schema of this version", "failed to read or write", "failed"),
    "cannot hold a value",  # see test_what_is_said_of_text_that_is_none
)
"""What may be said of a damaged file: one sentence with its name in it."""


def record(number: int) -> Any:
    """Return a span whose payload is longer than what surrounds it."""
    return span(number, trace=1 + number // 5, input=json_of({"n": number, "text": f"{number:04}" * 100}))


AFTERWARDS = span(10**6, "afterwards")
EXPECTED = {made.span_id: made for made in map(record, range(1, RECORDS + 1))}


class Original(NamedTuple):
    """A file in good order, and one whose newest half is still in its log."""

    closed: Path
    open: Path


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    """Make both, once."""
    folder = tmp_path_factory.mktemp("original")
    records = list(EXPECTED.values())

    async def make() -> Original:
        closed = await keep(folder / "closed.db", *records)
        path, copied = folder / "open.db", folder / "copy" / "a.db"
        await keep(path, *records[: RECORDS // 2])
        copied.parent.mkdir()
        async with opened(path) as backend:
            for start in range(RECORDS // 2, RECORDS, 10):
                await backend.write(records[start : start + 10])
            for suffix in ("", "-wal"):  # as a process that is killed leaves them
                shutil.copy(f"{path}{suffix}", f"{copied}{suffix}")
        return Original(closed, copied)

    return asyncio.run(make())


def flip(held: bytearray, chance: random.Random) -> None:
    """Change one byte."""
    held[chance.randrange(len(held))] ^= chance.randrange(1, 256)


def cut(held: bytearray, chance: random.Random) -> None:
    """Cut the end off."""
    del held[chance.randrange(len(held)) :]


async def whole(path: Path) -> list[Observation]:
    """Return every observation of a file, with its payloads, as a reader gets them."""
    async with opened(path, "read") as reading:
        page = await reading.observations.find("default", ObservationQuery(limit=RECORDS + 1, bodies=True))
    return list(page.items)


class Seen:
    """Count what became of the records of damaged files."""

    def __init__(self) -> None:
        self.refused = self.missing = self.altered = self.recovered = 0

    def __str__(self) -> str:
        """Return the counts as one figure."""
        return (
            f"{self.refused} files refused, else {self.recovered:,} records recovered, {self.missing:,} missing, "
            f"{self.altered} altered"
        )


def start_on(path: Path) -> str | None:
    """Let a program record into a damaged file; return what it is told, or None where the file is used."""
    recorder = Recorder(Config(backend=f"sqlite:///{path}")).start()
    recorder.emit(AFTERWARDS)
    deadline = time.monotonic() + HANG_SECONDS
    while recorder.flush(0.02).pending and recorder.health().last_error is None:
        assert time.monotonic() < deadline
    recorder.shutdown(2)
    accounts_balance(recorder, emitted=1)
    health = recorder.health()
    assert health.delivered or health.last_error is not None
    return None if health.delivered else health.last_error


def is_in_the_table(path: Path, identity: str) -> bool:
    """Return whether a span is stored, where a damaged index does not lead to it."""
    with closing(sqlite3.connect(path)) as raw:
        found = raw.execute("SELECT 1 FROM tc_observations NOT INDEXED WHERE span_id = ?", (identity,))
        return found.fetchone() is not None


def read(path: Path) -> dict[str, Observation] | str:
    """Return what a reader gets from a file, or what it is told instead."""
    try:
        return {one.span_id: one for one in asyncio.run(whole(path))}
    except BackendError as error:
        return str(error)


def check(path: Path, seen: Seen, *, may_alter: bool) -> None:
    """Start on a damaged file, and read what is left of it."""
    said = start_on(path)
    if said is not None:
        assert str(path) in said
        assert "\n" not in said
        assert any(sentence in said for sentence in SENTENCES), said
    found = read(path)
    if isinstance(found, str):
        assert str(path) in found
        seen.refused += 1
        return
    afterwards = found.pop(AFTERWARDS.span_id, None)
    assert afterwards == AFTERWARDS or said is not None or is_in_the_table(path, AFTERWARDS.span_id)
    right = {identity for identity, one in found.items() if one == EXPECTED.get(identity)}
    seen.recovered += len(right)
    seen.missing += len(EXPECTED.keys() - found.keys())
    seen.altered += len(found.keys() - right)
    assert may_alter or found.keys() == right


DAMAGE = {"a byte flipped": flip, "cut": cut}


@pytest.mark.parametrize("kind", DAMAGE)
@torture("T11", "a byte of the database file is flipped, or it is cut", rounds=30, full=2_500)
def test_damaged_database(trial: Trial, original: Original, kind: str) -> None:
    """Whatever is damaged in the file itself: the program goes on, and who reads it gets records or a sentence."""
    run(trial, lambda case: damaged(original.closed, case, "", DAMAGE[kind]), may_alter=True)


@pytest.mark.parametrize("kind", DAMAGE)
@torture("T11", "a byte of the database's log is flipped, or it is cut", rounds=30, full=2_500)
def test_damaged_log(trial: Trial, original: Original, kind: str) -> None:
    """Whatever is damaged in the log: none of the records is altered, and those in the file are all there."""
    run(trial, lambda case: damaged(original.open, case, "-wal", DAMAGE[kind]), may_alter=False)


def run(trial: Trial, make: Callable[[Case], Path], *, may_alter: bool) -> None:
    """Damage, start and read, round after round."""
    seen = Seen()
    for case in trial.cases():
        with case:
            check(make(case), seen, may_alter=may_alter)
    trial.figures.append(str(seen))


def damaged(path: Path, case: Case, suffix: str, damage: Callable[[bytearray, random.Random], None]) -> Path:
    """Copy a file and its log, and damage one of them."""
    copied = case.folder / "a.db"
    for each in ("", "-wal"):
        if (source := Path(f"{path}{each}")).exists():
            shutil.copy(source, f"{copied}{each}")
    target = Path(f"{copied}{suffix}")
    held = bytearray(target.read_bytes())
    damage(held, case.chance)
    target.write_bytes(held)
    return copied


@pytest.mark.parametrize("text", [b"CREATE INDEX tc_scores_by_trace ON", migrations()[0].checksum.encode()])
def test_what_is_said_of_text_that_is_none(tmp_path: Path, original: Original, text: bytes) -> None:
    """A file whose schema, or whose list of migrations, holds bytes that are no text is said to be damaged."""
    path = tmp_path / "a.db"
    held = bytearray(original.closed.read_bytes())
    place = held.index(text) + len(text) - 1
    held[place] = 0xFF
    path.write_bytes(held)
    said = start_on(path)
    assert said is not None
    assert "is damaged" in said


def test_the_originals_are_whole(original: Original) -> None:
    """Both files, before anybody damages them, hold every record."""
    for path in original:
        with closing(sqlite3.connect(path)) as raw:
            assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert {one.span_id: one for one in asyncio.run(whole(path))} == EXPECTED
