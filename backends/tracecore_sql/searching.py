"""What the search indexes of SQL backends share: the texts of an observation that are searched, and their tokens.

An index only proposes observations; that a phrase stands in one is proved in the texts themselves
(:mod:`tracecore.phrase`). Its tokens are whole words. In scripts without spaces, where every character is a word, they
are pairs of characters, for single ones are nearly everywhere.

The id of an observation, its user and its session are a token each, so that it is found by them in all traces at once.
An index of the table by a user would be one more page to write for every span, far from the last; this one is written
later, and many spans at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final
from zlib import crc32

from msgspec import Struct

from tracecore.backend import ObservationQuery
from tracecore.conditions import Column
from tracecore.phrase import Phrase, is_spaceless, payload_text, words

__all__ = [
    "NAMES", "TEXTS", "Token", "leading_tokens", "naming_tokens", "phrase_tokens", "searched_texts", "text_tokens",
]  # fmt: skip

TEXTS: Final = ("b.input", "b.output", "b.metadata", "o.status_message", "o.error", "b.error_stack")
"""The columns of an observation ``o`` and its body ``b`` that hold what is searched."""
# The rarest words decide anyway, and indexes limit how much is asked at once.
_MOST_TOKENS: Final = 24
_MOST_NAMED: Final = 100
_MOST_GROUPS: Final = 8
# The tokens of names begin with these characters for private use, so that none of them is a word of a text.
_MARKS: Final[dict[Column, str]] = {"id": "\ue000", "user_id": "\ue001", "session_id": "\ue002"}
NAMES: Final = ("o.span_id", "o.user_id", "o.session_id")
"""The columns of an observation ``o`` by which it is found as a whole, in the order of ``naming_tokens``."""


class Token(Struct, frozen=True):
    """Hold what an index is asked for."""

    text: str
    is_begun: bool = False
    """Whether a pair that begins so will do: a single character of a script without spaces."""


def text_tokens(text: str) -> list[str]:
    """Return the tokens of a text in order: its words, and pairs where two characters without spaces meet."""
    found = words(text)
    if text.isascii():
        return found
    return [
        word + after if is_spaceless(word) and is_spaceless(after) else word for word, after in pairwise([*found, ""])
    ]


def phrase_tokens(phrase: Phrase) -> list[Token]:
    """Return tokens that every text with the phrase has, the longest first; none when nothing has the phrase."""
    found = phrase.words
    tokens: dict[Token, None] = {}
    for at, word in enumerate(found):
        before, after = found[at - 1] if at else "", found[at + 1] if at + 1 < len(found) else ""
        if not is_spaceless(word):
            tokens[Token(word)] = None
        elif is_spaceless(after):
            tokens[Token(word + after)] = None
        elif not is_spaceless(before):
            tokens[Token(word, is_begun=True)] = None
    return sorted(tokens, key=lambda token: len(token.text), reverse=True)[:_MOST_TOKENS]


def naming_tokens(project: bytes, *names: bytes) -> list[str]:
    """Return the tokens by which an observation of a project is found that has these ``NAMES``; of an empty one none.

    Hardly another observation has one of them.
    """
    of_project = crc32(project)
    return [_naming_token(mark, name, of_project) for mark, name in zip(_MARKS.values(), names, strict=True) if name]


def _naming_token(mark: str, name: bytes, of_project: int) -> str:
    return f"{mark}{crc32(name, of_project):08x}"


def leading_tokens(project: str, query: ObservationQuery) -> list[list[str]]:
    """Return groups of tokens; every observation that a query over all traces selects has one of each group."""
    if query.trace_id is not None:
        return []
    of_project = crc32(_bytes(project))
    return [
        [_naming_token(_MARKS[column], _bytes(name), of_project) for name in names]
        for column, names in _named(query)
        if all(names) and 0 < len(names) <= _MOST_NAMED
    ][:_MOST_GROUPS]


def _named(query: ObservationQuery) -> Iterator[tuple[Column, tuple[str, ...]]]:
    """Yield the columns that a query names values of, with the values of which each observation has one."""
    if query.user_id is not None:
        yield "user_id", (query.user_id,)
    if query.session_id is not None:
        yield "session_id", (query.session_id,)
    for condition in query.where:
        if condition.column in _MARKS and condition.operator in {"=", "any of"}:
            yield condition.column, condition.value if isinstance(condition.value, tuple) else (str(condition.value),)


def searched_texts(stored: Sequence[str | bytes | None]) -> Iterator[str]:
    """Yield the texts of one observation that a search looks at, from the values of ``TEXTS``."""
    *payloads, status_message, error, error_stack = stored
    for payload in payloads:
        if payload is not None:
            yield payload_text(payload.encode("utf-8", "surrogatepass") if isinstance(payload, str) else payload)
    if status_message is not None:
        yield _text(status_message)
    if error is not None:
        yield from json.loads(error).values()
    if error_stack is not None:
        yield _text(error_stack)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(stored: str | bytes) -> str:
    return stored.decode("utf-8", "replace") if isinstance(stored, bytes) else stored
