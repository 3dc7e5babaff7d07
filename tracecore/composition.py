"""Prompts inside prompts: ``@@@langfusePrompt:name=X|version=N@@@`` or ``…|label=L@@@`` stands for the text of another.

It is Langfuse's composition (https://langfuse.com/docs/prompt-management/features/composability): only texts can be
inserted, inserted prompts may insert others to a depth of five, and a prompt that would be inside itself, in whatever
version, is refused. A text that becomes too long by inserting is refused too: five steps of a thousand tags each would
be a text without end.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, TypeAlias, cast

import msgspec
from msgspec import Raw, Struct

from tracecore.errors import ConfigError
from tracecore.prompts import Graph, Part, Prompt

__all__ = [
    "DEEPEST",
    "LONGEST_RESOLVED",
    "Reference",
    "mistaken",
    "references",
    "resolved",
    "texts_of",
]

DEEPEST: Final = 5
"""Prompts on one way down, the outermost included, at most."""
LONGEST_RESOLVED: Final = 16 << 20
"""Characters of a prompt after inserting, at most."""
_TAG: Final = re.compile(
    r"@@@langfusePrompt:name=(?P<name>(?:(?!@@@)[^|])+)\|(?:version=(?P<version>\d{1,9})|label=(?P<label>[a-z0-9_.\-]+))@@@"
)
_LIKE_A_TAG: Final = re.compile(r"@@@langfusePrompt\b.{0,60}")


class Reference(Struct, frozen=True, omit_defaults=True):
    """Name a version of a prompt: by its number, or by a label."""

    name: str
    version: int | None = None
    label: str | None = None

    def __str__(self) -> str:
        """Return how people name it."""
        return f"{self.name} version {self.version}" if self.label is None else f"{self.name} label {self.label}"


Find: TypeAlias = Callable[[Reference], Awaitable[Prompt | None]]
"""Returns what a reference names, or None."""


def texts_of(content: Any) -> list[str]:
    """Return the texts of a decoded prompt in which others can be inserted: itself, or the contents of its messages."""
    if isinstance(content, str):
        return [content]
    found = (members_of(message).get("content") for message in content)
    return [text for text in found if isinstance(text, str)]


def members_of(message: Any) -> dict[str, Any]:
    """Return the members of a message; what is no object has none."""
    return cast("dict[str, Any]", message) if isinstance(message, dict) else {}


def references(texts: Iterable[str]) -> list[Reference]:
    """Return what texts insert, each reference once; what only looks like a tag is text."""
    found = (_reference(match) for text in texts for match in _TAG.finditer(text))
    return list(dict.fromkeys(found))


def mistaken(texts: Iterable[str]) -> str | None:
    """Return the beginning of what its author may have believed to be a tag, or None."""
    found = (_LIKE_A_TAG.search(_TAG.sub("", text)) for text in texts)
    return next((match[0] for match in found if match), None)


async def resolved(prompt: Prompt, find: Find) -> tuple[Raw, Graph | None]:
    """Return a prompt with everything inserted, and what was; a prompt that inserts nothing as it is, and None.

    Raises:
        ConfigError: something that is inserted is not there, is no text, or has the prompt inside itself; or it is too
            deep or too long.
    """
    content = msgspec.json.decode(prompt.prompt)
    if not references(texts_of(content)):
        return prompt.prompt, None
    resolver = _Resolver(prompt, find)
    if isinstance(content, str):
        whole: Any = (await resolver.text(content, prompt, (prompt.name,))).text
    else:
        whole = [await resolver.message(message) for message in content]
    return Raw(msgspec.json.encode(whole)), Graph(_part(prompt), resolver.dependencies)


class _Text(Struct, frozen=True):
    """Hold a text with everything inserted: how many prompts deep it is, itself included, and the names in it."""

    text: str
    height: int
    names: frozenset[str]


class _Resolver:
    """Insert into one prompt; what is inserted twice is found and resolved once."""

    def __init__(self, root: Prompt, find: Find) -> None:
        self.dependencies: dict[str, list[Part]] = {}
        self._root = root
        self._find = find
        self._found: dict[Reference, Prompt] = {}
        self._done: dict[str, _Text] = {}

    async def message(self, message: Any) -> Any:
        """Return a message of the outermost prompt with everything inserted."""
        members = members_of(message)
        text = members.get("content")
        if not isinstance(text, str):
            return message
        return {**members, "content": (await self.text(text, self._root, (self._root.name,))).text}

    async def text(self, text: str, holder: Prompt, path: tuple[str, ...]) -> _Text:
        """Return a text of a prompt with everything inserted; ``path`` names the prompts it is inside, and its own."""
        inserted: dict[Reference, str] = {}
        height, names = 1, frozenset({holder.name})
        for reference in references([text]):
            part = await self._wanted(reference, holder)
            inside = await self._inside(part, path, reference)
            known = self.dependencies.setdefault(holder.id, [])
            if _part(part) not in known:
                known.append(_part(part))
            inserted[reference] = inside.text
            height, names = max(height, inside.height + 1), names | inside.names
        self._check_length(text, inserted)
        return _Text(_TAG.sub(lambda match: inserted[_reference(match)], text), height, names)

    async def _inside(self, part: Prompt, path: tuple[str, ...], reference: Reference) -> _Text:
        """Return a prompt that is inserted, checked against the way that leads to it."""
        known = self._done.get(part.id)
        names = frozenset({part.name}) if known is None else known.names
        if not names.isdisjoint(path):
            raise _wrong(
                self._root, f"{path[-1]} not to insert {reference}, because one of both would be inside itself"
            )
        if len(path) + (1 if known is None else known.height) > DEEPEST:
            raise _wrong(self._root, f"at most {DEEPEST} prompts inside each other, and {reference} is one too many")
        if known is None:
            text = msgspec.json.decode(part.prompt, type=str)
            known = self._done[part.id] = await self.text(text, part, (*path, part.name))
        return known

    async def _wanted(self, reference: Reference, holder: Prompt) -> Prompt:
        part = self._found.get(reference) or await self._find(reference)
        if part is None:
            raise _wrong(self._root, f"'{reference}', which {holder.name!r} inserts, to be there")
        if part.type != "text":
            raise _wrong(self._root, f"'{reference}', which {holder.name!r} inserts, to be a text, not a {part.type}")
        self._found[reference] = part
        return part

    def _check_length(self, text: str, inserted: dict[Reference, str]) -> None:
        length = len(text) + sum(len(inserted[_reference(match)]) for match in _TAG.finditer(text))
        if length > LONGEST_RESOLVED:
            raise _wrong(self._root, f"at most {LONGEST_RESOLVED} characters after inserting other prompts")


def _reference(match: re.Match[str]) -> Reference:
    version = match["version"]
    return Reference(match["name"], None if version is None else int(version), match["label"])


def _part(prompt: Prompt) -> Part:
    return Part(prompt.name, prompt.version, prompt.id)


def _wrong(root: Prompt, expected: str) -> ConfigError:
    return ConfigError("prompt", root.name, "the request", expected)
