"""The conformance suite of experiments: which observations are of one, and which stand for an item."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from tracecore.backend import ObservationQuery
from tracecore.records import Experiment, Observation
from tracecore.testing.contract import HOSTILE_TEXTS, Contract
from tracecore.testing.opening import MakeBackend, observations_in, opened_with, pages_of
from tracecore.testing.samples import PROJECT, SECOND, START, generation, json_of, span, span_id_of, trace_id_of

__all__ = ["ExperimentSuite"]


def _of(experiment_id: str, root: int | None = None) -> Experiment:
    return Experiment(experiment_id, item_root_span_id=None if root is None else span_id_of(root))


_SEVEN: Final[tuple[Observation, ...]] = (
    span(1, within=1),
    replace(span(2, within=2, after_s=1, input=json_of("in")), experiment=_of("x", 2)),
    replace(generation(3, within=2, after_s=2), experiment=_of("x", 2)),
    replace(span(4, within=3, after_s=3), experiment=_of("x", 4)),
    replace(span(5, within=4, after_s=4), experiment=_of("y", 5)),
    replace(span(6, within=5, after_s=5), experiment=_of("y")),
    replace(span(7, within=5, after_s=6), experiment=_of('"x', 7)),
)
"""Three experiments with two items, one and one; the last but one names no item."""
_FILTERS: Final[tuple[tuple[ObservationQuery, tuple[int, ...]], ...]] = (
    (ObservationQuery(), (7, 6, 5, 4, 3, 2, 1)),
    (ObservationQuery(experiment_id="x"), (4, 3, 2)),
    (ObservationQuery(experiment_id="y"), (6, 5)),
    (ObservationQuery(experiment_id='"x'), (7,)),
    (ObservationQuery(experiment_id=""), ()),
    (ObservationQuery(experiment_items=True), (7, 5, 4, 2)),
    (ObservationQuery(experiment_id="x", experiment_items=True), (4, 2)),
    (ObservationQuery(experiment_id="x", type="generation"), (3,)),
    (ObservationQuery(experiment_items=True, since_ns=START + 3 * SECOND, until_ns=START + 6 * SECOND), (5, 4)),
    (ObservationQuery(experiment_id="x", trace_id=trace_id_of(2)), (3, 2)),
    (ObservationQuery(experiment_items=True, trace_id=trace_id_of(2), bodies=True), (2,)),
    (ObservationQuery(experiment_items=True, search="in"), (2,)),
)


class ExperimentSuite(Contract):
    """Prove that the observations of an experiment are found."""

    async def test_what_is_of_an_experiment(self, make: MakeBackend) -> None:
        """ObservationQuery: "The experiment that they are of", "Only what stands for an item", and both."""
        async with opened_with(make(), _SEVEN) as backend:
            while await backend.maintain():
                pass
            for query, expected in _FILTERS:
                found = (await observations_in(backend).find(PROJECT, query)).items
                assert [one.span_id for one in found] == [span_id_of(number) for number in expected], query

    async def test_items_in_pages(self, make: MakeBackend) -> None:
        """Page: "Cursors name a position by key": every item is on one page."""
        async with opened_with(make(), _SEVEN) as backend:
            query = ObservationQuery(experiment_items=True, limit=1)
            pages = await pages_of(observations_in(backend).find, PROJECT, query)
            assert [one.span_id for page in pages for one in page] == [span_id_of(number) for number in (7, 5, 4, 2)]

    async def test_an_experiment_that_is_said_later(self, make: MakeBackend) -> None:
        """Sink: "A later record wins field by field": what was of no experiment is of one, then of another."""
        async with opened_with(make(), [span(1), span(2)]) as backend:
            for experiment_id in ("x", "y"):
                await backend.write([replace(span(1), experiment=_of(experiment_id, 1))])
                query = ObservationQuery(experiment_items=True)
                [found] = (await observations_in(backend).find(PROJECT, query)).items
                assert found.experiment == _of(experiment_id, 1)
            assert not (await observations_in(backend).find(PROJECT, ObservationQuery(experiment_id="x"))).items

    async def test_ids_of_any_text(self, make: MakeBackend) -> None:
        """An id is any text, and is found as it is."""
        spans = [
            replace(span(number), experiment=Experiment(text, item_root_span_id=span_id_of(number)))
            for number, text in enumerate(HOSTILE_TEXTS)
        ]
        async with opened_with(make(), spans) as backend:
            for number, text in enumerate(HOSTILE_TEXTS):
                query = ObservationQuery(experiment_id=text, experiment_items=True)
                found = (await observations_in(backend).find(PROJECT, query)).items
                assert span_id_of(number) in [one.span_id for one in found]
                assert {one.experiment.id for one in found if one.experiment} == {text}

    async def test_each_project_has_its_own(self, make: MakeBackend) -> None:
        """Every read names its project: an experiment of the same id in another project is another one."""
        other = replace(_SEVEN[1], project="other")
        async with opened_with(make(), [*_SEVEN, other]) as backend:
            query = ObservationQuery(experiment_id="x", experiment_items=True)
            assert len((await observations_in(backend).find("other", query)).items) == 1
            assert [one.span_id for one in (await observations_in(backend).find(PROJECT, query)).items] == [
                span_id_of(number) for number in (4, 2)
            ]
