r"""Texts of attributes as payloads, exactly: what is JSON stays the JSON that it was.

An attribute holds a text, and most of those that hold more than a word are JSON that somebody encoded. A payload is
JSON, so that it can be searched and shown: an object or an array is taken as it is, with its numbers, its order and
its repeated names untouched. Only escapes (``\u00fc``) become the characters that they are, because whoever searches
looks for those. Any other text, also ``42`` and ``null``, is a JSON string, for nobody knows whether it was more.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any, Final, cast

import msgspec
from msgspec import Raw

from tracecore.codec import encoded
from tracecore.markers import encode_text
from tracecore.server.otlp.limits import LIMITS, PAYLOADS
from tracecore.server.otlp.surrogates import without_halves

__all__ = [
    "content_of",
    "json_of",
    "member",
    "members_of",
    "object_in",
    "object_payload_of",
    "parsed",
    "payload_of",
    "text_of",
]

_encode: Final = msgspec.json.Encoder().encode
_skip: Final = msgspec.json.Decoder(Raw).decode
_parse: Final = msgspec.json.Decoder().decode
_members: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_PLAIN: Final[frozenset[object]] = frozenset({str, int, bool, type(None)})
_FEW: Final = 100
_NOT_JSON: Final = (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError)
_SPACE: Final = " \t\r\n"
_BRACKETS: Final = frozenset("{[")
_BEGINNINGS: Final = _BRACKETS.union(_SPACE)
_ESCAPES: Final = re.compile(r"\\(?:[^u]|u[0-9a-fA-F]{4}(?:\\u[0-9a-fA-F]{4})*)", re.DOTALL)
_ODD_NUMBERS: Final = re.compile(r'"(?:[^"\\]|\\.)*+"|(-?Infinity|NaN)', re.DOTALL)
_KEPT: Final = re.compile('["\\\\\x00-\x1f\ud800-\udfff]')


def payload_of(value: Any) -> Raw:
    """Return a value of an attribute as a payload."""
    if type(value) is str:
        first = value[:1]
        if first in _BRACKETS and ("\\" not in value or "\\u" not in value):  # to look for one character is quick
            try:  # nearly always: one call into C
                return _skip(value)
            except _NOT_JSON:
                pass
        if first in _BEGINNINGS and (found := _container(value)) is not None:
            return found
        if len(value) <= LIMITS.text:
            try:
                return Raw(_encode(value))
            except UnicodeEncodeError:
                pass
        return Raw(encode_text(value, LIMITS.text))
    return value if type(value) is Raw else Raw(encoded(value, PAYLOADS))


def content_of(value: Any) -> Raw | None:
    """Return a value of an attribute as a payload; None where it says nothing."""
    return None if value is None or value == "" else payload_of(value)


def json_of(value: Any) -> Raw:
    """Return a value that is JSON if it is a text; a text that is none is a JSON string."""
    if type(value) is str:
        try:
            return _unescaped(value)
        except _NOT_JSON:
            return Raw(encode_text(value, LIMITS.text))
    return payload_of(value)


def object_payload_of(value: Any) -> Raw | None:
    """Return a value as a payload if it is an object that has members."""
    if type(value) is str:
        found = _container(value) if value.lstrip(_SPACE)[:1] == "{" else None
    else:
        found = payload_of(value) if isinstance(value, dict) else None
    return None if found is None or bytes(found) == b"{}" else found


def member(value: Any) -> Any:
    """Return a value as msgspec may encode it, as a member of an object."""
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, list):
        items = cast("Sequence[Any]", value)
        if len(items) <= _FEW and _PLAIN.issuperset(map(type, items)):
            return items
    return payload_of(value)


def object_in(value: Any) -> dict[str, Any] | None:
    """Return the object that a value is, or that a text holds as JSON; None for anything else."""
    if isinstance(value, dict):
        return cast("dict[str, Any]", value)
    found = parsed(value) if isinstance(value, str) and value.lstrip(_SPACE)[:1] == "{" else None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None


def parsed(value: Any) -> Any:
    """Return what a text holds as JSON, or None; anything else as it is."""
    if not isinstance(value, str | Raw):
        return value
    try:
        return _parse(value)
    except _NOT_JSON:
        return None


def members_of(payload: Raw) -> dict[str, Raw] | None:
    """Return the members of an object, each as it is written; None for what is no object."""
    try:
        return _members(payload)
    except _NOT_JSON:
        return None


def text_of(value: Any) -> str | None:
    """Return a value as a text: a text as it is, anything else as JSON, and None or an empty text as None."""
    if type(value) is str:
        return value or None
    if value is None or type(value) is Raw:
        return None
    return bytes(payload_of(value)).decode("utf-8", "backslashreplace")


def _container(text: str) -> Raw | None:
    """Return the object or the array that a text is, or None."""
    if text[0] in _SPACE and text.lstrip(_SPACE)[:1] not in {"{", "["}:
        return None
    try:
        return _unescaped(text)
    except _NOT_JSON:
        return _without_odd_numbers(text)


def _without_odd_numbers(text: str) -> Raw | None:
    """Return JSON as Python writes it, with text where it has numbers that are none: NaN and the infinities."""
    if "NaN" not in text and "Infinity" not in text:
        return None
    try:
        return _unescaped(_ODD_NUMBERS.sub(lambda found: f'"{found[1]}"' if found[1] else found[0], text))
    except _NOT_JSON:
        return None


def _unescaped(text: str) -> Raw:
    """Return JSON with its escapes as the characters that they are, where JSON can hold those."""
    if "\\u" not in text:
        return _skip(text)
    try:
        raw = bytes(_skip(text))
    except msgspec.DecodeError:
        raw = bytes(_skip(without_halves(text.encode())))
    return Raw(_ESCAPES.sub(_characters, raw.decode()).encode())


def _characters(found: re.Match[str]) -> str:
    """Return what escapes stand for; control characters, quotation marks and halves of a pair stay escaped."""
    run = found[0]
    if run[1] != "u":
        return run
    said: str = json.loads(f'"{run}"')
    return said if _KEPT.search(said) is None else _KEPT.sub(_escape, said)


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
