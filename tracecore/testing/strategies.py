"""Random records and queries with every field they can have; needs hypothesis, which tracecore does not depend on.

Values come from small pools on purpose, so that records meet: in identities, sessions, users, times and words. Costs
are multiples of 1/1024 USD, so that sums are exact whatever their order.
"""

from __future__ import annotations

import json
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec import Raw
from msgspec.structs import replace

from tracecore.backend import LedgerQuery, ObservationQuery, ScoreQuery, SessionQuery, TraceQuery
from tracecore.records import (
    ABSENT,
    LEVELS,
    OBSERVATION_TYPES,
    STATUSES,
    ErrorInfo,
    Event,
    Experiment,
    Generation,
    LedgerEntry,
    Provenance,
    Record,
    Score,
    Session,
    Span,
    TraceAttributes,
)
from tracecore.testing.samples import MINUTE, SECOND, START, span_id_of, trace_id_of

__all__ = [
    "batches",
    "entries",
    "ledger_queries",
    "observation_queries",
    "observations",
    "payloads",
    "phrases",
    "projects",
    "records",
    "score_ids",
    "score_queries",
    "scores",
    "session_ids",
    "session_queries",
    "sessions",
    "span_ids",
    "texts",
    "trace_attributes",
    "trace_ids",
    "trace_queries",
]

_WORDS: Final = (
    "alpha", "Alpha beta", "beta_gamma", "Crème brûlée", "creme", "Привет мир", "ПРИВЕТ", "東京都に行く", "京都",
    "안녕하세요", "สวัสดี", "नमस्ते", "🙂", "a🙂b", "ﬁne", "STRASSE straße", "İstanbul", "x-y", "42", "4.2",
)  # fmt: skip
_ODD: Final = ("", " ", "\0", "a\0b", "\ud800", "x\udfffy", '"', "\\", "\\n", "%_'", ',"a",', "\x7f\u202e", "null")

projects: Final[SearchStrategy[str]] = st.sampled_from(("p", "p", "q"))
trace_ids: Final[SearchStrategy[str]] = st.integers(1, 4).map(trace_id_of)
span_ids: Final[SearchStrategy[str]] = st.integers(1, 4).map(span_id_of)
_any_text: Final = st.one_of(
    st.sampled_from(_WORDS), st.sampled_from(_ODD), st.text(st.characters(exclude_categories=()), max_size=6)
)


@st.composite
def _one_text(draw: st.DrawFn) -> str:
    return draw(_any_text)


texts: Final[SearchStrategy[str]] = _one_text()
"""Any text a Python string can hold: NUL, lone surrogates, every script."""
phrases: Final[SearchStrategy[str]] = st.one_of(
    st.sampled_from((*_WORDS, "beta", "мир", "京", "都に", "gamma alpha", "")), texts
)
_users: Final = st.sampled_from(("u1", "u2", "Ж", ""))
session_ids: Final[SearchStrategy[str]] = st.sampled_from(("s1", "s2", "s3", "会話", "a\0b", ""))
_names: Final = st.one_of(st.sampled_from(("chat", "answer", "")), texts)
_short: Final = st.sampled_from(("r1", "r2", "é", "\ud800"))
_tags: Final = st.lists(st.sampled_from(("web", "beta", "a,b", 'q"t', "é", "\ud800", "")), max_size=4).map(tuple)
_starts: Final = st.one_of(
    st.integers(0, 6).map(lambda n: START + n * SECOND), st.integers(START, START + 3), st.sampled_from((0, 2**62))
)
_durations: Final = st.one_of(st.integers(0, 3).map(lambda n: n * SECOND), st.sampled_from((1, 2**40)))
_counts: Final = st.one_of(st.integers(0, 100), st.sampled_from((-5, 2**53, 2**63 - 1, 2**64 + 1)))
_dollars: Final = st.integers(0, 4096).map(lambda n: n / 1024)
_usage: Final = st.dictionaries(
    st.sampled_from(("input", "output", "input_cached", "total", "é", "\ud800")), _counts, max_size=3
)
_costs: Final = st.dictionaries(
    st.sampled_from(("input", "output", "é", "input_\ud7ff", "\ud800 input", "output\0")), _dollars, max_size=3
)
_values: Final = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=4,
)


