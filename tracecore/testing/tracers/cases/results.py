"""Results: what is recorded of what a function returned."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import closing
from typing import Final

import anyio.lowlevel

from tracecore.testing.tracers.case import Group
from tracecore.testing.tracers.trial import Trial

__all__ = ["RESULTS"]

RESULTS: Final = Group("results", "results")


@RESULTS.case("work")
def the_result_of_a_function(trial: Trial) -> None:
    """What a function returns is recorded as it was when it returned."""

    @trial.observed
    def work() -> dict[str, list[int]]:
        return {"numbers": [1, 2]}

    work()["numbers"].append(3)
    trial.returned("work", {"numbers": [1, 2]})


@RESULTS.anywhere("work")
async def the_result_of_a_coroutine(trial: Trial) -> None:
    """So is what a coroutine returns, and no coroutine."""

    @trial.observed
    async def work() -> dict[str, str]:
        await anyio.lowlevel.checkpoint()
        return {"answer": "42"}

    await work()
    trial.returned("work", {"answer": "42"})


@RESULTS.case("numbers", needs=("generators",))
def the_items_of_a_generator(trial: Trial) -> None:
    """The items of a generator are its result."""

    @trial.observed
    def numbers() -> Generator[dict[str, int], None, None]:
        yield {"number": 1}
        yield {"number": 2}

    list(numbers())
    trial.returned("numbers", [{"number": 1}, {"number": 2}])


@RESULTS.anywhere("words", needs=("async generators",))
async def the_words_of_an_async_generator(trial: Trial) -> None:
    """Items that are all text are one text, as a streamed answer is."""

    @trial.observed
    async def words() -> AsyncGenerator[str, None]:
        for word in ("never ", "the ", "same"):
            await anyio.lowlevel.checkpoint()
            yield word

    async for _ in words():
        pass
    trial.returned("words", "never the same")


@RESULTS.case("words: cancelled", needs=("generators",))
def the_words_until_a_generator_was_left(trial: Trial) -> None:
    """What was consumed until the consumer left is kept."""

    @trial.observed
    def words() -> Generator[str, None, None]:
        yield "never "
        yield "the same"

    with closing(words()) as running:
        next(running)
    trial.returned("words", "never ")
