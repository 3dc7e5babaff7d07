"""Look at classes and instances without running code of the program.

What a class says about itself is read through ``type``'s own descriptors, never through the class, whose metaclass may
define ``__getattribute__``. What an instance holds is read through its ``__dict__`` slot and its ``__slots__``, never
through attribute access: properties, ``__getattr__`` and ``__class__`` lies are not reached.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from typing import Any, Final, cast

__all__ = [
    "Fields",
    "bases",
    "class_name",
    "class_of",
    "instance_dict",
    "is_genuine",
    "module_of",
    "name_of",
    "namespace",
    "type_name",
]

class_of: Final[Callable[[object], type]] = type
"""Return a value's class: ``type``, with a result that checkers know. The interpreter is as fast with it."""

bases: Final[Callable[[type], tuple[type, ...]]] = type.__dict__["__mro__"].__get__
"""Return a class and its bases, in method resolution order."""

namespace: Final[Callable[[type], types.MappingProxyType[str, Any]]] = type.__dict__["__dict__"].__get__
"""Return what a class itself defines."""

_module: Final[Callable[[type], object]] = type.__dict__["__module__"].__get__
name_of: Final[Callable[[type], str]] = type.__dict__["__qualname__"].__get__
"""Return the qualified name of a class."""

_module_dict: Final[Callable[[types.ModuleType], dict[str, object]]] = vars(types.ModuleType)["__dict__"].__get__

_MAX_NAME: Final = 200


def module_of(cls: type) -> str:
    """Return the name of the module that a class says it is from."""
    try:
        module = _module(cls)
    except AttributeError:  # a class may have deleted it
        return "?"
    return module if type(module) is str else "?"


def type_name(cls: type) -> str:
    """Return ``module.Class``, or the bare name of a builtin; at most 200 characters."""
    module = module_of(cls)
    name = name_of(cls)
    return (name if module == "builtins" else f"{module}.{name}")[:_MAX_NAME]


def class_name(value: object) -> str:
    """Return the :func:`type_name` of a value's class."""
    return type_name(type(value))


def is_genuine(cls: type) -> bool:
    """Return whether a class is what its imported module has under the class's name."""
    module = sys.modules.get(module_of(cls))
    return type(module) is types.ModuleType and _module_dict(module).get(name_of(cls)) is cls


def _dict_slot(cls: type) -> Callable[[object], object] | None:
    for base in bases(cls):
        slot = namespace(base).get("__dict__")
        if type(slot) is types.GetSetDescriptorType:
            return slot.__get__
    return None


def instance_dict(value: object) -> dict[object, object]:
    """Return a copy of the instance's ``__dict__``, empty if it has none."""
    slot = _dict_slot(type(value))
    return {} if slot is None else _copy(slot(value))


def _copy(held: object) -> dict[object, object]:
    """Return a copy of a dict, empty for anything else; one call into C, whatever other threads do to it."""
    return cast("dict[object, object]", held).copy() if type(held) is dict else {}


class Fields:
    """Read the public fields of the instances of one class, ``__slots__`` first; a leading underscore means private.

    Covers plain objects, dataclasses, attrs, msgspec Structs and pydantic models (with their extra fields) alike.
    """

    __slots__ = ("_dict", "_extra", "_slots", "_type")

    def __init__(self, cls: type) -> None:
        self._type = type_name(cls)
        self._dict = _dict_slot(cls)
        self._extra: Callable[[object], object] | None = None
        self._slots: dict[str, Callable[[object], object]] = {}
        for base in reversed(bases(cls)):
            if "__slots__" in namespace(base):
                self._add_slots(namespace(base))

    def _add_slots(self, defined: types.MappingProxyType[str, Any]) -> None:
        slots = {name: slot.__get__ for name, slot in defined.items() if type(slot) is types.MemberDescriptorType}
        self._extra = slots.pop("__pydantic_extra__", self._extra)
        order = defined["__slots__"]
        names = [name for name in order if name in slots] if type(order) in {tuple, list} else list(slots)
        self._slots.update({name: slots[name] for name in names if name[:1] != "_"})

    def __call__(self, value: object, most: int) -> tuple[list[tuple[object, object]], int]:
        """Return ``$type`` and up to ``most`` fields as pairs, and how many there are."""
        pairs: list[tuple[object, object]] = [("$type", self._type)]
        if self._slots:
            pairs += self._from_slots(value)
        for get in (self._dict, self._extra):
            if get is not None:
                pairs += [(k, v) for k, v in _copy(get(value)).items() if type(k) is str and k[:1] != "_"]
        return pairs[: most + 1], len(pairs)

    def _from_slots(self, value: object) -> Iterator[tuple[str, object]]:
        for name, get in self._slots.items():
            try:
                yield name, get(value)
            except AttributeError:  # never set
                continue
