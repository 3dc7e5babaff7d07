"""Generations that used a prompt, the scores of them, and what comes out, worked out by hand."""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from tracecore.backend import Backend
from tracecore.catalog_prompts import prompts_of
from tracecore.prompts import LabelMove, Share, Split
from tracecore.records import Record
from tracecore.services.prompt_metrics import ScoreMetrics, VersionMetrics
from tracecore.testing.samples import PROJECT, SECOND, START, generation, new_prompt, score, span_id_of, trace_id_of

__all__ = ["EXPECTED", "NAME", "keep_uses", "uses"]

NAME: Final = "support/answer"
_US: Final = (START + 500) // 1000 * 1000
"""When everything begins, to the nearest microsecond."""


def _use(number: int, version: int | None, **fields: Any) -> Record:
    return generation(number, **{"prompt_name": NAME, "prompt_version": version, **fields})


def _judged(score_id: str, number: int | None, **fields: Any) -> Record:
    judged = None if number is None else span_id_of(number)
    return score(score_id, **{"trace_id": trace_id_of(1), "observation_id": judged, **fields})


def uses() -> list[Record]:
    """Return what was recorded: versions 1, 3 and 9 in use, 2 just begun, and what is of something else."""
    said: dict[str, Any] = {"name": "good", "data_type": "BOOLEAN"}
    mood: dict[str, Any] = {"name": "mood", "data_type": "CATEGORICAL"}
    return [
        _use(1, 1, completion_start_ns=START + SECOND // 2, usage_details={"input": 10, "output": 6}, total_cost=0.75),
        _use(2, 1, after_s=1, duration_ns=3 * SECOND, usage_details={"input": 4, "output": 2}, level="ERROR"),
        _use(3, 2, after_s=2, status="running"),
        _use(4, 3, after_s=3, duration_ns=2 * SECOND, status="error", total_cost=0.0),
        _use(5, 9, after_s=4, total_cost=0.25),
        _use(6, None), _use(7, 1, prompt_name="other"), _use(8, 1, prompt_name=None),
        replace(_use(9, 1), project="elsewhere"),
        _judged("a", 1, value=0.5), _judged("b", 2, value=1.5), _judged("c", 4, value=2.0),
        _judged("d", 1, value=1.0, **said), _judged("e", 2, value=0.0, **said), _judged("f", 2, value=1.0, **said),
        _judged("g", 1, string_value="red", **mood), _judged("h", 2, string_value="blue", **mood),
        _judged("i", 1, string_value="blue", timestamp_ns=START + 9 * SECOND, **mood),
        _judged("j", 1, name="note", data_type="TEXT", string_value="well said"),
        _judged("k", None, value=9.0), _judged("l", 7, value=9.0), _judged("m", 6, value=9.0),
    ]  # fmt: skip


def _number(name: str, count: int, mean: float) -> ScoreMetrics:
    return ScoreMetrics(name=name, data_type="NUMERIC", count=count, mean=mean)


EXPECTED: Final[list[VersionMetrics]] = [
    VersionMetrics(
        version=9, generations=1, error_rate=0.0, first_used_ns=_US + 4 * SECOND, last_used_ns=_US + 4 * SECOND,
        latency_count=1, latency_p50_ms=1000.0, latency_p95_ms=1000.0, cost_count=1, total_cost=0.25,
    ),
    VersionMetrics(version=4, labels=("latest",)),
    VersionMetrics(
        version=3, shares={"production": 0.25}, generations=1, errors=1, error_rate=1.0, cost_count=1, total_cost=0.0,
        first_used_ns=_US + 3 * SECOND, last_used_ns=_US + 3 * SECOND, latency_count=1, latency_p50_ms=2000.0,
        latency_p95_ms=2000.0, scores=(_number("quality", 1, 2.0),),
    ),
    VersionMetrics(
        version=2, labels=("production", "stable"), shares={"production": 0.75}, generations=1, error_rate=0.0,
        first_used_ns=_US + 2 * SECOND, last_used_ns=_US + 2 * SECOND, unknown_costs=1,
    ),
    VersionMetrics(
        version=1, generations=2, errors=1, error_rate=0.5, first_used_ns=_US, last_used_ns=_US + SECOND,
        latency_count=2, latency_p50_ms=2000.0, latency_p95_ms=2900.0, first_token_count=1, first_token_p50_ms=500.0,
        first_token_p95_ms=500.0, usage_count=2, input_tokens=14, output_tokens=8, total_tokens=22, cost_count=1,
        unknown_costs=1, total_cost=0.75,
        scores=(
            ScoreMetrics(
                name="good", data_type="BOOLEAN", count=3, mean=2 / 3, values={"true": 2, "false": 1},
            ),
            ScoreMetrics(name="mood", data_type="CATEGORICAL", count=3, values={"blue": 2, "red": 1}),
            ScoreMetrics(name="note", data_type="TEXT", count=1), _number("quality", 2, 1.0),
        ),
    ),
]  # fmt: skip
"""What the metrics are. Nobody has published version 9; nobody has used version 4."""


async def keep_uses(backend: Backend, project: str = PROJECT) -> None:
    """Publish four versions, split ``production`` between two of them, and record the uses."""
    prompts = prompts_of(backend)
    for text in ("one", "two", "three", "four"):
        await prompts.publish(project, new_prompt(NAME, text))
    await prompts.change(project, NAME, LabelMove(version=2, labels=("production", "stable")))
    await prompts.change(project, NAME, Split(label="production", shares=(Share(2, 3), Share(3, 1))))
    moved = [replace(one, project=project) if one.project == PROJECT else one for one in uses()]
    await backend.write(moved)
