"""How values of well-known libraries are read: recognised by name, verified by identity, never imported.

Each reader is an ``alias``: it returns plain Python in place of the value. It may call the library's own code, but none
that a subclass outside the library overrides; it reads a bounded head and moves nothing between devices.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

from tracecore.builtin_types import Reader
from tracecore.introspection import class_name, instance_dict, is_genuine, module_of, name_of

__all__ = ["foreign_type"]

_Read: TypeAlias = Callable[[Any, int], object]

_SHOWN_OF_REQUEST: Final = ("type", "method", "path", "path_params")
_MAX_ROWS: Final = 20
_MAX_COLUMNS: Final = 100


def foreign_type(cls: type) -> Reader | None:
    """Return how a class of a known library is read, or None if it is none of those."""
    find = _READERS.get((_package(cls), name_of(cls)))
    return ("alias", find(cls)) if find is not None and is_genuine(cls) else None


def _package(cls: type) -> str:
    return module_of(cls).partition(".")[0]


def _is_derived_elsewhere(value: object, cls: type) -> bool:
    """Return whether the value's class is a program's own: slicing it would run what that class overrides."""
    return _package(type(value)) != _package(cls)


def _array(value: object, shape: Iterable[Any], dtype: object, data: list[object]) -> dict[str, object]:
    sizes = [int(length) for length in shape]
    left_out = math.prod(sizes) - len(data)
    described: dict[str, object] = {"type": class_name(value), "dtype": str(dtype), "shape": sizes, "data": data}
    return {"$array": described | {"omitted": left_out} if left_out > 0 else described}


def _numpy_array(cls: Any) -> _Read:
    def read(value: Any, most: int) -> object:
        plain = cls.view(value, cls)
        return _array(value, plain.shape, plain.dtype, plain.flat[:most].tolist())

    return read


def _numpy_scalar(cls: Any) -> _Read:
    def read(value: object, _: int) -> object:
        item = cls.item(value)
        return {"$type": class_name(value)} if isinstance(item, cls) else item

    return read


def _torch_tensor(cls: Any) -> _Read:
    def read(value: Any, most: int) -> object:
        shape, dtype = cls.shape.__get__(value), cls.dtype.__get__(value)
        readable = not _is_derived_elsewhere(value, cls) and str(cls.device.__get__(value)) == "cpu"
        data: list[object] = cls.tolist(cls.flatten(cls.detach(value))[:most]) if readable else []
        return _array(value, shape, dtype, data)

    return read


def _pandas_series(cls: Any) -> _Read:
    def read(value: Any, most: int) -> object:
        shape, dtype = cls.shape.fget(value), cls.dtype.fget(value)
        data: list[object] = [] if _is_derived_elsewhere(value, cls) else cls.iloc.fget(value)[:most].tolist()
        return _array(value, shape, dtype, data)

    return read


def _pandas_frame(cls: Any) -> _Read:
    def read(value: object, _: int) -> object:
        described: dict[str, object] = {"type": class_name(value), "shape": list(cls.shape.fget(value))}
        if not _is_derived_elsewhere(value, cls):
            head = cls.iloc.fget(value)[:_MAX_ROWS, :_MAX_COLUMNS]
            described["columns"] = head.columns.tolist()
            described["rows"] = [list(row) for row in head.itertuples(index=False, name=None)]
        return {"$table": described}

    return read


def _missing(_: Any) -> _Read:
    return lambda _, __: None


def _request(_: Any) -> _Read:
    """Name a web request; its headers carry credentials, and its body is a stream that only the program may consume."""

    def read(value: object, _: int) -> object:
        held = instance_dict(value)
        scope: Any = held.get("scope", held)
        if type(scope) is not dict:
            return {"$type": class_name(value)}
        picked: dict[str, object] = {name: scope[name] for name in _SHOWN_OF_REQUEST if name in scope}
        return {"$type": class_name(value), **picked}

    return read


_READERS: Final[dict[tuple[str, str], Callable[[Any], _Read]]] = {
    ("numpy", "ndarray"): _numpy_array,
    ("numpy", "generic"): _numpy_scalar,
    ("torch", "Tensor"): _torch_tensor,
    ("pandas", "Series"): _pandas_series,
    ("pandas", "DataFrame"): _pandas_frame,
    ("pandas", "NaTType"): _missing,
    ("pandas", "NAType"): _missing,
    ("starlette", "HTTPConnection"): _request,
    ("werkzeug", "Request"): _request,
    ("django", "HttpRequest"): _request,
}
