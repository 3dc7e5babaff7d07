"""Every list follows the index that is meant for it, and reads payloads only when it is asked for them."""

from __future__ import annotations

import asyncio
import random
import re
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import closing
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from tests.sqlite.files import opened, span, url_of
from tests.torture.declaring import by_mode, torture
from tracecore.backend import LARGEST_PAGE, LedgerQuery, ObservationQuery, ScoreQuery, SessionQuery, TraceQuery
from tracecore.cli.main import main
from tracecore.conditions import KINDS, OPERATORS, Condition
from tracecore.records import LedgerEntry, Score, TraceAttributes
from tracecore_sql.searching import leading_tokens
from tracecore_sqlite import SqliteBackend, backend, settling
from tracecore_sqlite.search import add_functions

FEW = 3
SPANS, PER_TRACE, USERS, SESSIONS = 6_000, 3, 7, 400
TRACE = f"{7:032x}"
TRACES_UNIQUE = "sqlite_autoindex_tc_traces_1"
OBSERVATIONS_UNIQUE = "sqlite_autoindex_tc_observations_1"
TRACE_FILTERS: dict[str, Any] = {
    "user_id": "u1", "session_id": "s1", "name": "s7", "release": "r1", "version": "v1", "environment": "e1",
    "tags": ("a", "b"), "since_ns": 5, "until_ns": 10**12, "has_error": True, "running": False, "min_duration_ns": 5,
    "min_cost": 0.5, "cursor": "",
}  # fmt: skip
OBSERVATION_FILTERS: dict[str, Any] = {
    "trace_id": TRACE, "name": "s7", "type": "span", "model": "m", "user_id": "u1", "session_id": "s1", "since_ns": 5,
    "until_ns": 10**12, "has_error": False, "running": True, "min_duration_ns": 5, "bodies": True, "cursor": "",
}  # fmt: skip
SCORE_FILTERS: dict[str, Any] = {
    "trace_id": TRACE, "observation_id": f"{21:016x}", "session_id": "s1", "experiment_id": "e1", "name": "tone",
    "data_type": "NUMERIC", "source": "API", "environment": "e1", "since_ns": 5, "until_ns": 10**12, "min_value": 0.5,
    "max_value": 1.5, "cursor": "",
}  # fmt: skip
SCORE_LISTS: dict[str, tuple[str, str]] = {
    "score_ids": ("sqlite_autoindex_tc_scores_1", "score_id=?"), "trace_ids": ("tc_scores_by_trace", "trace_id=?"),
    "observation_ids": ("tc_scores_by_observation", "observation_id=?"),
    "session_ids": ("tc_scores_by_session", "session_id=?"),
    "experiment_ids": ("tc_scores_by_experiment", "experiment_id=?"), "names": ("tc_scores_by_time", "project=?"),
    "environments": ("tc_scores_by_time", "project=?"), "config_ids": ("tc_scores_by_time", "project=?"),
}  # fmt: skip
"""Lists of values, the index that each follows, and by what."""
JUDGED = ("trace", "observation", "session", "experiment")
LEDGER_FILTERS: dict[str, Any] = {"process": "p1", "since_ns": 5, "until_ns": 10**12, "last": True, "cursor": ""}
WALKED_LEAPING = ["SCAN p", "SCAN p"]
"""What is walked through is the list of processes, while it is made and when it is read."""
SEARCHED = frozenset(("tc_search", "tc_stale", "tc_redocs", "tc_state"))
"""What the search index is made of."""
SESSION_FILTERS: dict[str, Any] = {"user_id": "u1", "since_ns": 5, "until_ns": 10**12, "cursor": ""}


class Plan(Struct, frozen=True):
    """Say how a statement is run: the lines of its plan, and the tables that it reads columns of."""

    sql: str
    lines: list[str]
    tables: set[str]

    @property
    def indexes(self) -> set[str]:
        """Return the indexes that are followed; a table by its rowid is no index."""
        return {line.partition("INDEX ")[2].split()[0] for line in self.lines if " USING " in line and "INDEX " in line}

    @property
    def scanned(self) -> list[str]:
        """Return what is walked through from end to end, other than the result of an inner statement."""
        inner = {line.partition(" ")[2] for line in self.lines if line.startswith(("CO-ROUTINE", "MATERIALIZE"))}
        scans = [line for line in self.lines if line.startswith("SCAN ") and "VIRTUAL TABLE" not in line]
        return [line for line in scans if line[5:] not in inner | {"CONSTANT ROW"}]

    @property
    def sorts_everything(self) -> bool:
        """Return whether rows are sorted as a whole, and not only among those with the same first column."""
        return "USE TEMP B-TREE FOR ORDER BY" in self.lines


