"""Half surrogate pairs in bodies: one text that was cut in the middle of an emoji does not cost a request."""

from __future__ import annotations

import json
import threading
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.server.conftest import Api
from tracecore.server import operations, surrogates
from tracecore.server.answers import LARGE
from tracecore.server.surrogates import with_visible_surrogates


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        (r'"\ud83d"', r'"\\ud83d"'),
        (r'"a\uDE00b"', r'"a\\uDE00b"'),
        (r'"\ud83d\ude00"', r'"\ud83d\ude00"'),
        (r'"\\ud83d"', r'"\\ud83d"'),
        (r'"\\\ud83d"', r'"\\\\ud83d"'),
        (r'"\ud83d\ud83d\ude00"', r'"\\ud83d\ud83d\ude00"'),
        (r'"\ud83d\n\u00e9 \u1234"', r'"\\ud83d\n\u00e9 \u1234"'),
        (r'"\\ud83d\ude00"', r'"\\ud83d\\ude00"'),
        (r'"\ude00\ud83d"', r'"\\ude00\\ud83d"'),
        (r'{"n":1.0e0}', r'{"n":1.0e0}'),
    ],
)
def test_only_halves_become_visible(text: str, visible: str) -> None:
    """A half is written as the escape that it was; whole pairs, escaped backslashes and numbers stay."""
    assert with_visible_surrogates(text.encode()).decode() == visible


@given(st.text(st.characters(min_codepoint=0x5C), max_size=30) | st.text("\\ud83ca\ude00\ud83d", max_size=30))
def test_any_text_is_decodable_afterwards(text: str) -> None:
    """Whatever a text holds, its JSON can be decoded strictly afterwards; one without halves is the same text."""
    data = json.dumps(text).encode()
    read = msgspec.json.decode(with_visible_surrogates(data), type=str)
    halves_joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    assert read == halves_joined or "\\u" in read


async def test_a_body_with_a_half_is_taken(api: Api) -> None:
    """A name that was cut in the middle of an emoji is kept, with what was cut made visible."""
    body = rb'{"name":"cut \ud83d","dataType":"TEXT","description":"\ud83d\ude00"}'
    answer = await api.p.post("/score-configs", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["name"], answer.json()["description"]) == ("cut \\ud83d", "😀")


async def test_many_escapes_do_not_hold_others_up(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large body is decoded on a thread; one without halves is not written anew escape by escape."""
    asked_for: list[str] = []
    monkeypatch.setattr(surrogates, "_visible", lambda found: asked_for.append(found) or found[0])
    assert with_visible_surrogates(b"\\\\" * 100_000 + b"\\n" * 100_000 + b"\\u00e9" * 1000)
    assert not asked_for
    threads: set[str] = set()
    decoded = operations._decoded_text

    def noting(data: bytes, decoder: Any) -> Any:
        threads.add(threading.current_thread().name)
        return decoded(data, decoder)

    monkeypatch.setattr(operations, "_decoded_text", noting)
    answer = await api.p.post("/scores", content=b'{"a":"' + b"\\\\" * LARGE + b'"} x')
    assert answer.status_code == 400
    assert threads
    assert threading.current_thread().name not in threads
