"""What is commented on, or waits to be judged: a trace, an observation, a session or a prompt, by type and id."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Literal, TypeAlias

from tracecore.backend import Backend
from tracecore.errors import NotFound
from tracecore.kinds import catalog_of
from tracecore.services.stores import observation_of, sessions_of, traces_of

__all__ = ["SubjectType", "check_subject", "subject_ref"]

SubjectType: TypeAlias = Literal["TRACE", "OBSERVATION", "SESSION", "PROMPT"]
_Exists: TypeAlias = Callable[[Backend, str, str], Awaitable[bool]]


def subject_ref(kind: SubjectType, subject_id: str) -> str:
    """Return the name under which a subject is found in the catalog."""
    return f"{kind}:{subject_id}"


async def check_subject(backend: Backend, project: str, kind: SubjectType, subject_id: str) -> str | None:
    """See that something is there; return the trace to which it belongs, if it does to one.

    Raises:
        NotFound: it is not, or not in this project.
    """
    if kind == "OBSERVATION":
        found = await observation_of(backend, project, subject_id)
        if found is not None:
            return found.trace_id
    elif await _EXISTS[kind](backend, project, subject_id):
        return subject_id if kind == "TRACE" else None
    raise NotFound(kind.lower(), subject_id, "it is not in the project of the key")


async def _has_trace(backend: Backend, project: str, subject_id: str) -> bool:
    return await traces_of(backend).get(project, subject_id) is not None


async def _has_session(backend: Backend, project: str, subject_id: str) -> bool:
    return await sessions_of(backend).get(project, subject_id) is not None


async def _has_prompt(backend: Backend, project: str, subject_id: str) -> bool:
    """Return whether there is a version of a prompt with this id."""
    return await catalog_of(backend).named(project, "prompt-version", subject_id) is not None


_EXISTS: Final[dict[SubjectType, _Exists]] = {
    "TRACE": _has_trace, "SESSION": _has_session, "PROMPT": _has_prompt,
}  # fmt: skip
