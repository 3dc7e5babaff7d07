"""Prompts: publish, read, label, list and delete versions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from msgspec import Raw, Struct, field
from msgspec.structs import replace

from tracecore.errors import NotFound
from tracecore.prompts import (
    Author,
    Graph,
    LabelMove,
    NewPrompt,
    Prompt,
    PromptSummary,
    PromptType,
    Share,
    Variable,
)
from tracecore.prompts import PromptQuery as NamesQuery
from tracecore.server.api.paging import PageMeta, Paging, page_meta
from tracecore.server.api.payloads import absent, size_of
from tracecore.server.api.prompt_filters import filter_of
from tracecore.server.api.times import iso, ns_of
from tracecore.server.operations import Call, Operations

__all__ = ["operations"]

operations = Operations()


class PromptBody(Struct, frozen=True, rename="camel"):
    """Say what is published; without a type it is a text."""

    name: str
    prompt: Raw
    type: PromptType | None = None
    config: Raw = field(default_factory=absent)
    labels: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None
    commit_message: str | None = None
    variables: dict[str, Variable] | None = None
    """What Langfuse does not know: which variables the prompt declares."""


class PromptAnswer(Struct, frozen=True, rename="camel"):
    """Describe one version of a prompt."""

    id: str
    project_id: str
    name: str
    version: int
    type: PromptType
    prompt: Raw
    config: Raw
    labels: tuple[str, ...]
    tags: tuple[str, ...]
    commit_message: str | None
    created_by: str
    created_at: str
    updated_at: str
    resolution_graph: Graph | None
    variables: dict[str, Variable] | None
    """Those that were declared; Langfuse's clients pass over this and the next."""
    shares: tuple[Share, ...]
    """Between which versions the label is split by which this one was asked for."""


class LabelsBody(Struct, frozen=True, rename="camel"):
    """Name the labels that a version gets beside those that it has."""

    new_labels: tuple[str, ...]


class PromptQuery(Struct, frozen=True):
    """Say which version is wanted; ``resolve=false`` leaves the tags of other prompts in it."""

    version: int | None = None
    label: str | None = None
    resolve: bool = True


class PromptsQuery(Paging, frozen=True, kw_only=True, rename="camel"):
    """Select names: their label and tag, and when one of their versions changed last."""

    name: str | None = None
    label: str | None = None
    tag: str | None = None
    from_updated_at: datetime | None = None
    to_updated_at: datetime | None = None
    filter: str | None = None
    """A JSON array of conditions, which versions meet; the other parameters select among names all the same."""


class PromptMeta(Struct, frozen=True, rename="camel"):
    """Describe a name; where a label is asked for, the version that has it."""

    name: str
    type: PromptType
    versions: list[int]
    labels: list[str]
    tags: list[str]
    last_updated_at: str
    last_config: Raw


class PromptsAnswer(Struct, frozen=True):
    """Hold one page of names, the one that changed last first."""

    data: list[PromptMeta]
    meta: PageMeta


@operations.patch("/v2/prompts/{name:path}/versions/{version}", permission="prompts:CUD")
async def label_prompt(call: Call, name: str, version: str, body: LabelsBody) -> PromptAnswer:
    """Put labels on a version; each leaves the version that it was on."""
    if not version.isdecimal() or len(version) > 9:  # noqa: PLR2004 - nobody publishes so many
        raise NotFound("prompt", f"{name} version {version}", "a version is a whole number from 1")
    change = LabelMove(version=int(version), labels=body.new_labels)
    moved = await call.state.prompts.change(call.project, name, change, author=_author(call))
    call.state.prompt_feeds.changed(call.project)
    return _answer(call, moved)


@operations.get("/v2/prompts", permission="prompts:read")
async def list_prompts(call: Call, query: PromptsQuery) -> PromptsAnswer:
    """List names with their versions, labels and tags."""
    if query.filter is not None:
        return await _filtered(call, query, filter_of(query.filter))
    asked = NamesQuery(
        name=query.name,
        label=query.label,
        tag=query.tag,
        since_ns=None if query.from_updated_at is None else ns_of(query.from_updated_at),
        until_ns=None if query.to_updated_at is None else ns_of(query.to_updated_at),
        limit=query.limit,
        offset=query.offset,
    )
    page = await call.state.prompts.find(call.project, asked)
    return PromptsAnswer([await _meta(call, one, query.label) for one in page.items], page_meta(query, page.total))