def _maybe(values: SearchStrategy[Any], absent: Any = None) -> SearchStrategy[Any]:
    """Draw nothing more often than something: records are merged, and most fields are left unset."""
    return st.one_of(st.just(absent), st.just(absent), values)


def _some(values: SearchStrategy[Any]) -> SearchStrategy[Any]:
    """Draw no tuple more often than one."""
    return _maybe(st.lists(values, min_size=1, max_size=3).map(tuple), ())


def _payload(value: Any, *, escaped: bool) -> Raw:
    text = json.dumps(value, ensure_ascii=escaped, allow_nan=True)
    # Python writes what JSON has not; the encoder never does.
    text = text.replace("-Infinity", "null").replace("Infinity", "null")
    return Raw(text.encode("utf-8", "surrogatepass"))


_any_payload: Final = st.builds(_payload, _values, escaped=st.booleans())


# Strategies that are part of many others are functions: their own description would fill pages.
@st.composite
def _one_payload(draw: st.DrawFn) -> Raw:
    return draw(_any_payload)


payloads: Final[SearchStrategy[Raw]] = _one_payload()
"""Encoded JSON, escaped or not; a lone surrogate that is not escaped makes it bytes that are not UTF-8."""
_attribute_metadata: Final = st.one_of(
    st.dictionaries(st.sampled_from(("k", "l", "é")), st.integers(0, 3), max_size=3).map(
        lambda value: _payload(value, escaped=False)
    ),
    payloads,
)
_any_attributes: Final = st.builds(
    TraceAttributes,
    name=_maybe(_names),
    user_id=_maybe(_users),
    session_id=_maybe(session_ids),
    tags=_maybe(_tags, ()),
    metadata=_maybe(_attribute_metadata, ABSENT),
    release=_maybe(_short),
    version=_maybe(_short),
    environment=_maybe(st.sampled_from(("production", "staging"))),
    public=_maybe(st.booleans()),
)
# Observations of one trace say the same more often than not, and return to what was said before.
_usual_attributes: Final = st.sampled_from((
    TraceAttributes(),
    TraceAttributes(user_id="u1", session_id="s1", tags=("web", "beta"), metadata=Raw(b'{"k":1,"l":2}')),
    TraceAttributes(user_id="u2", session_id="s2", tags=("beta", "é"), metadata=Raw(b'{"l":3}')),
    TraceAttributes(name="chat", session_id="s2", tags=("web",), metadata=Raw(b'"no object"'), public=False),
))  # fmt: skip


@st.composite
def _some_attributes(draw: st.DrawFn) -> TraceAttributes:
    return draw(st.one_of(_usual_attributes, _any_attributes))


trace_attributes: Final[SearchStrategy[TraceAttributes]] = _some_attributes()
_errors: Final = st.builds(ErrorInfo, type=texts, message=texts, stack=texts)
_experiments: Final = st.builds(
    Experiment,
    id=texts,
    name=_maybe(texts),
    description=_maybe(texts),
    metadata=_maybe(payloads, ABSENT),
    dataset_id=_maybe(_short),
    item_id=_maybe(_short),
    item_version=_maybe(_short),
    item_expected_output=_maybe(payloads, ABSENT),
    item_metadata=_maybe(payloads, ABSENT),
    item_root_span_id=_maybe(span_ids),
)
_provenances: Final = st.builds(Provenance, **{name: _maybe(texts) for name in Provenance.__struct_fields__})


