"""The catalog in a file: its lists follow an index each, and random programs say what the reference says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.sqlite.files import opened, url_of
from tests.sqlite.test_query_plans import Explainer, every_one_of
from tests.sqlite.test_query_plans import statements as _statements
from tests.torture.declaring import torture
from tracecore.catalog import CatalogQuery, Entry, Put
from tracecore.testing.catalog_machine import run_catalog_machine
from tracecore.testing.opening import MakeBackend
from tracecore.testing.samples import json_of
from tracecore_sqlite import SqliteBackend, open_backend

statements = _statements
UNIQUE = "sqlite_autoindex_tc_catalog_1"
FILTERS: dict[str, Any] = {
    "parent": "p1", "name": "n7", "prefix": "n1", "refs": ("r1", "s2"), "at_ns": 5, "min_position": 3,
    "max_position": 900, "ascending": True, "offset": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with some thousand entries of two kinds."""
    path = tmp_path_factory.mktemp("plans") / "a.db"

    async def fill() -> None:
        async with opened(path) as backend:
            for kind in ("thing", "other"):
                await backend.catalog.commit([Put(_entry(kind, number)) for number in range(1000)])

    asyncio.run(fill())
    return path


def _entry(kind: str, number: int) -> Entry:
    return Entry(
        project="default", kind=kind, id=str(number), body=json_of("x" * 100), name=f"n{number}",
        parent=f"p{number % 7}", refs=(f"r{number % 5}", f"s{number % 11}"), position=number, attachment=b"x",
    )  # fmt: skip


@pytest.fixture
def explainer(filled: Path, statements: list[str]) -> Iterator[Explainer]:
    """Return an explainer of the statements that were run, once the fixtures have run theirs."""
    with closing(Explainer(filled, statements)) as explaining:
        yield explaining


@pytest.fixture
async def reading(filled: Path, statements: list[str]) -> AsyncIterator[SqliteBackend]:
    """Open the file for reading; no statement of opening is noted."""
    async with opened(filled, "read") as found:
        statements.clear()
        yield found


@torture("R-18", "the query plan of every list")
async def test_lists_follow_an_index(reading: SqliteBackend, explainer: Explainer) -> None:
    """Whatever is asked for, an index leads to it, a reference first; entries are read for the page alone."""
    for chosen in every_one_of(FILTERS):
        await reading.catalog.find("default", CatalogQuery(kind="thing", **chosen))
        listed, counted = explainer.plans()
        for plan in (listed, counted):
            assert plan.scanned == [], plan
            assert plan.tables <= {"tc_catalog", "tc_catalog_refs"}, plan
        by = counted.indexes
        if "refs" in chosen:
            assert counted.lines[0].startswith("SEARCH r USING PRIMARY KEY (project=? AND kind=? AND ref=?)")
            assert by == {UNIQUE}, counted
        elif "name" in chosen:
            assert by == {"tc_catalog_by_name"}, counted
        else:
            prefix: set[str] = {"tc_catalog_by_name"} if "prefix" in chosen else set()
            assert by <= {"tc_catalog_by_position", "tc_catalog_by_parent", *prefix}, counted
            assert by, counted
        # The page is made of numbers of rows; what lies under them is read afterwards, one by one.
        assert "body" not in listed.sql, listed
        for plan in explainer.looked_up:
            assert plan.lines == ["SEARCH e USING INTEGER PRIMARY KEY (rowid=?)"], plan


async def test_single_entries_follow_an_index(reading: SqliteBackend, explainer: Explainer) -> None:
    """One entry and its attachment are found by their keys."""
    assert await reading.catalog.get("default", "thing", "7") is not None
    assert await reading.catalog.named("default", "thing", "n7") is not None
    by_id, by_name = explainer.plans()
    assert by_id.scanned == by_name.scanned == []
    assert by_id.indexes == {UNIQUE, "sqlite_autoindex_tc_catalog_attachments_1"}
    assert by_name.indexes == {"tc_catalog_by_name", "sqlite_autoindex_tc_catalog_attachments_1"}


def test_random_catalogs(tmp_path: Path) -> None:
    """Whatever is committed in whatever order, every list is that of the reference, and so is every refusal."""
    numbers = count()

    def fresh() -> MakeBackend:
        url = url_of(tmp_path / f"{next(numbers)}.db")
        return lambda: open_backend(url)

    run_catalog_machine(fresh, durable=True)
