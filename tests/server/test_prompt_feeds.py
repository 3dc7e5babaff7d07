"""Waiting for changes of prompts: one looks for all, everybody is told, and nothing is left behind."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from tracecore.errors import BackendUnavailable
from tracecore.prompts import PromptFeed
from tracecore.server.problems import Refusal
from tracecore.server.prompt_feeds import LOOK_EVERY_S, MOST_LOOKS, PromptFeeds, Waiter

SETTLED = 20
"""Turns of the loop after which everything that could happen has."""


class Store:
    """A store whose feeds a test moves, and that counts who looks."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.looks = 0
        self.error: Exception | None = None

    def change(self, project: str = "p") -> None:
        """Change a prompt."""
        self.numbers[project] = self.numbers.get(project, 0) + 1

    async def changes(self, project: str, since: int, *, wait: float = 0.0) -> PromptFeed:
        """Return what has changed."""
        assert not wait, "waiting is not the store's"
        self.looks += 1
        if self.error is not None:
            raise self.error
        number = self.numbers.get(project, 0)
        await anyio.lowlevel.checkpoint()
        return PromptFeed(number, tuple(f"n{one}" for one in range(since + 1, number + 1)))


class Time:
    """A clock, and pauses that end when a test says so."""

    def __init__(self) -> None:
        self.now_ns = 0
        self._pauses: dict[anyio.Event, float] = {}

    def clock(self) -> int:
        """Return the time."""
        return self.now_ns

    async def pause(self, event: anyio.Event, seconds: float) -> None:
        """Wait for an event, or for the time."""
        over = anyio.Event()
        self._pauses[over] = self.now_ns / 1e9 + seconds
        async with anyio.create_task_group() as group:

            async def wake() -> None:
                await event.wait()
                over.set()

            group.start_soon(wake)
            await over.wait()
            group.cancel_scope.cancel()
        del self._pauses[over]

    async def pass_(self, seconds: float) -> None:
        """Let time pass."""
        self.now_ns += round(seconds * 1e9)
        for over, until in list(self._pauses.items()):
            if until <= self.now_ns / 1e9:
                over.set()
        await settle()


async def settle() -> None:
    """Let everything happen that can."""
    for _ in range(SETTLED):
        await anyio.lowlevel.checkpoint()


class Bench:
    """Some waiters of one set of feeds."""

    def __init__(self, most: int = 1000) -> None:
        self.store, self.time = Store(), Time()
        self.feeds = PromptFeeds(self.store, clock=self.time.clock, pause=self.time.pause, most=most)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # what of a store is asked for
        self.told: list[PromptFeed | Exception] = []

    async def wait(
        self, since: int = 0, *, project: str = "p", seconds: float = 25.0, waiter: Waiter | None = None
    ) -> None:
        """Wait, and note what is told."""
        try:
            feed = await self.feeds.changes(project, since, wait=seconds, waiter=waiter or Waiter())
        except (Refusal, BackendUnavailable) as error:
            self.told.append(error)
        else:
            self.told.append(feed)


async def test_what_has_changed_is_told_at_once() -> None:
    """Nobody waits for what has happened, nor for longer than they want to."""
    bench = Bench()
    bench.store.change()
    await bench.wait(0)
    await bench.wait(7)
    await bench.wait(1, seconds=0)
    assert bench.told == [PromptFeed(1, ("n1",)), PromptFeed(1, ()), PromptFeed(1, ())]
    assert bench.feeds.waiting == 0


@pytest.mark.parametrize("waiting", [1, 2, 300])
async def test_one_looks_for_all(waiting: int) -> None:
    """However many wait, the store is asked once a quarter of a second; all are told what one has seen."""
    bench = Bench()
    async with anyio.create_task_group() as group:
        for _ in range(waiting):
            group.start_soon(bench.wait)
        await settle()
        assert (bench.feeds.waiting, bench.store.looks) == (waiting, waiting)
        for _ in range(8):
            await bench.time.pass_(LOOK_EVERY_S)
        assert bench.store.looks == waiting + 8
        bench.store.change()
        await bench.time.pass_(LOOK_EVERY_S)
    assert bench.told == [PromptFeed(1, ("n1",))] * waiting
    assert (bench.feeds.waiting, bench.store.looks) == (0, waiting + 9)


async def test_a_change_of_this_process_is_told_without_a_pause() -> None:
    """Who changes something has the store looked at; projects of others are left alone."""
    bench = Bench()
    async with anyio.create_task_group() as group:
        for project in ("p", "p", "q"):
            group.start_soon(lambda project=project: bench.wait(project=project))
        await settle()
        looks = bench.store.looks
        bench.store.change()
        bench.feeds.changed("p")
        bench.feeds.changed("nobody's")
        await settle()
        assert bench.told == [PromptFeed(1, ("n1",))] * 2
        assert bench.store.looks == looks + 1
        bench.feeds.end()


