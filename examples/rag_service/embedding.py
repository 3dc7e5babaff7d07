"""Hashed TF-IDF: a real embedding that needs no model file.

Each term of a text becomes one of 2**18 features by its CRC-32; the weight of a feature is (1 + ln tf) x idf, with idf
learned from the corpus; the vector is then scaled to length 1, so that a dot product is a cosine. Texts that share rare
words are near each other; texts that say the same thing in other words are not.

Terms are lower-case words and the parts of identifiers (``wait_for`` gives ``wait_for``, ``wait`` and ``for``; a plural
``s`` is dropped), without the words that every question contains.
"""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from msgspec import Struct

__all__ = ["DIMENSIONS", "HashedTfidf", "SparseVector", "terms_of"]

DIMENSIONS: Final = 2**18
TITLE_WEIGHT: Final = 2
"""A term of the title counts this many times more: a passage is about what its name says."""
# fmt: off
STOP_WORDS: Final = frozenset([
    "a", "an", "and", "are", "be", "by", "can", "could", "do", "does", "for", "from", "get", "give", "how", "i", "if",
    "in", "is", "it", "me", "my", "of", "on", "one", "or", "shall", "should", "so", "tell", "that", "the", "then",
    "there", "this", "to", "use", "used", "using", "way", "what", "when", "where", "which", "who", "why", "will",
    "with", "would", "you", "your",
])
# fmt: on

SparseVector: TypeAlias = dict[int, float]
"""Weights by feature; every feature that is absent is zero."""

_WORD = re.compile(r"\w+")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")


def terms_of(text: str) -> list[str]:
    """Return the terms of a text in order, repeats included."""
    return [term for word in _WORD.findall(text) for term in _terms_of_word(word)]


class HashedTfidf(Struct, frozen=True):
    """Embed texts with the inverse document frequencies of one corpus."""

    idf: dict[int, float]
    unseen: float
    """The idf of a feature that no passage has."""

    @property
    def name(self) -> str:
        """Return the model name that is recorded with each embedding."""
        return f"hashed-tfidf-{DIMENSIONS}"

    @classmethod
    def fit(cls, texts: Iterable[tuple[str, str]]) -> tuple[HashedTfidf, list[SparseVector]]:
        """Learn from (title, text) pairs; return the model and one vector per pair."""
        features = _Features()
        counts = [features.count(text, title) for title, text in texts]
        frequency = Counter(feature for counted in counts for feature in counted)
        unseen = math.log(1 + len(counts)) + 1
        model = cls({feature: unseen - math.log(1 + df) for feature, df in frequency.items()}, unseen)
        return model, [model.weigh(counted) for counted in counts]

    def embed(self, text: str) -> SparseVector:
        """Return the vector of a text; it is empty when the text has no terms."""
        return self.weigh(_Features().count(text))

    def weigh(self, counts: Counter[int]) -> SparseVector:
        """Return the unit vector for how often each feature occurs."""
        idf, unseen = self.idf, self.unseen
        vector = {feature: (1 + math.log(tf)) * idf.get(feature, unseen) for feature, tf in counts.items()}
        length = math.sqrt(math.fsum(weight * weight for weight in vector.values()))
        return {feature: weight / length for feature, weight in vector.items()}


class _Features(dict[str, tuple[int, ...]]):
    """The features of each word that has been met: most words of a corpus are repeats."""

    def __missing__(self, word: str) -> tuple[int, ...]:
        features = tuple(zlib.crc32(term.encode()) % DIMENSIONS for term in _terms_of_word(word))
        self[word] = features
        return features

    def count(self, text: str, title: str = "") -> Counter[int]:
        counts = Counter[int]()
        for word in _WORD.findall(text):
            counts.update(self[word])
        for word in _WORD.findall(title):
            counts.update(self[word] * TITLE_WEIGHT)
        return counts


def _terms_of_word(word: str) -> Sequence[str]:
    parts = _PART.findall(word)
    candidates = [word, *parts] if len(parts) > 1 else [word]
    return [_singular(term) for term in map(str.lower, candidates) if term not in STOP_WORDS]


def _singular(term: str) -> str:
    """Drop a plural ending (the S-stemmer of Harman, 1991, without its rarer cases)."""
    if len(term) > 4 and term.endswith("ies"):  # noqa: PLR2004 - "dies" is not the plural of "dy"
        return term[:-3] + "y"
    if len(term) > 3 and term.endswith("s") and not term.endswith(("ss", "us", "is")):  # noqa: PLR2004 - "gas" is no plural
        return term[:-1]
    return term
