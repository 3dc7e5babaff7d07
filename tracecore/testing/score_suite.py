"""The conformance suite of score stores: what is kept, lists, pages."""

from __future__ import annotations

from itertools import permutations
from typing import Any, Final, cast

import pytest
from msgspec.structs import replace

from tracecore.backend import LARGEST_PAGE_BYTES, Batch, Page, ScoreQuery
from tracecore.errors import BackendRejected
from tracecore.records import Record, Score, merge
from tracecore.testing.comparing import same
from tracecore.testing.contract import HOSTILE_TEXTS, Contract
from tracecore.testing.opening import MakeBackend, opened, opened_with, pages_of, scores_in
from tracecore.testing.samples import PROJECT, SECOND, START, json_of, long_text, score, span, span_id_of, trace_id_of
from tracecore.testing.trace_suite import FORGED_CURSORS

__all__ = ["ScoreSuite"]

_T1, _T2, _S1 = trace_id_of(1), trace_id_of(2), span_id_of(1)
_FULL: Final = score(
    "full", name="tone", timestamp_ns=START + 7 * SECOND, data_type="CATEGORICAL", value=0.5, string_value="friendly",
    source="EVAL", trace_id=_T1, observation_id=_S1, session_id="s", experiment_id="e", comment="why",
    metadata=json_of({"k": None}), config_id="c", environment="staging", author_user_id="u", queue_id="q",
    execution_trace_id=_T2,
)  # fmt: skip
"""A score with every field set to something that is not its default."""
_SCORES: Final[tuple[Score, ...]] = (
    score("0", trace_id=_T1, value=0.25),
    score("1", trace_id=_T1, value=0.5, timestamp_ns=START + SECOND, source="ANNOTATION"),
    score("2", trace_id=_T2, observation_id=_S1, value=1.0, timestamp_ns=START + SECOND, data_type="BOOLEAN"),
    score("3", session_id="s", value=-1.5, timestamp_ns=START + 2 * SECOND, environment="staging"),
    score("4", name="", experiment_id="e", string_value="a text", data_type="TEXT", timestamp_ns=START + 5 * SECOND),
    score("5", experiment_id="e", value=0.0, timestamp_ns=START + 3 * SECOND),
    _FULL,
)
"""Seven scores; nothing of what they judge is stored."""
_FILTERS: Final[tuple[tuple[ScoreQuery, tuple[int, ...]], ...]] = (
    (ScoreQuery(), (6, 4, 5, 3, 2, 1, 0)),
    (ScoreQuery(name="quality"), (5, 3, 2, 1, 0)),
    (ScoreQuery(name=""), (4,)),
    (ScoreQuery(name="QUALITY"), ()),
    (ScoreQuery(data_type="NUMERIC"), (5, 3, 1, 0)),
    (ScoreQuery(data_type="CORRECTION"), ()),
    (ScoreQuery(source="ANNOTATION"), (1,)),
    (ScoreQuery(source="API"), (4, 5, 3, 2, 0)),
    (ScoreQuery(trace_id=_T1), (6, 1, 0)),
    (ScoreQuery(trace_id=""), ()),
    (ScoreQuery(observation_id=_S1), (6, 2)),
    (ScoreQuery(trace_id=_T2, observation_id=_S1), (2,)),
    (ScoreQuery(session_id="s"), (6, 3)),
    (ScoreQuery(session_id="s", environment="staging", name="tone"), (6,)),
    (ScoreQuery(experiment_id="e"), (6, 4, 5)),
    (ScoreQuery(environment="staging"), (6, 3)),
    (ScoreQuery(since_ns=START + SECOND), (6, 4, 5, 3, 2, 1)),
    (ScoreQuery(until_ns=START + SECOND), (0,)),
    (ScoreQuery(since_ns=START + SECOND, until_ns=START + SECOND + 1), (2, 1)),
    (ScoreQuery(trace_id=_T1, since_ns=START + 1), (6, 1)),
    (ScoreQuery(min_value=0.5), (6, 2, 1)),
    (ScoreQuery(max_value=0.0), (5, 3)),
    (ScoreQuery(min_value=0.0, max_value=0.0), (5,)),
    (ScoreQuery(min_value=-1e308, max_value=1e308), (6, 5, 3, 2, 1, 0)),
    (ScoreQuery(experiment_id="e", name="quality", max_value=0.5), (5,)),
    (ScoreQuery(score_ids=("0", "3", "none")), (3, 0)),
    (ScoreQuery(score_ids=("0", "3"), session_id="s"), (3,)),
    (ScoreQuery(names=("tone", "")), (6, 4)),
    (ScoreQuery(names=("tone",)), (6,)),
    (ScoreQuery(names=("tone", "quality"), name="tone"), (6,)),
    (ScoreQuery(names=("quality",), name="tone"), ()),
    (ScoreQuery(data_types=("TEXT", "BOOLEAN")), (4, 2)),
    (ScoreQuery(sources=("EVAL", "ANNOTATION")), (6, 1)),
    (ScoreQuery(trace_ids=(_T1, _T2)), (6, 2, 1, 0)),
    (ScoreQuery(trace_ids=(_T2,)), (2,)),
    (ScoreQuery(observation_ids=(_S1, "none")), (6, 2)),
    (ScoreQuery(session_ids=("s", "t")), (6, 3)),
    (ScoreQuery(experiment_ids=("d", "e")), (6, 4, 5)),
    (ScoreQuery(experiment_ids=("d", "e"), trace_ids=(_T1, _T2)), (6,)),
    (ScoreQuery(environments=("staging", "default")), (6, 3)),
    (ScoreQuery(config_ids=("c",)), (6,)),
    (ScoreQuery(queue_ids=("q", "r")), (6,)),
    (ScoreQuery(author_user_ids=("v",)), ()),
    (ScoreQuery(values=(0.5, 1, -1.5)), (6, 3, 2, 1)),
    (ScoreQuery(values=(0,)), (5,)),
    (ScoreQuery(string_values=("friendly", "a text", "")), (6, 4)),
)
"""Queries, and which scores they find in which order."""


