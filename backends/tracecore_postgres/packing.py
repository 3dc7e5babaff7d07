"""Many rows as one text per column.

The driver spends 150 ns on each element of an array, and a row has 38 values. Joined by a character that no value
holds, the texts of a column are one value: 15 ns an element to join here, and the server cuts it again
(``string_to_table``). See ``benchmarks/rejected`` for arrays and for COPY. What it needs:

* The separator of texts is U+0002, which no stored text holds: a text with it is escaped first (see ``texts``), and
  that there is none is seen by counting.
* Numbers are separated by commas, as in JSON, whose encoder writes a column of them at once.
* NULL is a text of its own that was drawn at random when the program began, so that no value is taken for it.
* One more row of NULLs at the end tells no row from one with an empty text. Of a column of NULLs nothing else is sent:
  the server fills up columns that are shorter than others.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from tracecore.errors import BackendRejected
from tracecore_postgres.texts import needs_escaping, stored_value

__all__ = ["MOST_BYTES", "NULL", "NotPlain", "check_size", "columns_of", "packed", "source"]

SEPARATOR: Final = "\x02"
NULL: Final = f"\x03{os.urandom(4).hex()}"
MOST_BYTES: Final = 1_000_000_000
"""What fits into one message to the server, nearly."""
_KINDS: Final = {str, int, float}
_TEXT: Final = "text"
_COMMA: Final = ","
_CUT_AT: Final = ("','", r"E'\x02'")
"""The separators of numbers and of texts, as SQL writes them."""
_encode: Final = msgspec.json.Encoder().encode
_ENCODED_NULL: Final = _encode(NULL).decode()
_NO_NUMBERS: Final = '"tl{['
"""Each JSON value that is no number has one of these: text, true, false and null (infinity, too), objects, arrays."""


class NotPlain(Exception):
    """Say that a text among the values can only be stored escaped."""


def columns_of(values: Sequence[Any], width: int) -> list[Sequence[Any]]:
    """Return the columns of rows whose values follow each other in a flat list."""
    return [values[at::width] for at in range(width)]


def packed(columns: Sequence[Sequence[Any]], types: Iterable[str], *, escaped: bool) -> list[str]:
    """Return one text for each column; ``types`` are those of the columns in :func:`source`.

    Raises:
        NotPlain: a text has to be escaped, which was not asked for.
        BackendRejected: a value is of a type that no column holds, or too large.
    """
    return [
        NULL if _is_null(column) else _texts(column, escaped=escaped) if type_ == _TEXT else _numbers(column)
        for column, type_ in zip(columns, types, strict=True)
    ]


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
    cut = ", ".join(
        f"string_to_table(${number}, {_CUT_AT[type_ == _TEXT]}, {null})"
        for number, type_ in enumerate(columns.values(), first)
    )
    # Text compares as the columns of the tables do: locks are taken in that order.
    read = ", ".join(
        f'{name} COLLATE "C" AS {name}' if type_ == _TEXT else f"{name}::{type_} AS {name}"
        for name, type_ in columns.items()
    )
    key = next(iter(columns))
    return f"(SELECT {read} FROM ROWS FROM ({cut}) AS r ({', '.join(columns)}) WHERE {key} IS NOT NULL)"  # noqa: S608 - made of constants


def _is_null(column: Sequence[Any]) -> bool:
    """Return whether a column holds NULLs only; the ends of most columns that do not already tell."""
    return not column or (column[0] is NULL and column[-1] is NULL and column.count(NULL) == len(column))


def _texts(column: Sequence[Any], *, escaped: bool) -> str:
    """Join texts, with a NULL behind them."""
    if escaped:
        return _joined([value if value is NULL else stored_value(value) for value in column], SEPARATOR)
    text = _joined(column, SEPARATOR)
    if text.count(SEPARATOR) != len(column) or needs_escaping(text):
        raise NotPlain
    return text


def _numbers(column: Sequence[Any]) -> str:
    """Join numbers, with a NULL behind them."""
    with contextlib.suppress(OverflowError, TypeError, ValueError):  # ValueError: a text that is no UTF-8, too
        text = _encode([*column, NULL]).decode()[1:-1].replace(_ENCODED_NULL, NULL)
        if text.count(_COMMA) == len(column) and not any(mark in text for mark in _NO_NUMBERS):
            return text
    text = _joined(column, _COMMA)
    if text.count(_COMMA) != len(column):
        raise BackendRejected("a record holds a text with a comma for a number", "record the documented types")
    return text


def _joined(column: Sequence[Any], separator: str) -> str:
    """Join the values of a column, with a NULL behind them."""
    try:
        return separator.join([*column, NULL])
    except TypeError:
        kinds = set(map(type, column))
    if bytes in kinds:
        raise NotPlain  # a payload that is no UTF-8
    if strange := kinds - _KINDS:
        named = ", ".join(sorted(kind.__name__ for kind in strange))
        raise BackendRejected(f"a record cannot hold a value of type {named}", "record the documented types")
    return separator.join(map(str, [*column, NULL]))
