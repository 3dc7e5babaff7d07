"""Searching finds the same however it is done: few candidates or many, indexed or not, in slices of any size."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw
from msgspec.structs import replace

from tests.postgres_server import Database
from tracecore.backend import ObservationQuery, TraceQuery
from tracecore.records import ErrorInfo, Span
from tracecore.testing.opening import opened, opened_with, pages_of
from tracecore_postgres import candidates, indexing, open_backend

WEEK_NS = 7 * 24 * 3600 * 10**9
START = 2_900 * WEEK_NS


def span(number: int, text: str = "", *, trace: int | None = None, **fields: Any) -> Span:
    """Return a finished span that says something; ``number`` makes its ids and its time."""
    values: dict[str, Any] = {"duration_ns": 500, "input": Raw(f'"{text}"'.encode()), **fields}
    trace_id = f"{number if trace is None else trace:032x}"
    return Span("default", trace_id, f"{number:016x}", f"s{number}", START + 1_000 * number, **values)


async def found(backend: Any, phrase: str, *, limit: int = 3, **conditions: Any) -> tuple[list[int], list[int]]:
    """Return the numbers of the observations and of the traces that hold a phrase, page by page."""
    spans = await pages_of(
        backend.observations.find, "default", ObservationQuery(search=phrase, limit=limit, **conditions)
    )
    traces = await pages_of(backend.traces.find, "default", TraceQuery(search=phrase, limit=limit, **conditions))
    return (
        [int(one.span_id, 16) for page in spans for one in page],
        [int(one.trace_id, 16) for page in traces for one in page],
    )


@pytest.fixture(params=["rare", "common"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make every phrase a rare or a common one."""
    name: str = request.param
    monkeypatch.setattr(candidates, "_FEW", 10_000 if name == "rare" else -1)
    return name


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Index whatever waits."""
    monkeypatch.setattr(indexing, "_SLICE_ROWS", 1)


async def value(postgres: Database, sql: str) -> Any:
    """Return what a statement answers, past every backend."""
    return (await postgres.fetch(sql))[0][0]


async def settled(backend: Any) -> None:
    """Do all of the work that was put off."""
    while await backend.maintain():
        pass


@pytest.mark.usefixtures("way", "eager")
@pytest.mark.parametrize("size", [1, 2, 7, 256])
async def test_slices_of_any_size(postgres: Database, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """However few rows are read at once, every page is full and nothing is found twice."""
    monkeypatch.setattr(candidates, "_SMALLEST", 1)
    monkeypatch.setattr(candidates, "_LARGEST", size)
    # Two words in the wrong order are proposed, too, and are proved not to be the phrase.
    texts = ("red apple", "apple red", "a red apple", "pear")
    records = [span(n, texts[n % 4], trace=n // 2) for n in range(1, 41)]
    expected = [n for n in range(40, 0, -1) if n % 4 in {0, 2}]
    traces = sorted({n // 2 for n in expected}, reverse=True)
    async with opened_with(open_backend(postgres.url()), records) as backend:
        assert await found(backend, "red apple") == (expected, traces)
        await settled(backend)
        assert await value(postgres, "select count(*) from tc_unindexed") == 0
        assert await found(backend, "red apple") == (expected, traces)
        assert await found(backend, "red apple", since_ns=START + 20_000, until_ns=START + 30_000) == (
            [28, 26, 24, 22, 20], [14, 13, 12, 11, 10],
        )  # fmt: skip
        assert await found(backend, "apple apple") == ([], [])


@pytest.mark.usefixtures("way", "eager")
async def test_long_texts_are_read_few_at_a_time(postgres: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where texts are long, fewer are read at once, at least one, and none is left out."""
    monkeypatch.setattr(candidates, "_SLICE_BYTES", 1_000)
    records = [span(n, "needle " + "x" * (400 if n % 3 else 3_000), trace=1) for n in range(1, 13)]
    async with opened_with(open_backend(postgres.url()), records) as backend:
        for _ in range(2):
            assert await found(backend, "needle", limit=5) == (list(range(12, 0, -1)), [1])
            await settled(backend)


