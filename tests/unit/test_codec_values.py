"""How values of Python's own types and of well-known libraries are written."""

from __future__ import annotations

import array
import base64
import collections
import datetime as dt
import decimal
import enum
import functools
import json
import pathlib
import re
import sys
import threading
import types
import uuid
import zoneinfo
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracecore.codec import Limits, encoded, snapshot, unencodables

NOON = dt.datetime(2024, 5, 17, 12, 0, 0, 250, tzinfo=dt.UTC)
AN_ID = uuid.UUID("12345678-1234-5678-1234-567812345678")


class Colour(enum.Enum):
    """An enumeration whose values are no scalars either."""

    RED = "red"
    MIX = ("red", "blue")


class Text(str):
    """A str that would lie about itself."""

    __slots__ = ()

    def __len__(self) -> int:
        raise AssertionError("asked for its length")

    def __getitem__(self, index: Any) -> str:
        raise AssertionError("asked for a piece")

    def __str__(self) -> str:
        raise AssertionError("asked for itself")


class Point(NamedTuple):
    """A tuple with names."""

    x: int
    y: int


def written(value: object) -> Any:
    """Return what a reader of the JSON sees, however busy the machine is."""
    return json.loads(encoded(value, Limits(max_time_ns=10**18)))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (2**63 - 1, 2**63 - 1),
        (2**64 - 1, 2**64 - 1),
        (2**64, str(2**64)),
        (-(2**63) - 1, str(-(2**63) - 1)),
        (2**5_000, {"$int": {"bits": 5_001}}),
        (float("nan"), "NaN"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
        (-0.0, -0.0),
        (1e300, 1e300),
        (3 + 4j, "(3+4j)"),
        ("\x00\x1f\u2028", "\x00\x1f\u2028"),
        (b"abc", {"$bytes": {"base64": "YWJj", "length": 3}}),
        (bytearray(b"abc"), {"$bytes": {"base64": "YWJj", "length": 3}}),
        (memoryview(b"abcd")[1:3], {"$bytes": {"base64": "YmM=", "length": 2}}),
        (memoryview(b"abcd")[::2], {"$bytes": {"base64": "", "length": 2}}),
        (memoryview(b""), {"$bytes": {"base64": "", "length": 0}}),
        (decimal.Decimal("1.50"), "1.50"),
        (decimal.Decimal("NaN"), "NaN"),
        (NOON, "2024-05-17T12:00:00.000250Z"),
        (NOON.replace(tzinfo=None), "2024-05-17T12:00:00.000250"),
        (NOON.replace(tzinfo=zoneinfo.ZoneInfo("UTC")), "2024-05-17T12:00:00.000250Z"),
        (NOON.date(), "2024-05-17"),
        (NOON.time(), "12:00:00.000250"),
        (dt.timedelta(days=1, seconds=1), "P1DT1S"),
        (AN_ID, str(AN_ID)),
        (pathlib.PurePosixPath("/a/b"), "/a/b"),
        (Colour.RED, "red"),
        (Colour.MIX, ["red", "blue"]),
        (re.RegexFlag.I, 2),
        ({"b", "a", "c"}, ["a", "b", "c"]),
        (frozenset({3, 1}), [1, 3]),
        (Point(1, 2), [1, 2]),
        (collections.deque([1, "x"]), [1, "x"]),
        ({"a": 1}.keys(), ["a"]),
        ({"a": 1}.values(), [1]),
        ({"a": 1}.items(), [["a", 1]]),
        (collections.OrderedDict(a=1), {"a": 1}),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        (collections.defaultdict(list, a=[1]), {"a": [1]}),
        (range(2, 8, 3), {"$type": "range", "start": 2, "stop": 8, "step": 3}),
        (len, {"$type": "function", "name": "builtins.len"}),
        (written, {"$type": "function", "name": f"{__name__}.written"}),
        (Point, {"$type": "type", "name": f"{__name__}.Point"}),
        (json, {"$type": "module", "name": "json"}),
        (ValueError("no", 7), {"$type": "ValueError", "args": ["no", 7]}),
        (array.array("d", [1.5]), {"$array": {"type": "array.array", "dtype": "d", "shape": [1], "data": [1.5]}}),
        (msgspec.Raw(b'{"a":[1]}'), {"a": [1]}),
        (threading.Lock(), {"$type": "_thread.lock"}),
        ((x for x in ()), {"$type": "generator"}),
        (iter([1]), {"$type": "list_iterator"}),
        (object(), {"$type": "object"}),
    ],
)
def test_value(value: object, expected: object) -> None:
    """Each kind of value has one form, which any reader of JSON understands."""
    assert written(value) == expected
    assert written({"inside": [value]}) == {"inside": [expected]}
    assert msgspec.json.decode(encoded(value)) == expected


