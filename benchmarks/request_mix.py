"""One request of a retrieval-augmented service: five spans, the mix by which storing is measured.

A root (question in, answer out), three steps (embedding, retrieval, prompt) with 190 to 310 bytes each, and a
generation with 2 KB of prompt, 1 KB of completion, usage and cost; user and session on the trace. That is 846 bytes of
payload JSON per span on average. Texts are drawn from a seeded generator before the clock starts, and
:meth:`Texts.expected` says what must be found in the store afterwards.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, Self, TypeAlias

from msgspec import Struct

from tracecore import Recorder, generation, observe, propagate_attributes

__all__ = [
    "COST",
    "GENERATION",
    "MODEL",
    "PARAMETERS",
    "SPANS",
    "USAGE",
    "USERS",
    "Handle",
    "Texts",
    "bare_service",
    "service_of",
    "summary_of",
    "traced_service",
    "undecorated",
]

SPANS: Final = 5
GENERATION: Final = "complete"
MODEL: Final = "small-1"
USAGE: Final = {"input": 512, "output": 256}
COST: Final = {"input": 0.0000512, "output": 0.0001024}
PARAMETERS: Final = {"temperature": 0.2, "max_tokens": 400}
_PROMPT_CHARS: Final = 2_048
_COMPLETION_CHARS: Final = 1_024
USERS: Final = 200
_WORDS: Final = 5_000

Handle: TypeAlias = Callable[[int], Awaitable[object]]
"""Answer the request of this number."""
Decorate: TypeAlias = Callable[..., Any]


class Texts:
    """Hold the texts of all requests; ``prompts`` different prompts and completions are used in turn."""

    def __init__(self, seed: int, *, prompts: int = 256) -> None:
        chance = random.Random(seed)
        self._words = [
            "".join(chance.choices("etaoinshrdlucmfwypvbgkq", k=chance.randint(2, 11))) for _ in range(_WORDS)
        ]
        self._weights = [1 / (rank + 5) for rank in range(_WORDS)]
        self._prompts = [self.text(chance, _PROMPT_CHARS) for _ in range(prompts)]
        self._completions = [self.text(chance, _COMPLETION_CHARS) for _ in range(prompts)]

    def text(self, chance: random.Random, characters: int) -> str:
        """Return so many characters of words, frequent ones often as in any language."""
        words: list[str] = []
        while sum(map(len, words)) + len(words) < characters:
            words += chance.choices(self._words, self._weights, k=max(8, characters // 8))
        return " ".join(words)[:characters]

    def question(self, number: int) -> str:
        """Return the question of a request: 100 characters, no two alike."""
        return f"[request {number:08}] {self._prompts[number % len(self._prompts)][:81]}"

    def user(self, number: int) -> str:
        """Return who asks."""
        return f"user-{number % USERS}"

    def vector(self, number: int) -> list[float]:
        """Return what the question is embedded as, shortened to what one would log."""
        return [number % 97 / 97, number % 89 / 89, number % 83 / 83, number % 79 / 79]

    def hits(self, number: int) -> list[dict[str, Any]]:
        """Return what is found."""
        return [{"id": number * 7 % 9973 + place, "score": 1 / (place + 1)} for place in range(4)]

    def messages(self, number: int) -> list[dict[str, str]]:
        """Return the prompt: 2 KB of text."""
        prompt = self._prompts[number % len(self._prompts)]
        return [{"role": "system", "content": prompt[:256]}, {"role": "user", "content": prompt[256:]}]

    def completion(self, number: int) -> str:
        """Return the model's reply: 1 KB of text."""
        return self._completions[number % len(self._completions)]

    def expected(self, number: int) -> dict[str, tuple[Any, Any]]:
        """Return input and output of each span of a request, by the span's name."""
        question, user, messages = self.question(number), self.user(number), self.messages(number)
        reply, hits, vector = self.completion(number), self.hits(number), self.vector(number)
        return {
            "request": ({"number": number, "question": question, "user": user}, {"answer": reply[:120], "sources": 4}),
            "embed": ({"text": question}, vector),
            "retrieve": ({"text": question, "vector": vector}, hits),
            "prompt": ({"question": question, "hits": hits}, summary_of(hits)),
            GENERATION: (messages, reply),
        }


class _NoGeneration(Struct):
    """Take what a generation takes, and do nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, **_: object) -> None:
        """Do nothing."""


def traced_service(texts: Texts, recorder: Recorder) -> Handle:
    """Return the service as a user of tracecore writes it."""
    return service_of(
        texts, observe, observe(recorder=recorder), generation,
        lambda user: propagate_attributes(user_id=user, session_id=f"session-{user}"),
    )  # fmt: skip


def bare_service(texts: Texts) -> Handle:
    """Return the same service without tracing: what it costs is not ours."""
    nothing = _NoGeneration()
    return service_of(texts, undecorated, undecorated, lambda *_, **__: nothing, lambda _: nullcontext())


def undecorated(function: Any) -> Any:
    """Stand in for a decorator that observes."""
    return function


def service_of(
    texts: Texts,
    observed: Decorate,
    observed_root: Decorate,
    generating: Callable[..., Any],
    asked_by: Callable[[str], AbstractContextManager[object]],
) -> Handle:
    """Return the service, observed by what is given: a decorator of steps, one of the root, a generation, a user."""

    @observed
    async def embed(text: str) -> list[float]:
        return texts.vector(_number_in(text))

    @observed
    async def retrieve(text: str, vector: list[float]) -> list[dict[str, Any]]:
        assert vector
        return texts.hits(_number_in(text))

    @observed
    async def prompt(question: str, hits: list[dict[str, Any]]) -> dict[str, Any]:
        assert question
        return summary_of(hits)

    async def complete(number: int) -> str:
        with generating(GENERATION, model=MODEL, model_parameters=PARAMETERS, input=texts.messages(number)) as call:
            await asyncio.sleep(0)
            reply = texts.completion(number)
            call.update(output=reply, usage_details=USAGE, cost_details=COST)
        return reply

    @observed_root
    async def request(number: int, question: str, user: str) -> dict[str, Any]:  # noqa: ARG001 - it is captured
        vector = await embed(question)
        hits = await retrieve(question, vector)
        await prompt(question, hits)
        reply = await complete(number)
        return {"answer": reply[:120], "sources": len(hits)}

    async def handle(number: int) -> None:
        user = texts.user(number)
        with asked_by(user):
            await request(number, texts.question(number), user)

    return handle


def _number_in(question: str) -> int:
    """Return which request a question belongs to."""
    return int(question[9:17])


def summary_of(hits: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the prompt step says of the prompt it made."""
    return {"messages": 2, "documents": len(hits), "characters": _PROMPT_CHARS, "template": "answer-from-documents"}
