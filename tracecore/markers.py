r"""Markers: how a payload says what JSON cannot hold, or what was left out. The whole grammar is here.

JSON has null, booleans, numbers, strings, arrays and objects. Everything else a program passes around becomes one of
these objects; every name of ours begins with ``$``:

=============================================================  =====================================================
``{"$truncated": {"head", "tail", "length", "fingerprint"}}``  a string that was too long; ``length`` in characters
``{"$escaped": "a\\ud800"}``                                   a string with lone surrogates, which UTF-8 cannot
                                                               hold: they, and backslashes, are backslash-escaped
``{"$bytes": {"base64", "length"}}``                           bytes; when cut, with ``fingerprint``
``{"$int": {"bits"}}``                                         an integer of more than 2,048 bits
``{"$type": "module.Class", ...}``                             an object: its class and its public fields
``{"$array": {"type", "dtype", "shape", "data"}}``             a numeric array; ``data`` is flat, ``omitted`` counts
``{"$table": {"type", "shape", "columns", "rows"}}``           a data frame and its first rows
``{"$cycle": n}``                                              the container n levels further out, again
``{"$omitted": n}``                                            last in an array: n further elements; as the last
                                                               name of an object: n further entries
``{"$omitted": {"type", "reason"}}``                           a value whose inside was not read: ``depth``,
                                                               ``budget`` (bytes, nodes or time) or ``stack``
``{"$unencodable": {"type", "reason"}}``                       a value that could not be read; these are counted
=============================================================  =====================================================

Without marker: integers of more than 64 bits become decimal text, because most readers of JSON would round them; NaN
and the infinities become ``"NaN"``, ``"Infinity"``, ``"-Infinity"``; dates, times, UUIDs, decimals and paths become
text, durations ISO 8601 text; sets become sorted arrays; a key that is no string becomes the text of its JSON or, if
that is not short, the name of its class, and keys that become the same text are numbered. Data of the program that
looks like a marker is kept as it is.

A fingerprint is a hash of the length and of evenly spaced samples: equal values have equal fingerprints, and different
ones differ unless they differ only between samples. Hashing everything would take milliseconds.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from hashlib import blake2b
from typing import Final

import msgspec

from tracecore.tally import Tally

__all__ = [
    "encode",
    "encode_bytes",
    "encode_float",
    "encode_int",
    "encode_text",
    "omitted",
    "quote",
    "unencodable",
    "unencodables",
    "unused_name",
    "without_surrogates",
]

encode: Final[Callable[[object], bytes]] = msgspec.json.Encoder().encode

unencodables: Final = Tally()
"""How many values became ``$unencodable``, in this process, since it started."""

_INT64_MIN: Final = -(2**63)
_UINT64_MAX: Final = 2**64 - 1
_MAX_INT_BITS: Final = 2_048  # 617 digits: below 640, the least that sys.set_int_max_str_digits accepts
_SAMPLES: Final = 32
_SAMPLE_LENGTH: Final = 500  # at most 2,000 bytes of UTF-8: hashlib lets go of the GIL from 2,048 on


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
    exact = str.__getitem__(value, slice(None))
    try:
        return encode(exact)
    except UnicodeEncodeError:
        return encode({"$escaped": without_surrogates(exact.replace("\\", "\\\\"))})


def encode_bytes(piece: Callable[[int, int], bytes], length: int, most: int) -> bytes:
    """Return ``length`` bytes, of which ``piece`` returns any, as JSON cut to about ``most`` characters of base64."""
    kept = length if length * 4 // 3 <= most else most // 2
    described: dict[str, object] = {"base64": base64.b64encode(piece(0, kept)).decode(), "length": length}
    if kept < length:
        described["fingerprint"] = _fingerprint(length, piece)
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
    return b'"Infinity"' if value > 0 else b'"-Infinity"' if value < 0 else b'"NaN"'


def _truncated(value: str, length: int, most: int) -> bytes:
    def piece(start: int, end: int) -> str:
        return str.__getitem__(value, slice(start, end))

    described = {
        "head": without_surrogates(piece(0, most * 3 // 4)),
        "tail": without_surrogates(piece(length - most // 4, length)),
        "length": length,
        "fingerprint": _fingerprint(length, lambda start, end: piece(start, end).encode("utf-8", "surrogatepass")),
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


def unused_name(name: bytes, names: set[bytes]) -> bytes:
    """Return the name, numbered if another key of the same object became the same text, and take it."""
    free, count = name, 1
    while free in names:
        count += 1
        free = b'%s (%d)"' % (name[:-1], count)
    names.add(free)
    return free
