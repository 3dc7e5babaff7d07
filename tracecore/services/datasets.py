"""Datasets and their items: every state of an item is kept, and a dataset's schemas hold for all that is in it.

In the catalog a dataset is an entry with a unique name. The state that an item has now is the entry of the item's id;
those that it had before lie beside it, each with the time in which it held, so that one query finds what a dataset was
at any moment. Times of states are whole milliseconds, as they are on the wire: asking for the version that an item
names finds it. Whatever changes an item writes its dataset too, on condition that it is still the one that was read: no
item gets past a schema that is being set.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal, TypeAlias, TypeVar
from weakref import WeakValueDictionary

import anyio
import anyio.to_thread
from msgspec import Raw, Struct
from msgspec.structs import replace

from tracecore.catalog import CatalogPage, CatalogQuery, CatalogStore, Change, Entry, Put
from tracecore.errors import ConfigError, Conflict, NotFound
from tracecore.kinds import Kind, numbered_page
from tracecore.records import ABSENT
from tracecore.services.schemas import NULL, check_schema, problems_of

__all__ = ["Dataset", "DatasetChange", "DatasetItem", "Datasets", "ItemChange", "ItemStatus", "StoredItem"]

T = TypeVar("T")
ItemStatus: TypeAlias = Literal["ACTIVE", "ARCHIVED"]
_REQUEST: Final = "the request"
_LONGEST: Final = 255
"""Characters of a name or an id."""
_TRIES: Final = 200
"""How often a change is begun anew because somebody else was first."""
_NOW_NS: Final = 2**63 - 1
"""A moment at which only what holds now holds."""
_MS: Final = 1_000_000
_BEFORE: Final = "\x1f"
"""Stands between the id of an item and the time of a state that it had; no id holds it."""
_ARCHIVED: Final = "/archived"
"""What the parent of an archived item ends in, so that lists of the active ones never see it; no id holds a slash."""
_DELETED: Final = "/deleted"
_AT_ONCE: Final = 100
"""Items that are held in memory while all of a dataset are looked at."""


class Dataset(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Describe a dataset; a schema that there is not is JSON's ``null``."""

    id: str
    name: str
    description: str | None = None
    metadata: Raw = NULL
    input_schema: Raw = NULL
    expected_output_schema: Raw = NULL
    created_ns: int = 0
    updated_ns: int = 0


class DatasetChange(Struct, frozen=True, kw_only=True):
    """Say what of a dataset is to be; what is absent stays, ``null`` as a schema removes it."""

    name: str
    description: str | None = None
    metadata: Raw = ABSENT
    input_schema: Raw = ABSENT
    expected_output_schema: Raw = ABSENT


