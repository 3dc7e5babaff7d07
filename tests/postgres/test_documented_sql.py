"""The statements that are shown to people answer the same on PostgreSQL as on SQLite."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

from tests.postgres_server import Database
from tracecore.backend import Backend
from tracecore.records import ErrorInfo, Generation, Span, TraceAttributes
from tracecore.testing.opening import opened_with, sql_of
from tracecore_postgres import open_backend as open_postgres
from tracecore_sqlite import open_backend as open_sqlite

README = Path(__file__).resolve().parents[2] / "README.md"
BLOCKS = re.findall(r"^```sql\n(.*?)^```", README.read_text("utf-8"), re.DOTALL | re.MULTILINE)
DAY_NS = 24 * 3600 * 10**9
START = 20_500 * DAY_NS
JSON_READERS = (
    "input ->> '$.question'", "input ->> 'question'", "input ->> '$.deep.er[1].x'", "input ->> '$.nothing'",
    "input ->> '$.list[0]'", "input -> '$.deep'", "metadata ->> 0", "metadata ->> '$[1]'", "output ->> '$.question'",
    "tags ->> 0", "input ->> '$.\"a b\"'",
)  # fmt: skip


def statements() -> list[str]:
    """Return each statement in the SQL blocks of the README, without its comments."""
    lines = "\n".join(line for block in BLOCKS for line in block.splitlines() if not line.startswith("--"))
    return [part.strip() for part in lines.split(";") if part.strip()]


def records() -> list[Any]:
    """Return some traces of two users, with failures, costs and payloads."""
    found: list[Any] = []
    for number in range(1, 13):
        about = TraceAttributes(user_id=("user-123", "other")[number % 2], session_id="support-7", tags=("web",))
        fields: dict[str, Any] = {
            "duration_ns": number * 1_234_567,
            "trace": about,
            "input": Raw(b'{"question":"why %d?","deep":{"er":[1,{"x":"y"}]},"list":["z"],"a b":"c"}' % number),
            "metadata": Raw(b'["first","second"]'),
        }
        if number % 4 == 0:
            fields |= {"status": "error", "error": ErrorInfo("ValueError", f"bad {number}")}
        elif number % 3 == 0:
            fields |= {"level": "ERROR", "status_message": "refused"}
        ids = "default", f"{number:032x}", f"{number:016x}", f"step {number % 5}", START + number * DAY_NS // 3
        if number % 2:
            found.append(
                Generation(*ids, type="generation", total_cost=number / 8, usage_details={"input": 3}, **fields)
            )
        else:
            found.append(Span(*ids, **fields))
    return found


async def answered(backend: Backend, sql: str) -> tuple[list[str], list[Any]]:
    """Return the columns and the rows of a statement, numbers as exact as people need them."""
    answer = await sql_of(backend).query(sql)
    rows = [[round(value, 9) if isinstance(value, float) else value for value in row] for row in answer.rows]
    return answer.columns, rows


@pytest.fixture
def both(tmp_path: Path, postgres: Database) -> tuple[Backend, Backend]:
    """Return a backend of each dialect."""
    return open_sqlite(f"sqlite:///{tmp_path}/a.db"), open_postgres(postgres.url())


async def test_the_statements_of_the_readme(both: tuple[Backend, Backend]) -> None:
    """Every statement of the README finds something, and the same, in both."""
    asked = [*statements(), "select name, count(*) as n, avg(duration_ms) from spans group by name order by 3 desc"]
    assert len(asked) > 5
    async with opened_with(both[0], records()) as sqlite, opened_with(both[1], records()) as postgres:
        for sql in asked:
            expected = await answered(sqlite, sql)
            assert expected[1], sql
            found = await answered(postgres, sql)
            # In what order rows come that are equal to the order is nobody's promise.
            assert sorted(found[1], key=repr) == sorted(expected[1], key=repr), sql
            assert len(found[0]) == len(expected[0])


@pytest.mark.parametrize("expression", JSON_READERS)
async def test_reading_into_json(both: tuple[Backend, Backend], expression: str) -> None:
    """A key, a place and a path lead to the same in both dialects; where there is nothing, to NULL."""
    sql = f"select {expression} as found from spans order by span_id limit 3"  # noqa: S608 - expressions of this file
    async with opened_with(both[0], records()) as sqlite, opened_with(both[1], records()) as postgres:
        expected, found = await answered(sqlite, sql), await answered(postgres, sql)
    assert [[str(value).replace(" ", "") for value in row] for row in found[1]] == [
        [str(value).replace(" ", "") for value in row] for row in expected[1]
    ]
