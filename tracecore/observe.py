"""``@observe``: a span for every call of a function, of whatever kind the function is.

The wrapper is of the same kind as what it wraps (``inspect`` sees a coroutine function, a generator function, the same
signature and doc). What is the same for every call is worked out once, in a :class:`~tracecore.callsite.Callsite`.
Of an ordinary call the wrapper encodes the arguments, makes the span current, encodes the result and ends the span
(:mod:`tracecore.observe_calls`); each kind of generator is driven step by step (:mod:`tracecore.observe_generators`).
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Generator
from functools import partial, update_wrapper
from typing import Any, ParamSpec, Protocol, TypeVar, cast, overload

from tracecore.attributes import MAX_NAME, text_of, type_of
from tracecore.callsite import Callsite, nothing
from tracecore.codec import binder, encoded
from tracecore.context import Recording
from tracecore.observe_calls import async_wrapper, sync_wrapper
from tracecore.observe_generators import async_generator_wrapper, generator_wrapper

__all__ = ["observe"]

P = ParamSpec("P")
T = TypeVar("T")


class Decorator(Protocol):
    """Keep the type of what is decorated."""

    def __call__(self, function: Callable[P, T], /) -> Callable[P, T]:
        """Return the observed function."""
        ...


@overload
def observe(function: Callable[P, T], /) -> Callable[P, T]: ...


@overload
def observe(
    *,
    name: str | None = None,
    as_type: str = "span",
    capture_input: bool | None = None,
    capture_output: bool | None = None,
    transform_to_string: Callable[[list[Any]], str] | None = None,
    recorder: Recording | None = None,
) -> Decorator: ...


def observe(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    as_type: str = "span",
    capture_input: bool | None = None,
    capture_output: bool | None = None,
    transform_to_string: Callable[[list[Any]], str] | None = None,
    recorder: Recording | None = None,
) -> Any:
    """Record a span for every call: ``@observe``, or ``@observe(name="answer", as_type="generation")``.

    Works on plain and async functions, generators of both kinds, methods, classmethods and staticmethods. By default
    the function's name, the arguments by parameter name (without self and cls), the return value, the time and an
    exception (type, message, stack) are recorded. ``as_type`` is one of span, generation, agent, tool, chain,
    retriever, embedding, evaluator, guardrail.

    ``capture_input`` and ``capture_output`` override the configuration for this function. The output of a generator is
    the list of its items, or their concatenation when all are text; ``transform_to_string`` makes it from the items
    instead. ``recorder`` sends the traces that begin here to a recorder other than the default one.

    Raises:
        TypeError: what is decorated is not callable, or is a class.
    """
    if function is None:
        return partial(
            _observed, name=name, as_type=as_type, capture_input=capture_input, capture_output=capture_output,
            join=transform_to_string, recorder=recorder,
        )  # fmt: skip
    return _observed(
        function, name=None, as_type="span", capture_input=None, capture_output=None, join=None, recorder=None
    )


def _observed(
    function: Any,
    *,
    name: str | None,
    as_type: str,
    capture_input: bool | None,
    capture_output: bool | None,
    join: Callable[[list[Any]], str] | None,
    recorder: Recording | None,
) -> Any:
    if isinstance(function, classmethod | staticmethod):
        binding: Any = cast("Any", function)
        inner = _observed(
            binding.__func__, name=name, as_type=as_type, capture_input=capture_input,
            capture_output=capture_output, join=join, recorder=recorder,
        )  # fmt: skip
        return type(binding)(inner)
    if isinstance(function, type):
        raise TypeError(f"observe: expected a function, got the class {function.__name__}; observe its methods instead")
    if not callable(function):
        raise TypeError(f"observe: expected a function, got {type(function).__name__}")
    site = Callsite(
        function=function,
        name=text_of(name, max_length=MAX_NAME) or _name_of(function),
        type=type_of(as_type),
        bind=nothing if capture_input is False else binder(function),
        encode=nothing if capture_output is False else encoded,
        capture_input=capture_input is True,
        capture_output=capture_output is True,
        recorder=recorder,
        join=join,
    )
    return update_wrapper(_wrapper_of(function)(site), function)


def _name_of(function: Callable[..., Any]) -> str:
    """Return the function's name, looking through ``functools.partial``; of a callable object, its class's name."""
    while isinstance(function, partial):
        function = function.func
    return text_of(getattr(function, "__name__", None), max_length=MAX_NAME) or type(function).__name__


def _wrapper_of(function: Callable[..., Any]) -> Callable[[Callsite], Callable[..., Any]]:
    """Return the maker of a wrapper of the function's kind, looking through ``functools.partial``."""
    if inspect.isasyncgenfunction(function):
        return async_generator_wrapper
    if inspect.isgeneratorfunction(function):
        return _awaitable_generator_wrapper if _is_awaitable(function) else generator_wrapper
    return async_wrapper if inspect.iscoroutinefunction(function) else sync_wrapper


def _is_awaitable(function: Any) -> bool:
    """Return whether a generator function is one whose generators are awaited (``types.coroutine``)."""
    while isinstance(function, partial):
        function = function.func
    code: types.CodeType | None = getattr(function, "__code__", None)
    return code is not None and bool(code.co_flags & inspect.CO_ITERABLE_COROUTINE)


def _awaitable_generator_wrapper(site: Callsite) -> Callable[..., Any]:
    call = async_wrapper(site)

    @types.coroutine
    def observed(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        steps: Generator[Any, Any, Any] = call(*args, **kwargs).__await__()
        return (yield from steps)

    return observed
