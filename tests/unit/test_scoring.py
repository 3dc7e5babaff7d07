"""Scores: of what is current, or of anything by its id; what a value may be, and what it becomes."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest

import tracecore
from tests.fakes import FakeBackend
from tracecore import (
    Config,
    Recorder,
    create_score,
    propagate_attributes,
    score_current_span,
    score_current_trace,
    span,
)
from tracecore.records import ABSENT, Score
from tracecore.testing import capture


class Whole(int):
    """A number that raises when it is converted."""

    def __float__(self) -> float:
        raise ValueError


async def test_scores_of_what_is_current() -> None:
    """A score of the trace names the trace, a score of the span the span too; each has an id of its own."""
    async with capture() as captured:
        with span("outer") as outer, span("inner") as inner:
            of_trace = score_current_trace("helpful", 0.5)
            of_span = score_current_span("right", value=True)
        scores = {score.name: score for score in await captured.scores()}
    assert [scores[name].score_id for name in ("helpful", "right")] == [of_trace, of_span]
    assert of_trace != of_span
    trace_score, span_score = scores["helpful"], scores["right"]
    assert (trace_score.trace_id, trace_score.observation_id) == (outer.trace_id, None)
    assert (span_score.trace_id, span_score.observation_id) == (outer.trace_id, inner.span_id)
    assert outer.start_ns <= trace_score.timestamp_ns <= span_score.timestamp_ns + 10**9


async def test_outside_of_a_trace_there_is_nothing_to_score() -> None:
    """Scoring what is current where nothing is, is nothing; an explicit subject needs no current one."""
    async with capture() as captured:
        assert score_current_trace("x", 1.0) is None
        assert score_current_span("x", 1.0) is None
        assert create_score("x", 1.0, trace_id="a" * 32, span_id="b" * 16) is not None
        assert create_score("y", 1.0, session_id="s") is not None
        assert create_score("z", 1.0, experiment_id="e") is not None
        scores = {score.name: score for score in await captured.scores()}
    assert (scores["x"].trace_id, scores["x"].observation_id) == ("a" * 32, "b" * 16)
    assert (scores["y"].session_id, scores["y"].trace_id) == ("s", None)
    assert (scores["z"].experiment_id, scores["z"].trace_id) == ("e", None)


@pytest.mark.parametrize(
    ("value", "asked", "kept"),
    [
        (0.25, None, ("NUMERIC", 0.25, None)),
        (3, None, ("NUMERIC", 3.0, None)),
        (True, None, ("BOOLEAN", 1.0, None)),
        (False, None, ("BOOLEAN", 0.0, None)),
        (Decimal("0.1"), None, ("NUMERIC", 0.1, None)),
        (np.float32(0.5), None, ("NUMERIC", 0.5, None)),
        (np.int64(3), None, ("NUMERIC", 3.0, None)),
        (np.bool_(1), None, ("BOOLEAN", 1.0, None)),
        ("good", None, ("CATEGORICAL", None, "good")),
        ("", None, ("CATEGORICAL", None, "")),
        (1, "BOOLEAN", ("BOOLEAN", 1.0, None)),
        (0.0, "BOOLEAN", ("BOOLEAN", 0.0, None)),
        (0.5, "BOOLEAN", ("NUMERIC", 0.5, None)),
        (True, "NUMERIC", ("NUMERIC", 1.0, None)),
        ("why", "TEXT", ("TEXT", None, "why")),
        ("better", "CORRECTION", ("CORRECTION", None, "better")),
        ("7", "NUMERIC", ("CATEGORICAL", None, "7")),
        (7, "TEXT", ("NUMERIC", 7.0, None)),
        (7, "spam", ("NUMERIC", 7.0, None)),
    ],
)
async def test_values_and_their_types(value: Any, asked: Any, kept: tuple[str, float | None, str | None]) -> None:
    """Numbers, truth and text have their types, unless another was asked for that fits."""
    async with capture() as captured:
        given: Any = {} if asked is None else {"data_type": asked}
        assert create_score("s", value, trace_id="a" * 32, **given) is not None
        [score] = await captured.scores()
    assert (score.data_type, score.value, score.string_value) == kept


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, 10**400, None, [1], np.ones(1), Decimal("NaN"), object(), Whole(1)]
)
async def test_what_is_no_value_is_no_score(value: Any) -> None:
    """What is neither a finite number nor text records nothing, raises nothing, and returns no id."""
    async with capture() as captured:
        with span("s"):
            assert score_current_trace("x", value) is None
            assert create_score("x", value, trace_id="a" * 32) is None
        assert await captured.scores() == []


async def test_everything_that_can_be_said() -> None:
    """Comment, metadata, an id and a configuration are kept; what is not said stays unsaid."""
    async with capture(environment="staging", project="mine") as captured:
        create_score("a", 1.0, trace_id="t", comment="c", metadata={"k": [1]}, score_id="mine", config_id="config")
        create_score("b", 1.0, trace_id="t")
        full, least = sorted(await captured.scores(), key=lambda score: score.name)
    assert (full.comment, full.score_id, full.config_id) == ("c", "mine", "config")
    assert msgspec.json.decode(full.metadata) == {"k": [1]}
    assert (full.project, full.environment, full.source) == ("mine", "staging", "API")
    assert (least.comment, least.metadata, least.config_id) == (None, ABSENT, None)
    assert len(least.score_id) == 16


async def test_the_same_id_again_replaces_the_score() -> None:
    """A score with an id of the caller's is one score, however often it is given."""
    async with capture() as captured:
        for value in (0.1, 0.9):
            assert create_score("s", value, trace_id="t", score_id="one") == "one"
        [score] = await captured.scores()
    assert score.value == 0.9


