"""Push: publish what changed in a folder of files, unless somebody published meanwhile.

First everything is looked at, and where one file cannot be pushed none is. A file whose prompt has a newer version than
the one that the file knows of is refused: pulling merges the two, and shows what came of it before anybody is served
it. A prompt that others insert is published before them. What was published is noted in its file, so that a push which
was interrupted goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tracecore.composition import references, texts_of
from tracecore.errors import BackendError, ConfigError, Conflict, TracecoreError
from tracecore.prompt_contents import check_content
from tracecore.prompt_requests import check_publishing
from tracecore.prompt_text import check_declared, placeholders_in
from tracecore.prompts import LATEST, NOBODY, Author, NewPrompt, Prompt, PromptStore
from tracecore.services.prompt_files import (
    PromptFile,
    file_of,
    has_other_tags,
    read_file,
    says_the_same,
    with_bookkeeping,
)
from tracecore.services.prompt_folders import Found, PromptFolder
from tracecore.services.prompt_outcomes import Action, Outcome, found_or_none

__all__ = ["Publishing", "push"]


_UNDONE: Final[dict[Action, Action]] = {"published": "to publish", "noted": "to note"}


class Publishing(Struct, frozen=True):
    """Say how it is published."""

    labels: tuple[str, ...] = ()
    message: str | None = None
    """None takes that of each file, where it is not the one of the version before."""
    author: Author = NOBODY
    dry_run: bool = False
    checked: bool = True
    """Whether the store refuses it where somebody else has published since we looked; Langfuse's cannot."""
    moves: bool = False
    """Whether files that were made from another store begin here with version 1, where there is none of their name."""


class _Step(Struct, frozen=True):
    """Say what is to be done with one file, and what it said."""

    outcome: Outcome
    file: PromptFile | None = None
    new: NewPrompt | None = None


async def push(store: PromptStore, project: str, folder: PromptFolder, how: Publishing) -> list[Outcome]:
    """Publish what changed in the files of a folder."""
    pushing = _Push(store, project, folder, how)
    files, problems = folder.files()
    steps = [_Step(Outcome("", problem.path, "refused", reason=problem.reason)) for problem in problems]
    steps += [await pushing.planned(found) for found in files]
    if how.dry_run or any(step.outcome.is_trouble for step in steps):
        outcomes = [_undone(step.outcome) for step in steps]
    else:
        outcomes = await pushing.done(_in_order(steps))
    return sorted(outcomes, key=lambda outcome: outcome.path)


class _Push:
    """Look at files, and do what has to be done with them."""

    def __init__(self, store: PromptStore, project: str, folder: PromptFolder, how: Publishing) -> None:
        self._store = store
        self._project = project
        self._folder = folder
        self._how = how

    async def planned(self, found: Found) -> _Step:
        """Return what is to be done with a file."""
        outcome = Outcome(found.name, found.path, "refused")
        try:
            local = read_file(found.data, found.path)
            outcome = replace(outcome, version=local.version, before=local.version)
            if local.conflict:
                return _refused(outcome, "a merge is not finished: edit the lines between the markers")
            _check(found.name, local, self._how)
        except ConfigError as error:
            return _refused(outcome, str(error))
        newest = await found_or_none(self._store, self._project, found.name, label=LATEST)
        if local.version is None or (newest is None and self._how.moves):
            return self._first(outcome, local, newest)
        if newest is None:
            reason = f"the store has no prompt of this name: take out `version = {local.version}` to publish it anew"
            return _refused(outcome, f"{reason}, or say --new where the files come from another store")
        base = await self._base(found.name, local, newest)
        if base is None:
            reason = f"version {local.version}, from which the file was made, is not there any more"
            return _refused(outcome, f"{reason}: write `version = N` for another one")
        return self._next(outcome, local, base, newest)

    async def done(self, steps: Sequence[_Step]) -> list[Outcome]:
        """Do one step after the other; where the store fails, what is left is not tried."""
        outcomes: list[Outcome] = []
        stopped = ""
        for step in steps:
            undone = replace(step.outcome, action="refused", version=step.outcome.before, reason=stopped)
            if stopped:
                outcomes.append(undone)
                continue
            try:
                outcomes.append(await self._published(step))
            except TracecoreError as error:
                action: Action = "conflict" if isinstance(error, Conflict) else "refused"
                outcomes.append(replace(undone, action=action, reason=str(error)))
                stopped = "not tried, for the store failed" if isinstance(error, BackendError) else ""
        return outcomes

    def _first(self, outcome: Outcome, local: PromptFile, newest: Prompt | None) -> _Step:
        """Plan what becomes of a file that names no version of this store."""
        if newest is None:
            return self._publishing(outcome, local, 0, local.message)
        if says_the_same(local, file_of(newest)):
            return _noted(outcome, local, newest)
        reason = f"there is a prompt of this name already, at version {newest.version}: pull it into another folder"
        return _refused(outcome, f"{reason}, or write `version = N` for the one that this was made from")

    def _next(self, outcome: Outcome, local: PromptFile, base: PromptFile, newest: Prompt) -> _Step:
        """Plan what becomes of a file whose prompt is there."""
        if newest.type != local.type:
            return _refused(outcome, f"it is a {newest.type}, and never becomes a {local.type}: use another name")
        known = local.newest or local.version or 0
        is_ours = newest.version <= known
        if says_the_same(local, base) and not (is_ours and has_other_tags(local, base)):
            return _Step(replace(outcome, action="unchanged" if is_ours else "behind"))
        if is_ours:
            return self._publishing(
                outcome, local, newest.version, None if local.message == base.message else local.message
            )
        if says_the_same(local, file_of(newest)):
            return _noted(outcome, local, newest)
        return _Step(replace(outcome, action="conflict", reason=_faster(known, newest)))

    async def _base(self, name: str, local: PromptFile, newest: Prompt) -> PromptFile | None:
        """Return what a file was made from, or None where nobody knows."""
        if local.version == newest.version:
            return file_of(newest)
        found = await found_or_none(self._store, self._project, name, version=local.version)
        return None if found is None else file_of(found)

    def _publishing(self, outcome: Outcome, local: PromptFile, newest: int, message: str | None) -> _Step:
        new = _new(outcome.name, local, self._how.message or message, self._how)
        new = replace(new, after=newest if self._how.checked else None)
        return _Step(replace(outcome, action="published", version=newest + 1), local, new)

    async def _published(self, step: _Step) -> Outcome:
        if step.file is None:
            return step.outcome
        if step.new is None:
            self._note(step.outcome.name, step.file)
            return step.outcome
        made = await self._store.publish(self._project, step.new)
        outcome = replace(step.outcome, version=made.version)
        try:
            self._note(outcome.name, replace(step.file, version=made.version, message=made.commit_message))
        except TracecoreError as error:  # it is published all the same; the next push finds that both say the same
            return replace(outcome, reason=f"the file has its old number still: {error}")
        return outcome

    def _note(self, name: str, file: PromptFile) -> None:
        """Write the number of a version into its file, which somebody may have edited since it was read."""
        data = self._folder.read(name)
        if data is not None:
            now = read_file(data, name)
            noted = replace(now, version=file.version, newest=None, conflict=False, message=file.message)
            self._folder.write(name, with_bookkeeping(data.decode(), noted, name).encode(), known=data)


