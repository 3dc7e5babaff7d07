"""The built-in language model: it answers with the sentences of the passages that say most about the question.

How it works, for each request: split the passages into sentences; weigh each term by how few sentences contain it;
rank sentences by the cosine between their terms and the question's; pick up to three by maximal marginal relevance
(relevant, but unlike what has been picked: Carbonell and Goldstein, 1998); say them in the order of the passages, each
with the number of its passage. It writes nothing of its own, so it cannot invent; when no sentence shares enough with
the question it says that.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from typing import Final

from msgspec import Struct

from examples.rag_service.embedding import terms_of
from examples.rag_service.llm import ModelOutput
from examples.rag_service.prompting import Message, read_messages
from examples.rag_service.tokens import count_tokens, tokenize

__all__ = ["NO_ANSWER", "ExtractiveModel", "Sentence", "answer_from", "sentences_of"]

NO_ANSWER: Final = "The passages do not answer this question."
MAX_SENTENCES: Final = 3
MIN_TERMS: Final = 3
"""A sentence with fewer terms is a heading or a fragment."""
RELEVANCE: Final = 0.7
"""How much being relevant weighs against not repeating, 0 to 1 (lambda of the paper)."""
MIN_RELEVANCE: Final = 0.1

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(*`])|\n\s*\n|\n\s*[-*+] ")
_EXAMPLE_LINE = re.compile(r"^\s*(>>>|\.\.\. |```|\$ ).*$", re.MULTILINE)


class Sentence(Struct, frozen=True):
    """One sentence of a passage: the passage's number, the words, and its terms."""

    passage: int
    text: str
    terms: frozenset[str]


class ExtractiveModel:
    """Answer by extraction, token by token, with the interface of a language model."""

    name = "extractive-mmr-1"

    def __init__(self) -> None:
        self.parameters: dict[str, object] = {"max_sentences": MAX_SENTENCES, "mmr_lambda": RELEVANCE}

    async def stream(self, messages: Sequence[Message]) -> AsyncGenerator[ModelOutput, None]:
        """Yield the answer's tokens, then the usage: tokens read and written."""
        question, passages = read_messages(messages)
        answer = tokenize(answer_from(question, passages))
        for token in answer:
            yield token
            # Other requests get their turn between two tokens, as they would while a remote model computes.
            await asyncio.sleep(0)
        yield {"input": sum(count_tokens(message["content"]) for message in messages), "output": len(answer)}


def answer_from(question: str, passages: Sequence[tuple[int, str]]) -> str:
    """Return the answer to a question from numbered passages."""
    every = [sentence for number, text in passages for sentence in sentences_of(number, text)]
    # Inherited docstrings are often the same text again: the first of them is enough.
    sentences = list({sentence.terms: sentence for sentence in reversed(every)}.values())[::-1]
    chosen = _choose(frozenset(terms_of(question)), sentences)
    return " ".join(f"{sentence.text} [{sentence.passage}]" for sentence in chosen) or NO_ANSWER


def sentences_of(number: int, text: str) -> list[Sentence]:
    """Split a passage into sentences, without code examples, on one line each."""
    pieces = (" ".join(piece.split()) for piece in _SENTENCE_END.split(_EXAMPLE_LINE.sub("\n", text)))
    found = [Sentence(number, piece, frozenset(terms_of(piece))) for piece in pieces]
    return [sentence for sentence in found if len(sentence.terms) >= MIN_TERMS]


def _choose(question: frozenset[str], sentences: Sequence[Sentence]) -> list[Sentence]:
    """Pick sentences by maximal marginal relevance and return them in the order they were read."""
    weights = _weights(sentences)
    relevance = [_cosine(question, sentence.terms, weights) for sentence in sentences]
    left = {index for index, score in enumerate(relevance) if score >= MIN_RELEVANCE}
    chosen: list[int] = []

    def marginal(index: int) -> tuple[float, int]:
        repeated = (_cosine(sentences[index].terms, sentences[other].terms, weights) for other in chosen)
        return RELEVANCE * relevance[index] - (1 - RELEVANCE) * max(repeated, default=0.0), -index

    while left and len(chosen) < MAX_SENTENCES:
        best = max(left, key=marginal)
        chosen.append(best)
        left.remove(best)
    return [sentences[index] for index in sorted(chosen)]


def _weights(sentences: Sequence[Sentence]) -> dict[str, float]:
    frequency = Counter(term for sentence in sentences for term in sentence.terms)
    return {term: math.log(1 + len(sentences) / count) for term, count in frequency.items()}


def _cosine(left: frozenset[str], right: frozenset[str], weights: dict[str, float]) -> float:
    """Return the cosine of two sets of terms; a term that no sentence has weighs nothing."""
    shared = math.fsum(weights.get(term, 0.0) ** 2 for term in left & right)
    lengths = [math.fsum(weights.get(term, 0.0) ** 2 for term in terms) for terms in (left, right)]
    return shared / math.sqrt(lengths[0] * lengths[1]) if shared else 0.0
