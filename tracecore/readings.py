"""Find how values of a class are read, once per class; and how a key becomes a name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tracecore.builtin_types import BUILTIN_TYPES, Kind
from tracecore.foreign_types import foreign_type
from tracecore.introspection import Fields, bases, class_name, class_of, type_name
from tracecore.markers import quote, unencodable, unencodables

__all__ = ["Reading", "key_name", "reading_of"]

_MAX_REMEMBERED: Final = 2_048
_MAX_KEY_ELEMENTS: Final = 8
_SHOWN_OF_LONG_KEY: Final = 200
_MAX_ODD_KEY: Final = 256


class Reading:
    """Say how values of one class are read, and what the class is called.

    ``plain`` says that it is exactly dict, list or tuple; ``fields``, that the reader returns public fields by name.
    """

    __slots__ = ("fields", "kind", "name", "plain", "read")

    def __init__(self, cls: type) -> None:
        self.kind: Kind = "leaf"
        self.name = type_name(cls)
        self.plain = cls is dict or cls is list or cls is tuple
        self.fields = False
        self.read: Callable[[Any, int], Any]
        try:
            self._find(cls)
        except Exception as error:  # noqa: BLE001 - whatever is odd about the class
            reason = type_name(type(error))
            self.read = lambda _, __: unencodable(self.name, reason)

    def _find(self, cls: type) -> None:
        for base in bases(cls):
            reader = BUILTIN_TYPES.get(base) or foreign_type(base)
            if reader is not None:
                self.kind, self.read = reader
                return
        self.read = Fields(cls)
        self.kind, self.fields = "object", True


_remembered: dict[type, Reading] = {}


def reading_of(cls: type) -> Reading:
    """Return how values of this class are read; remembered for a bounded number of classes."""
    try:
        return _remembered[cls]
    except KeyError:
        if len(_remembered) >= _MAX_REMEMBERED:
            _remembered.clear()
        reading = _remembered[cls] = Reading(cls)
        return reading
    except Exception:  # noqa: BLE001 - a metaclass may have no hash, or one that raises
        return Reading(cls)


def key_name(key: Any, most: int) -> bytes:
    """Return a key as a JSON string: a string itself, another scalar the text of its JSON, anything else its class."""
    if issubclass(class_of(key), str):
        length = str.__len__(key)
        shown = str.__getitem__(key, slice(most if length <= most else _SHOWN_OF_LONG_KEY))
        return quote(shown if length <= most else f"{shown}… ({length} characters)")
    try:
        text = _key_text(key, class_of(key))
    except Exception:  # noqa: BLE001 - a bad key costs that key only
        unencodables.add()
        text = f"<{class_name(key)}>"
    return text.encode() if text.startswith('"') else quote(text)


def _key_text(key: Any, cls: type) -> str:
    if cls is tuple and len(key) <= _MAX_KEY_ELEMENTS:
        return f"[{','.join([_scalar_text(element) for element in key])}]"
    if issubclass(cls, type):
        return f"<{type_name(key)}>"
    return _scalar_text(key)


def _scalar_text(value: object) -> str:
    """Return the JSON of a scalar that is short, or its class in angle brackets."""
    reading = reading_of(type(value))
    if reading.kind == "alias":
        value = reading.read(value, 0)
        reading = reading_of(type(value))
    if reading.kind == "leaf":
        written: bytes = reading.read(value, _MAX_ODD_KEY)
        if len(written) <= _MAX_ODD_KEY and not written.startswith(b"{"):
            return written.decode()
    return f"<{reading.name}>"