BY_NUMBER = re.compile(r"WHERE (e\.)?id = \d+$|\(SELECT \d+ AS id\) o LEFT JOIN tc_bodies b ON b\.id = o\.id$")
"""The end of a statement that reads one row."""


class Explainer:
    """Explain statements by a connection of its own."""

    looked_up: list[Plan]

    def __init__(self, path: Path, statements: list[str]) -> None:
        # Without the cache: the authorizer is asked when a statement is prepared.
        self._raw = sqlite3.connect(path, cached_statements=0)
        self._statements = statements
        self._tables: set[str] = set()
        add_functions(self._raw)
        self._raw.set_authorizer(self._note)
        self.close = self._raw.close

    def plans(self) -> list[Plan]:
        """Return how every statement was run since the last time, and forget them.

        What was looked up row by row, by its number, is apart.
        """
        asked = [sql for sql in self._statements if sql.split()[0] in {"SELECT", "WITH"} and "tc_" in sql]
        self.looked_up = [self._plan(sql) for sql in asked if BY_NUMBER.search(sql)]
        self._statements.clear()
        return [self._plan(sql) for sql in asked if not BY_NUMBER.search(sql) and "FROM tc_" in sql]

    def _plan(self, sql: str) -> Plan:
        self._tables = set()
        lines = [row[3] for row in self._raw.execute(f"EXPLAIN QUERY PLAN {sql}")]
        return Plan(sql, lines, self._tables)

    def _note(self, action: int, table: str | None, column: str | None, *_: object) -> int:
        if action == sqlite3.SQLITE_READ and table and column:
            self._tables.add(table)
        return sqlite3.SQLITE_OK


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with some thousand spans in traces of users and sessions, most of them settled."""
    path = tmp_path_factory.mktemp("plans") / "a.db"

    async def fill() -> None:
        async with opened(path) as writing:
            for start in range(0, SPANS, 500):
                await writing.write([_span(number) for number in range(start, start + 500)])
            await writing.write([LedgerEntry("default", f"p{n % 9}", n) for n in range(200)])
            await writing.write([_score(number) for number in range(2_000)])
            while await writing.maintain():
                pass

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settling, "_KEPT", 300)
        asyncio.run(fill())
    return path


def _span(number: int) -> Any:
    trace = number // PER_TRACE
    about = TraceAttributes(user_id=f"u{trace % USERS}", session_id=f"s{trace % SESSIONS}", tags=("a", "b"))
    return replace(span(number, trace=trace), trace=about)


def _score(number: int) -> Score:
    judged: list[dict[str, Any]] = [
        {"trace_id": f"{number % 50:032x}", "observation_id": f"{number % 150:016x}"},
        {"session_id": f"s{number % 9}"},
        {"experiment_id": f"e{number % 5}"},
    ]
    name = f"tone {number % 3}".removesuffix(" 0")
    return Score("default", f"c{number}", name, 1_000 * number, value=number / 1_000, **judged[number % 3])


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list of every statement that any connection runs from now on."""
    found: list[str] = []
    connect = backend.connect

    async def spying(*arguments: Any, **options: Any) -> Any:
        connection = await connect(*arguments, **options)
        connection.raw.set_trace_callback(found.append)
        return connection

    monkeypatch.setattr(backend, "connect", spying)
    return found


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


def follows(plan: Plan, allowed: Iterable[str]) -> None:
    """Assert that a plan follows some of the allowed indexes, no other, and walks through nothing else."""
    assert plan.scanned == [], plan
    assert plan.indexes, plan
    assert plan.indexes <= set(allowed), plan


def is_led(plan: Plan) -> None:
    """Assert that what the search index proposes, and what it does not know yet, is looked up one by one."""
    assert "SEARCH o USING INTEGER PRIMARY KEY (rowid=?)" in plan.lines, plan
    assert "tc_search" in plan.sql
    assert "tc_observations_by_start" not in plan.indexes
    assert set(plan.scanned) <= {"SCAN tc_stale"}, plan


