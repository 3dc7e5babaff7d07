"""Who may do what: permissions by their names, the scopes of keys, and the principal that a credential stands for.

Permissions are Langfuse's project scopes, so that its clients and people find the names they know, and two more:
``ingest:create`` for what records, and ``scores:create`` for what does no more than give scores, such as a browser.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

from msgspec import Struct

__all__ = ["KEY_SCOPES", "PERMISSIONS", "KeyScope", "Permission", "Principal"]

Permission: TypeAlias = Literal[
    "ingest:create", "project:read", "project:update", "project:delete", "apiKeys:read", "apiKeys:CUD",
    "traces:delete", "objects:publish", "objects:bookmark", "objects:tag", "scores:create", "scores:CUD",
    "scoreConfigs:CUD", "scoreConfigs:read", "annotationQueues:read", "annotationQueues:CUD",
    "annotationQueueAssignments:read", "annotationQueueAssignments:CUD", "datasets:CUD", "datasets:read",
    "prompts:CUD", "prompts:read", "promptProtectedLabels:CUD", "models:CUD", "comments:CUD", "comments:read",
]  # fmt: skip
"""What an operation needs."""
PERMISSIONS: Final[frozenset[Permission]] = frozenset(get_args(Permission))
KeyScope: TypeAlias = Literal["all", "member", "read", "service", "ingest", "scores"]
"""What a key is for: everything in its project, working in it, reading it, a service that records and is served
prompts, recording alone, or giving scores alone.

A key of the scope ``all`` does what Langfuse's keys do, which know no roles: it moves protected labels, too. ``member``
is what Langfuse lets members of a project do: neither that, nor managing keys, models and the project, nor deleting
traces.
"""
_NO_MEMBERS: Final[frozenset[Permission]] = frozenset({
    "project:update", "project:delete", "apiKeys:CUD", "traces:delete", "annotationQueueAssignments:CUD", "models:CUD",
    "promptProtectedLabels:CUD",
})  # fmt: skip
"""What only owners and administrators may (Langfuse's table of roles)."""

KEY_SCOPES: Final[dict[KeyScope, frozenset[Permission]]] = {
    "all": PERMISSIONS,
    "member": PERMISSIONS - _NO_MEMBERS,
    "read": frozenset(name for name in PERMISSIONS if name.endswith(":read") and name != "apiKeys:read"),
    "service": frozenset({"ingest:create", "scores:create", "prompts:read"}),
    "ingest": frozenset({"ingest:create", "scores:create"}),
    "scores": frozenset({"scores:create"}),
}


class Principal(Struct, frozen=True):
    """Name who asks: a key, the one project that it reaches, and what it may do there."""

    project: str
    key: str
    """The public part of the key."""
    permissions: frozenset[Permission]

    def may(self, permission: Permission) -> bool:
        """Return whether this is permitted."""
        return permission in self.permissions
