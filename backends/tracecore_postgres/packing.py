"""Many rows as one text per column.

The driver spends 150 ns on each element of an array, and a row has 38 values. Joined by a character that no value
holds, the texts of a column are one value: 15 ns an element to join here, and the server cuts it again
(``string_to_table``). See ``benchmarks/rejected`` for arrays and for COPY. What it needs:

* The separator is U+0002, which no stored text holds: a text with it is escaped first (see ``texts``), and that there
  is none is seen by counting.
* NULL is a text of its own that was drawn at random when the program began, so that no value is taken for it.
* One more row of NULLs at the end tells no row from one with an empty text.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tracecore.errors import BackendRejected
from tracecore_postgres.texts import needs_escaping, stored_value

__all__ = ["MOST_BYTES", "NULL", "NotPlain", "check_size", "columns_of", "packed", "source"]

SEPARATOR: Final = "\x02"
NULL: Final = f"\x03{os.urandom(4).hex()}"
MOST_BYTES: Final = 1_000_000_000
"""What fits into one message to the server, nearly."""
_KINDS: Final = {str, int, float}


class NotPlain(Exception):
    """Say that a text among the values can only be stored escaped."""


def columns_of(values: Sequence[Any], width: int) -> list[Sequence[Any]]:
    """Return the columns of rows whose values follow each other in a flat list."""
    return [values[at::width] for at in range(width)]


def packed(columns: Sequence[Sequence[Any]], *, escaped: bool) -> list[str]:
    """Return one text for each column.

    Raises:
        NotPlain: a text has to be escaped, which was not asked for.
        BackendRejected: a value is of a type that no column holds, or too large.
    """
    texts = [_joined(_escaped(column) if escaped else column) for column in columns]
    if not escaped and any(
        text.count(SEPARATOR) != len(column) or needs_escaping(text)
        for text, column in zip(texts, columns, strict=True)
    ):
        raise NotPlain
    return texts


def check_size(texts: Iterable[str]) -> None:
    """Refuse what fits into no message to the server.

    Raises:
        BackendRejected: it is a gigabyte or more.
    """
    kept = list(texts)
    if sum(map(len, kept)) < MOST_BYTES // 4:
        return  # a character has four bytes at most
    if sum(len(text.encode("utf-8", "replace")) for text in kept) > MOST_BYTES:
        raise BackendRejected("a record is larger than a gigabyte", "record less")


def source(columns: Mapping[str, str], first: int, *, null: str = "$1") -> str:
    """Return a FROM item that gives packed rows back; its columns are parameters from number ``first`` on.

    ``columns`` says what each is called and its type. ``null`` is the parameter that says what NULL looks like.
    """
    cut = ", ".join(f"string_to_table(${first + at}, E'\\x02', {null})" for at in range(len(columns)))
    # Text compares as the columns of the tables do: locks are taken in that order.
    read = ", ".join(
        f'{name} COLLATE "C" AS {name}' if type_ == "text" else f"{name}::{type_} AS {name}"
        for name, type_ in columns.items()
    )
    key = next(iter(columns))
    return f"(SELECT {read} FROM ROWS FROM ({cut}) AS r ({', '.join(columns)}) WHERE {key} IS NOT NULL)"  # noqa: S608 - made of constants


def _joined(column: Sequence[Any]) -> str:
    """Join the values of a column, with a NULL behind them."""
    try:
        return SEPARATOR.join([*column, NULL])
    except TypeError:
        kinds = set(map(type, column))
    if bytes in kinds:
        raise NotPlain  # a payload that is no UTF-8
    if strange := kinds - _KINDS:
        named = ", ".join(sorted(kind.__name__ for kind in strange))
        raise BackendRejected(f"a record cannot hold a value of type {named}", "record the documented types")
    return SEPARATOR.join(map(str, [*column, NULL]))


def _escaped(column: Sequence[Any]) -> list[Any]:
    return [value if value is NULL else stored_value(value) for value in column]
