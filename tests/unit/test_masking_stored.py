"""A secret in every place a program can put one: with a mask, none is in the store, in its files or in the log."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import tracecore
from tests.fakes import FakeBackend, accounts_balance
from tests.torture.declaring import torture
from tracecore import Config, Recorder, generation, observe, propagate_attributes, span
from tracecore.errors import BackendRejected, BackendUnavailable
from tracecore.plugins import open_backend
from tracecore.records import Record, Score, Session, Span, encode_record

pytestmark = torture("T38", "canaries in every string: none is sent, stored, kept in a file or logged")

CANARY = "kanarienvogel"


def masked(text: str) -> str:
    """Return a text without canaries, however they are written."""
    return text.replace(CANARY, "***")


class Failed(Exception):
    """Say a canary in a field of its own."""


Failed.__qualname__ = f"Failed_{CANARY}"


def failing(depth: int = 3) -> None:
    """Raise with a canary in the message, the notes, the cause, the context, a group and the name of a function."""
    namespace: dict[str, Any] = {"Failed": Failed}
    exec(f"def {CANARY}_function(): raise Failed('{CANARY}')", namespace)  # noqa: S102 - its name is in the stack
    try:
        try:
            namespace[f"{CANARY}_function"]()
        except Failed as error:
            error.add_note(CANARY)
            raise ExceptionGroup(CANARY, [error, ValueError(CANARY)]) from error
    except ExceptionGroup:
        raise KeyError(CANARY) from None if depth == 0 else LookupError(CANARY)


@observe(name=f"call {CANARY}")
def call(question: str, *documents: object, **options: object) -> dict[str, object]:
    """Take and return canaries."""
    return {CANARY: [question, documents, options, {("tuple", CANARY): 1}, Failed(CANARY)]}


@observe
def words() -> Generator[str, None, None]:
    """Yield canaries."""
    yield CANARY
    yield CANARY


def sing_of_a_model() -> None:
    """Say canaries in every field of a generation."""
    with generation(
        f"model {CANARY}", model=CANARY, model_parameters={CANARY: CANARY}, version=CANARY,
        usage_details={CANARY: 3, "input_tokens": 1},
        cost_details={CANARY: 0.5}, prompt=(CANARY, 3), input=CANARY * 2, output={"a": CANARY},
        tool_definitions=[CANARY], tool_calls={CANARY: CANARY}, tool_call_names=[CANARY], status_message=CANARY,
        metadata={CANARY: CANARY},
    ) as model:  # fmt: skip
        model.update(prompt={"name": CANARY, "id": CANARY, "version": 1})
        model.event(CANARY, metadata={"x": CANARY})


def sing(recorder: Recorder) -> None:
    """Say a canary in every place there is."""
    with propagate_attributes(
        user_id=CANARY, session_id=CANARY, tags=[CANARY, "t"], metadata={CANARY: CANARY}, release=CANARY,
        version=CANARY, trace_name=CANARY,
    ):  # fmt: skip
        with span(f"root {CANARY}", input={CANARY: {1: [CANARY]}}) as root:
            call(CANARY, CANARY, **{CANARY: CANARY})
            assert len(list(words())) == 2
            sing_of_a_model()
            for depth in (0, 1):
                with pytest.raises(KeyError), span("failing"):
                    failing(depth)
            tracecore.score_current_span(CANARY, CANARY, comment=CANARY, metadata={CANARY: CANARY}, score_id=CANARY)
            tracecore.create_score("session", 1.0, session_id=CANARY, config_id=CANARY)
        root.update_trace(user_id=CANARY)
        recorder.emit(Session("default", CANARY, environment=CANARY))


async def record(recorder: Recorder) -> None:
    """Sing inside a recorder's block."""
    async with recorder:
        await asyncio.to_thread(sing, recorder)


def files_in(folder: Path) -> bytes:
    """Return the bytes of every file."""
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


def settings(**more: Any) -> Config:
    """Return settings with a canary of their own."""
    return Config(service_name=CANARY, release=CANARY, version=CANARY, **more)


async def test_no_canary_is_handed_to_a_backend(caplog: pytest.LogCaptureFixture) -> None:
    """No field of any record has a canary left in it; without the mask nearly every one of them has."""
    backends = {mask: FakeBackend() for mask in (masked, None)}
    with caplog.at_level(logging.DEBUG):
        for mask, backend in backends.items():
            await record(Recorder(settings(mask=mask), backend=backend))
    bare, masked_ = ([encode_record(r) for r in backend.records] for backend in (backends[None], backends[masked]))
    assert len(bare) == len(masked_) == 10
    assert all(one.count(CANARY.encode()) >= 2 for one in bare)
    assert not any(CANARY.encode() in one for one in masked_)
    assert CANARY not in caplog.text


