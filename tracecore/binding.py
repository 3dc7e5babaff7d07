"""Bind the arguments of a call to parameter names and write them as JSON, in one step.

What a signature says is worked out once per decorated function. For most functions that gives a Struct whose fields are
the parameters, defaults included: constructing it binds and encoding it writes, both in C (``inspect.Signature.bind``
takes ten times as long as both). Where a Struct cannot say it, a dict is bound by hand; both write the same JSON.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import msgspec

from tracecore.introspection import class_of
from tracecore.limits import DEFAULT_LIMITS, Limits
from tracecore.markers import encode
from tracecore.plain import ENTRY, room_after_dict, room_after_list
from tracecore.snapshots import encoded

__all__ = ["Binder", "binder"]

_RECEIVERS: Final = frozenset({"self", "cls"})
_DEFAULTS_ROOM: Final = 1_024
_LOW: Final = -(2**30) + 1
_HIGH: Final = 2**30 - 1


class Binder(Protocol):
    """Write the arguments of one call as JSON by parameter name."""

    def __call__(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], limits: Limits = DEFAULT_LIMITS, /) -> bytes:
        """Return the arguments as JSON, within limits. Never raises, never runs code of the program."""
        ...


def binder(function: Callable[..., Any]) -> Binder:
    """Return what writes the arguments of calls of this function.

    ``self`` and ``cls`` are left out, defaults are included, ``*args`` is an array and ``**kwargs`` an object under its
    own name. Arguments that do not fit (the call itself will raise TypeError) become ``{"args": …, "kwargs": …}``.
    """
    call = _Parameters(function)
    struct = call.struct()
    if struct is None:
        return lambda args, kwargs, limits=DEFAULT_LIMITS, /: encoded(call.by_name(args, kwargs), limits)
    skip, used, most, known = call.skip, call.room_used(), call.count, call.known

    def bind(args: tuple[Any, ...], kwargs: Mapping[str, Any], limits: Limits = DEFAULT_LIMITS, /) -> bytes:
        try:
            given = args[1:] if skip else args
            values = (*given, *kwargs.values()) if kwargs else given
            if len(values) <= most:
                room = limits.room - used
                for value in values:  # strings and small numbers are checked here: saves a call
                    cls = class_of(value)
                    if cls is str:
                        room -= len(value)
                    elif cls is not int or not _LOW < value < _HIGH:
                        room = room_after_list(values, limits.room - used, limits.max_depth)
                        break
                if room >= 0 and not kwargs:
                    return encode(struct(*given))
                if room >= 0 and known.issuperset(kwargs):
                    return encode(struct(*given, **kwargs))
        except Exception:  # noqa: BLE001, S110 - does not fit, or lone surrogates: the general way copes
            pass
        return encoded(call.by_name(args, kwargs), limits)

    return bind


class _Parameters:
    """Hold what a signature says, in the form in which binding needs it."""

    __slots__ = ("count", "defaults", "keyword_only", "known", "positional", "rest", "rest_by_name", "skip")

    def __init__(self, function: Callable[..., Any]) -> None:
        parameters = list(_signature(function).parameters.values())
        self.skip = bool(parameters) and parameters[0].name in _RECEIVERS and _is_positional(parameters[0])
        if self.skip:
            parameters = parameters[1:]
        self.positional = tuple(p.name for p in parameters if _is_positional(p))
        self.keyword_only = tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
        self.count = len(self.positional) + len(self.keyword_only)
        self.rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None)
        self.rest_by_name = next((p.name for p in parameters if p.kind is p.VAR_KEYWORD), None)
        self.defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
        by_keyword = [p.name for p in parameters if p.kind is not p.POSITIONAL_ONLY or self.rest_by_name is None]
        self.known = frozenset(by_keyword) - {self.rest, self.rest_by_name}

    def struct(self) -> Callable[..., object] | None:
        """Return a Struct with these parameters as fields, or None if a Struct cannot stand for them."""
        if room_after_dict(self.defaults, _DEFAULTS_ROOM, 1) < 0:
            return None  # a default that is not a plain scalar may change or need the walk
        by_keyword = [self._field(name) for name in self.keyword_only]
        if self.rest is not None:
            by_keyword.insert(0, (self.rest, object, ()))
        if self.rest_by_name is not None:
            by_keyword.append((self.rest_by_name, object, msgspec.field(default_factory=dict)))
        try:
            first = msgspec.defstruct("Positional", [self._field(name) for name in self.positional], gc=False)
            return msgspec.defstruct("Arguments", by_keyword, bases=(first,), kw_only=True, gc=False)
        except Exception:  # noqa: BLE001 - a parameter's name means something else in a Struct
            return None

    def _field(self, name: str) -> Any:
        return (name, object, self.defaults[name]) if name in self.defaults else (name, object)

    def room_used(self) -> int:
        """Return what names and defaults take of the room at most."""
        names = [*self.positional, *self.keyword_only, self.rest or "", self.rest_by_name or ""]
        defaults = _DEFAULTS_ROOM - room_after_dict(self.defaults, _DEFAULTS_ROOM, 1)
        return sum(map(len, names)) + ENTRY * (len(names) + 1) + defaults

    def by_name(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments by parameter name, in the order of the signature."""
        given = args[1:] if self.skip else args
        try:
            return self._bound(given, dict(kwargs))
        except LookupError:
            return {"args": given, "kwargs": dict(kwargs)}

    def _bound(self, given: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Bind, taking what fits out of kwargs.

        Raises:
            LookupError: something is missing or left over.
        """
        bound = dict(zip(self.positional, given, strict=False))
        for name in self.positional[len(given) :]:
            bound[name] = kwargs.pop(name) if name in kwargs and name in self.known else self.defaults[name]
        rest = given[len(self.positional) :]
        if self.rest is not None:
            bound[self.rest] = rest
        elif rest:
            raise LookupError
        for name in self.keyword_only:
            bound[name] = kwargs.pop(name) if name in kwargs else self.defaults[name]
        if self.rest_by_name is not None:
            bound[self.rest_by_name] = kwargs
        elif kwargs:
            raise LookupError
        return bound


def _is_positional(parameter: inspect.Parameter) -> bool:
    return parameter.kind in {parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD}


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    """Return the signature, or that of ``(*args, **kwargs)`` for what does not tell."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return inspect.signature(lambda *args, **kwargs: None)  # noqa: ARG005 - only its signature is wanted
