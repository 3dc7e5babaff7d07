"""How values of well-known libraries are read: recognised by name, verified by identity, never imported.

Each reader is an ``alias``: it returns plain Python in place of the value. It may call the library's own code, always
that of the library's class and never of a subclass; it reads a bounded head and moves nothing between devices.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

from tracecore.builtin_types import Reader
from tracecore.introspection import instance_dict, is_genuine, module_of, type_name

__all__ = ["foreign_type"]

_MAX_ROWS: Final = 20
_MAX_COLUMNS: Final = 100


def foreign_type(cls: type) -> Reader | None:
    """Return how a class of a known library is read, or None if it is none of those."""
    find = _READERS.get((module_of(cls).partition(".")[0], cls.__qualname__ if type(cls) is type else _name(cls)))
    return ("alias", find(cls)) if find is not None and is_genuine(cls) else None


def _name(cls: type) -> str:
    return type_name(cls).rpartition(".")[2]


def _described(value: object, cls_name: str, *, dtype: object, shape: Any, data: list[object]) -> dict[str, object]:
    total = 1
    for length in shape:
        total *= int(length)
    described: dict[str, object] = {"type": cls_name, "dtype": str(dtype), "shape": [int(n) for n in shape], "data": data}
    return {"$array": described if len(data) >= total else described | {"omitted": total - len(data)}}


def _numpy_array(cls: Any) -> Callable[[Any, int], object]:
    def read(value: Any, most: int) -> object:
        plain = cls.view(value, cls)
        data = plain.flat[:most].tolist()
        return _described(value, type_name(type(value)), dtype=plain.dtype, shape=plain.shape, data=data)

    return read


def _numpy_scalar(cls: Any) -> Callable[[Any, int], object]:
    def read(value: Any, _: int) -> object:
        item = cls.item(value)
        return item if not isinstance(item, cls) else {"$type": type_name(type(value)), "text": str(item)}

    return read


def _torch_tensor(cls: Any) -> Callable[[Any, int], object]:
    def read(value: Any, most: int) -> object:
        shape, on_cpu = tuple(cls.shape.__get__(value)), str(cls.device.__get__(value)) == "cpu"
        data = cls.tolist(cls.flatten(cls.detach(value))[:most]) if on_cpu else []
        return _described(value, type_name(type(value)), dtype=cls.dtype.__get__(value), shape=shape, data=data)

    return read


def _pandas_series(cls: Any) -> Callable[[Any, int], object]:
    def read(value: Any, most: int) -> object:
        shape, dtype = cls.shape.fget(value), cls.dtype.fget(value)
        data = cls.iloc.fget(value)[:most].tolist()
        return _described(value, type_name(type(value)), dtype=dtype, shape=shape, data=data)

    return read


def _pandas_frame(cls: Any) -> Callable[[Any, int], object]:
    def read(value: Any, _: int) -> object:
        head = cls.iloc.fget(value)[:_MAX_ROWS, :_MAX_COLUMNS]
        split = cls.to_dict(head, orient="split", index=False)
        shape = list(cls.shape.fget(value))
        return {"$table": {"type": type_name(type(value)), "shape": shape, "columns": split["columns"], "rows": split["data"]}}

    return read


def _pandas_missing(_: Any) -> Callable[[Any, int], object]:
    return lambda value, most: None


def _starlette_connection(_: Any) -> Callable[[Any, int], object]:
    """Name the request; its headers carry credentials and its body is a stream that only the program may consume."""

    def read(value: Any, _: int) -> object:
        scope = instance_dict(value).get("scope")
        named = ("type", "method", "path", "path_params")
        picked = {key: scope[key] for key in named if key in scope} if type(scope) is dict else {}
        return {"$type": type_name(type(value)), **picked}

    return read


_READERS: Final[dict[tuple[str, str], Callable[[Any], Callable[[Any, int], object]]]] = {
    ("numpy", "ndarray"): _numpy_array,
    ("numpy", "generic"): _numpy_scalar,
    ("torch", "Tensor"): _torch_tensor,
    ("pandas", "Series"): _pandas_series,
    ("pandas", "DataFrame"): _pandas_frame,
    ("pandas", "NaTType"): _pandas_missing,
    ("pandas", "NAType"): _pandas_missing,
    ("starlette", "HTTPConnection"): _starlette_connection,
}
