"""The attributes of one span, sorted: what fills which field, what belongs to a group, and what is nobody's.

A field is filled once: what is taken is no longer among the rest, and what nobody takes is kept in the metadata.

Most of that follows from names alone, and the spans of one program have few sets of names. So what follows from a set
is remembered as a :class:`Shape`, and with it what is left of it once fields were taken. A span follows the shapes
until a value is not what its field wants; from there on it goes its own way.
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

__all__ = ["Readers", "Shape", "Sorted"]

T = TypeVar("T")
_MOST_REMEMBERED: Final = 64
"""Names of a set that is remembered."""
_Step: TypeAlias = tuple[str, str, str, Callable[[Any], Any]]
"""A field, the name that fills it, the field of the record, and how it is read."""


class Readers(Struct, frozen=True, eq=False):
    """Say which fields are simply read."""

    by_field: Mapping[str, tuple[str, Callable[[Any], Any]]]
    """By field of the table: the field of the record, and how it is read (None: not)."""


class _Plan(Struct, frozen=True, eq=False):
    """Say how fields are read: those that one attribute fills, then those that a group or an event fills."""

    steps: tuple[_Step, ...]
    others: tuple[_Step, ...]
    left: Shape


class Shape(Struct, frozen=True, eq=False):
    """Hold what the names of a span's attributes say, whatever their values are."""

    found: dict[str, Place]
    """By field that nobody has taken: the best name that is there."""
    groups: dict[str, dict[str, str]]
    rest: dict[str, str] = {}
    """The names that nobody wants, and what they are kept under."""
    plans: dict[Readers, _Plan] = {}
    after: dict[str, Shape] = {}
    """By field: what is left without it, as far as anybody asked."""

    def without(self, field: str) -> Shape:
        """Return what is left when a field was taken."""
        found = {other: place for other, place in self.found.items() if other != field}
        left = self.after[field] = Shape(found, self.groups)
        return left

    def plan(self, readers: Readers, values: Attributes) -> _Plan:
        """Return how fields are read of attributes that have this shape."""
        plan = self.plans.get(readers)
        if plan is None:
            plan = self.plans[readers] = _planned(self, readers, values)
        return plan


def _planned(shape: Shape, readers: Readers, values: Attributes) -> _Plan:
    steps: list[_Step] = []
    others: list[_Step] = []
    left: dict[str, Place] = {}
    for field, place in shape.found.items():
        reader = readers.by_field.get(field)
        if reader is None:
            left[field] = place
        else:
            is_plain = place[2] in values and place[2] not in shape.groups
            (steps if is_plain else others).append((field, place[2], *reader))
    return _Plan(tuple(steps), tuple(others), Shape(left, shape.groups))


@lru_cache(256)
def _shape_of(keys: tuple[str, ...]) -> Shape:
    """Return what a set of names says; the spans of one program have few, so that most are remembered."""
    shape = Shape({}, {})
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

    __slots__ = ("_found", "_given", "_taken", "groups", "rest", "shape", "values")

    def __init__(self, attributes: Attributes) -> None:
        keys = tuple(attributes)
        shape = _shape_of(keys) if len(keys) <= _MOST_REMEMBERED else _shape_of.__wrapped__(keys)
        self.values: Final = attributes
        self.shape: Shape | None = shape
        """What is left to be taken, as long as it follows from the names; else None, and values have decided it."""
        self._found = shape.found
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
        worse = _worse(self.part(), (field, rank, key))
        if worse is not None and worse in self.values:
            self.rest[worse] = self.values[worse]

    def has(self, field: str) -> bool:
        """Return whether anything fills a field."""
        return field in self._found

    def key_of(self, field: str) -> str | None:
        """Return the name that fills a field."""
        place = self._found.get(field)
        return None if place is None else place[2]

    def spread(self, readers: Readers, part: dict[str, Any]) -> None:
        """Fill a part of a record with everything that is there for it."""
        values, shape = self.values, self.shape
        missed: list[str] = []
        if shape is None:
            plan = _planned(Shape(self._found, self.groups), readers, values)
        else:
            plan = shape.plan(readers, values)
        for field, key, name, read in plan.steps:
            value = read(values[key])
            if value is None:
                missed.append(field)
            else:
                part[name] = value
        for field, key, name, read in plan.others:
            value = read(self.value(key))
            if value is None:
                missed.append(field)
            else:
                part[name] = value
                self._taken.add(key)
        if shape is not None and not missed:
            self.go_on(plan.left)
            return
        found, self.shape = self._found, None
        self._found = plan.left.found | {field: found[field] for field in missed}
        for field in missed:
            name, read = readers.by_field[field]
            value = self.take(field, read)
            if value is not None:
                part[name] = value

    def take(self, field: str, read: Callable[[Any], T | None]) -> T | None:
        """Return what fills a field as ``read`` reads it; what it cannot read stays among the rest.

        Then the next name of the field is tried, and so on.
        """
        while (place := self._found.get(field)) is not None:
            key = place[2]
            value = read(self.values[key] if key in self.values else self.value(key))
            if value is not None:
                self._taken.add(key)
                self.drop(field)
                return value
            self.skip(field)
        return None

    def skip(self, field: str) -> None:
        """Let the next name of a field fill it."""
        if field not in self._found:
            return
        found = self.part()
        _, rank, key = found.pop(field)
        if key in self.values:
            self.rest[key] = self.values[key]
        for after, name in enumerate(FIELDS[field][rank + 1 :], rank + 1):
            if name in self.rest or name in self.groups or name in self._given:
                self.rest.pop(name, None)
                found[field] = (field, after, name)
                return

    def drop(self, field: str) -> None:
        """Forget what fills a field."""
        shape = self.shape
        if shape is None:
            self._found.pop(field, None)
        elif field in self._found:
            self.shape = left = shape.after.get(field) or shape.without(field)
            self._found = left.found

    def go_on(self, shape: Shape) -> None:
        """Leave to others what a shape has left, which is some of what the span's own has."""
        self.shape, self._found = shape, shape.found

    def part(self) -> dict[str, Place]:
        """Part from the shapes, because a value decides what comes next; return what is left to be taken."""
        if self.shape is not None:
            self.shape, self._found = None, self._found.copy()
        return self._found

    def value(self, key: str) -> Value:
        """Return the value of an attribute, a group as one object, or what events say."""
        if key in self.values:
            return self.values[key]
        if key in self.groups:
            return nested({name: self.values[full] for full, name in self.groups[key].items()})
        return self._given.get(key)

    def get(self, key: str) -> Value:
        """Return the value of an attribute, by its full name."""
        return self.values.get(key)

    def items_of(self, group: str) -> list[tuple[str, Value]]:
        """Return a group by the names in it, and leave it where it is; of two with one name both."""
        return [(name, self.values[full]) for full, name in self.groups[group].items()]

    def members(self, group: str) -> dict[str, Value]:
        """Return a group by the names in it, and take it."""
        full = self.groups.get(group)
        if full is None:
            return {}
        self._taken.add(group)
        return {name: self.values[key] for key, name in full.items()}

    def was_taken(self, key: str) -> bool:
        """Return whether what has this name fills a field of the record."""
        return key in self._taken

    def leave(self) -> Attributes:
        """Return everything that nobody took, under its full name."""
        for place in self._found.values():
            if place[2] in self.values:
                self.rest[place[2]] = self.values[place[2]]
        for group, names in self.groups.items():
            if group not in self._taken:
                for key in names:
                    self.rest[key] = self.values[key]
        return self.rest
