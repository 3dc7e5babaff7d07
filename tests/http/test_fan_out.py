"""A file and a server at once: both have the same, and either may be away for a while."""

from __future__ import annotations

from pathlib import Path

import anyio

from tests.http_server import room_names, served
from tracecore import Config, Recorder
from tracecore.backend import LedgerQuery, ObservationQuery
from tracecore.open_span import OpenSpan, open_child, open_root
from tracecore.plugins import open_backend
from tracecore.records import Observation
from tracecore.testing.opening import ledger_in, observations_in, opened, pages_of

WITHIN = 30.0


def record(recorder: Recorder, count: int) -> None:
    """Record traces with most of what there can be in a span."""
    for number in range(count):
        root = open_root(recorder.route, f"root {number}", "agent")
        assert isinstance(root, OpenSpan)
        root.update(input={"n": number}, output="größer 😀", metadata={"a": [1, None]})
        root.update_trace(user_id=f"u{number % 3}", session_id="s", tags=["x", "y"])
        child = open_child(root.trace, root.span_id, "model", "generation")
        child.update(model="m", usage_details={"input": 10, "output": 3}, cost_details={"input": 0.1})
        if number % 2:
            child.fail(ValueError("no such city"))
        child.end()
        root.end()


async def kept_in(url: str) -> tuple[list[Observation], tuple[int, int, int]]:
    """Return everything that a backend has kept, with payloads, and what its ledger says of this process."""
    async with opened(open_backend(url, access="read")) as backend:
        query = ObservationQuery(limit=500, bodies=True)
        pages = await pages_of(observations_in(backend).find, "default", query)
        (entry,) = (await ledger_in(backend).find("default", LedgerQuery(last=True))).items
    return [one for page in pages for one in page], (entry.emitted, entry.delivered, entry.waiting)


def test_a_file_and_a_server_have_the_same(tmp_path: Path) -> None:
    """Every observation is in both to the last field, as safely as where it is less safe, and both ledgers agree."""
    with served() as server:
        urls = [f"sqlite:///{tmp_path}/traces.db", f"{server}/{next(room_names)}"]
        recorder = Recorder(Config(backend="+".join(urls))).start()
        record(recorder, 100)
        ended = recorder.shutdown(WITHIN)
        assert (ended.delivered, ended.level) == (True, "handed_over"), ended
        assert [one.level for one in ended.backends.values()] == ["handed_over", "received"]
        (in_file, told), (on_server, told_there) = [anyio.run(kept_in, url) for url in urls]
    assert len(in_file) == 200
    assert in_file == on_server
    assert told == told_there == (200, 200, 0)


def test_a_server_that_is_away_gets_it_later(tmp_path: Path) -> None:
    """The file has everything while nobody listens; what was left in the journal reaches the server afterwards."""
    settings = {"buffer": "journal", "journal_dir": str(tmp_path / "journal")}
    with served() as server:
        pass  # its port is nobody's now
    gone = Recorder(Config(backend=f"sqlite:///{tmp_path}/traces.db+{server}/{next(room_names)}", **settings)).start()
    record(gone, 20)
    said = gone.flush(WITHIN / 20)
    assert [one.delivered for one in said.backends.values()] == [True, False]
    ended = gone.shutdown(0.2)
    assert (ended.delivered, ended.pending, ended.lost) == (False, 40, {})
    with served() as server:
        room = f"{server}/{next(room_names)}"
        recorder = Recorder(Config(backend=f"{room}+sqlite:///{tmp_path}/traces.db", **settings)).start()
        found = recorder.recover(WITHIN, everything=True)
        assert (found.delivered, found.complete, found.elsewhere) == (40, True, {})
        assert recorder.shutdown(WITHIN).delivered
        on_server = anyio.run(observations_of, room)
    assert len(on_server) == 40


async def observations_of(url: str) -> list[Observation]:
    """Return everything that a backend has kept."""
    async with opened(open_backend(url, access="read")) as backend:
        pages = await pages_of(observations_in(backend).find, "default", ObservationQuery(limit=500))
    return [one for page in pages for one in page]