@rounds
async def test_lists_of_traces(reading: SqliteBackend, explainer: Explainer, draw: Draw) -> None:
    """Traces follow their start, or the user or session and the recent ones; no list of them reads payloads."""
    cursor = (await reading.traces.find("default", TraceQuery(limit=1))).next_cursor
    explainer.plans()
    for chosen in draw(TRACE_FILTERS | {"cursor": cursor}):
        await reading.traces.find("default", TraceQuery(**chosen))
        (plan,) = explainer.plans()
        if chosen.keys() & {"user_id", "session_id"}:
            settled = "tc_traces_by_session" if "session_id" in chosen else "tc_traces_by_user"
            follows(plan, {settled, "tc_traces_recent"})
            assert len(plan.indexes) == 2
        else:
            follows(plan, {"tc_traces_by_start"})
            # With many conditions SQLite expects so few rows that it would rather sort them.
            assert not plan.sorts_everything or len(chosen) > FEW
        assert plan.tables == {"tc_traces"}, plan


@rounds
async def test_lists_of_observations(reading: SqliteBackend, explainer: Explainer, draw: Draw) -> None:
    """Observations follow their trace, their user or session, or their start; payloads are read only when asked for."""
    cursor = (await reading.observations.find("default", ObservationQuery(limit=1))).next_cursor
    explainer.plans()
    for chosen in draw(OBSERVATION_FILTERS | {"cursor": cursor}):
        page = await reading.observations.find("default", ObservationQuery(**chosen))
        *counted, plan = explainer.plans()
        assert bool(explainer.looked_up) == ("bodies" in chosen and bool(page.items)), plan
        for one in explainer.looked_up:
            assert one.lines[-1].startswith("SEARCH b USING INTEGER PRIMARY KEY (rowid=?)"), one
        assert bool(counted) == ("trace_id" not in chosen and bool(chosen.keys() & {"user_id", "session_id"}))
        if "trace_id" in chosen:
            follows(plan, {OBSERVATIONS_UNIQUE})
            assert any("trace_id=?" in line for line in plan.lines)
        elif counted:
            is_led(plan)
            assert plan.tables - SEARCHED == {"tc_observations"}, plan
            continue
        else:
            follows(plan, {"tc_observations_by_start"})
            # With many conditions SQLite expects so few rows that it would rather sort them.
            assert not plan.sorts_everything or len(chosen) > FEW
        assert plan.tables == {"tc_observations"}, plan


async def test_lists_by_conditions(reading: SqliteBackend, explainer: Explainer) -> None:
    """Whatever a condition is on, its list follows the same indexes; payloads are read only if it is on one."""
    cursor = (await reading.observations.find("default", ObservationQuery(limit=1))).next_cursor
    explainer.plans()
    for condition in every_condition():
        for chosen in every_one_of({"trace_id": TRACE, "user_id": "u1", "since_ns": 5, "cursor": cursor}):
            query = ObservationQuery(where=(condition,), **chosen)
            await reading.observations.find("default", query)
            *counted, plan = explainer.plans()
            assert bool(counted) == (condition.is_indexed or bool(leading_tokens("default", query))), condition
            if counted and "trace_id" not in chosen:
                is_led(plan)
            elif "CROSS JOIN" in plan.sql:  # a phrase leads within a trace, too
                assert condition.is_indexed
            else:
                within = "trace_id" in chosen or names_traces(condition)
                follows(plan, {OBSERVATIONS_UNIQUE if within else "tc_observations_by_start"})
            assert {name for name in plan.scanned if name != "SCAN tc_stale"} == set(), plan
            assert plan.tables - SEARCHED == {
                "tc_observations", *(["tc_bodies"] if condition.reads_body else []),
            }, plan  # fmt: skip


async def test_the_observations_of_a_page_of_traces(reading: SqliteBackend, explainer: Explainer) -> None:
    """Each trace is a range of the unique index; the time between the first and the last of them is not walked."""
    traces = (await reading.traces.find("default", TraceQuery(limit=20))).items
    explainer.plans()
    within = Condition("trace_id", "any of", tuple(trace.trace_id for trace in traces))
    since, until = min(trace.start_ns for trace in traces), max(trace.end_ns for trace in traces) + 1
    for chosen in every_one_of({"since_ns": since, "until_ns": until, "name": "s7", "bodies": True}):
        query = ObservationQuery(where=(within,), limit=LARGEST_PAGE, **chosen)
        found = (await reading.observations.find("default", query)).items
        assert len(found) == 20 * PER_TRACE or "name" in chosen
        (plan,) = explainer.plans()
        follows(plan, {OBSERVATIONS_UNIQUE})
        assert any("(project=? AND trace_id=?)" in line for line in plan.lines), plan


