"""How conditions become statements, and that nothing that can be stored breaks a list of everything else."""

from __future__ import annotations

from hypothesis import given
from msgspec.structs import replace

from tests.postgres_server import Database
from tracecore.backend import ObservationQuery, SessionQuery, TraceQuery
from tracecore.records import Span, TraceAttributes
from tracecore.testing.opening import observations_in, opened_with, sessions_in, sql_of, traces_in
from tracecore.testing.samples import PROJECT, span, trace_id_of
from tracecore.testing.strategies import trace_queries
from tracecore_postgres import open_backend
from tracecore_postgres.reading import numbered, walked
from tracecore_sql.filters import Conditions, trace_conditions

EARLIEST, LATEST = -(2**63), 2**63 - 1
BY = ("project", "user_id")


def test_marks_are_numbered() -> None:
    """Each mark has its number, in their order; what holds no mark stays as it is."""
    assert numbered("a = ? AND (b < ? OR c IN (?))") == "a = $1 AND (b < $2 OR c IN ($3))"
    assert numbered("SELECT 1") == "SELECT 1"


def test_conditions_on_other_columns_are_one_of_even_chances() -> None:
    """What an index holds is asked of it; all the rest, with its values, is one condition behind that."""
    where = Conditions(["a = ?", "project = ?", "b BETWEEN ? AND ?", "user_id = ?"], [1, "p", 2, 3, "u"])
    found = walked(where, by=BY)
    assert found.sql == "project = ? AND user_id = ? AND coalesce(a = ? AND b BETWEEN ? AND ?, false)"
    assert found.values == ["p", "u", 1, 2, 3]
    assert walked(Conditions(["project = ?"], ["p"]), by=BY).sql == "project = ?"
    assert walked(Conditions(["projected = ?"], ["p"]), by=BY).sql == "coalesce(projected = ?, false)"


@given(trace_queries)
def test_values_stay_with_their_marks(query: TraceQuery) -> None:
    """Each value of a query goes with its condition wherever that goes."""
    where = trace_conditions("p", query)
    before = _pairs(where)
    assert sorted(map(repr, _pairs(walked(where, by=BY)))) == sorted(map(repr, before))


def _pairs(where: Conditions) -> list[tuple[str, object]]:
    """Return what stands before each mark, up to the condition before it, and its value."""
    pieces = [piece.rpartition(" AND ")[2].removeprefix("coalesce(") for piece in where.sql.split("?")[:-1]]
    return list(zip(pieces, where.values, strict=True))


async def test_times_at_the_ends_of_what_can_be_stored(postgres: Database) -> None:
    """A trace longer than its duration can say is listed, filtered and shown, and so is everything beside it."""
    about = TraceAttributes(session_id="s")
    ordinary = replace(span(1, within=1), trace=about)
    long = [
        Span(PROJECT, trace_id_of(2), f"{2:016x}", "early", EARLIEST, duration_ns=5, trace=about),
        Span(PROJECT, trace_id_of(2), f"{3:016x}", "late", LATEST - 5, duration_ns=5, trace=about),
    ]
    async with opened_with(open_backend(postgres.url()), [ordinary, *long]) as backend:
        for query in (TraceQuery(), TraceQuery(min_duration_ns=1), TraceQuery(session_id="s")):
            found = await traces_in(backend).find(PROJECT, query)
            assert [trace.trace_id for trace in found.items] == [trace_id_of(1), trace_id_of(2)]
        assert found.items[1].end_ns - found.items[1].start_ns == LATEST - EARLIEST
        page = await observations_in(backend).find(PROJECT, ObservationQuery(since_ns=EARLIEST, until_ns=LATEST))
        assert [one.name for one in page.items] == ["late", ordinary.name, "early"]
        assert len((await sessions_in(backend).find(PROJECT, SessionQuery())).items) == 1
        answer = await sql_of(backend).query("select duration_ns, duration_ms from traces order by start_ns")
        assert answer.rows[0] == (LATEST, (LATEST - EARLIEST) / 1e6)
        assert len((await sql_of(backend).query("select * from sessions")).rows) == 1