def test_methods_and_partials_name_their_function() -> None:
    """What is called is named, with the arguments that are already bound."""
    assert written("x".join) == {"$type": "function", "name": "str.join"}
    assert written(threading.Event().set) == {"$type": "function", "name": "threading.Event.set"}
    partial = written(functools.partial(written, 1, key="v"))
    assert partial["func"] == {"$type": "function", "name": f"{__name__}.written"}
    assert partial["args"] == [1]
    assert partial["keywords"] == {"key": "v"}


@given(st.text(st.characters(codec=None)))
def test_any_text_comes_back(text: str) -> None:
    """A string is written as itself or, if UTF-8 cannot hold it, with escapes from which it can be had back."""
    found = written(text)
    if isinstance(found, dict):
        escaped: str = found["$escaped"]
        unescaped = re.sub(r"\\(\\|u[0-9a-f]{4})", lambda m: "\\" if m[1] == "\\" else chr(int(m[1][1:], 16)), escaped)
        assert unescaped == text
    else:
        assert found == text


def test_a_string_is_not_asked_about_itself() -> None:
    """A subclass of str is read with the methods of str, as a value and as a key."""
    assert written([Text("text"), {Text("k"): Text("x" * 100_000)}])[0] == "text"
    assert written({Text("k"): 1}) == {"k": 1}


@given(st.binary(max_size=2_000))
def test_any_bytes_come_back(data: bytes) -> None:
    """Bytes that are not too long are written whole."""
    assert base64.b64decode(written(data)["$bytes"]["base64"]) == data


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({1: "a", None: "b", True and 2.5: "c", False: "d"}, {"1": "a", "null": "b", "2.5": "c", "false": "d"}),
        ({1: "a", "1": "b"}, {"1": "a", "1 (2)": "b"}),
        ({"1": "a", 1: "b", "1 (2)": "c"}, {"1": "a", "1 (2)": "b", "1 (2) (2)": "c"}),
        ({(0, 1): "a", (1, "x"): "b"}, {"[0,1]": "a", '[1,"x"]': "b"}),
        ({AN_ID: 1, NOON.date(): 2, Colour.RED: 3}, {str(AN_ID): 1, "2024-05-17": 2, "red": 3}),
        ({Point: 1, b"k": 2, len: 3}, {f"<{__name__}.Point>": 1, "<bytes>": 2, "<dict>": 3}),
        ({"\ud800": 1, "\\ud800": 2}, {"\\ud800": 1, "\\ud800 (2)": 2}),
    ],
)
def test_keys(value: object, expected: object) -> None:
    """A key that is no string becomes visible text, and two keys that become the same text both stay."""
    assert written(value) == expected


def test_a_long_key_is_cut() -> None:
    """A key has no room for megabytes: its beginning and its length are kept."""
    name, other = written({"k" * 10_000_000: 1, "k" * 9_999_999: 2})
    assert name.startswith("kkk")
    assert name.endswith("… (10000000 characters)")
    assert other.endswith("… (9999999 characters)")
    assert len(name) < 300


def test_time_zones_of_the_program_are_not_asked() -> None:
    """A tzinfo class of the program could do anything, so it is named, not called."""

    class Zone(dt.tzinfo):
        def utcoffset(self, _: Any) -> dt.timedelta:
            raise AssertionError("asked for its offset")

    found = written([NOON.replace(tzinfo=Zone()), NOON.time().replace(tzinfo=Zone())])
    assert found[0].startswith("2024-05-17T12:00:00.000250 ")
    assert found[1].startswith("12:00:00.000250 ")
    assert found[0].endswith("Zone")


def test_invalid_raw_is_marked() -> None:
    """Only what is JSON is spliced."""
    before = unencodables.total()
    assert written(msgspec.Raw(b'{"a":')) == {"$unencodable": {"type": "msgspec.Raw", "reason": "msgspec.DecodeError"}}
    assert unencodables.total() == before + 1


def test_nothing_is_consumed() -> None:
    """A generator, an iterator and a file are as they were after a snapshot."""

    def numbers() -> Iterator[int]:
        yield 1
        yield 2

    generator, iterator = numbers(), iter([1, 2])
    snapshot([generator, iterator])
    assert list(generator) == list(iterator) == [1, 2]


def test_payloads_are_the_same_in_every_process() -> None:
    """Sets of strings are sorted: their own order depends on a per-process secret."""
    words = {f"w{number}" for number in range(50)}
    assert written(words) == sorted(words)


# -- libraries ---------------------------------------------------------------------------------------------------------