def names_traces(condition: Condition) -> bool:
    """Return whether a condition says in which traces its observations are."""
    return condition.column == "trace_id" and condition.operator in {"=", "any of"}


def every_condition() -> list[Condition]:
    """Return a condition on each column by each of its operators."""
    values: dict[str, Any] = {"time": 5, "tags": ("a",), "number": 1.5, "flag": True}
    found: list[Condition] = []
    for column, kind in KINDS.items():
        for operator in OPERATORS[kind]:
            value = values.get(kind, ("x", "y") if operator in {"any of", "none of"} else "n")
            value = 1 if kind == "member" and operator in {">", "<", ">=", "<="} else value
            whole = operator in {"is null", "is not null"}
            value = None if operator.startswith("is ") else value
            found.append(Condition(column, operator, value, "k" if kind == "member" and not whole else None))
    return found


async def test_lists_of_sessions(reading: SqliteBackend, explainer: Explainer) -> None:
    """Sessions follow their last start, their traces an index each, and no list of them reads observations."""
    cursor = (await reading.sessions.find("default", SessionQuery(limit=1))).next_cursor
    explainer.plans()
    for chosen in every_one_of(SESSION_FILTERS | {"cursor": cursor}):
        page = await reading.sessions.find("default", SessionQuery(**chosen))
        keys, *totals = explainer.plans()
        assert bool(page.items) == bool(totals)
        by = {"tc_sessions_by_last_start", "sqlite_autoindex_tc_sessions_1", "tc_traces_recent", "tc_traces_by_user"}
        follows(keys, by)
        assert "tc_sessions_by_last_start" in keys.indexes
        for plan in totals:
            follows(plan, {"tc_traces_by_session", "tc_traces_recent"})
        assert set().union(*(plan.tables for plan in [keys, *totals])) <= {"tc_traces", "tc_sessions"}


@rounds
async def test_lists_of_scores(reading: SqliteBackend, explainer: Explainer, draw: Draw) -> None:
    """Scores follow what they judge, else their name, else their time; what many share lies in its order."""
    cursor = (await reading.scores.find("default", ScoreQuery(limit=1))).next_cursor
    explainer.plans()
    for chosen in draw(SCORE_FILTERS | {"cursor": cursor}):
        await reading.scores.find("default", ScoreQuery(**chosen))
        (plan,) = explainer.plans()
        judged = next((noun for noun in JUDGED if f"{noun}_id" in chosen), None)
        by = judged or ("name" if "name" in chosen else "time")
        follows(plan, {f"tc_scores_by_{by}"})
        assert plan.tables == {"tc_scores"}, plan
        assert not plan.sorts_everything or by in {"trace", "observation", "session"}, plan
        assert any(f"{by}_id=?" in line or by in {"name", "time"} for line in plan.lines), plan


async def test_lists_of_scores_by_several_values(reading: SqliteBackend, explainer: Explainer) -> None:
    """Several ids are looked up each; several names are met on the way through time."""
    for field, (index, by) in SCORE_LISTS.items():
        await reading.scores.find("default", ScoreQuery(**dict[str, Any]({field: ("a", "b")})))
        (plan,) = explainer.plans()
        follows(plan, {index})
        assert any(by in line for line in plan.lines), plan
        assert not plan.sorts_everything or index != "tc_scores_by_time", plan
    await reading.scores.find("default", ScoreQuery(names=("tone",)))
    (plan,) = explainer.plans()
    follows(plan, {"tc_scores_by_name"})
    assert not plan.sorts_everything


