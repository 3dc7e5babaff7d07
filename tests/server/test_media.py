"""Media over HTTP: announced, uploaded to a signed URL, described, and read from one."""

from __future__ import annotations

import base64
import gzip
import hashlib
from functools import partial
from string import ascii_letters
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.server.conftest import Api
from tracecore.catalog import CatalogQuery, Delete
from tracecore.errors import AccessDenied, ConfigError
from tracecore.memory import MemoryBackend, MemoryData
from tracecore.server.api.media import DownloadPermit, UploadPermit
from tracecore.services.media import CONTENT_TYPES, LARGEST_BYTES, Link, MediaStore, media_id_of
from tracecore.services.signing import Signer

DATA = bytes(range(256)) * 4
HOUR_S = 3600


def announcement(data: bytes = DATA, **changes: Any) -> dict[str, Any]:
    """Return what a client sends before it uploads."""
    return {
        "traceId": "t1", "observationId": None, "field": "input", "contentType": "image/png",
        "contentLength": len(data), "sha256Hash": base64.b64encode(hashlib.sha256(data).digest()).decode(), **changes,
    }  # fmt: skip


def media_id(data: bytes = DATA) -> str:
    """Return the id that the SDK expects for bytes."""
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode()[:22]


async def raw(api: Api, method: str, url: str, **options: Any) -> httpx2.Response:
    """Send a request without credentials, as an upload is."""
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(api.server)) as http:
        return await http.request(method, url, **options)


async def uploaded(api: Api, data: bytes = DATA, **changes: Any) -> str:
    """Announce and upload bytes; return their id."""
    told = await api.post("/media", announcement(data, **changes), status=201)
    answer = await raw(api, "PUT", told["uploadUrl"], content=data)
    assert answer.status_code == 200, answer.text
    return told["mediaId"]


async def test_bytes_make_the_round_trip(api: Api) -> None:
    """What is uploaded is described and read again to the byte; extra headers of an upload do not matter."""
    told = await api.post("/media", announcement(), status=201)
    assert told["mediaId"] == media_id()
    headers = {"content-type": "image/png", "x-amz-checksum-sha256": "?", "x-ms-blob-type": "BlockBlob"}
    assert (await raw(api, "PUT", told["uploadUrl"], content=DATA, headers=headers)).status_code == 200
    patch = {"uploadedAt": "2026-11-27T08:40:00.000Z", "uploadHttpStatus": 200, "uploadTimeMs": 12}
    assert (await api.p.patch(f"/media/{media_id()}", json=patch)).status_code == 204
    described = await api.get(f"/media/{media_id()}")
    assert described.keys() == {"mediaId", "contentType", "contentLength", "uploadedAt", "url", "urlExpiry"}
    assert (described["contentType"], described["contentLength"]) == ("image/png", len(DATA))
    assert (await raw(api, "GET", described["url"])).content == DATA


async def test_what_is_here_is_not_uploaded_again(api: Api) -> None:
    """Known bytes need no second upload, whoever refers to them; the newest type counts, and every reference."""
    first = await uploaded(api)
    again = await api.post("/media", announcement(traceId="t2", contentType="image/webp"), status=201)
    assert again == {"mediaId": first, "uploadUrl": None}
    described = await api.get(f"/media/{first}")
    assert described["contentType"] == "image/webp"
    assert (await raw(api, "GET", described["url"])).content == DATA
    await api.post("/media", announcement(traceId="t2", contentType="image/webp"), status=201)
    store = MediaStore(api.backend.catalog)
    assert [link for _, link in await store.links("p", "trace:t2")] == [Link(field="input", trace_id="t2")]
    assert [found for found, _ in await store.links("p", "trace:t1")] == [first]
    assert (await api.backend.catalog.find("p", CatalogQuery(kind="media_link"))).total == 2


