"""The texts of values, and errors that show what was given."""

from __future__ import annotations

import enum
import pickle
import uuid
from collections import OrderedDict, UserDict
from datetime import UTC, date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import msgspec
import pytest

from tracecore import ConfigError
from tracecore.prompt_values import as_messages, as_text, check_type, listed
from tracecore.prompts import Variable


class Colour(enum.Enum):
    """An enumeration of texts."""

    RED = "red"


class Size(enum.StrEnum):
    """Texts that are an enumeration."""

    SMALL = "small"


class Loud(str, enum.Enum):  # noqa: UP042 - the older form, whose str() is not its text
    """Texts that are an enumeration, in the older form."""

    YES = "yes"


class Point(msgspec.Struct):
    """A value with members."""

    x: int
    y: list[str]


class Other:
    """A class that nobody knows."""

    def __str__(self) -> str:
        """Return what is inserted."""
        return 'an "other"'


class Hostile:
    """A value of which every question raises."""

    def __getattribute__(self, name: str) -> Any:
        """Refuse."""
        raise ZeroDivisionError

    def __str__(self) -> str:
        """Refuse."""
        raise ZeroDivisionError

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        """Refuse."""
        raise ZeroDivisionError

    def __hash__(self) -> int:
        """Refuse."""
        raise ZeroDivisionError


def endless() -> list[Any]:
    """Return a list that is inside itself."""
    found: list[Any] = []
    found.append(found)
    return found


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("text \ud800", "text \ud800"),
        (None, ""),
        (True, "true"),
        (3, "3"),
        (10**30, "1" + "0" * 30),
        (0.1, "0.1"),
        (1e16, "1e+16"),
        (float("nan"), "nan"),
        ([1, "ä", None, {"b": True}], '[1,"ä",null,{"b":true}]'),
        (("a",), '["a"]'),
        ({"a": 1, 2: "b"}, '{"a":1,"2":"b"}'),
        (OrderedDict(a=1), '{"a":1}'),
        (MappingProxyType({"a": [Other()]}), '{"a":["an \\"other\\""]}'),
        (UserDict(a=UserDict()), '{"a":{}}'),
        ([10**30, "\ud800"], '[1000000000000000000000000000000,"\ud800"]'),
        ({}.keys(), "[]"),
        (Point(1, ["a"]), '{"x":1,"y":["a"]}'),
        (Colour.RED, "red"),
        (Size.SMALL, "small"),
        (Loud.YES, "yes"),
        (date(2026, 1, 31), "2026-01-31"),
        (datetime(2026, 1, 31, 12, tzinfo=UTC), "2026-01-31T12:00:00Z"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Decimal("1.10"), "1.10"),
        (Other(), 'an "other"'),
    ],
)
def test_values_become_texts(value: object, text: str) -> None:
    """Texts are themselves, None is nothing, numbers are as Python has them, the rest is JSON or their ``str()``."""
    assert as_text("a", value, "compile") == text


@pytest.mark.parametrize("number", range(5))
def test_a_value_that_cannot_be_a_text_is_an_error(number: int) -> None:
    """The error names the variable, whatever the value does when it is shown."""
    value = [Hostile(), [Hostile()], endless(), 10**5_000, {"a": endless()}][number]
    with pytest.raises(ConfigError, match=r"^a = .* \(from compile\): expected a value that can be made a text"):
        as_text("a", value, "compile")


@pytest.mark.parametrize("kind", ["string", "integer", "number", "boolean", "array", "object"])
def test_a_value_that_answers_nothing_is_of_no_type(kind: Any) -> None:
    """Checking raises the one error, though the value raises others."""
    with pytest.raises(ConfigError, match=r"^a = .*: expected .*, as declared"):
        check_type("a", Hostile(), Variable(type=kind), "compile")
    with pytest.raises(ConfigError, match="list of messages"):
        as_messages("a", [Hostile()], "compile")


def test_a_text_that_is_compared_wrongly_is_in_no_enum() -> None:
    """An enum is compared without believing the value."""

    class Strange(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            raise ZeroDivisionError

        __hash__ = str.__hash__

    with pytest.raises(ConfigError, match="one of x"):
        check_type("a", Strange("x"), Variable(enum=("x",)), "compile")


@pytest.mark.parametrize(
    "value", ["x" * 10_000_000, ["x" * 1_000] * 1_000_000, "\x1b[2J\n\u202e", ["\x1b[2J"], {"a": 10**4_000}]
)
def test_errors_are_short_and_printable(value: object) -> None:
    """A value is shown by its beginning, with nothing that a terminal would obey."""
    with pytest.raises(ConfigError) as caught:
        check_type("a", value, Variable(type="integer"), "compile")
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()


def test_errors_travel() -> None:
    """An error with a value that was outlined can be pickled, as every other."""
    with pytest.raises(ConfigError) as caught:
        check_type("a", [object()], Variable(), "compile")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301 - our own bytes


def test_many_names_are_counted() -> None:
    """A sentence lists some names, each cut and printable, and says how many more there are."""
    said = listed([f"\x1bname{number}" for number in range(1_000)], near=["x" * 1_000])
    assert said.endswith("\ufffdname19 and 980 more")
    assert said.isprintable()


def test_what_was_meant_is_found_in_time() -> None:
    """Names of a megabyte are not compared with each other."""
    assert len(listed(["a" * 1_000_000] * 100, near=["b" * 1_000_000] * 100)) < 3_000
