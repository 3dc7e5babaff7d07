"""The prompts of a Langfuse server, through its public API (``/api/public/v2/prompts``).

It knows less than a :class:`tracecore.prompts.PromptStore` is asked for: no history of labels, no split, no condition
on a change, no way to take a label off or to be told of changes. What it cannot do is refused, with what to do instead.
Its lists do not say which version a label is on: that is asked for, name by name, where a name has several versions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

import anyio

from tracecore.backend import Access
from tracecore.errors import AccessDenied, BackendRejected, ConfigError, Conflict, NotFound, TracecoreError
from tracecore.prompts import (
    LATEST,
    NOBODY,
    Author,
    Held,
    LabelChange,
    LabelMove,
    NewPrompt,
    Prompt,
    PromptFeed,
    PromptHistory,
    PromptPage,
    PromptQuery,
    PromptSummary,
)
from tracecore.wire import LARGEST_ANSWER, encode
from tracecore_http.answers import understood
from tracecore_http.langfuse_prompt_shapes import (
    PROMPTS,
    LangfuseName,
    LangfuseNames,
    LangfusePrompt,
    Parameters,
    begins_with,
    error_name_in,
    list_parameters,
    path_of_name,
    prompt_of,
    reason_in,
    summary_of,
)
from tracecore_http.meaning import printable
from tracecore_http.prompts import check_ready
from tracecore_http.remote import Explain, Remote
from tracecore_http.transport import Answer

__all__ = ["LangfusePrompts"]

_WHO: Final = "a Langfuse server"
_JSON: Final[list[tuple[str, str]]] = [("content-type", "application/json")]
_LARGEST_PAGE: Final = 100
"""Names that the server lists at once."""
_MOST_NAMES: Final = 1000
_AT_ONCE: Final = 4
"""Requests of one list that are under way together."""
_MISSING: Final = "LangfuseNotFoundError"
"""What the server calls an error of something that is not there; other answers of the status come from elsewhere."""

T = TypeVar("T")


class LangfusePrompts:
    """Ask a Langfuse server; see :class:`tracecore.prompts.PromptStore`. The project is that of the keys."""

    def __init__(self, remote: Remote, access: Access) -> None:
        self._remote = remote
        self._access: Access = access

    async def get(
        self,
        project: str,  # noqa: ARG002 - the keys say which
        name: str,
        *,
        version: int | None = None,
        label: str | None = None,
        resolve: bool = True,
    ) -> Prompt:
        """Return a version: by its number, or by a label, which is ``production`` unless one is named."""
        _check_one(version, label)
        asked: Parameters = {"version": version, "label": label, "resolve": None if resolve else "false"}
        explain = self._about(name, version, label)
        return prompt_of(await self._ask(LangfusePrompt, "GET", path_of_name(name), asked, explain=explain))

    async def find(self, project: str, query: PromptQuery) -> PromptPage:  # noqa: ARG002 - the keys say which
        """Return one page of names."""
        if not (1 <= query.limit <= _MOST_NAMES and query.offset >= 0):
            asked = f"limit = {query.limit}, offset = {query.offset}"
            raise BackendRejected(asked, f"ask for 1 to {_MOST_NAMES} names, from the first or a later one on")
        found, total = await self._listed(list_parameters(query), query.limit, query.offset)
        if query.folder is not None and any(not one.name.startswith(begins_with(query.folder)) for one in found):
            raise self._cannot("list a folder", "list all names, or name one")
        summaries: list[PromptSummary] = [summary_of(one, {}) for one in found]

        async def complete(place: int) -> None:
            summaries[place] = await self._whole(found[place], is_part=query.label is not None)

        await _each(len(found), complete)
        return PromptPage(summaries, total)

    async def history(self, project: str, name: str, *, limit: int = 100) -> PromptHistory:
        """Refuse: nobody has written down what became of a name."""
        del project, limit
        raise self._cannot(f"tell what became of {name!r}", "read its versions one by one")

    async def publish(self, project: str, new: NewPrompt) -> Prompt:  # noqa: ARG002 - the keys say which
        """Make the next version of a prompt, or the first one of a new; the server names the author by the key."""
        if new.after is not None:
            raise self._cannot("publish on condition of what is newest", "leave 'after' out")
        if new.variables is not None:
            raise self._cannot("keep which variables are declared", "leave them out")
        self._check_author(new.author)
        body: dict[str, Any] = {
            "name": new.name, "type": new.type, "prompt": new.prompt, "config": new.config, "labels": new.labels,
        }  # fmt: skip
        more = {"tags": new.tags, "commitMessage": new.commit_message}
        body |= {key: value for key, value in more.items() if value is not None}
        explain = self._about(new.name)
        return prompt_of(await self._ask(LangfusePrompt, "POST", PROMPTS, body=body, explain=explain, writes=True))

    async def change(self, project: str, name: str, change: LabelChange, *, author: Author = NOBODY) -> Prompt:
        """Move labels, which is all that the server can."""
        del project
        if not isinstance(change, LabelMove):
            what = {"Rollback": "roll a label back", "Split": "split a label", "Unlabel": "take a label off"}
            raise self._cannot(what[type(change).__name__], "move the label to a version instead")
        if change.expected is not None:
            raise self._cannot("move a label on condition of where it is", "leave 'expected' out")
        if change.reason is not None:
            raise self._cannot("keep why a label is moved", "leave the reason out")
        self._check_author(author)
        path, body = f"{path_of_name(name)}/versions/{change.version}", {"newLabels": change.labels}
        explain = self._about(name, change.version)
        return prompt_of(await self._ask(LangfusePrompt, "PATCH", path, body=body, explain=explain, writes=True))

    async def delete(
        self,
        project: str,  # noqa: ARG002 - the keys say which
        name: str,
        *,
        version: int | None = None,
        label: str | None = None,
        author: Author = NOBODY,
    ) -> None:
        """Remove one version, or with neither number nor label all."""
        _check_one(version, label)
        self._check_author(author)
        asked: Parameters = {"version": version, "label": label}
        await self._sent("DELETE", path_of_name(name), asked, explain=self._about(name, version, label), writes=True)

    async def changes(self, project: str, since: int, *, wait: float = 0.0) -> PromptFeed:
        """Refuse: nobody tells."""
        del project, since, wait
        raise self._cannot("tell what has changed", "ask for each prompt again now and then")

    async def _listed(self, asked: Parameters, limit: int, offset: int) -> tuple[list[LangfuseName], int]:
        """Return names from an offset on, out of the numbered pages that hold them, and how many there are."""
        size = limit if limit <= _LARGEST_PAGE and offset % limit == 0 else _LARGEST_PAGE
        first, last = offset // size, (offset + limit - 1) // size
        found: list[LangfuseName] = []
        total = 0
        for page in range(first, last + 1):
            answer = await self._ask(LangfuseNames, "GET", PROMPTS, {**asked, "page": page + 1, "limit": size})
            found, total = found + answer.data, answer.meta.total_items
            if len(answer.data) < size:
                break
        start = offset - first * size
        return found[start : start + limit], total

    async def _whole(self, one: LangfuseName, *, is_part: bool) -> PromptSummary:
        """Return a name with every version and where its labels are; ``is_part`` where some versions are not listed."""
        if is_part:
            listed, _ = await self._listed({"name": one.name}, 1, 0)
            one = next((other for other in listed if other.name == one.name), one)  # it may be gone by now
        held: dict[str, Held] = {}
        left = [label for label in dict.fromkeys(one.labels) if label != LATEST] if len(one.versions) > 1 else []
        for label in left:
            if label not in held:
                with_it = await self._labels_beside(one.name, label)
                held |= {other: there for other, there in with_it.items() if other in left}
        return summary_of(one, held)

    async def _labels_beside(self, name: str, label: str) -> dict[str, Held]:
        """Return the labels of the version that one of them is on; none where that is gone by now."""
        try:
            found = await self.get("", name, label=label, resolve=False)
        except NotFound:
            return {}
        return {other: Held(found.version) for other in (*found.labels, label)}

    async def _ask(self, kind: type[T], method: str, path: str, asked: Parameters | None = None, **more: Any) -> T:
        """Return what the server answers, which is of this kind."""
        answer = await self._sent(method, path, asked, **more)
        return understood(answer, kind, self._remote.location, who=_WHO)

    async def _sent(
        self,
        method: str,
        path: str,
        asked: Parameters | None = None,
        *,
        body: dict[str, Any] | None = None,
        explain: Explain | None = None,
        writes: bool = False,
    ) -> Answer:
        remote = self._remote
        check_ready(remote, self._access, writes=writes)
        said = {key: value for key, value in (asked or {}).items() if value is not None}
        target = f"{path}?{urlencode(said)}" if said else path
        content, headers = (b"", []) if body is None else (encode(body), _JSON)
        answer = await remote.ask(target, content, method=method, headers=headers, most=LARGEST_ANSWER, explain=explain)
        if not answer.is_whole:
            raise BackendRejected(f"the answer of {remote.location} is too large", "ask for less")
        return answer

    def _about(self, name: str, version: int | None = None, label: str | None = None) -> Explain:
        """Return what says which error of ours a refusal is, that was given for a name."""
        shown = name if version is None and label is None else f"{name} {'version' if label is None else 'label'} "
        shown += "" if shown == name else str(version if label is None else label)

        def explain(answer: Answer) -> TracecoreError | None:
            said = printable(self._remote.key.hide(reason_in(answer)))
            match answer.status:
                case HTTPStatus.NOT_FOUND if error_name_in(answer) == _MISSING:
                    return NotFound("prompt", shown, f"the server says: {said}")
                case HTTPStatus.BAD_REQUEST:
                    return ConfigError("prompt", shown, "the request", f"what {self._remote.location} takes: {said}")
                case HTTPStatus.CONFLICT:
                    return Conflict(said or f"somebody else changed {shown!r} first")
                case HTTPStatus.FORBIDDEN:
                    return AccessDenied(said or f"the keys do not permit this of {shown!r}")
                case _:
                    return None

        return explain

    def _check_author(self, author: Author) -> None:
        if not author.moves_protected:
            raise self._cannot("spare protected labels where the keys may move them", "use other keys")

    def _cannot(self, what: str, remedy: str) -> BackendRejected:
        what = f"{self._remote.location} is asked as a Langfuse server, which cannot {what}"
        return BackendRejected(what, f"{remedy}; a tracecore server can, if its URL begins with http:// or https://")


def _check_one(version: int | None, label: str | None) -> None:
    if version is not None and label is not None:
        raise ConfigError("label", label, "the request", "a version or a label, not both")


async def _each(count: int, do: Callable[[int], Awaitable[None]]) -> None:
    """Do something for each number below, some beside each other; the first error of ours is raised as it is."""
    errors: list[TracecoreError] = []
    limiter = anyio.CapacityLimiter(_AT_ONCE)

    async def run(number: int) -> None:
        try:
            async with limiter:
                if not errors:
                    await do(number)
        except TracecoreError as error:
            errors.append(error)

    async with anyio.create_task_group() as group:
        for number in range(count):
            group.start_soon(run, number)
    if errors:
        raise errors[0]
