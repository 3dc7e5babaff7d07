"""Following a store: each observation once, running ones again when they end, with time as an argument."""

from __future__ import annotations

from msgspec.structs import replace

from tests.cli.recorded import SECOND, START, span
from tracecore.cli.follow import Follower, follow
from tracecore.memory import MemoryBackend, open_backend
from tracecore.records import Observation, Span

WINDOW = 10 * SECOND


async def opened() -> MemoryBackend:
    """Return an open, empty store."""
    backend = open_backend("memory:")
    await backend.open()
    return backend


def seen(spans: list[Observation]) -> list[tuple[int, str]]:
    """Return the small numbers of observations, with their status."""
    return [(int(span.span_id, 16), span.status) for span in spans]


def running(number: int, *, after_s: float = 0.0) -> Span:
    """Return a span that has not ended."""
    return span(number, after_s=after_s, status="running", duration_ns=None)


async def test_each_observation_is_news_once() -> None:
    """What was seen is not reported again, also when it is written again, and order is by start."""
    backend = await opened()
    follower = Follower(backend.observations, "default", window_ns=WINDOW)
    await backend.write([span(2, after_s=2), span(1, after_s=1)])
    assert seen(await follower.look(START + 3 * SECOND)) == [(1, "ok"), (2, "ok")]
    await backend.write([span(2, after_s=2), span(3, after_s=1.5)])
    assert seen(await follower.look(START + 4 * SECOND)) == [(3, "ok")]
    assert await follower.look(START + 5 * SECOND) == []


async def test_what_runs_is_reported_again_at_its_end() -> None:
    """A running span comes when it is first seen and when it has ended, long after the window has passed it."""
    backend = await opened()
    follower = Follower(backend.observations, "default", window_ns=WINDOW)
    await backend.write([running(1)])
    assert seen(await follower.look(START)) == [(1, "running")]
    for minute in range(1, 5):
        assert await follower.look(START + minute * 60 * SECOND) == []
    await backend.write([span(1, duration_ns=250 * SECOND)])
    assert seen(await follower.look(START + 300 * SECOND)) == [(1, "ok")]
    assert await follower.look(START + 301 * SECOND) == []
    assert follower._seen == {}


async def test_what_runs_and_ends_inside_the_window() -> None:
    """The end of a span that is still in the window is reported too."""
    backend = await opened()
    follower = Follower(backend.observations, "default", window_ns=WINDOW)
    await backend.write([running(1)])
    assert seen(await follower.look(START)) == [(1, "running")]
    await backend.write([span(1, status="error")])
    assert seen(await follower.look(START + SECOND)) == [(1, "error")]


async def test_leftovers_of_a_crash_are_not_news_for_ever() -> None:
    """A span that has said running for more than a day is not shown to who begins to look."""
    backend = await opened()
    await backend.write([running(1), running(2, after_s=80_000)])
    follower = Follower(backend.observations, "default", window_ns=WINDOW)
    assert seen(await follower.look(START + 100_000 * SECOND)) == [(2, "running")]


async def test_a_run_that_outlives_a_day_still_ends() -> None:
    """What was seen to run is asked for until it ends, however long that takes."""
    backend = await opened()
    follower = Follower(backend.observations, "default", window_ns=WINDOW)
    await backend.write([running(1)])
    assert seen(await follower.look(START)) == [(1, "running")]
    for day in range(1, 4):
        assert await follower.look(START + day * 90_000 * SECOND) == []
    await backend.write([span(1)])
    assert seen(await follower.look(START + 4 * 90_000 * SECOND)) == [(1, "ok")]


async def test_more_than_a_page_is_seen() -> None:
    """Nothing of a burst is left out because it fills several pages."""
    backend = await opened()
    follower = Follower(backend.observations, "default", window_ns=WINDOW)
    await backend.write([span(number, trace=number) for number in range(1, 2502)])
    assert len(await follower.look(START)) == 2501


async def test_following_ends_when_its_time_is_up() -> None:
    """The clock decides: looks go on until it passes the end, with one sleep between two."""
    backend = await opened()
    now = [START]
    slept: list[int] = []

    async def sleep() -> None:
        slept.append(now[0])
        now[0] += SECOND
        await backend.write([replace(span(len(slept)), start_ns=now[0])])

    follower = Follower(backend.observations, "default", window_ns=WINDOW)
    news = [
        int(found.span_id, 16)
        async for found in follow(follower, clock=lambda: now[0], sleep=sleep, until_ns=START + 3 * SECOND)
    ]
    assert news == [1, 2, 3]
    assert len(slept) == 3
