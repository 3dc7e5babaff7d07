"""The profile charges CPU to the thread and the line that used it."""

from __future__ import annotations

import sys
import threading
from collections import Counter

import pytest

from benchmarks.options import parser
from benchmarks.profiles import PROFILES, profile_call, profile_http, profile_postgres, profile_store
from benchmarks.sampler import Line, Profile, Sampler, shown

ENOUGH_LOOKS = 30


def computing(sampler: Sampler) -> None:
    """Compute until the sampler has looked often enough."""
    number = 1
    while sampler.profile.looks < ENOUGH_LOOKS:
        number = (number * 1_103_515_245 + 12_345) & 0x7FFF_FFFF


def test_cpu_is_charged_to_the_line_that_uses_it() -> None:
    """A thread that computes is charged for its loop; one that waits all the while is charged next to nothing."""
    release = threading.Event()
    waiting = threading.Thread(target=release.wait, name="waiting")
    waiting.start()
    with Sampler() as sampler:
        working = threading.Thread(target=computing, args=(sampler,), name="working")
        working.start()
        working.join()
    release.set()
    waiting.join()
    lines = sampler.profile.lines["working"]
    in_loop = sum(seconds for line, seconds in lines.items() if line.function == "computing")
    assert in_loop > 0.8 * sum(lines.values())
    assert sum(sampler.profile.lines.get("waiting", {}).values()) < 0.2 * in_loop
    assert "sampler" not in sampler.profile.lines


def test_the_switch_interval_is_put_back() -> None:
    """What the sampler changes about the interpreter ends with it, also when the block fails."""
    before = sys.getswitchinterval()
    inside: list[float] = []

    def fail() -> None:
        with Sampler():
            inside.append(sys.getswitchinterval())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert inside[0] < before == sys.getswitchinterval()


def test_functions_gather_their_lines() -> None:
    """Seconds of all lines of a function add up; functions of the same name in different files stay apart."""
    first, second, other = Line("a.py", 1, "f"), Line("a.py", 2, "f"), Line("b.py", 1, "f")
    profile = Profile(lines={"t": Counter({first: 1.0, second: 2.0, other: 4.0})}, looks=7)
    assert sorted(profile.functions("t").values()) == [3.0, 4.0]


def test_a_profile_is_shown_by_thread_function_and_line() -> None:
    """The most expensive thread comes first; shares are of the thread, µs are per span."""
    profile = Profile(looks=3)
    profile.charge("idle", Line("/x/y/z.py", 7, "wait"), 0.001)
    profile.charge("busy", Line("/x/y/z.py", 9, "work"), 0.003)
    profile.charge("busy", Line("/x/y/z.py", 8, "work"), 0.006)
    text = shown(profile, spans=1_000, most=4)
    assert text.index("busy: 9.00 µs, 90% of all") < text.index("idle: 1.00 µs, 10% of all")
    assert " 66.7%    6.00  y/z.py:8" in text
    assert "100.0%    9.00  work  (y/z.py)" in text


def test_the_call_profile_names_the_hot_path() -> None:
    """The calling thread's map shows the wrapper of ``observe``."""
    text = profile_call(most=40, calls=20_000)
    assert "MainThread" in text
    assert "tracecore/observe_calls.py" in text
    assert "20,000 spans" in text


def test_the_store_profile_sees_more_than_the_caller() -> None:
    """Pump and store have threads of their own, and both are in the profile."""
    text = profile_store(most=40, requests=600)
    assert "── MainThread" in text
    assert "── tracecore-pump" in text
    assert "backends/tracecore_sqlite" in text


def test_what_leaves_the_process_is_profiled_too() -> None:
    """Of a server there is nothing in it; the pump and the driver are."""
    for profile, package in ((profile_postgres, "tracecore_postgres"), (profile_http, "tracecore_http")):
        text = profile(most=80, requests=300)
        assert "── tracecore-pump" in text
        assert f"backends/{package}" in text


@pytest.mark.parametrize("what", PROFILES)
def test_every_profile_can_be_asked_for(what: str) -> None:
    """The command line knows them all."""
    assert parser().parse_args(["profile", what]).what == what
