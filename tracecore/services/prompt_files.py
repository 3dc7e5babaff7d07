"""A prompt as a file of a repository: what is known of it between two lines ``+++`` as TOML, and then its text.

::

    +++
    version = 4
    type = "text"
    tags = ["support"]
    config = '''
    {
      "model": "gpt-x",
      "temperature": 0.2
    }
    '''

    [variables]
    customer = {type = "string", description = "Who is greeted"}
    +++

    Hello {{customer}}.

``version`` is the one that the file was made from: that is all that pulling and pushing have to know. ``newest`` stands
beside it where there was a newer one already, ``message`` says why something changed, and ``conflict`` that a merge is
not finished. Labels are not in it: they move while a version stays what it is. The configuration is JSON, because TOML
lacks ``null`` and the order of what is inside; it stands as one entry a line, so that a diff shows what changed.

The file is UTF-8, its lines may end as those of Windows do, and one blank line before the text and one line break
behind are none of the text's own.

Invariant: what :func:`parse` makes of what :func:`render` wrote is the same, whatever the prompt holds.
"""

from __future__ import annotations

import contextlib
import re
import tomllib
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Raw, Struct

from tracecore.errors import ConfigError
from tracecore.prompts import Prompt, PromptType, Variable
from tracecore.services.prompt_bodies import body_of, content_of, hides, read_body, settled, spelt_in_json

__all__ = [
    "FENCE", "PromptFile", "bookkeeping", "file_of", "has_other_tags", "hides_something", "parse", "read_file",
    "render", "says_the_same", "with_bookkeeping",
]  # fmt: skip

