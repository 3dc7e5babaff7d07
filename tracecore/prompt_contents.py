"""What a prompt may be: a text, or a chat of messages and placeholders; and the rules of names and labels.

They are Langfuse's, so that every prompt here can be there and every one there can be here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, cast

import msgspec
from msgspec import Raw, Struct

from tracecore.composition import members_of, texts_of
from tracecore.errors import ConfigError
from tracecore.prompt_text import variables_in
from tracecore.prompts import PromptType

__all__ = [
    "check_content",
    "check_labels",
    "check_name",
    "check_tags",
]

REQUEST: Final = "the request"
_LONGEST_NAME: Final = 255
_LONGEST_LABEL: Final = 36
_MOST_LABELS: Final = 200
_LONGEST_TAG: Final = 255
_MOST_TAGS: Final = 100
_LABEL: Final = re.compile(r"[a-z0-9_\-.]+")
_NAME: Final = re.compile(r"[^|/]+(/[^|/]+)*")
_RESERVED: Final = frozenset({"new", "metrics", "prompt-detail"})
_A_PATH: Final = re.compile(r".*/versions/[^/]+", re.DOTALL)
_PLACEHOLDER: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class _Message(Struct):
    role: str
    content: str


class _Placeholder(Struct):
    name: str
    type: str


def check_name(name: str) -> None:
    """Refuse a name that a prompt cannot have.

    Raises:
        ConfigError: it is too long, has signs that are none of names, or is a word of the paths.
    """
    if not (1 <= len(name) <= _LONGEST_NAME and name.isprintable() and name == name.strip() and _NAME.fullmatch(name)):
        expected = f"1 to {_LONGEST_NAME} printable characters without '|', folders between single slashes"
        raise ConfigError("name", name, REQUEST, expected)
    if name in _RESERVED or _A_PATH.fullmatch(name):
        raise ConfigError("name", name, REQUEST, f"none of {', '.join(sorted(_RESERVED))}, and not …/versions/…")


def check_labels(labels: Sequence[str]) -> None:
    """Refuse labels that a version cannot have.

    Raises:
        ConfigError: there are too many, or one is too long or has signs that are none of labels.
    """
    if len(labels) > _MOST_LABELS:
        raise ConfigError("labels", len(labels), REQUEST, f"at most {_MOST_LABELS} labels")
    for label in labels:
        if len(label) > _LONGEST_LABEL or not _LABEL.fullmatch(label):
            raise ConfigError("label", label, REQUEST, f"1 to {_LONGEST_LABEL} characters of a-z, 0-9, '_', '-', '.'")


def check_tags(tags: Sequence[str]) -> None:
    """Refuse tags that a prompt cannot have.

    Raises:
        ConfigError: there are too many, or one is empty or too long.
    """
    if len(tags) > _MOST_TAGS:
        raise ConfigError("tags", len(tags), REQUEST, f"at most {_MOST_TAGS} tags")
    for tag in tags:
        if not 1 <= len(tag) <= _LONGEST_TAG:
            raise ConfigError("tag", tag, REQUEST, f"1 to {_LONGEST_TAG} characters")
    check_words("tags", tags)


def check_content(kind: PromptType, prompt: Raw) -> list[str]:
    """Return the texts of a prompt in which others can be inserted.

    Raises:
        ConfigError: it is not what prompts of its type are.
    """
    content = _decoded(prompt)
    if kind == "text":
        if not isinstance(content, str):
            raise ConfigError("prompt", content, REQUEST, "a text, or type chat for a list of messages")
        return [content]
    if not isinstance(content, list):
        raise ConfigError("prompt", content, REQUEST, "a list of messages, or type text for a text")
    messages = list(cast("Iterable[Any]", content))
    placeholders = {name for message in messages if (name := _placeholder(message)) is not None}
    texts = texts_of(messages)
    if twice := placeholders & variables_in(texts):
        expected = "variables and placeholders with different names"
        raise ConfigError("prompt", ", ".join(sorted(twice)), REQUEST, expected)
    return texts


def check_config(config: Raw) -> None:
    """Refuse a configuration that is no JSON, or that UTF-8 cannot hold: it is kept as it is, among what is.

    Raises:
        ConfigError: it is none.
    """
    try:
        bytes(config).decode()
        msgspec.json.decode(config, type=Raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ConfigError("config", bytes(config)[:100], REQUEST, f"JSON that UTF-8 can hold ({error})") from error


def check_words(key: str, words: object) -> None:
    """Refuse what is said of a prompt if UTF-8 cannot hold it, such as half a surrogate pair.

    Raises:
        ConfigError: it cannot.
    """
    try:
        msgspec.json.encode(words)
    except UnicodeError as error:
        raise ConfigError(key, words, REQUEST, f"text that UTF-8 can hold ({error})") from error


def _decoded(prompt: Raw) -> Any:
    try:
        return msgspec.json.decode(prompt)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ConfigError("prompt", bytes(prompt)[:100], REQUEST, f"text that UTF-8 can hold ({error})") from error


def _placeholder(message: Any) -> str | None:
    """Return the name of the placeholder that a message is, or None where it is a message."""
    try:
        if members_of(message).get("type") == "placeholder":
            name = msgspec.convert(message, _Placeholder).name
            if _PLACEHOLDER.fullmatch(name):
                return name
            raise ConfigError("placeholder", name, REQUEST, "a letter, then letters, digits and underscores")
        msgspec.convert(message, _Message)
    except msgspec.ValidationError as error:
        expected = f"messages with role and content, or placeholders with type and name ({error})"
        raise ConfigError("prompt", message, REQUEST, expected) from error
    return None
