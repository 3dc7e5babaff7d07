"""An observation is found by its id alone, without its trace, by the index that finds words, and by no other."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.finding import found, maintained
from tests.postgres.test_query_plans import PARENTS, Explainer
from tests.postgres.test_query_plans import explainer as _explainer
from tests.postgres_server import Database
from tracecore.backend import ObservationQuery
from tracecore.conditions import Condition
from tracecore.testing.contract import HOSTILE_TEXTS
from tracecore.testing.opening import opened
from tracecore.testing.samples import PROJECT, json_of, span, span_id_of, trace_id_of
from tracecore_postgres import indexing, open_backend
from tracecore_postgres.schema import migrations

explainer = _explainer
SPANS = 3000
WITH_IDS = 6
"""The version of the schema from which on ids are in the index."""


@pytest.fixture
def filled(postgres: Database) -> Database:
    """Return the schema of this test, for the explainer."""
    return postgres


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Index whatever there is."""
    monkeypatch.setattr(indexing, "_SLICE_ROWS", 100)


def by_id(*span_ids: str, **more: Any) -> ObservationQuery:
    """Return a query for observations with one of these ids."""
    condition = Condition("id", "=", span_ids[0]) if len(span_ids) == 1 else Condition("id", "any of", span_ids)
    return ObservationQuery(where=(condition,), **more)


async def test_an_id_leads_to_its_observations(postgres: Database, explainer: Explainer) -> None:
    """Of all traces and of one project, whether indexed, changed since, or not indexed yet; by no walk."""
    backend = open_backend(postgres.url())
    async with opened(backend):
        for first in range(1, SPANS, 500):
            await backend.write([span(n, within=n // 3 + 1, after_s=n) for n in range(first, first + 500)])
        await backend.write([span(7, within=3, project="other", name="theirs"), span(8, within=1000, name="twice")])
        await backend.write([span(9, within=4, after_s=9, name="changed")])
        await maintained(backend)
        await postgres.fetch("ANALYZE")
        await backend.write([span(SPANS + 9, within=1000, name="new")])
        explainer._parents = dict(await postgres.fetch(PARENTS))
        explainer.plans()
        assert await found(backend, by_id(span_id_of(7))) == ["work 7"]
        plans = explainer.plans()
        assert plans
        for plan in plans:  # of a small index the server may read all, too
            assert plan.scanned <= {"tc_search", "tc_unindexed"}, plan
            assert "tc_observations_by_start" not in plan.indexes, plan
        assert await found(backend, by_id(span_id_of(7)), "other") == ["theirs"]
        assert sorted(await found(backend, by_id(span_id_of(8)))) == ["twice", "work 8"]
        assert await found(backend, by_id(span_id_of(9))) == ["changed"]
        assert await found(backend, by_id(span_id_of(SPANS + 9))) == ["new"]
        assert await found(backend, by_id(span_id_of(10**9))) == []
        assert sorted(await found(backend, by_id(span_id_of(5), span_id_of(6)))) == ["work 5", "work 6"]
        assert await found(backend, by_id(span_id_of(5), search="plum")) == []
        assert await found(backend, by_id(span_id_of(5), search="")) == []
        assert await found(backend, by_id(span_id_of(8), trace_id=trace_id_of(1000))) == ["twice"]
        await backend.erase(PROJECT, trace_ids=[trace_id_of(1000)])
        assert await found(backend, by_id(span_id_of(8))) == ["work 8"]


async def test_ids_are_of_any_kind(postgres: Database) -> None:
    """An id is any text, and no word of a text is taken for one, nor the other way round."""
    backend = open_backend(postgres.url())
    async with opened(backend):
        spans = [
            replace(span(n, name=f"n{n}"), span_id=text, input=json_of(text)) for n, text in enumerate(HOSTILE_TEXTS)
        ]
        await backend.write([*spans, *(span(number, within=50) for number in range(100, 300))])
        await maintained(backend)
        for number, text in enumerate(HOSTILE_TEXTS):
            assert await found(backend, by_id(text)) == [f"n{number}"], repr(text)
        assert await found(backend, ObservationQuery(search=span_id_of(100))) == []


async def test_a_schema_that_was_indexed_without_ids(postgres: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is sorted into the index anew, and every answer is right meanwhile."""
    with monkeypatch.context() as older:
        older.setattr("tracecore_postgres.backend.migrations", lambda: migrations()[: WITH_IDS - 1])
        async with opened(open_backend(postgres.url())) as backend:
            await backend.write([span(number, within=number) for number in range(1, 151)])
    await postgres.fetch("DELETE FROM tc_unindexed")
    backend = open_backend(postgres.url())
    async with opened(backend):
        for _ in range(3):
            assert await found(backend, by_id(span_id_of(150))) == ["work 150"]
            await backend.maintain()
        assert len(await postgres.fetch("SELECT FROM tc_search")) >= 100
