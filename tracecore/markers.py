"""Markers: how a payload says what JSON cannot hold, or what was left out. The whole grammar is here.

JSON has null, booleans, numbers, strings, arrays and objects. Everything else a program passes around becomes one of
these objects; every name of ours begins with ``$``:

=================================================================  ====================================================
``{"$truncated": {"head", "tail", "length", "fingerprint"}}``      a string that was too long; ``length`` in characters
``{"$escaped": "a\\\\ud800"}``                                       a string with lone surrogates, which UTF-8 cannot
                                                                   hold: they and the backslash are backslash-escaped
``{"$bytes": {"base64", "length"}}``                               bytes; when cut, with ``fingerprint``
``{"$int": {"bits"}}``                                             an integer of more than 2,048 bits
``{"$type": "module.Class", ...}``                                 an object: its class and its public fields
``{"$array": {"type", "dtype", "shape", "data"}}``                 a numeric array; ``data`` is flat, ``omitted`` counts
``{"$table": {"type", "shape", "columns", "rows"}}``               a data frame and its first rows
``{"$cycle": n}``                                                  the container n levels further out, again
``{"$omitted": n}``                                                last in an array: n further elements; as the last
                                                                   name of an object: n further entries
``{"$omitted": {"type", "reason"}}``                               a value whose inside was not read: ``depth``,
                                                                   ``budget`` or ``stack``
``{"$unencodable": {"type", "reason"}}``                           a value that could not be read; these are counted
=================================================================  ====================================================

Without marker: integers of more than 64 bits become decimal text, because most readers of JSON would round them; NaN and
the infinities become ``"NaN"``, ``"Infinity"``, ``"-Infinity"``; dates, times, UUIDs, decimals and paths become text,
durations ISO 8601 text; sets become sorted arrays. Data of the program that looks like a marker is kept as it is.

A fingerprint is a hash of the length and of evenly spaced samples: equal values have equal fingerprints, and different
ones differ unless they differ only between samples. Hashing everything would take milliseconds.
"""

from __future__ import annotations

import base64
import itertools
import threading
from collections.abc import Callable
from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import Struct

from tracecore.introspection import type_name

__all__ = [
    "DEFAULT_LIMITS",
    "Limits",
    "Tally",
    "encode",
    "encode_bytes",
    "encode_float",
    "encode_int",
    "encode_key",
    "encode_text",
    "omitted",
    "quote",
    "unencodable",
    "without_surrogates",
]

encode: Final[Callable[[object], bytes]] = msgspec.json.Encoder().encode

_INT64_MIN: Final = -(2**63)
_UINT64_MAX: Final = 2**64 - 1
_MAX_INT_BITS: Final = 2048  # 617 digits: below 640, the least that sys.set_int_max_str_digits accepts
_SHOWN_KEY: Final = 200
_SAMPLES: Final = 32
_SAMPLE_LENGTH: Final = 500  # at most 2,000 bytes of UTF-8: hashlib lets go of the GIL from 2,048 on


