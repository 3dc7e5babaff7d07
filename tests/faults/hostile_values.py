"""Values of every kind that a program passes around, and classes that punish whoever touches them.

Each method of a hostile class notes that it was called in ``CALLED`` and then does its worst: raises, recurses or
sleeps. A capture that keeps its word leaves ``CALLED`` empty.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import io
import random
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any
from unittest import mock

import msgspec

__all__ = ["CALLED", "HOSTILE", "nested_value"]

CALLED: list[str] = []


def _punish(name: str) -> Callable[..., Any]:
    def method(*_: Any, **__: Any) -> Any:
        CALLED.append(name)
        time.sleep(0.05)
        raise RuntimeError(name)

    return method


_PUNISHED = [
    "__repr__", "__str__", "__len__", "__iter__", "__getitem__", "__bool__", "__contains__", "__next__",
    "__call__", "__eq__", "__ne__", "__lt__", "__format__", "__int__", "__float__", "__index__", "__complex__",
    "__bytes__", "__fspath__", "__reduce__", "__reduce_ex__", "__getstate__", "__copy__", "__deepcopy__",
    "__dir__", "__sizeof__", "__enter__", "__await__", "__aiter__", "__anext__", "__length_hint__", "__getattr__",
    "__reversed__", "keys", "items", "values", "get", "copy", "dict", "json", "model_dump", "__json__", "to_dict",
    "isoformat", "tolist", "__array__", "_asdict", "__rich_repr__",
]  # fmt: skip


def _hostile(name: str, bases: tuple[type, ...], **members: Any) -> type:
    """Return a class whose every method punishes, which can still be a key."""
    body: dict[str, Any] = {method: _punish(f"{name}.{method}") for method in _PUNISHED}
    body["shown"] = property(_punish(f"{name}.shown"))
    return type(name, bases, {**body, "__hash__": object.__hash__, **members})


class _Meta(type):
    """A metaclass that punishes whoever asks the class anything."""

    def __getattribute__(cls, name: str) -> Any:
        CALLED.append(f"meta.{name}")
        raise RuntimeError(name)

    def __instancecheck__(cls, _: object) -> bool:
        CALLED.append("meta.__instancecheck__")
        return True


class _Liar:
    """An object that lies about its class and its dict."""

    def __init__(self) -> None:
        object.__setattr__(self, "held", 1)

    @property
    def __class__(self) -> Any:  # the lie
        CALLED.append("liar.__class__")
        return str

    @__class__.setter
    def __class__(self, _: Any) -> None:
        raise AssertionError("set")

    @property
    def __dict__(self) -> Any:
        CALLED.append("liar.__dict__")
        return {"lie": 1}

    def __getattribute__(self, name: str) -> Any:
        CALLED.append(f"liar.{name}")
        raise RuntimeError(name)


class _Slotted:
    __slots__ = ("_hidden", "a", "never_set")

    def __init__(self) -> None:
        self.a = 1


@dataclasses.dataclass
class _Data:
    a: int = 1
    b: list[int] = dataclasses.field(default_factory=lambda: [1])


class _Record(msgspec.Struct):
    a: int = 1
    b: str = "x"


class _Plain:
    def __init__(self) -> None:
        self.shown = [1, {"a": 2}]
        self._hidden = "canary"


class _Kind(enum.Enum):
    ONE = 1
    MANY = (1, 2)


async def _coroutine() -> None:
    """Never be awaited."""


def _closed_coroutine() -> Any:
    coroutine = _coroutine()
    coroutine.close()
    return coroutine


def _cyclic(draw: random.Random) -> Any:
    box: dict[Any, Any] = {}
    for number in range(draw.randint(1, 10)):
        box[number] = [box, (box,)]
    return box


def _shared(draw: random.Random) -> Any:
    value: list[Any] = []
    for _ in range(draw.randint(10, 60)):
        value = [value, value]
    return value


def _deep(draw: random.Random) -> Any:
    value: Any = "bottom"
    for _ in range(draw.randint(10, 3_000)):
        value = draw.choice([[value], {"k": value}, (value,)])
    return value


_OBJECT = _hostile("HostileObject", ())
_DICT = _hostile("HostileDict", (dict,))
_LIST = _hostile("HostileList", (list,))
_TUPLE = _hostile("HostileTuple", (tuple,))
_STR = _hostile("HostileStr", (str,))
_INT = _hostile("HostileInt", (int,))
_FLOAT = _hostile("HostileFloat", (float,))
_BYTES = _hostile("HostileBytes", (bytes,))
_DATETIME = _hostile("HostileDatetime", (dt.datetime,))
_DECIMAL = _hostile("HostileDecimal", (decimal.Decimal,))
_ERROR = _hostile("HostileError", (Exception,))
_WITH_META = _Meta("WithMeta", (), {})

HOSTILE: list[Callable[[], Any]] = [
    _OBJECT,
    lambda: _DICT(a=1, b=[2]),
    lambda: _LIST([1, 2]),
    lambda: _TUPLE((1, 2)),
    lambda: _STR("hostile"),
    lambda: _INT(7),
    lambda: _FLOAT(1.5),
    lambda: _BYTES(b"ab"),
    lambda: _DATETIME(2024, 1, 2),
    lambda: _DECIMAL("1.5"),
    lambda: _ERROR("message"),
    lambda: _OBJECT,
    lambda: _WITH_META,
    lambda: type.__call__(_WITH_META),
    _Liar,
]

_SCALARS: list[Callable[[random.Random], Any]] = [
    lambda draw: None,
    lambda draw: draw.random() < 0.5,
    lambda draw: draw.randint(-(10**6), 10**6),
    lambda draw: draw.randint(-(2**70), 2**70),
    lambda draw: 1 << draw.randint(0, 100_000),
    lambda draw: draw.random() * 10 ** draw.randint(-300, 300),
    lambda draw: draw.choice([float("nan"), float("inf"), float("-inf"), -0.0]),
    lambda draw: "".join(draw.choices('aé漢😀\x00\n"\\\ud800\udfff', k=draw.randint(0, 60))),
    lambda draw: draw.choice("x\x01é") * draw.choice([1, 100, 10_000, 1_000_000]),
    lambda draw: draw.randbytes(draw.choice([0, 10, 1_000, 200_000])),
    lambda draw: bytearray(5),
    lambda draw: memoryview(b"abc" * 10)[:: draw.choice([1, 2])],
    lambda draw: decimal.Decimal(draw.choice(["1.5", "NaN", "1E+999999", "-Infinity"])),
    lambda draw: dt.datetime.fromtimestamp(draw.randint(0, 2**31), dt.UTC),
    lambda draw: dt.timedelta(seconds=draw.uniform(-1e6, 1e6)),
    lambda draw: uuid.UUID(int=draw.getrandbits(128)),
    lambda draw: draw.choice(list(_Kind)),
    lambda draw: complex(1, draw.random()),
]

_OBJECTS: list[Callable[[random.Random], Any]] = [
    lambda draw: _Slotted(),
    lambda draw: _Data(b=[draw.randint(0, 9)] * draw.randint(0, 50)),
    lambda draw: _Record(),
    lambda draw: _Plain(),
    lambda draw: (x for x in (1, 2)),
    lambda draw: _closed_coroutine(),
    lambda draw: iter([1, 2]),
    lambda draw: io.StringIO("text"),
    lambda draw: threading.Lock(),
    lambda draw: asyncio.Event(),
    lambda draw: mock.Mock(name="m", a=1),
    lambda draw: mock.MagicMock(),
    lambda draw: ValueError("x", {"a": 1}),
    lambda draw: len,
    lambda draw: _Plain,
    lambda draw: range(draw.randint(0, 10**9)),
    lambda draw: msgspec.Raw(draw.choice([b"{}", b"[1", b"", b'"\\ud800"'])),
    lambda draw: draw.choice(HOSTILE)(),
    _cyclic,
    _shared,
    _deep,
]

_KEYS: list[Callable[[random.Random], Any]] = [
    lambda draw: f"k{draw.randint(0, 5)}",
    lambda draw: draw.randint(0, 5),
    lambda draw: draw.choice([None, True, 2.5, "\ud800", b"b", (1, "x"), _Kind.ONE, float("nan"), "k" * 5_000]),
    lambda draw: draw.choice([_OBJECT, _STR, _INT, _TUPLE])(),
]


def nested_value(draw: random.Random, depth: int = 4) -> Any:
    """Return a value of any kind, nested up to ``depth``."""
    if depth == 0 or draw.random() < 0.3:
        return draw.choice(_SCALARS if draw.random() < 0.7 else _OBJECTS)(draw)
    count = draw.choice([0, 1, 2, 3, 4] if depth > 1 else [0, 1, 5, 40])
    items = [nested_value(draw, depth - 1) for _ in range(count)]
    makers: list[Callable[[], Any]] = [
        lambda: {draw.choice(_KEYS)(draw): item for item in items},
        lambda: tuple(items),
        lambda: collections.deque(items),
        lambda: {uuid.UUID(int=draw.getrandbits(128)) for _ in items},
        lambda: [draw.random()] * draw.choice([1, 40, 20_000]),
        lambda: items * draw.choice([1, 1, 2]),
    ]
    return draw.choice(makers)()
