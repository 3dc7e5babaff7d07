"""Asking several things at once, where each answer takes its time to come."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

__all__ = ["together"]

T = TypeVar("T")


async def together(calls: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """Return what calls return that run beside each other.

    What the first of them raises ends the others, and comes out by itself, where a task group would wrap it.
    """
    answers: dict[int, T] = {}
    raised: list[Exception] = []

    async def ask(number: int, call: Callable[[], Awaitable[T]]) -> None:
        try:
            answers[number] = await call()
        except Exception as error:  # noqa: BLE001 - raised below
            raised.append(error)
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for number, call in enumerate(calls):
            group.start_soon(ask, number, call)
    if raised:
        raise raised[0]
    return [answers[number] for number in range(len(calls))]
