"""The contract of prompts: texts and chats under a name, in versions that never change, with labels that move.

A backend with a catalog keeps prompts in it (:mod:`tracecore.catalog_prompts`); one that reaches a server asks that
(:class:`Prompting`). Both give a :class:`PromptStore`, so that whoever reads, publishes, promotes or rolls back need
not know which it is.

A label is on one version at every moment. It may be *split*: then a share of those who ask gets another version, always
the same for the same user or session; who cannot choose gets the version that the label is on.

Where what is done::

    what a prompt is     prompt_contents, prompt_text (variables, compiling), prompt_values, composition
    kept in a catalog    catalog_prompts ── prompt_reading, prompt_hints
                             └── prompt_commits ── prompt_moves, prompt_heads, prompt_feed
                                     └── prompt_requests, prompt_protection
    served in a program  prompting ── prompt_registry ── prompt_sources
                             └── prompt_cache ── prompt_entries, served_prompts, prompt_stamps, rollouts
                                     └── prompt_fetching ── prompt_host (its thread), prompt_disk
    over HTTP            prompt_wire, on both ends
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, Protocol, TypeAlias, runtime_checkable

from msgspec import Meta, Raw, Struct

__all__ = [
    "LATEST", "NOBODY", "PRODUCTION", "Author", "Graph", "Held", "LabelChange", "LabelMove", "Move", "MoveAction",
    "NewPrompt", "Part", "Prompt", "PromptFeed", "PromptHistory", "PromptPage", "PromptQuery",
    "PromptStore", "PromptSummary", "PromptType", "Prompting", "Rollback", "Share", "Split", "Unlabel", "Variable",
    "VariableType",
]  # fmt: skip

LATEST: Final = "latest"
"""The label of the newest version: it is there by itself."""
PRODUCTION: Final = "production"
"""The label that is read where none is asked for."""

PromptType: TypeAlias = Literal["text", "chat"]
VariableType: TypeAlias = Literal["string", "integer", "number", "boolean", "array", "object"]
"""The types of JSON Schema that a variable may have."""
MoveAction: TypeAlias = Literal["publish", "label", "rollback", "split", "unlabel", "delete"]


class Variable(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Declare what a variable of a prompt takes."""

    type: VariableType = "string"
    description: str = ""
    enum: tuple[str, ...] = ()
    """The only texts that it takes, where it is a text; any where this is empty."""
    optional: bool = False
    """Whether it may be left out; it is empty then."""


class Part(Struct, frozen=True):
    """Name one prompt in a graph."""

    name: str
    version: int
    id: str


class Graph(Struct, frozen=True):
    """Say which prompts were inserted into which, by the id of the one that holds them."""

    root: Part
    dependencies: dict[str, list[Part]]


class Share(Struct, frozen=True):
    """Give a version a share of those who ask for a label."""

    version: int
    weight: Annotated[float, Meta(gt=0, le=1e6)]
    """In proportion to the weights of the others."""


class Held(Struct, frozen=True, omit_defaults=True):
    """Say on which version a label is, since when, and between which versions it is split."""

    version: int
    since_ns: int = 0
    shares: tuple[Share, ...] = ()
    """Empty where it is not split; else the version that the label is on is among them."""


class Prompt(Struct, frozen=True, kw_only=True):
    """Describe one version, as of the moment when it was read."""

    id: str
    name: str
    version: int
    type: PromptType
    prompt: Raw
    """JSON: a text, or a list of messages and placeholders; with others inserted where that was asked for."""
    config: Raw = Raw(b"{}")
    labels: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    """Of the name."""
    variables: dict[str, Variable] | None = None
    """What was declared when it was published; None where nothing was."""
    commit_message: str | None = None
    created_by: str = ""
    created_ns: int = 0
    updated_ns: int = 0
    shares: tuple[Share, ...] = ()
    """Between which versions the label is split by which this one was asked for."""
    graph: Graph | None = None
    """What is inserted, where it was inserted."""


class Author(Struct, frozen=True):
    """Name who changes something."""

    name: str = ""
    moves_protected: bool = True
    """Whether that person may set, move and remove protected labels, and versions that have one."""


NOBODY: Final = Author()
"""Who owns the backend, and so may do everything."""


class NewPrompt(Struct, frozen=True, kw_only=True):
    """Say what is published."""

    name: str
    type: PromptType = "text"
    prompt: Raw
    config: Raw = Raw(b"{}")
    labels: tuple[str, ...] = ()
    tags: tuple[str, ...] | None = None
    """None keeps those that the name has."""
    variables: dict[str, Variable] | None = None
    commit_message: str | None = None
    author: Author = NOBODY
    after: int | None = None
    """The newest version that the author knows of, 0 where there is none: ``Conflict`` where it is another one now."""


