"""Media: announced, uploaded to a URL of ours, and read from one.

These URLs are signed, hold for an hour, and are all the credential that they need: the SDK sends none with an upload,
and a browser none with an image. What is downloaded can do nothing in the origin of the server: it is an attachment of
the type that was announced, which a browser neither guesses nor runs.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final
from urllib.parse import urlencode

from msgspec import Meta, Struct
from msgspec.structs import replace
from starlette.responses import Response

from tracecore.errors import AccessDenied
from tracecore.server.answers import LongAnswer
from tracecore.server.api.times import iso
from tracecore.server.bodies import body_of
from tracecore.server.langfuse_errors import InvalidRequest, answer_to
from tracecore.server.operations import PUBLIC, Call, Operations
from tracecore.services.media import LARGEST_BYTES, Field, Link, Media, MediaStore

__all__ = ["download_url", "operations"]

operations = Operations()

_HOLDS_NS: Final = 3_600_000_000_000
"""How long a URL holds."""
_ERROR_CHARS: Final = 2000


class Announced(Struct, frozen=True, rename="camel"):
    """Announce an upload, and say what refers to it."""

    content_type: str
    content_length: int
    sha256_hash: str
    """In base64."""
    field: Field
    trace_id: str | None = None
    observation_id: str | None = None
    dataset_id: str | None = None
    dataset_item_id: str | None = None


class UploadAnswer(Struct, frozen=True, rename="camel"):
    """Say where to upload to; nowhere where the bytes are here already."""

    media_id: str
    upload_url: str | None


class Uploaded(Struct, frozen=True, rename="camel"):
    """Tell how an upload went."""

    upload_http_status: Annotated[int, Meta(ge=0, le=999)]
    uploaded_at: datetime | None = None
    upload_http_error: str | None = None
    upload_time_ms: float | None = None


class MediaAnswer(Struct, frozen=True, rename="camel"):
    """Describe media, and say where they can be read."""

    media_id: str
    content_type: str
    content_length: int
    uploaded_at: str
    url: str
    url_expiry: str


class Signed(Struct, frozen=True):
    """Hold what the query of a signed URL says."""

    token: str = ""


class UploadPermit(Struct, frozen=True):
    """Permit one upload."""

    project: str
    media_id: str
    sha256: str
    length: int
    expires_ns: int


class DownloadPermit(Struct, frozen=True):
    """Permit downloads of one medium."""

    project: str
    media_id: str
    expires_ns: int


@operations.post("/media", permission="ingest:create", status=201)
async def announce_media(call: Call, body: Announced) -> UploadAnswer:
    """Return where bytes can be uploaded to."""
    link = Link(
        field=body.field, trace_id=body.trace_id, observation_id=body.observation_id, dataset_id=body.dataset_id,
        dataset_item_id=body.dataset_item_id,
    )  # fmt: skip
    if not link.refs:
        raise InvalidRequest("name what refers to the media: a traceId, an observationId or a datasetItemId")
    announced = Media(
        sha256=body.sha256_hash, content_type=body.content_type.partition(";")[0].strip().lower(),
        content_length=body.content_length,
    )  # fmt: skip
    known = await MediaStore(call.catalog).announce(call.project, announced, link, now_ns=call.now_ns)
    if known.uploaded_ns is not None:
        return UploadAnswer(known.id, None)
    permit = UploadPermit(call.project, known.id, known.sha256, known.content_length, call.now_ns + _HOLDS_NS)
    return UploadAnswer(known.id, _url(call, known.id, "upload", await call.state.signer.sign(permit)))


@operations.put("/media/{media_id}/upload", permission=PUBLIC)
async def upload_media(call: Call, media_id: str, query: Signed) -> Annotated[Response, None]:
    """Keep the bytes that were announced; their length and hash must be those that were."""
    permit = await call.state.signer.read(query.token, UploadPermit, now_ns=call.now_ns)
    if permit.media_id != media_id or not 0 < permit.length <= LARGEST_BYTES:
        raise AccessDenied("this URL permits the upload of other media")
    limits = replace(call.state.limits, wire_bytes=permit.length, inflated_bytes=permit.length)
    with call.state.allowance.share() as take:
        data = await body_of(call.request, limits, take)
        await MediaStore(call.catalog).upload(permit.project, media_id, data, now_ns=call.now_ns)
    return Response()  # 200: the JavaScript SDK takes nothing else for an upload that went well


@operations.patch("/media/{media_id}", permission="ingest:create")
async def report_upload(call: Call, media_id: str, body: Uploaded) -> None:
    """Note how an upload went, as its client saw it."""
    error = None if body.upload_http_error is None else body.upload_http_error[:_ERROR_CHARS]
    store = MediaStore(call.catalog)
    await store.report(call.project, media_id, status=body.upload_http_status, error=error)


@operations.get("/media/{media_id}", permission="project:read")
async def get_media(call: Call, media_id: str) -> MediaAnswer:
    """Describe media that have been uploaded, with a URL that holds for an hour."""
    media = await MediaStore(call.catalog).get(call.project, media_id)
    url, expiry = await download_url(call, media.id)
    uploaded = iso(media.uploaded_ns or media.created_ns)
    return MediaAnswer(media.id, media.content_type, media.content_length, uploaded, url, expiry)


@operations.get("/media/{media_id}/download", permission=PUBLIC)
async def download_media(call: Call, media_id: str, query: Signed) -> Annotated[Response, None]:
    """Return the bytes."""
    permit = await call.state.signer.read(query.token, DownloadPermit, now_ns=call.now_ns)
    if permit.media_id != media_id:
        raise AccessDenied("this URL permits the download of other media")
    media, data = await MediaStore(call.catalog).read(permit.project, media_id)
    call.hold(len(data))
    headers = {
        "content-type": media.content_type,  # as a header, so that no charset is added
        "content-disposition": f'attachment; filename="{media.id}"',
        "content-security-policy": "default-src 'none'; sandbox",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "private, max-age=3600, immutable",
    }
    return LongAnswer(data, call.state.allowance.answers, answer_to, headers=headers, media_type=None)


async def download_url(call: Call, media_id: str) -> tuple[str, str]:
    """Return a URL of media in the project of the request, and until when it holds."""
    expires_ns = call.now_ns + _HOLDS_NS
    token = await call.state.signer.sign(DownloadPermit(call.project, media_id, expires_ns))
    return _url(call, media_id, "download", token), iso(expires_ns)


def _url(call: Call, media_id: str, verb: str, token: str) -> str:
    """Return a URL of this server as the client names it; it is shown to nobody else, so that it may say what it is.

    Where the server is mounted in another application, it begins as the paths that lead here. Behind a proxy that ends
    TLS the scheme is what that says in ``X-Forwarded-Proto``.
    """
    base = call.request.url.replace(path=call.request.scope.get("root_path", ""), query="", fragment="")
    if call.request.headers.get("x-forwarded-proto") == "https":
        base = base.replace(scheme="https")
    return f"{str(base).rstrip('/')}/api/public/media/{media_id}/{verb}?{urlencode({'token': token})}"
