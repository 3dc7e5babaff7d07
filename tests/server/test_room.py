"""Room for clients: descriptors, lengths that are no numbers, memory that all bodies share, and words in the log."""

from __future__ import annotations

import logging
import resource
import sys
from pathlib import Path

import pytest

from tests.fakes import ManualClock
from tests.faults.processes import running
from tests.server.conftest import Api
from tracecore.server.native import BASE
from tracecore.server.serving import Seldom

ROOM = """
import resource
from tracecore.server.serving import room
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
print("room", room(), resource.getrlimit(resource.RLIMIT_NOFILE)[0], flush=True)
"""


@pytest.mark.parametrize(
    ("soft", "hard", "connections", "descriptors"),
    [(1024, 4200, 4000, 4200), (1024, 1024, 824, 1024), (100, 100, 50, 100)],
)
def test_there_is_a_descriptor_for_each_connection(
    tmp_path: Path, soft: int, hard: int, connections: int, descriptors: int
) -> None:
    """A server asks for as many as it may need; where it gets fewer, it keeps some for its database."""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < hard:
        pytest.skip(f"this system gives no {hard} descriptors")
    with running("-c", ROOM.format(soft=soft, hard=hard), folder=tmp_path, environment={}) as program:
        program.wait_for_word(f"room {connections} {descriptors}")


def test_what_clients_do_wrong_is_said_seldom() -> None:
    """A thousand requests that are none make one line in ten seconds, and do not silence anything else."""
    clock = ManualClock()
    seldom = Seldom(clock)

    def said(message: str) -> bool:
        return seldom.filter(logging.LogRecord("uvicorn.error", logging.WARNING, __file__, 1, message, (), None))

    assert [said("Invalid HTTP request received.") for _ in range(1000)].count(True) == 1
    assert said("Exceeded concurrency limit.")
    clock.now += 10_000_000_000
    assert said("Invalid HTTP request received.")


@pytest.mark.parametrize("digits", ["4" * 5000, "٤", "-1", "4.0", "04"])
async def test_a_version_that_is_none_is_400(api: Api, digits: str) -> None:
    """A version of attributes that nobody knows is the client's mistake, however many digits it has."""
    headers = {"content-type": "application/json", "x-langfuse-ingestion-version": digits.encode()}
    answer = await api.p.post("/otel/v1/traces", content=b"{}", headers=headers)
    assert answer.status_code == 400
    assert (
        await api.p.post("/otel/v1/traces", content=b"{}", headers=headers | {"x-langfuse-ingestion-version": b"4"})
    ).is_success


async def test_a_length_without_end_is_413(api: Api) -> None:
    """A length of so many digits that Python reads them as no number is too long, not a mistake of the server."""
    assert sys.get_int_max_str_digits() < 5000
    answer = await api.p.post("/scores", content=b"{}", headers={"content-length": "4" * 5000})
    assert answer.status_code == 413


async def test_what_is_counted_is_bounded(api: Api) -> None:
    """Methods and paths that clients make up are counted together: each count is memory, here and in Prometheus."""
    for number in range(50):
        assert (await api.p.request(f"X{number}", "/projects")).status_code == 405
        assert (await api.p.request(f"X{number}", f"/nowhere/{number}")).status_code == 404
    assert len(api.server.state.requests.series) == 2


async def test_what_is_wrong_is_said_in_a_few_words(api: Api) -> None:
    """A value of a megabyte that cannot be is not sent back."""
    subject = {"projectId": "p", "objectType": "x" * 1_000_000, "objectId": "t", "content": "c"}
    answer = await api.p.post("/comments", json=subject)
    assert answer.status_code == 400
    assert len(answer.content) < 2000


async def test_all_doors_share_one_allowance(api: Api) -> None:
    """What is being read at the native endpoint counts for all others, and the other way round."""
    with api.server.state.allowance.share() as take:
        take(api.server.state.limits.in_hand_bytes)
        for path in (f"http://server{BASE}/batch", "/scores", "http://server/v1/traces"):
            answer = await api.p.post(path, content=b"{}", headers={"content-type": "application/json"})
            assert (path, answer.status_code) == (path, 503)
