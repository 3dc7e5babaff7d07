"""An observation is found by its id alone, without its trace, by the index that finds words, and by no other."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.finding import found, maintained
from tests.migrations.test_schema import apply
from tests.sqlite.files import opened, span
from tests.sqlite.test_query_plans import Explainer
from tests.sqlite.test_query_plans import statements as _statements
from tracecore.backend import ObservationQuery
from tracecore.conditions import Condition
from tracecore.testing.contract import HOSTILE_TEXTS
from tracecore.testing.samples import PROJECT, json_of, span_id_of
from tracecore_sqlite import search
from tracecore_sqlite.schema import migrations

statements = _statements
SPANS = 1000
WITH_IDS = 7
"""The version of the schema from which on ids are in the index."""


def by_id(*span_ids: str, **more: Any) -> ObservationQuery:
    """Return a query for observations with one of these ids."""
    condition = Condition("id", "=", span_ids[0]) if len(span_ids) == 1 else Condition("id", "any of", span_ids)
    return ObservationQuery(where=(condition,), **more)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Index ten at a time, so that nearly all of a file is indexed."""
    monkeypatch.setattr(search, "_SLICE_ROWS", 10)


async def test_an_id_leads_to_its_observations(tmp_path: Path, statements: list[str]) -> None:
    """Of all traces and of one project, whether indexed, changed since, or not indexed yet; by no walk."""
    path = tmp_path / "a.db"
    async with opened(path) as backend:
        await backend.write([span(number, trace=number // 3, input=json_of("plum")) for number in range(SPANS)])
        await backend.write([replace(span(7, "theirs", trace=1), project="other"), span(8, "twice", trace=900)])
        await maintained(backend)
        await backend.write([span(9, "changed", trace=3), span(SPANS, "new", trace=900)])
        with closing(Explainer(path, statements)) as explaining:
            statements.clear()
            assert await found(backend, by_id(span_id_of(7))) == ["s7"]
            plans = explaining.plans()
        (listed,) = [plan for plan in plans if "ORDER BY" in plan.sql]
        assert "SEARCH o USING INTEGER PRIMARY KEY (rowid=?)" in listed.lines, listed
        assert not any("tc_observations_by_start" in plan.indexes for plan in plans)
        assert await found(backend, by_id(span_id_of(7)), "other") == ["theirs"]
        assert await found(backend, by_id(span_id_of(8))) == ["twice", "s8"]
        assert await found(backend, by_id(span_id_of(9))) == ["changed"]
        assert await found(backend, by_id(span_id_of(SPANS))) == ["new"]
        assert await found(backend, by_id(span_id_of(10**9))) == []
        several = by_id(*(span_id_of(number) for number in (5, 6, 5000, SPANS)))
        assert await found(backend, several) == ["new", "s6", "s5"]
        assert await found(backend, replace(several, search="plum")) == ["s6", "s5"]
        assert await found(backend, replace(several, search="pear")) == []
        assert await found(backend, replace(several, search="")) == []
        assert await found(backend, by_id(span_id_of(8), trace_id=f"{900:032x}")) == ["twice"]
        await backend.erase(PROJECT, trace_ids=[f"{900:032x}"])
        assert await found(backend, by_id(span_id_of(8))) == ["s8"]


async def test_ids_are_of_any_kind(tmp_path: Path) -> None:
    """An id is any text, and no word of a text is taken for one, nor the other way round."""
    async with opened(tmp_path / "a.db") as backend:
        spans = [replace(span(n, f"n{n}"), span_id=text, input=json_of(text)) for n, text in enumerate(HOSTILE_TEXTS)]
        await backend.write(spans)
        await backend.write([span(number, trace=50) for number in range(100, 150)])
        await maintained(backend)
        for number, text in enumerate(HOSTILE_TEXTS):
            assert await found(backend, by_id(text)) == [f"n{number}"], repr(text)
        assert await found(backend, ObservationQuery(search=span_id_of(100))) == []


async def test_a_file_that_was_indexed_without_ids(tmp_path: Path) -> None:
    """Its index is made anew, and every answer is right meanwhile."""
    path = tmp_path / "old.db"
    apply(path, migrations()[: WITH_IDS - 1])
    with closing(sqlite3.connect(path)) as raw, raw:
        for number in range(50):
            raw.execute(
                "INSERT INTO tc_observations (project, trace_id, span_id, type, name, start_ns, duration_ns, status) "
                "VALUES ('default', printf('%032x', ?1), printf('%016x', ?1), 'span', 's' || ?1, ?1, 5, 'ok')",
                (number,),
            )
        raw.execute("UPDATE tc_state SET value = 50 WHERE name = 'indexed'")
        raw.execute("INSERT INTO tc_state VALUES ('orphans', 5)")
    async with opened(path) as backend:
        for step in (lambda: None, backend.maintain, backend.maintain):
            await _maybe(step)
            assert await found(backend, by_id(span_id_of(7), span_id_of(49))) == ["s49", "s7"]


async def _maybe(step: Callable[[], Any]) -> None:
    done = step()
    if done is not None:
        await done
