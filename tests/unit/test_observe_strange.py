"""Strange arguments, results and calls: what goes in comes out, whatever it does when it is looked at."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

import tracecore
from tracecore import observe
from tracecore.testing import capture

MODES: list[dict[str, Any]] = [{}, {"enabled": False}, {"sample_rate": 0.0}]


async def in_mode(settings: dict[str, Any], run: Callable[[], Awaitable[None]]) -> None:
    """Run something inside and outside of a span, in one of the modes."""
    async with capture(**settings) as captured:
        await run()
        with tracecore.span("outer"):
            await run()
        assert tracecore.current_span() is None
        assert captured.recorder.health().open_spans == 0


class Hostile:
    """Raise whatever is done to it."""

    def __getattribute__(self, name: str) -> Any:
        if name in {"__class__", "__dict__"}:
            raise ValueError(name)
        return object.__getattribute__(self, name)

    def __bool__(self) -> bool:
        raise ValueError

    __repr__ = __str__ = __len__ = __iter__ = __hash__ = __bool__  # type: ignore[assignment]  # raise too


class Slotted:
    """Answer every question about an attribute with an exception."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        raise LookupError(name)


class NoHash(type):
    """Make classes that cannot be looked up in a set."""

    __hash__ = None  # type: ignore[assignment]  # on purpose

    def __eq__(cls, other: object) -> bool:
        raise ValueError


class Unhashable(metaclass=NoHash):
    """Be of a class without a hash."""


@dataclasses.dataclass(frozen=True)
class Frozen:
    """Have a body iterator that cannot be replaced."""

    body_iterator: Any


class PlainBody:
    """Have a body iterator that is not asynchronous."""

    def __init__(self) -> None:
        self.body_iterator = iter((1, 2))


async def stream() -> AsyncIterator[int]:
    """Be an asynchronous generator."""
    yield 1


STRANGE: dict[str, Callable[[], Any]] = {
    "hostile": Hostile,
    "slotted": Slotted,
    "unhashable class": Unhashable,
    "frozen with an iterator": lambda: Frozen(iter(())),
    "frozen with a stream": lambda: Frozen(stream()),
    "body that is no stream": PlainBody,
    "not a number": lambda: float("nan"),
    "huge": lambda: 10**5000,
    "a class": lambda: Hostile,
    "not implemented": lambda: NotImplemented,
}


@pytest.mark.parametrize("settings", MODES, ids=str)
@pytest.mark.parametrize("name", STRANGE)
async def test_strange_arguments_and_results_pass_through(settings: dict[str, Any], name: str) -> None:
    """Objects that raise at every touch go in and come out untouched, the very same ones."""
    result = STRANGE[name]()
    body_before = result.body_iterator if name.startswith(("frozen", "body")) else None

    def give(value: Any) -> Any:
        return value

    async def agive(value: Any) -> Any:
        return value

    async def run() -> None:
        assert observe(give)(result) is result
        assert await observe(agive)(result) is result
        if body_before is not None:
            assert result.body_iterator is body_before

    await in_mode(settings, run)


@pytest.mark.parametrize("settings", MODES, ids=str)
async def test_wrong_calls_fail_as_bare(settings: dict[str, Any]) -> None:
    """A call that does not fit the signature raises the TypeError of the bare function, and is an error of the span."""

    def work(one: int, *, two: int) -> None: ...

    async def awork(one: int, *, two: int) -> None: ...

    async def run() -> None:
        for arguments, keywords in (((), {}), ((1, 2), {}), ((1,), {"three": 3}), ((1,), {"one": 1, "two": 2})):
            with pytest.raises(TypeError) as bare:
                work(*arguments, **keywords)
            with pytest.raises(TypeError) as seen_:
                observe(work)(*arguments, **keywords)
            assert str(seen_.value) == str(bare.value)
            with pytest.raises(TypeError, match="awork"):
                await observe(awork)(*arguments, **keywords)

    await in_mode(settings, run)
