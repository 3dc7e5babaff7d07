"""Every kind of function stays what it is: what ``inspect`` sees, how it binds, how it is called."""

from __future__ import annotations

import asyncio
import functools
import inspect
import types
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any, get_type_hints

import msgspec
import pytest

import tracecore
from tracecore import observe
from tracecore.testing import capture


def plain(value: int, *, scale: int = 2) -> int:
    """Be a plain function."""
    return value * scale


async def coroutine(value: int, *, scale: int = 2) -> int:
    """Be a coroutine function."""
    return value * scale


def generator(value: int, *, scale: int = 2) -> Iterator[int]:
    """Be a generator function."""
    yield value * scale


async def async_generator(value: int, *, scale: int = 2) -> AsyncIterator[int]:
    """Be an asynchronous generator function."""
    yield value * scale


@types.coroutine
def awaitable_generator(value: int, *, scale: int = 2) -> Generator[Any, Any, int]:
    """Be a generator-based coroutine function."""
    yield from asyncio.sleep(0).__await__()
    return value * scale


class Multiplier:
    """Be called like a function."""

    def __call__(self, value: int, *, scale: int = 2) -> int:
        """Multiply."""
        return value * scale


class AsyncMultiplier:
    """Be called like a coroutine function."""

    async def __call__(self, value: int, *, scale: int = 2) -> int:
        """Multiply."""
        return value * scale


FUNCTIONS = [plain, coroutine, generator, async_generator, awaitable_generator]
CALLABLES = [
    *FUNCTIONS,
    *[functools.partial(function, scale=5) for function in FUNCTIONS],
    functools.partial(functools.partial(coroutine), scale=5),
    Multiplier(),
    AsyncMultiplier(),
    max,
    functools.lru_cache(plain),
]
TESTS: list[Callable[[Any], bool]] = [
    inspect.isfunction,
    inspect.iscoroutinefunction,
    asyncio.iscoroutinefunction,
    inspect.isasyncgenfunction,
    inspect.isgeneratorfunction,
]


def named(function: Any) -> str:
    """Return a name for a test's parameter."""
    return getattr(function, "__name__", type(function).__name__)


def signature_of(function: Any) -> inspect.Signature | None:
    """Return the signature, or None where there is none to see."""
    try:
        return inspect.signature(function)
    except ValueError:
        return None


async def result_of(called: Any) -> Any:
    """Return what a call of any kind gives in the end."""
    if inspect.isasyncgen(called):
        return [item async for item in called]
    if inspect.isawaitable(called):
        return await called
    return list(called) if inspect.isgenerator(called) else called


@pytest.mark.parametrize("function", CALLABLES, ids=named)
def test_inspect_sees_the_same(function: Any) -> None:
    """The observed function has the kind, signature, name, doc, module and annotations of the bare one."""
    observed = observe(function)
    for kind in TESTS[1:]:
        assert kind(observed) == kind(function), kind.__name__
    assert inspect.isfunction(observed)
    assert signature_of(observed) == signature_of(function)
    for attribute in ("__name__", "__qualname__", "__doc__", "__module__", "__annotations__"):
        if hasattr(function, attribute):
            assert getattr(observed, attribute) == getattr(function, attribute)
    assert inspect.unwrap(observed) is inspect.unwrap(function)


@pytest.mark.parametrize("function", FUNCTIONS, ids=named)
def test_type_hints_survive(function: Any) -> None:
    """Frameworks that read type hints read those of the bare function."""
    assert get_type_hints(observe(function)) == get_type_hints(function)


@pytest.mark.parametrize("function", [f for f in CALLABLES if f is not max], ids=named)
async def test_every_kind_is_called_and_recorded(function: Any) -> None:
    """Each kind returns what the bare one returns, and records one span with its arguments and its result."""
    expected = await result_of(function(21))
    async with capture() as captured:
        assert await result_of(observe(function)(21)) == expected
        assert tracecore.current_span() is None
        [span] = await captured.observations()
    assert msgspec.json.decode(span.input)["value"] == 21
    assert msgspec.json.decode(span.output) == expected
    assert span.status == "ok"


async def test_names_look_through_partials() -> None:
    """A partial is named for its function, a callable object for its class."""
    async with capture() as captured:
        observe(functools.partial(functools.partial(plain), scale=3))(1)
        observe(Multiplier())(1)
        assert [span.name for span in await captured.observations()] == ["plain", "Multiplier"]


class Service:
    """Have a method of every kind, in both orders of decorators."""

    def __init__(self, name: str) -> None:
        self.name = name

    @observe
    def method(self, value: int) -> str:
        """Be a method."""
        return f"{self.name}{value}"

    @observe(as_type="tool")
    async def async_method(self, value: int) -> str:
        """Be an asynchronous method."""
        return f"{self.name}{value}"

    @observe
    def generator_method(self, value: int) -> Iterator[str]:
        """Be a generator method."""
        yield f"{self.name}{value}"

    @classmethod
    @observe
    def class_inside(cls, value: int) -> str:
        """Be a class method, observed inside."""
        return f"{cls.__name__}{value}"

    @observe
    @classmethod
    def class_outside(cls, value: int) -> str:
        """Be a class method, observed outside."""
        return f"{cls.__name__}{value}"

    @staticmethod
    @observe
    def static_inside(value: int) -> str:
        """Be a static method, observed inside."""
        return f"static{value}"

    @observe(name="static_outside")
    @staticmethod
    def static_outside(value: int) -> str:
        """Be a static method, observed outside, with arguments."""
        return f"static{value}"

    @property
    @observe
    def computed(self) -> str:
        """Be a property."""
        return self.name

    @functools.cached_property
    @observe
    def cached(self) -> str:
        """Be computed once."""
        return self.name

    @observe
    def __call__(self, value: int) -> str:
        """Be called."""
        return f"{self.name}{value}"


class Child(Service):
    """Inherit."""

    def method(self, value: int) -> str:
        """Call the parent's."""
        return super().method(value) + "!"


METHODS = [
    "method",
    "async_method",
    "generator_method",
    "class_inside",
    "class_outside",
    "static_inside",
    "static_outside",
    "__call__",
]
BOUND_TO_CLASS = {
    "class_inside": "Service1",
    "class_outside": "Service1",
    "static_inside": "static1",
    "static_outside": "static1",
}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("through", ["instance", "class"])
async def test_methods_bind(name: str, through: str) -> None:
    """Methods, class methods and static methods bind as ever; self and cls are not among the arguments."""
    service = Service("a")
    bound = inspect.isfunction(vars(Service)[name])
    async with capture() as captured:
        called = getattr(service, name)(1) if through == "instance" or not bound else getattr(Service, name)(service, 1)
        result = await result_of(called)
        [span] = await captured.observations()
    assert result == (["a1"] if name == "generator_method" else BOUND_TO_CLASS.get(name, "a1"))
    assert msgspec.json.decode(span.input) == {"value": 1}
    assert span.name == name


async def test_inherited_methods_and_properties() -> None:
    """Overriding, ``super`` and properties see the observed method as they would the bare one."""
    async with capture() as captured:
        child = Child("b")
        assert child.method(1) == "b1!"
        assert child.class_inside(2) == "Child2"
        assert child.class_outside(2) == "Child2"
        assert child.computed == child.cached == child.cached == "b"
        names = [span.name for span in await captured.observations()]
    assert names == ["method", "class_inside", "class_outside", "computed", "cached"]
