"""Items of datasets: make or change one, read one, list them as they are or were, delete one."""

from __future__ import annotations

from datetime import datetime

from msgspec import Raw, Struct, field

from tracecore.server.api.media_references import MediaReference, media_references
from tracecore.server.api.paging import PageMeta, Paging, page_meta
from tracecore.server.api.payloads import absent, size_of
from tracecore.server.api.times import iso, ns_of
from tracecore.server.operations import Call, Operations
from tracecore.services.datasets import Datasets, ItemChange, ItemStatus, StoredItem

__all__ = ["ItemAnswer", "answer_of", "operations"]

operations = Operations()


class ItemBody(Struct, frozen=True, rename="camel"):
    """Describe an item; of one that is there, what is absent or null stays."""

    dataset_name: str
    id: str | None = None
    input: Raw = field(default_factory=absent)
    expected_output: Raw = field(default_factory=absent)
    metadata: Raw = field(default_factory=absent)
    source_trace_id: str | None = None
    source_observation_id: str | None = None
    status: ItemStatus | None = None


class ItemAnswer(Struct, frozen=True, rename="camel"):
    """Describe an item as it is, or as it was from ``version`` on."""

    id: str
    status: ItemStatus
    input: Raw
    expected_output: Raw
    metadata: Raw
    source_trace_id: str | None
    source_observation_id: str | None
    dataset_id: str
    dataset_name: str
    created_at: str
    updated_at: str
    version: str
    media_references: list[MediaReference]


class ItemsQuery(Paging, frozen=True, kw_only=True, rename="camel"):
    """Select active items: of a dataset, made of a trace or observation; as they were at the time ``version``."""

    dataset_name: str | None = None
    source_trace_id: str | None = None
    source_observation_id: str | None = None
    version: datetime | None = None


class ItemsAnswer(Struct, frozen=True):
    """Hold one page of items, the newest first."""

    data: list[ItemAnswer]
    meta: PageMeta


class Removed(Struct, frozen=True):
    """Say that something was deleted."""

    message: str


@operations.post("/dataset-items", permission="datasets:CUD")
async def create_dataset_item(call: Call, body: ItemBody) -> ItemAnswer:
    """Make an item, or change the one of that id; the state that it had is kept as an older version."""
    change = ItemChange(
        dataset_name=body.dataset_name,
        id=body.id,
        status=body.status,
        input=body.input,
        expected_output=body.expected_output,
        metadata=body.metadata,
        source_trace_id=body.source_trace_id,
        source_observation_id=body.source_observation_id,
    )
    dataset, stored = await _datasets(call).put_item(change, now_ns=call.now_ns)
    return await answer_of(call, stored, dataset.name)


@operations.get("/dataset-items", permission="datasets:read")
async def list_dataset_items(call: Call, query: ItemsQuery) -> ItemsAnswer:
    """List the active items as they are, or as they were at a time."""
    datasets = _datasets(call)
    dataset = None if query.dataset_name is None else await datasets.get(query.dataset_name)
    found, total = await datasets.find_items(
        dataset,
        at_ns=None if query.version is None else ns_of(query.version),
        trace_id=query.source_trace_id,
        observation_id=query.source_observation_id,
        limit=query.limit,
        offset=query.offset,
    )
    if dataset is None:
        names = await datasets.names([stored.item.dataset_id for stored in found])
    else:
        names = {dataset.id: dataset.name}
    answers = [await answer_of(call, stored, names.get(stored.item.dataset_id, "")) for stored in found]
    return ItemsAnswer(answers, page_meta(query, total))


@operations.get("/dataset-items/{item_id:path}", permission="datasets:read")
async def get_dataset_item(call: Call, item_id: str) -> ItemAnswer:
    """Return an item as it is now."""
    dataset, stored = await _datasets(call).item(item_id)
    return await answer_of(call, stored, dataset.name)


@operations.delete("/dataset-items/{item_id:path}", permission="datasets:CUD")
async def delete_dataset_item(call: Call, item_id: str) -> Removed:
    """Delete an item; lists of an earlier time still have it."""
    await _datasets(call).delete_item(item_id, now_ns=call.now_ns)
    return Removed("Dataset item successfully deleted")


async def answer_of(call: Call, stored: StoredItem, dataset_name: str) -> ItemAnswer:
    """Return what the API says of an item."""
    item, since = stored.item, iso(stored.since_ns)
    call.hold(size_of(item.input, item.expected_output, item.metadata))
    references = await media_references(
        call, {"input": item.input, "expectedOutput": item.expected_output, "metadata": item.metadata}
    )
    return ItemAnswer(
        id=stored.id,
        status=item.status,
        input=item.input,
        expected_output=item.expected_output,
        metadata=item.metadata,
        source_trace_id=item.source_trace_id,
        source_observation_id=item.source_observation_id,
        dataset_id=item.dataset_id,
        dataset_name=dataset_name,
        created_at=iso(item.created_ns),
        updated_at=since,
        version=since,
        media_references=references,
    )


def _datasets(call: Call) -> Datasets:
    return Datasets(call.catalog, call.project)
