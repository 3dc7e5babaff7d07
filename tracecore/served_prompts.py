"""A prompt as it is served: one object for all who ask, so nothing of it can be changed.

Its text is decoded once. A chat and the config are decoded for each who reads them: what is given away is the reader's
own, and may be changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

import msgspec
from msgspec.structs import replace

from tracecore.errors import BackendRejected, ConfigError
from tracecore.prompt_stamps import PromptStamp, ServedFrom
from tracecore.prompt_text import Missing, Unknown, compile_chat, compile_text
from tracecore.prompts import Prompt, PromptType, Share, Variable

__all__ = ["ServedPrompt", "as_chosen", "check_fallback", "fallback_prompt", "served"]

_ENVELOPE_BYTES: Final = 1_024
"""What a served prompt holds in memory besides its texts, roughly."""
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.decode
_decode_prompt: Final = msgspec.json.Decoder(Prompt).decode
_decode_chat: Final = msgspec.json.Decoder(list[dict[str, Any]]).decode
_decode_text: Final = msgspec.json.Decoder(str).decode


class ServedPrompt(PromptStamp, frozen=True, eq=False, kw_only=True):
    """A prompt that ``get_prompt`` has served: one version, or the caller's own fallback.

    It can be given to a generation as it is: ``generation("answer", prompt=prompt)``.
    """

    type: PromptType
    text: str | None
    """None of a chat."""
    chat_json: bytes = b""
    config_json: bytes = b"{}"
    id: str | None = None
    labels: tuple[str, ...] = ()
    """On the version, when it was read."""
    tags: tuple[str, ...] = ()
    commit_message: str | None = None
    created_by: str = ""
    created_ns: int = 0
    declared: tuple[tuple[str, Variable], ...] | None = None

    @property
    def variables(self) -> dict[str, Variable] | None:
        """Return what the version declares of its variables; None where it declares nothing."""
        return None if self.declared is None else dict(self.declared)

    @property
    def prompt(self) -> str | list[dict[str, Any]]:
        """Return the text, or a new list of the messages and placeholders of the chat."""
        return self.messages if self.text is None else self.text

    @property
    def messages(self) -> list[dict[str, Any]]:
        """Return a new list of the messages and placeholders; a text is one message of the user."""
        return [{"role": "user", "content": self.text}] if self.text is not None else _decode_chat(self.chat_json)

    @property
    def config(self) -> Any:
        """Return what was kept with the prompt, such as a model and its parameters: a new object, usually a dict."""
        return _decode(self.config_json)

    @property
    def is_fallback(self) -> bool:
        """Return whether it is what the caller has given, because there was nothing else to serve."""
        return self.source == "fallback"

    def compile(
        self,
        values: Mapping[str, object] | None = None,
        /,
        *,
        missing: Missing = "raise",
        unknown: Unknown = "report",
        **variables: object,
    ) -> str | list[dict[str, Any]]:
        """Return the text, or the messages, with values in place of variables and placeholders.

        ``values`` may hold names that are no arguments, or that are those of ``missing`` and ``unknown``: what becomes
        of a variable without a value, and of a value without a variable.

        Raises:
            ConfigError: a value is missing, or is not what is declared; the message says which.
        """
        given = {**(values or {}), **variables}
        source = f"prompt '{self.name}'" + ("" if self.version is None else f" version {self.version}")
        if self.text is not None:
            return compile_text(self.text, given, self.variables, missing=missing, unknown=unknown, source=source)
        return compile_chat(self.messages, given, self.variables, missing=missing, unknown=unknown, source=source)

    def __repr__(self) -> str:
        """Say which it is; its text may be long, and is nobody's business in a log."""
        which = "fallback" if self.version is None else f"version {self.version}"
        return f"<ServedPrompt {self.name!r} {which} from {self.source}{', stale' if self.stale else ''}>"

    @property
    def size(self) -> int:
        """Return the bytes that it holds, roughly."""
        return (
            _ENVELOPE_BYTES
            + 2 * len(self.name)
            + 2 * len(self.text or "")
            + len(self.chat_json)
            + len(self.config_json)
        )


def served(prompt: Any, *, label: str | None, source: ServedFrom, fetched_ns: int) -> ServedPrompt:
    """Return what a store has answered as it is served.

    Raises:
        BackendRejected: it is no prompt.
    """
    if type(prompt) is not Prompt:
        raise BackendRejected(f"a store of prompts answered with a {type(prompt).__name__}", "it must return a Prompt")
    try:
        prompt = _decode_prompt(_encode(prompt))  # every field is what it should be, and nothing refers to the answer
        content, config = bytes(prompt.prompt), bytes(prompt.config)
        is_text = prompt.type == "text"
        text = _decode_text(content) if is_text else None
        chat = b"" if is_text else _encode(_decode_chat(content))
        return ServedPrompt(
            name=prompt.name, version=prompt.version, label=label, source=source, fetched_ns=fetched_ns,
            type=prompt.type, text=text, chat_json=chat, config_json=config, id=prompt.id,
            labels=prompt.labels, tags=prompt.tags, commit_message=prompt.commit_message,
            created_by=prompt.created_by, created_ns=prompt.created_ns,
            declared=None if prompt.variables is None else tuple(prompt.variables.items()),
        )  # fmt: skip
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
        raise BackendRejected(f"a store answered with a prompt that is none ({error})", "publish it again") from error


def as_chosen(prompt: ServedPrompt, label: str | None, shares: Iterable[Share]) -> ServedPrompt:
    """Return a version as one that was chosen among those that a label is split between."""
    return replace(prompt, label=label, shares=tuple((share.version, share.weight) for share in shares))


def check_fallback(fallback: object, expected: PromptType | None) -> PromptType:
    """Return of which type a fallback is.

    Raises:
        ConfigError: it is none, or not of the type that is expected.
    """
    found: PromptType | None = "text" if isinstance(fallback, str) else "chat" if _is_chat(fallback) else None
    if found is None:
        raise ConfigError("fallback", fallback, "code", "a text, or a list of messages and placeholders, as dicts")
    if expected is not None and found != expected:
        wanted = "a text" if expected == "text" else "a list of messages, as dicts"
        raise ConfigError("fallback", fallback, "code", f"{wanted}, because the prompt is a {expected} prompt")
    return found


def _is_chat(fallback: object) -> bool:
    if not isinstance(fallback, list | tuple):
        return False
    return all(isinstance(one, Mapping) for one in cast("Iterable[object]", fallback))


def fallback_prompt(name: str, label: str | None, fallback: object, expected: PromptType | None) -> ServedPrompt:
    """Return the caller's fallback as it is served.

    Raises:
        ConfigError: it cannot be one.
    """
    found = check_fallback(fallback, expected)
    text = str(fallback) if found == "text" else None
    try:
        chat = b"" if found == "text" else _encode(fallback)
        _ = chat and _decode_chat(chat)
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
        raise ConfigError("fallback", fallback, "code", f"messages that can be written as JSON ({error})") from error
    return ServedPrompt(name=name, label=label, source="fallback", type=found, text=text, chat_json=chat)
