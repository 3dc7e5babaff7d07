"""What comparing a value with a schema costs, counted before it is tried.

A schema that leads into itself twice for one value (``anyOf`` of two references) takes twice as long for every level of
a value, and one of thousands of parts takes them for each item of a list: a short schema and a short value can be work
without end, and nothing can interrupt it. What is counted is how often a schema meets a value, at most: keywords are
those of JSON Schema, drafts 4 to 2020-12.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeAlias, cast

__all__ = ["MOST_STEPS", "TooMuchWork", "steps_of"]

MOST_STEPS: Final = 500_000
"""Meetings of a schema and a value; each takes some microseconds."""
_CHARACTERS: Final = 64
"""Characters of a text that a pattern reads in one step."""
_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
_ALIKE: Final = ("not", "if", "then", "else")
"""Keywords whose schema is for the value itself."""
_ALIKE_SEVERAL: Final = ("allOf", "anyOf", "oneOf", "dependentSchemas", "dependencies")
_ITEMS: Final = ("items", "prefixItems", "additionalItems", "unevaluatedItems", "contains")
_OTHERS: Final = ("additionalProperties", "unevaluatedProperties")

_Meeting: TypeAlias = tuple[Any, Any]


class TooMuchWork(ValueError):
    """Report that a value and a schema would take too long to compare."""


def steps_of(schema: Any, value: Any, target: Callable[[str], Any]) -> int:
    """Return the steps of a decoded schema and value, at most; ``target`` returns what a reference leads to.

    Raises:
        TooMuchWork: there are more than ``MOST_STEPS``.
        RecursionError: they are nested too deeply to say.
    """
    return _Counting(target).steps(schema, value)


class _Counting:
    """Count the meetings of one schema and one value; what met before is not looked at again."""

    def __init__(self, target: Callable[[str], Any]) -> None:
        self._target = target
        self._known: dict[tuple[int, int], int] = {}

    def steps(self, schema: Any, value: Any) -> int:
        if not isinstance(schema, dict):
            return 1
        keywords = cast("dict[str, Any]", schema)
        key = (id(keywords), id(value))
        known = self._known.get(key)
        if known is not None:
            return known
        self._known[key] = 1  # a reference from a schema to itself ends where it meets the same value
        total = _own(keywords, value)
        for part, of_it in self._meetings(keywords, value):
            total += self.steps(part, of_it)
            if total > MOST_STEPS:
                raise TooMuchWork(f"that would take more than {MOST_STEPS:,} steps")
        self._known[key] = total
        return total

    def _meetings(self, schema: dict[str, Any], value: Any) -> Iterator[_Meeting]:
        again = 2 if "unevaluatedProperties" in schema or "unevaluatedItems" in schema else 1
        for _ in range(again):  # they ask the schemas beside them anew
            for part in self._alike(schema):
                yield part, value
        if isinstance(value, dict):
            yield from _of_members(schema, cast("dict[str, Any]", value))
        elif isinstance(value, list):
            items = list(cast("Iterable[Any]", value))
            for keyword in _ITEMS:
                for part in _schemas(schema.get(keyword)):
                    yield from ((part, item) for item in items)

    def _alike(self, schema: dict[str, Any]) -> Iterator[Any]:
        for keyword in _REFERENCES:
            reference = schema.get(keyword)
            if isinstance(reference, str):
                yield self._target(reference)
        for keyword in _ALIKE:
            if keyword in schema:
                yield schema[keyword]
        for keyword in _ALIKE_SEVERAL:
            yield from _several(schema.get(keyword))


def _own(schema: dict[str, Any], value: Any) -> int:
    """Return how many steps the keywords take that have no schemas in them."""
    steps = 1 + len(_several(schema.get("enum")))
    if isinstance(value, str) and ("pattern" in schema or "format" in schema):
        steps += len(value) // _CHARACTERS
    return steps


def _of_members(schema: dict[str, Any], value: dict[str, Any]) -> Iterator[_Meeting]:
    named = schema.get("properties")
    properties = cast("dict[str, Any]", named) if isinstance(named, dict) else {}
    yield from ((properties[name], member) for name, member in value.items() if name in properties)
    others = [member for name, member in value.items() if name not in properties]
    for keyword in _OTHERS:
        if keyword in schema:
            yield from ((schema[keyword], member) for member in others)
    for part in _several(schema.get("patternProperties")):
        yield from ((part, member) for member in value.values())
    if "propertyNames" in schema:
        yield from ((schema["propertyNames"], name) for name in value)


def _schemas(given: Any) -> list[Any]:
    """Return the schemas of a keyword that has one, or a list of them."""
    return _several(given) if isinstance(given, list) else [] if given is None else [given]


def _several(given: Any) -> list[Any]:
    """Return what a keyword lists, or names."""
    if isinstance(given, dict):
        return list(cast("dict[str, Any]", given).values())
    return list(cast("Iterable[Any]", given)) if isinstance(given, list) else []