def _observation_fields() -> dict[str, SearchStrategy[Any]]:
    return {
        "project": projects,
        "trace_id": trace_ids,
        "span_id": span_ids,
        "name": _names,
        "start_ns": _starts,
        "parent_id": _maybe(span_ids),
        "type": st.sampled_from(OBSERVATION_TYPES),
        "duration_ns": _maybe(_durations),
        "status": st.sampled_from(STATUSES),
        "level": _maybe(st.sampled_from(LEVELS), "DEFAULT"),
        "status_message": _maybe(texts),
        "input": _maybe(payloads, ABSENT),
        "output": _maybe(payloads, ABSENT),
        "metadata": _maybe(payloads, ABSENT),
        "trace": trace_attributes,
        "error": _maybe(_errors),
        "version": _maybe(_short),
        "app_root": _maybe(st.booleans(), absent=False),
        "completion_start_ns": _maybe(_starts),
        "tool_definitions": _maybe(payloads, ABSENT),
        "tool_calls": _maybe(payloads, ABSENT),
        "tool_call_names": _maybe(st.lists(texts, max_size=2).map(tuple), ()),
        "experiment": _maybe(_experiments),
        "provenance": _maybe(_provenances),
        "received_ns": _maybe(_starts),
    }


def _model_fields() -> dict[str, SearchStrategy[Any]]:
    return {
        "model": _maybe(st.sampled_from(("gpt-x", "é", "\ud800"))),
        "model_id": _maybe(_short),
        "model_parameters": _maybe(payloads, ABSENT),
        "usage_details": _maybe(_usage),
        "provided_usage_details": _maybe(_usage),
        "cost_details": _maybe(_costs),
        "provided_cost_details": _maybe(_costs),
        "total_cost": _maybe(_dollars),
        "pricing_tier": _maybe(texts),
        "prompt_id": _maybe(_short),
        "prompt_name": _maybe(texts),
        "prompt_version": _maybe(st.integers(0, 3)),
    }


def _consistent(drawn: Span) -> Span:
    """Return a drawn record with what its status and its kind say about its other fields."""
    if isinstance(drawn, Event):
        return replace(drawn, type="event", duration_ns=None if drawn.status == "running" else 0)
    return replace(drawn, duration_ns=None) if drawn.status == "running" else drawn


_any_observation: Final = st.one_of(
    st.builds(Span, **_observation_fields()),
    st.builds(Generation, **_observation_fields(), **_model_fields()),
    st.builds(Event, **_observation_fields()),
).map(_consistent)


@st.composite
def _one_observation(draw: st.DrawFn) -> Span:
    return draw(_any_observation)


observations: Final[SearchStrategy[Span]] = _one_observation()
sessions: Final[SearchStrategy[Session]] = st.builds(
    Session,
    project=projects,
    session_id=session_ids,
    environment=_maybe(st.sampled_from(("production", "é"))),
    public=_maybe(st.booleans()),
    bookmarked=_maybe(st.booleans()),
    trace_count=st.sampled_from((0, 7)),
)
"""Sessions as they are written; a count that somebody sets is ignored by a store."""
score_ids: Final[SearchStrategy[str]] = st.sampled_from(("c1", "c2", "c3"))
_score_types: Final = st.sampled_from(("NUMERIC", "BOOLEAN", "CATEGORICAL", "TEXT", "CORRECTION"))
_sources: Final = st.sampled_from(("API", "EVAL", "ANNOTATION"))
scores: Final[SearchStrategy[Score]] = st.builds(
    Score,
    project=projects,
    score_id=score_ids,
    name=_names,
    timestamp_ns=_starts,
    data_type=_score_types,
    value=_maybe(_dollars),
    string_value=_maybe(texts),
    source=_sources,
    trace_id=_maybe(trace_ids),
    observation_id=_maybe(span_ids),
    session_id=_maybe(session_ids),
    experiment_id=_maybe(_short),
    comment=_maybe(texts),
    metadata=_maybe(payloads, ABSENT),
    config_id=_maybe(_short),
    environment=_maybe(st.sampled_from(("production", "é"))),
    author_user_id=_maybe(_users),
    queue_id=_maybe(_short),
    execution_trace_id=_maybe(trace_ids),
)
records: Final[SearchStrategy[Record]] = st.one_of(observations, observations, observations, sessions, scores)
_processes: Final = st.sampled_from(("process one", "process two", "process \ud800"))
_minutes: Final = st.integers(0, 2).map(lambda n: START - START % MINUTE + n * MINUTE)
_few: Final = st.one_of(st.integers(0, 9), st.just(2**40))
entries: Final[SearchStrategy[LedgerEntry]] = st.builds(
    LedgerEntry,
    project=projects,
    process=_processes,
    minute_ns=_minutes,
    seen_ns=st.integers(START, START + 3),
    emitted=_few,
    delivered=_few,
    waiting=_few,
    sampled=_few,
    lost=_maybe(st.dictionaries(st.sampled_from(("ring_full", "rejected", "\ud800")), _few, max_size=2)),
    recovered=_few,
    restarts=_few,
    host=_maybe(texts),
    pid=_maybe(st.integers(1, 9)),
    service_name=_maybe(texts),
    started_ns=_starts,
    ended=st.booleans(),
)
"""Ledger entries, of processes that no drawn observation names: nothing of them is ever found abandoned."""
batches: Final[SearchStrategy[list[Record]]] = st.lists(records, max_size=6)

