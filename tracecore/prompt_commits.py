"""One change of a name as one commit: its head, versions that come or go, its moves, and the number of the feed.

The commit is made on condition that head and feed are still those that were read. Where somebody else was first, all is
planned anew from what there is then, after a pause that differs for each, so that those who meet do not meet again.
Within one process they do not even meet: changes of a project wait for each other.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, Generic, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from msgspec import Struct
from msgspec.structs import replace

from tracecore.catalog import CatalogStore, Change, Delete, Entry
from tracecore.errors import BackendUnavailable, Conflict
from tracecore.prompt_feed import feed_entry, put_of_feed
from tracecore.prompt_heads import PromptHead, heads, move_put, put_of
from tracecore.prompt_protection import check_may_move
from tracecore.prompts import Author, Move

__all__ = ["Plan", "PromptCommits", "Step"]

T = TypeVar("T")
_TRIES: Final = 200
"""How often a change is begun anew because somebody else was first."""
_FIRST_PAUSE_S: Final = 0.001
_LONGEST_PAUSE_S: Final = 0.05


class Plan(Struct, Generic[T], frozen=True, kw_only=True):
    """Say what a change of a name writes, and what it returns."""

    result: T
    head: PromptHead | None = None
    """None where the name goes."""
    before: int = 0
    """The number of the last move that there was."""
    moves: tuple[Move, ...] = ()
    labels: frozenset[str] = frozenset()
    """Those that it sets, moves or takes off."""
    more: Sequence[Change] = ()
    is_change: bool = True
    """Whether there is anything to write."""


Step: TypeAlias = Callable[[Entry | None], Awaitable[Plan[T] | None]]
"""Plans what follows from a head, or None where what it leads to has gone meanwhile: then it is read again."""


class _Queue:
    """Let one change of a project through at a time."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.waiting = 0


class PromptCommits:
    """Make changes of names; ``pause`` waits for so many seconds."""

    def __init__(self, catalog: CatalogStore, pause: Callable[[float], Awaitable[None]]) -> None:
        self._catalog = catalog
        self._pause = pause
        # A lock is of one loop; a store may be used from several.
        self._queues: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Queue]] = WeakKeyDictionary()

    async def make(self, project: str, name: str, author: Author, step: Step[T]) -> T:
        """Make the changes that follow from a head; begin anew where somebody else changed something meanwhile.

        Raises:
            AccessDenied: it moves protected labels, and its author may not.
            BackendUnavailable: others were first again and again.
        """
        async with self._turn(project):
            return await self._made(project, name, author, step)

    async def _made(self, project: str, name: str, author: Author, step: Step[T]) -> T:
        longest = _FIRST_PAUSE_S
        for _ in range(_TRIES):
            feed = await feed_entry(self._catalog, project)
            entry = await self._catalog.get(project, heads.name, name)
            plan = await step(entry)
            if plan is not None and not plan.is_change:
                return plan.result
            if plan is not None:
                await check_may_move(self._catalog, project, author, plan.labels)
                changes = [*_changes(project, name, entry, plan), put_of_feed(project, name, feed)]
                if await _is_made(self._catalog, changes):
                    return plan.result
            await self._pause(random.uniform(0, longest))  # noqa: S311 - it only keeps writers apart
            longest = min(2 * longest, _LONGEST_PAUSE_S)
        raise BackendUnavailable(f"others changed prompts of {project!r} {_TRIES} times meanwhile", "try again")

    @asynccontextmanager
    async def _turn(self, project: str) -> AsyncGenerator[None]:
        """Wait until no other change of the project is being made here."""
        queues = self._queues.setdefault(asyncio.get_running_loop(), {})
        queue = queues.setdefault(project, _Queue())
        queue.waiting += 1
        try:
            async with queue.lock:
                yield
        finally:
            queue.waiting -= 1
            if not queue.waiting:
                queues.pop(project, None)


async def _is_made(catalog: CatalogStore, changes: Sequence[Change]) -> bool:
    """Commit changes; return whether nobody else was first."""
    try:
        await catalog.commit(changes)
    except Conflict:
        return False
    return True


def _changes(project: str, name: str, entry: Entry | None, plan: Plan[T]) -> list[Change]:
    """Return the changes of head, versions and moves."""
    numbered = enumerate(plan.moves, plan.before + 1)
    written: list[Change] = [move_put(project, name, number, move) for number, move in numbered]
    if plan.head is not None:
        head = replace(plan.head, moved=plan.before + len(plan.moves))
        return [put_of(project, name, head, entry), *written, *plan.more]
    known = 0 if entry is None else entry.revision
    return [Delete(project, heads.name, name, known), *written, *plan.more]