class ScoreSuite(Contract):
    """Prove that scores are kept and read as :class:`tracecore.backend.ScoreStore` says."""

    async def test_scores_are_kept_in_every_field(self, make: MakeBackend, make_reader: MakeBackend) -> None:
        """Sink.write: "Keep every record of the batch": every field of a score comes back, one by one and in lists."""
        least = score("least", timestamp_ns=0)
        async with opened_with(make(), [span(1), _FULL, least]), opened(make_reader()) as reader:
            same(await scores_in(reader).get(PROJECT, "full"), _FULL)
            same(await scores_in(reader).get(PROJECT, "least"), least)
            same((await scores_in(reader).find(PROJECT, ScoreQuery())).items, [_FULL, least])

    async def test_filters_order_and_pages_of_scores(self, make: MakeBackend) -> None:
        """ScoreQuery: "every condition that is set must hold. Newest timestamp first, ties by score id descending"."""
        async with opened_with(make(), _SCORES) as backend:
            find = scores_in(backend).find
            for query, places in _FILTERS:
                for limit in (1, 2, max(1, len(places)), 1000):
                    pages = await pages_of(find, PROJECT, replace(query, limit=limit))
                    found = [one for page in pages for one in page]
                    same(found, [_SCORES[place] for place in places], f"{query}, limit {limit}")
                    assert len(pages) == max(1, -(-len(places) // limit)), f"{query}, limit {limit}"

    async def test_pages_of_scores_are_stable(self, make: MakeBackend) -> None:
        """Page: cursors "name a position by key (never by count) and stay valid while records are added"."""
        async with opened_with(make(), _SCORES) as backend:
            find = scores_in(backend).find
            first = await find(PROJECT, ScoreQuery(limit=3))
            late, early, tied = (
                score("new", timestamp_ns=START + 60 * SECOND), score("old", timestamp_ns=START - 1),
                score("10", timestamp_ns=START + SECOND),
            )  # fmt: skip
            await backend.write([late, early, tied])
            rest = await pages_of(find, PROJECT, ScoreQuery(limit=3, cursor=first.next_cursor))
        same([one for page in rest for one in page], [_SCORES[3], _SCORES[2], tied, _SCORES[1], _SCORES[0], early])

    async def test_a_page_of_scores_ends_where_they_are_long(self, make: MakeBackend) -> None:
        """Page: "it ends before the item with which it would be longer than LARGEST_PAGE_BYTES", and goes on there."""
        third = LARGEST_PAGE_BYTES // 3
        text, longest = long_text(third), long_text(4 * third)
        said: list[dict[str, Any]] = [
            {"comment": text}, {"metadata": json_of(text)}, {"comment": longest},
            {"comment": text, "metadata": json_of(text)}, {}, {},
        ]  # fmt: skip
        records = [
            replace(score(str(number), trace_id=_T1, timestamp_ns=START - number), **more)
            for number, more in enumerate(said)
        ]
        async with opened_with(make(), records) as backend:
            for query in (ScoreQuery(), ScoreQuery(trace_id=_T1), ScoreQuery(names=("quality", "tone"))):
                pages = await pages_of(scores_in(backend).find, PROJECT, query)
                same(["".join(one.score_id for one in page) for page in pages], ["01", "2", "345"], query)

    async def test_forged_cursors_and_limits_of_scores_are_refused(self, make: MakeBackend) -> None:
        """ScoreStore.find: "Raises as TraceStore.find does": for a foreign cursor, and for a limit out of range."""
        wrong = [ScoreQuery(cursor=cursor) for cursor in FORGED_CURSORS]
        wrong += [ScoreQuery(limit=limit) for limit in (0, -1, 1001, 2**70)]
        async with opened_with(make(), _SCORES) as backend:
            for query in wrong:
                with pytest.raises(BackendRejected):
                    await scores_in(backend).find(PROJECT, query)

    async def test_unknown_scores_are_absent(self, make: MakeBackend) -> None:
        """Backend: "An unknown id is absent (None, or missing from a page), never an error"."""
        async with opened_with(make(), _SCORES) as backend:
            for unknown in ("nowhere", "", "\0", "\ud800", "' OR 1=1"):
                assert await scores_in(backend).get(PROJECT, unknown) is None
                assert await scores_in(backend).get(unknown, "0") is None
                same(await scores_in(backend).find(unknown, ScoreQuery()), Page(list[Score]()))
                same(await scores_in(backend).find(PROJECT, ScoreQuery(session_id=unknown)), Page(list[Score]()))

    async def test_a_later_score_wins_where_it_sets_a_field(self, make: MakeBackend) -> None:
        """Sink.write: "A later record wins field by field, only where it sets the field", 0.0 and "" being set."""
        later = score("full", name="", timestamp_ns=START, value=0.0, string_value="", source="API")
        async with opened(make()) as backend:
            for number, batches in enumerate(
                ([[_FULL, later]], [[_FULL], [later]], [[_FULL], [later, later], [later]])
            ):
                project = f"way {number}"
                for batch in batches:
                    await backend.write([replace(record, project=project) for record in batch])
                expected = replace(merge(_FULL, later), project=project)
                same(await scores_in(backend).get(project, "full"), expected)
                same((await scores_in(backend).find(project, ScoreQuery())).items, [expected])

    async def test_the_order_of_different_scores_does_not_matter(self, make: MakeBackend) -> None:
        """Sink.write: what is kept follows from the records, whether what they judge comes before or after them."""
        records: list[Record] = [span(1), score("a", trace_id=_T1), score("b", trace_id=_T1, observation_id=_S1)]
        async with opened(make()) as backend:
            for number, order in enumerate(permutations(records)):
                project = f"order {number}"
                for record in order:
                    await backend.write([replace(record, project=project)])
                found = (await scores_in(backend).find(project, ScoreQuery(trace_id=_T1))).items
                same(found, [replace(records[2], project=project), replace(records[1], project=project)])

    async def test_a_batch_that_is_refused_leaves_no_score(self, make: MakeBackend) -> None:
        """Sink.write: "Keep every record of the batch, or none of it"."""
        async with opened_with(make(), [score("kept")]) as backend:
            with pytest.raises(BackendRejected):
                await backend.write(cast("Batch", [score("half"), score("kept", comment="changed"), "no record"]))
            same((await scores_in(backend).find(PROJECT, ScoreQuery())).items, [score("kept")])

    async def test_scores_of_projects_stay_apart(self, make: MakeBackend) -> None:
        """Backend: "Every read names its project": the same score id of another project is another score."""
        theirs = replace(_FULL, project="other", comment="theirs")
        async with opened_with(make(), [_FULL, theirs]) as backend:
            same(await scores_in(backend).get(PROJECT, "full"), _FULL)
            same((await scores_in(backend).find("other", ScoreQuery(trace_id=_T1))).items, [theirs])

    async def test_texts_of_scores_are_of_any_kind(self, make: MakeBackend) -> None:
        """Sink.write: "Keep every record": NUL, lone surrogates and every script, in every text and in conditions."""
        records = [_spoken(number, text) for number, text in enumerate(HOSTILE_TEXTS, 1)]
        async with opened_with(make(), records) as backend:
            await backend.write(records)
            pages = await pages_of(scores_in(backend).find, PROJECT, ScoreQuery(limit=1))
            same([one for page in pages for one in page], records[::-1])
            for record in records:
                same(await scores_in(backend).get(PROJECT, record.score_id), record)
                for query in (ScoreQuery(name=record.name), ScoreQuery(session_id=record.session_id)):
                    same((await scores_in(backend).find(PROJECT, query)).items, [record], query)


def _spoken(number: int, text: str) -> Score:
    """Return a score with one text everywhere."""
    return score(
        text, name=text, timestamp_ns=START + number, string_value=text, session_id=text, experiment_id=text,
        comment=text, metadata=json_of({text: text}), config_id=text, environment=text, author_user_id=text,
        queue_id=text,
    )  # fmt: skip
