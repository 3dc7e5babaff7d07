"""The values that are given for the variables of prompts: of which type they are, as which text they are inserted.

Whatever a value is, its own code may raise anything: what goes wrong with one is a ``ConfigError`` that names it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, cast

import msgspec

from tracecore.errors import ConfigError
from tracecore.prompts import Variable, VariableType

__all__ = ["as_messages", "as_text", "check_type", "listed", "printable"]

_MOST_NAMED: Final = 20
"""Names that one error lists."""
_LONGEST_SHOWN: Final = 100
"""Characters of a name or a value in an error."""
_MOST_BITS: Final = 128
"""Of an integer that an error shows whole."""
_NEAR: Final = 100
"""Names among which one is looked for that was meant: the search takes time for each."""


def as_text(name: str, value: object, source: str) -> str:
    """Return the text that is inserted for a value.

    A text is inserted as it is, a number as Python prints it, nothing for None, and whatever else as JSON: dates and
    the like without quotes, an object that JSON does not know as its ``str()``.

    Raises:
        ConfigError: it cannot be made a text.
    """
    try:
        return _text_of(value)
    except Exception as error:
        expected = f"a value that can be made a text ({type(error).__name__})"
        raise ConfigError(printable(name), _outline(value), source, expected) from error


def as_messages(name: str, value: object, source: str) -> list[dict[str, Any]]:
    """Return copies of the messages that are given for a placeholder.

    Raises:
        ConfigError: they are no list of messages.
    """
    expected = "a list of messages, each a dict, for the placeholder"
    try:
        if _is_list(value):
            messages = list(cast("Iterable[Any]", value))
            if all(isinstance(message, Mapping) for message in messages):
                return [dict(message) for message in messages]
    except Exception as error:
        raise ConfigError(printable(name), _outline(value), source, expected) from error
    raise ConfigError(printable(name), _outline(value), source, expected)


def check_type(name: str, value: object, variable: Variable, source: str) -> None:
    """Refuse a value that is not what was declared.

    Raises:
        ConfigError: it is of another type, or none of the texts that are declared.
    """
    words, fits = _TYPES[variable.type]
    if not _is_so(fits, value):
        expected = f"{words}, as declared (type {variable.type})"
        raise ConfigError(printable(name), _outline(value), source, expected)
    if variable.enum and not _is_so(variable.enum.__contains__, value):
        raise ConfigError(printable(name), _outline(value), source, f"one of {listed(variable.enum)}, as declared")


def listed(names: Iterable[str], near: Iterable[str] = ()) -> str:
    """Return names for a sentence, each with that one of ``near`` beside it which may have been meant."""
    everything = list(names)
    among = sorted(near)[:_NEAR]
    shown = [f"{printable(name)}{_meant(name, among)}" for name in everything[:_MOST_NAMED]]
    more = len(everything) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def printable(name: str) -> str:
    """Return a name on one line, cut, without control characters."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name[:_LONGEST_SHOWN])


def _meant(name: str, among: list[str]) -> str:
    if not among or len(name) > _LONGEST_SHOWN:
        return ""
    from difflib import get_close_matches  # noqa: PLC0415 - only what goes wrong pays for it

    close = get_close_matches(name, [other for other in among if len(other) <= _LONGEST_SHOWN], n=1)
    return f" (given: {close[0]}?)" if close else ""


class _Outline:
    """Show a value in an error as what it was when the error was made."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _outline(value: object) -> object:
    """Return a value for an error: a short text or a plain number itself, else something that prints its beginning."""
    if type(value) is str:
        return value[:_LONGEST_SHOWN]
    if value is None or type(value) in {bool, float} or (type(value) is int and value.bit_length() <= _MOST_BITS):
        return value
    try:
        import reprlib  # noqa: PLC0415 - as above

        return _Outline(printable(reprlib.repr(value)))
    except Exception:  # noqa: BLE001 - the code of a value, of any class, runs here
        return _Outline(f"<{type(value).__name__}>")


def _text_of(value: Any) -> str:
    if isinstance(value, str):
        return str.__str__(value)  # the characters, also of an enumeration that is a text
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    try:
        text = msgspec.json.encode(value, enc_hook=_plainer).decode()
    except (UnicodeEncodeError, OverflowError):  # half a surrogate pair, or an integer beyond 64 bits
        return _odd_json(value)
    return msgspec.json.decode(text) if text.startswith('"') else text


def _odd_json(value: Any) -> str:
    from json import dumps  # noqa: PLC0415 - as above

    plain = msgspec.to_builtins(value, enc_hook=_plainer, str_keys=True)
    return dumps(plain, ensure_ascii=False, separators=(",", ":"))


def _plainer(value: Any) -> Any:
    """Return what JSON knows instead of what it does not."""
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, Any]", value))
    return list(cast("Iterable[Any]", value)) if isinstance(value, Sequence | AbstractSet) else str(value)


def _is_so(fits: Callable[[Any], bool], value: object) -> bool:
    try:
        return fits(value)
    except Exception:  # noqa: BLE001 - a class may lie about itself, or its values not be comparable
        return False


def _is_number(value: Any) -> bool:
    return _is_integer(value) or (isinstance(value, float) and math.isfinite(value))


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview)


_TYPES: Final[dict[VariableType, tuple[str, Callable[[Any], bool]]]] = {
    "string": ("a text", lambda value: isinstance(value, str)),
    "integer": ("an integer", _is_integer),
    "number": ("a finite number", _is_number),
    "boolean": ("True or False", lambda value: isinstance(value, bool)),
    "array": ("a list", _is_list),
    "object": ("a dict", lambda value: isinstance(value, Mapping)),
}
"""What each type is called, and which values are of it. A boolean is no integer, and neither is 1.0."""
