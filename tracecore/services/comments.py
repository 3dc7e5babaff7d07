"""Comments: what people say of a trace, an observation, a session or a prompt, in Markdown."""

from __future__ import annotations

import uuid
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tracecore.backend import Backend
from tracecore.catalog import CatalogQuery, Entry, Put
from tracecore.errors import ConfigError, NotFound
from tracecore.kinds import Kind, catalog_of, numbered_page
from tracecore.services.subjects import SubjectType, check_subject, subject_ref

__all__ = ["LONGEST", "Comment", "Comments"]

LONGEST: Final = 5000
"""Characters of a comment, at most."""


class Comment(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Hold one comment."""

    id: str = ""
    subject_type: SubjectType
    subject_id: str
    content: str
    author: str | None = None
    """The id of a user, as whoever wrote it says."""
    created_ns: int = 0
    trace_id: str | None = None
    """The trace to which the subject belongs, and with which the comment goes."""


_KIND: Final = Kind("comment", Comment)


class Comments:
    """Keep the comments of a project."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._catalog = catalog_of(backend)

    async def create(self, project: str, comment: Comment, *, now_ns: int) -> Comment:
        """Keep a comment.

        Raises:
            ConfigError: it says nothing, or too much.
            NotFound: what it is on is not there.
        """
        content = comment.content.strip()
        if not 1 <= len(content) <= LONGEST:
            raise ConfigError("content", comment.content, "the request", f"1 to {LONGEST} characters")
        trace_id = await check_subject(self._backend, project, comment.subject_type, comment.subject_id)
        made = replace(comment, id=str(uuid.uuid4()), content=content, created_ns=now_ns, trace_id=trace_id)
        await self._catalog.commit([Put(_entry(project, made), 0)])
        return made

    async def get(self, project: str, comment_id: str) -> Comment:
        """Return one comment.

        Raises:
            NotFound: it is not there.
        """
        entry = await self._catalog.get(project, _KIND.name, comment_id)
        if entry is None:
            raise NotFound("comment", comment_id, "it is not in the project of the key")
        return _KIND.of(entry)

    async def find(
        self,
        project: str,
        query: CatalogQuery,
        *,
        subject_type: SubjectType | None = None,
        subject_id: str | None = None,
        author: str | None = None,
    ) -> tuple[list[Comment], int]:
        """Return a page of comments, the newest first, and how many there are; of a subject its type is needed, too.

        Raises:
            ConfigError: a subject is named without its type, or they are too long together.
        """
        refs = [f"author:{author}"] if author is not None else []
        if subject_type is not None:
            refs.append(f"type:{subject_type}" if subject_id is None else subject_ref(subject_type, subject_id))
        elif subject_id is not None:
            raise ConfigError("objectType", "", "the request", "the type of the object that objectId names")
        page = await numbered_page(self._catalog, project, replace(query, kind=_KIND.name, refs=tuple(refs)))
        return [_KIND.of(entry) for entry in page.items], page.total


def _entry(project: str, comment: Comment) -> Entry:
    refs = [f"type:{comment.subject_type}", subject_ref(comment.subject_type, comment.subject_id)]
    if comment.author is not None:
        refs.append(f"author:{comment.author}")
    if comment.trace_id is not None:
        refs.append(f"trace:{comment.trace_id}")
    return Entry(
        project=project, kind=_KIND.name, id=comment.id, refs=tuple(refs), body=_KIND.body(comment),
        position=comment.created_ns,
    )  # fmt: skip
