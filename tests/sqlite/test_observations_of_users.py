"""Observations of one user or one session are found by the index that finds words, and by no walk."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.finding import found, maintained
from tests.sqlite.files import opened, span
from tests.sqlite.test_query_plans import Explainer, is_led
from tests.sqlite.test_query_plans import statements as _statements
from tracecore.backend import ObservationQuery
from tracecore.conditions import Column, Condition
from tracecore.records import Span, TraceAttributes
from tracecore.testing.contract import HOSTILE_TEXTS
from tracecore.testing.samples import PROJECT, json_of
from tracecore_sqlite import candidates, search

statements = _statements
SPANS, USERS = 1000, 100


def of(user: str | None, number: int, name: str | None = None, session: str | None = None, **more: Any) -> Span:
    """Return a span of a user and a session in a trace of its own."""
    made = span(number, *([] if name is None else [name]), trace=number)
    return replace(made, trace=TraceAttributes(user_id=user, session_id=session), **more)


def where(column: Column, *values: str, **more: Any) -> ObservationQuery:
    """Return a query for observations that have one of these values."""
    one = Condition(column, "=", values[0]) if len(values) == 1 else Condition(column, "any of", values)
    return ObservationQuery(where=(one,), **more)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Index ten at a time, so that nearly all of a file is indexed."""
    monkeypatch.setattr(search, "_SLICE_ROWS", 10)


async def test_users_and_sessions_lead_to_their_observations(tmp_path: Path, statements: list[str]) -> None:
    """By a field, by conditions, together with words and ids, of one project; page after page."""
    path = tmp_path / "a.db"
    async with opened(path) as backend:
        many = [of(f"u{n % USERS}", n, session=f"s{n % 50}", input=json_of("plum")) for n in range(SPANS)]
        await backend.write([*many, of("u7", SPANS, "theirs", project="other")])
        await maintained(backend)
        await backend.write([of("u7", SPANS + 1, "new")])
        sevens = ["new", *(f"s{n}" for n in range(907, 0, -100))]
        with closing(Explainer(path, statements)) as explaining:
            for query in (
                ObservationQuery(user_id="u7"), where("user_id", "u7"), where("user_id", "u7", user_id="u7"),
                where("user_id", "u7", "nobody"), where("user_id", "u7", bodies=True),
            ):  # fmt: skip
                explaining.plans()
                assert await found(backend, query) == sevens, query
                (listed,) = [plan for plan in explaining.plans() if "ORDER BY" in plan.sql]
                is_led(listed)
        assert await found(backend, ObservationQuery(user_id="u7"), "other") == ["theirs"]
        assert len(await found(backend, ObservationQuery(session_id="s7"))) == SPANS // 50
        assert await found(backend, ObservationQuery(user_id="u7", session_id="s7")) == sevens[1:]
        assert await found(backend, ObservationQuery(user_id="u7", session_id="s8")) == []
        assert await found(backend, ObservationQuery(user_id="u7", search="plum")) == sevens[1:]
        assert await found(backend, where("user_id", "u7", "u8", search="pear")) == []
        assert await found(backend, where("id", many[107].span_id, many[108].span_id, user_id="u7")) == ["s107"]
        assert await found(backend, ObservationQuery(user_id="u7", until_ns=many[307].start_ns)) == [
            "s207",
            "s107",
            "s7",
        ]
        assert await found(backend, ObservationQuery(user_id="u7", trace_id=many[7].trace_id)) == ["s7"]
        first = await backend.observations.find(PROJECT, ObservationQuery(user_id="u7", limit=4))
        rest = ObservationQuery(user_id="u7", cursor=first.next_cursor)
        assert [one.name for one in first.items] + await found(backend, rest) == sevens


async def test_who_changed_is_found_anew(tmp_path: Path) -> None:
    """An observation whose user or session came later is found by it, before and after it is indexed again."""
    async with opened(tmp_path / "a.db") as backend:
        await backend.write([of(None, n) for n in range(60)])
        await maintained(backend)
        await backend.write([of("late", n, session="later") for n in range(20)])
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


async def test_names_are_of_any_kind(tmp_path: Path) -> None:
    """A user and a session are any text, nobody is found by none, and none is a word of a text, an id or the other."""
    async with opened(tmp_path / "a.db") as backend:
        await backend.write([of(text, n, f"n{n}", session=text) for n, text in enumerate(HOSTILE_TEXTS)])
        await backend.write([of(None, n, "nobody's") for n in range(100, 150)])
        await maintained(backend)
        for number, text in enumerate(HOSTILE_TEXTS):
            for query in (ObservationQuery(user_id=text), ObservationQuery(session_id=text)):
                assert await found(backend, query) == [f"n{number}"], repr(text)
        assert "nobody's" in await found(backend, where("user_id", ""))
        assert await found(backend, where("user_id", of(None, 100).span_id)) == []


async def test_whose_are_many_are_walked(
    tmp_path: Path, statements: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a user has too many observations to sort, they are met on the way through time; the answer is the same."""
    path = tmp_path / "a.db"
    async with opened(path) as backend:
        await backend.write([of(f"u{n % 2}", n) for n in range(100)])
        await maintained(backend)
        led = await found(backend, ObservationQuery(user_id="u1", limit=20))
        monkeypatch.setattr(candidates, "_FEW", 20)
        with closing(Explainer(path, statements)) as explaining:
            explaining.plans()
            assert await found(backend, ObservationQuery(user_id="u1", limit=20)) == led
            *_, listed = explaining.plans()
        assert listed.indexes == {"tc_observations_by_start"}
        assert not listed.sorts_everything


async def test_one_of_very_many(tmp_path: Path) -> None:
    """Of sixty thousand observations a list of one user's takes a few thousand steps, not some for each of them."""
    async with opened(tmp_path / "a.db") as backend:
        for first in range(0, 60_000, 5_000):
            await backend.write([of(f"u{n // 20}", n) for n in range(first, first + 5_000)])
        await maintained(backend)
    thousands = 0

    def count() -> int:
        nonlocal thousands
        thousands += 1
        return 0

    async with opened(tmp_path / "a.db", "read") as reading:
        (await reading._reader()).raw.set_progress_handler(count, 1_000)
        assert len(await found(reading, ObservationQuery(user_id="u5"))) == 20
        of_user, thousands = thousands, 0
        assert len(await found(reading, ObservationQuery(name="s5"))) == 1
    assert of_user <= 10
    assert thousands > 10 * of_user