async def test_long_texts_are_cut() -> None:
    """Names, ids, comments and values keep within their limits, and lone surrogates are made visible."""
    async with capture(max_string_chars=2_000) as captured:
        create_score("n" * 1_000, "v" * 9_000, trace_id="t" * 900, comment="c" * 90_000, score_id="\ud800")
        [score] = await captured.scores()
    assert (len(score.name), len(score.string_value or ""), len(score.comment or "")) == (200, 2_000, 8_192)
    assert (len(score.trace_id or ""), score.score_id) == (200, "\\ud800")


async def test_an_empty_name_is_one_all_the_same() -> None:
    """A score always has a name."""
    async with capture() as captured:
        create_score("", 1.0, trace_id="t")
        assert [score.name for score in await captured.scores()] == ["score"]


async def test_sampling_leaves_the_scores_out_with_the_trace() -> None:
    """A trace that was left out has no scores, given inside or later by its id; a session's are never left out."""
    async with capture(sample_rate=0.0) as captured:
        with span("s"):
            trace_id = tracecore.current_trace_id()
            assert score_current_trace("inside", 1.0) is None
            assert score_current_span("inside", 1.0) is None
        assert create_score("later", 1.0, trace_id=trace_id) is None
        assert create_score("session", 1.0, session_id="s") is not None
        assert [score.name for score in await captured.scores()] == ["session"]


async def test_a_score_goes_where_its_trace_goes() -> None:
    """Inside a trace of another recorder the score follows the trace, whatever recorder is the current one."""
    backend = FakeBackend()
    async with capture() as captured:
        other = Recorder(Config(), backend=backend).start()

        @tracecore.observe(recorder=other)
        def observed() -> None:
            score_current_trace("there", 1.0)

        observed()
        create_score("here", 1.0, trace_id="t")
        other.shutdown()
        assert [score.name for score in await captured.scores()] == ["here"]
    assert [record.name for record in backend.records if isinstance(record, Score)] == ["there"]


async def test_inside_propagated_attributes() -> None:
    """Blocks that propagate attributes change nothing about what is current."""
    async with capture() as captured:
        with span("s") as opened, propagate_attributes(user_id="u"):
            score_current_span("x", 1.0)
        [score] = await captured.scores()
    assert (score.trace_id, score.observation_id) == (opened.trace_id, opened.span_id)


async def test_switched_off() -> None:
    """A disabled recorder takes no scores."""
    async with capture(enabled=False) as captured:
        with span("s"):
            assert score_current_trace("x", 1.0) is None
        assert create_score("x", 1.0, trace_id="t") is None
        assert captured.recorder.health().emitted == 0
