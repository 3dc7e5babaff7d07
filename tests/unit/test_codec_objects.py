"""Objects are read by their public fields, without running code of the program."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import sys
import types
from collections.abc import Callable
from typing import Any
from unittest import mock

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracecore.codec import Limits, encoded, unencodables
from tracecore.readings import reading_of

LONG_NAME = "Odd" + "x" * 500


class Plain:
    """An object with public and private fields, and a class attribute that is none of its own."""

    shared = "of the class"

    def __init__(self, **fields: object) -> None:
        self.__dict__.update(fields)
        self._private = "canary"


class Slotted:
    """An object with slots, one of which was never set."""

    __slots__ = ("_private", "a", "b")

    def __init__(self) -> None:
        self.b = 2
        self._private = "canary"


class Derived(Slotted):
    """An object with slots from two classes, and a dict beside them."""

    __slots__ = ("__dict__", "c")

    def __init__(self) -> None:
        super().__init__()
        self.c = 3
        self.d = 4


@dataclasses.dataclass(slots=True)
class Data:
    """A dataclass with slots."""

    a: int
    b: list[str]


class Record(msgspec.Struct):
    """A Struct."""

    a: int
    b: str


def written(value: object) -> Any:
    """Return what a reader of the JSON sees, however busy the machine is."""
    return json.loads(encoded(value, Limits(max_time_ns=10**18)))


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        (Plain(x=1, y=[2]), {"x": 1, "y": [2]}),
        (Plain(), {}),
        (Slotted(), {"b": 2}),
        (Derived(), {"b": 2, "c": 3, "d": 4}),
        (Data(1, ["x"]), {"a": 1, "b": ["x"]}),
        (Record(1, "x"), {"a": 1, "b": "x"}),
        (Plain(inner=Plain(deep=Data(1, []))), {"inner": None}),
    ],
)
def test_fields(value: object, fields: dict[str, object]) -> None:
    """An object shows its class and its public fields; what begins with an underscore stays inside."""
    found = written(value)
    assert found.pop("$type") == f"{__name__}.{type(value).__qualname__}"
    assert found.keys() == fields.keys()
    assert "canary" not in json.dumps(found)
    if "inner" in found:
        assert found["inner"]["deep"] == {"$type": f"{__name__}.Data", "a": 1, "b": []}
    else:
        assert found == fields


def test_attrs() -> None:
    """Classes made by attrs are read like any other, with and without slots."""
    attrs = pytest.importorskip("attrs")
    slotted = attrs.make_class("Slotted", ["a"], slots=True)
    plain = attrs.make_class("Plain", ["a"], slots=False)
    assert written([slotted(1), plain([2])]) == [
        {"$type": f"{slotted.__module__}.Slotted", "a": 1},
        {"$type": f"{plain.__module__}.Plain", "a": [2]},
    ]


def test_lazy_attributes_stay_lazy() -> None:
    """Properties, cached properties and missing attributes are not asked for."""

    class Lazy:
        def __init__(self) -> None:
            self.x = 1

        @functools.cached_property
        def loaded(self) -> int:
            raise AssertionError("loaded")

        def __getattr__(self, name: str) -> int:
            raise AssertionError(name)

    lazy = Lazy()
    assert written(lazy) == {"$type": f"{__name__}.{Lazy.__qualname__}", "x": 1}
    assert vars(lazy) == {"x": 1}


def test_exceptions_as_values() -> None:
    """An exception that is passed around shows its arguments and public fields; its text is not asked for."""

    class Refused(Exception):
        def __str__(self) -> str:
            raise AssertionError("asked for its text")

    error = Refused("why", 3)
    error.code = 7  # type: ignore[attr-defined] # exceptions take fields
    assert written(error) == {"$type": f"{__name__}.{Refused.__qualname__}", "args": ["why", 3], "code": 7}


def test_mocks_and_files() -> None:
    """What has no fields of its own is named."""
    assert written(mock.Mock())["$type"] == "unittest.mock.Mock"
    assert written(io.StringIO("x"))["$type"] == "_io.StringIO"


def test_a_subclass_of_a_container_keeps_its_contents() -> None:
    """A subclass of dict or list is its contents, read with the methods of dict or list."""

    class Loud(dict[str, int]):
        def items(self) -> Any:
            raise AssertionError("asked for its items")

    class Quiet(list[int]):
        def __iter__(self) -> Any:
            raise AssertionError("asked for its elements")

    assert written([Loud(a=1), Quiet([1, 2])]) == [{"a": 1}, [1, 2]]


def without_a_module() -> type:
    """Return a class made where globals have no ``__name__``: it has no module."""
    make: Callable[[], type] = types.FunctionType((lambda: type(LONG_NAME, (), {})).__code__, {"LONG_NAME": LONG_NAME})
    return make()


@pytest.mark.parametrize("odd", [without_a_module(), type(LONG_NAME, (), {"__module__": 7})])
def test_a_class_whose_name_is_odd(odd: type) -> None:
    """A class may have no module, or one that is no text, and a name of any length; it is named all the same."""
    named = written(odd())["$type"]
    assert named == f"?.{LONG_NAME}"[: len(named)]
    assert 100 < len(named) <= 200


def test_odd_slots_cost_only_the_object() -> None:
    """A class whose ``__slots__`` is no list of names is still read."""
    strange: Any = type("Strange", (), {"__slots__": iter(["a"])})
    value = strange()
    value.a = 1
    assert written([value, 2])[1] == 2
    assert written(value)["a"] == 1


def test_a_reader_that_fails_is_marked_and_counted() -> None:
    """A value that cannot be read becomes a marker, is counted, and costs only itself, deep inside too."""
    before = unencodables.total()

    def broken(value: object, most: int) -> Any:
        raise OSError("broken")

    inner = [Plain(a=1)]
    with mock.patch.object(reading_of(Plain), "read", broken), mock.patch.object(reading_of(Plain), "kind", "alias"):
        found = written({"a": inner, "b": [inner, Plain()], "c": 1})
    marker = {"$unencodable": {"type": f"{__name__}.Plain", "reason": "OSError"}}
    assert found == {"a": [marker], "b": [[marker], marker], "c": 1}
    assert unencodables.total() == before + 2


def test_classes_are_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that makes classes all the time does not fill the memory."""
    monkeypatch.setattr("tracecore.readings._MAX_REMEMBERED", 10)
    remembered = sys.modules["tracecore.readings"]._remembered
    for number in range(50):
        encoded(type(f"Made{number}", (), {})())
        assert len(remembered) <= 10


