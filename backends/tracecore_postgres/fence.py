"""What a person's SQL may name: the words of a statement, and those among them that lead past the views.

This is a fence, not a wall. It keeps honest people to the views, because the tables behind them change, and away from
functions by which a statement that only reads does more than read. Nothing is changed by what gets over it: the guard
against that is the transaction (:mod:`tracecore_postgres.console`). Whoever gives the console to people who must not
see other data of the same database gives it a role that cannot: that is the wall.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final

from msgspec import Struct

__all__ = ["Word", "forbidden_word", "words_of"]

_FIRST: Final = frozenset(("select", "with", "values", "table", "explain"))
"""What a statement that answers something of ours begins with."""
_FORBIDDEN: Final = frozenset((
    # They run SQL that is in a text.
    "query_to_xml", "query_to_xmlschema", "query_to_xml_and_xmlschema", "cursor_to_xml", "cursor_to_xmlschema",
    "table_to_xml", "table_to_xmlschema", "table_to_xml_and_xmlschema", "ts_stat", "ts_rewrite", "connectby",
    "xpath_table",
    # They change the session, or what lies outside transactions.
    "set_config", "nextval", "setval", "loread", "lowrite", "lo_get",
))  # fmt: skip
_FORBIDDEN_BEGINNINGS: Final = (
    "tc_",  # the tables
    "pg_",  # the catalogue; files, sleeping, signals, locks, notifications
    "schema_to_xml", "database_to_xml", "crosstab", "dblink", "lo_", "brin_", "gin_", "binary_upgrade_",
)  # fmt: skip

# The classes are those of the server's own scanner: to it every character beyond ASCII belongs to a name.
_TOKEN: Final = re.compile(
    r"""
    (?P<space>[ \t\n\r\f\v]+ | --[^\n\r]*)
    | (?P<comment>/\*)
    | (?P<unicode>[uU]&["'])
    | (?P<escaped>[eE]'(?:[^'\\]|''|\\.)*(?:'|\Z))
    | (?P<text>[bBxXnN]?'(?:[^']|'')*(?:'|\Z))
    | (?P<quoted>"(?:[^"]|"")*(?:"|\Z))
    | (?P<dollar>\$(?:[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*)?\$)
    | (?P<number>[0-9]+)
    | (?P<name>[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*)
    | (?P<sign>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT: Final = re.compile(r"/\*|\*/")


class Word(Struct, frozen=True):
    """Hold a word of a statement: a name, a keyword, or a sign."""

    text: str
    """As the server reads it: lower case, unless it was quoted."""
    is_name: bool


def words_of(sql: str) -> Iterator[Word]:
    """Yield the words of a statement, without its comments and texts, as the server cuts it.

    Texts are read as the server does with ``standard_conforming_strings``.

    Raises:
        ValueError: it holds a name or a text of which this cannot tell what it says, or where it ends.
    """
    at = 0
    before = ""
    while (match := _TOKEN.match(sql, at)) is not None:
        at = match.end()
        kind = match.lastgroup or ""
        if kind == "unicode" or (kind == "text" and before == "escaped"):
            # Names and texts in code points; and texts that go on behind a line's end by the rules of the first part.
            raise ValueError(match[0][:20])
        if kind == "comment":
            at = _end_of_comment(sql, at)
        elif kind == "dollar":
            end = sql.find(match[0], at)
            at = len(sql) if end < 0 else end + len(match[0])
        elif kind == "name":
            yield Word(match[0].lower(), is_name=True)
        elif kind == "quoted":
            yield Word(match[0][1:-1].replace('""', '"'), is_name=True)
        elif kind == "sign":
            yield Word(match[0], is_name=False)
        before = kind if kind not in {"space", "comment"} else before


def forbidden_word(sql: str, schemas: Collection[str]) -> str | None:
    """Return the first word of a statement that leads past the views, or None.

    ``schemas`` are those of the database that hold something else.
    """
    try:
        found = list(words_of(sql))
    except ValueError as error:
        return str(error)
    first = next((word.text for word in found if word.text != "("), "")
    if first not in _FIRST:
        return first
    for word, following in zip(found, [*found[1:], Word("", is_name=False)], strict=True):
        text = word.text.lower()
        if word.is_name and (text in _FORBIDDEN or text.startswith(_FORBIDDEN_BEGINNINGS)):
            return word.text
        if word.is_name and following.text == "." and word.text in schemas:
            return word.text
    return None


def _end_of_comment(sql: str, at: int) -> int:
    """Return where a comment ends that has begun before ``at``; comments hold others."""
    depth = 1
    while depth:
        match = _COMMENT.search(sql, at)
        if match is None:
            return len(sql)
        depth += 1 if match[0] == "/*" else -1
        at = match.end()
    return at
