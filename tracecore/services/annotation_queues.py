"""Annotation queues: what waits for people to judge it, by which score configs, and who is to do it.

Users are names that clients give: an assignment says who, and nobody is asked whether there is such a person.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Final, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from tracecore.catalog import CatalogQuery, CatalogStore, Delete, Entry, Put
from tracecore.errors import ConfigError, Conflict, NotFound
from tracecore.kinds import Kind, numbered_page
from tracecore.services.score_configs import ScoreConfigs

__all__ = ["AnnotationQueue", "AnnotationQueues", "ItemStatus", "ItemType", "QueueItem"]

ItemType: TypeAlias = Literal["TRACE", "OBSERVATION", "SESSION"]
ItemStatus: TypeAlias = Literal["PENDING", "COMPLETED"]
_LONGEST_NAME: Final = 200
_MOST_CONFIGS: Final = 100


class AnnotationQueue(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Describe a queue."""

    id: str = ""
    name: str
    description: str | None = None
    score_config_ids: tuple[str, ...] = ()
    created_ns: int = 0


class QueueItem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Say what waits in a queue."""

    id: str = ""
    queue_id: str = ""
    object_id: str
    object_type: ItemType
    status: ItemStatus = "PENDING"
    completed_ns: int | None = None
    created_ns: int = 0
    updated_ns: int = 0


class _Assignment(Struct, frozen=True):
    user_id: str


_QUEUES: Final = Kind("annotation_queue", AnnotationQueue)
_ITEMS: Final = Kind("annotation_queue_item", QueueItem)
_ASSIGNMENTS: Final = Kind("annotation_queue_assignment", _Assignment)


class AnnotationQueues:
    """Keep the queues of one project."""

    def __init__(self, catalog: CatalogStore, project: str) -> None:
        self._catalog = catalog
        self._project = project

    async def create(self, queue: AnnotationQueue, *, now_ns: int) -> AnnotationQueue:
        """Make a queue.

        Raises:
            ConfigError: it names no score config, or one that is not there.
            Conflict: there is one of this name already.
        """
        await self._check(queue)
        made = replace(queue, id=str(uuid.uuid4()), created_ns=now_ns)
        entry = self._entry(_QUEUES.name, made.id, position=now_ns)
        await self._catalog.commit([Put(replace(entry, name=made.name, body=_QUEUES.body(made)), 0)])
        return made

    async def get(self, queue_id: str) -> AnnotationQueue:
        """Return a queue.

        Raises:
            NotFound: it is not there.
        """
        entry = await self._catalog.get(self._project, _QUEUES.name, queue_id)
        if entry is None:
            raise NotFound("annotation queue", queue_id, "it is not in the project of the key")
        return _QUEUES.of(entry)

    async def find(self, query: CatalogQuery) -> tuple[list[AnnotationQueue], int]:
        """Return a page of queues, the newest first, and how many there are."""
        page = await numbered_page(self._catalog, self._project, replace(query, kind=_QUEUES.name))
        return [_QUEUES.of(entry) for entry in page.items], page.total

    async def add(self, queue_id: str, item: QueueItem, *, now_ns: int) -> QueueItem:
        """Put something into a queue."""
        await self.get(queue_id)
        completed = now_ns if item.status == "COMPLETED" else None
        made = replace(
            item, id=str(uuid.uuid4()), queue_id=queue_id, created_ns=now_ns, updated_ns=now_ns, completed_ns=completed
        )
        await self._catalog.commit([Put(self._item_entry(made), 0)])
        return made

    async def item(self, queue_id: str, item_id: str) -> QueueItem:
        """Return what waits, or waited.

        Raises:
            NotFound: it is not in this queue.
        """
        return _ITEMS.of(await self._item(queue_id, item_id))

    async def items(self, queue_id: str, query: CatalogQuery, status: ItemStatus | None) -> tuple[list[QueueItem], int]:
        """Return a page of what is in a queue, the newest first, and how much that is."""
        await self.get(queue_id)
        refs = (f"status:{status}",) if status else ()
        asked = replace(query, kind=_ITEMS.name, parent=queue_id, refs=refs)
        page = await numbered_page(self._catalog, self._project, asked)
        return [_ITEMS.of(entry) for entry in page.items], page.total

    async def set_status(self, queue_id: str, item_id: str, status: ItemStatus | None, *, now_ns: int) -> QueueItem:
        """Say that something was judged, or waits again; None changes nothing."""

        def changed(item: QueueItem) -> QueueItem:
            if status is None or status == item.status:
                return item
            completed = now_ns if status == "COMPLETED" else None
            return replace(item, status=status, completed_ns=completed, updated_ns=now_ns)

        return await self._change(queue_id, item_id, changed)

    async def remove(self, queue_id: str, item_id: str) -> None:
        """Take something out of a queue.

        Raises:
            NotFound: it is not in this queue.
        """
        while True:
            entry = await self._item(queue_id, item_id)
            try:
                await self._catalog.commit([Delete(self._project, _ITEMS.name, item_id, entry.revision)])
            except Conflict:
                continue  # its status changed, or somebody else took it out
            return

    async def assign(self, queue_id: str, user_id: str, *, now_ns: int) -> None:
        """Let somebody judge what is in a queue; again, it changes nothing."""
        await self.get(queue_id)
        if not user_id:
            raise ConfigError("userId", user_id, "the request", "the id of a user")
        entry = self._entry(_ASSIGNMENTS.name, _assignment_id(queue_id, user_id), position=now_ns)
        body = _ASSIGNMENTS.body(_Assignment(user_id))
        await self._catalog.commit([Put(replace(entry, parent=queue_id, body=body))])

    async def unassign(self, queue_id: str, user_id: str) -> None:
        """Take the queue from somebody; who does not have it loses nothing."""
        await self.get(queue_id)
        await self._catalog.commit([Delete(self._project, _ASSIGNMENTS.name, _assignment_id(queue_id, user_id))])

    async def assigned(self, queue_id: str) -> Sequence[str]:
        """Return the users of a queue."""
        query = CatalogQuery(kind=_ASSIGNMENTS.name, parent=queue_id, ascending=True)
        found = await _ASSIGNMENTS.every(self._catalog, self._project, query)
        return [_ASSIGNMENTS.of(entry).user_id for entry in found]

    async def _check(self, queue: AnnotationQueue) -> None:
        if not 1 <= len(queue.name) <= _LONGEST_NAME:
            raise ConfigError("name", queue.name, "the request", f"1 to {_LONGEST_NAME} characters")
        wanted = queue.score_config_ids
        if not 1 <= len(wanted) <= _MOST_CONFIGS:
            raise ConfigError("scoreConfigIds", list(wanted), "the request", f"1 to {_MOST_CONFIGS} score configs")
        found = await ScoreConfigs(self._catalog).some(self._project, wanted)
        missing = next((config_id for config_id in wanted if config_id not in found), None)
        if missing is not None:
            raise ConfigError("scoreConfigIds", missing, "the request", "ids of score configs of the project")

    async def _item(self, queue_id: str, item_id: str) -> Entry:
        await self.get(queue_id)
        entry = await self._catalog.get(self._project, _ITEMS.name, item_id)
        if entry is None or entry.parent != queue_id:
            raise NotFound("annotation queue item", item_id, "it is not in this queue")
        return entry

    async def _change(self, queue_id: str, item_id: str, change: Callable[[QueueItem], QueueItem]) -> QueueItem:
        while True:
            entry = await self._item(queue_id, item_id)
            changed = change(_ITEMS.of(entry))
            try:
                await self._catalog.commit([Put(self._item_entry(changed), entry.revision)])
            except Conflict:
                continue  # somebody changed it since it was read: this change is made to the result
            return changed

    def _item_entry(self, item: QueueItem) -> Entry:
        entry = self._entry(_ITEMS.name, item.id, position=item.created_ns)
        refs = (f"status:{item.status}", f"{item.object_type}:{item.object_id}")
        return replace(entry, parent=item.queue_id, refs=refs, body=_ITEMS.body(item))

    def _entry(self, kind: str, entry_id: str, *, position: int) -> Entry:
        return Entry(project=self._project, kind=kind, id=entry_id, body=_EMPTY, position=position)


def _assignment_id(queue_id: str, user_id: str) -> str:
    return f"{queue_id}/{user_id}"


_EMPTY: Final = _ASSIGNMENTS.body(_Assignment(""))
