"""Every list follows the index that is meant for it, and reads payloads only when it is asked for them."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator
from itertools import combinations
from typing import Any

import asyncpg
import pytest
from msgspec import Raw, Struct

from tests.postgres_server import Database, admin
from tests.torture.declaring import by_mode, torture
from tracecore.backend import LARGEST_PAGE, LedgerQuery, ObservationQuery, ScoreQuery, SessionQuery, TraceQuery
from tracecore.clock import wall_ns
from tracecore.conditions import KINDS, OPERATORS, Condition
from tracecore.records import LedgerEntry, Record, Score, Session, Span, TraceAttributes
from tracecore.testing.opening import opened
from tracecore_postgres import PostgresBackend, candidates, open_backend
from tracecore_postgres.partitions import WEEK_NS
from tracecore_sql.searching import leading_tokens

FEW = 2
SPANS, PER_TRACE, USERS, SESSIONS, WEEKS = 15_000, 3, 7, 400, 5
BEGIN = (wall_ns() // WEEK_NS - WEEKS) * WEEK_NS
STEP_NS = WEEKS * WEEK_NS // SPANS
TRACE = f"{7:032x}"
UNTIL = BEGIN + 2 * WEEK_NS
TRACE_FILTERS: dict[str, Any] = {
    "user_id": "u1", "session_id": "s1", "name": "s7", "release": "r1", "version": "v1", "environment": "e1",
    "tags": ("a", "b"), "since_ns": BEGIN, "until_ns": UNTIL, "has_error": True, "running": False,
    "min_duration_ns": 5, "min_cost": 0.5, "cursor": "",
}  # fmt: skip
OBSERVATION_FILTERS: dict[str, Any] = {
    "trace_id": TRACE, "name": "s7", "type": "span", "model": "m", "user_id": "u1", "session_id": "s1",
    "since_ns": BEGIN, "until_ns": UNTIL, "has_error": False, "running": True, "min_duration_ns": 5, "bodies": True,
    "cursor": "",
}  # fmt: skip
SCORE_FILTERS: dict[str, Any] = {
    "trace_id": TRACE, "observation_id": f"{21:016x}", "session_id": "s1", "experiment_id": "e1", "name": "tone",
    "data_type": "NUMERIC", "source": "API", "environment": "e1", "since_ns": BEGIN, "until_ns": UNTIL,
    "min_value": 0.5, "max_value": 1.5, "cursor": "",
}  # fmt: skip
SESSION_FILTERS: dict[str, Any] = {"user_id": "u1", "since_ns": BEGIN, "until_ns": UNTIL, "cursor": ""}
LEDGER_FILTERS: dict[str, Any] = {"process": "p1", "since_ns": BEGIN, "until_ns": UNTIL, "last": True, "cursor": ""}
WALKING = frozenset(("Limit", "Incremental Sort", "Index Scan", "Merge Append", "WindowAgg", "Subquery Scan"))
"""The steps of a plan that walks in the order of its list and stops."""
PAGE = 50
"""Where no more rows than a page has are expected, servers before version 16 sort all of them."""
EMPTY = ("_rest", *(f"_w{BEGIN // WEEK_NS + week}" for week in (WEEKS, WEEKS + 1)))
"""What the names of partitions without a row end with: that of no week, and those made ahead."""
PARENTS = """
select c.relname, p.relname
from pg_inherits i join pg_class c on c.oid = i.inhrelid join pg_class p on p.oid = i.inhparent
"""


class Plan(Struct, frozen=True):
    """Say how a statement is run: its steps, and of which tables each is; a partition is called as its table."""

    sql: str
    steps: list[dict[str, Any]]
    parents: dict[str, str]

    @property
    def walks(self) -> bool:
        """Return whether it walks in the order of its list and stops, but for sorting less than a page."""
        others = [step for step in self.steps if step["Node Type"] not in WALKING]
        return all(step["Node Type"] == "Sort" and step["Plan Rows"] < PAGE for step in others)

    @property
    def tables(self) -> set[str]:
        """Return the tables that it reads."""
        return {self._parent(step["Relation Name"]) for step in self.steps if "Relation Name" in step}

    @property
    def indexes(self) -> set[str]:
        """Return the indexes that it follows."""
        return {self._parent(step["Index Name"]) for step in self.steps if "Index Name" in step}

    @property
    def scanned(self) -> set[str]:
        """Return the tables that it walks through from end to end, other than empty partitions."""
        scans = {step["Relation Name"] for step in self.steps if step["Node Type"] == "Seq Scan"}
        return {self._parent(name) for name in scans if not name.endswith(EMPTY)}

    @property
    def read(self) -> set[str]:
        """Return the tables, partitions by their own name, that were really read; of an analysed plan."""
        return {step["Relation Name"] for step in self.steps if "Relation Name" in step and step["Actual Loops"]}

    def _parent(self, name: str) -> str:
        return self.parents.get(name, name)


class Explainer:
    """Have each statement explained where it is run."""

    def __init__(self, parents: dict[str, str]) -> None:
        self.options = "FORMAT JSON"
        self._parents = parents
        self._plans: list[Plan] = []

    def plans(self) -> list[Plan]:
        """Return how every statement was run since the last time, and forget them."""
        found, self._plans = self._plans, []
        return found

    async def note(self, explain: Callable[[str], Any], sql: str) -> None:
        """Explain a statement."""
        ((packed,),) = await explain(f"EXPLAIN ({self.options}) {sql}")
        (found,) = json.loads(packed)
        self._plans.append(Plan(sql, list(_steps(found["Plan"])), self._parents))


def _steps(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from _steps(inner)


def _records(number: int) -> Iterator[Record]:
    """Yield a span, and now and then what is beside it."""
    trace = number // PER_TRACE
    about = TraceAttributes(user_id=f"u{trace % USERS}", session_id=f"s{trace % SESSIONS}", tags=("a", "b"))
    start_ns = BEGIN + number * STEP_NS
    said = Raw(b'{"n":%d}' % number)
    yield Span(
        "default",
        f"{trace:032x}",
        f"{number:016x}",
        f"s{number % 100}",
        start_ns,
        duration_ns=5,
        input=said,
        trace=about,
    )
    if number % 10 == 0:
        yield Score("default", f"c{number}", "tone", start_ns, value=1.0, trace_id=f"{trace:032x}")
        yield Session("default", f"own {number}")
        yield LedgerEntry("default", f"p{number % 9}", start_ns)


@pytest.fixture(scope="module")
def filled() -> Iterator[Database]:
    """Return a schema with some thousand spans in traces of users and sessions, over some weeks, nearly all indexed."""

    async def fill(database: Database) -> None:
        async with opened(open_backend(database.url())) as writing:
            for start in range(0, SPANS, 1_000):
                await writing.write([one for number in range(start, start + 1_000) for one in _records(number)])
            while await writing.maintain():
                pass
        await database.fetch("ANALYZE")

    with admin() as database:
        asyncio.run(fill(database))
        yield database


@pytest.fixture
async def explainer(filled: Database, monkeypatch: pytest.MonkeyPatch) -> Explainer:
    """Return what explains every statement from now on."""
    explaining = Explainer(dict(await filled.fetch(PARENTS)))
    fetch = asyncpg.Connection.fetch

    async def fetching(connection: Any, sql: str, *values: Any) -> Any:
        if sql.lstrip().startswith(("SELECT", "WITH")) and "FROM tc_" in sql:
            await explaining.note(lambda explain: fetch(connection, explain, *values), sql)
        return await fetch(connection, sql, *values)

    monkeypatch.setattr(asyncpg.Connection, "fetch", fetching)
    return explaining


@pytest.fixture
async def reading(filled: Database, explainer: Explainer) -> AsyncIterator[PostgresBackend]:
    """Open the schema for reading; no statement of opening is noted."""
    backend = open_backend(filled.url(), access="read")
    async with opened(backend):
        explainer.plans()
        yield backend


def some_of(filters: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every combination of up to FEW filters, all of them, and some others."""
    names = list(filters)
    few = [chosen for size in range(FEW + 1) for chosen in combinations(names, size)]
    drawn = random.Random(1)  # noqa: S311 - a seed makes the test repeatable
    many = [tuple(name for name in names if drawn.random() < 0.5) for _ in range(60)]
    return [{name: filters[name] for name in chosen} for chosen in [*few, *many, tuple(names)]]


