"""What every part of the conformance suite shares; needs pytest and pytest-asyncio.

Each test quotes in its docstring the paragraph of :mod:`tracecore.backend` that it proves. A fixture yields a factory
and never an open backend: the test opens and closes in its own task.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

import pytest

from tracecore.backend import Capabilities, ObservationQuery
from tracecore.records import Observation
from tracecore.testing.opening import MakeBackend, observations_in, opened, pages_of
from tracecore.testing.samples import PROJECT

__all__ = ["HOSTILE_TEXTS", "Contract"]

HOSTILE_TEXTS: Final[tuple[str, ...]] = (
    "", " ", "\0", "before\0after", "\ud800", "half \udc00 pair", "\N{GRINNING FACE}", "日本語", "Привет", "שלום",
    "\u202egnp", "\x7f\x1b[31m", "a\nb\tc\r", '"quoted"', "back\\slash", "100% _'--;", "e\u0301", "\uffff\U0010ffff",
)  # fmt: skip
"""Texts that some store or other could not keep."""


class Contract:
    """Join a part of the suite: say what is expected, and how a backend for the test's own data is made."""

    expected: ClassVar[Capabilities]
    """What the backend must be able to do: said by the test file, never taken from the backend."""
    pytestmark: ClassVar[Any] = pytest.mark.asyncio

    @pytest.fixture
    def make(self) -> MakeBackend:
        """Return a maker of unopened backends, all for the same data, which is empty when the test begins."""
        raise NotImplementedError("the joining class has to define the fixture make()")

    @pytest.fixture
    def make_reader(self, make: MakeBackend) -> MakeBackend:
        """Return a maker of independent readers of that data (``access="read"``); the same as ``make`` by default.

        Override it where readers exist (``BackendSuite`` asks for them): tests look through a reader at what a writer
        has written.
        """
        return make

    async def stored(self, make_reader: MakeBackend, project: str = PROJECT) -> Sequence[Observation]:
        """Return what is kept of a project, by trace and span id, as seen from outside the writer.

        Override it for a sink without stores.
        """
        async with opened(make_reader()) as reader:
            query = ObservationQuery(limit=1000, bodies=True)
            pages = await pages_of(observations_in(reader).find, project, query)
        found = [observation for page in pages for observation in page]
        return sorted(found, key=lambda observation: (observation.trace_id, observation.span_id))
