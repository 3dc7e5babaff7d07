"""How values of Python's own types are read: the table from class to reader.

A reader is a pair of kind and function:

``leaf``     ``read(value, most)`` returns JSON of about ``most`` characters;
``array``    ``read(value, most)`` returns up to ``most`` elements, and how many there are;
``set``      the same for elements without order;
``object``   ``read(value, most)`` returns up to ``most`` (key, value) pairs, and how many there are;
``alias``    ``read(value, most)`` returns another value to be read in its place.

A reader is used for subclasses too, so each calls the C methods of its own class and none of the value's: a subclass
may override them in Python. Generators, iterators, files and locks have no reader here: nothing consumes them.
"""

from __future__ import annotations

import array
import collections
import datetime as dt
import decimal
import enum
import functools
import pathlib
import types
import uuid
from collections.abc import Callable
from itertools import islice
from typing import Any, Final, Literal, TypeAlias, cast

import msgspec

from tracecore.introspection import class_name, instance_dict, module_of, type_name
from tracecore.markers import encode, encode_bytes, encode_float, encode_int, encode_text, quote

__all__ = ["BUILTIN_TYPES", "Kind", "Reader"]

Kind: TypeAlias = Literal["leaf", "array", "set", "object", "alias"]
Reader: TypeAlias = tuple[Kind, Callable[[Any, int], Any]]

_TRUSTED_ZONES: Final = frozenset({"datetime", "zoneinfo", "pytz", "dateutil"})
"""Packages whose time zones are asked for their offset; those of a program might run anything."""


def _elements(cls: Any, kind: Kind = "array") -> Reader:
    """Read a collection through the methods of ``cls``, one of Python's own classes."""

    def read(value: Any, most: int) -> tuple[list[object], int]:
        return list(islice(cls.__iter__(value), most)), cls.__len__(value)

    return kind, read


def _read_dict(value: Any, most: int) -> tuple[list[tuple[object, object]], int]:
    plain = cast("type[dict[object, object]]", dict)
    return list(islice(plain.items(value), most)), plain.__len__(value)


def _read_bytes(cls: Any) -> Reader:
    def read(value: Any, most: int) -> bytes:
        def piece(start: int, end: int) -> bytes:
            return bytes(cls.__getitem__(value, slice(start, end)))

        return encode_bytes(piece, cls.__len__(value), most)

    return "leaf", read


def _read_memory(value: memoryview, most: int) -> bytes:
    if not value.c_contiguous:  # cannot be cut without copying all of it
        return encode({"$bytes": {"base64": "", "length": value.nbytes}})
    flat = value.cast("B") if value.nbytes else value
    return encode_bytes(lambda start, end: flat[start:end].tobytes(), value.nbytes, most)


def _parts(cls: type, names: str, value: object) -> list[Any]:
    return [cls.__dict__[name].__get__(value) for name in names.split()]


def _is_trusted(zone: object) -> bool:
    return zone is None or module_of(type(zone)).partition(".")[0] in _TRUSTED_ZONES


def _read_moment(value: dt.datetime, most: int) -> bytes:
    date = dt.date(*_parts(dt.date, "year month day", value))
    *time, zone, fold = _parts(dt.datetime, "hour minute second microsecond tzinfo fold", value)
    naive = dt.datetime.combine(date, dt.time(*time, fold=fold))
    if _is_trusted(zone):
        return encode(naive.replace(tzinfo=zone))
    return encode_text(f"{naive.isoformat()} {class_name(zone)}", most)


def _read_time(value: dt.time, most: int) -> bytes:
    *time, zone = _parts(dt.time, "hour minute second microsecond tzinfo", value)
    if _is_trusted(zone):
        return encode_text(dt.time(*time).replace(tzinfo=zone).isoformat(), most)
    return encode_text(f"{dt.time(*time).isoformat()} {class_name(zone)}", most)


def _read_date(value: dt.date, _: int) -> bytes:
    return encode(dt.date(*_parts(dt.date, "year month day", value)))


def _read_duration(value: dt.timedelta, _: int) -> bytes:
    return encode(dt.timedelta(*_parts(dt.timedelta, "days seconds microseconds", value)))


def _read_raw(value: msgspec.Raw, most: int) -> bytes:
    """Splice JSON that is already encoded, if it is JSON and fits."""
    data = memoryview(value)
    if data.nbytes > most:
        return encode_text(data[: 4 * most].tobytes().decode("utf-8", "replace"), most)
    msgspec.json.decode(data)
    return data.tobytes()


