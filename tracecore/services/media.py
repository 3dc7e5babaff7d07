"""Media: images, sounds and documents that observations and items of datasets refer to.

Bytes are kept once for each project, under an id that they themselves decide (the first 132 bits of their SHA-256), as
the attachment of their entry. They are there as soon as they have been uploaded with the length and the hash that were
announced. Where they are referred to from is an entry of its own for each reference, so that none is ever rewritten for
another.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final, Literal, TypeAlias

import anyio.to_thread
from msgspec import Struct
from msgspec.structs import replace

from tracecore.catalog import CatalogQuery, CatalogStore, Delete, Entry, Put
from tracecore.errors import ConfigError, Conflict, NotFound
from tracecore.kinds import Kind

__all__ = ["CONTENT_TYPES", "LARGEST_BYTES", "LINK_KIND", "Field", "Link", "Media", "MediaStore", "media_id_of"]

Field: TypeAlias = Literal["input", "output", "metadata", "expectedOutput"]
LARGEST_BYTES: Final = 64 << 20
"""Bytes of one upload, at most."""
_ID_CHARS: Final = 22
_HASH_BYTES: Final = 32
_QUICK_BYTES: Final = 1 << 18
"""Bytes that are hashed at once; more are on a thread, so that other requests are not held up."""
CONTENT_TYPES: Final = frozenset({
    "image/png", "image/jpeg", "image/jpg", "image/webp", "image/gif", "image/svg+xml", "image/tiff", "image/bmp",
    "image/avif", "image/heic", "audio/mpeg", "audio/mp3", "audio/wav", "audio/ogg", "audio/oga", "audio/aac",
    "audio/mp4", "audio/flac", "audio/opus", "audio/webm", "video/mp4", "video/webm", "video/ogg", "video/mpeg",
    "video/quicktime", "video/x-msvideo", "video/x-matroska", "text/plain", "text/html", "text/css", "text/csv",
    "text/markdown", "text/x-python", "application/javascript", "text/x-typescript", "application/x-yaml",
    "application/pdf", "application/msword", "application/vnd.ms-excel",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "application/zip", "application/json",
    "application/xml", "application/octet-stream",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation", "application/rtf",
    "application/x-ndjson", "application/vnd.apache.parquet", "application/gzip", "application/x-tar",
    "application/x-7z-compressed",
})  # fmt: skip
"""What may be uploaded: the types of Langfuse's ``MediaContentType``."""


