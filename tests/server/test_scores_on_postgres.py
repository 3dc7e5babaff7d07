"""Scores and the older ingestion over PostgreSQL: what is tried on the other stores, as far as it asks most of one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.postgres_server import Database
from tests.server import test_ingestion, test_scores
from tests.server.conftest import Api
from tracecore.server.app import Server
from tracecore_postgres import open_backend


@pytest.fixture
async def api(postgres: Database) -> AsyncIterator[Api]:
    """Return an open server over a schema of its own."""
    async with AsyncExitStack() as stack:
        server = Server(open_backend(postgres.url()))
        await server.open()
        stack.push_async_callback(server.close)
        made = Api(server)
        made.p = await stack.enter_async_context(await made.client("p"))
        made.q = await stack.enter_async_context(await made.client("q"))
        yield made


test_observations = test_ingestion.test_observations
test_updates = test_ingestion.test_updates
test_an_update_first = test_ingestion.test_an_update_first
test_updates_without_a_trace = test_ingestion.test_updates_without_a_trace
test_a_trace_of_which_nobody_spoke = test_ingestion.test_a_trace_of_which_nobody_spoke
test_at_once = test_ingestion.test_at_once
test_what_is_cut = test_ingestion.test_what_is_cut
test_everything_that_is_said = test_scores.test_everything_that_is_said
test_another_type = test_scores.test_another_type
test_erased = test_scores.test_erased
