"""Traces across services: what goes out in headers comes in again, decisions and identity included."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Mapping
from typing import Any

import pytest
from starlette.datastructures import Headers

import tracecore
from tracecore import continue_trace, inject, propagate_attributes, span
from tracecore.propagation import parse_baggage, parse_traceparent
from tracecore.testing import capture

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
INCOMING = {"traceparent": f"00-{TRACE}-{PARENT}-01"}


def injected() -> dict[str, str]:
    """Return the headers for a call to another service."""
    headers: dict[str, str] = {}
    inject(headers)
    return headers


@pytest.mark.parametrize("headers", [INCOMING, {"TraceParent": INCOMING["traceparent"]}, Headers(INCOMING)], ids=repr)
async def test_a_trace_is_continued(headers: Mapping[str, str]) -> None:
    """The first span inside belongs to the caller's trace below the caller's span, and says that it is our first."""
    async with capture() as captured:
        with continue_trace(headers):
            with span("root"), span("child"):
                assert tracecore.current_trace_id() == TRACE
            async with span("second root"):
                await asyncio.sleep(0)
        with span("after"):
            pass
        spans = {found.name: found for found in await captured.observations()}
    assert {name: found.trace_id == TRACE for name, found in spans.items()} == {
        "root": True, "child": True, "second root": True, "after": False,
    }  # fmt: skip
    assert spans["root"].parent_id == spans["second root"].parent_id == PARENT
    assert spans["child"].parent_id == spans["root"].span_id
    assert {name for name, found in spans.items() if found.app_root} == {"root", "second root"}
    assert spans["after"].parent_id is None


@pytest.mark.parametrize(
    "headers",
    [{}, {"traceparent": "garbage"}, {"traceparent": f"00-{'0' * 32}-{PARENT}-01"}, None, [], {"traceparent": b"x"}, 5],
)
async def test_without_a_valid_header_a_new_trace_begins(headers: Any) -> None:
    """Missing and malformed headers begin a new trace, also below an open span, whose trace this is not."""
    async with capture() as captured:
        with span("outer") as outer:
            with continue_trace(headers), span("inner"):
                pass
            assert tracecore.current_span() is outer
        spans = {found.name: found for found in await captured.observations()}
    assert spans["inner"].parent_id is None
    assert not spans["inner"].app_root
    assert spans["inner"].trace_id != spans["outer"].trace_id


async def test_requests_side_by_side_keep_apart() -> None:
    """Fifty requests of fifty callers, handled in turns, end in fifty traces, each below its own caller."""

    async def handle(number: int) -> None:
        with continue_trace({"traceparent": f"00-{number + 1:032x}-{number + 1:016x}-01"}):
            await asyncio.sleep(0.001 * (number % 3))
            with span(f"root {number}"):
                await asyncio.gather(*(asyncio.to_thread(open_span, number) for _ in range(2)))

    def open_span(number: int) -> None:
        with span(f"child {number}"):
            pass

    async with capture() as captured:
        await asyncio.gather(*map(handle, range(50)))
        spans = await captured.observations()
    assert len(spans) == 150
    for found in spans:
        number = int(found.name.split()[1]) + 1
        assert found.trace_id == f"{number:032x}"
        if found.name.startswith("root"):
            assert found.parent_id == f"{number:016x}"


async def test_what_goes_out_comes_in() -> None:
    """The called service's first span is the child of the span in which the headers were made, in the same trace."""
    async with capture() as calling, capture() as called:
        headers = tracecore.observe(recorder=calling.recorder, name="client")(injected)()
        with continue_trace(headers), span("server"):
            pass
        [client] = await calling.observations()
        [server] = await called.observations()
    assert (server.trace_id, server.parent_id) == (client.trace_id, client.span_id)