def test_numpy() -> None:
    """An array says its type, shape and first elements; a numpy scalar is its Python scalar."""
    numpy = pytest.importorskip("numpy")
    square = {"type": "numpy.ndarray", "dtype": "int64", "shape": [2, 2], "data": [0, 1, 2, 3]}
    assert written(numpy.arange(4).reshape(2, 2)) == {"$array": square}
    assert written([numpy.float64(1.5), numpy.int8(3), numpy.bool_(1), numpy.str_("s")]) == [1.5, 3, True, "s"]
    large = written(numpy.zeros((1_000, 1_000)))["$array"]
    assert large["shape"] == [1_000, 1_000]
    assert len(large["data"]) + large["omitted"] == 1_000_000
    assert written(numpy.array([1, float("nan")]))["$array"]["data"] == [1.0, "NaN"]
    assert written(numpy.array([object()]))["$array"]["data"] == [{"$type": "object"}]
    assert written(numpy.longdouble(1))["$type"].startswith("numpy.")


def test_pandas() -> None:
    """A frame says its shape, columns and first rows; a series is an array; missing values are null."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": range(100), "b": ["x"] * 100})
    table = written(frame)["$table"]
    assert table["type"] == "pandas.DataFrame"
    assert table["shape"] == [100, 2]
    assert table["columns"] == ["a", "b"]
    assert table["rows"][:2] == [[0, "x"], [1, "x"]]
    assert len(table["rows"]) == 20
    assert written(pandas.Series([1.5, 2.5]))["$array"]["data"] == [1.5, 2.5]
    assert written([pandas.NaT, pandas.NA]) == [None, None]
    assert written(pandas.Timestamp(NOON)) == "2024-05-17T12:00:00.000250Z"

    class Mine(pandas.DataFrame):  # type: ignore[misc,name-defined] # known at run time only
        @property
        def iloc(self) -> Any:
            raise AssertionError("asked for rows")

    assert set(written(Mine({"a": [1]}))["$table"]) == {"type", "shape"}


def test_pydantic() -> None:
    """A model shows its fields and extra fields, not its private ones; nothing of it is called."""
    pydantic = pytest.importorskip("pydantic")

    class Model(pydantic.BaseModel):  # type: ignore[misc,name-defined] # known at run time only
        model_config = pydantic.ConfigDict(extra="allow")
        x: int
        _secret: int = pydantic.PrivateAttr(default=1)

        @property
        def expensive(self) -> int:
            raise AssertionError("asked for a property")

    shown = written(Model(x=1, y=[2]))
    assert shown == {"$type": f"{__name__}.{Model.__qualname__}", "x": 1, "y": [2]}


def fake_library(monkeypatch: pytest.MonkeyPatch, module: str, name: str, **members: object) -> Any:
    """Register a class under the name of a library that is not installed."""
    cls = type(name, (), {"__module__": module, "__slots__": ("held", "__dict__"), **members})
    found = types.ModuleType(module)
    setattr(found, name, cls)
    monkeypatch.setitem(sys.modules, module, found)
    return cls


def test_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tensor on another device is not copied to this one."""

    def tensor_members(device: str) -> dict[str, object]:
        return {
            "shape": property(lambda self: (2, 3)),
            "dtype": property(lambda self: "torch.float32"),
            "device": property(lambda self: device),
            "detach": lambda self: self,
            "flatten": lambda self: [0.5] * 6,
            "tolist": list,
        }

    here = fake_library(monkeypatch, "torch", "Tensor", **tensor_members("cpu"))
    shown = {"type": "torch.Tensor", "dtype": "torch.float32", "shape": [2, 3], "data": [0.5] * 6}
    assert written(here()) == {"$array": shown}
    there = fake_library(monkeypatch, "torch", "Tensor", **tensor_members("cuda:0"))
    assert written(there()) == {"$array": {**shown, "data": [], "omitted": 6}}


def test_requests_show_no_credentials() -> None:
    """A web request shows method and path; its headers and body stay where they are."""
    requests = pytest.importorskip("starlette.requests")
    scope = {"type": "http", "method": "GET", "path": "/x", "headers": [(b"authorization", b"canary")]}
    shown = {"$type": "starlette.requests.Request", "type": "http", "method": "GET", "path": "/x"}
    assert written(requests.Request(scope)) == shown


def test_an_impostor_is_an_object() -> None:
    """A class that calls itself numpy.ndarray is read like any other: by its fields."""
    impostor = type("ndarray", (), {"__module__": "numpy", "view": lambda *_: 1 / 0})()
    impostor.x = 1
    assert written(impostor) == {"$type": "numpy.ndarray", "x": 1}
