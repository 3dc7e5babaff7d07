"""What a backend says of where it writes to, for whoever looks for a mistake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette

from tests.http_server import Asked, Reply, served, stub
from tracecore import __version__
from tracecore.backend import Capabilities, Inspectable
from tracecore.memory import open_backend as memory
from tracecore.server.native import routes
from tracecore.testing.opening import opened
from tracecore.wire import encode
from tracecore_http import open_backend


async def facts_of(url: str) -> dict[str, str]:
    """Return what a backend says of where it is."""
    async with opened(open_backend(url, access="read")) as backend:
        assert isinstance(backend, Inspectable)
        return dict(await backend.facts())


async def known_of(answer: Callable[[Asked], Reply], url: str) -> dict[str, str]:
    """Return the same of a server that answers so."""
    with stub(answer) as server:
        return await facts_of(url.format(server.address))


async def test_a_tracecore_server_says_which_it_is() -> None:
    """Version, what is behind it, the project that is reached, and what matters on the way."""
    for reach, project in ((None, "each that is asked for"), (lambda *_: "mine", "mine")):
        backend = memory("memory:")
        await backend.open()
        arguments: dict[str, Any] = {} if reach is None else {"reach": reach}
        with served(Starlette(routes=routes(backend, **arguments))) as url:
            facts = await facts_of(url.replace("//", "//:token@"))
        assert facts.pop("request").startswith("took ")
        assert facts == {
            "tracecore": f"{__version__}, before memory", "project": project, "credentials": "a token",
            "protocol": "tracecore's own, compression zstd", "proxy": "none",
        }  # fmt: skip


async def test_an_older_server_need_not_say_anything() -> None:
    """What is not said is not known, and a server of a later version may say more than we know."""
    for said in (encode(Capabilities(ledger=True)), b'{"ledger":true,"level":"immortal","colour":"red"}'):
        facts = await known_of(lambda _, said=said: Reply(200, said), "http://{}")  # type: ignore[misc]  # a default binds it
        assert facts["tracecore"] == "of an unknown version, before something"


async def test_a_langfuse_server_says_which_project_the_keys_belong_to() -> None:
    """Its name and id, and the version, where the server says it; names can be shown."""
    answers = {
        "/api/public/projects": Reply(200, b'{"data":[{"id":"p1","name":"shop\\u001b[2J"}]}'),
        "/api/public/health": Reply(200, b'{"status":"OK","version":"4.16.0"}'),
    }
    facts = await known_of(lambda asked: answers[asked.path], "http+langfuse://pk:sk@{}")
    assert facts["Langfuse"] == "4.16.0"
    assert facts["project"] == "shop [2J (p1)"
    assert facts["credentials"] == "user and password"
    assert facts["protocol"] == "OTLP over HTTP, as protobuf, compression gzip"
    answers["/api/public/health"] = Reply(404)
    assert "Langfuse" not in await known_of(lambda asked: answers[asked.path], "http+langfuse://pk:sk@{}")


async def test_of_a_collector_is_said_how_it_is_spoken_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says nothing of itself; a proxy of the environment is named without its password."""
    url = "http+otlp://{}?encoding=json&header.authorization=Custom+x"
    facts = await known_of(lambda _: Reply(200), url)
    assert facts["protocol"] == "OTLP over HTTP, as json, compression gzip"
    assert facts["credentials"] == "a header"
    with stub(lambda _: Reply(200)) as proxy:
        monkeypatch.setenv("http_proxy", f"http://alice:hunter2@{proxy.address}")
        facts = await facts_of("http+otlp://collector.example")
    assert facts["proxy"] == f"{proxy.address}, of the environment"
    assert facts["credentials"] == "none"
    assert {asked.path for asked in proxy.asked} == {"http://collector.example/v1/traces"}
