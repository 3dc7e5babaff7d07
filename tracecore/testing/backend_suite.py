"""The conformance suite of backends: a sink with the stores for traces, observations, sessions, scores and search.

``BackendSuite`` is what most backends can do. One that is durable, speaks SQL, keeps a ledger or a catalog, or measures
joins ``DurableSuite``, ``SqlSuite``, ``LedgerSuite``, ``CatalogSuite`` and ``MeasureSuite`` beside it; one that can do
less joins the parts that fit. Nothing is ever skipped: what is expected and the parts that have been joined are
compared.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import pytest
from msgspec.structs import asdict, replace

from tracecore.backend import (
    Backend,
    Inspectable,
    LedgerQuery,
    Migratable,
    ObservationQuery,
    Repeatable,
    ScoreQuery,
    SessionQuery,
    TraceQuery,
)
from tracecore.catalog import Catalogued
from tracecore.erasure import Erasable
from tracecore.errors import BackendError, BackendRejected, TracecoreError
from tracecore.measures import Measuring
from tracecore.records import TraceAttributes
from tracecore.testing.catalog_suite import CatalogSuite
from tracecore.testing.comparing import same
from tracecore.testing.contract import Contract
from tracecore.testing.erasure_suite import ErasureSuite
from tracecore.testing.experiment_suite import ExperimentSuite
from tracecore.testing.ledger_suite import LedgerSuite
from tracecore.testing.measure_suite import MeasureSuite
from tracecore.testing.observation_suite import ObservationSuite
from tracecore.testing.opening import (
    MakeBackend,
    observations_in,
    opened,
    opened_with,
    scores_in,
    sessions_in,
    traces_in,
)
from tracecore.testing.samples import PROJECT, entry, score, span, span_id_of, trace_id_of
from tracecore.testing.score_suite import ScoreSuite
from tracecore.testing.search_suite import SearchSuite
from tracecore.testing.session_suite import SessionSuite
from tracecore.testing.sink_suite import DurableSuite, SinkSuite
from tracecore.testing.sql_suite import SqlSuite
from tracecore.testing.trace_suite import TraceSuite

__all__ = [
    "BackendSuite", "CapabilitySuite", "CatalogSuite", "DurableSuite", "ErasureSuite", "LedgerSuite", "MeasureSuite",
    "SqlSuite",
]  # fmt: skip

_PARTS: Final[dict[str, type[Contract]]] = {
    "durable": DurableSuite,
    "traces": TraceSuite,
    "observations": ObservationSuite,
    "sessions": SessionSuite,
    "scores": ScoreSuite,
    "search": SearchSuite,
    "sql": SqlSuite,
    "ledger": LedgerSuite,
    "catalog": CatalogSuite,
    "measures": MeasureSuite,
}
_STORES: Final = ("traces", "observations", "sessions", "scores", "sql", "ledger")


class CapabilitySuite(Contract):
    """Prove that a backend says of itself what its tests expect, and that all of that is tested."""

    async def test_declares_what_is_expected(self, make: MakeBackend) -> None:
        """Capabilities: "Declare what a backend can do"; "constant for its lifetime"."""
        backend = make()
        same(backend.capabilities, self.expected)
        async with opened(backend):
            same(backend.capabilities, self.expected)
        same(backend.capabilities, self.expected)

    async def test_a_store_is_there_when_it_is_declared(self, make: MakeBackend) -> None:
        """Backend: "a store it lacks is None", and one it declares is not."""
        async with opened(make()) as backend:
            stores = {name: getattr(backend, name) is not None for name in _STORES}
            stores["catalog"] = isinstance(backend, Catalogued)
            stores["measures"] = isinstance(backend, Measuring)
        assert stores == {name: getattr(self.expected, name) for name in stores}

    async def test_every_expected_capability_is_tested(self) -> None:
        """Capabilities: "a silently skipped test reads like a passing one"; here each capability has its part."""
        for name, wanted in asdict(self.expected).items():
            if name == "level":  # it is proved by killing programs
                continue
            joined = isinstance(self, _PARTS[name])
            assert joined == wanted, f"{name} is {'' if wanted else 'not '}expected: {_PARTS[name].__name__}"

    async def test_what_erases_is_tested(self, make: MakeBackend) -> None:
        """Erasable: "What a backend is besides, that erases": one that does joins the part that proves it."""
        assert isinstance(self, ErasureSuite) == isinstance(make(), Erasable)

    async def test_says_where_the_data_is(self, make: MakeBackend) -> None:
        """Backend.location: "Return where the data is": the same before and after opening."""
        backend = make()
        before = backend.location
        async with opened(backend):
            assert backend.location == before
        assert before.strip()
        assert make().location == before, "another backend of the same data says another location"

    async def test_making_a_backend_touches_nothing(
        self, make: MakeBackend, make_reader: MakeBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """BackendFactory: "Make a backend from a URL, without touching the disk or the network yet"."""
        before = _paths_in(tmp_path)
        with monkeypatch.context() as cut_off:
            cut_off.setattr(socket, "socket", _no_network)
            make()
            make_reader()
        assert _paths_in(tmp_path) == before, "a backend that was made, and not opened, left a file behind"

    async def test_another_backend_is_one_of_the_same_data(self, make: MakeBackend, make_reader: MakeBackend) -> None:
        """Repeatable.another: "Return an unopened backend of the same data, with the same access"."""
        async with opened_with(make(), [span(1)]) as backend:
            if not isinstance(backend, Repeatable):
                return
            other = backend.another()
            assert (other.location, other.capabilities) == (backend.location, backend.capabilities)
            with pytest.raises(BackendError):
                await other.write([span(2)])
        async with opened_with(other, [span(2)]):  # the first is closed: not every database takes two writers
            same(await self.stored(make_reader), [span(1), span(2)])

    async def test_facts_are_texts_by_name(self, make: MakeBackend) -> None:
        """Inspectable.facts: "Return facts by name, such as the server's version, …; called while it is open"."""
        async with opened(make()) as backend:
            facts = cast("dict[Any, Any]", await backend.facts() if isinstance(backend, Inspectable) else {})
        assert all(isinstance(part, str) for fact in facts.items() for part in fact), facts

    async def test_the_schema_is_told_without_changing_it(self, make: MakeBackend, tmp_path: Path) -> None:
        """Migratable.schema: "Return what opening would do to the schema, and change nothing; called before open"."""
        backend = make()
        if isinstance(backend, Migratable):
            before = _paths_in(tmp_path)
            status = await backend.schema()
            same(await backend.schema(), status)
            assert _paths_in(tmp_path) == before
            assert bool(status.pending) == (status.version < status.newest), status
            async with opened(backend):
                pass
            after = await backend.schema()
            assert (after.version, after.newest, after.pending) == (status.newest, status.newest, ())


class _OpeningSuite(Contract):
    """Prove what holds for every store: of a backend that is not open or opened for reading, and of several at once."""

    async def test_reading_before_opening_is_an_error_of_ours(self, make: MakeBackend) -> None:
        """Backend: "It raises … for misuse a subclass of TracecoreError", before opening and after closing."""
        backend = make()
        await _refuse_to_read(backend)
        async with opened(backend):
            for read in _reads(backend):
                assert not getattr(answer := await read(), "items", None), answer
        await _refuse_to_read(backend)

    async def test_reads_run_beside_each_other_and_beside_a_write(self, make: MakeBackend) -> None:
        """Backend: "Reads may run beside each other and beside a write": each says what it says alone."""
        records = [span(number, within=1 + number % 9) for number in range(1, 100)]
        async with opened_with(make(), [*records, score("1")]) as backend:
            alone = [await read() for read in _reads(backend)]
            writing = backend.write([span(number, project="other") for number in range(1, 500)])
            found = await asyncio.gather(writing, *(read() for _ in range(5) for read in _reads(backend)))
            same(list(found[1:]), alone * 5)

    async def test_the_cursor_of_a_list_is_refused_by_every_other(self, make: MakeBackend) -> None:
        """TraceStore.find: "Raises BackendRejected for a cursor that this store did not make"."""
        records = [span(number, within=number) for number in (1, 2)]
        owned = [replace(record, trace=TraceAttributes(session_id=record.trace_id)) for record in records]
        entries = [entry("a"), entry("b")] if self.expected.ledger else []
        async with opened_with(make(), [*owned, score("1"), score("2"), *entries]) as backend:
            finds = _finds(backend)
            cursors = [(await find(PROJECT, kind(limit=1))).next_cursor for find, kind in finds]
            assert None not in cursors
            for place, (find, kind) in enumerate(finds):
                for cursor in (cursor for at, cursor in enumerate(cursors) if at != place):
                    with pytest.raises(BackendRejected):
                        await find(PROJECT, kind(cursor=cursor))

    async def test_a_reader_creates_nothing(self, make_reader: MakeBackend, tmp_path: Path) -> None:
        """BackendFactory: "With access="read" nothing is created or changed", where there is nothing yet, too."""
        before, reader = _paths_in(tmp_path), make_reader()
        try:
            async with opened(reader):
                same((await traces_in(reader).find(PROJECT, TraceQuery())).items, [])
        except BackendError:
            pass  # there is nothing that could be read: that may be said, too
        assert _paths_in(tmp_path) == before, "a reader of what is not there left a file behind"

    async def test_a_reader_reads_and_refuses_to_write(self, make: MakeBackend, make_reader: MakeBackend) -> None:
        """BackendFactory: "With access="read" nothing is created or changed, and write raises BackendRejected"."""
        async with opened_with(make(), [span(1)]), opened(make_reader()) as reader:
            with pytest.raises(BackendRejected):
                await reader.write([span(2)])
            assert await reader.maintain() is False
            await _refuse_to_write(reader.another() if isinstance(reader, Repeatable) else make_reader())
            same(await self.stored(make_reader), [span(1)])


class BackendSuite(
    CapabilitySuite, SinkSuite, TraceSuite, ObservationSuite, ExperimentSuite, SessionSuite, ScoreSuite, SearchSuite,
    _OpeningSuite,
):  # fmt: skip
    """Prove the whole contract but durability, SQL, the ledger and the catalog."""


def _no_network(*_: object, **__: object) -> Any:
    raise AssertionError("a backend that is made, and not opened, asks for a socket")


def _paths_in(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def _finds(backend: Backend) -> list[tuple[Any, Any]]:
    """Return how each list is asked for, and with what."""
    lists: list[tuple[Any, Any]] = [
        (traces_in(backend).find, TraceQuery),
        (observations_in(backend).find, ObservationQuery),
        (sessions_in(backend).find, SessionQuery),
        (scores_in(backend).find, ScoreQuery),
    ]
    return lists if backend.ledger is None else [*lists, (backend.ledger.find, LedgerQuery)]


def _reads(backend: Backend) -> list[Callable[[], Awaitable[object]]]:
    """Return every way to read."""
    traces, observations = traces_in(backend), observations_in(backend)
    ledger = [] if backend.ledger is None else [partial(backend.ledger.totals, PROJECT)]
    return [
        *(partial(find, PROJECT, kind()) for find, kind in _finds(backend)),
        partial(traces.get, PROJECT, trace_id_of(1)),
        partial(observations.get, PROJECT, trace_id_of(1), span_id_of(9)),
        partial(observations.tree, PROJECT, trace_id_of(1)),
        partial(sessions_in(backend).get, PROJECT, "s"),
        partial(scores_in(backend).get, PROJECT, "1"),
        *ledger,
    ]


async def _refuse_to_read(backend: Backend) -> None:
    """Assert that nothing can be read of a backend that is not open."""
    for read in _reads(backend):
        with pytest.raises(TracecoreError):
            await read()


async def _refuse_to_write(reader: Backend) -> None:
    """Assert that what is opened for reading takes nothing."""
    async with opened(reader):
        with pytest.raises(BackendRejected):
            await reader.write([span(3)])
