"""Full-text search: an index built later than the rows, and answers that are complete at any moment.

The index (GIN) keeps, for each observation, the numbers of the words in it: 32 bits each, whatever their length and
script, so nothing is too long for it. (A ``tsvector`` refuses words beyond 2 KB and texts beyond 1 MB, and stores every
word again.) Two words may have one number, and a number says nothing of order, so the index only proposes candidates. A
phrase is then looked for in the text itself, by the functions that define searching (``tracecore.phrase``):

* Characters of scripts without spaces are indexed one by one and in pairs.
* The project is one more word of each observation, so that a search does not walk through the words of all others.
* What is not indexed yet, or has changed since, stands in a queue (``tc_unindexed``) and is a candidate.
* The id of an observation, its user and its session are one more word each, so that they lead to it without its trace.
* A phrase only ever reaches the database as numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from zlib import crc32

from tracecore.phrase import Phrase, is_spaceless
from tracecore_sql.searching import naming_tokens, phrase_tokens, searched_texts, text_tokens

__all__ = ["holds", "indexed_words", "naming_words", "wanted_words", "word_of"]


def indexed_words(project: str, stored: Sequence[str | bytes | None]) -> list[int]:
    """Return the numbers under which an observation is found, from its project and the values of ``TEXTS``."""
    tokens: set[str] = set()
    for text in searched_texts(stored):
        found = text_tokens(text)
        tokens.update(found)
        if not text.isascii():
            # The first of a pair may be asked for alone; the second is the first of the next pair, or a token itself.
            tokens.update(token[0] for token in found if is_spaceless(token[0]))
    return sorted({_of_project(project), *map(word_of, tokens)})


def wanted_words(project: str, phrase: Phrase) -> list[int]:
    """Return the numbers that every observation of a project with the phrase has; none when nothing has the phrase."""
    tokens = phrase_tokens(phrase)
    return [_of_project(project), *(word_of(token.text) for token in tokens)] if tokens else []


def naming_words(project: str, names: Iterable[str | None]) -> list[int]:
    """Return the numbers under which an observation of a project is found that has these ``NAMES``."""
    said = (name.encode("utf-8", "surrogatepass") for name in (project, *(name or "" for name in names)))
    return [word_of(token) for token in naming_tokens(*said)]


def holds(phrase: Phrase, stored: Iterable[str | bytes | None]) -> bool:
    """Return whether one of the texts of an observation, the values of ``TEXTS``, holds the phrase."""
    return any(phrase.stands_in(text) for text in searched_texts(list(stored)))


def _of_project(project: str) -> int:
    return word_of(f"\0{project}")  # no word holds a NUL


def word_of(token: str) -> int:
    """Return the number of a token: the same in every process and version, within the database's ``integer``."""
    found = crc32(token.encode("utf-8", "surrogatepass"))
    return found - 2**32 if found >= 2**31 else found
