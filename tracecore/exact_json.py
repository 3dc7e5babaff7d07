"""JSON that loses nothing: records and messages as text, and back, whatever their texts and payloads hold.

It is the JSON of :mod:`tracecore.records`: payloads are spliced, never encoded again. It holds what a plain encoder
refuses (lone surrogates in texts, integers beyond 64 bits), and :func:`decode` returns every payload byte by byte, also
one that is not UTF-8, or whose escapes are half a surrogate pair. Where nothing is odd both are one call into msgspec.
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Sequence
from functools import cache
from json import JSONDecodeError
from typing import Any, Final, TypeVar, cast

import msgspec
from msgspec import UNSET, Raw, Struct

from tracecore.records import ABSENT, Experiment, Generation, Score, Span, Trace, TraceAttributes

__all__ = ["Malformed", "decode", "encode"]

T = TypeVar("T")


class Malformed(ValueError):
    """Report bytes that are not what was expected: no JSON, or JSON of another shape."""


_encoder: Final = msgspec.json.Encoder()
_PAYLOADS: Final = frozenset(
    field.name
    for kind in (Span, Generation, TraceAttributes, Experiment, Trace, Score)
    for field in msgspec.structs.fields(kind)
    if field.default is ABSENT
)
"""The members of a record that are payloads; so are those of the objects in ``_NESTED``."""
_NESTED: Final = frozenset({"trace", "attributes", "experiment"})


def encode(value: object) -> bytes:
    """Return a record, a message or a list of them as JSON; whatever of a record is not set is left out."""
    try:
        encoded = _encoder.encode(value)
    except (UnicodeEncodeError, OverflowError):
        return _written(value)
    # An empty payload that is not ABSENT was spliced, too. Payloads hold these signs now and then, which costs time.
    return _written(value) if b'":,' in encoded or b'":}' in encoded else encoded


def decode(data: bytes, kind: type[T]) -> T:
    """Return the value of a type that :func:`encode` wrote.

    Raises:
        Malformed: the bytes are no such value.
    """
    try:
        return cast("T", _decoder(cast("Hashable", kind)).decode(data))
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        if not _is_odd(data):
            raise Malformed(str(error)) from error
    try:
        return msgspec.convert(_Reader(data.decode("utf-8", "surrogatepass")).value(), kind)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise Malformed(str(error)) from error


@cache
def _decoder(kind: Hashable) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def _is_odd(data: bytes) -> bool:
    r"""Return whether a decoder may refuse bytes for a surrogate: there are ``\u`` escapes, or they are not UTF-8."""
    if b"\\u" in data:
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return True
    return False


def _written(value: Any) -> bytes:
    """Encode a value step by step, with escapes for what UTF-8 cannot hold."""
    if isinstance(value, Raw):
        return bytes(value)
    if isinstance(value, Struct):
        return _object(_members_of(value))
    if isinstance(value, dict):
        return _object(list(cast("dict[str, Any]", value).items()))
    if isinstance(value, list | tuple):
        return b"[%b]" % b",".join(_written(item) for item in cast("Sequence[Any]", value))
    if isinstance(value, float) and not math.isfinite(value):
        return b"null"
    return json.dumps(value).encode()


def _object(members: list[tuple[str, Any]]) -> bytes:
    return b"{%b}" % b",".join(b"%b:%b" % (json.dumps(name).encode(), _written(value)) for name, value in members)


def _members_of(value: Struct) -> list[tuple[str, Any]]:
    """Return the members of the object that a Struct is as JSON; an empty payload, or what is unset, is none."""
    config = value.__struct_config__
    members: list[tuple[str, Any]] = [] if config.tag_field is None else [(config.tag_field, config.tag)]
    for field in msgspec.structs.fields(value):
        member = getattr(value, field.name)
        is_empty = member is UNSET or (isinstance(member, Raw) and not member)
        if not is_empty and not (config.omit_defaults and not field.required and member == field.default):
            members.append((field.encode_name, member))
    return members


class _Reader:
    """Read JSON step by step: the payloads of records are cut out as they are, everything else is parsed.

    A record is an object whose first member is its tag, ``"record"``, as the encoder writes it.
    """

    _parse: Final = json.JSONDecoder().raw_decode
    _skip: Final = json.JSONDecoder(parse_int=str, parse_float=str).raw_decode

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def value(self) -> Any:
        """Return the one value that the text holds."""
        found = self._any()
        if self._next():
            raise JSONDecodeError("Extra data", self._text, self._at)
        return found

    def _any(self) -> Any:
        match self._next():
            case "[":
                return self._list()
            case "{":
                return self._members(is_record=False)
            case _:
                return self._plain()

    def _plain(self) -> Any:
        found, self._at = self._parse(self._text, self._at)
        return found

    def _payload(self) -> Raw:
        start = self._at
        _, self._at = self._skip(self._text, start)
        return Raw(self._text[start : self._at].encode("utf-8", "surrogatepass"))

    def _list(self) -> list[Any]:
        found: list[Any] = []
        self._at += 1
        while self._next() != "]":
            if found:
                self._expect(",")
            found.append(self._any())
        self._at += 1
        return found

    def _members(self, *, is_record: bool) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self._at += 1
        while self._next() != "}":
            if found:
                self._expect(",")
            name = self._name()
            self._expect(":")
            self._next()
            is_record = is_record or (not found and name == "record")
            found[name] = self._member(name) if is_record else self._any()
        self._at += 1
        return found

    def _name(self) -> str:
        if self._next() != '"':
            raise JSONDecodeError("Expecting a name", self._text, self._at)
        return cast("str", self._plain())

    def _member(self, name: str) -> Any:
        """Return one member of a record, or of an object in it that holds payloads."""
        if name in _PAYLOADS:
            return self._payload()
        if name in _NESTED and self._text[self._at] == "{":
            return self._members(is_record=True)
        return self._plain()

    def _expect(self, character: str) -> None:
        if self._next() != character:
            raise JSONDecodeError(f"Expecting {character!r}", self._text, self._at)
        self._at += 1

    def _next(self) -> str:
        """Pass over white space; return the character behind it, or nothing at the end."""
        while (character := self._text[self._at : self._at + 1]) in {" ", "\t", "\n", "\r"}:
            self._at += 1
        return character
