r"""The text of a prompt as lines that people edit and review: a text as it is, a chat as one section a message.

A section begins with a line ``+++ ROLE``, a placeholder is ``+++ placeholder NAME``, and a message of which Langfuse's
SDK says that it is one is ``+++ chatmessage ROLE``; what else a message may hold stands there as JSON. A line of a
message that begins like that has a backslash before it::

    +++ system
    You answer in one sentence.

    +++ placeholder history

    +++ user
    {{question}}

Characters that nobody sees in a diff (a carriage return, a bidirectional override) are spelt as escapes, all through
the body; whoever writes it says so by ``escaped``.

Invariant: what :func:`read_body` makes of what :func:`body_of` wrote is the same prompt, whatever its texts hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, TypeAlias

import msgspec
from msgspec import Raw

from tracecore.errors import ConfigError
from tracecore.prompts import PromptType

__all__ = ["body_of", "content_of", "hides", "read_body", "settled", "spelt_in_json"]

_Message: TypeAlias = dict[str, Raw]
_messages: Final = msgspec.json.Decoder(list[_Message])
_text: Final = msgspec.json.Decoder(str)
_encode: Final = msgspec.json.encode

_HIDDEN: Final = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u200e\\u200f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069\\ufeff]"
)
"""Controls but tab and line feed, the separators and directions of Unicode (UAX 9), and the mark of byte order."""
_TO_ESCAPE: Final = re.compile(f"{_HIDDEN.pattern}|\\\\")
_ESCAPE: Final = re.compile(r"\\(\\|r|x[0-9a-f]{2}|u[0-9a-f]{4}|.?)", re.DOTALL)
_SECTION: Final = "+++"
_LIKE_A_SECTION: Final = re.compile(r"^(\\*\+\+\+)", re.MULTILINE)
_NOT_A_SECTION: Final = re.compile(r"^\\(\\*\+\+\+)", re.MULTILINE)
_BACKSLASHED: Final = r"\\\1"
_WORD: Final = re.compile(r"[^\s{][^\s]*")
_JSON_ESCAPE: Final = re.compile(r"(\\\\)|\\u([0-9a-fA-F]{4})")


def hides(kind: PromptType, prompt: Raw) -> bool:
    """Return whether a prompt holds characters that nobody sees, so that its body has to be escaped."""
    texts = [_text.decode(prompt)] if kind == "text" else map(_content_of, _messages.decode(prompt))
    return any(_HIDDEN.search(text) for text in texts)


def body_of(kind: PromptType, prompt: Raw, *, escaped: bool = False) -> str:
    """Return the body of a prompt; it ends with a line break, which is none of the prompt's own."""
    if kind == "text":
        return _spelt(_text.decode(prompt), escaped=escaped) + "\n"
    return "\n".join(_section(message, escaped=escaped) for message in _messages.decode(prompt))


def read_body(kind: PromptType, body: str, source: str, *, escaped: bool = False) -> Raw:
    """Return the prompt that a body says; one line break at its end is none of its own.

    Raises:
        ConfigError: it is no chat, or has an escape that is none.
    """
    if kind == "text":
        return Raw(_encode(_read(body.removesuffix("\n"), source, escaped=escaped)))
    return Raw(_encode([_read_section(*found, source, escaped=escaped) for found in _sections(body, source)]))


def content_of(kind: PromptType, prompt: Raw) -> object:
    """Return what a prompt says, to compare: not how its JSON is written."""
    if kind == "text":
        return _text.decode(prompt)
    return [{key: _settled_member(value) for key, value in message.items()} for message in _messages.decode(prompt)]