class Media(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Describe the bytes of one id."""

    sha256: str
    """In standard base64, as it was announced."""
    content_type: str
    content_length: int
    """Bytes."""
    created_ns: int = 0
    uploaded_ns: int | None = None
    """When the bytes arrived here; None while they are not here."""
    upload_status: int | None = None
    """What the client was answered to its upload, as far as it told."""
    upload_error: str | None = None

    @property
    def id(self) -> str:
        """Return the id."""
        return media_id_of(self.sha256)


class Link(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Say where media are referred to from."""

    field: Field
    trace_id: str | None = None
    observation_id: str | None = None
    dataset_id: str | None = None
    dataset_item_id: str | None = None

    @property
    def refs(self) -> tuple[str, ...]:
        """Return the names by which the link is found."""
        named = {
            "trace": self.trace_id, "observation": self.observation_id, "dataset": self.dataset_id,
            "item": self.dataset_item_id,
        }  # fmt: skip
        return tuple(f"{name}:{value}" for name, value in named.items() if value)


_KIND: Final = Kind("media", Media)
LINK_KIND: Final = "media_link"
_LINKS: Final = Kind(LINK_KIND, Link)


def media_id_of(sha256: str) -> str:
    """Return the id of the bytes that have this hash, in standard base64.

    Raises:
        ConfigError: the text is no such hash.
    """
    return base64.urlsafe_b64encode(_digest(sha256)).decode()[:_ID_CHARS]


def _digest(sha256: str) -> bytes:
    try:
        digest = base64.b64decode(sha256, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != _HASH_BYTES:
        raise ConfigError("sha256Hash", sha256, "the request", "the SHA-256 of the bytes in base64, 44 characters")
    return digest


class MediaStore:
    """Keep the media of a project."""

    def __init__(self, catalog: CatalogStore) -> None:
        self._catalog = catalog

    async def announce(self, project: str, media: Media, link: Link, *, now_ns: int) -> Media:
        """Say that bytes will be uploaded, and what refers to them; return what is known of them.

        Raises:
            ConfigError: they are too many, of a type that is not taken, or the hash is none.
        """
        media = replace(_checked(media), created_ns=now_ns)
        linked = Put(_link_entry(project, media.id, link, now_ns))
        while True:
            entry = await self._described(project, media.id)
            known = media if entry is None else _announced(_KIND.of(entry), media)
            changes = [linked]
            if entry is None or known != _KIND.of(entry):
                if known.uploaded_ns is not None:
                    entry, _ = await self._entry(project, media.id)
                changes.append(Put(_entry_of(project, known, entry), entry.revision if entry else 0))
            try:
                await self._catalog.commit(changes)
            except Conflict:
                continue  # somebody announced or uploaded the same
            if await self._described(project, media.id) is not None:  # nobody dropped it meanwhile
                return known

    async def upload(self, project: str, media_id: str, data: bytes, *, now_ns: int) -> Media:
        """Keep the bytes of an id; that they are here already does not matter.

        Raises:
            ConfigError: they are not those that were announced.
            NotFound: nobody announced them.
        """
        digest = base64.b64encode(await _hash(data)).decode()
        while True:
            entry, media = await self._known(project, media_id)
            _check_bytes(media, data, digest)
            if media.uploaded_ns is not None:
                return media
            kept = replace(media, uploaded_ns=now_ns)
            try:
                await self._catalog.commit([Put(_entry_of(project, kept, entry, data), entry.revision)])
            except Conflict:
                continue
            return kept

    async def report(self, project: str, media_id: str, *, status: int, error: str | None) -> None:
        """Note what the client says of its upload, unless the bytes are here, which says all.

        Raises:
            NotFound: nobody announced them.
        """
        while True:
            entry, media = await self._known(project, media_id)
            told = replace(media, upload_status=status, upload_error=error)
            if media.uploaded_ns is not None or told == media:
                return
            try:
                await self._catalog.commit([Put(_entry_of(project, told, entry), entry.revision)])
            except Conflict:
                continue
            return

    async def get(self, project: str, media_id: str) -> Media:
        """Describe bytes that are here, without reading them.

        Raises:
            NotFound: they are not.
        """
        _, media = await self._known(project, media_id)
        return _arrived(media)

    async def read(self, project: str, media_id: str) -> tuple[Media, bytes]:
        """Return bytes, and what is known of them.

        Raises:
            NotFound: they are not here.
        """
        entry, media = await self._entry(project, media_id)
        return _arrived(media), entry.attachment

    async def drop_unless_linked(self, project: str, media_id: str) -> None:
        """Remove bytes to which nothing refers.

        Who refers to them while this happens either finds that they are gone, or has them put back.
        """
        entry = await self._catalog.get(project, _KIND.name, media_id)
        if entry is None or await self._is_linked(project, media_id):
            return
        try:
            await self._catalog.commit([Delete(project, _KIND.name, media_id, entry.revision)])
            if await self._is_linked(project, media_id):
                await self._catalog.commit([Put(entry, 0)])
        except Conflict:
            return  # somebody announced or uploaded them

    async def _is_linked(self, project: str, media_id: str) -> bool:
        query = CatalogQuery(kind=_LINKS.name, parent=media_id, limit=1)
        return bool((await self._catalog.find(project, query)).items)

    async def links(self, project: str, ref: str) -> list[tuple[str, Link]]:
        """Return the media that something refers to, by id, such as of ``trace:…`` or ``item:…``; the newest first."""
        query = CatalogQuery(kind=_LINKS.name, refs=(ref,))
        found = await _LINKS.every(self._catalog, project, query)
        return [(entry.parent or "", _LINKS.of(entry)) for entry in found]

    async def _described(self, project: str, media_id: str) -> Entry | None:
        """Return the entry of an id without its bytes, or None."""
        found = await self._catalog.find(project, CatalogQuery(kind=_KIND.name, name=media_id, limit=1))
        return found.items[0] if found.items else None

    async def _known(self, project: str, media_id: str) -> tuple[Entry, Media]:
        entry = await self._described(project, media_id)
        if entry is None:
            raise _unknown(media_id)
        return entry, _KIND.of(entry)

    async def _entry(self, project: str, media_id: str) -> tuple[Entry, Media]:
        """Return the entry of an id with its bytes."""
        entry = await self._catalog.get(project, _KIND.name, media_id)
        if entry is None:
            raise _unknown(media_id)
        return entry, _KIND.of(entry)


def _unknown(media_id: str) -> NotFound:
    return NotFound("media", media_id, "they are not in the project of the key")


def _checked(media: Media) -> Media:
    """Return what was announced, its hash as base64 is written."""
    if media.content_type not in CONTENT_TYPES:
        allowed = ", ".join(sorted(CONTENT_TYPES))
        raise ConfigError("contentType", media.content_type, "the request", f"one of {allowed}")
    if not 1 <= media.content_length <= LARGEST_BYTES:
        raise ConfigError("contentLength", media.content_length, "the request", f"1 to {LARGEST_BYTES} bytes")
    return replace(media, sha256=base64.b64encode(_digest(media.sha256)).decode())


def _announced(known: Media, again: Media) -> Media:
    """Return what is known of bytes that were announced again; what has arrived has its length already."""
    length = again.content_length if known.uploaded_ns is None else known.content_length
    return replace(known, content_type=again.content_type, content_length=length)


def _arrived(media: Media) -> Media:
    if media.uploaded_ns is None:
        failed = f" (the client was answered {media.upload_status})" if media.upload_status else ""
        raise NotFound("media", media.id, f"they were announced and not uploaded yet{failed}")
    return media


def _check_bytes(media: Media, data: bytes, digest: str) -> None:
    if len(data) != media.content_length:
        raise ConfigError("contentLength", len(data), "the upload", f"{media.content_length} bytes, as announced")
    if digest != media.sha256:
        raise ConfigError("sha256Hash", digest, "the upload", f"{media.sha256}, as announced")


async def _hash(data: bytes) -> bytes:
    if len(data) <= _QUICK_BYTES:
        return hashlib.sha256(data).digest()
    return (await anyio.to_thread.run_sync(hashlib.sha256, data)).digest()


def _entry_of(project: str, media: Media, known: Entry | None, data: bytes | None = None) -> Entry:
    """Return the entry of media; its name is its id, by which it is found without its bytes."""
    kept = known.attachment if known else b""
    return Entry(
        project=project, kind=_KIND.name, id=media.id, name=media.id, body=_KIND.body(media),
        position=media.created_ns, attachment=kept if data is None else data,
    )  # fmt: skip


def _link_entry(project: str, media_id: str, link: Link, now_ns: int) -> Entry:
    """Return the entry of a link: the same one, however often it is said."""
    said = "\0".join((media_id, link.field, *link.refs))
    return Entry(
        project=project, kind=_LINKS.name, id=hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest(),
        parent=media_id, refs=link.refs, body=_LINKS.body(link), position=now_ns,
    )  # fmt: skip