_limits: Final = st.sampled_from((1, 2, 3, 1000))
_flags: Final = _maybe(st.booleans())
trace_queries: Final[SearchStrategy[TraceQuery]] = st.builds(
    TraceQuery,
    limit=_limits,
    user_id=_maybe(_users),
    session_id=_maybe(session_ids),
    name=_maybe(_names),
    release=_maybe(_short),
    version=_maybe(_short),
    environment=_maybe(st.sampled_from(("production", "staging"))),
    tags=_maybe(_tags, ()),
    since_ns=_maybe(_starts),
    until_ns=_maybe(_starts),
    has_error=_flags,
    running=_flags,
    min_duration_ns=_maybe(_durations),
    min_cost=_maybe(_dollars),
    search=_maybe(phrases),
)
observation_queries: Final[SearchStrategy[ObservationQuery]] = st.builds(
    ObservationQuery,
    limit=_limits,
    trace_id=_maybe(trace_ids),
    name=_maybe(_names),
    type=_maybe(st.sampled_from(OBSERVATION_TYPES)),
    model=_maybe(st.sampled_from(("gpt-x", "é", "\ud800"))),
    user_id=_maybe(_users),
    session_id=_maybe(session_ids),
    since_ns=_maybe(_starts),
    until_ns=_maybe(_starts),
    has_error=_flags,
    running=_flags,
    min_duration_ns=_maybe(_durations),
    search=_maybe(phrases),
    bodies=st.booleans(),
)
session_queries: Final[SearchStrategy[SessionQuery]] = st.builds(
    SessionQuery,
    limit=_limits,
    user_id=_maybe(_users),
    since_ns=_maybe(_starts),
    until_ns=_maybe(_starts),
)
score_queries: Final[SearchStrategy[ScoreQuery]] = st.builds(
    ScoreQuery,
    limit=_limits,
    name=_maybe(_names),
    data_type=_maybe(_score_types),
    source=_maybe(_sources),
    trace_id=_maybe(trace_ids),
    observation_id=_maybe(span_ids),
    session_id=_maybe(session_ids),
    experiment_id=_maybe(_short),
    environment=_maybe(st.sampled_from(("production", "é"))),
    since_ns=_maybe(_starts),
    until_ns=_maybe(_starts),
    min_value=_maybe(_dollars),
    max_value=_maybe(_dollars),
    score_ids=_some(score_ids),
    names=_some(_names),
    data_types=_some(_score_types),
    sources=_some(_sources),
    trace_ids=_some(trace_ids),
    observation_ids=_some(span_ids),
    session_ids=_some(session_ids),
    experiment_ids=_some(_short),
    environments=_some(st.sampled_from(("production", "é"))),
    config_ids=_some(_short),
    queue_ids=_some(_short),
    author_user_ids=_some(_users),
    values=_some(_dollars),
    string_values=_some(texts),
)
ledger_queries: Final[SearchStrategy[LedgerQuery]] = st.builds(
    LedgerQuery,
    limit=_limits,
    process=_maybe(_processes),
    since_ns=_maybe(_minutes),
    until_ns=_maybe(_minutes),
    last=st.booleans(),
)
