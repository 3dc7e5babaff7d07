"""Models: what a project says its models cost, beside what is shipped; and generations priced by both.

Definitions that are shipped can be read and not changed; one of the project whose pattern matches the same names takes
their place for it. What a definition says counts for what is written after it was said.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from tracecore.backend import Batch, ObservationStore
from tracecore.catalog import CatalogQuery, CatalogStore, Delete, Entry, Put
from tracecore.clock import monotonic_ns
from tracecore.errors import ConfigError, Conflict, NotFound
from tracecore.kinds import Kind
from tracecore.records import Generation, Record
from tracecore.services.costs import Pricing
from tracecore.services.model_rules import LONGEST_NAME, checked
from tracecore.services.prices import Model, price_table

__all__ = ["MOST_MODELS", "Models"]

MOST_MODELS: Final = 500
"""Definitions of one project."""
_KEPT_NS: Final = 5_000_000_000
"""How long what a project said is remembered; a change in another process counts at most that much later."""
_MOST_PROJECTS: Final = 1000
_REQUEST: Final = "the request"

_Identity: TypeAlias = tuple[str, str, str]


class _Kept(Struct, frozen=True):
    """Hold what is remembered of a project: until when (monotonic, ns), what it said, and the result."""

    until_ns: int
    said: tuple[tuple[str, int, bytes], ...]
    pricing: Pricing


_KIND: Final = Kind("model", Model)


class Models:
    """Keep the definitions of models, and price generations by them."""

    def __init__(
        self,
        catalog: CatalogStore,
        observations: ObservationStore | None = None,
        *,
        clock: Callable[[], int] = monotonic_ns,
    ) -> None:
        self._catalog = catalog
        self._observations = observations
        self._clock = clock
        self._kept: dict[str, _Kept] = {}

    async def every(self, project: str) -> list[Model]:
        """Return all definitions that count for a project: by name, the newest start first, without a start last."""
        own = [_model(entry) for entry in await _KIND.every(self._catalog, project)]
        return sorted([*own, *price_table().models], key=lambda model: (model.name, _last(model.start_ns), model.id))

    async def get(self, project: str, model_id: str) -> Model:
        """Return a definition; an id may have its version behind it (``id@version``), as costs are stored with it.

        Raises:
            NotFound: there is none of this id, for this project.
        """
        for asked in (model_id, model_id.rpartition("@")[0]):
            if not asked:
                continue
            entry = await self._catalog.get(project, _KIND.name, asked)
            found = price_table().get(asked) if entry is None else _model(entry)
            if found is not None:
                return found
        raise NotFound("model", model_id)

    async def create(self, project: str, model: Model, *, now_ns: int) -> Model:
        """Keep a new definition.

        Raises:
            ConfigError: it cannot be one, or the project has one of this name, or too many.
        """
        return await self._put(project, replace(model, id=secrets.token_hex(12), created_ns=now_ns), expected=0)

    async def replace(self, project: str, model_id: str, model: Model, *, now_ns: int) -> Model:
        """Change a definition, or make one of this id.

        Raises:
            ConfigError: as :meth:`create` does.
            NotFound: it is one that is shipped.
        """
        if price_table().get(model_id) is not None:
            raise NotFound("model", model_id, "those that are shipped cannot be changed: create one with their name")
        if not 0 < len(model_id) <= LONGEST_NAME:
            raise ConfigError("id", model_id[:60], _REQUEST, f"1 to {LONGEST_NAME} characters")
        while True:
            entry = await self._catalog.get(project, _KIND.name, model_id)
            if entry is None:
                created_ns, revision = now_ns, 0
            else:
                created_ns, revision = _KIND.of(entry).created_ns, entry.revision
            try:
                return await self._put(project, replace(model, id=model_id, created_ns=created_ns), expected=revision)
            except Conflict:
                continue  # somebody changed it since it was read: what is said last counts

    async def delete(self, project: str, model_id: str) -> None:
        """Remove a definition of the project.

        Raises:
            NotFound: the project has none of this id.
        """
        entry = await self._catalog.get(project, _KIND.name, model_id)
        if entry is None:
            raise NotFound(
                "model", model_id, "those that are shipped cannot be deleted: override them with one of the same name"
            )
        await self._catalog.commit([Delete(project, _KIND.name, model_id)])
        self._kept.pop(project, None)

    async def _put(self, project: str, model: Model, *, expected: int) -> Model:
        model = checked(model)
        if not expected:
            await self._check_count(project)
        other = await self._catalog.named(project, _KIND.name, model.name)
        if other is not None and other.id != model.id:
            raise ConfigError("modelName", model.name, _REQUEST, "a name that no other model of the project has")
        entry = Entry(
            project=project, kind=_KIND.name, id=model.id, name=model.name, body=_KIND.body(model),
            position=model.created_ns,
        )  # fmt: skip
        await self._catalog.commit([Put(entry, expected)])
        self._kept.pop(project, None)
        return replace(model, version=str(expected + 1))

    async def _check_count(self, project: str) -> None:
        page = await self._catalog.find(project, CatalogQuery(kind=_KIND.name, limit=1))
        if page.total >= MOST_MODELS:
            raise ConfigError("models", page.total, "the project", f"at most {MOST_MODELS}: delete some first")

    async def pricing(self, project: str) -> Pricing:
        """Return what prices the generations of a project."""
        now_ns = self._clock()
        kept = self._kept.get(project)
        if kept is not None and now_ns < kept.until_ns:
            return kept.pricing
        entries = await _KIND.every(self._catalog, project)
        said = tuple((entry.id, entry.revision, bytes(entry.body)) for entry in entries)
        same = kept is not None and kept.said == said
        pricing = kept.pricing if kept is not None and same else Pricing([_model(entry) for entry in entries])
        if len(self._kept) >= _MOST_PROJECTS:
            self._kept.clear()
        self._kept[project] = _Kept(now_ns + _KEPT_NS, said, pricing)
        return pricing

    async def priced(self, batch: Batch) -> Batch:
        """Return a batch whose generations have their cost; it is called before each write.

        Usage may come without the model, which an earlier record of the same generation named: it is looked up.
        """
        projects = {record.project for record in batch if type(record) is Generation and _concerns(record)}
        if not projects:
            return batch
        pricings = {project: await self.pricing(project) for project in projects}
        named = await self._named(batch)
        return [
            _priced(record, pricings[record.project], named)
            if type(record) is Generation and _concerns(record)
            else record
            for record in batch
        ]

    async def _named(self, batch: Batch) -> dict[_Identity, Generation]:
        """Return, for usage without a model, what names it: another record of this batch, or of the store."""
        nameless = [record for record in batch if type(record) is Generation and _lacks_model(record)]
        if not nameless:
            return {}
        found = {_identity(record): record for record in batch if type(record) is Generation and record.model}
        for record in nameless:
            if self._observations is None or _identity(record) in found:
                continue
            stored = await self._observations.get(record.project, record.trace_id, record.span_id)
            if type(stored) is Generation and stored.model:
                found[_identity(record)] = stored
        return found


def _model(entry: Entry) -> Model:
    return replace(_KIND.of(entry), id=entry.id, version=str(entry.revision))


def _last(start_ns: int | None) -> tuple[bool, int]:
    return (start_ns is None, -(start_ns or 0))


def _concerns(generation: Generation) -> bool:
    return bool(generation.usage_details or generation.cost_details)


def _lacks_model(generation: Generation) -> bool:
    return not generation.model and bool(generation.usage_details) and not generation.cost_details


def _identity(record: Generation) -> _Identity:
    return record.project, record.trace_id, record.span_id


def _priced(generation: Generation, pricing: Pricing, named: dict[_Identity, Generation]) -> Record:
    other = None if generation.model else named.get(_identity(generation))
    if other is None:
        return pricing.priced(generation)
    whole = pricing.priced(replace(generation, model=other.model, start_ns=other.start_ns))
    return replace(whole, model=generation.model, start_ns=generation.start_ns)
