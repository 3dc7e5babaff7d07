"""Runs of datasets, as older clients know experiments: an item of a run is an observation that stands for it."""

from __future__ import annotations

from typing import Any

from msgspec import Raw, Struct, field

from tracecore.errors import NotFound
from tracecore.records import Experiment, Observation
from tracecore.server.api.paging import PageMeta, Paging, page_meta
from tracecore.server.api.payloads import absent, value_of
from tracecore.server.api.times import iso
from tracecore.server.api.writing import write
from tracecore.server.langfuse_errors import InvalidRequest
from tracecore.server.operations import Call, Operations
from tracecore.services.datasets import Dataset, Datasets
from tracecore.services.experiments import (
    ExperimentQuery,
    Experiments,
    ExperimentSummary,
    experiment_id_of,
    linked,
)
from tracecore.services.stores import observation_of, observations_of, traces_of
from tracecore.services.synthetic import synthetic_id

__all__ = ["operations"]

operations = Operations()


class RunItemBody(Struct, frozen=True, rename="camel"):
    """Say which trace or observation is a run of which item."""

    run_name: str
    dataset_item_id: str
    run_description: str | None = None
    metadata: Raw = field(default_factory=absent)
    observation_id: str | None = None
    trace_id: str | None = None


class RunItemAnswer(Struct, frozen=True, rename="camel"):
    """Describe an item of a run."""

    id: str
    dataset_run_id: str
    dataset_run_name: str
    dataset_item_id: str
    trace_id: str
    observation_id: str | None
    created_at: str
    updated_at: str


class RunAnswer(Struct, frozen=True, rename="camel"):
    """Describe a run."""

    id: str
    name: str
    description: str | None
    metadata: Any
    dataset_id: str
    dataset_name: str
    created_at: str
    updated_at: str


class RunWithItems(RunAnswer, frozen=True, rename="camel"):
    """Describe a run with its items."""

    dataset_run_items: list[RunItemAnswer]


class RunsAnswer(Struct, frozen=True):
    """Hold one page of runs, the one whose last item began most recently first."""

    data: list[RunAnswer]
    meta: PageMeta


class RunItemsQuery(Paging, frozen=True, kw_only=True, rename="camel"):
    """Name a run."""

    dataset_id: str
    run_name: str


class RunItemsAnswer(Struct, frozen=True):
    """Hold one page of items of a run, the newest first."""

    data: list[RunItemAnswer]
    meta: PageMeta


class Removed(Struct, frozen=True):
    """Say that something was deleted."""

    message: str


@operations.post("/dataset-run-items", permission="datasets:CUD")
async def create_dataset_run_item(call: Call, body: RunItemBody) -> RunItemAnswer:
    """Say that a trace, or an observation of one, is a run of an item."""
    dataset, stored = await Datasets(call.catalog, call.project).item(body.dataset_item_id)
    trace_id, span_id, known = await _subject(call, body)
    run = Experiment(
        id=experiment_id_of(call.project, dataset.id, body.run_name),
        name=body.run_name,
        description=body.run_description,
        metadata=body.metadata,
        dataset_id=dataset.id,
        item_id=stored.id,
        item_version=iso(stored.since_ns),
        item_expected_output=stored.item.expected_output,
        item_metadata=stored.item.metadata,
    )
    record = linked(known, project=call.project, trace_id=trace_id, span_id=span_id, now_ns=call.now_ns, to=run)
    await write(call, [record])
    now = iso(call.now_ns)
    return RunItemAnswer(span_id, run.id, body.run_name, stored.id, trace_id, body.observation_id, now, now)


@operations.get("/dataset-run-items", permission="datasets:read", deprecated=True)
async def list_dataset_run_items(call: Call, query: RunItemsQuery) -> RunItemsAnswer:
    """List the items of a run."""
    dataset = await Datasets(call.catalog, call.project).by_id(query.dataset_id)
    run = await _run(call, dataset, query.run_name)
    items = await _items(call, run)
    return RunItemsAnswer(items[query.offset : query.offset + query.limit], page_meta(query, len(items)))


