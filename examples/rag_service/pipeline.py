"""The steps of an answer, each one an observation: embed → retrieve → build prompt → generate.

This is the file to read for how instrumentation looks in a program. A step is a plain function with ``@observe`` over
it; what the arguments and the return value do not say is added with ``update_current_...``. Nothing here opens, closes
or passes on a span by hand.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final, TypeAlias

from msgspec import Struct

from examples.rag_service.embedding import HashedTfidf, SparseVector
from examples.rag_service.llm import ChatModel, ModelOutput, Usage, text_of
from examples.rag_service.prompting import Message, PromptTemplate
from examples.rag_service.settings import Price
from examples.rag_service.tokens import count_tokens
from examples.rag_service.vector_store import Hit, VectorStore
from tracecore import observe, score_current_trace, update_current_generation, update_current_span

__all__ = ["Delta", "Done", "Pipeline", "Question", "Source", "Sources", "StreamPart"]

WEAK_MATCH: Final = 0.2
"""A best cosine below this is worth a warning: the corpus has little to say."""


class Question(Struct, frozen=True):
    """What is asked, how many passages to answer from, and which source to search."""

    text: str
    top_k: int = 5
    source: str | None = None


class Source(Struct, frozen=True):
    """Name a passage that the answer was given to, by its number in the answer."""

    number: int
    name: str
    source: str
    score: float


class Sources(Struct, frozen=True, tag="sources"):
    """The passages that were found: the first part of an answer."""

    sources: list[Source]


class Delta(Struct, frozen=True, tag="delta"):
    """A piece of the answer's text."""

    text: str


class Done(Struct, frozen=True, tag="done"):
    """What the answer used and cost: its last part. None is unknown."""

    usage: Usage
    """Tokens per bucket; ``embedding`` is the question's."""
    cost_usd: float | None


StreamPart: TypeAlias = Sources | Delta | Done


class Pipeline:
    """Answer questions from one corpus with one model."""

    def __init__(
        self, embedder: HashedTfidf, store: VectorStore, *, model: ChatModel, prompt: PromptTemplate, price: Price,
        embedding_price: Price,
    ) -> None:  # fmt: skip
        self.model = model
        self._embedder = embedder
        self._store = store
        self._prompt = prompt
        self._price = price
        self._embedding_price = embedding_price

    async def answer(self, question: Question, *, model: ChatModel | None = None) -> AsyncGenerator[StreamPart, None]:
        """Yield the sources, then the text piece by piece, then usage and cost; ``model`` replaces the usual one.

        Raises:
            ModelFailed: the language model gave no answer.
        """
        vector = self.embed(question.text)
        hits = await self.retrieve(vector, top_k=question.top_k, source=question.source)
        yield Sources([Source(n, hit.passage.title, hit.passage.source, hit.score) for n, hit in enumerate(hits, 1)])
        messages = self.build_prompt(question.text, hits)
        pieces: list[ModelOutput] = []
        async with aclosing(self.generate(messages, model=model or self.model)) as stream:
            async for piece in stream:
                pieces.append(piece)
                if isinstance(piece, str):
                    yield Delta(piece)
        update_current_span(output=text_of(pieces))
        yield self._account(question.text, pieces)

    @observe(name="embed", as_type="embedding", capture_output=False)
    def embed(self, text: str) -> SparseVector:
        """Return the vector of the question."""
        vector = self._embedder.embed(text)
        usage = {"input": count_tokens(text)}
        update_current_generation(
            model=self._embedder.name,
            usage_details=usage,
            cost_details=self._embedding_price.cost(usage),
            output={"features": len(vector)},
        )
        return vector

    @observe(name="retrieve", as_type="retriever", capture_input=False, capture_output=False)
    async def retrieve(self, vector: SparseVector, *, top_k: int, source: str | None) -> list[Hit]:
        """Return the nearest passages; the search runs in a thread, and its span stays where it belongs."""
        hits = await asyncio.to_thread(self._store.search, vector, top_k=top_k, source=source)
        best = hits[0].score if hits else 0.0
        update_current_span(
            input={"features": len(vector), "top_k": top_k, "source": source},
            output=[{"passage": hit.passage.title, "score": round(hit.score, 4)} for hit in hits],
            metadata={"passages_searched": len(self._store)},
        )
        if best < WEAK_MATCH:
            update_current_span(level="WARNING", status_message=f"weak match: the best cosine is {best:.2f}")
        score_current_trace("best_cosine", best)
        return hits

    @observe(name="build-prompt", as_type="chain", capture_input=False)
    def build_prompt(self, question: str, hits: Sequence[Hit]) -> list[Message]:
        """Return the messages for the model."""
        update_current_span(input={"question": question, "passages": len(hits)})
        return self._prompt.messages(question, hits)

    @observe(name="generate", as_type="generation", capture_input=False, transform_to_string=text_of)
    async def generate(self, messages: list[Message], *, model: ChatModel) -> AsyncGenerator[ModelOutput, None]:
        """Yield what the model yields; the recorder notes when the first piece came and joins the text."""
        update_current_generation(
            input=messages, model=model.name, model_parameters=model.parameters, prompt=self._prompt
        )
        async with aclosing(model.stream(messages)) as stream:
            async for piece in stream:
                if not isinstance(piece, str):
                    update_current_generation(usage_details=piece, cost_details=self._price.cost(piece))
                yield piece

    def _account(self, question: str, pieces: Sequence[ModelOutput]) -> Done:
        """Add up what the embedding and the generation used; the cost is unknown when the model did not say."""
        embedding = {"input": count_tokens(question)}
        generation = next((piece for piece in pieces if not isinstance(piece, str)), None)
        if generation is None:
            return Done({"embedding": embedding["input"]}, None)
        costs = [*self._embedding_price.cost(embedding).values(), *self._price.cost(generation).values()]
        return Done({"embedding": embedding["input"], **generation}, sum(costs))
