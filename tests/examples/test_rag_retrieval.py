"""The embedding and the vector store find what they should, and report honest scores."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.rag_service.embedding import HashedTfidf, terms_of
from examples.rag_service.vector_store import VectorStore
from tests.examples.rag_corpus import PASSAGES

EMBEDDER, VECTORS = HashedTfidf.fit((passage.title, passage.text) for passage in PASSAGES)
STORE = VectorStore(PASSAGES, VECTORS)
WORDS = sorted({term for passage in PASSAGES for term in terms_of(passage.text)})


@pytest.mark.parametrize(
    ("question", "best"),
    [
        ("How do I give up waiting after a timeout?", "tasks.wait_for"),
        ("What protects tasks from being cancelled, a shield?", "tasks.shield"),
        ("Which files match my patterns?", "files.glob"),
        ("When is a folder removed?", "files.remove"),
        ("What is the middle value?", "stats.median"),
        ("How can I colour cells in a terminal?", "tables README 1"),
    ],
)
def test_the_best_passage_is_found(question: str, best: str) -> None:
    """A question about a passage in other grammar, number and order finds that passage first."""
    assert STORE.search(EMBEDDER.embed(question), top_k=3)[0].passage.name == best


def test_identifiers_are_found_by_their_parts_and_as_a_whole() -> None:
    """Underscores, dots and capitals separate words, and the whole is a term too."""
    assert terms_of("asyncio.wait_for") == ["asyncio", "wait_for", "wait"]
    assert terms_of("parseHTTPDate2") == ["parsehttpdate2", "parse", "http", "date", "2"]
    assert terms_of("the entries of a class, gas and bus") == ["entry", "class", "gas", "bus"]


def test_a_passage_is_nearest_to_itself() -> None:
    """Embedding is deterministic, and the cosine of a vector with itself is one."""
    for vector, passage in zip(VECTORS, PASSAGES, strict=True):
        (hit,) = STORE.search(vector, top_k=1)
        assert hit.passage == passage
        assert hit.score == pytest.approx(1.0)


def test_a_search_can_be_limited_to_one_source() -> None:
    """Only passages of the source are found, although others would score higher."""
    query = EMBEDDER.embed("files that match a pattern, or the median, or a timeout of a task")
    assert {hit.passage.source for hit in STORE.search(query, top_k=6, source="tasks")} == {"tasks"}
    assert STORE.search(query, top_k=6, source="nowhere") == []


@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=8), max_size=20).map(" ".join), st.integers(1, 8))
def test_scores_are_cosines_in_order(question: str, top_k: int) -> None:
    """Scores lie in [0, 1], fall from hit to hit, and equal the dot product computed by hand."""
    query = EMBEDDER.embed(question)
    hits = STORE.search(query, top_k=top_k)
    assert len(hits) <= top_k
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    for hit in hits:
        vector = VECTORS[PASSAGES.index(hit.passage)]
        by_hand = math.fsum(weight * vector.get(feature, 0.0) for feature, weight in query.items())
        assert 0 < hit.score <= 1
        assert hit.score == pytest.approx(by_hand)


@given(st.text(max_size=200))
def test_vectors_have_length_one(text: str) -> None:
    """Every embedding is a unit vector, or empty when the text has no terms."""
    vector = EMBEDDER.embed(text)
    assert math.fsum(weight**2 for weight in vector.values()) == pytest.approx(1.0 if terms_of(text) else 0.0)


def test_rare_words_weigh_more_than_common_ones() -> None:
    """Of two words in the query, the one that fewer passages contain decides."""
    embedder, vectors = HashedTfidf.fit([("", "common rare"), ("", "common other"), ("", "common more")])
    assert vectors[0][max(vectors[0], key=vectors[0].__getitem__)] == max(embedder.embed("common rare").values())
    weights = sorted(vectors[0].values())
    assert weights[0] < weights[1]
