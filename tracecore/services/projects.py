"""Projects: what every record, key and setting belongs to.

The id of a project is the ``project`` of its records and never changes; its name is for people. A project that programs
record into without a server needs no entry here.
"""

from __future__ import annotations

import re
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from tracecore.catalog import INSTALLATION, CatalogStore, Delete, Entry, Put
from tracecore.errors import ConfigError, Conflict, NotFound
from tracecore.kinds import Kind

__all__ = ["Project", "Projects", "check_project_id"]

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")


class Project(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Describe a project."""

    id: str = ""
    name: str
    metadata: dict[str, Any] = {}
    retention_days: int | None = None
    """Days after which what was recorded may go; None keeps it for ever."""
    created_ns: int = 0
    updated_ns: int = 0


_KIND: Final = Kind("project", Project)


class Projects:
    """Keep projects."""

    def __init__(self, catalog: CatalogStore) -> None:
        self._catalog = catalog

    async def create(self, project_id: str, *, now_ns: int, name: str | None = None, metadata: Any = None) -> Project:
        """Make a project.

        Raises:
            ConfigError: the id cannot be one.
            Conflict: there is one of this id already.
        """
        check_project_id(project_id)
        project = Project(
            id=project_id, name=name or project_id, metadata=metadata or {}, created_ns=now_ns, updated_ns=now_ns
        )
        await self._catalog.commit([Put(_entry(project), 0)])
        return project

    async def get(self, project_id: str) -> Project:
        """Return a project.

        Raises:
            NotFound: there is none of this id.
        """
        return _KIND.of(await self._kept(project_id))

    async def every(self) -> list[Project]:
        """Return all projects, the newest first."""
        return [_KIND.of(entry) for entry in await _KIND.every(self._catalog, INSTALLATION)]

    async def update(self, project_id: str, *, now_ns: int, **changes: Any) -> Project:
        """Change the name, the metadata or the days of retention of a project."""
        entry = await self._kept(project_id)
        project = replace(_KIND.of(entry), updated_ns=now_ns, **changes)
        await self._catalog.commit([Put(_entry(project), entry.revision)])
        return project

    async def delete(self, project_id: str) -> None:
        """Remove the entry of a project; what was recorded into it is erased by the stores.

        Raises:
            NotFound: there is none of this id.
        """
        entry = await self._kept(project_id)
        try:
            await self._catalog.commit([Delete(INSTALLATION, _KIND.name, project_id, entry.revision)])
        except Conflict as error:
            raise NotFound("project", project_id) from error

    async def _kept(self, project_id: str) -> Entry:
        entry = await self._catalog.get(INSTALLATION, _KIND.name, project_id)
        if entry is None:
            raise NotFound("project", project_id, "see them with `tracecore project list`")
        return entry


def check_project_id(project_id: str) -> None:
    """Refuse what cannot be the id of a project.

    Raises:
        ConfigError: it cannot.
    """
    if not _ID.fullmatch(project_id):
        expected = "1 to 200 characters of a-z, A-Z, 0-9, '-', '_' and '.', beginning with a letter or a digit"
        raise ConfigError("project", project_id, "the request", expected)


def _entry(project: Project) -> Entry:
    return Entry(
        project=INSTALLATION, kind=_KIND.name, id=project.id, body=_KIND.body(project), position=project.created_ns
    )
