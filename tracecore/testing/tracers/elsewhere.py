"""Running a part of a program somewhere else, and waiting for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import anyio

__all__ = ["WAIT_S", "in_task", "in_thread"]

T = TypeVar("T")

WAIT_S: Final = 30.0
"""Longest wait for something that takes no time, in seconds."""


def in_thread(call: Callable[[], T]) -> T:
    """Return what a call in a thread of its own returns, or raise what it raises."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result(WAIT_S)


async def in_task(call: Callable[[], Awaitable[object]]) -> None:
    """Await a call in a task of its own."""
    async with anyio.create_task_group() as group:

        async def run() -> None:
            await call()

        group.start_soon(run)