async def test_the_ledger(reading: SqliteBackend, explainer: Explainer) -> None:
    """Entries follow their minute, those of one process its key; each process is leapt to, and so is its last entry."""
    cursor = (await reading.ledger.find("default", LedgerQuery(limit=1))).next_cursor
    explainer.plans()
    for chosen in every_one_of(LEDGER_FILTERS | {"cursor": cursor}):
        await reading.ledger.find("default", LedgerQuery(**chosen))
        (plan,) = explainer.plans()
        by_key = bool(chosen.keys() & {"process", "last"})
        assert plan.indexes == (set() if by_key else {"tc_ledger_by_minute"}), plan
        assert plan.scanned in ([], WALKED_LEAPING), plan
        assert not plan.sorts_everything or "last" in chosen
    for since in (None, 5):
        await reading.ledger.totals("default", since)
        (plan,) = explainer.plans()
        assert (plan.indexes, plan.scanned) == (set(), WALKED_LEAPING), plan


async def test_looking_for_what_was_abandoned(filled: Path, statements: list[str], explainer: Explainer) -> None:
    """Of the observations only those that run are looked at, in an index that holds no others."""
    async with opened(filled) as writing:
        statements.clear()
        await writing.maintain()
    plan = next(plan for plan in explainer.plans() if "service_instance_id" in plan.sql)
    running = [line for line in plan.lines if "tc_observations" in line or " o " in line]
    assert running
    assert all("tc_observations_running" in line for line in running), plan
    assert plan.indexes == {"tc_observations_running"}
    assert plan.scanned == [], plan


async def test_one_of_each(reading: SqliteBackend, explainer: Explainer) -> None:
    """One trace, observation, tree, session or score is a range of a unique index, and payloads come by their id."""
    assert await reading.traces.get("default", TRACE) is not None
    (plan,) = explainer.plans()
    follows(plan, {TRACES_UNIQUE, OBSERVATIONS_UNIQUE})
    assert len(await reading.observations.tree("default", TRACE)) == PER_TRACE
    (plan,) = explainer.plans()
    follows(plan, {OBSERVATIONS_UNIQUE})
    assert any("(project=? AND trace_id=?)" in line for line in plan.lines)
    assert any(line.startswith("SEARCH b USING INTEGER PRIMARY KEY") for line in plan.lines)
    assert await reading.observations.get("default", TRACE, f"{21:016x}") is not None
    (plan,) = explainer.plans()
    assert any("(project=? AND trace_id=? AND span_id=?)" in line for line in plan.lines)
    assert await reading.sessions.get("default", "s1") is not None
    for plan in explainer.plans():
        follows(plan, {"sqlite_autoindex_tc_sessions_1", "tc_traces_by_session", "tc_traces_recent"})
    assert await reading.scores.get("default", "c1") is not None
    (plan,) = explainer.plans()
    follows(plan, {"sqlite_autoindex_tc_scores_1"})


@pytest.mark.parametrize("phrase", ["n", "no such word", "5990 n"])
async def test_searches(reading: SqliteBackend, explainer: Explainer, phrase: str) -> None:
    """A search reads payloads by the id of a candidate, never all of them."""
    await reading.traces.find("default", TraceQuery(search=phrase))
    await reading.observations.find("default", ObservationQuery(search=phrase))
    plans = explainer.plans()
    assert len(plans) == 4
    for plan in plans:
        assert plan.scanned in ([], ["SCAN tc_stale"]), plan


@pytest.mark.parametrize(
    "command",
    ["traces", "traces --user u1", "sessions", "sessions s1 --user u1", "tail --once", f"show {TRACE}", "show 0000"],
)
def test_commands(filled: Path, explainer: Explainer, capsys: pytest.CaptureFixture[str], command: str) -> None:
    """What people list on the command line follows indexes too, and lists read no payloads."""
    code = main([*command.split(), "--backend", url_of(filled)])
    assert code == (1 if command == "show 0000" else 0), capsys.readouterr()
    plans = [plan for plan in explainer.plans() if "tc_migrations" not in plan.sql]
    assert plans
    for plan in plans:
        assert plan.scanned == [], plan
        if not command.startswith("show"):
            assert "tc_bodies" not in plan.tables, plan


def test_a_plan_tells_a_scan(filled: Path) -> None:
    """Looking at plans does find a statement without an index, one that sorts and one that reads payloads."""
    bad = [
        "SELECT name FROM tc_traces ORDER BY end_ns",
        "SELECT b.input FROM tc_traces, tc_bodies b ON b.id = tc_traces.id",
    ]
    with closing(Explainer(filled, bad)) as explaining:
        sorting, joining = explaining.plans()
    assert sorting.scanned == ["SCAN tc_traces"]
    assert sorting.sorts_everything
    assert "tc_bodies" in joining.tables
