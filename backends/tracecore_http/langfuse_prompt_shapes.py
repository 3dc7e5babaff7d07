"""What the public API of a Langfuse server says of prompts, and what of it is what here.

Members that it may leave out have defaults; those that it has and we do not need are passed over. A tracecore server
that is asked in the same way says more: variables, and how a label is split.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, TypeAlias
from urllib.parse import quote

import msgspec
from msgspec import Raw, Struct

from tracecore.errors import NotFound
from tracecore.prompts import (
    LATEST,
    Graph,
    Held,
    Prompt,
    PromptQuery,
    PromptSummary,
    PromptType,
    Share,
    Variable,
)
from tracecore_http.meaning import said_in
from tracecore_http.spans import iso_time
from tracecore_http.transport import Answer

__all__ = [
    "PROMPTS", "LangfuseName", "LangfuseNames", "LangfusePrompt", "Parameters", "begins_with", "error_name_in",
    "list_parameters", "path_of_name", "prompt_of", "reason_in", "summary_of",
]  # fmt: skip

PROMPTS: Final = "/api/public/v2/prompts"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EMPTY: Final = Raw(b"{}")
_MOST_REASONS: Final = 3

Parameters: TypeAlias = dict[str, str | int | None]
"""What stands behind the question mark of a URL; None is left out."""


class LangfusePrompt(Struct, rename="camel"):
    """One version as the server describes it, and what a tracecore server says besides."""

    id: str
    name: str
    version: int
    type: PromptType
    prompt: Raw
    config: Raw = _EMPTY
    labels: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    commit_message: str | None = None
    created_by: str = ""
    created_at: datetime = _EPOCH
    updated_at: datetime = _EPOCH
    resolution_graph: Graph | None = None
    variables: dict[str, Variable] | None = None
    shares: tuple[Share, ...] = ()


class LangfuseName(Struct, rename="camel"):
    """One name as the server lists it."""

    name: str
    type: PromptType
    versions: list[int]
    labels: list[str] = []
    tags: tuple[str, ...] = ()
    last_updated_at: datetime = _EPOCH
    last_config: Raw = _EMPTY


class _Meta(Struct, rename="camel"):
    total_items: int


class LangfuseNames(Struct):
    """One page of a list, and how many names there are in all."""

    data: list[LangfuseName]
    meta: _Meta


class _Refusal(Struct):
    """What the server says of a refusal: where a request is wrong, ``error`` lists what of it is."""

    error: Any = None


class _Reason(Struct):
    message: str = ""


def path_of_name(name: str) -> str:
    """Return the path of a name, in which a slash is none of the path's."""
    if name in {"", ".", ".."}:  # a path that has those in it is another one
        raise NotFound("prompt", name, "Langfuse has none of such a name")
    return f"{PROMPTS}/{quote(name, safe='')}"


def begins_with(folder: str) -> str:
    """Return what the names in a folder begin with."""
    return folder.rstrip("/") + "/"


def list_parameters(query: PromptQuery) -> Parameters:
    """Return the query of a list; of a folder the filter that selects names by how they begin."""
    asked: Parameters = {"name": query.name, "label": query.label, "tag": query.tag}
    if query.since_ns is not None:
        asked["fromUpdatedAt"] = iso_time(query.since_ns)
    if query.until_ns is not None:
        asked["toUpdatedAt"] = iso_time(query.until_ns)
    if query.folder is not None:
        begins = {"type": "string", "column": "name", "operator": "starts with", "value": begins_with(query.folder)}
        asked["filter"] = msgspec.json.encode([begins]).decode()
    return asked


def prompt_of(found: LangfusePrompt) -> Prompt:
    """Return a version as it is here."""
    return Prompt(
        id=found.id, name=found.name, version=found.version, type=found.type, prompt=found.prompt,
        config=found.config, labels=found.labels, tags=found.tags, variables=found.variables,
        commit_message=found.commit_message, created_by=found.created_by, created_ns=_ns(found.created_at),
        updated_ns=_ns(found.updated_at), shares=found.shares, graph=found.resolution_graph,
    )  # fmt: skip


def summary_of(one: LangfuseName, held: dict[str, Held]) -> PromptSummary:
    """Describe a name; a label of a name with one version is on that."""
    versions = tuple(sorted(one.versions))
    if len(versions) == 1:
        held = {label: Held(versions[0]) for label in one.labels}
    labels = {**held, LATEST: Held(versions[-1])} if versions else held
    return PromptSummary(
        name=one.name, type=one.type, versions=versions, labels=labels,
        tags=one.tags, updated_ns=_ns(one.last_updated_at), last_config=one.last_config,
    )  # fmt: skip


def _ns(moment: datetime) -> int:
    """Return a time in ns since the Unix epoch; one without an offset is UTC."""
    since = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000


def error_name_in(answer: Answer) -> str:
    """Return what the server calls an error; empty where it gives it no name."""
    error = _refusal_in(answer).error
    return error if isinstance(error, str) else ""


def _refusal_in(answer: Answer) -> _Refusal:
    try:
        return msgspec.json.decode(answer.body, type=_Refusal)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _Refusal()


def reason_in(answer: Answer) -> str:
    """Return why a request was refused: what is wrong with it, where that is said, else the message."""
    error = _refusal_in(answer).error
    if isinstance(error, list):
        try:
            reasons = msgspec.convert(error, list[_Reason])
        except msgspec.ValidationError:
            reasons = []
        if said := "; ".join(reason.message for reason in reasons[:_MOST_REASONS] if reason.message):
            return said
    return said_in(answer)
