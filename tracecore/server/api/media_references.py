"""References to media within the payloads of items: ``@@@langfuseMedia:type=…|id=…|source=…@@@``, resolved.

The reference is what Langfuse's SDKs put in the place of bytes that they upload.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final, Literal, TypeAlias, cast

import msgspec
from msgspec import Raw, Struct

from tracecore.errors import NotFound
from tracecore.server.api.media import download_url
from tracecore.server.operations import Call
from tracecore.services.media import Media, MediaStore

__all__ = ["MediaReference", "media_references"]

Field: TypeAlias = Literal["input", "expectedOutput", "metadata"]
_SIGN: Final = b"@@@langfuseMedia:"
_REFERENCE: Final = re.compile(
    r"@@@langfuseMedia:type=[^|@]{1,200}\|id=(?P<id>[A-Za-z0-9_-]{1,64})\|source=[a-z0-9_]{1,40}@@@"
)
_MOST: Final = 100
"""References of one item that are resolved."""


class ReferencedMedia(Struct, frozen=True, rename="camel"):
    """Describe media, and where they can be read for a while."""

    media_id: str
    content_type: str
    content_length: int
    url: str
    url_expiry: str


class MediaReference(Struct, frozen=True, rename="camel"):
    """Say where in an item media are referred to."""

    field: Field
    reference_string: str
    json_path: str
    media: ReferencedMedia


async def media_references(call: Call, payloads: dict[Field, Raw]) -> list[MediaReference]:
    """Return the references in payloads to media that are here."""
    found: list[MediaReference] = []
    known: dict[str, ReferencedMedia | None] = {}
    for field, payload in payloads.items():
        for path, reference, media_id in _references(payload):
            if len(found) == _MOST:
                return found
            if media_id not in known:
                known[media_id] = await _resolved(call, media_id)
            media = known[media_id]
            if media is not None:
                found.append(MediaReference(field, reference, path, media))
    return found


async def _resolved(call: Call, media_id: str) -> ReferencedMedia | None:
    try:
        media: Media = await MediaStore(call.catalog).get(call.project, media_id)
    except NotFound:
        return None
    url, expiry = await download_url(call, media_id)
    return ReferencedMedia(media_id, media.content_type, media.content_length, url, expiry)


def _references(payload: Raw) -> Iterator[tuple[str, str, str]]:
    """Yield path, text and id of each reference; most payloads hold none, and are not decoded."""
    data = bytes(payload)
    if _SIGN not in data:
        return
    try:
        value = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return
    for path, text in _texts(value):
        for match in _REFERENCE.finditer(text):
            yield path, match[0], match["id"]


def _texts(value: Any) -> Iterator[tuple[str, str]]:
    """Yield every text within a value, with its JSONPath (RFC 9535), in their order."""
    waiting: list[tuple[str, Any]] = [("$", value)]
    while waiting:
        path, node = waiting.pop()
        if isinstance(node, str):
            yield path, node
        elif isinstance(node, dict):
            members = cast("dict[str, Any]", node).items()
            waiting += [(f"{path}[{_quoted(name)}]", member) for name, member in reversed(members)]
        elif isinstance(node, list):
            items = cast("list[object]", node)
            waiting += [(f"{path}[{number}]", item) for number, item in reversed(list(enumerate(items)))]


def _quoted(name: str) -> str:
    """Return a name as a JSONPath quotes it, in single quotes."""
    inner = json.dumps(name, ensure_ascii=False)[1:-1].replace('\\"', '"').replace("'", "\\'")
    return f"'{inner}'"
