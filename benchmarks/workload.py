"""The functions whose tracing the call ladder measures. They do nothing: what is measured is what surrounds them.

:func:`answer` is the workload of every rung: a question, a user and a number; the answer's summary comes back. As JSON
the arguments by parameter name are 116 bytes and the result is 84: 200 in all, what a step of a service hands on.
:func:`search` carries the same amount in nested containers, which the encoder must look into.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

__all__ = [
    "ARGUMENTS",
    "ARGUMENTS_JSON",
    "ITEMS",
    "RESULT",
    "RESULT_JSON",
    "SEARCH_ARGUMENTS",
    "SEARCH_ARGUMENTS_JSON",
    "SEARCH_RESULT",
    "SEARCH_RESULT_JSON",
    "answer",
    "answer_in_parts",
    "answer_in_parts_sync",
    "answer_sync",
    "search",
]

ARGUMENTS: Final[tuple[Any, ...]] = (
    "Which of my last three orders can still be cancelled, and until when?", "user-1042", 4,
)  # fmt: skip
RESULT: Final[dict[str, Any]] = {
    "answer": "Order 7719, until it leaves the warehouse.",
    "documents": 4,
    "score": 0.8125,
}
ARGUMENTS_JSON: Final = (
    b'{"question":"Which of my last three orders can still be cancelled, and until when?",'
    b'"user_id":"user-1042","top_k":4}'
)
RESULT_JSON: Final = b'{"answer":"Order 7719, until it leaves the warehouse.","documents":4,"score":0.8125}'
_PARTS: Final = ("Order 7719,", " until it leaves", " the warehouse", ".")
ITEMS: Final = len(_PARTS)

SEARCH_ARGUMENTS: Final[tuple[Any, ...]] = (
    "orders that can be cancelled", 4, {"user": "user-1042", "languages": ["en", "de"], "since": 1718000000},
)  # fmt: skip
SEARCH_RESULT: Final[list[dict[str, Any]]] = [
    {"id": 7719, "score": 0.8125},
    {"id": 7621, "score": 0.75},
    {"id": 7604, "score": 0.6875},
]
SEARCH_ARGUMENTS_JSON: Final = (
    b'{"query":"orders that can be cancelled","top_k":4,'
    b'"filter":{"user":"user-1042","languages":["en","de"],"since":1718000000}}'
)
SEARCH_RESULT_JSON: Final = b'[{"id":7719,"score":0.8125},{"id":7621,"score":0.75},{"id":7604,"score":0.6875}]'


async def answer(question: str, user_id: str, top_k: int) -> dict[str, Any]:  # noqa: ARG001 - they are captured
    """Return the same summary whatever is asked."""
    return RESULT


def answer_sync(question: str, user_id: str, top_k: int) -> dict[str, Any]:  # noqa: ARG001 - they are captured
    """Do as :func:`answer` does, without being a coroutine."""
    return RESULT


def answer_in_parts_sync(question: str, user_id: str, top_k: int) -> Iterator[str]:  # noqa: ARG001 - they are captured
    """Yield the answer in :data:`ITEMS` pieces, as a streaming model does."""
    yield from _PARTS


async def answer_in_parts(question: str, user_id: str, top_k: int) -> AsyncIterator[str]:  # noqa: ARG001 - it is captured
    """Do as :func:`answer_in_parts_sync` does, asynchronously."""
    for part in _PARTS:
        yield part


async def search(query: str, top_k: int, filter: dict[str, Any]) -> list[dict[str, Any]]:  # noqa: A002, ARG001 - as above
    """Return the same hits whatever is searched."""
    return SEARCH_RESULT