async def test_the_bare_records_have_canaries_everywhere() -> None:
    """The test above looks at what it should: the places that a canary must have been taken out of."""
    backend = FakeBackend()
    await record(Recorder(settings(), backend=backend))
    spans = {r.name: r for r in backend.records if isinstance(r, Span)}
    failed = spans["failing"].error
    assert failed is not None
    assert failed.stack.count(CANARY) >= 2
    model = msgspec.structs.asdict(spans[f"model {CANARY}"])
    told = {name for name, value in model.items() if CANARY in _shown(value)}
    assert told >= {
        "name", "status_message", "input", "output", "metadata", "trace", "version", "tool_definitions", "tool_calls",
        "tool_call_names", "provenance", "model", "model_parameters", "usage_details", "provided_usage_details",
        "cost_details", "prompt_id", "prompt_name",
    }  # fmt: skip
    (score, _) = [r for r in backend.records if isinstance(r, Score)]
    assert all(CANARY in _shown(getattr(score, f)) for f in ("name", "string_value", "comment", "metadata", "score_id"))


def _shown(value: object) -> str:
    return msgspec.json.encode(value).decode()


async def test_no_canary_is_in_the_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No byte of a canary is in the database, its log or its index, and a search for it finds nothing."""
    for mask, folder in ((masked, tmp_path / "with"), (None, tmp_path / "without")):
        folder.mkdir()
        recorder = Recorder(settings(backend=f"sqlite:///{folder}/traces.db", mask=mask)).start()
        async with recorder:
            await asyncio.to_thread(sing, recorder)
            assert recorder.flush(20).delivered
            assert (CANARY.encode() in files_in(folder)) is (mask is None)
        assert recorder.health().delivered == 10
        assert (CANARY.encode() in files_in(folder)) is (mask is None)
    assert CANARY not in caplog.text
    backend = open_backend(f"sqlite:///{tmp_path}/with/traces.db", source="test", access="read")
    await backend.open()
    try:
        assert backend.traces is not None
        query = tracecore.backend.TraceQuery(search=CANARY)
        assert (await backend.traces.find("default", query)).items == []
    finally:
        await backend.close()


@pytest.mark.parametrize("error", [BackendRejected, BackendUnavailable, ValueError])
def test_no_canary_is_in_what_a_failing_backend_says(
    error: Callable[[str], Exception], caplog: pytest.LogCaptureFixture
) -> None:
    """A driver that quotes the values it does not like, as most do, quotes masked ones: in the log, in health."""

    async def refuse(batch: list[Record]) -> None:
        raise error(" ".join(encode_record(record).decode() for record in batch))

    recorder = Recorder(settings(mask=masked), backend=FakeBackend(on_write=refuse)).start()
    with caplog.at_level(logging.DEBUG):
        recorder.emit(Score("default", CANARY, CANARY, 1, string_value=CANARY))
        recorder.emit(Span("default", "1" * 32, "1" * 16, CANARY, 1, input=msgspec.Raw(b'"%b"' % CANARY.encode())))
        recorder.shutdown(0.2)
    assert "***" in caplog.text
    assert "***" in str(recorder.health().last_error)
    assert CANARY not in caplog.text + str(recorder.health())


def test_a_slow_mask_delays_nobody_and_lets_nothing_pass() -> None:
    """While the mask takes its time, deadlines hold and nothing unmasked is written; then all is, masked."""
    began, release = threading.Event(), threading.Event()

    def slow(text: str) -> str:
        began.set()
        release.wait(30)
        return masked(text)

    backend = FakeBackend()
    recorder = Recorder(Config(mask=slow), backend=backend).start()
    recorder.emit(Span("default", "1" * 32, "1" * 16, CANARY, 1))
    assert began.wait(30)
    result = recorder.flush(0.05)
    assert (result.delivered, result.pending, backend.records) == (False, 1, [])
    release.set()
    assert recorder.shutdown(20).delivered
    assert [encode_record(record).count(b"***") for record in backend.records] == [1]


def test_a_mask_too_slow_for_the_end_lets_nothing_pass() -> None:
    """What the mask has not finished by the end is never written as it was, and is accounted for."""
    release = threading.Event()
    backend = FakeBackend()
    recorder = Recorder(Config(mask=lambda text: str(release.wait(30)) + masked(text)), backend=backend).start()
    recorder.emit(Span("default", "1" * 32, "1" * 16, CANARY, 1))
    result = recorder.shutdown(0.1)
    assert (result.delivered, result.pending, result.lost) == (False, 1, {})
    release.set()
    recorder.shutdown(20)
    accounts_balance(recorder, emitted=1)
    assert recorder.health().pending == 0
    assert not any(CANARY.encode() in encode_record(record) for record in backend.records)