@operations.post("/v2/prompts", permission="prompts:CUD", status=201)
async def create_prompt(call: Call, body: PromptBody) -> PromptAnswer:
    """Publish the next version of a prompt, or the first one of a new name."""
    new = NewPrompt(
        name=body.name,
        type=body.type or "text",
        prompt=body.prompt,
        config=Raw(b"{}") if bytes(body.config) in {b"", b"null"} else body.config,
        labels=body.labels or (),
        tags=body.tags or None,  # clients send an empty list for none
        commit_message=body.commit_message,
        variables=body.variables,
        author=_author(call),
    )
    made = await call.state.prompts.publish(call.project, new)
    call.state.prompt_feeds.changed(call.project)
    return _answer(call, made)


@operations.get("/v2/prompts/{prompt_name:path}", permission="prompts:read")
async def get_prompt(call: Call, prompt_name: str, query: PromptQuery) -> PromptAnswer:
    """Return a version, by default the one labelled ``production``, with other prompts inserted."""
    found = await call.state.prompts.get(
        call.project, prompt_name, version=query.version, label=query.label, resolve=query.resolve
    )
    call.hold(size_of(found.prompt, found.config))
    return _answer(call, found)


@operations.delete("/v2/prompts/{prompt_name:path}", permission="prompts:CUD")
async def delete_prompt(call: Call, prompt_name: str, query: PromptQuery) -> None:
    """Delete the version that is named, or all versions; refused while other prompts insert it."""
    version, label, author = query.version, query.label, _author(call)
    await call.state.prompts.delete(call.project, prompt_name, version=version, label=label, author=author)
    call.state.prompt_feeds.changed(call.project)


async def _filtered(call: Call, query: PromptsQuery, meets: Callable[[Prompt], bool]) -> PromptsAnswer:
    """Return one page of names that have a version which meets a filter, and of each only such versions."""
    since_ns = None if query.from_updated_at is None else ns_of(query.from_updated_at)
    until_ns = None if query.to_updated_at is None else ns_of(query.to_updated_at)
    by_name: dict[str, list[Prompt]] = {}
    async for prompt in call.state.prompts.every(call.project):
        if (
            (query.name is None or prompt.name == query.name)
            and (query.label is None or query.label in prompt.labels)
            and (query.tag is None or query.tag in prompt.tags)
            and (since_ns is None or prompt.updated_ns >= since_ns)
            and (until_ns is None or prompt.updated_ns < until_ns)
            and meets(prompt)
        ):
            # Of what may be long only the configuration is shown, and not what lies around it.
            kept = replace(prompt, prompt=Raw(b"null"), config=prompt.config.copy())
            call.hold(size_of(kept.config), "ask by a filter that fewer versions meet")
            by_name.setdefault(prompt.name, []).append(kept)
        del prompt  # it may be long, and the next one is read now
    found = [_meta_of(sorted(several, key=lambda one: one.version)) for several in by_name.values()]
    found.sort(key=lambda one: (one.last_updated_at, one.name), reverse=True)
    return PromptsAnswer(found[query.offset : query.offset + query.limit], page_meta(query, len(found)))


def _meta_of(versions: list[Prompt]) -> PromptMeta:
    """Describe a name by some of its versions, the newest last."""
    last = versions[-1]
    return PromptMeta(
        name=last.name, type=last.type, versions=[one.version for one in versions],
        labels=[label for one in versions for label in one.labels], tags=list(last.tags),
        last_updated_at=iso(max(one.updated_ns for one in versions)), last_config=last.config,
    )  # fmt: skip


def _author(call: Call) -> Author:
    """Return who changes something: the key."""
    principal = call.principal
    return Author(principal.key, moves_protected=principal.may("promptProtectedLabels:CUD"))


def _answer(call: Call, prompt: Prompt) -> PromptAnswer:
    return PromptAnswer(
        id=prompt.id,
        project_id=call.project,
        name=prompt.name,
        version=prompt.version,
        type=prompt.type,
        prompt=prompt.prompt,
        config=prompt.config,
        labels=prompt.labels,
        tags=prompt.tags,
        commit_message=prompt.commit_message,
        created_by=prompt.created_by,
        created_at=iso(prompt.created_ns),
        updated_at=iso(prompt.updated_ns),
        resolution_graph=prompt.graph,
        variables=prompt.variables,
        shares=prompt.shares,
    )


async def _meta(call: Call, name: PromptSummary, label: str | None) -> PromptMeta:
    config, versions = name.last_config, list(name.versions)
    if label is not None and label in name.labels:
        versions = [name.labels[label].version]
        if versions != [name.versions[-1]]:
            with suppress(NotFound):  # it was deleted since
                kept = await call.state.prompts.get(call.project, name.name, version=versions[0], resolve=False)
                config = kept.config
    labels = [found for version in versions for found, held in name.labels.items() if held.version == version]
    return PromptMeta(
        name=name.name, type=name.type, versions=versions, labels=labels, tags=list(name.tags),
        last_updated_at=iso(name.updated_ns), last_config=config,
    )  # fmt: skip
