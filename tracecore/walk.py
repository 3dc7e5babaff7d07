"""The general encoder: walk any object graph once, within budgets, and write JSON as it goes.

Invariants:

* Never raises: what cannot be read becomes a marker (see :mod:`tracecore.markers`), and costs only itself.
* Bounded: every value is charged its bytes and the price of a node; a container takes no more elements than it can still
  pay for, and cuts *before* it copies. Depth is bounded by a count, time by a look at the clock every 64 values.
* A container that is met again on the way down is a cycle. One that is met again elsewhere is written again from the
  first time's bytes, so that a graph with 2**60 paths is walked once.
* Values that follow are not starved by one that comes first: each container keeps a reserve for the rest.

What is plain and small inside a big or odd value is still left to C, piece by piece.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tracecore.builtin_types import BUILTIN_TYPES, Kind
from tracecore.clock import monotonic_ns
from tracecore.foreign_types import foreign_type
from tracecore.introspection import Fields, bases, type_name
from tracecore.markers import Limits, encode, encode_key, omitted, unencodable
from tracecore.plain import ENTRY, are_plain_numbers, room_after_dict, room_after_list

__all__ = ["walk"]

_SPENT_ALL: Final = 1 << 62
_KEEP_FOR_EACH: Final = 256  # bytes kept back for each value that follows
_SHORT: Final = 64  # characters of a string that are never cut
_LOOK_EVERY: Final = 64  # values between two looks at the clock
_PIECE: Final = 16  # elements of a list that are tried at once
_NUMBER_BYTES: Final = 26  # of the longest float or 64-bit integer, and a comma
_PRICE_OF_ROOM: Final = 64  # characters of plain room that cost as much as one value
_MAX_CACHED: Final = 2_048
_NO_CYCLE: Final = 1 << 30


def walk(value: object, limits: Limits, clock: Callable[[], int] = monotonic_ns) -> bytes:
    """Return JSON for any object, within limits. Never raises, but for RecursionError where no stack is left."""
    return _Walk(limits, clock).value(value, limits.max_bytes - limits.max_bytes // 16, 0)


class _Reading:
    """Say how values of one class are read, and what the class is called."""

    __slots__ = ("kind", "name", "plain", "read")

    def __init__(self, cls: type) -> None:
        self.name = type_name(cls)
        self.plain = cls in {dict, list, tuple}
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


class _Walk:
    """Hold the budgets of one payload, and the containers met so far.

    ``stop`` is how far a value may let ``spent`` rise, ``depth`` how many containers it is inside of.
    """

    __slots__ = (
        "clock", "deadline", "limits", "look_at", "lowest_cycle", "met", "path", "price", "probe", "reserve", "spent",
        "values",
    )  # fmt: skip

    def __init__(self, limits: Limits, clock: Callable[[], int]) -> None:
        self.limits = limits
        self.clock = clock
        self.deadline = clock() + limits.max_time_ns
        self.price = max(1, limits.max_bytes // limits.max_nodes)
        self.reserve = limits.max_bytes // (8 * limits.max_depth)
        self.probe = limits.room // 4
        self.spent = 0
        self.values = 0
        self.look_at = _LOOK_EVERY
        self.path: dict[int, int] = {}
        self.met: dict[int, tuple[object, bytes]] = {}
        self.lowest_cycle = _NO_CYCLE

    def value(self, value: object, stop: int, depth: int) -> bytes:
        """Return the JSON of a value."""
        self.values += 1
        if self.values >= self.look_at:
            self.look()
        reading = _reading_of(type(value))
        try:
            if reading.kind == "leaf":
                return self.leaf(value, reading, stop)
            return self.inside(value, reading, stop=stop, depth=depth)
        except RecursionError:
            return self.charged(omitted(reading.name, "stack"))
        except Exception as error:  # noqa: BLE001 - what cannot be read costs only itself
            return self.charged(unencodable(reading.name, type_name(type(error))))

    def charged(self, written: bytes) -> bytes:
        self.spent += self.price + len(written)
        return written

    def look(self) -> None:
        """Stop everything when the time is over."""
        self.look_at = self.values + _LOOK_EVERY
        if self.clock() > self.deadline:
            self.spent = _SPENT_ALL

    def leaf(self, value: object, reading: _Reading, stop: int) -> bytes:
        left = stop - self.spent
        most = max(_SHORT, min(self.limits.max_string, left))
        written: bytes = reading.read(value, most)
        if len(written) > left and most > _SHORT:  # a character can take six bytes
            written = reading.read(value, max(_SHORT, most // 8))
        return self.charged(written)

    def inside(self, value: object, reading: _Reading, *, stop: int, depth: int) -> bytes:
        """Return the JSON of a container, object or alias; the same as before if it was met before."""
        identity = id(value)
        if identity in self.path:
            return self.cycle(depth, self.path[identity])
        if identity in self.met:
            return self.again(self.met[identity][1], reading, stop)
        if depth >= self.limits.max_depth or self.spent >= stop:
            return self.charged(omitted(reading.name, "depth" if self.spent < stop else "budget"))
        before, self.lowest_cycle = self.lowest_cycle, _NO_CYCLE
        self.path[identity] = depth
        try:
            written = self.contents(value, reading, stop=stop, depth=depth)
        finally:
            del self.path[identity]
            found, self.lowest_cycle = self.lowest_cycle, min(before, self.lowest_cycle)
        if found >= depth:  # says nothing about what is further out, so it is true wherever it is met again
            self.met[identity] = (value, written)
            self.lowest_cycle = before
        return written

    def cycle(self, depth: int, met_at: int) -> bytes:
        self.lowest_cycle = min(self.lowest_cycle, met_at)
        return self.charged(b'{"$cycle":%d}' % (depth - met_at))

    def again(self, written: bytes, reading: _Reading, stop: int) -> bytes:
        return self.charged(written if self.spent + len(written) <= stop else omitted(reading.name, "budget"))

    def contents(self, value: Any, reading: _Reading, *, stop: int, depth: int) -> bytes:
        if reading.kind == "alias":
            return self.value(reading.read(value, (stop - self.spent) // _NUMBER_BYTES), stop, depth)
        if reading.plain:
            written = self.plain(value, stop, depth) or self.numbers(value, stop)
            if written is not None:
                return written
        self.spent += self.price + 2
        elements, total = reading.read(value, max(1, (stop - self.spent) // self.price))
        if reading.kind == "object":
            return self.object(elements, total, stop=stop, depth=depth)
        return self.array(elements, total, stop=stop, depth=depth, sort=reading.kind == "set")

    def plain(self, value: Any, stop: int, depth: int) -> bytes | None:
        """Return the JSON of a plain and small container, written in C; None if it is something else."""
        measure = room_after_dict if type(value) is dict else room_after_list
        left = measure(value, self.probe, self.limits.max_depth - depth)
        if left < 0:
            return None
        try:
            written = encode(value)
        except UnicodeEncodeError:
            return None
        if self.spent + len(written) > stop:
            return None
        used = self.probe - left
        self.values += used // ENTRY
        self.spent += len(written) + self.price * (1 + used // _PRICE_OF_ROOM)
        return written

    def numbers(self, value: Any, stop: int) -> bytes | None:
        """Return the JSON of a long list of plain numbers, written in C; None if it is something else."""
        total = len(value)
        if type(value) is dict or total < _PIECE:
            return None
        head = value[: max(_PIECE, (stop - self.spent) // _NUMBER_BYTES)]
        if not are_plain_numbers(head):
            return None
        written = encode(head)
        if len(head) < total:
            written = written[:-1] + b',{"$omitted":%d}]' % (total - len(head))
        self.values += len(head) // _PIECE
        self.spent += len(written) + self.price * (1 + len(head) // _PIECE)
        return written

    def array(self, items: list[object], total: int, *, stop: int, depth: int, sort: bool) -> bytes:
        written: list[bytes] = []
        done = 0
        while done < len(items) and self.spent < stop:
            piece = items[done : done + _PIECE]
            at_once = self.plain(piece, self.share(stop, len(items) - done - len(piece)), depth) if not sort else None
            if at_once is not None:
                written.append(at_once[1:-1])
                done += len(piece)
                continue
            for item in piece:
                if self.spent >= stop:
                    break
                done += 1
                written.append(self.value(item, self.share(stop, len(items) - done), depth + 1))
        if sort:
            written.sort()
        if done < total:
            written.append(self.charged(b'{"$omitted":%d}' % (total - done)))
        return b"[" + b",".join(written) + b"]"

    def object(self, pairs: list[tuple[object, object]], total: int, *, stop: int, depth: int) -> bytes:
        written: list[bytes] = []
        names: set[bytes] = set()
        for key, item in pairs:
            if self.spent >= stop:
                break
            name = _unused(encode_key(key, self.limits.room), names)
            self.spent += len(name) + 1
            written.append(name + b":" + self.value(item, self.share(stop, len(pairs) - len(names)), depth + 1))
        if len(names) < total:
            written.append(self.charged(b'"$omitted":%d' % (total - len(names))))
        return b"{" + b",".join(written) + b"}"

    def share(self, stop: int, follow: int) -> int:
        """Return how far a value may spend when others follow it: they keep a reserve, but no more than half."""
        kept = min(follow * _KEEP_FOR_EACH, self.reserve, (stop - self.spent) // 2)
        return stop - max(0, kept)


def _unused(name: bytes, names: set[bytes]) -> bytes:
    """Return the name, numbered if another key of the same object became the same text, and take it."""
    free, count = name, 1
    while free in names:
        count += 1
        free = b'%s (%d)"' % (name[:-1], count)
    names.add(free)
    return free
