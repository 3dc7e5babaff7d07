"""Annotation queues, what is in them, and who judges it."""

from __future__ import annotations

from msgspec import Struct

from tracecore.catalog import CatalogQuery
from tracecore.server.api.paging import PageMeta, Paging, page_meta, paged
from tracecore.server.api.times import iso, iso_or_none
from tracecore.server.operations import Call, Operations
from tracecore.services.annotation_queues import AnnotationQueue, AnnotationQueues, ItemStatus, ItemType, QueueItem

__all__ = ["operations"]

operations = Operations()


class NewQueue(Struct, frozen=True, rename="camel"):
    """Describe a queue to make."""

    name: str
    score_config_ids: tuple[str, ...]
    description: str | None = None


class QueueAnswer(Struct, frozen=True, rename="camel"):
    """Show a queue."""

    id: str
    name: str
    description: str | None
    score_config_ids: tuple[str, ...]
    created_at: str
    updated_at: str


class QueuesAnswer(Struct, frozen=True):
    """Hold a page of queues."""

    data: list[QueueAnswer]
    meta: PageMeta


class NewItem(Struct, frozen=True, rename="camel"):
    """Say what shall wait."""

    object_id: str
    object_type: ItemType
    status: ItemStatus | None = None


class ItemChange(Struct, frozen=True):
    """Say what changes of an item."""

    status: ItemStatus | None = None


class ItemAnswer(Struct, frozen=True, rename="camel"):
    """Show what waits, or waited."""

    id: str
    queue_id: str
    object_id: str
    object_type: ItemType
    status: ItemStatus
    completed_at: str | None
    created_at: str
    updated_at: str


class ItemsQuery(Paging, frozen=True, kw_only=True, rename="camel"):
    """Select what is in a queue."""

    status: ItemStatus | None = None


class ItemsAnswer(Struct, frozen=True):
    """Hold a page of what is in a queue."""

    data: list[ItemAnswer]
    meta: PageMeta


class Assignment(Struct, frozen=True, rename="camel"):
    """Name who judges."""

    user_id: str


class AssignmentAnswer(Struct, frozen=True, rename="camel"):
    """Say who judges what."""

    user_id: str
    queue_id: str
    project_id: str


class Removed(Struct, frozen=True):
    """Say that something was taken out of a queue."""

    message: str
    success: bool = True


class Unassigned(Struct, frozen=True):
    """Say that somebody does not judge any more."""

    success: bool = True


def _queues(call: Call) -> AnnotationQueues:
    return AnnotationQueues(call.catalog, call.project)


@operations.get("/annotation-queues", permission="annotationQueues:read")
async def list_annotation_queues(call: Call, query: Paging) -> QueuesAnswer:
    """Return queues, the newest first."""
    found, total = await _queues(call).find(paged(CatalogQuery(kind=""), query))
    return QueuesAnswer([_queue(queue) for queue in found], page_meta(query, total))


@operations.post("/annotation-queues", permission="annotationQueues:CUD")
async def create_annotation_queue(call: Call, body: NewQueue) -> QueueAnswer:
    """Make a queue."""
    new = AnnotationQueue(name=body.name, description=body.description, score_config_ids=body.score_config_ids)
    return _queue(await _queues(call).create(new, now_ns=call.now_ns))


@operations.get("/annotation-queues/{queue_id}", permission="annotationQueues:read")
async def get_annotation_queue(call: Call, queue_id: str) -> QueueAnswer:
    """Return one queue."""
    return _queue(await _queues(call).get(queue_id))


@operations.get("/annotation-queues/{queue_id}/items", permission="annotationQueues:read")
async def list_annotation_queue_items(call: Call, queue_id: str, query: ItemsQuery) -> ItemsAnswer:
    """Return what is in a queue, the newest first."""
    found, total = await _queues(call).items(queue_id, paged(CatalogQuery(kind=""), query), query.status)
    return ItemsAnswer([_item(item) for item in found], page_meta(query, total))


@operations.post("/annotation-queues/{queue_id}/items", permission="annotationQueues:CUD")
async def create_annotation_queue_item(call: Call, queue_id: str, body: NewItem) -> ItemAnswer:
    """Put a trace, an observation or a session into a queue, also one that has yet to arrive."""
    new = QueueItem(object_id=body.object_id, object_type=body.object_type, status=body.status or "PENDING")
    return _item(await _queues(call).add(queue_id, new, now_ns=call.now_ns))


@operations.get("/annotation-queues/{queue_id}/items/{item_id}", permission="annotationQueues:read")
async def get_annotation_queue_item(call: Call, queue_id: str, item_id: str) -> ItemAnswer:
    """Return one thing that is in a queue."""
    return _item(await _queues(call).item(queue_id, item_id))


@operations.patch("/annotation-queues/{queue_id}/items/{item_id}", permission="annotationQueues:CUD")
async def update_annotation_queue_item(call: Call, queue_id: str, item_id: str, body: ItemChange) -> ItemAnswer:
    """Say that something was judged, or waits again."""
    return _item(await _queues(call).set_status(queue_id, item_id, body.status, now_ns=call.now_ns))


@operations.delete("/annotation-queues/{queue_id}/items/{item_id}", permission="annotationQueues:CUD")
async def delete_annotation_queue_item(call: Call, queue_id: str, item_id: str) -> Removed:
    """Take something out of a queue."""
    await _queues(call).remove(queue_id, item_id)
    return Removed("Annotation queue item deleted successfully")


@operations.post("/annotation-queues/{queue_id}/assignments", permission="annotationQueueAssignments:CUD")
async def create_annotation_queue_assignment(call: Call, queue_id: str, body: Assignment) -> AssignmentAnswer:
    """Let somebody judge what is in a queue."""
    await _queues(call).assign(queue_id, body.user_id, now_ns=call.now_ns)
    return AssignmentAnswer(body.user_id, queue_id, call.project)


@operations.delete("/annotation-queues/{queue_id}/assignments", permission="annotationQueueAssignments:CUD")
async def delete_annotation_queue_assignment(call: Call, queue_id: str, body: Assignment) -> Unassigned:
    """Take a queue from somebody."""
    await _queues(call).unassign(queue_id, body.user_id)
    return Unassigned()


def _queue(queue: AnnotationQueue) -> QueueAnswer:
    created = iso(queue.created_ns)
    return QueueAnswer(queue.id, queue.name, queue.description, queue.score_config_ids, created, created)


def _item(item: QueueItem) -> ItemAnswer:
    return ItemAnswer(
        item.id, item.queue_id, item.object_id, item.object_type, item.status, iso_or_none(item.completed_ns),
        iso(item.created_ns), iso(item.updated_ns),
    )  # fmt: skip
