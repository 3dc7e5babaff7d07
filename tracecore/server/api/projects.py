"""The project of a key. Projects and keys are made with ``tracecore project`` and ``tracecore key``."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from tracecore.errors import NotFound
from tracecore.server.operations import Call, Operations
from tracecore.services.projects import Project

__all__ = ["operations"]

operations = Operations()


class Organization(Struct, frozen=True):
    """Name the organization of a project: the installation is one."""

    id: str = "tracecore"
    name: str = "tracecore"


class ProjectAnswer(Struct, frozen=True, rename="camel"):
    """Describe a project as Langfuse's API does."""

    id: str
    name: str
    organization: Organization
    metadata: dict[str, Any]
    retention_days: int | None = None


class ProjectsAnswer(Struct, frozen=True):
    """Hold the one project that a key reaches."""

    data: list[ProjectAnswer]


@operations.get("/projects", permission="project:read")
async def list_projects(call: Call) -> ProjectsAnswer:
    """Return the project of the key."""
    try:
        project = await call.state.projects.get(call.project)
    except NotFound:  # the key holds for longer than the entry: what was recorded is still there
        project = Project(id=call.project, name=call.project)
    return ProjectsAnswer([_answer(project)])


def _answer(project: Project) -> ProjectAnswer:
    return ProjectAnswer(project.id, project.name, Organization(), project.metadata, project.retention_days)
