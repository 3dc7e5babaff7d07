"""The suites of catalogs and of erasing find what they are there to find: every planted bug fails them.

Each plant is the reference backend with one mistake that somebody could make.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.test_testing_suites import failures, making
from tracecore.catalog import CatalogPage, CatalogQuery, Change, Entry, Put
from tracecore.erasure import Erased
from tracecore.memory import MemoryBackend, MemoryData
from tracecore.memory_catalog import MemoryCatalog
from tracecore.testing.backend_suite import CatalogSuite, ErasureSuite
from tracecore.testing.catalog_machine import run_catalog_machine


class Planted(MemoryBackend):
    """A backend with another catalog."""

    kept_by: type[MemoryCatalog] = MemoryCatalog

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        vars(self)["catalog"] = self.kept_by(lambda: self._readable().entries_of_catalog, self._check_writable)


class HalfCommits(MemoryCatalog):
    """What stands before a conflict is kept."""

    async def commit(self, changes: Sequence[Change]) -> None:
        """Make the mistake."""
        for change in changes:
            await super().commit([change])


class Unconditional(MemoryCatalog):
    """Nobody is second."""

    async def commit(self, changes: Sequence[Change]) -> None:
        """Make the mistake."""
        for change in changes:
            await super().commit([replace(change, expected=None)])


class Trusting(MemoryCatalog):
    """The revision that a change names is taken for that of the entry."""

    async def commit(self, changes: Sequence[Change]) -> None:
        """Make the mistake."""
        await super().commit(changes)
        for change in changes:
            if isinstance(change, Put) and change.entry.revision:
                key = change.entry.project, change.entry.kind, change.entry.id
                self._entries()[key] = replace(self._entries()[key], revision=change.entry.revision)


class Attaching(MemoryCatalog):
    """Lists come with attachments."""

    async def find(self, project: str, query: CatalogQuery) -> CatalogPage:
        """Make the mistake."""
        page = await super().find(project, query)
        whole = [self._entries()[one.project, one.kind, one.id] for one in page.items]
        return CatalogPage(whole, page.total)


class Narrow(MemoryCatalog):
    """The total is that of the page."""

    async def find(self, project: str, query: CatalogQuery) -> CatalogPage:
        """Make the mistake."""
        page = await super().find(project, query)
        return CatalogPage(page.items, len(page.items))


class Endless(MemoryCatalog):
    """A page has no bound but its limit."""

    async def find(self, project: str, query: CatalogQuery) -> CatalogPage:
        """Make the mistake."""
        return await super().find(project, replace(query, max_bytes=1 << 40))


class Lasting(MemoryCatalog):
    """What held until a time holds at that time, too."""

    async def find(self, project: str, query: CatalogQuery) -> CatalogPage:
        """Make the mistake."""
        longer = replace(query, at_ns=None if query.at_ns is None else query.at_ns - 1)
        return await super().find(project, longer)


class Either(MemoryCatalog):
    """Of several references one suffices."""

    async def find(self, project: str, query: CatalogQuery) -> CatalogPage:
        """Make the mistake."""
        return await super().find(project, replace(query, refs=query.refs[:1]))


class Namesakes(MemoryCatalog):
    """A name of another kind is taken, too."""

    async def named(self, project: str, kind: str, name: str) -> Entry | None:
        """Make the mistake."""
        return next((one for one in self._entries().values() if (one.project, one.name) == (project, name)), None)


class Orphaning(MemoryBackend):
    """Scores outlive the trace that they judge."""

    async def erase(self, project: str, **ids: Any) -> Erased:
        """Make the mistake."""
        kept = dict(self._data.scores)
        erased = await super().erase(project, **ids)
        self._data.scores.update(kept)
        return erased


class Crossing(MemoryBackend):
    """The same ids of every project are erased."""

    async def erase(self, project: str, **ids: Any) -> Erased:
        """Make the mistake."""
        for other in {owner for owner, _ in self._data.traces} - {project}:
            await super().erase(other, **ids)
        return await super().erase(project, **ids)


class Boasting(MemoryBackend):
    """Every id that was asked for is said to have been there."""

    async def erase(self, project: str, **ids: Any) -> Erased:
        """Make the mistake."""
        return replace(await super().erase(project, **ids), traces=tuple(ids.get("trace_ids", ())))


class Beginning(MemoryBackend):
    """What began before a time goes, although it ended later."""

    async def erase_before(self, project: str, until_ns: int, **given: Any) -> bool:
        """Make the mistake."""
        begun = [one for one in self._data.rollups.values() if one.project == project and one.start_ns < until_ns]
        self._data.erase_traces(project, [one.trace_id for one in begun])
        return await super().erase_before(project, until_ns, **given)


class Sparing(MemoryBackend):
    """The records of sessions outlive their project."""

    async def erase_project(self, project: str, **given: Any) -> bool:
        """Make the mistake."""
        kept = dict(self._data.sessions)
        more = await super().erase_project(project, **given)
        more = more and self._data.sessions == kept
        self._data.sessions.update(kept)
        return more


CATALOGS = [HalfCommits, Unconditional, Trusting, Attaching, Narrow, Lasting, Endless, Either, Namesakes]
ERASERS = [Orphaning, Crossing, Boasting, Beginning, Sparing]


def _with(catalog: type[MemoryCatalog]) -> type[MemoryBackend]:
    return type("Plant", (Planted,), {"kept_by": catalog})


class Catalogs(CatalogSuite):
    """The part alone."""


class Erasers(ErasureSuite):
    """The part alone."""


@pytest.mark.parametrize("catalog", CATALOGS)
def test_a_bug_of_a_catalog_is_found_by_its_suite(catalog: type[MemoryCatalog]) -> None:
    """The part that proves a capability finds by itself what is wrong with it."""
    assert next(failures(_with(catalog), Catalogs), None) is not None, catalog.__doc__


@pytest.mark.parametrize("kind", ERASERS)
def test_a_bug_of_erasing_is_found_by_its_suite(kind: type[MemoryBackend]) -> None:
    """The part that proves a capability finds by itself what is wrong with it."""
    assert next(failures(kind, Erasers), None) is not None, kind.__doc__


def test_an_honest_one_passes() -> None:
    """The parts find nothing wrong with the reference."""
    assert list(failures(_with(MemoryCatalog), Catalogs)) == []
    assert list(failures(MemoryBackend, Erasers)) == []


@pytest.mark.parametrize("catalog", [HalfCommits, Unconditional, Trusting, Narrow])
def test_random_catalogs_find_planted_bugs(catalog: type[MemoryCatalog]) -> None:
    """The machine fails for catalogs that say something else than the reference does."""
    with pytest.raises((AssertionError, BaseExceptionGroup)):
        run_catalog_machine(lambda: making(_with(catalog), MemoryData())[0], durable=True, examples=300, shorten=False)
