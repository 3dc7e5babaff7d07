"""Conditions on observations as SQLite says them, and the function by which it asks what it cannot say.

Texts are compared byte by byte: a text with a NUL is longer for SQLite's own functions than for its operators, and one
that UTF-8 cannot hold is a BLOB.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from functools import lru_cache
from typing import Final

import msgspec

from tracecore.clock import monotonic_ns
from tracecore.conditions import Condition
from tracecore.errors import BackendUnavailable
from tracecore_sql.from_rows import unpack
from tracecore_sql.to_rows import pack
from tracecore_sql.where import PROVED, Dialect, Part, holds_standing, proves, standing

__all__ = ["DIALECT", "add_meets", "within_patience"]

_PATIENCE_S: Final = 30
"""How long a list may look for what meets its conditions: others wait for the same connection."""
_STEPS: Final = 20_000
"""Steps of SQLite's virtual machine between two looks at the clock: about a millisecond."""
_decoder: Final = msgspec.json.Decoder(Condition)


def _contains(column: str, value: str) -> Part:
    return f"instr(CAST({column} AS BLOB), CAST(? AS BLOB)) > 0", [value]


def _starts_with(column: str, value: str) -> Part:
    return f"substr(CAST({column} AS BLOB), 1, ?) = CAST(? AS BLOB)", [_length(value), value]


def _ends_with(column: str, value: str) -> Part:
    return f"substr(CAST({column} AS BLOB), ?) = CAST(? AS BLOB)", [-_length(value), value]


def _length(value: str) -> int:
    return len(value.encode("utf-8", "surrogatepass"))


def _proved(condition: Condition) -> Part:
    stored = PROVED[condition.column]
    proof, packed = f"tc_meets(?, {', '.join(stored)})", pack(condition)
    wanted = standing(condition)
    if not wanted or condition.operator == "is not set":
        return proof, [packed]
    # The function is called for what may meet the condition only: a call costs more than looking for a word.
    held = " OR ".join(holds_standing(column, wanted, "instr") for column in stored)
    return f"(({held}) AND {proof})", [*wanted * len(stored), packed]


DIALECT: Final = Dialect("instr", _contains, _starts_with, _ends_with, _proved)


def add_meets(raw: sqlite3.Connection) -> None:
    """Give a connection ``tc_meets(condition, stored, …)``: whether what is stored meets a condition on it."""
    raw.create_function("tc_meets", -1, _meets, deterministic=True)


@contextmanager
def within_patience(
    raw: sqlite3.Connection,
    what: str = "nothing met the conditions",
    remedy: str = "narrow them: to some time, a trace or a user",
) -> Generator[None]:
    """Run a block of statements that end when their time is up, and say then what was not done.

    Raises:
        BackendUnavailable: it was.
    """
    deadline = monotonic_ns() + _PATIENCE_S * 10**9
    raw.set_progress_handler(lambda: monotonic_ns() > deadline, _STEPS)
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        raise BackendUnavailable(f"{what} within {_PATIENCE_S} s", remedy) from error
    finally:
        raw.set_progress_handler(None, 0)


@lru_cache(maxsize=128)
def _condition(packed: str) -> Condition:
    return unpack(_decoder, packed)


def _meets(packed: str, *stored: str | bytes | None) -> bool:
    return proves(_condition(packed), *stored)
