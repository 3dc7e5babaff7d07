"""The general encoder: walk any object graph once, within budgets, and write JSON as it goes.

Invariants:

* Never raises: what cannot be read becomes a marker (see :mod:`tracecore.markers`), and costs only itself.
* Bounded: a container takes no more elements than it can still pay for, and cuts *before* it copies. Depth is bounded
  by a count, time by a look at the clock every 64 values (see :mod:`tracecore.limits`).
* A container that is met again on the way down is a cycle. One that is met again elsewhere is written again from the
  first time's bytes, so that a graph with 2**60 paths is walked once.

What is plain and small inside a big or odd value is left to C, piece by piece; that changes nothing in the JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from tracecore.clock import monotonic_ns
from tracecore.introspection import class_name, class_of
from tracecore.limits import Budget, Limits
from tracecore.markers import encode, encode_text, omitted, unencodable, unused_name
from tracecore.plain import ENTRY, are_plain_numbers, room_after_dict, room_after_list
from tracecore.readings import Reading, key_name, reading_of

__all__ = ["walk"]

_SHORT: Final = 64  # characters of a string that are never cut
_PIECE: Final = 16  # elements or entries that are written at once
_SHORT_TEXT: Final = 256  # characters up to which a string may be in such a piece
_SHORT_INT: Final = 1_000_000_000
_NUMBER_BYTES: Final = 26  # of the longest float or 64-bit integer, and a comma
_PROBE_LEAST: Final = 512  # characters of room
_PROBE_DEPTH: Final = 6
_PRICE_OF_ROOM: Final = 64  # characters of plain room that cost as much as one value
_MARKED_VALUES: Final = 16  # a marker of a scalar, with its fingerprint, takes as long as so many values
_NO_CYCLE: Final = 1 << 30


def walk(value: object, limits: Limits, clock: Callable[[], int] = monotonic_ns) -> bytes:
    """Return JSON for any object, within limits. Never raises, but for RecursionError where no stack is left."""
    walking = _Walk(limits, clock)
    walking.value(value, walking.stop(), 0)
    return b"".join(walking.out)


class _Met(Struct, gc=False):
    """Remember where a container was written: chunks ``start`` to ``end`` of ``out``, and what that cost."""

    value: object  # kept alive, so that its id stays its own
    out: list[bytes]
    start: int
    end: int
    cost: int


class _Walk(Budget):
    """Hold what is written of one payload, and the containers met so far. ``depth`` counts containers around."""

    __slots__ = ("lowest_cycle", "met", "out", "path", "probe")

    def __init__(self, limits: Limits, clock: Callable[[], int]) -> None:
        super().__init__(limits, clock)
        self.out: list[bytes] = []
        self.path: dict[int, int] = {}
        self.met: dict[int, _Met] = {}
        self.lowest_cycle = _NO_CYCLE
        self.probe = limits.room // 4

    def value(self, value: object, stop: int, depth: int) -> None:
        """Write a value."""
        reading = reading_of(type(value))
        start = len(self.out)
        try:
            if reading.kind == "leaf":
                self.leaf(value, reading, stop)
            else:
                self.inside(value, reading, stop=stop, depth=depth)
        except RecursionError:
            self.take_back(start)
            self.write(omitted(reading.name, "stack"))
        except Exception as error:  # noqa: BLE001 - what cannot be read costs only itself
            self.take_back(start)
            self.write(unencodable(reading.name, class_name(error)))

    def write(self, written: bytes) -> None:
        self.count(1, len(written))
        self.out.append(written)

    def take_back(self, start: int) -> None:
        """Forget what was written from chunk ``start`` on."""
        del self.out[start:]
        self.met = {key: met for key, met in self.met.items() if met.out is not self.out or met.end <= start}

    def leaf(self, value: object, reading: Reading, stop: int) -> None:
        left = stop - self.spent
        most = max(_SHORT, min(self.limits.max_string, left))
        written: bytes = reading.read(value, most)
        if len(written) > left and most > _SHORT:  # a character can take six bytes
            written = reading.read(value, max(_SHORT, most // 8))
        self.write(written)
        if len(written) > _SHORT and written.startswith(b'{"$'):
            self.values += _MARKED_VALUES

    def inside(self, value: object, reading: Reading, *, stop: int, depth: int) -> None:
        """Write a container, object or alias, or what stands for it."""
        identity = id(value)
        if identity in self.path:
            self.lowest_cycle = min(self.lowest_cycle, self.path[identity])
            self.write(b'{"$cycle":%d}' % (depth - self.path[identity]))
        elif identity in self.met:
            self.again(self.met[identity], reading, stop)
        elif self.spent >= stop:
            self.write(omitted(reading.name, "budget"))
        elif depth >= self.limits.max_depth:
            self.write(omitted(reading.name, "depth"))
        elif not (reading.plain and self.at_once(value, stop, depth)):
            self.contents(value, reading, stop=stop, depth=depth)

    def again(self, met: _Met, reading: Reading, stop: int) -> None:
        if self.spent + met.cost > stop:
            self.write(omitted(reading.name, "budget"))
            return
        if met.end - met.start > 1:
            met.out, met.start, met.end = [b"".join(met.out[met.start : met.end])], 0, 1
        self.write(met.out[met.start])

    def contents(self, value: object, reading: Reading, *, stop: int, depth: int) -> None:
        """Write what is inside, remembering it: on the way down as part of the path, afterwards as written."""
        before, self.lowest_cycle = self.lowest_cycle, _NO_CYCLE
        start, spent, identity = len(self.out), self.spent, id(value)
        self.path[identity] = depth
        try:
            self.open(value, reading, stop=stop, depth=depth)
        finally:
            del self.path[identity]
            found, self.lowest_cycle = self.lowest_cycle, min(before, self.lowest_cycle)
        if found >= depth:  # says nothing about what is further out, so it is true wherever it is met again
            self.lowest_cycle = before
            self.met[identity] = _Met(value, self.out, start, len(self.out), self.spent - spent)

    def open(self, value: object, reading: Reading, *, stop: int, depth: int) -> None:
        if reading.kind == "alias":
            most = (stop - self.spent) * 3 // 4 // _NUMBER_BYTES  # the rest is for what describes them
            self.value(reading.read(value, most), stop, depth)
            return
        self.count(1, 2)
        elements, total = reading.read(value, max(1, (stop - self.spent) // self.price))
        if reading.kind == "set":
            self.unordered(elements, total, stop=stop, depth=depth)
        elif reading.kind == "array":
            self.ordered(elements, total, stop=stop, depth=depth)
        elif not (reading.fields and len(elements) == total and self.at_once(dict(elements), stop, depth)):
            self.entries(elements, total, stop=stop, depth=depth)

    # -- what C may write ----------------------------------------------------------------------------------------------

    def at_once(self, value: Any, stop: int, depth: int) -> bool:
        """Write a dict, list or tuple in C if it is plain and small, or all numbers; return whether it was."""
        written = self.plain(value, stop, depth)
        if written is None and type(value) is not dict:
            written = self.numbers(value, stop)
        if written is None:
            return False
        self.out.append(written)
        return True

    def plain(self, value: Any, stop: int, depth: int) -> bytes | None:
        """Return the JSON of a plain and small container, or None.

        Looking and failing is wasted, so every failure lets the next look less far, and every success farther again.
        """
        measure: Callable[[Any, int, int], int] = room_after_dict if class_of(value) is dict else room_after_list
        left = measure(value, self.probe, min(self.limits.max_depth - depth, _PROBE_DEPTH))
        if left < 0:
            self.probe = max(_PROBE_LEAST, self.probe // 2)
            return None
        used = self.probe - left
        self.probe = min(self.probe * 2, self.limits.room // 4)
        try:
            written = encode(value)
        except UnicodeEncodeError:
            return None
        if self.spent + len(written) > stop:
            return None
        self.count(1 + used // ENTRY, len(written) + self.price * (used // _PRICE_OF_ROOM))
        return written

    def numbers(self, value: Any, stop: int) -> bytes | None:
        """Return the JSON of a long list of plain numbers, or None."""
        total = len(value)
        if total < _PIECE:
            return None
        head = value[: max(_PIECE, (stop - self.spent) // _NUMBER_BYTES)]
        if not are_plain_numbers(head):
            return None
        written = encode(head)
        if len(head) < total:
            written = written[:-1] + b',{"$omitted":%d}]' % (total - len(head))
        self.count(len(head) // _PIECE, len(written) + self.price * (len(head) // _PIECE))
        return written

    # -- one by one ----------------------------------------------------------------------------------------------------

    def ordered(self, items: list[object], total: int, *, stop: int, depth: int) -> None:
        """Write elements, as many as the budget has; plain ones several at once."""
        done = 0
        several = total > _PIECE  # all of it at once has been tried
        self.out.append(b"[")
        while done < len(items) and self.spent < stop:
            piece = items[done : done + _PIECE]
            follow = len(items) - done - len(piece)
            written = self.plain(piece, self.share(stop, follow), depth) if several else None
            if written is None:
                done = self.singly(items, done, stop=stop, depth=depth)
            else:
                self.out += (written[1:-1], b",")
                done += len(piece)
        self.close(b"]", total - done, b'{"$omitted":%d}')

    def singly(self, items: list[object], done: int, *, stop: int, depth: int) -> int:
        """Write one piece of the elements one by one; return how many are done."""
        for item in items[done : done + _PIECE]:
            if self.spent >= stop:
                break
            done += 1
            self.value(item, self.share(stop, len(items) - done), depth + 1)
            self.out.append(b",")
        return done

    def unordered(self, items: list[object], total: int, *, stop: int, depth: int) -> None:
        """Write elements sorted by their JSON, because their own order differs from process to process."""
        out = self.out
        written: list[bytes] = []
        for item in items:
            if self.spent >= stop:
                break
            self.out = []
            try:
                self.value(item, self.share(stop, len(items) - len(written)), depth + 1)
                written.append(b"".join(self.out))
            finally:
                self.out = out
        self.out.append(b"[")
        for element in sorted(written):
            self.out += (element, b",")
        self.close(b"]", total - len(written), b'{"$omitted":%d}')

    def entries(self, pairs: list[tuple[Any, Any]], total: int, *, stop: int, depth: int) -> None:
        """Write entries, as many as the budget has; runs of short ones at once."""
        names: set[bytes] | None = None if _are_simple([key for key, _ in pairs]) else set()
        run: dict[str, Any] = {}
        done = 0
        self.out.append(b"{")
        for key, item in pairs:
            if self.spent >= stop:
                break
            done += 1
            if names is None and _is_short(item):
                run[key] = item
                if len(run) == _PIECE:
                    self.run(run)
                continue
            self.run(run)
            self.entry(key, names, item, stop=self.share(stop, len(pairs) - done), depth=depth)
        self.run(run)
        self.close(b"}", total - done, b'"$omitted":%d')

    def run(self, run: dict[str, Any]) -> None:
        """Write entries that are known to be short, and empty the run."""
        if not run:
            return
        try:
            written = encode(run)[1:-1]
        except UnicodeEncodeError:
            written = b",".join([encode(key) + b":" + _short(item) for key, item in run.items()])
        self.count(len(run), len(written) + self.price * (len(run) - 1))
        self.out += (written, b",")
        run.clear()

    def entry(self, key: object, names: set[bytes] | None, item: object, *, stop: int, depth: int) -> None:
        name = key_name(key, self.limits.room)
        if names is not None:
            name = unused_name(name, names)
        self.spent += len(name) + 1
        self.out += (name, b":")
        self.value(item, stop, depth + 1)
        self.out.append(b",")

    def close(self, bracket: bytes, left_out: int, say: bytes) -> None:
        """End an array or object, saying how many elements are left out."""
        if left_out:
            self.write(say % left_out)
        elif self.out[-1] == b",":
            self.out.pop()
        self.out.append(bracket)


def _is_short(value: Any) -> bool:
    """Return whether a value is a plain scalar that takes few bytes."""
    cls = class_of(value)
    if cls is str:
        return len(value) <= _SHORT_TEXT
    if cls is int:
        return bool(-_SHORT_INT < value < _SHORT_INT)
    return value is None or cls is bool or bool(cls is float and value - value == 0.0)


def _short(value: Any) -> bytes:
    """Return the JSON of a short scalar that may have lone surrogates."""
    return encode_text(value, _SHORT_TEXT) if type(value) is str else encode(value)


def _are_simple(keys: list[Any]) -> bool:
    """Return whether keys are written as they are: then no two become the same text."""
    return all(type(key) is str and len(key) <= _SHORT_TEXT and key.isascii() for key in keys)