async def test_nothing_but_what_was_announced_is_taken(api: Api) -> None:
    """Other bytes, more of them or fewer are refused, and then nothing is there."""
    url = (await api.post("/media", announcement(), status=201))["uploadUrl"]
    for data, status in ((DATA[:-1], 400), (DATA[:-1] + b"x", 400), (DATA + b"x", 413), (b"", 400)):
        assert (await raw(api, "PUT", url, content=data)).status_code == status
    assert (await api.p.get(f"/media/{media_id()}")).status_code == 404
    bomb = {"content-encoding": "gzip"}
    assert (await raw(api, "PUT", url, content=gzip.compress(bytes(1 << 20)), headers=bomb)).status_code == 413
    failed = {"uploadHttpStatus": 500, "uploadHttpError": "no" * 5000}
    assert (await api.p.patch(f"/media/{media_id()}", json=failed)).status_code == 204
    assert "500" in (await api.p.get(f"/media/{media_id()}")).json()["message"]
    assert (await raw(api, "PUT", url, content=DATA)).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"contentType": "application/x-msdownload"}, {"contentType": ""}, {"contentLength": 0},
        {"contentLength": LARGEST_BYTES + 1}, {"sha256Hash": "x"}, {"sha256Hash": "A" * 44}, {"field": "body"},
        {"traceId": None}, {"contentLength": "many"},
    ],
)  # fmt: skip
async def test_what_cannot_be_announced(api: Api, changes: dict[str, Any]) -> None:
    """A type that is not taken, too many bytes, no hash, or nothing that refers to them: 400, and nothing is kept."""
    assert (await api.p.post("/media", json=announcement(**changes))).status_code == 400
    assert (await api.backend.catalog.find("p", CatalogQuery(kind="media"))).total == 0


async def test_a_url_permits_what_it_says(api: Api) -> None:
    """A signed URL is for one medium, one verb and one hour; changed in any way it permits nothing."""
    await uploaded(api)
    other = b"other"
    upload = (await api.post("/media", announcement(other), status=201))["uploadUrl"]
    download = (await api.get(f"/media/{media_id()}"))["url"]
    for method, url in (
        ("GET", download.replace(media_id(), media_id(other))),
        ("PUT", upload.replace(media_id(other), media_id())),
        ("GET", download.partition("token=")[0] + "token=" + upload.partition("token=")[2]),
        ("PUT", upload.partition("token=")[0] + "token=" + download.partition("token=")[2]),
        *(("GET", download[:-1] + last) for last in ascii_letters if last != download[-1]),
        ("GET", download.partition("?")[0]),
        ("GET", download + "é"),
    ):
        assert (await raw(api, method, url, content=other if method == "PUT" else None)).status_code == 403
    api.later(HOUR_S - 1)
    assert (await raw(api, "GET", download)).status_code == 200
    api.later(1)
    assert (await raw(api, "GET", download)).status_code == 403
    assert (await raw(api, "PUT", upload, content=other)).status_code == 403


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "application/javascript"])
async def test_what_is_downloaded_can_do_nothing(api: Api, kind: str) -> None:
    """Whatever somebody uploaded, a browser neither runs it in the server's origin nor guesses what else it is."""
    data = b"<script>alert(1)</script>"
    found = await uploaded(api, data, contentType=kind)
    answer = await raw(api, "GET", (await api.get(f"/media/{found}"))["url"])
    assert answer.headers["content-type"] == kind
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.content == data


async def test_projects_do_not_see_each_others_media(api: Api) -> None:
    """The same bytes in two projects are two; to another project they are unknown."""
    found = await uploaded(api)
    for method, body in (("GET", None), ("PATCH", {"uploadHttpStatus": 200})):
        foreign = await api.q.request(method, f"/media/{found}", json=body)
        unknown = await api.q.request(method, f"/media/{'A' * 22}", json=body)
        assert foreign.status_code == unknown.status_code == 404
        assert foreign.text.replace(found, "A" * 22) == unknown.text
    assert (await api.q.post("/media", json=announcement())).json()["uploadUrl"] is not None


async def test_behind_a_proxy_urls_are_https(api: Api) -> None:
    """Where TLS ends before the server, a URL says what the client sees, under the name that it asked for."""
    headers = {"x-forwarded-proto": "https", "host": "traces.example.com"}
    told = (await api.p.post("/media", json=announcement(), headers=headers)).json()
    assert told["uploadUrl"].startswith("https://traces.example.com/api/public/media/")


async def test_mounted_urls_lead_back(api: Api) -> None:
    """In an application that mounts the server, behind a proxy that has a path for it, URLs begin with both."""
    outer = Starlette(routes=[Mount("/tracecore", api.server)])
    transport = httpx2.ASGITransport(outer, root_path="/behind")
    async with httpx2.AsyncClient(transport=transport, base_url="http://server", auth=api.p.auth) as client:
        told = (await client.post("/behind/tracecore/api/public/media?a=b", json=announcement())).json()
    path = "/tracecore/api/public/media/"
    assert told["uploadUrl"].startswith(f"http://server/behind{path}")
    assert told["uploadUrl"].count("?") == 1
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(outer), base_url="http://server") as client:
        client.auth = api.p.auth
        told = (await client.post("/tracecore/api/public/media", json=announcement())).json()
        assert told["uploadUrl"].startswith(f"http://server{path}")
        assert (await client.put(told["uploadUrl"], content=DATA, auth=None)).status_code == 200
        found = (await client.get(f"/tracecore/api/public/media/{told['mediaId']}")).json()
        assert (await client.get(found["url"], auth=None)).content == DATA


