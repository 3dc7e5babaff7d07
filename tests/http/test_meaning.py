"""T15: each answer is handled by its meaning, over real sockets."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import httpx2
import msgspec
import pytest

from tests.http_server import Asked, Reply, stub
from tests.torture.declaring import torture
from tracecore.backend import Batch, Capabilities, Receipt
from tracecore.errors import BackendError, BackendRejected, BackendUnavailable, DiskFull
from tracecore.records import LedgerEntry
from tracecore.server.bodies import zstd
from tracecore.testing.opening import opened, opened_with
from tracecore.testing.samples import entry, generation, json_of, span
from tracecore.wire import BASE, Problem, Written, decode_batch, encode
from tracecore_http import meaning, open_backend
from tracecore_http.meaning import error_in
from tracecore_http.transport import Answer

CAPABILITIES = Reply(200, encode(Capabilities(ledger=True)))
KEPT = Reply(200, encode(Written(1)))


def native(answer: Callable[[Asked], Reply]) -> Callable[[Asked], Reply]:
    """Return what a server answers that says what it can do, and answers everything else by a function."""
    return lambda asked: CAPABILITIES if asked.path.endswith("/capabilities") else answer(asked)


def problem(title: str, status: int, **fields: Any) -> Reply:
    """Return the answer of a tracecore server that raised an error."""
    body = encode(Problem(title, status, "what happened", **fields))
    return Reply(status, body, {"content-type": "application/problem+json; charset=utf-8"})


TABLE: list[tuple[Reply, type[BackendError], float | None, str]] = [
    (Reply(429, headers={"retry-after": "7"}), BackendUnavailable, 7, "429 Too Many Requests"),
    (Reply(503, headers={"retry-after": "0.5"}), BackendUnavailable, 0.5, "503"),
    (Reply(503, headers={"retry-after": "-3"}), BackendUnavailable, 0, "503"),
    (Reply(503, headers={"retry-after": "soon"}), BackendUnavailable, None, "503"),
    (Reply(503, headers={"retry-after": "nan"}), BackendUnavailable, None, "503"),
    (Reply(500, b'{"message": "no disk"}'), BackendUnavailable, None, "500 Internal Server Error: no disk"),
    (Reply(502, b"<html>", {"content-type": "text/html"}), BackendUnavailable, None, "502 Bad Gateway"),
    (Reply(504), BackendUnavailable, None, "504"),
    (Reply(599), BackendUnavailable, None, "599"),
    (Reply(408), BackendUnavailable, None, "408"),
    (Reply(425), BackendUnavailable, None, "425"),
    (Reply(400, b'{"detail": "no such field"}'), BackendUnavailable, 30, "tracecore server does: no such field"),
    (Reply(400, b"<html>", {"content-type": "text/html"}), BackendUnavailable, 30, "what stands before the server"),
    (Reply(422, b"bad\r\nrow", {"content-type": "text/plain"}), BackendUnavailable, 30, "bad  row"),
    (Reply(413), BackendRejected, None, "413"),
    (Reply(401), BackendUnavailable, 30, "correct the credentials"),
    (Reply(403, headers={"retry-after": "90"}), BackendUnavailable, 90, "correct the credentials"),
    (Reply(404), BackendUnavailable, 30, "correct the address"),
    (Reply(405), BackendUnavailable, 30, "correct the address"),
    (Reply(415), BackendUnavailable, 30, "correct the address"),
    (
        Reply(301, headers={"location": "https://u:p@new.example/x?t=s"}),
        BackendUnavailable,
        30,
        "https://new.example/x",
    ),
    (Reply(307, headers={"location": "/elsewhere"}), BackendUnavailable, 30, "to /elsewhere"),
    (Reply(308), BackendUnavailable, 30, "has moved, and"),
    (Reply(204, b""), BackendUnavailable, 30, "not as a tracecore server does"),
    (Reply(200, b"<html>log in</html>", {"content-type": "text/html"}), BackendUnavailable, 30, "a web page"),
    (Reply(200, b"<html>log in</html>"), BackendUnavailable, 30, "not as a tracecore server does"),
    (Reply(200, b"[]"), BackendUnavailable, 30, "not as a tracecore server does"),
    (Reply(None), BackendUnavailable, None, "cannot be reached"),
    (problem("BackendUnavailable", 503, retry_after=4.0), BackendUnavailable, 4, "what happened"),
    (problem("DiskFull", 503), DiskFull, None, "what happened"),
    (problem("BackendRejected", 422, remedy="change it"), BackendRejected, None, "what happened; change it"),
    (problem("Malformed", 400), BackendRejected, None, "400 Bad Request: what happened"),
    (problem("Bad Request", 400), BackendUnavailable, 30, "not as a tracecore server does: what happened"),
    (Reply(400, b"{}", {"content-type": "application/problem+json"}), BackendUnavailable, 30, "what stands before"),
    (problem("InternalError", 500), BackendUnavailable, None, "500 Internal Server Error: what happened"),
    (problem("AccessDenied", 403), BackendUnavailable, 30, "correct the credentials"),
]


@torture("T15", "an HTTP server answers this or that")
@pytest.mark.parametrize(("reply", "kind", "retry_after", "says"), TABLE)
async def test_each_answer_is_handled_by_its_meaning(
    reply: Reply, kind: type[BackendError], retry_after: float | None, says: str
) -> None:
    """The class says what to do next, ``retry_after`` when, and the text what happened, without a secret."""
    with stub(native(lambda _: reply)) as server:
        async with opened(open_backend(f"http://alice:hunter2@{server.address}")) as backend:
            with pytest.raises(kind) as raised:
                await backend.write([span(1)])
    assert says in str(raised.value)
    assert getattr(raised.value, "retry_after", None) == retry_after
    assert "hunter2" not in str(raised.value)
    assert "u:p" not in str(raised.value)


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply(400, b'{"detail": "no such field"}'), "no such field"),
        (Reply(422, b"bad\r\nrow", {"content-type": "text/plain"}), "bad  row"),
    ],
)
async def test_what_a_collector_refuses_is_refused_for_good(reply: Reply, says: str) -> None:
    """One that is not ours has no other way to say so: the pump halves the batch, and what is refused is counted."""
    with stub(lambda asked: Reply(200) if b"work" not in asked.body else reply) as server:
        async with opened(open_backend(f"http+otlp://{server.address}?compression=none")) as backend:
            with pytest.raises(BackendRejected, match=says):
                await backend.write([span(1)])


def test_a_date_is_a_time_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """``Retry-After`` may be a date; the wait is the time until then, and none where it has passed."""
    now = 1_790_000_000
    monkeypatch.setattr(meaning, "wall_ns", lambda: now * 10**9)
    for seconds, expected in ((60, 60.0), (-60, 0.0)):
        answer = Answer(503, {"retry-after": formatdate(now + seconds, usegmt=True)}, b"")
        error = error_in(answer, "https://h", str)
        assert isinstance(error, BackendUnavailable)
        assert error.retry_after == expected


@pytest.mark.parametrize(
    "url", ["http://{}", "http+otlp://{}", "http+otlp://{}?encoding=json", "http+langfuse://pk:sk@{}"]
)
async def test_a_page_to_log_in_on_keeps_nothing(url: str) -> None:
    """200 with a web page, from whatever is in the way, is no sign that anything was kept, whoever was asked."""
    page = Reply(200, b"<html>log in</html>", {"content-type": "Text/HTML; charset=utf-8"})
    capabilities, portal = CAPABILITIES.body, list[Reply]()

    def answer(asked: Asked) -> Reply:
        known = b'{"data":[]}' if "projects" in asked.path else capabilities if "capabilities" in asked.path else b"{}"
        return portal[0] if portal else Reply(200, known)

    with stub(answer) as server:
        async with opened(open_backend(url.format(server.address))) as backend:
            portal.append(page)
            with pytest.raises(BackendUnavailable, match="200 with a web page") as raised:
                await backend.write([span(1)])
    assert raised.value.retry_after == 30


async def test_nobody_there_is_unavailable() -> None:
    """A refused connection, and a name that leads nowhere, may pass."""
    with stub(lambda _: KEPT) as server:
        address = server.address
    for url in (f"http://{address}", "http://no-such-host.invalid"):
        backend = open_backend(url)
        with pytest.raises(BackendUnavailable, match=r"cannot be reached.*; start the server, or correct the address"):
            await backend.open()
        await backend.close()


async def test_a_server_that_refuses_us_is_not_opened() -> None:
    """Opening asks: whoever has the wrong key, or the wrong address, hears of it before anything is recorded."""
    for url, path in (
        ("http://{}", f"{BASE}/capabilities"),
        ("http+otlp://{}", "/v1/traces"),
        ("http+langfuse://pk:sk@{}", "/api/public/projects"),
    ):
        with stub(lambda _: Reply(401)) as server:
            backend = open_backend(url.format(server.address))
            with pytest.raises(BackendUnavailable, match="correct the credentials"):
                await backend.open()
            with pytest.raises(BackendUnavailable, match="not open"):
                await backend.write([span(1)])
            await backend.close()
        assert [asked.path for asked in server.asked] == [path]


async def test_credentials_that_were_refused_are_read_again(tmp_path: Any) -> None:
    """Whoever puts the right key into the secret file need start nothing again."""
    file = tmp_path / "key"
    file.write_text("wrong")
    answer = native(lambda asked: KEPT if asked.headers["authorization"] == "Bearer right" else Reply(401))
    with stub(answer) as server:
        async with opened(open_backend(f"http://{server.address}?secret_file={file}")) as backend:
            with pytest.raises(BackendUnavailable):
                await backend.write([span(1)])
            file.write_text("right")
            await backend.write([span(1)])


def _picky(most: int, kept: list[Batch]) -> Callable[[Asked], Reply]:
    """Return what a server answers that takes at most so many records at once, and none with a long input."""

    def answer(asked: Asked) -> Reply:
        batch = decode_batch(zstd.decompress(asked.body))
        if len(batch) > most or any(len(getattr(record, "input", b"")) > 100 for record in batch):
            return Reply(413)
        kept.append(batch)
        return Reply(200, encode(Written(len(batch))))

    return native(answer)


@torture("T15", "an HTTP server answers this or that")
async def test_what_is_too_large_is_halved() -> None:
    """413: every record arrives, in parts that are taken, in their order, the entry of the ledger last."""
    kept: list[Batch] = []
    batch = [*(span(number) for number in range(1, 20)), entry()]
    with stub(_picky(4, kept)) as server:
        async with opened_with(open_backend(f"http://{server.address}"), batch):
            pass
    assert [record for part in kept for record in part] == batch
    assert max(map(len, kept)) <= 4


async def test_a_record_that_is_too_large_by_itself_is_refused() -> None:
    """413 for a single record, with or without its entry, is final, so that the pump can write what is left of it."""
    large = generation(1, input=json_of("x" * 200))
    with stub(_picky(4, [])) as server:
        async with opened(open_backend(f"http://{server.address}")) as backend:
            for batch in ([large], [large, entry()], [span(2), large]):
                with pytest.raises(BackendRejected, match="413"):
                    await backend.write(batch)
            assert await backend.write([span(2), entry()]) is None


@torture("T15", "an HTTP server answers this or that")
async def test_a_part_that_was_rejected_is_said_in_a_receipt() -> None:
    """A server that keeps a batch in part says how much of it and why; of halves, the sum."""
    rejects = Reply(200, encode(Written(1, 1, "odd")))
    with stub(native(lambda asked: Reply(413) if len(_batch(asked)) > 2 else rejects)) as server:
        async with opened(open_backend(f"http://{server.address}")) as backend:
            assert await backend.write([span(1), span(2)]) == Receipt(1, "odd")
            assert await backend.write([span(number) for number in range(1, 5)]) == Receipt(2, "odd; odd")


async def test_a_receipt_can_be_shown() -> None:
    """What a server says of what it rejects is cut, on one line, without our secrets; a number below zero is none."""
    said = encode(Written(0, 1, f"hunter2\n{'x' * 1000}"))
    for body, expected in ((said, Receipt(1, f"*** {'x' * 296}")), (encode(Written(3, -2, "odd")), None)):
        with stub(native(lambda _, body=body: Reply(200, body))) as server:  # type: ignore[misc]  # a default binds it
            async with opened(open_backend(f"http://alice:hunter2@{server.address}")) as backend:
                assert await backend.write([span(1)]) == expected


def _batch(asked: Asked) -> Batch:
    return decode_batch(zstd.decompress(asked.body))


async def test_a_server_without_a_ledger_is_sent_no_entry() -> None:
    """What its backend cannot keep is refused here: the pump then sends no entries any more, and no record is lost."""
    without = Reply(200, encode(Capabilities(traces=True)))
    with stub(lambda asked: without if asked.method == "GET" else KEPT) as server:
        async with opened(open_backend(f"http://{server.address}")) as backend:
            with pytest.raises(BackendRejected, match="no ledger"):
                await backend.write([span(1), entry()])
            await backend.write([span(1)])
    assert not any(isinstance(record, LedgerEntry) for asked in server.asked[1:] for record in _batch(asked))


async def test_what_every_request_says() -> None:
    """Who asks, what the body is, how it was compressed, and that the answer need not be."""
    with stub(native(lambda _: KEPT)) as server:
        async with opened(open_backend(f"http://alice:s@{server.address}/pre/?header.x-team=web")) as backend:
            await backend.write([span(1)])
            await backend.write([span(2)])
    first, second = server.asked[1:]
    assert (first.method, first.path) == ("POST", f"/pre{BASE}/batch")
    expected = {
        "authorization": "Basic YWxpY2U6cw==", "x-team": "web", "content-type": "application/json",
        "content-encoding": "zstd", "accept-encoding": "identity", "user-agent": "tracecore",
    }  # fmt: skip
    assert expected.items() <= first.headers.items()
    assert _batch(first) == [span(1)]
    assert second.headers.keys() == first.headers.keys()


async def test_cookies_are_not_kept() -> None:
    """A server cannot make us carry anything."""
    with stub(native(lambda _: Reply(200, KEPT.body, {"set-cookie": "a=b; Path=/"}))) as server:
        async with opened(open_backend(f"http://{server.address}")) as backend:
            await backend.write([span(1)])
            await backend.write([span(2)])
    assert not [asked for asked in server.asked if "cookie" in asked.headers]


async def test_the_log_of_the_program_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """No request of ours is reported, every one of the program's own still is."""
    caplog.set_level("INFO")
    with stub(native(lambda _: KEPT)) as server:
        async with opened(open_backend(f"http://{server.address}")) as backend:
            await backend.write([span(1)])
            assert caplog.text == ""
            async with httpx2.AsyncClient() as client:
                await client.get(f"http://{server.address}/theirs")
    assert caplog.text.count("HTTP Request") == 1
    assert "/theirs" in caplog.text


@pytest.mark.parametrize("compression", ["zstd", "gzip", "none"])
async def test_every_compression_can_be_read(compression: str) -> None:
    """What is sent is what the header says it is."""
    import gzip

    read = {"zstd": zstd.decompress, "gzip": gzip.decompress, "none": bytes}[compression]
    batch = [span(number, input=json_of("x" * 1000)) for number in range(1, 1000)]
    with stub(native(lambda _: KEPT)) as server:
        async with opened_with(open_backend(f"http://{server.address}?compression={compression}"), batch):
            pass
    body = server.asked[1].body
    assert server.asked[1].headers.get("content-encoding", "none") == compression
    assert msgspec.json.decode(read(body))[0]["span_id"] == span(1).span_id
    assert decode_batch(read(body)) == batch
