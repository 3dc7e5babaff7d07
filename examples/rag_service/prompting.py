"""The prompt: numbered passages and a question, as chat messages, with a name and a version.

Rule: whoever changes the words raises the version, because the version is recorded with every answer and is how two
wordings are compared later. :func:`read_messages` undoes :meth:`PromptTemplate.messages`; the built-in answerer is
given messages and nothing else, like any other model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, TypeAlias, TypedDict

from msgspec import Struct

from examples.rag_service.vector_store import Hit

__all__ = ["RAG_PROMPT", "Context", "Message", "PromptTemplate", "read_messages"]


class Message(TypedDict):
    """One chat message, as every OpenAI-compatible endpoint takes it."""

    role: str
    content: str


Context: TypeAlias = tuple[str, list[tuple[int, str]]]
"""A question and the numbered passages that go with it."""

_QUESTION = "Question: "
_PASSAGE = re.compile(r"^\[(\d+)\] [^\n]*\n(.*?)(?=^\[\d+\] [^\n]*\n|\Z)", re.MULTILINE | re.DOTALL)
_LOOKS_NUMBERED = re.compile(r"^(?=\[\d+\] )", re.MULTILINE)


class PromptTemplate(Struct, frozen=True):
    """The wording of the prompt; ``name`` and ``version`` are recorded on each generation."""

    name: str
    version: int
    system: str

    def messages(self, question: str, hits: Sequence[Hit]) -> list[Message]:
        """Return the system message, and the user message with the passages numbered from 1."""
        passages = "".join(_numbered(number, hit) for number, hit in enumerate(hits, 1))
        content = f"{passages}{_QUESTION}{' '.join(question.split())}"
        return [{"role": "system", "content": self.system}, {"role": "user", "content": content}]


RAG_PROMPT: Final = PromptTemplate(
    name="rag-answer",
    version=2,
    system=(
        "You answer questions about Python from the numbered passages of its documentation, and from nothing else. "
        "Use at most three sentences and cite the passage of each as [number]. "
        "If the passages do not answer the question, say so."
    ),
)


def read_messages(messages: Sequence[Message]) -> Context:
    """Return the question and the numbered passages of the last user message."""
    content = next((message["content"] for message in reversed(messages) if message["role"] == "user"), "")
    passages, _, last_line = content.rpartition("\n")
    if not last_line.startswith(_QUESTION):
        return content.strip(), []
    return last_line.removeprefix(_QUESTION), [
        (int(number), text.strip()) for number, text in _PASSAGE.findall(passages)
    ]


def _numbered(number: int, hit: Hit) -> str:
    """Show one passage; a line in it that looks like the next number is indented, so as not to be taken for one."""
    return f"[{number}] {hit.passage.title}\n{_LOOKS_NUMBERED.sub(' ', hit.passage.text)}\n\n"
