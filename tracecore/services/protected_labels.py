"""Protected labels: the list of a project, which only who may move them may change."""

from __future__ import annotations

from collections.abc import Sequence

from tracecore.catalog import CatalogStore, Put
from tracecore.errors import AccessDenied, ConfigError
from tracecore.prompt_contents import REQUEST, check_labels
from tracecore.prompt_protection import protected_entry, protected_labels
from tracecore.prompts import LATEST, Author

__all__ = ["ProtectedLabels"]


class ProtectedLabels:
    """Keep which labels of prompts are protected, in each project."""

    def __init__(self, catalog: CatalogStore) -> None:
        self._catalog = catalog

    async def get(self, project: str) -> tuple[str, ...]:
        """Return the labels that are protected, in order."""
        return await protected_labels(self._catalog, project)

    async def put(self, project: str, labels: Sequence[str], *, author: Author) -> tuple[str, ...]:
        """Protect exactly these labels from now on; returns them in order.

        Raises:
            AccessDenied: the author may not move protected labels, and so says nothing of which they are.
            ConfigError: one cannot be a label, or is ``latest``, which everybody moves who publishes.
        """
        if not author.moves_protected:
            raise AccessDenied("only who may move protected labels says which labels are; ask somebody who may")
        check_labels(labels)
        if LATEST in labels:
            raise ConfigError("label", LATEST, REQUEST, "other labels: whoever publishes a version moves this one")
        entry = protected_entry(project, labels)
        await self._catalog.commit([Put(entry)])
        return tuple(sorted(set(labels)))
