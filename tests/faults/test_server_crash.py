"""T02: the server is killed while clients post to it: what it has answered for is there afterwards, each span once."""

from __future__ import annotations

import json
import signal
import sqlite3
import threading
import time
from collections import Counter
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from tests.server.serving import AUTH, Served, serving
from tests.torture.declaring import torture
from tests.torture.trial import Trial

CLIENTS, SPANS = 8, 20
PATHS = ("/v1/traces", "/api/public/otel/v1/traces")


class Poster:
    """Post requests of spans with ids of its own, and note which were answered for."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._requests = 0
        self.answered: list[str] = []
        self.sent: list[str] = []

    def run(self, port: int, seed: int) -> None:
        """Post until the server is gone."""
        connection = HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            while True:
                ids = [f"{seed:04x}{self._number:02x}{self._requests:06x}{i:04x}" for i in range(SPANS)]
                self._requests += 1
                self.sent += ids
                headers = {"authorization": AUTH, "content-type": "application/json"}
                connection.request("POST", PATHS[self._requests % 2], _body(ids), headers)
                answer = connection.getresponse()
                answer.read()
                if answer.status == 200:  # read to its end: the client knows
                    self.answered += ids
        except (OSError, HTTPException):
            return
        finally:
            connection.close()


def _body(ids: list[str]) -> bytes:
    spans = [
        {
            "traceId": f"{'0' * 16}{one}", "spanId": one, "name": f"s{one}", "startTimeUnixNano": "1790000000000000000",
            "endTimeUnixNano": "1790000001000000000",
            "attributes": [{"key": "input.value", "value": {"stringValue": "what it was asked " * 20}}],
        }
        for one in ids
    ]  # fmt: skip
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()


def stored(path: Path) -> Counter[str]:
    """Return the ids of every span of a file, which must be whole."""
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return Counter(one for (one,) in raw.execute("SELECT span_id FROM spans"))


@torture("T02", "kill -9 of the server under 8 posting clients", rounds=3, full=100)
@pytest.mark.timeout(6000)
def test_the_server_is_killed(trial: Trial) -> None:
    """Every span that was answered with 200 is there after a restart, each id once, and none that nobody sent."""
    for case in trial.cases():
        with case:
            posters = [Poster(number) for number in range(CLIENTS)]
            with serving(case.folder) as served:
                threads = [
                    threading.Thread(target=poster.run, args=(served.port, case.chance.getrandbits(16)))
                    for poster in posters
                ]
                for thread in threads:
                    thread.start()
                time.sleep(case.chance.uniform(0.05, 1.5))
                served.program.send(signal.SIGKILL)
                for thread in threads:
                    thread.join()
            with serving(case.folder) as again:
                _settled(again)
            found = stored(case.folder / "traces.db")
            answered = {one for poster in posters for one in poster.answered}
            lost = answered - found.keys()
            assert not lost, f"{len(lost)} of {len(answered)} spans that were answered for are lost"
            assert set(found.values()) <= {1}
            assert not found.keys() - {one for poster in posters for one in poster.sent}
            trial.figures.append(f"{len(answered)} spans")


def _settled(served: Served) -> None:
    """See that the server that came after the other one answers."""
    connection = served.connection()
    connection.request("GET", "/api/public/health")
    assert connection.getresponse().status == 200
    connection.close()