def settled(document: Raw) -> bytes:
    """Return JSON without blanks between its parts, each character as itself where JSON can have it so."""
    try:
        compact = msgspec.json.format(bytes(document), indent=-1)
    except msgspec.DecodeError:  # half of a surrogate pair, spelt: a line break can only be a blank
        compact = bytes(document).replace(b"\n", b" ").replace(b"\r", b" ")
    return _JSON_ESCAPE.sub(_as_itself, compact.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def spelt_in_json(document: str) -> str:
    """Return the same JSON with what nobody sees as escapes."""
    return _HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", document)


def _as_itself(found: re.Match[str]) -> str:
    if found[1]:
        return found[1]
    character = chr(int(found[2], 16))
    is_kept = character < " " or character in '"\\' or "\ud800" <= character <= "\udfff"
    return found[0].lower() if is_kept else character


def _settled_member(value: Raw) -> str | bytes:
    return _text.decode(value) if bytes(value).startswith(b'"') else settled(value)


def _content_of(message: _Message) -> str:
    value = message.get("content")
    return "" if value is None or _is(message, "type", "placeholder") else _text.decode(value)


def _is(message: _Message, key: str, text: str) -> bool:
    value = message.get(key)
    return value is not None and bytes(value) == _encode(text)


def _section(message: _Message, *, escaped: bool) -> str:
    """Return one message with its heading."""
    heading = f"{_SECTION} {_heading(message)}\n"
    if _is(message, "type", "placeholder"):
        return heading
    text = _spelt(_content_of(message), escaped=escaped)
    return f"{heading}{_LIKE_A_SECTION.sub(_BACKSLASHED, text)}\n"


def _heading(message: _Message) -> str:
    about = message if _is(message, "type", "placeholder") else {k: v for k, v in message.items() if k != "content"}
    match sorted(about):
        case ["role"]:
            words = ["role"]
        case ["role", "type"] if _is(about, "type", "chatmessage"):
            words = ["type", "role"]
        case ["name", "type"] if _is(about, "type", "placeholder"):
            words = ["type", "name"]
        case _:
            words = []
    spoken = [_text.decode(about[word]) for word in words]
    if spoken and all(_WORD.fullmatch(word) and not _HIDDEN.search(word) for word in spoken):
        return " ".join(spoken)
    return spelt_in_json(settled(Raw(_encode(about))).decode("utf-8", "surrogateescape"))


def _sections(body: str, source: str) -> Iterator[tuple[str, str]]:
    """Yield the heading and the text of each section."""
    before, *found = re.split(rf"^{re.escape(_SECTION)}(?=\s|\Z)", body, flags=re.MULTILINE)
    if before.strip():
        expected = "a chat to begin with a heading such as '+++ system'"
        raise ConfigError("prompt", before.strip()[:100], source, expected)
    for number, section in enumerate(found, 1):
        heading, _, text = section.partition("\n")
        if number < len(found):  # a blank line parts it from the next
            text = text.removesuffix("\n")
        yield heading.strip(), text.removesuffix("\n")


def _read_section(heading: str, text: str, source: str, *, escaped: bool) -> _Message:
    message = _read_heading(heading, source)
    if _is(message, "type", "placeholder"):
        if text.strip():
            expected = f"nothing below '+++ {heading}': the messages that are given take its place"
            raise ConfigError("prompt", text.strip()[:100], source, expected)
        return message
    content = _read(_NOT_A_SECTION.sub(r"\1", text), source, escaped=escaped)
    return {**message, "content": Raw(_encode(content))}


def _read_heading(heading: str, source: str) -> _Message:
    if heading.startswith("{"):
        try:
            return msgspec.json.decode(heading, type=_Message)
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise ConfigError("heading", heading, source, f"the members of a message as JSON ({error})") from error
    match heading.split():
        case [role]:
            return {"role": Raw(_encode(role))}
        case ["chatmessage", role]:
            return {"type": Raw(b'"chatmessage"'), "role": Raw(_encode(role))}
        case ["placeholder", name]:
            return {"type": Raw(b'"placeholder"'), "name": Raw(_encode(name))}
        case _:
            expected = "'+++ ROLE', '+++ placeholder NAME', or the members of a message as JSON"
            raise ConfigError("heading", f"+++ {heading}", source, expected)


def _spelt(text: str, *, escaped: bool) -> str:
    return _TO_ESCAPE.sub(_escape, text) if escaped else text


def _escape(found: re.Match[str]) -> str:
    match found[0]:
        case "\\":
            return "\\\\"
        case "\r":
            return "\\r"
        case character:
            return f"\\x{ord(character):02x}" if ord(character) <= 0xFF else f"\\u{ord(character):04x}"  # noqa: PLR2004 - two digits suffice


def _read(text: str, source: str, *, escaped: bool) -> str:
    if not escaped:
        return text
    try:
        return _ESCAPE.sub(_unescape, text)
    except ValueError as error:
        expected = r"\\, \r, \xNN or \uNNNN, because the front matter says `escaped = true`"
        raise ConfigError("escape", str(error), source, expected) from error


def _unescape(found: re.Match[str]) -> str:
    spelt = found[1]
    if spelt in {"\\", "r"}:
        return "\\" if spelt == "\\" else "\r"
    character = chr(int(spelt[1:], 16)) if len(spelt) > 1 else ""
    if not character or "\ud800" <= character <= "\udfff":
        raise ValueError(found[0])
    return character
