"""The prompts of a tracecore server: each method of the store is one request (:mod:`tracecore.prompt_wire`)."""

from __future__ import annotations

from typing import Any, Final, cast

import anyio.to_thread

from tracecore.backend import Access
from tracecore.errors import BackendRejected, Closed, TracecoreError
from tracecore.prompt_wire import (
    EXCHANGES,
    LONGEST_WAIT_S,
    AskFeed,
    AskHistory,
    AskNames,
    AskPrompt,
    ChangeLabel,
    Publish,
    Question,
    Remove,
    path_of,
)
from tracecore.prompts import (
    NOBODY,
    Author,
    LabelChange,
    NewPrompt,
    Prompt,
    PromptFeed,
    PromptHistory,
    PromptPage,
    PromptQuery,
)
from tracecore.wire import LARGEST_ANSWER, encode
from tracecore_http.answers import understood, unpacked
from tracecore_http.meaning import managing_error_in, problem_in
from tracecore_http.remote import Remote
from tracecore_http.transport import Answer

__all__ = ["RemotePrompts", "check_ready"]

_JSON: Final = ("content-type", "application/json")
_NO_ROUTE: Final = "NoSuchRoute"
"""What a server calls a path that it has not: it has the endpoint, but is older than these."""


def check_ready(remote: Remote, access: Access, *, writes: bool) -> None:
    """Refuse to ask what cannot be asked.

    Raises:
        Closed: the backend is not open.
        BackendRejected: it was opened for reading.
    """
    if not remote.is_open:
        raise Closed(f"{remote.location} is not open; open it first")
    if writes and access == "read":
        raise BackendRejected(f"{remote.location} was opened for reading", 'open it with access="write"')


class RemotePrompts:
    """Ask a server; see :class:`tracecore.prompts.PromptStore`."""

    def __init__(self, remote: Remote, access: Access) -> None:
        self._remote = remote
        self._access: Access = access
        self._headers: list[tuple[str, str]] = [_JSON, *([("accept-encoding", "zstd")] if remote.has_zstd else [])]

    async def get(
        self, project: str, name: str, *, version: int | None = None, label: str | None = None, resolve: bool = True
    ) -> Prompt:
        """Return a version: by its number, or by a label, which is ``production`` unless one is named."""
        asked = AskPrompt(project, name, version, label, resolve)
        return cast("Prompt", await self._ask("get", asked))

    async def find(self, project: str, query: PromptQuery) -> PromptPage:
        """Return one page of names."""
        return cast("PromptPage", await self._ask("find", AskNames(project, query)))

    async def history(self, project: str, name: str, *, limit: int = 100) -> PromptHistory:
        """Return the newest versions and moves of a name."""
        return cast("PromptHistory", await self._ask("history", AskHistory(project, name, limit)))

    async def publish(self, project: str, new: NewPrompt) -> Prompt:
        """Make the next version of a prompt, or the first one of a new."""
        return cast("Prompt", await self._ask("publish", Publish(project, new), writes=True))

    async def change(self, project: str, name: str, change: LabelChange, *, author: Author = NOBODY) -> Prompt:
        """Move a label; the author is whoever the server knows us as, if it knows us."""
        return cast("Prompt", await self._ask("change", ChangeLabel(project, name, change, author), writes=True))

    async def delete(
        self,
        project: str,
        name: str,
        *,
        version: int | None = None,
        label: str | None = None,
        author: Author = NOBODY,
    ) -> None:
        """Remove one version, or with neither number nor label all."""
        await self._ask("delete", Remove(project, name, version, label, author), writes=True)

    async def changes(self, project: str, since: int, *, wait: float = 0.0) -> PromptFeed:
        """Return what has changed since; of the time to wait no more is used than a server waits."""
        wait = min(wait, LONGEST_WAIT_S)
        return cast("PromptFeed", await self._ask("changes", AskFeed(project, since, wait), patience=wait))

    async def _ask(self, method: str, asked: Question, *, writes: bool = False, patience: float = 0.0) -> Any:
        remote, kind = self._remote, EXCHANGES[method][1]
        check_ready(remote, self._access, writes=writes)
        question = await anyio.to_thread.run_sync(encode, asked) if isinstance(asked, Publish) else encode(asked)
        answer = await remote.ask(
            path_of(method), question, headers=self._headers, most=LARGEST_ANSWER, patience=patience,
            explain=self._explain,
        )  # fmt: skip
        answer = unpacked(answer, LARGEST_ANSWER, remote.location)
        if not answer.is_whole:
            raise BackendRejected(f"the answer of {remote.location} is too large", "ask for less")
        return understood(answer, kind, remote.location)

    def _explain(self, answer: Answer) -> TracecoreError | None:
        problem = problem_in(answer)
        if problem is not None and problem.title == _NO_ROUTE:
            return BackendRejected(f"{self._remote.location} knows no prompts", "bring that server up to date")
        return managing_error_in(answer, self._remote.key.hide)
