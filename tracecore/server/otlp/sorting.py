"""The attributes of one span, sorted: what fills which field, what belongs to a group, and what is nobody's.

A field is filled once: what is taken is no longer among the rest, and what nobody takes is kept in the metadata.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, TypeAlias, TypeVar

from msgspec import Struct

from tracecore.server.otlp.long_texts import cut_key
from tracecore.server.otlp.mapping import EVENT_FIELDS, FIELDS, GROUP_FIELDS, KNOWN, LONGEST_KEY, Place, group_of
from tracecore.server.otlp.nesting import nested
from tracecore.server.otlp.received import Attributes, Value

__all__ = ["Readers", "Sorted"]

T = TypeVar("T")
Readers: TypeAlias = Mapping[str, tuple[int, str, Callable[[Any], Any]]]
"""By field of the table: the part of a record that it belongs to, its name there, and how it is read (None: not)."""
_MOST_REMEMBERED: Final = 64
"""Names of a set that is remembered."""


class _Shape(Struct, frozen=True):
    """Hold what the names of a span's attributes say, whatever their values are."""

    found: dict[str, Place]
    """By field: the best name that is there."""
    groups: dict[str, dict[str, str]]
    rest: dict[str, str]
    """The names that nobody wants, and what they are kept under."""


@lru_cache(256)
def _shape_of(keys: tuple[str, ...]) -> _Shape:
    """Return what a set of names says; the spans of one program have few, so that most are remembered."""
    shape = _Shape({}, {}, {})
    for key in keys:
        place = KNOWN.get(key) or (group_of(key) if len(key) <= LONGEST_KEY else None)
        if place is None:
            shape.rest[key] = key if len(key) <= LONGEST_KEY else cut_key(key, LONGEST_KEY)
        elif place[1] < 0:
            shape.groups.setdefault(place[0], {})[key] = place[2]
        else:
            worse = _worse(shape.found, place)
            if worse is not None:
                shape.rest[worse] = worse
    for group in shape.groups:
        for field, rank in GROUP_FIELDS[group]:
            worse = _worse(shape.found, (field, rank, group))
            if worse is not None and worse not in shape.groups:
                shape.rest[worse] = worse
    return shape


def _worse(found: dict[str, Place], place: Place) -> str | None:
    """Fill a field with the better of two names; return the other, if there is one."""
    held = found.get(place[0])
    if held is not None and held[1] <= place[1]:
        return place[2]
    found[place[0]] = place
    return None if held is None else held[2]


class Sorted:
    """Hold the attributes of a span by what they are for."""

    __slots__ = ("_found", "_given", "_taken", "_values", "groups", "rest")

    def __init__(self, attributes: Attributes) -> None:
        keys = tuple(attributes)
        shape = _shape_of(keys) if len(keys) <= _MOST_REMEMBERED else _shape_of.__wrapped__(keys)
        self._values = attributes
        self._found = shape.found.copy()
        self._given: Attributes = {}
        self._taken: set[str] = set()
        self.groups: Final = shape.groups
        """Full names by group, and what each is called in it; the same object for all spans of one shape."""
        self.rest: Attributes = {name: attributes[key] for key, name in shape.rest.items()}
        """What is nobody's so far."""

    def give(self, key: str, value: Value) -> None:
        """Take in what events of the span say."""
        field, rank = EVENT_FIELDS[key]
        self._given[key] = value
        worse = _worse(self._found, (field, rank, key))
        if worse is not None and worse in self._values:
            self.rest[worse] = self._values[worse]

    def has(self, field: str) -> bool:
        """Return whether anything fills a field."""
        return field in self._found

    def key_of(self, field: str) -> str | None:
        """Return the name that fills a field."""
        place = self._found.get(field)
        return None if place is None else place[2]

    def spread(self, readers: Readers, parts: tuple[dict[str, Any], ...]) -> None:
        """Fill parts of a record with everything that is there for them."""
        values = self._values
        left: dict[str, Place] = {}
        missed: list[Place] = []
        taken = self._taken
        for field, place in self._found.items():
            reader = readers.get(field)
            if reader is None:
                left[field] = place
                continue
            key = place[2]
            value = reader[2](values[key]) if key in values else None
            if value is None:
                missed.append(place)
            else:
                parts[reader[0]][reader[1]] = value
                taken.add(key)
        for place in missed:
            left[place[0]] = place
        self._found = left
        for place in missed:
            part, name, read = readers[place[0]]
            value = self.take(place[0], read)
            if value is not None:
                parts[part][name] = value

    def take(self, field: str, read: Callable[[Any], T | None]) -> T | None:
        """Return what fills a field as ``read`` reads it; what it cannot read stays among the rest.

        Then the next name of the field is tried, and so on.
        """
        while (place := self._found.pop(field, None)) is not None:
            key = place[2]
            value = read(self._values[key] if key in self._values else self.value(key))
            if value is not None:
                self._taken.add(key)
                return value
            self._pass_over(place)
        return None

    def skip(self, field: str) -> None:
        """Let the next name of a field fill it."""
        place = self._found.pop(field, None)
        if place is not None:
            self._pass_over(place)

    def _pass_over(self, place: Place) -> None:
        field, rank, key = place
        if key in self._values:
            self.rest[key] = self._values[key]
        for after, name in enumerate(FIELDS[field][rank + 1 :], rank + 1):
            if name in self.rest or name in self.groups or name in self._given:
                self.rest.pop(name, None)
                self._found[field] = (field, after, name)
                return

    def drop(self, field: str) -> None:
        """Forget what fills a field."""
        self._found.pop(field, None)

    def value(self, key: str) -> Value:
        """Return the value of an attribute, a group as one object, or what events say."""
        if key in self.groups:
            return nested({name: self._values[full] for full, name in self.groups[key].items()})
        return self._given[key] if key in self._given else self._values.get(key)

    def get(self, key: str) -> Value:
        """Return the value of an attribute, by its full name."""
        return self._values.get(key)

    def items_of(self, group: str) -> list[tuple[str, Value]]:
        """Return a group by the names in it, and leave it where it is; of two with one name both."""
        return [(name, self._values[full]) for full, name in self.groups[group].items()]

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
        for place in self._found.values():
            if place[2] in self._values:
                self.rest[place[2]] = self._values[place[2]]
        for group, names in self.groups.items():
            if group not in self._taken:
                for key in names:
                    self.rest[key] = self._values[key]
        return self.rest