@pytest.mark.parametrize("wrap", [lambda x: [x], lambda x: {"k": x}, lambda x: Plain(x=x), lambda x: (x,)])
def test_cycles(wrap: Callable[[object], object]) -> None:
    """A container inside itself is a cycle, which says how far out it is."""
    box: list[object] = []
    box.append(wrap(wrap(box)))
    assert json.dumps({"$cycle": 3}) in json.dumps(written(box))


def seen(value: Any, levels: int) -> Any:
    """Return what can be seen of a graph of dicts, lists and objects, following references some levels down."""
    if not levels:
        return "further"
    if isinstance(value, dict):
        return {key: seen(item, levels - 1) for key, item in value.items()}
    return [seen(item, levels - 1) for item in value] if isinstance(value, list) else {"$type": "object"}


def unfolded(value: Any, levels: int, around: tuple[Any, ...] = ()) -> Any:
    """Return the same of a payload, following ``$cycle`` through the containers ``around`` it, the nearest last."""
    if isinstance(value, dict) and "$cycle" in value:
        outwards = len(around) - value["$cycle"]
        return unfolded(around[outwards], levels, around[:outwards])
    if not levels:
        return "further"
    if value == {"$type": "object"}:
        return value
    if isinstance(value, dict):
        return {key: unfolded(item, levels - 1, (*around, value)) for key, item in value.items()}
    return [unfolded(item, levels - 1, (*around, value)) for item in value]


def test_what_is_shared_is_no_cycle() -> None:
    """The same object in two places is written in both."""
    shared = Plain(x=[object()])
    found = written([shared, {"again": shared}])
    assert found[0] == found[1]["again"] == {"$type": f"{__name__}.Plain", "x": [{"$type": "object"}]}


def test_a_cycle_is_told_from_where_it_is() -> None:
    """What is written again elsewhere points at its own surroundings, not at those of the first time."""
    outer: dict[str, Any] = {"pad": object()}
    inner = {"up": outer, "pad": object()}
    outer["inner"] = inner
    graph = [outer, [[inner]]]
    found = written(graph)
    assert found[0]["inner"]["up"] == {"$cycle": 2}
    assert unfolded(found, 9) == seen(graph, 9)


@given(st.lists(st.lists(st.integers(0, 3), max_size=3), min_size=4, max_size=4))
def test_a_graph_can_be_read_back(edges: list[list[int]]) -> None:
    """Whatever contains whatever, following the cycles leads to what following the program's objects leads to."""
    nodes: list[list[Any]] = [[object()] for _ in edges]
    for node, targets in zip(nodes, edges, strict=True):
        node += [nodes[target] for target in targets]
    found = json.loads(encoded(nodes, Limits(max_bytes=10**8, max_nodes=10**6, max_time_ns=10**18)))
    assert unfolded(found, 7) == seen(nodes, 7)
