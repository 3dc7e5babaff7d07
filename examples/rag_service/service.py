"""Everything that is loaded once and serves every request: corpus, index and model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import httpx2
from msgspec import Struct

from examples.rag_service.corpus import Passage, Progress, fingerprint, load_corpus
from examples.rag_service.embedding import HashedTfidf
from examples.rag_service.extractive import ExtractiveModel
from examples.rag_service.llm import ChatModel
from examples.rag_service.openai_model import OpenAIModel
from examples.rag_service.pipeline import Pipeline
from examples.rag_service.prompting import RAG_PROMPT
from examples.rag_service.settings import Settings
from examples.rag_service.vector_store import VectorStore

__all__ = ["RagService", "SourceSummary"]

EXAMPLES_PER_SOURCE = 5


class SourceSummary(Struct, frozen=True):
    """Say of a source how many passages it has, and name some."""

    name: str
    passages: int
    examples: list[str]


class RagService:
    """Hold the index and the pipeline over it; close it to close the connections to the endpoint."""

    def __init__(self, passages: Sequence[Passage], settings: Settings) -> None:
        embedder, vectors = HashedTfidf.fit((passage.title, passage.text) for passage in passages)
        self._client = httpx2.AsyncClient(timeout=settings.endpoint.timeout_seconds) if settings.endpoint else None
        self.settings = settings
        self.store = VectorStore(passages, vectors)
        self.corpus_version = fingerprint(passages)
        self.sources = _summaries(passages)
        self.pipeline = Pipeline(
            embedder,
            self.store,
            model=self._model(),
            prompt=RAG_PROMPT,
            price=settings.generation_price,
            embedding_price=settings.embedding_price,
        )

    @classmethod
    def load(cls, settings: Settings, progress: Progress | None = None) -> RagService:
        """Read the corpus of this machine and index it; takes about two seconds."""
        return cls(load_corpus(limit=settings.max_passages, progress=progress), settings)

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()

    def _model(self) -> ChatModel:
        if self.settings.endpoint is not None and self._client is not None:
            return OpenAIModel(self.settings.endpoint, self._client)
        return ExtractiveModel()


def _summaries(passages: Sequence[Passage]) -> list[SourceSummary]:
    names: dict[str, list[str]] = defaultdict(list)
    for passage in passages:
        names[passage.source].append(passage.name)
    return [
        SourceSummary(source, len(found), found[:: len(found) // EXAMPLES_PER_SOURCE + 1])
        for source, found in sorted(names.items())
    ]
