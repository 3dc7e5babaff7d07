"""Erasing traces with what people have added to them: comments, places in queues, media that nothing else refers to.

The stores erase what was recorded; what is managed belongs to the catalog. It goes after the trace: whoever is stopped
between the two erases the trace again, which is no error, and the rest goes then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tracecore.backend import Backend
from tracecore.catalog import CatalogQuery, CatalogStore, Change, Delete
from tracecore.erasure import Erasable, Erased
from tracecore.errors import BackendRejected
from tracecore.kinds import catalog_of
from tracecore.services.media import LINK_KIND, MediaStore
from tracecore.services.subjects import subject_ref

__all__ = ["erase_traces"]

_SLICE: Final = 500
_ADDED: Final = ("comment", "annotation_queue_item")
"""Kinds whose entries name what they are on among their references."""


async def erase_traces(backend: Backend, project: str, trace_ids: Sequence[str]) -> Erased:
    """Erase traces with everything that belongs to them; ids that are not known do not matter.

    Raises:
        BackendRejected: the backend cannot erase anything, or they are too many.
    """
    if not isinstance(backend, Erasable):
        raise BackendRejected(f"{backend.location} cannot erase anything", "use SQLite or PostgreSQL")
    erased = await backend.erase(project, trace_ids=trace_ids)
    catalog = catalog_of(backend)
    for trace_id in trace_ids:
        for kind in _ADDED:
            for ref in (subject_ref("TRACE", trace_id), f"trace:{trace_id}"):
                await _removed(catalog, project, CatalogQuery(kind=kind, refs=(ref,), limit=_SLICE))
        links = CatalogQuery(kind=LINK_KIND, refs=(f"trace:{trace_id}",), limit=_SLICE)
        for media_id in await _removed(catalog, project, links):
            await MediaStore(catalog).drop_unless_linked(project, media_id)
    return erased


async def _removed(catalog: CatalogStore, project: str, query: CatalogQuery) -> list[str]:
    """Remove all entries that a query selects; return what they belonged to, each once."""
    parents: dict[str, None] = {}
    while found := (await catalog.find(project, query)).items:
        changes: list[Change] = [Delete(project, query.kind, entry.id) for entry in found]
        await catalog.commit(changes)
        parents.update(dict.fromkeys(entry.parent for entry in found if entry.parent is not None))
    return list(parents)
