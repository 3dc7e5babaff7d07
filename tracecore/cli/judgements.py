"""The scores of a trace as lines of text: what was judged, how, by whom and why.

Invariants: every score has a line, which is no longer than the terminal unless everything is asked for; all stored text
is made visible.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tracecore.cli.escaping import visible
from tracecore.cli.figures import count
from tracecore.cli.output import Column
from tracecore.cli.payloads import full_lines
from tracecore.cli.plain_table import cut, draw
from tracecore.records import Observation, Score

__all__ = ["judgements"]

_INDENT = "  "
_TEXT_LIMIT = 24
_EVERYTHING = 1_000_000
_VERDICTS = {0.0: "false", 1.0: "true"}


def judgements(
    scores: Sequence[Score], observations: Iterable[Observation], *, columns: int, full: bool = False
) -> list[str]:
    """Return the lines of the scores of a trace below its waterfall; none where there are no scores.

    With ``full`` every text and the metadata are written out.
    """
    if not scores:
        return []
    names = {span.span_id: span.name for span in observations}
    limit = _EVERYTHING if full else _TEXT_LIMIT
    table = [Column("score", limit=limit), Column("value", limit=limit), Column("of", limit=limit), Column("by")]
    rows = [[*map(visible, _facts(score, names)), visible(score.comment or "")] for score in scores]
    lines = [_INDENT + line for line in draw([*table, Column("comment", limit=_EVERYTHING)], rows)]
    if not full:
        lines = [cut(line, columns) for line in lines]
    below = [[] if not full else list(_metadata(score)) for score in scores]
    told = [line for own, more in zip(lines[1:], below, strict=True) for line in (own, *more)]
    return ["", count(len(scores), "score"), lines[0], *told]


def _facts(score: Score, names: dict[str, str]) -> tuple[str, str, str, str]:
    span_id = score.observation_id
    of = "the trace" if span_id is None else names.get(span_id) or f"span {span_id}"
    return score.name, _value(score), of, score.author_user_id or score.source.lower()


def _value(score: Score) -> str:
    if score.string_value is not None:
        return score.string_value
    if score.value is None:
        return "-"
    if score.data_type == "BOOLEAN" and score.value in _VERDICTS:
        return _VERDICTS[score.value]
    return f"{score.value:.6g}"


def _metadata(score: Score) -> Iterator[str]:
    if score.metadata:
        yield f"{_INDENT * 2}metadata:"
        yield from (f"{_INDENT * 3}{line}" for line in full_lines(score.metadata))
