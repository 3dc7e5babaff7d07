"""Metrics of the versions of a prompt as rows for people, each beside what it is for the version in production.

A difference is shown in brackets where it is large. That is no statement of statistics: whether it means anything, the
number of generations or scores says, which stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from tracecore.cli.figures import cost, duration, moment
from tracecore.cli.output import Column
from tracecore.prompts import PRODUCTION
from tracecore.services.prompt_metrics import ScoreMetrics, VersionMetrics

__all__ = ["LARGE", "LARGE_POINTS", "SCORES", "USE", "production_of", "score_rows", "use_rows"]

LARGE: Final = 20
"""Per cent from which a difference is shown."""
LARGE_POINTS: Final = 5
"""Points of per cent from which the difference of two shares is shown."""
_PLACES: Final = 6
"""Of a difference in per cent: floats are a little off, and 20 % are 20 %."""
_MOST_VALUES: Final = 6
_Both: TypeAlias = tuple[float | None, float | None]
"""What a figure is for a version, and for the one that it is compared with."""
USE: Final = (
    Column("version", "right"),
    Column("labels", firm=True),
    Column("n", "right"),
    Column("errors", "right"),
    Column("p50", "right"),
    Column("p95", "right"),
    Column("first token", "right"),
    Column("in/call", "right"),
    Column("out/call", "right"),
    Column("cost/call", "right"),
    Column("cost", "right"),
    Column("first use", firm=True),
    Column("last use", firm=True),
)
"""What a version took and cost; ``first token`` is the median."""
SCORES: Final = (
    Column("score"),
    Column("version", "right"),
    Column("n", "right"),
    Column("mean", "right"),
    Column("values", limit=80),
)
"""What its scores are."""


def production_of(versions: Sequence[VersionMetrics]) -> VersionMetrics | None:
    """Return the version that has ``production``, or None."""
    return next((one for one in versions if PRODUCTION in one.labels), None)


def use_rows(versions: Sequence[VersionMetrics], base: VersionMetrics | None) -> list[list[str]]:
    """Return a row for each version, with the large differences to ``base``."""
    return [_use_row(one, None if one is base else base) for one in versions]


def score_rows(versions: Sequence[VersionMetrics], base: VersionMetrics | None) -> list[list[str]]:
    """Return a row for each score of each version: those of one name below each other."""
    known = {} if base is None else {(score.name, score.data_type): score for score in base.scores}
    rows = [
        (score.name, score.data_type, place, one.version, score)
        for place, one in enumerate(versions)
        for score in one.scores
    ]
    return [
        _score_row(score, version, None if base is None or version == base.version else known.get((name, data_type)))
        for name, data_type, _, version, score in sorted(rows, key=lambda row: row[:3])
    ]


def _use_row(one: VersionMetrics, base: VersionMetrics | None) -> list[str]:
    def both(of: Callable[[VersionMetrics], float | None]) -> _Both:
        return of(one), None if base is None else of(base)

    return [
        str(one.version),
        _labels(one),
        f"{one.generations:,}",
        _errors(one.errors, both(lambda version: version.error_rate)),
        _ms(both(lambda version: version.latency_p50_ms)),
        _ms(both(lambda version: version.latency_p95_ms)),
        _ms(both(lambda version: version.first_token_p50_ms)),
        _tokens(both(lambda version: _mean(version.input_tokens, version.usage_count))),
        _tokens(both(lambda version: _mean(version.output_tokens, version.usage_count))),
        _cost(both(lambda version: _mean(version.total_cost, version.cost_count))),
        cost(one.total_cost, known=not one.unknown_costs),
        moment(one.first_used_ns),
        moment(one.last_used_ns),
    ]


def _labels(one: VersionMetrics) -> str:
    """Return the labels of a version, and its share of those that are split."""
    names = dict.fromkeys((*one.labels, *one.shares))
    return ", ".join(f"{name} {one.shares[name]:.3g}" if name in one.shares else name for name in names)


def _errors(errors: int, both: _Both) -> str:
    return "-" if both[0] is None else f"{errors:,}, {both[0]:.1%}{_points(both)}"


def _ms(both: _Both) -> str:
    return duration(None if both[0] is None else round(both[0] * 1e6)) + _difference(both)


def _tokens(both: _Both) -> str:
    return "-" if both[0] is None else f"{both[0]:,.0f}{_difference(both)}"


def _cost(both: _Both) -> str:
    return cost(both[0]) + _difference(both)


def _score_row(score: ScoreMetrics, version: int, base: ScoreMetrics | None) -> list[str]:
    both = score.mean, None if base is None else base.mean
    mean = "-"
    if score.mean is not None:
        is_share = score.data_type == "BOOLEAN"
        mean = f"{score.mean:.1%} true{_points(both)}" if is_share else f"{score.mean:.4g}{_difference(both)}"
    return [score.name, str(version), f"{score.count:,}", mean, _values(score)]


def _values(score: ScoreMetrics) -> str:
    """Return how often the most frequent values were given."""
    shown = list(score.values.items())[:_MOST_VALUES]
    others = score.count - sum(number for _, number in shown) if score.values or score.other_values else 0
    return ", ".join([f"{value} {number:,}" for value, number in shown] + ([f"others {others:,}"] if others else []))


def _mean(total: float | None, number: int) -> float | None:
    return None if total is None or not number else total / number


def _difference(both: _Both) -> str:
    """Return by how much more or less the first value is than the second, where that is much."""
    value, base = both
    if value is None or not base:
        return ""
    percent = round((value - base) / abs(base) * 100, _PLACES)
    return f" [{percent:+,.0f} %]" if abs(percent) >= LARGE else ""


def _points(both: _Both) -> str:
    """Return by how many points a share is greater or less than another, where these are many."""
    value, base = both
    points = 0.0 if value is None or base is None else round((value - base) * 100, _PLACES)
    return f" [{points:+.0f} points]" if abs(points) >= LARGE_POINTS else ""
