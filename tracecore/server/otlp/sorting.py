"""The attributes of one span, sorted: what fills which field, what belongs to a group, and what is nobody's.

A field is filled once: what is taken is no longer among the rest, and what nobody takes is kept in the metadata.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from tracecore.server.otlp.mapping import EVENT_FIELDS, FIELDS, GROUP_FIELDS, LONGEST_KEY, place_of
from tracecore.server.otlp.nesting import nested
from tracecore.server.otlp.received import Attributes, Value

__all__ = ["Sorted"]

T = TypeVar("T")


class Sorted:
    """Hold the attributes of a span by what they are for."""

    __slots__ = ("_found", "_given", "_ranks", "_taken", "_values", "groups", "rest")

    def __init__(self, attributes: Attributes) -> None:
        self._values = attributes
        self._found: dict[str, str] = {}
        self._ranks: dict[str, int] = {}
        self._given: Attributes = {}
        self._taken: set[str] = set()
        self.groups: dict[str, dict[str, str]] = {}
        """Full names by group, and what each is called in it."""
        self.rest: Attributes = {}
        """What is nobody's so far."""
        found, ranks, rest = self._found, self._ranks, self.rest
        for key, value in attributes.items():  # the hottest loop: written out
            place = place_of(key)
            if place is None:
                rest[key if len(key) <= LONGEST_KEY else f"{key[: LONGEST_KEY - 1]}\N{HORIZONTAL ELLIPSIS}"] = value
                continue
            field, rank, name = place
            if rank < 0:
                self.groups.setdefault(field, {})[key] = name
            elif value == "" or value is None:
                rest[key] = value
            elif field not in found:
                found[field] = key
                ranks[field] = rank
            else:
                self._compete(field, key, rank)
        for group in self.groups:
            for field, rank in GROUP_FIELDS[group]:
                self._offer(field, group, rank)

    def give(self, key: str, value: Value) -> None:
        """Take in what events of the span say."""
        field, rank = EVENT_FIELDS[key]
        self._given[key] = value
        self._offer(field, key, rank)

    def _compete(self, field: str, key: str, rank: int) -> None:
        if rank < self._ranks[field]:
            self._offer(field, key, rank)
        else:
            self.rest[key] = self._values[key]

    def _offer(self, field: str, key: str, rank: int) -> None:
        """Fill a field unless a better name does."""
        held = self._found.get(field)
        if held is None or rank < self._ranks[field]:
            if held is not None and held in self._values:
                self.rest[held] = self._values[held]
            self._found[field] = key
            self._ranks[field] = rank

    def has(self, field: str) -> bool:
        """Return whether anything fills a field."""
        return field in self._found

    def key_of(self, field: str) -> str | None:
        """Return the name that fills a field."""
        return self._found.get(field)

    def take(self, field: str, read: Callable[[Any], T | None]) -> T | None:
        """Return what fills a field as ``read`` reads it; what it cannot read stays among the rest.

        Then the next name of the field is tried, and so on.
        """
        key = self._found.pop(field, None)
        if key is None:
            return None
        value = read(self.value(key))
        if value is not None:
            self._taken.add(key)
            return value
        if key in self._values:
            self.rest[key] = self._values[key]
        return self._next(field, read)

    def _next(self, field: str, read: Callable[[Any], T | None]) -> T | None:
        for key in FIELDS[field][self._ranks[field] + 1 :]:
            if key in self.rest or key in self.groups or key in self._given:
                value = read(self.value(key))
                if value is not None:
                    self.rest.pop(key, None)
                    self._taken.add(key)
                    return value
        return None

    def drop(self, field: str) -> None:
        """Forget what fills a field."""
        self._found.pop(field, None)

    def value(self, key: str) -> Value:
        """Return the value of an attribute, a group as one object, or what events say."""
        if key in self.groups:
            return nested({name: self._values[full] for full, name in self.groups[key].items()})
        return self._given[key] if key in self._given else self._values.get(key)

    def members(self, group: str) -> dict[str, Value]:
        """Return a group by the names in it, and take it."""
        full = self.groups.get(group)
        if full is None:
            return {}
        self._taken.add(group)
        return {name: self._values[key] for key, name in full.items()}

    def was_taken(self, key: str) -> bool:
        """Return whether what has this name fills a field of the record."""
        return key in self._taken

    def leave(self) -> Attributes:
        """Return everything that nobody took, under its full name."""
        for key in self._found.values():
            if key in self._values:
                self.rest[key] = self._values[key]
        for group, names in self.groups.items():
            if group not in self._taken:
                for key in names:
                    self.rest[key] = self._values[key]
        return self.rest
