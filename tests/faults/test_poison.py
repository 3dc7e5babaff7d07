"""One record among a hundred that the store cannot take: 99 are stored exactly, and it without what is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.fakes import accounts_balance
from tests.torture.declaring import torture
from tests.torture.trial import Trial
from tracecore import Config, Recorder
from tracecore.backend import Backend, Batch, ObservationQuery
from tracecore.errors import BackendRejected
from tracecore.memory import open_backend as open_memory
from tracecore.plugins import open_backend
from tracecore.records import ABSENT, Generation, Observation, Span
from tracecore.testing.samples import generation, json_of

RECORDS = 100
TOO_LARGE = 1 << 70


class Refusing:
    """Stand before a backend that refuses, in one of several ways, every batch with a poisonous payload in it."""

    def __init__(self, inner: Backend, error: Callable[[], Exception]) -> None:
        self._inner = inner
        self._error = error

    def __getattr__(self, name: str) -> Any:
        """Pass everything else on."""
        return getattr(self._inner, name)

    async def write(self, batch: Batch) -> Any:
        """Refuse, or pass on."""
        if any(isinstance(record, Span) and b"poison" in bytes(record.input) for record in batch):
            raise self._error()
        return await self._inner.write(batch)


def opened(kind: str, folder: Path) -> Backend:
    """Return a backend of a kind, which keeps its data where the same call finds them again."""
    return open_memory("memory:") if kind == "memory" else open_backend(f"sqlite:///{folder / 'a.db'}")


async def read(backend: Backend) -> dict[str, Observation]:
    """Return every observation by its span id, with its payloads."""
    await backend.open()
    try:
        assert backend.observations is not None
        page = await backend.observations.find("default", ObservationQuery(limit=RECORDS + 1, bodies=True))
    finally:
        await backend.close()
    return {found.span_id: found for found in page.items}


def record(number: int) -> Generation:
    """Return a generation with payloads, usage and cost, all of which must come back as they are."""
    return generation(
        number,
        within=1 + number // 7,
        name=f"call {number}",
        input=json_of({"question": number, "text": "\0 and \N{SNOWMAN}"}),
        output=json_of(["answer"] * (number % 4)),
        model="m",
        usage_details={"input": number},
        total_cost=number / 1e6,
    )


POISONS: dict[str, tuple[list[str], Callable[[Generation], Generation], Callable[[], Exception] | None]] = {
    "a payload that is refused": (
        ["memory", "sqlite"],
        lambda span: replace(span, input=json_of("poison")),
        lambda: BackendRejected("a payload is malformed"),
    ),
    "a payload on which the driver breaks": (
        ["memory", "sqlite"],
        lambda span: replace(span, input=json_of("poison")),
        lambda: ValueError("what no backend may raise"),
    ),
    "a number that SQLite cannot hold": (
        ["sqlite"],
        lambda span: replace(span, prompt_name="p", prompt_version=TOO_LARGE),
        None,
    ),
}
CASES = [(kind, poison) for poison, (kinds, *_) in POISONS.items() for kind in kinds]


@torture("T37", "one poisonous record among a hundred", rounds=3, full=100)
@pytest.mark.parametrize(("kind", "poison"), CASES)
def test_one_among_a_hundred(trial: Trial, kind: str, poison: str) -> None:
    """Wherever it stands and however large the batches are, the others are stored exactly, and it is flagged."""
    _, spoil, error = POISONS[poison]
    for case in trial.cases():
        with case:
            records = [record(number) for number in range(1, RECORDS + 1)]
            place = case.chance.randrange(RECORDS)
            records[place] = spoil(records[place])
            store = opened(kind, case.folder)
            backend = store if error is None else Refusing(store, error)
            recorder = Recorder(Config(batch_items=case.chance.choice([1, 7, 64, 4096])), backend=backend).start()
            for made in records:
                assert recorder.emit(made)
            assert recorder.shutdown(20).delivered
            accounts_balance(recorder, emitted=RECORDS)
            found = asyncio.run(read(store if kind == "memory" else opened(kind, case.folder)))
            poisonous = records.pop(place)
            flagged = found.pop(poisonous.span_id)
            assert found == {made.span_id: made for made in records}
            assert b"$rejected" in bytes(flagged.metadata)
            assert (flagged.trace_id, flagged.start_ns) == (poisonous.trace_id, poisonous.start_ns)
            assert flagged.input is ABSENT


@torture("T37", "texts that stores stumble over, through SQLite", rounds=3, full=100)
def test_no_text_is_poison(trial: Trial) -> None:
    """NUL and lone surrogates are no poison: every one of them comes back as it was, and nothing is flagged."""
    for case in trial.cases():
        with case:
            strange = ["\0", "\ud800", "\udfff x", "\uffff", "a\0b", "\N{RIGHT-TO-LEFT OVERRIDE}"]
            records = [
                replace(record(number), name=case.chance.choice(strange), input=json_of(case.chance.choice(strange)))
                for number in range(1, RECORDS + 1)
            ]
            recorder = Recorder(Config(), backend=opened("sqlite", case.folder)).start()
            for made in records:
                assert recorder.emit(made)
            assert recorder.shutdown(20).delivered
            assert asyncio.run(read(opened("sqlite", case.folder))) == {made.span_id: made for made in records}