FENCE: Final = "+++"
"""The line before and behind what is known of a prompt."""
_HEAD: Final = re.compile(r"\+\+\+[ \t]*\n(.*?)^\+\+\+[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_BOOKKEEPING: Final = re.compile(r"(version|newest|conflict|message)\s*=")
_MARKER: Final = re.compile(r"^(<{7}|>{7}|\|{7}) ", re.MULTILINE)

_Number = Annotated[int, Meta(ge=1)]


class PromptFile(Struct, frozen=True, kw_only=True):
    """Hold what a file says of a prompt; its name is the file's."""

    prompt: Raw
    """JSON: a text, or a list of messages and placeholders."""
    type: PromptType = "text"
    config: Raw = Raw(b"{}")
    tags: tuple[str, ...] | None = None
    """None keeps those that the name has."""
    variables: dict[str, Variable] | None = None
    message: str | None = None
    """Why it was changed: the commit message of the version, or of the next one where it was edited."""
    version: int | None = None
    """The version from which the file was made; None where it is new."""
    newest: int | None = None
    """The newest version that was there then, where that was another."""
    conflict: bool = False
    """Whether a merge left lines for somebody to decide."""


class _Head(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: _Number | None = None
    newest: _Number | None = None
    conflict: bool = False
    message: str | None = None
    type: PromptType = "text"
    escaped: bool = False
    tags: tuple[str, ...] | None = None
    config: str = "{}"
    variables: dict[str, Variable] | None = None


def file_of(prompt: Prompt, newest: int | None = None) -> PromptFile:
    """Return what a file says of a version, which must have been read with nothing inserted."""
    return PromptFile(
        type=prompt.type, prompt=prompt.prompt, config=prompt.config, tags=prompt.tags or None,
        variables=prompt.variables, message=prompt.commit_message, version=prompt.version,
        newest=None if newest == prompt.version else newest,
    )  # fmt: skip


def says_the_same(one: PromptFile, other: PromptFile) -> bool:
    """Return whether two files hold the same version: tags are of the name, and a message is none of its contents."""
    return (
        one.type == other.type
        and one.variables == other.variables
        and settled(one.config) == settled(other.config)
        and content_of(one.type, one.prompt) == content_of(other.type, other.prompt)
    )


def has_other_tags(local: PromptFile, remote: PromptFile) -> bool:
    """Return whether a file says other tags than the name has."""
    return local.tags is not None and set(local.tags) != set(remote.tags or ())


def render(file: PromptFile, *, escaped: bool | None = None) -> str:
    """Return the text of a file; ``escaped`` where hidden characters must be spelt, which is by default as needed."""
    escaped = hides_something(file) if escaped is None else escaped
    lines = [
        FENCE,
        *bookkeeping(file),
        f"type = {_string(file.type)}",
        *(["escaped = true"] if escaped else ()),
        *(() if file.tags is None else [f"tags = [{', '.join(map(_string, file.tags))}]"]),
        *_config(file.config),
        *(() if file.variables is None else _variables(file.variables)),
        FENCE,
    ]
    return "\n".join(lines) + "\n\n" + body_of(file.type, file.prompt, escaped=escaped)


def hides_something(file: PromptFile) -> bool:
    """Return whether a prompt holds characters that nobody sees."""
    return hides(file.type, file.prompt)


def with_bookkeeping(text: str, file: PromptFile, source: str) -> str:
    """Return the text of a file with other numbers and another message, and all else as somebody wrote it.

    Where that cannot be, it is written anew, without comments.
    """
    text = text.replace("\r\n", "\n")
    found = _HEAD.match(text)
    if found is not None:
        kept = [line for line in found[1].splitlines(keepends=True) if not _BOOKKEEPING.match(line)]
        edited = f"{FENCE}\n" + "".join(f"{line}\n" for line in bookkeeping(file)) + "".join(kept)
        edited += f"{FENCE}\n" + text[found.end() :]
        try:
            if parse(edited, source) == file:
                return edited
        except ConfigError:
            pass
    return render(file)


def parse(text: str, source: str) -> PromptFile | None:
    """Return what the text of a file says, or None where it does not begin as the file of a prompt.

    Raises:
        ConfigError: it begins so, and goes on otherwise.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    if not re.match(r"\+\+\+[ \t]*(\n|\Z)", text):
        return None
    found = _HEAD.match(text)
    if found is None:
        raise ConfigError("front matter", text[:60], source, f"a second line {FENCE!r}, and the text behind it")
    head = _head(found[1], source)
    return PromptFile(
        type=head.type, config=_checked_config(head.config, source), tags=head.tags, variables=head.variables,
        message=head.message, version=head.version, newest=head.newest,
        conflict=head.conflict and _MARKER.search(text) is not None,
        prompt=read_body(head.type, text[found.end() :].removeprefix("\n"), source, escaped=head.escaped),
    )  # fmt: skip


def read_file(data: bytes, source: str) -> PromptFile:
    """Return what a file says that has to be one of a prompt.

    Raises:
        ConfigError: it is none.
    """
    try:
        file = parse(data.decode(), source)
    except UnicodeDecodeError as error:
        raise ConfigError("file", source, "the folder", f"text in UTF-8 ({error.reason})") from error
    if file is None:
        raise ConfigError("file", source, "the folder", f"a prompt, which begins with a line {FENCE!r}")
    return file


def _head(toml: str, source: str) -> _Head:
    try:
        # A line break before it: errors name lines, and the fence is the first.
        return msgspec.convert(tomllib.loads("\n" + toml), _Head)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, RecursionError) as error:
        marked = _MARKER.search(toml)
        said = toml[marked.start() :].partition("\n")[0] if marked else toml[:60]
        expected = "what both sides wrote to be made one" if marked else f"TOML with what a prompt has ({error})"
        raise ConfigError("front matter", said, source, expected) from error


def _checked_config(config: str, source: str) -> Raw:
    document = config.strip().encode()
    try:
        msgspec.json.decode(document, type=Raw)
    except msgspec.DecodeError as error:
        raise ConfigError("config", config.strip()[:100], source, f"JSON ({error})") from error
    return Raw(settled(Raw(document)))


def bookkeeping(file: PromptFile) -> list[str]:
    """Return the lines of TOML that say from which version a file was made; they come first."""
    return [
        *(() if file.version is None else [f"version = {file.version}"]),
        *(() if file.newest is None else [f"newest = {file.newest}"]),
        *(["conflict = true"] if file.conflict else ()),
        *(() if file.message is None else [f"message = {_string(file.message)}"]),
    ]


def _config(config: Raw) -> list[str]:
    """Return the lines of a configuration: a literal text of TOML, in which nothing is escaped a second time."""
    plain = settled(config)
    if plain == b"{}":
        return []
    with contextlib.suppress(msgspec.DecodeError):  # half of a surrogate pair, spelt: it stays on one line
        plain = msgspec.json.format(plain, indent=2)
    text = spelt_in_json(plain.decode("utf-8", "surrogateescape"))
    return ["config = '''", text.replace("'", "\\u0027") if "'''" in text else text, "'''"]


def _variables(variables: dict[str, Variable]) -> list[str]:
    return ["", "[variables]", *(f"{_key(name)} = {{{_members(one)}}}" for name, one in variables.items())]


def _members(variable: Variable) -> str:
    said: dict[str, Any] = {"type": variable.type, **msgspec.to_builtins(variable)}
    return ", ".join(f"{key} = {_value(value)}" for key, value in said.items())


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return _string(value) if isinstance(value, str) else f"[{', '.join(map(_string, value))}]"


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _string(name)


def _string(text: str) -> str:
    """Return a basic string of TOML, whose escapes are those of JSON."""
    return spelt_in_json(msgspec.json.encode(text).decode())