def every_one_of(filters: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every combination of filters."""
    names = list(filters)
    return [
        {name: filters[name] for name in chosen}
        for size in range(len(names) + 1)
        for chosen in combinations(names, size)
    ]


Draw = Callable[[dict[str, Any]], list[dict[str, Any]]]
rounds = pytest.mark.parametrize("draw", [by_mode(some_of, full=every_one_of)])
pytestmark = torture("R-18", "the query plan of every list")


def follows(plan: Plan, allowed: Iterable[str], tables: Collection[str]) -> None:
    """Assert that a plan follows some of these indexes, no other, and reads those tables, none from end to end."""
    assert plan.scanned == set(), plan
    assert plan.indexes, plan
    assert plan.indexes <= set(allowed), plan
    assert plan.tables == set(tables), plan


@rounds
async def test_lists_of_traces(reading: PostgresBackend, explainer: Explainer, draw: Draw) -> None:
    """Traces are walked by their start, or by that of a user's or a session's, and the walk stops with the page."""
    cursor = (await reading.traces.find("default", TraceQuery(limit=1))).next_cursor
    explainer.plans()
    by = {"tc_traces_by_start", "tc_traces_by_user", "tc_traces_by_session"}
    for chosen in draw(TRACE_FILTERS | {"cursor": cursor}):
        await reading.traces.find("default", TraceQuery(**chosen))
        (plan,) = explainer.plans()
        follows(plan, by, {"tc_traces"})
        assert plan.walks, plan
        if "session_id" in chosen:
            assert plan.indexes == {"tc_traces_by_session"}
        elif not chosen.keys() & {"user_id"}:
            assert plan.indexes == {"tc_traces_by_start"}


@rounds
async def test_lists_of_observations(reading: PostgresBackend, explainer: Explainer, draw: Draw) -> None:
    """A user or a session leads to its observations; else they are walked by their start in all weeks at once.

    One trace is a range of the key in its week.
    """
    cursor = (await reading.observations.find("default", ObservationQuery(limit=1))).next_cursor
    explainer.plans()
    for chosen in draw(OBSERVATION_FILTERS | {"cursor": cursor}):
        await reading.observations.find("default", ObservationQuery(**chosen))
        *counted, plan = explainer.plans()
        assert bool(counted) == ("trace_id" not in chosen and bool(chosen.keys() & {"user_id", "session_id"}))
        bodies = {"tc_bodies"} if "bodies" in chosen else set[str]()
        if counted:
            assert plan.tables == {"tc_observations", "tc_search", "tc_unindexed", *bodies}, plan
            assert plan.scanned <= {"tc_search", "tc_unindexed"}, plan  # they may be so small that it is as well
            assert "tc_observations_by_start" not in plan.indexes, plan
        elif "trace_id" in chosen:
            by = {"tc_observations_pkey", "tc_traces_pkey", *(f"{table}_pkey" for table in bodies)}
            follows(plan, by, {"tc_observations", "tc_traces", *bodies})
        else:
            by = {"tc_observations_by_start", *(f"{table}_pkey" for table in bodies)}
            follows(plan, by, {"tc_observations", *bodies})
            assert bodies or plan.walks, plan


@pytest.mark.parametrize("few", [10_000, -1], ids=["rare", "common"])
async def test_lists_by_conditions(
    reading: PostgresBackend, explainer: Explainer, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    """Whatever a condition is on, its list follows an index; payloads are read only if it is on one."""
    monkeypatch.setattr(candidates, "_FEW", few)
    monkeypatch.setattr(candidates, "_LARGEST", 64)  # a slice as long as what is left needs no index
    cursor = (await reading.observations.find("default", ObservationQuery(limit=1))).next_cursor
    explainer.plans()
    for condition in every_condition():
        for chosen in every_one_of({"trace_id": TRACE, "user_id": "u1", "cursor": cursor}):
            query = ObservationQuery(where=(condition,), **chosen)
            await reading.observations.find("default", query)
            bodies = {"tc_bodies"} if condition.reads_body else set[str]()
            walked = not bodies and "cost" not in condition.column
            walked = walked and "trace_id" not in chosen and not names_traces(condition)
            walked = walked and (few < 0 or not leading_tokens("default", query))
            for plan in [plan for plan in explainer.plans() if "tc_observations" in plan.tables]:
                # Of a phrase with very many candidates the index itself is better walked through.
                assert plan.scanned <= {"tc_unindexed", "tc_search"}, plan
                assert plan.tables - {"tc_traces", "tc_search", "tc_unindexed"} == {"tc_observations", *bodies}, plan
                assert plan.walks or not walked, plan


async def test_the_observations_of_a_page_of_traces(reading: PostgresBackend, explainer: Explainer) -> None:
    """Each trace is a range of the key in every week; the time between the first and the last of them is not walked."""
    traces = (await reading.traces.find("default", TraceQuery(limit=20))).items
    explainer.plans()
    within = Condition("trace_id", "any of", tuple(trace.trace_id for trace in traces))
    since, until = min(trace.start_ns for trace in traces), max(trace.end_ns for trace in traces) + 1
    for chosen in every_one_of({"since_ns": since, "until_ns": until, "name": "s7"}):
        query = ObservationQuery(where=(within,), limit=LARGEST_PAGE, **chosen)
        found = (await reading.observations.find("default", query)).items
        assert len(found) == 20 * PER_TRACE or "name" in chosen
        (plan,) = explainer.plans()
        follows(plan, {"tc_observations_pkey"}, {"tc_observations"})


def names_traces(condition: Condition) -> bool:
    """Return whether a condition says in which traces its observations are, or that they are in none."""
    return condition.column == "trace_id" and condition.operator in {"=", "any of", "is null"}


def every_condition() -> list[Condition]:
    """Return a condition on each column by each of its operators."""
    values: dict[str, Any] = {"time": BEGIN + SPANS // 2 * STEP_NS, "tags": ("a",), "number": 1.5, "flag": True}
    found: list[Condition] = []
    for column, kind in KINDS.items():
        for operator in OPERATORS[kind]:
            value = values.get(kind, ("x", "y") if operator in {"any of", "none of"} else "nnn")
            value = 1 if kind == "member" and operator in {">", "<", ">=", "<="} else value
            whole = operator in {"is null", "is not null"}
            value = None if operator.startswith("is ") else value
            found.append(Condition(column, operator, value, "k" if kind == "member" and not whole else None))
    return found


async def test_lists_of_sessions(reading: PostgresBackend, explainer: Explainer) -> None:
    """Sessions come by their last start, their totals by the index of a session; none of it reads observations."""
    cursor = (await reading.sessions.find("default", SessionQuery(limit=1))).next_cursor
    explainer.plans()
    for chosen in every_one_of(SESSION_FILTERS | {"cursor": cursor}):
        await reading.sessions.find("default", SessionQuery(**chosen))
        (plan,) = explainer.plans()
        assert plan.tables == {"tc_sessions", "tc_traces"}, plan
        assert "tc_traces" not in plan.scanned, plan
        if "user_id" not in chosen:
            follows(plan, {"tc_sessions_by_last_start", "tc_traces_by_session"}, {"tc_sessions", "tc_traces"})


@rounds
async def test_lists_of_scores(reading: PostgresBackend, explainer: Explainer, draw: Draw) -> None:
    """Scores come by what they judge, by their name or by time, in the order of the list."""
    cursor = (await reading.scores.find("default", ScoreQuery(limit=1))).next_cursor
    explainer.plans()
    judged = ("trace", "observation", "session", "experiment", "name", "time")
    for chosen in draw(SCORE_FILTERS | {"cursor": cursor}):
        await reading.scores.find("default", ScoreQuery(**chosen))
        (plan,) = explainer.plans()
        follows(plan, [f"tc_scores_by_{noun}" for noun in judged], {"tc_scores"})
        assert plan.walks, plan


async def test_lists_of_scores_by_several_values(reading: PostgresBackend, explainer: Explainer) -> None:
    """Several ids are looked up each; several names are met on the way through time."""
    for field in ("score_ids", "trace_ids", "session_ids", "names", "environments", "config_ids"):
        await reading.scores.find("default", ScoreQuery(**dict[str, Any]({field: ("a", "b")})))
        (plan,) = explainer.plans()
        noun = {"trace_ids": "_by_trace", "session_ids": "_by_session", "score_ids": "_pkey"}.get(field, "_by_time")
        follows(plan, {f"tc_scores{noun}"}, {"tc_scores"})
        assert plan.walks or noun != "_by_time", plan


async def test_the_ledger(reading: PostgresBackend, explainer: Explainer) -> None:
    """Entries follow their minute or their key; each process is leapt to, and so is its last entry."""
    cursor = (await reading.ledger.find("default", LedgerQuery(limit=1))).next_cursor
    explainer.plans()
    keys = {"tc_ledger_by_minute", "tc_ledger_pkey"}
    for chosen in every_one_of(LEDGER_FILTERS | {"cursor": cursor}):
        await reading.ledger.find("default", LedgerQuery(**chosen))
        (plan,) = explainer.plans()
        follows(plan, keys, {"tc_ledger"})
    for since in (None, BEGIN):
        await reading.ledger.totals("default", since)
        (plan,) = explainer.plans()
        follows(plan, keys, {"tc_ledger"})


async def test_one_trace_is_read_from_one_week(reading: PostgresBackend, explainer: Explainer) -> None:
    """A trace, its tree, one of its observations and its part of a list are looked for in no other partition."""
    explainer.options = "ANALYZE, FORMAT JSON"
    assert await reading.traces.get("default", TRACE) is not None
    assert len(await reading.observations.tree("default", TRACE)) == PER_TRACE
    assert await reading.observations.get("default", TRACE, f"{21:016x}") is not None
    assert (await reading.observations.find("default", ObservationQuery(trace_id=TRACE, bodies=True))).items
    plans = explainer.plans()
    assert len(plans) == 4
    week = BEGIN // WEEK_NS
    for plan in plans:
        assert plan.read == {"tc_traces", f"tc_observations_w{week}", f"tc_bodies_w{week}"}, plan
        assert plan.scanned == set(), plan
    assert await reading.traces.get("default", "nothing") is None
    assert await reading.observations.tree("default", "nothing") == []
    for plan in explainer.plans():
        assert plan.read <= {"tc_traces"}, plan


async def test_one_session_and_one_score(reading: PostgresBackend, explainer: Explainer) -> None:
    """A session and a score are found by their key."""
    assert await reading.sessions.get("default", "s1") is not None
    assert await reading.scores.get("default", "c10") is not None
    session, score = explainer.plans()
    follows(session, {"tc_sessions_pkey", "tc_traces_by_session"}, {"tc_sessions", "tc_traces"})
    follows(score, {"tc_scores_pkey"}, {"tc_scores"})


@pytest.mark.parametrize("few", [10_000, -1], ids=["rare", "common"])
@pytest.mark.parametrize("phrase", ["n", "no such word", "5990 n", "n 5990"])
async def test_searches(
    reading: PostgresBackend, explainer: Explainer, monkeypatch: pytest.MonkeyPatch, few: int, phrase: str
) -> None:
    """A search reads traces, observations and payloads by the key of a candidate, or in the order of the list."""
    monkeypatch.setattr(candidates, "_FEW", few)
    await reading.traces.find("default", TraceQuery(search=phrase))
    await reading.observations.find("default", ObservationQuery(search=phrase))
    plans = [plan for plan in explainer.plans() if "tc_observations" in plan.tables]
    assert plans
    for plan in plans:
        # Of a phrase with very many candidates the index itself is better walked through.
        assert plan.scanned <= {"tc_unindexed", "tc_search"}, plan


def test_a_plan_tells_a_scan(filled: Database) -> None:
    """Looking at plans does find a statement without an index, one that sorts and one that reads payloads."""

    async def explained(sql: str) -> Plan:
        explaining = Explainer(dict(await filled.fetch(PARENTS)))
        await explaining.note(filled.fetch, sql)
        return explaining.plans()[0]

    sorting = asyncio.run(explained("SELECT name FROM tc_traces ORDER BY end_ns"))
    assert sorting.scanned == {"tc_traces"}
    assert not sorting.walks
    joining = asyncio.run(
        explained("SELECT b.input FROM tc_observations o JOIN tc_bodies b ON b.week = o.week AND b.id = o.id")
    )
    assert joining.tables == {"tc_observations", "tc_bodies"}