async def test_many_projects_are_looked_at_more_rarely() -> None:
    """However many wait wherever, the store is not asked more often in a second than may be; nobody is forgotten."""
    bench, projects = Bench(), [f"p{number}" for number in range(2 * MOST_LOOKS)]
    async with anyio.create_task_group() as group:
        for project in projects:
            group.start_soon(lambda project=project: bench.wait(project=project))
        await settle()
        looks = bench.store.looks
        for _ in range(8):
            await bench.time.pass_(LOOK_EVERY_S)
        assert bench.store.looks - looks <= 2 * MOST_LOOKS
        for project in projects:
            bench.store.change(project)
        for _ in range(8):
            await bench.time.pass_(LOOK_EVERY_S)
    assert bench.told == [PromptFeed(1, ("n1",))] * len(projects)


async def test_time_is_over() -> None:
    """Who has waited long enough is told that nothing has changed; the others go on, and another looks."""
    bench = Bench()
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: bench.wait(seconds=1.0))
        await settle()
        group.start_soon(lambda: bench.wait(seconds=2.0))
        group.start_soon(lambda: bench.wait(seconds=3.0))
        await settle()
        for _ in range(4):
            await bench.time.pass_(LOOK_EVERY_S)
        assert bench.told == [PromptFeed(0, ())]
        for _ in range(4):
            await bench.time.pass_(LOOK_EVERY_S)
        assert bench.told == [PromptFeed(0, ())] * 2
        bench.store.change()
        await bench.time.pass_(LOOK_EVERY_S)
    assert bench.told[2] == PromptFeed(1, ("n1",))


async def test_who_leaves_is_followed() -> None:
    """The one that looks goes away: another looks, and the end of it is told to nobody else."""
    bench, first = Bench(), Waiter()
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: bench.wait(waiter=first))
        await settle()
        for _ in range(3):
            group.start_soon(bench.wait)
        await settle()
        first.end()
        await settle()
        assert (bench.told, bench.feeds.waiting) == ([PromptFeed(0, ())], 3)
        bench.store.change()
        await bench.time.pass_(LOOK_EVERY_S)
    assert bench.told[1:] == [PromptFeed(1, ("n1",))] * 3


async def test_the_end_answers_everybody() -> None:
    """The server ends: whoever waits is answered; who was over before it began does not wait."""
    bench, over = Bench(), Waiter()
    over.end()
    async with anyio.create_task_group() as group:
        for project in ("p", "p", "q"):
            group.start_soon(lambda project=project: bench.wait(project=project))
        await settle()
        bench.feeds.end()
        await settle()
        assert bench.told == [PromptFeed(0, ())] * 3
        await bench.wait(waiter=over)
    assert (len(bench.told), bench.feeds.waiting) == (4, 0)


async def test_no_more_wait_than_may() -> None:
    """One too many is asked to come again, and not looked for; who does not wait is always answered."""
    bench = Bench(most=2)
    async with anyio.create_task_group() as group:
        for project in ("p", "q"):
            group.start_soon(lambda project=project: bench.wait(project=project))
        await settle()
        looks = bench.store.looks
        await bench.wait()
        assert bench.store.looks == looks
        await bench.wait(seconds=0)
        bench.feeds.end()
    refused, told = bench.told[0], bench.told[1]
    assert isinstance(refused, Refusal)
    assert (refused.problem.status, refused.problem.retry_after) == (503, 5.0)
    assert told == PromptFeed(0, ())


async def test_a_store_that_fails_fails_those_who_wait() -> None:
    """Each is told that; nobody is left waiting, and later ones begin anew."""
    bench = Bench()
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(bench.wait)
        await settle()
        bench.store.error = BackendUnavailable("gone")
        await bench.time.pass_(LOOK_EVERY_S)
        await settle()
    assert [str(one) for one in bench.told] == ["gone"] * 3
    bench.store.error = None
    bench.store.change()
    await bench.wait()
    assert (bench.told[-1], bench.feeds.waiting) == (PromptFeed(1, ("n1",)), 0)


async def test_a_change_while_somebody_begins_to_wait() -> None:
    """What changes between two who come is missed by neither: each is told what it does not know."""
    bench = Bench()
    async with anyio.create_task_group() as group:
        group.start_soon(bench.wait)
        await settle()
        bench.store.change()
        group.start_soon(lambda: bench.wait(1))
        await settle()
        bench.store.change()
        await bench.time.pass_(LOOK_EVERY_S)
        await bench.time.pass_(LOOK_EVERY_S)
    assert sorted(one.names or () for one in bench.told if isinstance(one, PromptFeed)) == [("n1", "n2"), ("n2",)]
