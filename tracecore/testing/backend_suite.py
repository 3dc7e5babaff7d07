"""The conformance suite of backends: a sink with the stores for traces, observations, sessions, scores and search.

``BackendSuite`` is what most backends can do. One that is durable, speaks SQL or keeps a ledger joins ``DurableSuite``,
``SqlSuite`` and ``LedgerSuite`` beside it; one that can do less joins the parts that fit. Nothing is ever skipped: what
is expected and the parts that have been joined are compared.
"""

from __future__ import annotations

from typing import Final

import pytest
from msgspec.structs import asdict

from tracecore.errors import BackendRejected, TracecoreError
from tracecore.testing.comparing import same
from tracecore.testing.contract import Contract
from tracecore.testing.ledger_suite import LedgerSuite
from tracecore.testing.observation_suite import ObservationSuite
from tracecore.testing.opening import MakeBackend, opened, opened_with
from tracecore.testing.samples import PROJECT, span, trace_id_of
from tracecore.testing.score_suite import ScoreSuite
from tracecore.testing.search_suite import SearchSuite
from tracecore.testing.session_suite import SessionSuite
from tracecore.testing.sink_suite import DurableSuite, SinkSuite
from tracecore.testing.sql_suite import SqlSuite
from tracecore.testing.trace_suite import TraceSuite

__all__ = ["BackendSuite", "CapabilitySuite", "DurableSuite", "LedgerSuite", "SqlSuite"]

_PARTS: Final[dict[str, type[Contract]]] = {
    "durable": DurableSuite,
    "traces": TraceSuite,
    "observations": ObservationSuite,
    "sessions": SessionSuite,
    "scores": ScoreSuite,
    "search": SearchSuite,
    "sql": SqlSuite,
    "ledger": LedgerSuite,
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
        assert stores == {name: getattr(self.expected, name) for name in stores}

    async def test_every_expected_capability_is_tested(self) -> None:
        """Capabilities: "a silently skipped test reads like a passing one"; here each capability has its part."""
        for name, wanted in asdict(self.expected).items():
            if name == "level":  # it is proved by killing programs
                continue
            joined = isinstance(self, _PARTS[name])
            assert joined == wanted, f"{name} is {'' if wanted else 'not '}expected: {_PARTS[name].__name__}"

    async def test_says_where_the_data_is(self, make: MakeBackend) -> None:
        """Backend.location: "Return where the data is": the same before and after opening."""
        backend = make()
        before = backend.location
        async with opened(backend):
            assert backend.location == before
        assert before.strip()


class _OpeningSuite(Contract):
    """Prove what holds for every store of a backend that is not open, or opened for reading."""

    async def test_reading_before_opening_is_an_error_of_ours(self, make: MakeBackend) -> None:
        """Backend: "It raises … for misuse a subclass of TracecoreError", before opening and after closing."""
        backend = make()
        assert backend.traces is not None
        with pytest.raises(TracecoreError):
            await backend.traces.get(PROJECT, trace_id_of(1))
        async with opened(backend):
            assert await backend.traces.get(PROJECT, trace_id_of(1)) is None
        with pytest.raises(TracecoreError):
            await backend.traces.get(PROJECT, trace_id_of(1))

    async def test_a_reader_reads_and_refuses_to_write(self, make: MakeBackend, make_reader: MakeBackend) -> None:
        """BackendFactory: "With access="read" nothing is created or changed, and write raises BackendRejected"."""
        async with opened_with(make(), [span(1)]), opened(make_reader()) as reader:
            with pytest.raises(BackendRejected):
                await reader.write([span(2)])
            assert await reader.maintain() is False
            same(await self.stored(make_reader), [span(1)])


class BackendSuite(
    CapabilitySuite, SinkSuite, TraceSuite, ObservationSuite, SessionSuite, ScoreSuite, SearchSuite, _OpeningSuite
):
    """Prove the whole contract but durability, SQL and the ledger."""