class LabelMove(Struct, frozen=True, kw_only=True, tag="move"):
    """Put labels on a version, from whatever other version they were on; one that was split is whole again.

    Those that the version has besides stay.
    """

    version: int
    labels: tuple[str, ...]
    expected: int | None = None
    """The version that each of the labels is on, as far as the author knows, 0 for none; None: it does not matter.

    ``Conflict`` where it is on another one, unless that is ``version`` already: asking twice is no error.
    """
    reason: str | None = None


class Rollback(Struct, frozen=True, kw_only=True, tag="rollback"):
    """Put a label back on the version that it was on before, or on the one that is named.

    Again and again it leads further back, past what is deleted; a label that was taken off comes back. One that is
    split goes back to being whole first.
    """

    label: str = PRODUCTION
    to: int | None = None
    expected: int | None = None
    """The version that the label is on, as far as the author knows."""
    reason: str | None = None


class Split(Struct, frozen=True, kw_only=True, tag="split"):
    """Split a label between 2 to 10 versions, the one that it is on among them; with no shares it is whole again."""

    label: str
    shares: tuple[Share, ...] = ()
    reason: str | None = None


class Unlabel(Struct, frozen=True, kw_only=True, tag="unlabel"):
    """Take a label off."""

    label: str
    reason: str | None = None


LabelChange: TypeAlias = LabelMove | Rollback | Split | Unlabel


class Move(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Say who changed a name, when, how and why."""

    at_ns: int
    action: MoveAction
    label: str | None = None
    version: int | None = None
    """The version that was published or deleted, or that the label is on since."""
    before: int | None = None
    """The version that the label was on before."""
    shares: tuple[Share, ...] = ()
    by: str = ""
    reason: str | None = None


class PromptHistory(Struct, frozen=True):
    """Hold what became of a name: its versions and its moves, each the newest first."""

    versions: list[Prompt]
    """With nothing inserted."""
    moves: list[Move]


class PromptQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Select names; every condition that is set must hold. The one that changed last comes first."""

    name: str | None = None
    folder: str | None = None
    """What the name begins with, up to a slash."""
    label: str | None = None
    tag: str | None = None
    since_ns: int | None = None
    """From when on it changed last; ``until_ns``: before when."""
    until_ns: int | None = None
    limit: int = 50
    offset: int = 0


class PromptSummary(Struct, frozen=True, kw_only=True):
    """Describe a name."""

    name: str
    type: PromptType
    versions: tuple[int, ...]
    """Those that are there, ascending."""
    labels: dict[str, Held]
    """All, ``latest`` too."""
    tags: tuple[str, ...]
    updated_ns: int
    last_config: Raw


class PromptPage(Struct, frozen=True):
    """Hold one page of names, and how many the query selects in all."""

    items: list[PromptSummary]
    total: int


class PromptFeed(Struct, frozen=True):
    """Say what has changed since some number of the feed."""

    number: int
    """Of the last change: grows by one with each."""
    names: tuple[str, ...] | None = None
    """Whose; None where it is not known any more, so that each may have."""


class PromptStore(Protocol):
    """Keep the prompts of projects. Calls may run beside each other.

    Every change of a name is one step: two who publish at once get two versions, and numbers are never used again while
    the name is there. ``ConfigError`` says what of a request cannot be, ``NotFound`` what exists nearby, ``Conflict``
    what somebody else changed first, ``AccessDenied`` which label is protected; else methods raise as every store does.
    """

    async def get(
        self, project: str, name: str, *, version: int | None = None, label: str | None = None, resolve: bool = True
    ) -> Prompt:
        """Return a version: by its number, or by a label, which is ``production`` unless one is named."""
        ...

    async def find(self, project: str, query: PromptQuery) -> PromptPage:
        """Return one page of names."""
        ...

    async def history(self, project: str, name: str, *, limit: int = 100) -> PromptHistory:
        """Return the newest versions and moves of a name, up to ``limit`` of each (1 to 1,000).

        There may be fewer versions where they are long. The moves of a name that was deleted are still there.
        """
        ...

    async def publish(self, project: str, new: NewPrompt) -> Prompt:
        """Make the next version of a prompt, or the first one of a new; returns it with nothing inserted."""
        ...

    async def change(self, project: str, name: str, change: LabelChange, *, author: Author = NOBODY) -> Prompt:
        """Move a label; returns the version that it is on now, or for ``Unlabel`` was on."""
        ...

    async def delete(
        self,
        project: str,
        name: str,
        *,
        version: int | None = None,
        label: str | None = None,
        author: Author = NOBODY,
    ) -> None:
        """Remove one version, or with neither number nor label all; refused while other prompts insert it."""
        ...

    async def changes(self, project: str, since: int, *, wait: float = 0.0) -> PromptFeed:
        """Return what has changed since, or wait up to so many seconds until something has.

        Raises ``BackendRejected`` where nobody can tell, such as a server of another make.
        """
        ...


@runtime_checkable
class Prompting(Protocol):
    """What a backend is besides, that keeps prompts in its own way."""

    @property
    def prompts(self) -> PromptStore:
        """Return the store of prompts."""
        ...