class DatasetItem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Describe one state of an item."""

    dataset_id: str
    status: ItemStatus = "ACTIVE"
    input: Raw = NULL
    expected_output: Raw = NULL
    metadata: Raw = NULL
    source_trace_id: str | None = None
    source_observation_id: str | None = None
    created_ns: int = 0
    is_deleted: bool = False
    """Nothing is there any more: what remains says since when, so that whatever comes under this id comes later."""


class StoredItem(Struct, frozen=True):
    """Hold a state of an item with its id and the moment from which on it held."""

    id: str
    since_ns: int
    item: DatasetItem


class ItemChange(Struct, frozen=True, kw_only=True):
    """Say what of an item is to be; what is absent or ``null`` stays as it is."""

    dataset_name: str
    id: str | None = None
    status: ItemStatus | None = None
    input: Raw = ABSENT
    expected_output: Raw = ABSENT
    metadata: Raw = ABSENT
    source_trace_id: str | None = None
    source_observation_id: str | None = None


_turns: Final[WeakValueDictionary[tuple[int, str, str], anyio.Lock]] = WeakValueDictionary()
"""Whose turn it is to write to a dataset, of all in this process: fifty at once would begin anew a thousand times."""
_datasets: Final = Kind("dataset", Dataset)
_items: Final = Kind("dataset-item", DatasetItem)


class Datasets:
    """Keep the datasets of one project."""

    def __init__(self, catalog: CatalogStore, project: str) -> None:
        self._catalog = catalog
        self._project = project

    async def put(self, change: DatasetChange, *, now_ns: int) -> Dataset:
        """Make a dataset, or change the one of that name.

        Raises:
            ConfigError: the name cannot be one, a schema is none, or it refuses an item that is there.
        """
        _check_name(change.name)
        for key, schema in (
            ("inputSchema", change.input_schema),
            ("expectedOutputSchema", change.expected_output_schema),
        ):
            check_schema(key, schema or NULL)

        async def putting() -> tuple[Sequence[Change], Dataset]:
            entry = await self._catalog.named(self._project, _datasets.name, change.name)
            if entry is None:
                made = Dataset(id=str(uuid.uuid4()), name=change.name, created_ns=now_ns)
                made = _changed(made, change, now_ns)
                return [self._put(made, 0)], made
            known = _datasets.of(entry)
            changed = _changed(known, change, now_ns)
            await self._check_items(known, changed)
            return [self._put(changed, entry.revision)], changed

        return await self._committed(putting)

    async def get(self, name: str) -> Dataset:
        """Return a dataset.

        Raises:
            NotFound: there is none of that name.
        """
        return _datasets.of(await self._entry(name))

    async def by_id(self, dataset_id: str) -> Dataset:
        """Return the dataset of an id.

        Raises:
            NotFound: there is none.
        """
        entry = await self._catalog.get(self._project, _datasets.name, dataset_id)
        if entry is None:
            raise NotFound("dataset", dataset_id)
        return _datasets.of(entry)

    async def find(self, *, limit: int, offset: int) -> tuple[list[Dataset], int]:
        """Return one page of datasets, the newest first, and how many there are."""
        query = CatalogQuery(kind=_datasets.name, limit=limit, offset=offset)
        page = await numbered_page(self._catalog, self._project, query)
        return [_datasets.of(entry) for entry in page.items], page.total

    async def put_item(self, change: ItemChange, *, now_ns: int) -> tuple[Dataset, StoredItem]:
        """Make an item, or change the one of that id; the state that it had is kept.

        Raises:
            NotFound: there is no such dataset.
            ConfigError: the id is one of another dataset, or the schemas refuse the item.
        """
        item_id = change.id or str(uuid.uuid4())
        if len(item_id) > _LONGEST or not item_id.isprintable():
            raise ConfigError("id", item_id, _REQUEST, f"1 to {_LONGEST} printable characters")

        async def putting() -> tuple[Sequence[Change], tuple[Dataset, StoredItem]]:
            holder = await self._entry(change.dataset_name)
            dataset = _datasets.of(holder)
            known = await self._catalog.get(self._project, _items.name, item_id)
            before = None if known is None else _items.of(known)
            item = _merged(None if before is None or before.is_deleted else before, change, dataset, now_ns)
            if item is None:
                raise ConfigError("id", item_id, _REQUEST, "an id that is no other dataset's")
            if problems := _problems(dataset, item):
                raise ConfigError("item", item_id, _REQUEST, f"what the schemas of the dataset allow: {problems[0]}")
            since_ns = _next_moment(known, now_ns)
            changes = [self._put(dataset, holder.revision), *self._states(item_id, known, item, since_ns)]
            return changes, (dataset, StoredItem(item_id, since_ns, item))

        async with self._turn(change.dataset_name):
            return await self._committed(putting)

    async def item(self, item_id: str) -> tuple[Dataset, StoredItem]:
        """Return an item as it is now, archived or not.

        Raises:
            NotFound: there is none of that id.
        """
        found = _stored(await self._item_entry(item_id))
        return await self.by_id(found.item.dataset_id), found

    async def delete_item(self, item_id: str, *, now_ns: int) -> None:
        """Remove an item; the states that it had are still those of their times.

        Raises:
            NotFound: there is none of that id.
        """

        async def deleting() -> tuple[Sequence[Change], None]:
            entry = await self._item_entry(item_id)
            dataset_id = _items.of(entry).dataset_id
            gone = DatasetItem(dataset_id=dataset_id, created_ns=now_ns, is_deleted=True)
            changes = self._states(item_id, entry, gone, _next_moment(entry, now_ns))
            holder = await self._catalog.get(self._project, _datasets.name, dataset_id)
            if holder is not None:
                changes.append(self._put(_datasets.of(holder), holder.revision))
            return changes, None

        await self._committed(deleting)

    async def find_items(
        self,
        dataset: Dataset | None = None,
        *,
        at_ns: int | None = None,
        trace_id: str | None = None,
        observation_id: str | None = None,
        limit: int,
        offset: int,
    ) -> tuple[list[StoredItem], int]:
        """Return one page of the active items, the newest first, as they are or were, and how many there are.

        Raises:
            ConfigError: they are too long together for one page.
        """
        refs = [f"trace:{trace_id}"] if trace_id is not None else []
        refs += [f"observation:{observation_id}"] if observation_id is not None else []
        if dataset is None and not refs:
            refs = ["active"]
        query = CatalogQuery(
            kind=_items.name,
            parent=None if dataset is None else dataset.id,
            refs=tuple(refs),
            at_ns=_NOW_NS if at_ns is None else at_ns,
            limit=limit,
            offset=offset,
        )
        page = await numbered_page(self._catalog, self._project, query)
        return [_stored(entry) for entry in page.items], page.total

    async def names(self, dataset_ids: Sequence[str]) -> dict[str, str]:
        """Return the names of datasets by their ids."""
        found = [await self._catalog.get(self._project, _datasets.name, one) for one in dict.fromkeys(dataset_ids)]
        return {entry.id: entry.name or "" for entry in found if entry is not None}

    async def _item_entry(self, item_id: str) -> Entry:
        entry = None if _BEFORE in item_id else await self._catalog.get(self._project, _items.name, item_id)
        if entry is None or _items.of(entry).is_deleted:
            raise NotFound("dataset item", item_id)
        return entry

    def _turn(self, name: str) -> anyio.Lock:
        key = (id(self._catalog), self._project, name)
        turn = _turns.get(key)
        if turn is None:
            turn = _turns[key] = anyio.Lock()
        return turn

    async def _page(self, query: CatalogQuery) -> CatalogPage:
        return await self._catalog.find(self._project, query)

    async def _entry(self, name: str) -> Entry:
        entry = await self._catalog.named(self._project, _datasets.name, name)
        if entry is None:
            raise NotFound("dataset", name)
        return entry

    async def _committed(self, step: Callable[[], Awaitable[tuple[Sequence[Change], T]]]) -> T:
        """Make the changes that follow from what is there; begin anew where somebody else changed it meanwhile."""
        for left in reversed(range(_TRIES)):
            changes, result = await step()
            try:
                await self._catalog.commit(changes)
            except Conflict:
                if not left:
                    raise
            else:
                return result
        raise AssertionError("the last try raises or returns")

    async def _check_items(self, known: Dataset, changed: Dataset) -> None:
        """Refuse schemas that an item does not meet which is there already."""
        before = (known.input_schema, known.expected_output_schema)
        if before == (changed.input_schema, changed.expected_output_schema):
            return
        query = CatalogQuery(kind=_items.name, parent=known.id, at_ns=_NOW_NS, limit=_AT_ONCE)
        seen, page = 0, await self._page(query)
        while page.items:
            items = [(entry.id, _items.of(entry)) for entry in page.items]
            if problem := await anyio.to_thread.run_sync(_first_problem, changed, items):
                raise ConfigError(
                    "schema", known.name, _REQUEST, f"one that every item of the dataset meets: {problem}"
                )
            seen += len(items)
            page = await self._page(replace(query, offset=seen))

    def _put(self, dataset: Dataset, revision: int) -> Put:
        entry = Entry(
            project=self._project, kind=_datasets.name, id=dataset.id, name=dataset.name, position=dataset.created_ns,
            body=_datasets.body(dataset),
        )  # fmt: skip
        return Put(entry, revision)

    def _states(self, item_id: str, known: Entry | None, item: DatasetItem, since_ns: int) -> list[Change]:
        """Return the changes that end the state of an item, if it has one, and begin another one."""
        begun = Put(self._item(item_id, item, since_ns), 0 if known is None else known.revision)
        if known is None:
            return [begun]
        return [Put(replace(known, id=f"{item_id}{_BEFORE}{known.since_ns:020d}", until_ns=since_ns)), begun]

    def _item(self, item_id: str, item: DatasetItem, since_ns: int) -> Entry:
        is_active = item.status == "ACTIVE" and not item.is_deleted
        sources = {"trace": item.source_trace_id, "observation": item.source_observation_id}
        refs = [f"{noun}:{one}" for noun, one in sources.items() if one is not None]
        return Entry(
            project=self._project, kind=_items.name, id=item_id, body=_items.body(item), position=item.created_ns,
            parent=item.dataset_id + ("" if is_active else _DELETED if item.is_deleted else _ARCHIVED),
            refs=("active", *refs) if is_active else (), since_ns=since_ns,
        )  # fmt: skip


def _changed(known: Dataset, change: DatasetChange, now_ns: int) -> Dataset:
    return replace(
        known,
        description=known.description if change.description is None else change.description,
        metadata=_given(change.metadata) or known.metadata,
        input_schema=change.input_schema or known.input_schema,
        expected_output_schema=change.expected_output_schema or known.expected_output_schema,
        updated_ns=now_ns,
    )


def _merged(known: DatasetItem | None, change: ItemChange, dataset: Dataset, now_ns: int) -> DatasetItem | None:
    """Return an item with its change; None where it is another dataset's."""
    if known is None:
        known = DatasetItem(dataset_id=dataset.id, created_ns=now_ns)
    if known.dataset_id != dataset.id:
        return None
    return replace(
        known,
        status=change.status or known.status,
        input=_given(change.input) or known.input,
        expected_output=_given(change.expected_output) or known.expected_output,
        metadata=_given(change.metadata) or known.metadata,
        source_trace_id=change.source_trace_id or known.source_trace_id,
        source_observation_id=change.source_observation_id or known.source_observation_id,
    )