class Limits(Struct, frozen=True, gc=False):
    """Bound what one payload may cost. ``max_string`` is in characters, ``max_time_ns`` in ns.

    ``max_nodes`` and ``max_bytes`` are one budget: every value costs its bytes and ``max_bytes / max_nodes``, except in
    arrays of plain numbers, where sixteen cost as one. ``room`` is derived: what the fast path accepts.
    """

    max_bytes: int = 262_144
    max_string: int = 65_536
    max_nodes: int = 5_000
    max_depth: int = 32
    max_time_ns: int = 1_000_000
    room: int = 0

    def __post_init__(self) -> None:
        # A character takes at most 6 bytes and an entry is charged as 16 characters: what fits this room costs the walk
        # at most 3/4 of max_bytes, and the walk keeps less than 1/4 back. It cuts nothing that the fast path takes.
        room = min(self.max_string, self.max_bytes // 9, self.max_nodes * 4)
        msgspec.structs.force_setattr(self, "room", room)


DEFAULT_LIMITS: Final = Limits()


class Tally:
    """Count from any number of threads without a lock on the counting side."""

    __slots__ = ("_lock", "_next", "_reads", "add")

    def __init__(self) -> None:
        self._next = itertools.count().__next__
        self.add: Callable[[], int] = self._next
        """Count one."""
        self._reads = 0
        self._lock = threading.Lock()

    def total(self) -> int:
        """Return how often ``add`` was called. Reading advances the counter too, so the reads are taken off again."""
        with self._lock:
            total = self._next() - self._reads
            self._reads += 1
            return total


unencodables: Final = Tally()
"""How many values became ``$unencodable``, in this process, since it started."""


def unencodable(type_name: str, reason: str) -> bytes:
    """Return the marker of a value that could not be read, and count it."""
    unencodables.add()
    return encode({"$unencodable": {"type": without_surrogates(type_name), "reason": without_surrogates(reason)}})


def omitted(type_name: str, reason: str) -> bytes:
    """Return the marker of a value whose inside was not read."""
    return encode({"$omitted": {"type": without_surrogates(type_name), "reason": reason}})


def without_surrogates(text: str) -> str:
    """Return text that UTF-8 can hold: lone surrogates become visible escapes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def quote(text: str) -> bytes:
    """Return text as a JSON string; lone surrogates become visible escapes."""
    try:
        return encode(text)
    except UnicodeEncodeError:
        return encode(without_surrogates(text))


def encode_text(value: str, most: int) -> bytes:
    """Return a string as JSON, cut to about ``most`` characters; ``value`` may be of a subclass of str."""
    length = str.__len__(value)
    if length > most:
        return _truncated(value, length, most)
    exact = value if type(value) is str else str.__getitem__(value, slice(None)) + ""
    try:
        return encode(exact)
    except UnicodeEncodeError:
        return encode({"$escaped": without_surrogates(exact.replace("\\", "\\\\"))})


def encode_bytes(value: bytes, most: int) -> bytes:
    """Return bytes as JSON, cut to about ``most`` characters of base64."""
    length = len(value)
    described: dict[str, object] = {"base64": "", "length": length}
    kept = length if length * 4 // 3 <= most else most // 2
    described["base64"] = base64.b64encode(value[:kept]).decode()
    if kept < length:
        described["fingerprint"] = _fingerprint(length, lambda start, end: value[start:end])
    return encode({"$bytes": described})


def encode_int(value: int) -> bytes:
    """Return an exact int as JSON: a number up to 64 bits, text beyond, its size beyond 2,048 bits."""
    if _INT64_MIN <= value <= _UINT64_MAX:
        return encode(value)
    bits = value.bit_length()
    return encode(str(value) if bits <= _MAX_INT_BITS else {"$int": {"bits": bits}})


def encode_float(value: float) -> bytes:
    """Return an exact float as JSON; what JSON has no number for becomes text."""
    if value - value == 0.0:
        return encode(value)
    return b'"NaN"' if value != value else b'"Infinity"' if value > 0 else b'"-Infinity"'  # noqa: PLR0124 - NaN


def encode_key(key: object, most: int) -> bytes:
    """Return a key as a JSON string: other scalars as the text of their JSON, anything else as its class."""
    cls = type(key)
    if issubclass(cls, str):
        length = str.__len__(key)  # type: ignore[arg-type]
        text = str.__getitem__(key, slice(most)) + ""  # type: ignore[index]
        return quote(text if length <= most else f"{text[:_SHOWN_KEY]}… ({length} characters)")
    if cls is bool or key is None:
        return {True: b'"true"', False: b'"false"', None: b'"null"'}[key]
    if cls is int:
        return quote(encode_int(key).decode().strip('"'))
    if cls is float:
        return quote(encode_float(key).decode().strip('"'))
    return quote(f"<{type_name(cls)}>")


def _truncated(value: str, length: int, most: int) -> bytes:
    head = str.__getitem__(value, slice(most * 3 // 4))
    tail = str.__getitem__(value, slice(length - most // 4, None))
    mark = _fingerprint(length, lambda a, b: str.__getitem__(value, slice(a, b)).encode("utf-8", "surrogatepass"))
    described = {
        "head": without_surrogates(head),
        "tail": without_surrogates(tail),
        "length": length,
        "fingerprint": mark,
    }
    return encode({"$truncated": described})


def _fingerprint(length: int, piece: Callable[[int, int], bytes]) -> str:
    """Hash the length and evenly spaced samples, of which the first and the last touch the ends."""
    digest = blake2b(b"%d:" % length, digest_size=8)
    span = max(0, length - _SAMPLE_LENGTH)
    for sample in range(_SAMPLES):
        start = span * sample // (_SAMPLES - 1)
        digest.update(piece(start, start + _SAMPLE_LENGTH))
    return digest.hexdigest()
