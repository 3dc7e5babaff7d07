"""Observations of one user or one session are found by the index that finds words, and by no walk."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.finding import found, maintained
from tests.postgres.test_query_plans import PARENTS, Explainer
from tests.postgres.test_query_plans import explainer as _explainer
from tests.postgres_server import Database
from tracecore.backend import ObservationQuery
from tracecore.conditions import Column, Condition
from tracecore.records import Span, TraceAttributes
from tracecore.testing.contract import HOSTILE_TEXTS
from tracecore.testing.opening import opened
from tracecore.testing.samples import PROJECT, json_of, span
from tracecore_postgres import candidates, indexing, open_backend

explainer = _explainer
SPANS, USERS = 3000, 100


@pytest.fixture
def filled(postgres: Database) -> Database:
    """Return the schema of this test, for the explainer."""
    return postgres


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Index ten at a time, so that nearly everything is indexed."""
    monkeypatch.setattr(indexing, "_SLICE_ROWS", 10)


def of(user: str | None, number: int, session: str | None = None, **more: Any) -> Span:
    """Return a span of a user and a session in a trace of its own."""
    made = replace(span(number, within=number, after_s=number), name=f"s{number}")
    return replace(made, trace=TraceAttributes(user_id=user, session_id=session), **more)


def where(column: Column, *values: str, **more: Any) -> ObservationQuery:
    """Return a query for observations that have one of these values."""
    one = Condition(column, "=", values[0]) if len(values) == 1 else Condition(column, "any of", values)
    return ObservationQuery(where=(one,), **more)


async def test_users_and_sessions_lead_to_their_observations(
    postgres: Database, explainer: Explainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a field, by conditions, together with words and ids, of one project; page after page."""
    monkeypatch.setattr(indexing, "_SLICE_ROWS", 100)
    async with opened(open_backend(postgres.url())) as backend:
        for first in range(0, SPANS, 500):
            numbers = range(first, first + 500)
            await backend.write([of(f"u{n % USERS}", n, f"s{n % 50}", input=json_of("plum")) for n in numbers])
        await backend.write([of("u7", SPANS, project="other", name="theirs")])
        await maintained(backend)
        await postgres.fetch("ANALYZE")
        await backend.write([of("u7", SPANS + 7)])
        sevens = ["s3007", *(f"s{n}" for n in range(2907, 0, -100))]
        explainer._parents = dict(await postgres.fetch(PARENTS))
        for query in (
            ObservationQuery(user_id="u7"), where("user_id", "u7"), where("user_id", "u7", user_id="u7"),
            where("user_id", "u7", "nobody"), where("user_id", "u7", bodies=True),
        ):  # fmt: skip
            explainer.plans()
            assert await found(backend, query) == sevens, query
            plans = explainer.plans()
            assert plans
            for plan in plans:  # of a small index the server may read all, too
                assert plan.scanned <= {"tc_search", "tc_unindexed"}, plan
                assert "tc_observations_by_start" not in plan.indexes, plan
        assert await found(backend, ObservationQuery(user_id="u7"), "other") == ["theirs"]
        assert len(await found(backend, ObservationQuery(session_id="s7", limit=1_000))) == SPANS // 50
        assert await found(backend, ObservationQuery(user_id="u7", session_id="s7")) == sevens[1:]
        assert await found(backend, ObservationQuery(user_id="u7", session_id="s8")) == []
        assert await found(backend, ObservationQuery(user_id="u7", search="plum")) == sevens[1:]
        assert await found(backend, where("user_id", "u7", "u8", search="pear")) == []
        assert await found(backend, where("id", of("", 107).span_id, of("", 108).span_id, user_id="u7")) == ["s107"]
        assert await found(backend, ObservationQuery(user_id="u7", until_ns=of("", 307).start_ns)) == [
            "s207", "s107", "s7",
        ]  # fmt: skip
        assert await found(backend, ObservationQuery(user_id="u7", trace_id=of("", 7).trace_id)) == ["s7"]
        first_page = await backend.observations.find(PROJECT, ObservationQuery(user_id="u7", limit=4))
        rest = ObservationQuery(user_id="u7", cursor=first_page.next_cursor)
        assert [one.name for one in first_page.items] + await found(backend, rest) == sevens


async def test_who_changed_is_found_anew(postgres: Database) -> None:
    """An observation whose user or session came later is found by it, before and after it is indexed again."""
    async with opened(open_backend(postgres.url())) as backend:
        await backend.write([of(None, n) for n in range(60)])
        await maintained(backend)
        await backend.write([of("late", n, "later") for n in range(20)])
        for step in range(2):
            assert len(await found(backend, ObservationQuery(user_id="late"))) == 20, step
            assert len(await found(backend, where("session_id", "later", "x"))) == 20, step
            await maintained(backend)
        await backend.write([of("other", n) for n in range(15)])
        for step in range(2):
            assert len(await found(backend, ObservationQuery(user_id="late"))) == 5, step
            assert len(await found(backend, ObservationQuery(user_id="other"))) == 15, step
            await maintained(backend)
        await backend.erase(PROJECT, trace_ids=[of("other", 3).trace_id])
        assert len(await found(backend, ObservationQuery(user_id="other"))) == 14


async def test_names_are_of_any_kind(postgres: Database) -> None:
    """A user and a session are any text, nobody is found by none, and none is a word of a text, an id or the other."""
    async with opened(open_backend(postgres.url())) as backend:
        await backend.write([of(text, n, text) for n, text in enumerate(HOSTILE_TEXTS)])
        await backend.write([of(None, n) for n in range(100, 150)])
        await maintained(backend)
        for number, text in enumerate(HOSTILE_TEXTS):
            for query in (ObservationQuery(user_id=text), ObservationQuery(session_id=text)):
                assert await found(backend, query) == [f"s{number}"], repr(text)
        assert "s100" in await found(backend, where("user_id", "", limit=1_000))
        assert await found(backend, where("user_id", of(None, 100).span_id)) == []


async def test_whose_are_many_are_walked(
    postgres: Database, explainer: Explainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a user has too many observations to sort, they are met on the way through time; the answer is the same."""
    async with opened(open_backend(postgres.url())) as backend:
        await backend.write([of(f"u{n % 2}", n) for n in range(1_000)])
        await maintained(backend)
        await postgres.fetch("ANALYZE")
        query = ObservationQuery(user_id="u1", limit=20)
        led = await found(backend, query)
        monkeypatch.setattr(candidates, "_FEW", 100)
        explainer._parents = dict(await postgres.fetch(PARENTS))
        explainer.plans()
        assert await found(backend, query) == led
        *_, listed = explainer.plans()
        assert listed.walks, listed
        assert listed.tables == {"tc_observations"}
