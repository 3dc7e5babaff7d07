"""The general encoder: walk any object graph once, within budgets, and write JSON as it goes.

Invariants:

* Never raises: what cannot be read becomes a marker (see :mod:`tracecore.markers`), and costs only itself.
* Bounded: each value is charged its bytes and the price of a node; a container takes no more elements than it can still
  pay for, and cuts *before* it copies. Depth is bounded by a count, time by a look at the clock every 64 values.
* A container that is met again on the way down is a cycle. One that is met again elsewhere is written again from the
  first time's bytes, so that a graph with 2**60 paths is walked once.
* Values that follow are not starved by one that comes first: each container keeps a reserve for the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any, Final

from tracecore.builtin_types import BUILTIN_TYPES, Kind
from tracecore.clock import monotonic_ns
from tracecore.foreign_types import foreign_type
from tracecore.introspection import Fields, bases, type_name
from tracecore.markers import Limits, encode, encode_float, encode_int, encode_text, omitted, quote, unencodable

__all__ = ["walk"]

_SPENT_ALL: Final = 1 << 62
_KEEP_FOR_EACH: Final = 256  # bytes kept back for each value that follows
_ALWAYS_WHOLE: Final = 64  # characters of a string that are never cut
_LOOK_EVERY: Final = 64  # values between two looks at the clock
_UNIFORM_FROM: Final = 32  # elements from which a list is tried as plain numbers
_NUMBER_BYTES: Final = 26  # of the longest float or 64-bit integer, and a comma
_MAX_KEY: Final = 1_024
_MAX_CACHED: Final = 2_048
_NO_CYCLE: Final = 1 << 30


class _Reading:
    """Say how values of one class are read, and what the class is called."""

    __slots__ = ("kind", "name", "read")

    def __init__(self, cls: type) -> None:
        self.name = type_name(cls)
        self.kind: Kind = "object"
        self.read: Callable[[Any, int], Any]
        for base in bases(cls):
            reader = BUILTIN_TYPES.get(base) or foreign_type(base)
            if reader is not None:
                self.kind, self.read = reader
                return
        self.read = Fields(cls)


_readings: dict[type, _Reading] = {}


def _reading_of(cls: type) -> _Reading:
    """Return how values of this class are read; remembered for a bounded number of classes."""
    try:
        return _readings[cls]
    except KeyError:
        if len(_readings) >= _MAX_CACHED:
            _readings.clear()
        reading = _readings[cls] = _Reading(cls)
        return reading


def walk(value: object, limits: Limits, clock: Callable[[], int] = monotonic_ns) -> bytes:
    """Return JSON for any object, within limits. Never raises."""
    try:
        return _Walk(limits, clock).value(value, limits.max_bytes - limits.max_bytes // 16, 0)
    except RecursionError:  # the program itself is at the end of its stack
        return omitted("?", "stack")
    except Exception as error:  # noqa: BLE001 - capturing never raises into the host
        return unencodable("?", type_name(type(error)))


class _Walk:
    """Hold the budgets and the containers met so far, of one payload."""

    __slots__ = ("clock", "deadline", "limits", "lowest_cycle", "met", "path", "price", "reserve", "spent", "values")

    def __init__(self, limits: Limits, clock: Callable[[], int]) -> None:
        self.limits = limits
        self.clock = clock
        self.deadline = clock() + limits.max_time_ns
        self.price = max(1, limits.max_bytes // limits.max_nodes)
        self.reserve = limits.max_bytes // 64
        self.spent = 0
        self.values = 0
        self.path: dict[int, int] = {}
        self.met: dict[int, tuple[object, bytes]] = {}
        self.lowest_cycle = _NO_CYCLE

    def value(self, value: object, stop: int, depth: int) -> bytes:
        """Return the JSON of a value that may use the budget up to ``stop``."""
        self.values += 1
        if self.values % _LOOK_EVERY == 0 and self.clock() > self.deadline:
            self.spent = _SPENT_ALL
        reading = _reading_of(type(value))
        if reading.kind != "leaf":
            return self.inside(value, reading, stop, depth)
        try:
            written: bytes = reading.read(value, self.room(stop))
        except RecursionError:
            written = omitted(reading.name, "stack")
        except Exception as error:  # noqa: BLE001 - one value that cannot be read costs only itself
            written = unencodable(reading.name, type_name(type(error)))
        self.spent += self.price + len(written)
        return written

    def room(self, stop: int) -> int:
        return max(_ALWAYS_WHOLE, min(self.limits.max_string, stop - self.spent))

    def inside(self, value: object, reading: _Reading, stop: int, depth: int) -> bytes:
        """Return the JSON of a container, object or alias."""
        identity = id(value)
        if identity in self.path:
            return self.cycle(depth, self.path[identity])
        known = self.met.get(identity)
        if known is not None:
            return self.again(known[1], reading, stop)
        if depth >= self.limits.max_depth or self.spent >= stop:
            return self.leave_out(reading, "depth" if self.spent < stop else "budget")
        before, self.lowest_cycle = self.lowest_cycle, _NO_CYCLE
        self.path[identity] = depth
        self.spent += self.price + 2
        try:
            written = self.contents(value, reading, stop, depth)
        except RecursionError:
            written = omitted(reading.name, "stack")
        except Exception as error:  # noqa: BLE001 - one value that cannot be read costs only itself
            written = unencodable(reading.name, type_name(type(error)))
        finally:
            del self.path[identity]
        if self.lowest_cycle >= depth:  # says nothing about what is further out: true wherever it is met again
            self.met[identity] = (value, written)
            self.lowest_cycle = before
        else:
            self.lowest_cycle = min(before, self.lowest_cycle)
        return written

    def contents(self, value: object, reading: _Reading, stop: int, depth: int) -> bytes:
        most = max(1, (stop - self.spent) // self.price)
        if reading.kind == "alias":
            return self.value(reading.read(value, (stop - self.spent) // _NUMBER_BYTES), stop, depth + 1)
        if reading.kind == "object":
            pairs, total = reading.read(value, most)
            return self.object(pairs, total, stop=stop, depth=depth)
        if type(value) is list or type(value) is tuple:
            numbers = self.numbers(value, stop)
            if numbers is not None:
                return numbers
        items, total = reading.read(value, most)
        written = self.items(items, stop, depth)
        if reading.kind == "set":
            written.sort()
        if len(written) < total:
            written.append(b'{"$omitted":%d}' % (total - len(written)))
        return b"[" + b",".join(written) + b"]"

    def items(self, items: list[object], stop: int, depth: int) -> list[bytes]:
        written: list[bytes] = []
        follow = len(items)
        for item in items:
            if self.spent >= stop:
                break
            follow -= 1
            written.append(self.value(item, self.share(stop, follow), depth + 1))
        return written

    def object(self, pairs: list[tuple[object, object]], total: int, *, stop: int, depth: int) -> bytes:
        written: list[bytes] = []
        names: set[bytes] = set()
        follow = len(pairs)
        for key, item in pairs:
            if self.spent >= stop:
                break
            follow -= 1
            name = self.unused(self.name(key), names)
            self.spent += len(name)
            written.append(name + b":" + self.value(item, self.share(stop, follow), depth + 1))
        if len(written) < total:
            written.append(b'"$omitted":%d' % (total - len(written)))
        return b"{" + b",".join(written) + b"}"

    def share(self, stop: int, follow: int) -> int:
        """Return how far a value may spend when others follow it: they keep a reserve, but no more than half."""
        kept = min(follow * _KEEP_FOR_EACH, self.reserve, (stop - self.spent) // 2)
        return stop - max(0, kept)

    def numbers(self, value: list[object] | tuple[object, ...], stop: int) -> bytes | None:
        """Return a list of plain numbers at the speed of C, or None if it is something else."""
        total = len(value)
        if total < _UNIFORM_FROM or type(value[0]) not in {int, float, bool}:
            return None
        head = value[: max(_UNIFORM_FROM, (stop - self.spent) // _NUMBER_BYTES)]
        if not _are_plain_numbers(head):
            return None
        written = encode(head)
        if len(head) < total:
            written = written[:-1] + b',{"$omitted":%d}]' % (total - len(head))
        self.spent += len(written) + self.price * len(head) // 16
        return written

    def name(self, key: object) -> bytes:
        """Return a key as a JSON string."""
        if type(key) is str and len(key) <= self.limits.room:
            return quote(key)
        return quote(_key_text(key))

    @staticmethod
    def unused(name: bytes, names: set[bytes]) -> bytes:
        """Return the name, numbered if another key of the same object became the same text."""
        free, count = name, 1
        while free in names:
            count += 1
            free = b'%s (%d)"' % (name[:-1], count)
        names.add(free)
        return free

    def cycle(self, depth: int, met_at: int) -> bytes:
        self.lowest_cycle = min(self.lowest_cycle, met_at)
        written = b'{"$cycle":%d}' % (depth - met_at)
        self.spent += self.price + len(written)
        return written

    def again(self, written: bytes, reading: _Reading, stop: int) -> bytes:
        if self.spent + len(written) > stop:
            return self.leave_out(reading, "budget")
        self.spent += self.price + len(written)
        return written

    def leave_out(self, reading: _Reading, reason: str) -> bytes:
        written = omitted(reading.name, reason)
        self.spent += self.price + len(written)
        return written


def _are_plain_numbers(values: list[Any] | tuple[Any, ...]) -> bool:
    types = set(map(type, values))
    if types == {float}:
        return isfinite(sum(values))
    if types == {int}:
        return -(2**63) <= min(values) and max(values) < 2**64
    return types == {bool}


def _key_text(key: object) -> str:
    """Return the text that stands for a key: that of its JSON if it is a scalar, otherwise its class."""
    cls = type(key)
    if cls is bool or key is None:
        return {True: "true", False: "false", None: "null"}[key]
    if cls is int:
        return encode_int(key).decode().strip('"')
    return f"<{type_name(cls)}>"
