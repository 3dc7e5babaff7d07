"""The keys of the project of a key. They are made with ``tracecore key``: one that leaked makes no other."""

from __future__ import annotations

from msgspec import Struct

from tracecore.errors import NotFound
from tracecore.server.api.times import iso, iso_or_none
from tracecore.server.operations import Call, Operations
from tracecore.services.keys import ApiKey

__all__ = ["operations"]

operations = Operations()


class KeyAnswer(Struct, frozen=True, rename="camel"):
    """Show a key that holds; its secret is nowhere."""

    id: str
    created_at: str
    expires_at: str | None
    last_used_at: str | None
    note: str | None
    public_key: str
    display_secret_key: str


class KeysAnswer(Struct, frozen=True, rename="camel"):
    """Hold the keys of a project."""

    api_keys: list[KeyAnswer]


@operations.get("/projects/{project_id}/apiKeys", permission="apiKeys:read")
async def list_api_keys(call: Call, project_id: str) -> KeysAnswer:
    """Return the keys of the project that hold, the newest first."""
    if project_id != call.project:
        raise NotFound("project", project_id, "it is not that of the key")
    found = await call.state.keys.of_project(call.project)
    return KeysAnswer([_answer(key) for key in found if key.holds(call.now_ns)])


def _answer(key: ApiKey) -> KeyAnswer:
    return KeyAnswer(
        key.public_key, iso(key.created_ns), iso_or_none(key.expires_ns), iso_or_none(key.last_used_ns),
        key.note or None, key.public_key, key.hint,
    )  # fmt: skip
