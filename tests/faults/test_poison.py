"""One record among a hundred that the store cannot take: 99 are stored exactly, and it without what is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw
from msgspec.structs import replace

from tests.fakes import accounts_balance
from tests.http_server import Rooms, served
from tests.postgres_server import admin
from tests.torture.declaring import torture
from tests.torture.trial import Case, Trial
from tracecore import Config, Recorder
from tracecore.backend import Backend, Batch, ObservationQuery
from tracecore.codec import encoded
from tracecore.errors import BackendRejected
from tracecore.plugins import open_backend
from tracecore.records import ABSENT, Generation, Observation, Span
from tracecore.testing.opening import observations_in, opened
from tracecore.testing.samples import generation, json_of

RECORDS = 100
TOO_LARGE = 1 << 70
STORES = ["memory", "sqlite", "postgres", "http"]
Make = Callable[[], Backend]
"""What returns a backend for the same data each time."""


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


@contextmanager
def store_of(kind: str, folder: Path, error: Callable[[], Exception] | None = None) -> Iterator[Make]:
    """Give a store of a kind, which refuses with an error where there is one; over HTTP it is the server's."""

    def breaking(url: str) -> Backend:
        backend = open_backend(url)
        return backend if error is None else Refusing(backend, error)

    sqlite = f"sqlite:///{folder / 'a.db'}"
    if kind == "postgres":
        with admin() as database:
            yield lambda: breaking(database.url())
    elif kind == "http":
        with served(Rooms(lambda _: breaking(sqlite))) as address:
            yield lambda: open_backend(f"{address}/room")
    else:
        yield lambda: breaking(sqlite if kind == "sqlite" else f"memory:{folder.name}")


async def read(backend: Backend, project: str) -> dict[str, Observation]:
    """Return every observation of a project by its span id, with its payloads."""
    async with opened(backend):
        query = ObservationQuery(limit=RECORDS + 1, bodies=True)
        page = await observations_in(backend).find(project, query)
    return {found.span_id: found for found in page.items}


def recorded(make: Make, case: Case, records: list[Generation]) -> dict[str, Observation]:
    """Send the records of a case through a recorder, in batches of some size, and return what can be read then."""
    recorder = Recorder(Config(batch_items=case.chance.choice([1, 7, 64, 4096])), backend=make()).start()
    for made in records:
        assert recorder.emit(made)
    assert recorder.shutdown(20).delivered
    accounts_balance(recorder, emitted=len(records))
    return asyncio.run(read(make(), records[0].project))


def record(number: int, project: str) -> Generation:
    """Return a generation with payloads, usage and cost, all of which must come back as they are."""
    return generation(
        number,
        within=1 + number // 7,
        project=project,
        name=f"call {number}",
        input=json_of({"question": number, "text": "\0 and \N{SNOWMAN}"}),
        output=json_of(["answer"] * (number % 4)),
        model="m",
        usage_details={"input": number},
        total_cost=number / 1e6,
    )


def records_of(case: Case) -> list[Generation]:
    """Return a hundred records, in a project of this case's own."""
    return [record(number, f"p{case.number}") for number in range(1, RECORDS + 1)]


POISONS: dict[str, tuple[list[str], Callable[[Generation], Generation], Callable[[], Exception] | None]] = {
    "a payload that is refused": (
        STORES,
        lambda span: replace(span, input=json_of("poison")),
        lambda: BackendRejected("a payload is malformed"),
    ),
    "a payload on which the driver breaks": (
        STORES,
        lambda span: replace(span, input=json_of("poison")),
        lambda: ValueError("what no backend may raise"),
    ),
    "a number that no column can hold": (
        ["sqlite", "postgres", "http"],
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
    with store_of(kind, trial.folder, error) as make:
        for case in trial.cases():
            with case:
                records = records_of(case)
                place = case.chance.randrange(RECORDS)
                records[place] = spoil(records[place])
                found = recorded(make, case, records)
                poisonous = records.pop(place)
                flagged = found.pop(poisonous.span_id)
                assert found == {made.span_id: made for made in records}
                assert b"$rejected" in bytes(flagged.metadata)
                assert (flagged.trace_id, flagged.start_ns) == (poisonous.trace_id, poisonous.start_ns)
                assert flagged.input is ABSENT


STRANGE = [
    "\0", "a\0b", "\x01\x03", "\ud800", "\udfff x", "\ud7ff", "\ud7ffd800", "\ud7ff0", "\uffff", "\U0010ffff",
    "\N{RIGHT-TO-LEFT OVERRIDE}", "\\u0000", "' OR 1=1 --", "%s $1 ?", "k" * 100_000,
]  # fmt: skip
DEEP, DEEPEST = 512, 100_000
PAYLOADS = [
    *map(json_of, STRANGE),
    *(json_of({text: {text: text}}) for text in STRANGE),
    *(json_of(number) for number in (2**63 - 1, 2**63, -(2**63) - 1, 2**200, 1e308, 5e-324, -0.0)),
    *(Raw(text) for text in (b"1e400", b'"\\ud800"', b'"\\u0000"', b'{"a":1,"a":2}', b'{ "a" :\t[ 1 ] }')),
    *(Raw(encoded(value)) for value in (float("nan"), float("-inf"), 2**63, {"\ud800": "\0"}, {1: {None: ...}})),
    Raw(b"[" * DEEP + b"]" * DEEP),
    Raw(b'{"a":' * DEEP + b"1" + b"}" * DEEP),
]  # fmt: skip
"""What JSON can hold, and stores or drivers may not."""
MALFORMED = [Raw(b"NaN"), Raw(b"-Infinity"), Raw(b"{"), Raw(b'"'), Raw(b"[" * DEEPEST + b"]" * DEEPEST)]
"""What no reader of JSON understands; only somebody who makes records without the encoder emits it."""


@torture("T37", "texts and numbers that stores stumble over", rounds=3, full=100)
@pytest.mark.parametrize("kind", STORES)
def test_no_text_is_poison(trial: Trial, kind: str) -> None:
    """NUL, lone surrogates and the like are no poison: each comes back as it was, and nothing is flagged."""
    with store_of(kind, trial.folder) as make:
        for case in trial.cases():
            with case:
                choice = case.chance.choice
                records = [
                    replace(
                        made, name=choice(STRANGE), model=choice(STRANGE), status_message=choice(STRANGE),
                        input=choice(PAYLOADS), output=PAYLOADS[number % len(PAYLOADS)], metadata=choice(PAYLOADS),
                        usage_details={choice(STRANGE): choice([2**63, 2**70, 0])},
                    )
                    for number, made in enumerate(records_of(case))
                ]  # fmt: skip
                assert recorded(make, case, records) == {made.span_id: made for made in records}


@torture("T37", "payloads that are no JSON", rounds=3, full=100)
@pytest.mark.parametrize("kind", STORES)
def test_what_is_no_json(trial: Trial, kind: str) -> None:
    """It comes back byte by byte, or where the way to the store is JSON without payloads and flagged; others do not."""
    with store_of(kind, trial.folder) as make:
        for case in trial.cases():
            with case:
                records = records_of(case)
                places = case.chance.sample(range(RECORDS), 5)
                for place, payload in zip(places, MALFORMED, strict=True):
                    records[place] = replace(records[place], output=payload)
                found = recorded(make, case, records)
                assert len(found) == RECORDS
                for place, made in enumerate(records):
                    stored = found[made.span_id]
                    flagged = kind == "http" and place in places and b"$rejected" in bytes(stored.metadata)
                    assert stored == (
                        replace(made, input=ABSENT, output=ABSENT, metadata=stored.metadata) if flagged else made
                    )