async def test_inside_blocks_the_innermost_span_goes_out() -> None:
    """Headers name the innermost open span, inside ``propagate_attributes`` and in tasks too."""
    async with capture():
        with span("outer"), span("inner") as inner, propagate_attributes(user_id="u"):
            assert parse_traceparent(injected()["traceparent"]) == (inner.trace_id, inner.span_id)
            assert await asyncio.create_task(asyncio.to_thread(injected)) == injected()


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
async def test_the_sampling_decision_is_the_same_on_both_sides(rate: float) -> None:
    """The decision travels as a flag, and the called service decides the same by the trace id."""
    async with capture(sample_rate=rate) as calling, capture(sample_rate=rate) as called:
        flags = 0
        for _ in range(100):
            headers = tracecore.observe(recorder=calling.recorder)(injected)()
            flags += int(headers["traceparent"][-2:], 16) & 1
            with continue_trace(headers), span("server"):
                pass
        sent = {found.trace_id for found in await calling.observations()}
        received = {found.trace_id for found in await called.observations()}
    assert sent == received
    assert len(sent) == flags
    assert flags == 100 * rate or 5 < flags < 60


@pytest.mark.parametrize("trace_id", [TRACE[:16] + "0" * 16, "1" + "0" * 31, TRACE])
async def test_unsampled_headers_are_valid(trace_id: str) -> None:
    """Also a trace that is not recorded goes on in a header that others accept, with the flag off."""
    async with capture(sample_rate=0.0):
        with continue_trace({"traceparent": f"00-{trace_id}-{PARENT}-01"}), span("s"):
            text = injected()["traceparent"]
    parsed = parse_traceparent(text)
    assert parsed is not None
    assert parsed[0] == trace_id
    assert int(text[-2:], 16) & 1 == 0


async def test_outside_of_a_trace_and_disabled_nothing_is_written() -> None:
    """Without a trace, or with tracing disabled, headers are left alone."""
    async with capture():
        assert injected() == {}
    async with capture(enabled=False):
        with span("s"), propagate_attributes(user_id="u", as_baggage=True):
            assert injected() == {}


async def test_attributes_travel_as_baggage_only_when_asked() -> None:
    """User, session, version and name leave the process only with ``as_baggage``, under the names Langfuse reads."""
    async with capture():
        with propagate_attributes(user_id="u", session_id="s"), span("private"):
            assert "baggage" not in injected()
        said: dict[str, Any] = {"user_id": "Amélie, 1", "session_id": "s", "version": "1", "trace_name": "chat"}
        with propagate_attributes(**said, tags=["t"], as_baggage=True), span("root"):
            found = parse_baggage(injected()["baggage"])
            assert found == {f"langfuse_{name}": value for name, value in said.items()}
        with span("root"), propagate_attributes(user_id="u", as_baggage=True):
            assert parse_baggage(injected()["baggage"]) == {"langfuse_user_id": "u"}


@pytest.mark.parametrize("trusted", [False, True])
async def test_baggage_is_passed_on_and_believed_only_when_trusted(*, trusted: bool) -> None:
    """What comes in goes out again; it becomes attributes of the trace only if the caller is trusted."""
    baggage = "langfuse_user_id=u,langfuse_session_id=s,langfuse_trace_name=n,langfuse_version=v,other=a%20b"
    async with capture() as captured:
        with continue_trace({**INCOMING, "baggage": baggage}, trust_baggage=trusted), span("root"):
            assert parse_baggage(injected()["baggage"]) == parse_baggage(baggage)
        said = (await captured.observation("root")).trace
    found = (said.user_id, said.session_id, said.name, said.version)
    assert found == (("u", "s", "n", "v") if trusted else (None,) * 4)


async def test_hostile_baggage_stays_in_its_header() -> None:
    """Line ends that a caller hides in a value do not become headers of ours."""
    async with capture():
        with continue_trace({**INCOMING, "baggage": "k=a%0d%0aSet-Cookie:%20x"}), span("root"):
            assert not set("\r\n ") & set(injected()["baggage"])


async def test_headers_that_take_nothing_stay_as_they_are() -> None:
    """A mapping that cannot be written to raises nothing into the call that it is for."""
    async with capture():
        with span("outer"):
            inject(types.MappingProxyType({}))  # type: ignore[arg-type]  # what is tested
