"""An inverted index over sparse unit vectors: exact cosine top-k, not an approximation.

Only passages that share a feature with the query are touched. A score is the cosine of the two vectors, between 0 and
1; it is reported as it is, never rescaled to look better.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence

from msgspec import Struct

from examples.rag_service.corpus import Passage
from examples.rag_service.embedding import SparseVector

__all__ = ["Hit", "VectorStore"]


class Hit(Struct, frozen=True):
    """A passage that was found and its cosine with the query."""

    passage: Passage
    score: float


class VectorStore:
    """Hold passages with their vectors; safe to search from many threads, as nothing changes after construction."""

    def __init__(self, passages: Sequence[Passage], vectors: Sequence[SparseVector]) -> None:
        self._passages = passages
        self._postings: dict[int, list[tuple[int, float]]] = defaultdict(list)
        for index, vector in enumerate(vectors):
            for feature, weight in vector.items():
                self._postings[feature].append((index, weight))
        self._postings.default_factory = None
        self.sources = frozenset(passage.source for passage in passages)

    def __len__(self) -> int:
        return len(self._passages)

    def search(self, query: SparseVector, *, top_k: int, source: str | None = None) -> list[Hit]:
        """Return the ``top_k`` passages nearest to the query, best first, ties in corpus order.

        With ``source`` only passages of that module or package are considered. A passage that shares nothing with the
        query is never returned, so there may be fewer.
        """
        scores: dict[int, float] = defaultdict(float)
        for feature, query_weight in query.items():
            for index, weight in self._postings.get(feature, ()):
                scores[index] += query_weight * weight
        wanted = [(score, -index) for index, score in scores.items() if source in {None, self._passages[index].source}]
        return [Hit(self._passages[-index], min(1.0, score)) for score, index in heapq.nlargest(top_k, wanted)]