async def test_many_at_once_lose_nothing(api: Api) -> None:
    """The same bytes, announced and uploaded by many at once, are there, once, with every reference."""

    async def one(number: int) -> None:
        told = await api.post("/media", announcement(traceId=f"t{number}"), status=201)
        if told["uploadUrl"] is not None:
            assert (await raw(api, "PUT", told["uploadUrl"], content=DATA)).status_code == 200

    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(one, number)
    assert (await api.backend.catalog.find("p", CatalogQuery(kind="media"))).total == 1
    assert (await api.backend.catalog.find("p", CatalogQuery(kind="media_link"))).total == 20
    assert (await raw(api, "GET", (await api.get(f"/media/{media_id()}"))["url"])).content == DATA


async def test_dropping_beside_announcing_loses_nothing(api: Api) -> None:
    """Bytes that are dropped while somebody refers to them again are there, or that one is told to upload them."""
    store = MediaStore(api.backend.catalog)
    for number in range(30):
        data = b"%d" % number
        found = await uploaded(api, data)
        await drop_links(api, found)
        told: list[dict[str, Any]] = []

        async def announce(data: bytes = data, told: list[dict[str, Any]] = told) -> None:
            told.append(await api.post("/media", announcement(data, traceId="t2"), status=201))

        async with anyio.create_task_group() as group:
            for work in (announce, partial(store.drop_unless_linked, "p", found), partial(drop_again, store, found)):
                group.start_soon(work)
        if told[0]["uploadUrl"] is not None:
            assert (await raw(api, "PUT", told[0]["uploadUrl"], content=data)).status_code == 200
        assert (await raw(api, "GET", (await api.get(f"/media/{found}"))["url"])).content == data


async def drop_again(store: MediaStore, media_id: str) -> None:
    """Try to drop bytes some steps later."""
    for _ in range(3):
        await anyio.lowlevel.checkpoint()
    await store.drop_unless_linked("p", media_id)


async def drop_links(api: Api, media_id: str) -> None:
    """Remove all that refers to bytes."""
    links = await api.backend.catalog.find("p", CatalogQuery(kind="media_link", parent=media_id))
    await api.backend.catalog.commit([Delete("p", "media_link", link.id) for link in links.items])


def test_every_type_of_langfuse_is_taken() -> None:
    """The list is as long as that of Langfuse, and a type in it is written as HTTP writes it."""
    assert len(CONTENT_TYPES) == 52
    assert all(kind == kind.lower() and kind.count("/") == 1 for kind in CONTENT_TYPES)


def test_no_other_hash_is_one() -> None:
    """Only the base64 of 32 bytes is the hash of something."""
    for text in ("", "A" * 43, "A" * 44, "é" * 44, base64.b64encode(bytes(31)).decode(), "=" * 44):
        with pytest.raises(ConfigError):
            media_id_of(text)
    assert media_id_of(base64.b64encode(bytes(32)).decode()) == "A" * 22


async def test_servers_of_one_installation_read_each_others_urls() -> None:
    """Several processes sign alike, also when they begin at once; another installation, and another pepper, do not."""
    backend = MemoryBackend(MemoryData(), location="memory:", access="write")
    await backend.open()
    signers = [Signer(backend.catalog) for _ in range(3)]
    permit = DownloadPermit("p", "m", 10)
    texts: list[str] = []

    async def sign(signer: Signer) -> None:
        texts.append(await signer.sign(permit))

    async with anyio.create_task_group() as group:
        for signer in signers:
            group.start_soon(sign, signer)
    assert len(set(texts)) == 1
    assert await signers[0].read(texts[0], DownloadPermit, now_ns=9) == permit
    for other, kind, now in (
        (Signer(backend.catalog, "pepper"), DownloadPermit, 9), (signers[0], UploadPermit, 9),
        (signers[0], DownloadPermit, 10),
    ):  # fmt: skip
        with pytest.raises(AccessDenied):
            await other.read(texts[0], kind, now_ns=now)
    await backend.close()


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_no_other_text_is_signed(text: str) -> None:
    """Whatever somebody writes into a URL, it is refused in the same words."""

    async def read() -> None:
        backend = MemoryBackend(MemoryData(), location="memory:", access="write")
        with pytest.raises(AccessDenied, match="not made here"):
            await Signer(backend.catalog, "pepper").read(text, DownloadPermit, now_ns=0)

    anyio.run(read)