@pytest.mark.usefixtures("way", "eager")
async def test_texts_over_many_weeks(postgres: Database) -> None:
    """A search reads every partition, in the order of the list."""
    records = [replace(span(n, "needle"), start_ns=START + n * WEEK_NS) for n in range(1, 8)]
    records += [replace(span(8, "needle"), start_ns=0), replace(span(9, "needle"), start_ns=2**62)]
    async with opened_with(open_backend(postgres.url()), records) as backend:
        for _ in range(2):
            assert await found(backend, "needle") == ([9, *range(7, 0, -1), 8], [9, *range(7, 0, -1), 8])
            await settled(backend)


@pytest.mark.usefixtures("way", "eager")
async def test_nothing_is_too_long_to_be_found(postgres: Database) -> None:
    """A word of megabytes and a text of a million words are found by what stands in them."""
    long, many = "x" * 2_000_000, " ".join(f"w{n}" for n in range(200_000))
    async with opened_with(
        open_backend(postgres.url()), [span(1, long), span(2, many), span(3, long + "y")]
    ) as backend:
        for _ in range(2):
            assert await found(backend, long) == ([1], [1])
            assert await found(backend, "w199998 w199999") == ([2], [2])
            assert await found(backend, "w5 w7") == ([], [])
            await settled(backend)


@pytest.mark.usefixtures("way", "eager")
async def test_what_changes_is_indexed_again(postgres: Database) -> None:
    """A text that replaces another is found, and the other one no more, before and after it was indexed again."""
    async with opened_with(open_backend(postgres.url()), [span(1, "before", error=ErrorInfo("Old"))]) as backend:
        await settled(backend)
        assert await found(backend, "before") == ([1], [1])
        await backend.write([span(1, "after", error=ErrorInfo("New"))])
        for _ in range(2):
            assert await found(backend, "after") == ([1], [1])
            assert await found(backend, "new") == ([1], [1])
            assert await found(backend, "before") == ([], [])
            assert await found(backend, "old") == ([], [])
            await settled(backend)


async def test_indexing_waits_until_it_is_worth_it(postgres: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice is a number of observations, or of bytes of their texts; less than the first waits for more."""
    monkeypatch.setattr(indexing, "_SLICE_ROWS", 4)
    waiting, indexed = "select count(*) from tc_unindexed", "select count(*) from tc_search"
    async with opened_with(open_backend(postgres.url()), [span(n, "x") for n in range(1, 4)]) as backend:
        await settled(backend)
        assert (await value(postgres, waiting), await value(postgres, indexed)) == (3, 0)
        await backend.write([span(n, "x") for n in range(4, 11)])
        await settled(backend)
        assert (await value(postgres, waiting), await value(postgres, indexed)) == (2, 8)
        monkeypatch.setattr(indexing, "_SLICE_BYTES", 1_000)
        await backend.write([span(n, "x" * 900) for n in range(11, 16)])
        assert await backend.maintain()
        assert await value(postgres, waiting) == 7 - 3
        assert await found(backend, "x", limit=100) == (list(range(10, 0, -1)), list(range(10, 0, -1)))


@pytest.mark.usefixtures("eager")
async def test_two_index_at_once(postgres: Database) -> None:
    """Two processes that index the same database take different observations, and both end."""
    records = [span(n, f"needle {n}") for n in range(1, 200)]
    async with opened_with(open_backend(postgres.url()), records) as one, opened(open_backend(postgres.url())) as other:
        both = (one, other)
        while any([await backend.maintain() for backend in both]):
            pass
        assert await value(postgres, "select count(*) from tc_search") == len(records)
        assert await found(one, "needle 77") == ([77], [77])


async def test_a_row_that_is_being_written_is_not_indexed_yet(
    postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What somebody else holds in the queue stays there: neither waits for the other."""
    monkeypatch.setattr(indexing, "_SLICE_ROWS", 1)
    async with opened_with(open_backend(postgres.url()), [span(1, "one"), span(2, "two")]) as backend:
        async with backend.reading() as connection, connection.transaction():
            await connection.execute("select 1 from tc_unindexed order by id limit 1 for update")
            await backend.maintain()
            assert await value(postgres, "select count(*) from tc_search") == 1
        await settled(backend)
        assert await value(postgres, "select count(*) from tc_search") == 2
        assert await found(backend, "one") == ([1], [1])
