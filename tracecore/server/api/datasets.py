"""Datasets: make or change one, read one, list them."""

from __future__ import annotations

from msgspec import Raw, Struct, field

from tracecore.server.api.paging import PageMeta, Paging, page_meta
from tracecore.server.api.payloads import absent
from tracecore.server.api.times import iso
from tracecore.server.operations import Call, Operations
from tracecore.services.datasets import Dataset, DatasetChange, Datasets

__all__ = ["DatasetAnswer", "answer_of", "operations"]

operations = Operations()


class DatasetBody(Struct, frozen=True, rename="camel"):
    """Describe a dataset; of one that is there, what is absent stays."""

    name: str
    description: str | None = None
    metadata: Raw = field(default_factory=absent)
    input_schema: Raw = field(default_factory=absent)
    expected_output_schema: Raw = field(default_factory=absent)


class DatasetAnswer(Struct, frozen=True, rename="camel"):
    """Describe a dataset."""

    id: str
    project_id: str
    name: str
    description: str | None
    metadata: Raw
    input_schema: Raw
    expected_output_schema: Raw
    created_at: str
    updated_at: str


class DatasetsAnswer(Struct, frozen=True):
    """Hold one page of datasets, the newest first."""

    data: list[DatasetAnswer]
    meta: PageMeta


@operations.post("/v2/datasets", permission="datasets:CUD")
async def create_dataset(call: Call, body: DatasetBody) -> DatasetAnswer:
    """Make a dataset, or change the one of that name; items that are there must meet its schemas."""
    change = DatasetChange(
        name=body.name,
        description=body.description,
        metadata=body.metadata,
        input_schema=body.input_schema,
        expected_output_schema=body.expected_output_schema,
    )
    return answer_of(call, await Datasets(call.catalog, call.project).put(change, now_ns=call.now_ns))


@operations.post("/datasets", permission="datasets:CUD")
async def create_dataset_at_its_older_path(call: Call, body: DatasetBody) -> DatasetAnswer:
    """Make a dataset, or change the one of that name; where the JavaScript SDK of before OpenTelemetry asks for it."""
    return await create_dataset(call, body)


@operations.get("/v2/datasets", permission="datasets:read")
async def list_datasets(call: Call, query: Paging) -> DatasetsAnswer:
    """List datasets."""
    found, total = await Datasets(call.catalog, call.project).find(limit=query.limit, offset=query.offset)
    return DatasetsAnswer([answer_of(call, dataset) for dataset in found], page_meta(query, total))


@operations.get("/v2/datasets/{dataset_name:path}", permission="datasets:read")
async def get_dataset(call: Call, dataset_name: str) -> DatasetAnswer:
    """Return a dataset by its name."""
    return answer_of(call, await Datasets(call.catalog, call.project).get(dataset_name))


def answer_of(call: Call, dataset: Dataset) -> DatasetAnswer:
    """Return what the API says of a dataset."""
    return DatasetAnswer(
        id=dataset.id,
        project_id=call.project,
        name=dataset.name,
        description=dataset.description,
        metadata=dataset.metadata,
        input_schema=dataset.input_schema,
        expected_output_schema=dataset.expected_output_schema,
        created_at=iso(dataset.created_ns),
        updated_at=iso(dataset.updated_ns),
    )
