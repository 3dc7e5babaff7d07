"""Media of the Langfuse Python SDK are uploaded, found by the references in spans, and come back to the byte."""

from __future__ import annotations

import base64

import httpx2
import pytest

from tests.compat.programs import Told, tell_python
from tests.compat.serving import Server


@pytest.fixture(scope="module")
def told(server: Server) -> Told:
    """Return what the program told."""
    return tell_python("langfuse_media", server)


def test_in_spans(told: Told, server: Server) -> None:
    """A span refers to its media, and the SDK resolves the reference into what was sent."""
    saw = told["in_spans"]
    assert f"id={saw['media_id']}" in saw["span"]["input"]
    assert f"id={saw['media_id']}" in saw["span"]["output"]
    assert saw["uri"] in str(saw["resolved"])
    assert (saw["media"]["contentType"], saw["media"]["mediaId"]) == ("image/png", saw["media_id"])
    sound = server.get(f"/media/{saw['sound_id']}")
    assert sound["contentLength"] == len(base64.b64decode(saw["sound"]))
    assert httpx2.get(sound["url"], timeout=60.0).content == base64.b64decode(saw["sound"])


def test_in_items(told: Told) -> None:
    """An item of a dataset says where its media are, and the SDK fetches them from there."""
    saw = told["in_items"]
    references = saw["raw"]["mediaReferences"]
    assert {(one["field"], one["jsonPath"]) for one in references} == {
        ("input", "$['see']"), ("metadata", "$['also'][1]"),
    }  # fmt: skip
    assert all(one["referenceString"].startswith("@@@langfuseMedia:type=image/png|id=") for one in references)
    assert (saw["fetched"], saw["in_list"]) == (True, True)


def test_unknown(told: Told) -> None:
    """Media that nobody sent are not found."""
    assert told["unknown"]["status"] == 404
