"""Inspection: an observed function is of the same kind as the bare one, and says the same of itself."""

from __future__ import annotations

import asyncio
import functools
import inspect
import pickle
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, Final, get_type_hints

from tracecore.testing.tracers.case import Group
from tracecore.testing.tracers.trial import Trial

__all__ = ["INSPECTION", "importable"]

INSPECTION: Final = Group("inspection")


def plain(value: int, /, *rest: str, scale: int = 2) -> int:
    """Be a plain function."""
    return value * scale + len(rest)


async def coroutine(value: int, *, scale: int = 2) -> int:
    """Be a coroutine function."""
    return value * scale


def generator(value: int, *, scale: int = 2) -> Generator[int, None, None]:
    """Be a generator function."""
    yield value * scale


async def async_generator(value: int, *, scale: int = 2) -> AsyncGenerator[int, None]:
    """Be an asynchronous generator function."""
    yield value * scale


def importable(value: int) -> int:
    """Be found by its name."""
    return value


_KINDS: Final[tuple[Callable[[Any], bool], ...]] = (
    inspect.isfunction, inspect.iscoroutinefunction, asyncio.iscoroutinefunction, inspect.isgeneratorfunction,
    inspect.isasyncgenfunction,
)  # fmt: skip
_TOLD: Final = ("__name__", "__qualname__", "__doc__", "__module__")


def _same_kind(trial: Trial, function: Callable[..., Any]) -> Any:
    """Compare what ``inspect`` says of the bare and of the observed function; return the latter."""
    observed = trial.observed(function)
    for kind in _KINDS[not inspect.isfunction(function) :]:
        trial.equal(f"{kind.__module__}.{kind.__name__}", kind(observed), kind(function))
    return observed


@INSPECTION.case("plain")
def a_function_is_a_function(trial: Trial) -> None:
    """``inspect`` sees a plain function."""
    trial.equal("the result", _same_kind(trial, plain)(2), 4)


@INSPECTION.anywhere("coroutine")
async def a_coroutine_function_is_one(trial: Trial) -> None:
    """``inspect`` and asyncio see a coroutine function, and a coroutine is what it returns."""
    called = _same_kind(trial, coroutine)(2)
    trial.equal("inspect.iscoroutine of what it returns", inspect.iscoroutine(called), expected=True)
    trial.equal("the result", await called, 4)


@INSPECTION.case("generator", needs=("generators",))
def a_generator_function_is_one(trial: Trial) -> None:
    """``inspect`` sees a generator function, and a generator is what it returns."""
    called = _same_kind(trial, generator)(2)
    trial.equal("inspect.isgenerator of what it returns", inspect.isgenerator(called), expected=True)
    trial.equal("the items", list(called), [4])


@INSPECTION.anywhere("async_generator", needs=("async generators",))
async def an_async_generator_function_is_one(trial: Trial) -> None:
    """``inspect`` sees an asynchronous generator function, and such a generator is what it returns."""
    called = _same_kind(trial, async_generator)(2)
    trial.equal("inspect.isasyncgen of what it returns", inspect.isasyncgen(called), expected=True)
    trial.equal("the items", [item async for item in called], [4])


@INSPECTION.case("")
def signatures(trial: Trial) -> None:
    """``inspect.signature`` is that of the bare function."""
    for function in (plain, coroutine):
        trial.equal(function.__name__, inspect.signature(trial.observed(function)), inspect.signature(function))


@INSPECTION.case("", needs=("generators", "async generators"))
def signatures_of_generator_functions(trial: Trial) -> None:
    """The same of generator functions of both kinds."""
    for function in (generator, async_generator):
        trial.equal(function.__name__, inspect.signature(trial.observed(function)), inspect.signature(function))


@INSPECTION.case("")
def names_and_docs(trial: Trial) -> None:
    """Name, qualified name, docstring and module are those of the bare function."""
    for function in (plain, coroutine):
        observed = trial.observed(function)
        for attribute in _TOLD:
            trial.equal(attribute, getattr(observed, attribute), getattr(function, attribute))


@INSPECTION.case("")
def type_hints(trial: Trial) -> None:
    """Frameworks that read type hints read those of the bare function."""
    for function in (plain, coroutine):
        trial.equal(function.__name__, get_type_hints(trial.observed(function)), get_type_hints(function))


@INSPECTION.case("")
def what_was_wrapped(trial: Trial) -> None:
    """``inspect.unwrap`` finds the bare function."""
    for function in (plain, coroutine):
        trial.same("what was wrapped", inspect.unwrap(trial.observed(function)), function)


@INSPECTION.case("")
def attributes_of_functions(trial: Trial) -> None:
    """What other decorators have noted on the function is still there."""

    def work() -> None: ...

    work.route = "/work"  # type: ignore[attr-defined]  # pyright: ignore[reportFunctionMemberAccess] - as frameworks do
    trial.equal("the attribute", getattr(trial.observed(work), "route", None), "/work")


@INSPECTION.case("importable")
def pickled_by_name(trial: Trial) -> None:
    """An observed function of a module is pickled by its name, as process pools need it."""
    bare = importable
    observed = globals()["importable"] = trial.observed(bare)
    try:
        found = pickle.loads(pickle.dumps(observed))  # noqa: S301 - made in this line
        trial.same("what was pickled", found, observed)
        trial.equal("the result", found(1), 1)
    finally:
        globals()["importable"] = bare


@INSPECTION.case("plain")
def a_partial_of_an_observed_function(trial: Trial) -> None:
    """``functools.partial`` of an observed function calls it."""
    trial.equal("the result", functools.partial(trial.observed(plain), scale=5)(2), 10)


@INSPECTION.case("*", needs=("callables",))
def an_observed_partial(trial: Trial) -> None:
    """A ``functools.partial``, which has no name, can be observed."""
    trial.equal("the result", trial.observed(functools.partial(plain, scale=5))(2), 10)


@INSPECTION.anywhere("*", needs=("callables",))
async def an_observed_partial_of_a_coroutine_function(trial: Trial) -> None:
    """So can one of a coroutine function, and is one."""
    observed = _same_kind(trial, functools.partial(coroutine, scale=5))
    trial.equal("the result", await observed(2), 10)


@INSPECTION.case("plain: error", "")
def a_call_with_wrong_arguments(trial: Trial) -> None:
    """A call with wrong arguments fails with the words that Python has for it."""
    wrong: dict[str, Any] = {"unknown": 1}
    said: list[str] = []
    for function in (plain, trial.observed(plain)):
        try:
            function(1, **wrong)
        except TypeError as error:
            said.append(str(error))
    trial.equal("what is said", said[1:], said[:1])