def _given(value: Raw) -> Raw:
    """Return a value, or nothing where it is ``null``: clients send that for what they do not mean to change."""
    return ABSENT if value == NULL else value


def _problems(dataset: Dataset, item: DatasetItem) -> list[str]:
    return [
        *problems_of("input", dataset.input_schema, item.input),
        *problems_of("expectedOutput", dataset.expected_output_schema, item.expected_output),
    ]


def _first_problem(dataset: Dataset, items: Sequence[tuple[str, DatasetItem]]) -> str | None:
    found = (
        f"item {item_id[:100]!r}: {problems[0]}" for item_id, item in items if (problems := _problems(dataset, item))
    )
    return next(found, None)


def _next_moment(known: Entry | None, now_ns: int) -> int:
    """Return when a state begins: now, in whole ms, and after the one before."""
    now_ns = now_ns // _MS * _MS
    return now_ns if known is None else max(now_ns, known.since_ns + _MS)


def _stored(entry: Entry) -> StoredItem:
    return StoredItem(entry.id.partition(_BEFORE)[0], entry.since_ns, _items.of(entry))


def _check_name(name: str) -> None:
    folders = name.split("/")
    if not (1 <= len(name) <= _LONGEST and name.isprintable() and name == name.strip() and all(folders)):
        expected = f"1 to {_LONGEST} printable characters, folders between single slashes"
        raise ConfigError("name", name, _REQUEST, expected)