@operations.get("/datasets/{name:path}/runs", permission="datasets:read", deprecated=True)
async def list_dataset_runs(call: Call, name: str, query: Paging) -> RunsAnswer:
    """List the runs of a dataset."""
    dataset = await Datasets(call.catalog, call.project).get(name)
    experiments = Experiments(call.backend, call.catalog, call.project)
    asked = ExperimentQuery(dataset_ids=(dataset.id,))
    found: list[ExperimentSummary] = []
    cursor = None
    while True:
        page, cursor = await experiments.find(asked, limit=100, cursor=cursor)
        found += page
        if cursor is None:
            break
    shown = [await _answer(call, dataset, run) for run in found[query.offset : query.offset + query.limit]]
    return RunsAnswer(shown, page_meta(query, len(found)))


@operations.get("/datasets/{name:path}/runs/{run_name:path}", permission="datasets:read", deprecated=True)
async def get_dataset_run(call: Call, name: str, run_name: str) -> RunWithItems:
    """Return a run of a dataset with its items."""
    dataset = await Datasets(call.catalog, call.project).get(name)
    run = await _run(call, dataset, run_name)
    said = await _answer(call, dataset, run)
    return RunWithItems(
        id=said.id, name=said.name, description=said.description, metadata=said.metadata, dataset_id=said.dataset_id,
        dataset_name=said.dataset_name, created_at=said.created_at, updated_at=said.updated_at,
        dataset_run_items=await _items(call, run),
    )  # fmt: skip


@operations.delete("/datasets/{name:path}/runs/{run_name:path}", permission="datasets:CUD")
async def delete_dataset_run(call: Call, name: str, run_name: str) -> Removed:
    """Delete a run of a dataset; the traces of its items stay."""
    dataset = await Datasets(call.catalog, call.project).get(name)
    run = await _run(call, dataset, run_name)
    experiments = Experiments(call.backend, call.catalog, call.project)
    await experiments.delete(run.id, now_ns=max(call.now_ns, run.latest_ns))
    return Removed("Dataset run successfully deleted")


async def _subject(call: Call, body: RunItemBody) -> tuple[str, str, Observation | None]:
    """Return trace and span of what stands for the item, and the observation where it is here already.

    A trace that is not here yet will be sent by an older SDK, which links first and flushes afterwards: what stands for
    the item is then what stands for the trace.

    Raises:
        InvalidRequest: neither is named, or the observation alone, and nobody knows of which trace it is.
    """
    if body.observation_id is not None and body.trace_id is not None:
        known = await observations_of(call.backend).get(call.project, body.trace_id, body.observation_id)
        return body.trace_id, body.observation_id, known
    if body.observation_id is not None:
        known = await observation_of(call.backend, call.project, body.observation_id)
        if known is None:
            raise InvalidRequest(f"observation {body.observation_id[:100]!r} is not here yet: name its traceId too")
        return known.trace_id, known.span_id, known
    if body.trace_id is None:
        raise InvalidRequest("observationId or traceId must be provided")
    trace = await traces_of(call.backend).get(call.project, body.trace_id)
    root = synthetic_id(body.trace_id) if trace is None or trace.root_id is None else trace.root_id
    return body.trace_id, root, await observations_of(call.backend).get(call.project, body.trace_id, root)


async def _run(call: Call, dataset: Dataset, name: str) -> ExperimentSummary:
    """Return a run: that of the id that follows from its name, or else the last one of the name.

    Raises:
        NotFound: there is none.
    """
    experiments = Experiments(call.backend, call.catalog, call.project)
    found = await experiments.get(experiment_id_of(call.project, dataset.id, name))
    if found is None:
        asked = ExperimentQuery(names=(name,), dataset_ids=(dataset.id,))
        found = next(iter((await experiments.find(asked, limit=1))[0]), None)
    if found is None:
        raise NotFound("dataset run", name)
    return found


async def _items(call: Call, run: ExperimentSummary) -> list[RunItemAnswer]:
    experiments = Experiments(call.backend, call.catalog, call.project)
    return [
        RunItemAnswer(
            item.span_id, run.id, run.name, said.item_id or item.span_id, item.trace_id, item.span_id,
            iso(item.start_ns), iso(item.start_ns),
        )
        for item in await experiments.every_item(run.id)
        if (said := item.experiment) is not None
    ]  # fmt: skip


async def _answer(call: Call, dataset: Dataset, run: ExperimentSummary) -> RunAnswer:
    metadata = await Experiments(call.backend, call.catalog, call.project).metadata(run)
    return RunAnswer(
        id=run.id, name=run.name, description=run.description, metadata=value_of(metadata), dataset_id=dataset.id,
        dataset_name=dataset.name, created_at=iso(run.start_ns), updated_at=iso(run.latest_ns),
    )  # fmt: skip
