"""What the search indexes of SQL backends share: the texts of an observation that are searched, and their tokens.

An index only proposes observations; that a phrase stands in one is proved in the texts themselves
(:mod:`tracecore.phrase`). Its tokens are whole words. In scripts without spaces, where every character is a word, they
are pairs of characters, for single ones are nearly everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final
from zlib import crc32

from msgspec import Struct

from tracecore.backend import ObservationQuery
from tracecore.phrase import Phrase, is_spaceless, payload_text, words

__all__ = ["TEXTS", "Token", "id_token", "leading_ids", "phrase_tokens", "searched_texts", "text_tokens"]

TEXTS: Final = ("b.input", "b.output", "b.metadata", "o.status_message", "o.error", "b.error_stack")
"""The columns of an observation ``o`` and its body ``b`` that hold what is searched."""
# The rarest words decide anyway, and indexes limit how much is asked at once.
_MOST_TOKENS: Final = 24
_MOST_IDS: Final = 100


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


def id_token(span_id: bytes) -> str:
    """Return the token by which an observation is found that has an id, and hardly another; it is no word of a text."""
    return f"\ue000{crc32(span_id):08x}"


def leading_ids(query: ObservationQuery) -> tuple[str, ...]:
    """Return ids of which every observation has one that a query over all traces selects; none where it names none."""
    if query.trace_id is not None:
        return ()
    for condition in query.where:
        if condition.column == "id" and condition.operator in {"=", "any of"}:
            named = condition.value if isinstance(condition.value, tuple) else (str(condition.value),)
            if 0 < len(named) <= _MOST_IDS:
                return named
    return ()


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


def _text(stored: str | bytes) -> str:
    return stored.decode("utf-8", "replace") if isinstance(stored, bytes) else stored
