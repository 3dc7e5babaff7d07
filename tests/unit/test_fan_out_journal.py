"""Several backends behind a journal: each has a home of its own, and what is left goes to the one it was meant for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import FakeBackend, names
from tests.journals import ORIGIN, left_by
from tests.several import WITHIN, At, Trouble, balanced, recording, work
from tracecore.config import Config
from tracecore.destinations import origin_of
from tracecore.files import Files
from tracecore.frames import Origin
from tracecore.health import Recovered
from tracecore.recorder import Recorder
from tracecore.segments import is_home

__all__ = ["recording"]


@pytest.fixture(autouse=True)
def _patient_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the end wait for the journal's own thread however busy the machine is: else the home is left to the next."""
    monkeypatch.setattr("tracecore.journal._END_WAITS", WITHIN)


def kept_for(location: str) -> Origin:
    """Return the origin of what was left for a backend."""
    return Origin(ORIGIN.project, destination=location)


def in_journal(directory: Path, *backends: FakeBackend, **settings: Any) -> Recorder:
    """Return a started recorder with a journal."""
    config = Config(buffer="journal", journal_dir=str(directory), flush_interval_ms=10, **settings)
    return Recorder(config, backend=backends).start()


def homes_in(directory: Path) -> dict[str | None, str]:
    """Return the names of the homes in a journal's directory, by the backend that they are for."""
    found: dict[str | None, str] = {}
    for path in filter(lambda path: is_home(path.name), directory.iterdir()):
        origin = origin_of(path, Files())
        found[None if origin is None else origin.destination] = path.name
    return found


def test_each_has_a_home_and_leaves_what_only_it_has_not(tmp_path: Path) -> None:
    """The journal of a backend that is away stays for the next process, and that of the other one is removed."""
    trouble = Trouble("away")
    recorder = in_journal(tmp_path, At("healthy:", "durable"), trouble.backend)
    homes = homes_in(tmp_path)
    assert set(homes) == {"healthy:", "troubled:"}
    for number in range(5):
        assert work(recorder, f"{number}").delivered(0).level == "handed_over"
    ended = recorder.shutdown(0.3)
    assert homes_in(tmp_path) == {"troubled:": homes["troubled:"]}
    assert (ended.delivered, ended.pending, ended.lost, ended.level) == (False, 5, {}, "handed_over")
    assert ended.backends["healthy:"].delivered
    balanced(recorder.health(), emitted=5)
    again = At("troubled:", "durable")
    healthy = At("healthy:", "durable")
    recorder = in_journal(tmp_path, healthy, again)
    assert recorder.recover(WITHIN) == Recovered(5, {}, complete=True)
    assert {location: one.recovered for location, one in recorder.health().backends.items()} == {
        "healthy:": 0, "troubled:": 5,
    }  # fmt: skip
    assert recorder.shutdown(WITHIN).delivered
    assert (names(healthy.records), sorted(names(again.records))) == ([], ["0", "1", "2", "3", "4"])
    assert list(tmp_path.iterdir()) == []


def test_what_was_left_goes_to_whom_it_was_meant_for(tmp_path: Path) -> None:
    """Of what dead processes left for either or for none of these backends, each takes its own and nothing else."""
    for location in ("a:", "b:", "c:"):
        left_by(tmp_path, f"dead-{location[0]}", [f"for {location}"], origin=kept_for(location))
    a, b = At("a:", "durable"), At("b:", "durable")
    recorder = in_journal(tmp_path, a, b)
    assert recorder.recover(WITHIN) == Recovered(2, {}, complete=True, elsewhere={"c:": 1})
    assert (names(a.records), names(b.records)) == (["for a:"], ["for b:"])
    assert recorder.recover(WITHIN, everything=True) == Recovered(3, {}, complete=True)
    assert recorder.shutdown(WITHIN).delivered
    assert (names(a.records), names(b.records)) == (["for a:", "for c:"], ["for b:"])


def test_everything_goes_to_who_keeps_it_and_never_past_one_of_these(tmp_path: Path) -> None:
    """What was meant for others goes to the first that keeps what it takes; what was meant for one of these to that."""
    keeps_nothing = At("keeps nothing:")
    b, c = At("b:", "durable"), At("c:", "durable")
    for location in ("b:", "c:", "lost:"):
        left_by(tmp_path, f"dead-{location[0]}", [f"for {location}"], origin=kept_for(location))
    recorder = in_journal(tmp_path, keeps_nothing, b, c)
    assert recorder.recover(WITHIN, everything=True) == Recovered(3, {}, complete=True)
    assert recorder.shutdown(WITHIN).delivered
    assert names(keeps_nothing.records) == []
    assert sorted(names(b.records)) == ["for b:", "for lost:"]
    assert names(c.records) == ["for c:"]


def test_what_one_cannot_deliver_is_not_called_complete(tmp_path: Path) -> None:
    """Recovery waits for all backends, and says that it is not complete while one of them is away."""
    left_by(tmp_path, "dead", ["a"], origin=kept_for("troubled:"))
    trouble = Trouble("away")
    recorder = in_journal(tmp_path, At("healthy:", "durable"), trouble.backend)
    assert not recorder.recover(0.3).complete
    trouble.over.set()
    assert recorder.recover(WITHIN) == Recovered(1, {}, complete=True)
    assert recorder.shutdown(WITHIN).delivered


def test_what_is_masked_is_masked_for_each(tmp_path: Path) -> None:
    """A mask comes before every journal, and each backend has what it made of the record."""
    a, b = At("a:"), At("b:")
    recorder = in_journal(tmp_path, a, b, mask=str.upper)
    work(recorder, "secret")
    assert recorder.shutdown(WITHIN).delivered
    assert names(a.records) == names(b.records) == ["SECRET"]


def test_a_journal_and_the_waits_for_it_are_told_apart(recording: Callable[..., Recorder], tmp_path: Path) -> None:
    """A trace waits as safely as in the buffer that keeps it least safely: memory where one journal has no room."""
    trouble = Trouble("hangs")
    settings = {"buffer": "journal", "journal_dir": str(tmp_path)}
    recorder = recording(At("healthy:", "durable"), trouble.backend, **settings)
    root = work(recorder, "a")
    assert root.delivered(0).backends["troubled:"].level == "handed_over"
    recorder._channels[1].ring._trouble = "no room"  # type: ignore[attr-defined]  # it is a journal
    assert recorder.health().trouble == "troubled:: no room"
    trouble.over.set()
    assert recorder.flush(WITHIN).delivered
