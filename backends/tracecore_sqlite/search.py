"""Full-text search: an index built later than the rows, and answers that are complete at any moment.

The index (FTS5) keeps which words occur in which observation and nothing else: 42 µs and 175 bytes for a span of 1 KB,
against 60 µs and 512 bytes with positions. It only proposes candidates. A phrase of several words is then looked for in
the text itself, by the same functions that define searching (``tracecore.phrase``), so the index may propose too much
but never too little:

* Characters of scripts without spaces are indexed in pairs; a single one is found as the beginning of a pair.
* What is not indexed yet, or has changed since, is a candidate. A changed text is indexed again under a new document
  number, because the old words cannot be taken out of an index that does not keep them.
* What the index holds of an observation that was erased cannot be taken out either. It leads nowhere, and once there is
  as much of it as of everything else, the index is emptied and made anew.
* The id of an observation, its user and its session are one more token each, so that they lead to it without its trace.
* A phrase only ever reaches FTS5 as quoted words of letters and digits: no syntax of its query language gets through.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Any, Final

from tracecore.phrase import Phrase, is_spaceless
from tracecore_sql.searching import NAMES, TEXTS, naming_tokens, phrase_tokens, searched_texts, text_tokens
from tracecore_sql.statements import load_statements
from tracecore_sqlite.bulk import Insert
from tracecore_sqlite.meeting import add_meets

__all__ = ["Indexer", "add_functions", "expression", "note_orphans", "one_of", "proves", "statements"]

_SLICE_ROWS: Final = 200
_SLICE_CHARACTERS: Final = 256 * 1024
_FIRST_REDOC: Final = 2**62
_FEW_ORPHANS: Final = 10_000
"""Documents of erased observations that are never worth making the index anew."""

# A BLOB is taken for the text that it nearly is.
_AS_TEXT: Final = ", ".join(f"CAST({column} AS TEXT)" for column in TEXTS)
# Names come as they are; that of nobody is empty.
_AS_BYTES: Final = ", ".join(f"hex({column})" for column in ("o.project", *NAMES))


@cache
def statements() -> dict[str, str]:
    """Return the statements of the search index."""
    named = load_statements("tracecore_sqlite", "search.sql")
    return {name: sql.replace("{texts}", _AS_TEXT).replace("{names}", _AS_BYTES) for name, sql in named.items()}


class Indexer:
    """Index slices through the writing connection; every method runs on its thread."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw
        self._sql = statements()
        self._insert = Insert(raw, "INSERT INTO tc_search (rowid, words) {rows}", 2)
        self._bearable = _FEW_ORPHANS
        """How many documents of erased observations are fewer than the others, as far as is known."""

    def maintain(self) -> bool:
        """Index 200 observations or 256 Ki characters, if so many wait; return whether more remains.

        An index of which half leads nowhere is emptied before.
        """
        raw = self._raw
        if self._is_mostly_orphans():
            self._empty()
        if not self._is_due():
            return False
        raw.execute("BEGIN IMMEDIATE")
        try:
            self._index_changed()
            self._index_next()
            raw.execute("COMMIT")
        except BaseException:
            if raw.in_transaction:
                raw.execute("ROLLBACK")
            raise
        return self._is_due()

    def _is_due(self) -> bool:
        return bool(self._raw.execute(self._sql["waiting"], (_SLICE_ROWS,)).fetchone()[0])

    def _is_mostly_orphans(self) -> bool:
        (orphans,) = self._raw.execute(self._sql["orphans"]).fetchone()
        if orphans <= self._bearable:
            return False
        (others,) = self._raw.execute(self._sql["count_indexed"], (orphans,)).fetchone()
        self._bearable = max(_FEW_ORPHANS, others + others // 4)
        return bool(others < orphans)

    def _empty(self) -> None:
        """Begin the index anew: what is not indexed is looked at by every search."""
        raw = self._raw
        raw.execute("BEGIN IMMEDIATE")
        try:
            for step in ("forget_documents", "forget_redocs", "forget_stale", "forget_orphans"):
                raw.execute(self._sql[step])
            raw.execute(self._sql["set_indexed"], (0,))
            raw.execute("COMMIT")
        except BaseException:
            if raw.in_transaction:
                raw.execute("ROLLBACK")
            raise

    def _index_next(self) -> None:
        """Index the observations that follow the last indexed one."""
        last = self._raw.execute(self._sql["end_of_slice"], (_SLICE_ROWS, _SLICE_CHARACTERS)).fetchone()[0]
        if last is None:
            return
        self._insert(self._documents(self._sql["texts_up_to"], (last,)))
        self._raw.execute(self._sql["set_indexed"], (last,))

    def _index_changed(self) -> None:
        """Index again what has changed since it was indexed."""
        changed = json.loads(self._raw.execute(self._sql["changed"], (_SLICE_ROWS,)).fetchone()[0])
        if not changed:
            return
        texts = self._documents(self._sql["texts_of"], (json.dumps(changed),))
        doc = self._raw.execute(self._sql["next_redoc"], (_FIRST_REDOC,)).fetchone()[0]
        for at in range(0, len(texts), 2):
            self._raw.execute("INSERT INTO tc_redocs (doc, id) VALUES (?, ?)", (doc, texts[at]))
            texts[at] = doc
            doc += 1
        self._insert(texts)
        self._raw.execute(self._sql["settle_changed"], (json.dumps(changed),))

    def _documents(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        """Return ids and their texts to index, in turn. All rows come in one step: see ``bulk``."""
        packed: bytes = self._raw.execute(sql, values).fetchone()[0]
        documents: list[Any] = []
        for number, project, span_id, user_id, session_id, *stored in json.loads(packed.decode("utf-8", "replace")):
            tokens = map(_tokens_of, searched_texts(stored))
            names = naming_tokens(*map(bytes.fromhex, (project, span_id, user_id, session_id)))
            documents += (number, "\n".join([*tokens, *names]))
        return documents


def expression(phrase: Phrase) -> str:
    """Return an FTS5 expression that every text with the phrase meets; empty when nothing can."""
    # Tokens are letters and digits: nothing in them has to be escaped.
    return " AND ".join(f'"{token.text}" *' if token.is_begun else f'"{token.text}"' for token in phrase_tokens(phrase))


def one_of(tokens: Iterable[str]) -> str:
    """Return an FTS5 expression that is met where there is one of some tokens."""
    return " OR ".join(f'"{token}"' for token in tokens)


def proves(phrase: Phrase) -> bool:
    """Return whether the expression of a phrase is met by nothing else: it is one token, a word or a pair."""
    found = phrase.words
    return len(found) == 1 or (len(found) == 2 and all(map(is_spaceless, found)))  # noqa: PLR2004 - a pair


def note_orphans(raw: sqlite3.Connection, packed: str) -> None:
    """Count the documents of observations that are about to be erased, whose ids are a JSON array."""
    raw.execute(statements()["note_orphans"], (packed, packed))


def add_functions(raw: sqlite3.Connection) -> None:
    """Give a reading connection ``tc_says(phrase, …)``: whether one of the searched texts holds the phrase."""
    raw.create_function("tc_says", 7, _says, deterministic=True)
    add_meets(raw)


def _tokens_of(text: str) -> str:
    """Return a text cut into tokens by spaces; the tokenizer of the index does that to ASCII by itself."""
    return text if text.isascii() else " ".join(text_tokens(text))


def _text(stored: str | bytes) -> str:
    return stored.decode("utf-8", "replace") if isinstance(stored, bytes) else stored


@lru_cache(maxsize=16)
def _phrase(text: str) -> Phrase:
    return Phrase(text)


def _says(phrase: str | bytes, *stored: str | bytes | None) -> bool:
    wanted = _phrase(_text(phrase))
    return any(wanted.stands_in(text) for text in searched_texts(stored))
