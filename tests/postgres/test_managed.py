"""Prompts, datasets and experiments over PostgreSQL: raced through several openings, and found by their indexes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from msgspec import Raw
from msgspec.structs import replace

from tests.postgres.test_query_plans import EMPTY, PARENTS
from tests.postgres_server import Database
from tracecore.backend import ObservationQuery
from tracecore.catalog_prompts import CatalogPrompts
from tracecore.clock import wall_ns
from tracecore.errors import ConfigError
from tracecore.prompts import LabelMove, NewPrompt
from tracecore.records import Experiment, Span
from tracecore.services.datasets import DatasetChange, Datasets, ItemChange
from tracecore.services.experiments import ExperimentQuery, Experiments
from tracecore.testing.opening import opened
from tracecore_postgres import PostgresBackend, open_backend
from tracecore_postgres.observations import _conditions, _order
from tracecore_postgres.reading import numbered
from tracecore_postgres.texts import stored_values


@pytest.fixture
async def two(postgres: Database) -> AsyncIterator[list[PostgresBackend]]:
    """Return two openings of one database."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(opened(open_backend(postgres.url()))) for _ in range(2)]


async def test_all_publish_at_once(two: list[PostgresBackend]) -> None:
    """Publishers get a version each, and every label is on one of them."""
    keepers = [CatalogPrompts(backend.catalog) for backend in two]

    async def one(number: int) -> int:
        new = NewPrompt(name="n", type="text", prompt=Raw(b'"x"'), labels=("production",))
        return (await keepers[number % 2].publish("p", new)).version

    async def move(number: int) -> None:
        await keepers[number % 2].change("p", "n", LabelMove(version=1 + number % 2, labels=("moving",)))

    assert sorted(await asyncio.gather(*map(one, range(12)))) == list(range(1, 13))
    await asyncio.gather(*map(move, range(6)), *map(one, range(4)))
    found = [await keepers[0].get("p", "n", version=version) for version in range(1, 17)]
    for label in ("production", "moving", "latest"):
        assert [label in prompt.labels for prompt in found].count(True) == 1


async def test_all_write_items_at_once(two: list[PostgresBackend]) -> None:
    """No item gets past a schema that is being set, and every state of an item is found at its time."""
    keepers = [Datasets(backend.catalog, "p") for backend in two]
    dataset = await keepers[0].put(DatasetChange(name="d"), now_ns=0)
    schema = Raw(json.dumps({"type": "object"}).encode())

    async def write(number: int) -> bool:
        change = ItemChange(dataset_name="d", id=f"i{number % 5}", input=Raw(b"{}" if number % 2 else b"0"))
        try:
            await keepers[number % 2].put_item(change, now_ns=number * 10**6)
        except ConfigError:
            return False
        return True

    async def set_schema() -> bool:
        try:
            await keepers[1].put(DatasetChange(name="d", input_schema=schema), now_ns=0)
        except ConfigError:
            return False
        return True

    *_, was_set = await asyncio.gather(*map(write, range(20)), set_schema())
    found, _ = await keepers[0].find_items(dataset, limit=100, offset=0)
    assert len({one.id for one in found}) == len(found) > 0
    if was_set:
        assert {bytes(one.item.input) for one in found} == {b"{}"}
    then, _ = await keepers[0].find_items(dataset, at_ns=found[-1].since_ns, limit=100, offset=0)
    assert found[-1] in then


async def test_lists_of_experiments(two: list[PostgresBackend], postgres: Database) -> None:
    """A list of one experiment, and one of all items, follows an index that holds nothing but experiments."""
    start_ns = wall_ns()
    spans = [Span("p", f"{n // 3:032x}", f"{n:016x}", "s", start_ns + n, duration_ns=1) for n in range(3_000)]
    of = [
        replace(one, experiment=Experiment("e" if number % 2 else "f", item_root_span_id=one.span_id))
        for number, one in enumerate(spans[:40])
    ]
    await two[0].write(of + spans[40:])
    await postgres.fetch("ANALYZE")
    for asked, index in [
        ({"experiment_id": "e"}, "tc_observations_by_experiment"),
        ({"experiment_items": True}, "tc_observations_experiment_items"),
        ({"experiment_id": "e", "experiment_items": True, "since_ns": start_ns}, "tc_observations_by_experiment"),
    ]:  # fmt: skip
        query = ObservationQuery(**asked)
        assert await _indexes(postgres, query) <= {index, "tc_observations_experiment_items"}, query
        assert len((await two[1].observations.find("p", query)).items) == (20 if "experiment_id" in asked else 40)
    found, _ = await Experiments(two[0], two[0].catalog, "p").find(ExperimentQuery(since_ns=start_ns), limit=10)
    assert [(one.id, one.item_count) for one in found] == [("e", 20), ("f", 20)]


async def _indexes(postgres: Database, query: ObservationQuery) -> set[str]:
    """Return which indexes a list follows, in whatever partitions."""
    where = _conditions("p", query, None)
    sql = f"SELECT o.span_id FROM tc_observations o WHERE {where.sql} ORDER BY {_order(query)} LIMIT 51"  # noqa: S608 - made of constants
    [(packed,)] = await postgres.fetch(f"EXPLAIN (FORMAT JSON) {numbered(sql)}", *stored_values(where.values))
    steps: list[dict[str, Any]] = [json.loads(packed)[0]["Plan"]]
    parents = dict(await postgres.fetch(PARENTS))
    found: set[str] = set()
    while steps:
        step = steps.pop()
        steps += step.get("Plans", [])
        assert step["Node Type"] != "Seq Scan" or step["Relation Name"].endswith(EMPTY), step
        if "Index Name" in step:
            found.add(parents.get(step["Index Name"], step["Index Name"]))
    return found