def _read_uuid(value: uuid.UUID, _: int) -> bytes:
    return encode(uuid.UUID(int=uuid.UUID.__dict__["int"].__get__(value)))


def _read_path(value: pathlib.PurePath, most: int) -> bytes:
    """Return the path's text; a class of the program might make it from anything."""
    known = module_of(type(value)).partition(".")[0] == "pathlib"
    return encode_text(str(value), most) if known else encode({"$type": class_name(value)})


def _read_exception(value: BaseException, _: int) -> dict[object, object]:
    """Describe an exception that is a value; ``str`` of it would run code of its class."""
    fields: dict[object, object] = {k: v for k, v in instance_dict(value).items() if type(k) is str and k[:1] != "_"}
    return {"$type": class_name(value), "args": BaseException.__dict__["args"].__get__(value), **fields}


def _read_method(value: types.MethodType, _: int) -> object:
    return value.__func__


def _read_partial(value: functools.partial[object], _: int) -> object:
    cls = functools.partial.__dict__
    func, args, keywords = (cls[name].__get__(value) for name in ("func", "args", "keywords"))
    return {"$type": "functools.partial", "func": func, "args": args, "keywords": keywords}


def _callable(cls: type) -> Reader:
    """Read a function as its qualified name."""

    def read(value: object, _: int) -> dict[str, object]:
        module, name = (cls.__dict__[part].__get__(value) for part in ("__module__", "__qualname__"))
        return {"$type": "function", "name": f"{module}.{name}" if type(module) is str else name}

    return "alias", read


def _read_class(value: type, _: int) -> dict[str, object]:
    return {"$type": "type", "name": type_name(value)}


def _read_module(value: types.ModuleType, _: int) -> dict[str, object]:
    return {"$type": "module", "name": vars(types.ModuleType)["__dict__"].__get__(value).get("__name__")}


def _read_range(value: range, _: int) -> dict[str, object]:
    return {"$type": "range", "start": value.start, "stop": value.stop, "step": value.step}


def _read_numbers(value: Any, most: int) -> dict[str, object]:
    cls: Any = array.array
    total: int = cls.__len__(value)
    data: list[object] = cls.__getitem__(value, slice(most)).tolist()
    described = {"type": class_name(value), "dtype": cls.typecode.__get__(value), "shape": [total], "data": data}
    return {"$array": described if total <= most else described | {"omitted": total - most}}


def _read_str(value: str, most: int) -> bytes:
    return encode_text(value, most)


_NO_ENTRIES: Final[dict[object, object]] = {}
_DICT_VIEWS: Final[tuple[type, ...]] = (
    type(_NO_ENTRIES.keys()),
    type(_NO_ENTRIES.values()),
    type(_NO_ENTRIES.items()),
)

BUILTIN_TYPES: Final[dict[type, Reader]] = {
    type(None): ("leaf", lambda _, __: b"null"),
    bool: ("leaf", lambda value, _: encode(value)),
    int: ("leaf", lambda value, _: encode_int(int.__int__(value))),
    float: ("leaf", lambda value, _: encode_float(float.__float__(value))),
    str: ("leaf", _read_str),
    complex: ("leaf", lambda value, _: quote(complex.__repr__(value))),
    bytes: _read_bytes(bytes),
    bytearray: _read_bytes(bytearray),
    memoryview: ("leaf", _read_memory),
    decimal.Decimal: ("leaf", lambda value, most: encode_text(decimal.Decimal.__str__(value), most)),
    dt.datetime: ("leaf", _read_moment),
    dt.date: ("leaf", _read_date),
    dt.time: ("leaf", _read_time),
    dt.timedelta: ("leaf", _read_duration),
    uuid.UUID: ("leaf", _read_uuid),
    pathlib.PurePath: ("leaf", _read_path),
    msgspec.Raw: ("leaf", _read_raw),
    dict: ("object", _read_dict),
    list: _elements(list),
    tuple: _elements(tuple),
    set: _elements(set, "set"),
    frozenset: _elements(frozenset, "set"),
    collections.deque: _elements(collections.deque),
    **{view: _elements(view) for view in _DICT_VIEWS},
    BaseException: ("alias", _read_exception),
    enum.Enum: ("alias", lambda value, _: instance_dict(value).get("_value_")),
    array.array: ("alias", _read_numbers),
    range: ("alias", _read_range),
    functools.partial: ("alias", _read_partial),
    types.FunctionType: _callable(types.FunctionType),
    types.BuiltinFunctionType: _callable(types.BuiltinFunctionType),
    types.MethodType: ("alias", _read_method),
    types.ModuleType: ("alias", _read_module),
    type: ("alias", _read_class),
}
