"""What a span says of the prompts that were served inside of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

import tracecore
from tests.prompt_stores import a_prompt
from tracecore.config import Config
from tracecore.frames import Origin, record_of, write_body
from tracecore.memory import MemoryBackend, MemoryData
from tracecore.open_span import OpenSpan
from tracecore.prompt_stamps import MOST_STAMPS, keep_stamp
from tracecore.prompts import Share
from tracecore.recorder import Recorder
from tracecore.records import ABSENT
from tracecore.served_prompts import ServedPrompt, as_chosen, fallback_prompt, served


@pytest.fixture
def span(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenSpan]:
    """Return an open span of a recorder of its own."""
    recorder = Recorder(Config(), backend=MemoryBackend(MemoryData(), location="memory:", access="write"))
    recorder.begin()
    monkeypatch.setattr(tracecore.default._default, "recorder", recorder)
    opened = tracecore.span("work")
    assert isinstance(opened, OpenSpan)
    yield opened
    recorder.shutdown(0)


def said_by(span: OpenSpan) -> Any:
    """Return what the record's metadata holds."""
    found = span.seal().metadata
    return None if found is ABSENT else msgspec.json.decode(found)


def a_served(version: int = 3, **changes: Any) -> ServedPrompt:
    """Return a prompt as it is served."""
    made = served(a_prompt(version=version), label="production", source="memory", fetched_ns=1_000_000)
    return msgspec.structs.replace(made, **changes)


def test_a_stamp_says_which_whence_and_how_old(span: OpenSpan) -> None:
    """All of it is in the metadata, beside what the program says there."""
    span.update(metadata={"a": 1})
    span.extra = keep_stamp(span.extra, a_served(), 43_000_000)
    span.extra = keep_stamp(span.extra, a_served(4, stale=True, label=None), 1_000_000)
    span.update(metadata={"b": 2})
    split = as_chosen(a_served(), "beta", [Share(3, 1), Share(4, 9)])
    span.extra = keep_stamp(span.extra, split, 1_000_000)
    assert said_by(span) == {
        "a": 1,
        "b": 2,
        "tracecore.prompts": [
            {"name": "greeting", "version": 3, "label": "production", "source": "memory", "age_ms": 42},
            {"name": "greeting", "version": 4, "source": "memory", "age_ms": 0, "stale": True},
            {
                "name": "greeting", "version": 3, "label": "beta", "source": "memory", "age_ms": 0,
                "split": {"3": 1.0, "4": 9.0},
            },
        ],
    }  # fmt: skip


def test_the_same_prompt_is_said_once(span: OpenSpan) -> None:
    """However often it was asked for; and a span speaks of twenty at most."""
    prompt = a_served()
    for _ in range(100):
        span.extra = keep_stamp(span.extra, prompt, 1)
    assert len(said_by(span)["tracecore.prompts"]) == 1
    for version in range(1, 100):
        span.extra = keep_stamp(span.extra, a_served(version), 1)
    assert len(said_by(span)["tracecore.prompts"]) == MOST_STAMPS


def test_a_journal_keeps_stamps(span: OpenSpan) -> None:
    """What is written to a file says the same as the record."""
    span.extra = keep_stamp(span.extra, a_served(), 1_000_000)
    span.end()
    body = bytearray()
    write_body(span, body)
    record: Any = record_of(bytes(body), Origin("default", None))
    assert msgspec.json.decode(record.metadata) == said_by(span)


def test_a_generation_is_one_of_the_prompt_that_was_asked_for(span: OpenSpan) -> None:
    """Of the last one, unless it is said by hand; any other span names none."""
    span.extra = keep_stamp(span.extra, a_served(), 1)
    assert getattr(span.seal(), "prompt_name", None) is None
    generation = tracecore.generation("answer")
    assert isinstance(generation, OpenSpan)
    generation.extra = keep_stamp(generation.extra, a_served(2), 1)
    generation.extra = keep_stamp(generation.extra, a_served(3), 1)
    record: Any = generation.seal()
    assert (record.prompt_name, record.prompt_version) == ("greeting", 3)
    generation.update(prompt=("other", 9))
    record = generation.seal()
    assert (record.prompt_name, record.prompt_version) == ("other", 9)
    span.end()
    generation.end()


def test_a_prompt_that_is_given_to_a_generation(span: OpenSpan) -> None:
    """It has its name, version and id, and says where the prompt came from; a fallback has a name only."""
    generation = tracecore.generation("answer", prompt=a_served())
    assert isinstance(generation, OpenSpan)
    record: Any = generation.seal()
    assert (record.prompt_name, record.prompt_version, record.prompt_id) == ("greeting", 3, "greeting-3")
    assert said_by(generation)["tracecore.prompts"][0]["source"] == "memory"
    fallback = tracecore.generation("answer", prompt=fallback_prompt("greeting", "production", "hi", None))
    assert isinstance(fallback, OpenSpan)
    record = fallback.seal()
    assert (record.prompt_name, record.prompt_version, record.prompt_id) == ("greeting", None, None)
    expected = [{"name": "greeting", "label": "production", "source": "fallback"}]
    assert said_by(fallback) == {"tracecore.prompts": expected}
    for opened in (generation, fallback, span):
        opened.end()


def test_a_running_span_can_be_sealed_while_it_goes_on(span: OpenSpan) -> None:
    """The pump describes it as it is, and takes nothing away."""
    span.extra = keep_stamp(span.extra, a_served(), 1)
    assert span.seal(running=True).metadata == span.seal(running=True).metadata
    span.extra = keep_stamp(span.extra, a_served(4), 1)
    assert [one["version"] for one in said_by(span)["tracecore.prompts"]] == [3, 4]
