"""Comments on traces, observations, sessions and prompts."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from tracecore.catalog import CatalogQuery
from tracecore.errors import NotFound
from tracecore.server.api.paging import PageMeta, Paging, page_meta, paged
from tracecore.server.api.times import iso, ns_of
from tracecore.server.operations import Call, Operations
from tracecore.services.comments import Comment, Comments
from tracecore.services.subjects import SubjectType

__all__ = ["operations"]

operations = Operations()


class NewComment(Struct, frozen=True, rename="camel"):
    """Say something."""

    project_id: str
    object_type: SubjectType
    object_id: str
    content: str
    author_user_id: str | None = None


class Made(Struct, frozen=True):
    """Name what was made."""

    id: str


class CommentAnswer(Struct, frozen=True, rename="camel"):
    """Show a comment."""

    id: str
    project_id: str
    created_at: str
    updated_at: str
    object_type: SubjectType
    object_id: str
    content: str
    author_user_id: str | None


class CommentsQuery(Paging, frozen=True, kw_only=True, rename="camel"):
    """Select comments."""

    object_type: SubjectType | None = None
    object_id: str | None = None
    author_user_id: str | None = None
    from_timestamp: datetime | None = None
    to_timestamp: datetime | None = None


class CommentsAnswer(Struct, frozen=True):
    """Hold a page of comments."""

    data: list[CommentAnswer]
    meta: PageMeta


@operations.post("/comments", permission="comments:CUD")
async def create_comment(call: Call, body: NewComment) -> Made:
    """Comment on something that is there."""
    if body.project_id != call.project:
        raise NotFound("project", body.project_id, "it is not that of the key")
    said = Comment(
        subject_type=body.object_type, subject_id=body.object_id, content=body.content, author=body.author_user_id
    )
    return Made((await Comments(call.backend).create(call.project, said, now_ns=call.now_ns)).id)


@operations.get("/comments", permission="comments:read")
async def list_comments(call: Call, query: CommentsQuery) -> CommentsAnswer:
    """Return comments, the newest first."""
    asked = CatalogQuery(kind="")
    if query.from_timestamp is not None:
        asked = replace(asked, min_position=ns_of(query.from_timestamp))
    if query.to_timestamp is not None:
        asked = replace(asked, max_position=ns_of(query.to_timestamp) - 1)
    found, total = await Comments(call.backend).find(
        call.project, paged(asked, query), subject_type=query.object_type, subject_id=query.object_id,
        author=query.author_user_id,
    )  # fmt: skip
    return CommentsAnswer([_answer(call, comment) for comment in found], page_meta(query, total))


@operations.get("/comments/{comment_id}", permission="comments:read")
async def get_comment(call: Call, comment_id: str) -> CommentAnswer:
    """Return one comment."""
    return _answer(call, await Comments(call.backend).get(call.project, comment_id))


def _answer(call: Call, comment: Comment) -> CommentAnswer:
    created = iso(comment.created_ns)
    return CommentAnswer(
        comment.id, call.project, created, created, comment.subject_type, comment.subject_id, comment.content,
        comment.author,
    )  # fmt: skip
