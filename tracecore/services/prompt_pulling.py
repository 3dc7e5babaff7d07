"""Pull: write what a store has into a folder of files, without taking from anybody what is only in a file.

A file says from which version it was made, so the store itself knows what it said then. What changed on one side only
is taken from there; what changed on both is merged by lines, and where both changed the same lines the file is left
alone unless its owner asked for both in it. A file of which the store has nothing stays.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from tracecore.errors import BackendError, ConfigError, TracecoreError
from tracecore.prompts import PRODUCTION, Prompt, PromptStore, PromptSummary
from tracecore.services.prompt_files import (
    PromptFile,
    bookkeeping,
    file_of,
    has_other_tags,
    hides_something,
    parse,
    read_file,
    render,
    says_the_same,
)
from tracecore.services.prompt_folders import Found, PromptFolder, file_name
from tracecore.services.prompt_merge import Conflicting, Lines, merged, with_markers
from tracecore.services.prompt_outcomes import Action, Outcome, found_or_none, selected

__all__ = ["merge", "pull"]


class _Wanted(Struct, frozen=True):
    """Hold the version that is pulled, and which one is the newest."""

    prompt: Prompt
    newest: int


class _Decision(Struct, frozen=True):
    """Say what becomes of a file, and what is written into it; None leaves it alone."""

    outcome: Outcome
    text: str | None = None


async def pull(
    store: PromptStore,
    project: str,
    folder: PromptFolder,
    *,
    names: Sequence[str] = (),
    label: str = PRODUCTION,
    mark: bool = False,
) -> list[Outcome]:
    """Write the versions with a label into the files of a folder; ``mark`` writes conflicts into them, too.

    ``names`` are those of prompts, and of folders, which end with a slash; none means all.

    Raises:
        NotFound: a prompt that is named is not there, or has no such label.
    """
    files, problems = folder.files()
    there = {one.name: one for one in files}
    found = [await _wanted(store, project, one, label) async for one in selected(store, project, names, label)]
    pulling = _Pull(store, project, folder, mark=mark)
    outcomes = [await pulling.pulled(wanted, there.get(wanted.prompt.name)) for wanted in found]
    outcomes += [Outcome("", problem.path, "refused", reason=problem.reason) for problem in problems]
    if not names:
        pulled = {wanted.prompt.name for wanted in found}
        outcomes += [_left(one, label) for one in files if one.name not in pulled]
    return sorted(outcomes, key=lambda outcome: outcome.path)


def merge(local: PromptFile, base: PromptFile, remote: PromptFile) -> tuple[str, bool]:
    """Return the text of a file with what both sides made of a base, and whether a person has to decide.

    Tags are of the name and not of a version, so that nobody can tell who changed them: those of the store are taken.
    """
    sides = [_bare(one, remote.tags) for one in (local, base, remote)]
    escaped = any(map(hides_something, sides))
    mine, was, theirs = (_lines(render(one, escaped=escaped)) for one in sides)
    pieces = merged(was, mine, theirs)
    is_open = any(isinstance(piece, Conflicting) for piece in pieces)
    lines = with_markers(pieces, ("this file", f"version {base.version}", f"version {remote.version}"))
    message = remote.message if local.message == base.message else local.message
    head = bookkeeping(replace(remote, message=message, conflict=is_open))
    text = "".join([lines[0], *(f"{line}\n" for line in head), *lines[1:]])
    return text, is_open or not _is_file(text)


async def _wanted(store: PromptStore, project: str, summary: PromptSummary, label: str) -> _Wanted:
    prompt = await store.get(project, summary.name, label=label, resolve=False)
    return _Wanted(prompt, max(summary.versions[-1], prompt.version))


class _Pull:
    """Decide what becomes of files, and write them."""

    def __init__(self, store: PromptStore, project: str, folder: PromptFolder, *, mark: bool) -> None:
        self._store = store
        self._project = project
        self._folder = folder
        self._mark = mark

    async def pulled(self, wanted: _Wanted, known: Found | None) -> Outcome:
        """Write one file, where it is to be written."""
        name = wanted.prompt.name
        path = "" if known is None else known.path
        try:
            path = path or str(file_name(name))
            decided = await self._decided(Outcome(name, path, "new"), wanted, known)
            if decided.text is not None:
                self._folder.write(name, decided.text.encode(), known=None if known is None else known.data)
        except BackendError:
            raise
        except (TracecoreError, UnicodeEncodeError) as error:
            return Outcome(name, path, "refused", reason=str(error))
        return decided.outcome

    async def _decided(self, outcome: Outcome, wanted: _Wanted, known: Found | None) -> _Decision:
        remote = file_of(wanted.prompt, wanted.newest)
        if known is None:
            return _Decision(replace(outcome, version=remote.version), render(remote))
        local = read_file(known.data, known.path)
        outcome = replace(outcome, action="unchanged", version=local.version, before=local.version)
        if local.conflict:
            return _trouble(outcome, "a merge is not finished: edit the lines between the markers")
        if says_the_same(local, remote):
            return _same(outcome, local, remote)
        if local.version == remote.version:
            return _Decision(replace(outcome, action="changed here"))
        return await self._differing(outcome, local, remote)

    async def _differing(self, outcome: Outcome, local: PromptFile, remote: PromptFile) -> _Decision:
        """Decide about a file that says other than the store does, by what it was made from."""
        found = None
        if local.version is not None:
            found = await found_or_none(self._store, self._project, outcome.name, version=local.version)
        if found is None:
            return _trouble(outcome, _no_base(local))
        base = file_of(found)
        if says_the_same(local, base):
            return _Decision(_taken(outcome, "updated", local, remote), render(remote))
        text, is_open = merge(local, base, remote)
        if not is_open:
            return _Decision(_taken(outcome, "merged", local, remote), text)
        both = f"the file and version {remote.version} changed version {base.version} in the same place"
        if not self._mark:
            return _trouble(outcome, f"{both}: `tracecore prompts pull --merge` writes both into the file")
        marked = _trouble(outcome, f"{both}: edit what is between the markers").outcome
        return _Decision(replace(marked, version=remote.version), text)


def _same(outcome: Outcome, local: PromptFile, remote: PromptFile) -> _Decision:
    """Decide about a file that says what the store does: its number may be another, and so may its tags be."""
    if local.version != remote.version:
        return _Decision(_taken(outcome, "noted", local, remote), render(remote))
    if not has_other_tags(local, remote):
        return _Decision(outcome)
    if (remote.newest or remote.version or 0) > (local.newest or local.version or 0):  # whoever published gave them
        return _Decision(_taken(outcome, "updated", local, remote), render(remote))
    return _Decision(replace(outcome, action="changed here"))


def _taken(outcome: Outcome, action: Action, local: PromptFile, remote: PromptFile) -> Outcome:
    """Return that a file has become what the store has; tags that it alone had are said."""
    lost = f"its tags were {', '.join(local.tags or ())}" if local.tags and has_other_tags(local, remote) else ""
    return replace(outcome, action=action, version=remote.version, reason=lost)


def _trouble(outcome: Outcome, reason: str) -> _Decision:
    return _Decision(replace(outcome, action="conflict", reason=reason))


def _no_base(local: PromptFile) -> str:
    advice = "write `version = N` for the one that it was made from, or move the file away"
    if local.version is None:
        return f"the file does not say from which version it was made: {advice}"
    return f"version {local.version}, from which the file was made, is not there any more: {advice}"


def _left(found: Found, label: str) -> Outcome:
    """Return what is said of a file that was not pulled."""
    try:
        local = read_file(found.data, found.path)
    except ConfigError as error:
        return Outcome(found.name, found.path, "refused", reason=str(error))
    if local.version is None:
        return Outcome(found.name, found.path, "changed here", reason="it was never published")
    reason = f"no prompt of this name has the label {label!r}"
    return Outcome(found.name, found.path, "stays", local.version, local.version, reason)


def _bare(file: PromptFile, tags: tuple[str, ...] | None) -> PromptFile:
    return replace(file, version=None, newest=None, message=None, conflict=False, tags=tags)


def _lines(text: str) -> Lines:
    return [f"{line}\n" for line in text.split("\n")[:-1]]


def _is_file(text: str) -> bool:
    """Return whether lines of both sides make a file together."""
    try:
        return parse(text, "") is not None
    except ConfigError:
        return False