def _faster(known: int, newest: Prompt) -> str:
    by = f" by {newest.created_by}" if newest.created_by else ""
    return (
        f"the file knows of version {known}, and version {newest.version} was published since{by}: merge it with "
        f"`tracecore prompts pull --into DIR --label latest`, or write `newest = {newest.version}` to leave it out"
    )


def _new(name: str, file: PromptFile, message: str | None, how: Publishing) -> NewPrompt:
    return NewPrompt(
        name=name, type=file.type, prompt=file.prompt, config=file.config, labels=how.labels, tags=file.tags,
        variables=file.variables, commit_message=message, author=how.author,
    )  # fmt: skip


def _undone(outcome: Outcome) -> Outcome:
    return replace(outcome, action=_UNDONE.get(outcome.action, outcome.action))


def _check(name: str, file: PromptFile, how: Publishing) -> None:
    """Refuse what no store would publish, as far as a file alone can tell.

    Raises:
        ConfigError: its text, its tags, the labels or the message cannot be; or it uses other variables than declared.
    """
    texts = check_content(file.type, file.prompt)
    check_publishing(_new(name, file, how.message or file.message, how))
    if file.variables is not None and not any(references(texts)):
        content = msgspec.json.decode(file.prompt)
        check_declared(file.variables, texts, placeholders_in(content) if file.type == "chat" else ())


def _refused(outcome: Outcome, reason: str) -> _Step:
    return _Step(replace(outcome, action="refused", reason=reason))


def _noted(outcome: Outcome, local: PromptFile, newest: Prompt) -> _Step:
    file = replace(local, version=newest.version, message=newest.commit_message)
    return _Step(replace(outcome, action="noted", version=newest.version), file)


def _in_order(steps: Sequence[_Step]) -> list[_Step]:
    """Return the steps with those first whose prompts others insert; who inserts itself is told so by the store."""
    left = {step.outcome.name: step for step in steps if step.new is not None}
    ordered = [step for step in steps if step.new is None]
    open_ = list(reversed(left.values()))
    entered: set[str] = set()
    while open_:
        step = open_[-1]
        name = step.outcome.name
        inner = [] if name in entered else [left[one] for one in _inserts(step) if one in left and one not in entered]
        entered.add(name)
        open_ += inner
        if not inner:
            open_.pop()
            if left.pop(name, None) is not None:
                ordered.append(step)
    return ordered


def _inserts(step: _Step) -> list[str]:
    assert step.new is not None  # noqa: S101 - only what is published is put in order
    return [one.name for one in references(texts_of(msgspec.json.decode(step.new.prompt)))]
