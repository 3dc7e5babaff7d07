"""``tracecore sql``: a person's own question, over the documented read-only views."""

from __future__ import annotations

import math
import sys
from typing import Any

import click

from tracecore.backend import Backend, Rows
from tracecore.cli.options import with_settings
from tracecore.cli.output import Column, note, print_json, print_table
from tracecore.cli.reading import Settings, read, sql_of

__all__ = ["sql"]

_CELL_LIMIT = 80


class _BeginsWithComment(click.Command):
    """Take a statement that begins with a comment, such as one copied from a file, for no option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put such a statement behind the options."""
        statements = [text for text in args if text[:2] == "--" and text[2:3].isspace()]
        options = [text for text in args if text not in statements and text != "--"]
        return super().parse_args(ctx, [*options, "--", *statements] if statements else args)


@click.command(
    cls=_BeginsWithComment,
    short_help="Run one read-only statement.",
    epilog='\b\nFor example:\n  tracecore sql "select user_id, sum(total_cost) from traces group by 1"',
)
@click.argument("statement", metavar="SELECT")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=1000, show_default=True, help="Rows at most.")
@click.option("--timeout", type=click.FloatRange(0.001, 3600), default=30.0, show_default=True, help="Seconds at most.")
@click.option("--full", is_flag=True, help="Do not cut long cells.")
@with_settings
def sql(settings: Settings, statement: str, *, limit: int, timeout: float, full: bool) -> None:
    """Run one read-only statement; `-` reads it from standard input.

    Views: spans, generations, traces, sessions, scores, ledger, losses. They hold every project: name the one you mean.
    """

    async def query(backend: Backend) -> Rows:
        text = sys.stdin.read() if statement == "-" else statement
        return await sql_of(backend).query(text, limit=limit, timeout=timeout)

    answer = read(settings, query)
    if settings.as_json:
        rows = [[_json_value(cell) for cell in row] for row in answer.rows]
        print_json({"columns": answer.columns, "rows": rows, "truncated": answer.truncated})
        return
    width = sys.maxsize if full else _CELL_LIMIT
    numeric = [
        bool(answer.rows) and all(isinstance(row[i], int | float | None) for row in answer.rows)
        for i in range(len(answer.columns))
    ]
    columns = [
        Column(heading, "right" if is_number else "left", width, firm=full)
        for heading, is_number in zip(answer.columns, numeric, strict=True)
    ]
    print_table(columns, [[_text(cell) for cell in row] for row in answer.rows])
    if answer.truncated:
        note(f"there are more rows than {limit:,}: --limit")


def _text(cell: Any) -> str:
    if cell is None:
        return "NULL"
    if isinstance(cell, float) and math.isfinite(cell) and not cell.is_integer():
        return f"{cell:.15g}"  # as SQLite's own shell: 5.77e-05, and not 5.769999999999999e-05
    return f"<{len(cell)} bytes>" if isinstance(cell, bytes) else str(cell)


def _json_value(cell: Any) -> Any:
    """Return a cell as JSON can hold it: bytes in hexadecimal, a lone surrogate as an escape."""
    if isinstance(cell, bytes):
        return cell.hex()
    return cell.encode("utf-8", "backslashreplace").decode() if isinstance(cell, str) else cell
