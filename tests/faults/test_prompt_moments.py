"""``get_prompt`` at odd moments: as the last object goes, right after a fork, in the middle of a cancellation."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.faults.test_prompt_outage import until
from tests.programs import run_program
from tests.prompt_stores import FakeStore, a_prompt, served_by
from tracecore import prompt_fetching
from tracecore.errors import BackendRejected, NotFound
from tracecore.prompt_fetching import _bounded
from tracecore.prompt_registry import REGISTRY
from tracecore.prompting import get_prompt, warm_prompts
from tracecore.prompts import PromptFeed


@pytest.mark.parametrize("known", [True, False])
def test_while_the_interpreter_goes(tmp_path: Path, known: bool) -> None:  # noqa: FBT001 - pytest passes by name
    """An object that goes with its module gets what is known, or its fallback at once: no thread can begin then."""
    program = f"""
        from tests.prompt_stores import FakeStore, a_prompt
        from tracecore.prompting import get_prompt, use_store

        class Last:
            def __init__(self):
                self.get, self.say = get_prompt, os.write
            def __del__(self):
                self.say(1, self.get("greeting", fallback="x").source.encode())

        use_store(FakeStore(a_prompt(), a_prompt("other")))
        get_prompt({"greeting" if known else "other"!r})
        last = Last()
    """
    ended = run_program(dedent(program), tmp_path)
    assert (ended.code, ended.stdout) == (0, "memory" if known else "fallback"), ended.stderr


def test_nobody_waits_for_a_feed_that_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that begins anew, in a child or after a rest, knows where it stopped listening, and loses nothing."""
    monkeypatch.setattr(prompt_fetching, "_FEED_BEGINS", 3_600)
    store = FakeStore(a_prompt(), a_prompt("other"))
    store.tells = True
    with served_by(store):
        get_prompt("greeting")
        assert REGISTRY.close(10)
        store.changed = asyncio.Event()  # of the loop to come
        assert get_prompt("other").source == "server"


def test_a_feed_that_was_silent_once_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else on the way may have answered, for a moment; a promotion after that is served all the same."""
    monkeypatch.setattr(prompt_fetching, "_SILENCE_NS", 0)
    store = FakeStore(a_prompt(), a_prompt("other"))
    with served_by(store, prompt_ttl_s=3_600):
        assert get_prompt("greeting").version == 1  # the store tells nothing
        store.tells = True
        get_prompt("other")
        until(lambda: store.asked_for_changes)
        store.put(a_prompt(version=2))
        store.number, store.names = 8, ("greeting",)
        until(lambda: get_prompt("greeting").version == 2)


def test_a_silent_store_is_not_asked_each_time() -> None:
    """One that never tells of changes is not asked with every prompt what has changed."""
    store = FakeStore(*[a_prompt(f"p{number}") for number in range(20)])
    asked: list[int] = []

    async def refuse(project: str, since: int, *, wait: float = 0.0) -> PromptFeed:
        asked.append(since)
        raise BackendRejected("this store tells of no changes")

    store.changes = refuse  # type: ignore[method-assign]  # what is tested
    with served_by(store):
        for number in range(20):
            get_prompt(f"p{number}")
    assert len(asked) == 1


def test_news_is_not_lost_between_two_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that is forked while news is taken is told of it again."""
    store = FakeStore(a_prompt())
    store.tells = True
    with served_by(store, prompt_ttl_s=3_600) as cache:
        get_prompt("greeting")
        until(lambda: len(store.asked_for_changes) == 2)
        [desk] = REGISTRY._at_work
        fetcher = desk._fetcher
        assert fetcher is not None
        numbers: list[int | None] = []

        def news(names: Any, plain: Callable[[Any], Any] = cache.news) -> Any:
            numbers.append(fetcher._since)
            return plain(names)

        monkeypatch.setattr(cache, "news", news)
        [loop] = fetcher._lives
        loop.call_soon_threadsafe(store.move, a_prompt(version=2))
        until(lambda: get_prompt("greeting").version == 2)
    assert numbers == [7]


def test_more_prompts_are_warmed_than_are_asked_for_at_once() -> None:
    """Thousands of names are fetched like a few: as many as a store can answer in the time."""
    names = [f"p{number}" for number in range(5_000)]
    store = FakeStore(*map(a_prompt, names))
    store.before = lambda: asyncio.sleep(0.005)
    with served_by(store, prompt_cache_items=5_000) as cache:
        assert warm_prompts(names, timeout=60) == {}
        assert len(cache.entries) == len(store.asked) == 5_000


def test_an_answer_at_the_moment_of_a_cancellation(caplog: pytest.LogCaptureFixture) -> None:
    """What the store has raised just then is nobody's business, and asyncio does not complain of it."""

    async def refused() -> None:
        raise NotFound("prompt", "greeting", "nothing is like it")

    async def cancelled() -> None:
        waiter = asyncio.create_task(_bounded(refused(), 5))
        await asyncio.sleep(0)  # it waits
        await asyncio.sleep(0)  # the store has raised
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter

    asyncio.run(cancelled())
    gc.collect()
    assert caplog.records == []
