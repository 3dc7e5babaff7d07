"""The text of prompts: which variables ``{{name}}`` and placeholders are in it, and what it is with values for them.

The syntax is Langfuse's (https://langfuse.com/docs/prompt-management/features/variables, …/message-placeholders).
Three things are otherwise than in its clients:

- What is given is inserted once and never read again: neither a text nor a message that is given for a placeholder
  brings variables of its own, so that what a user writes never pulls in another value.
- What is no text is inserted as JSON (``true``, ``["a"]``), not as Python would print it. Numbers are the same in both;
  None is empty.
- A variable without a value is an error, which names all of them: a model that reads ``{{customer}}`` answers all the
  same, and nobody hears of it. With ``missing="keep"`` it stays as it is, as in Langfuse, and the log says so: for a
  service that would rather go on with a version of a prompt that wants more than it gives.

A value that the prompt does not use changes nothing that is sent: the log says so, once. ``unknown="raise"`` refuses
it. Were that the rule, no service could give a new variable before the version that uses it is promoted, nor could a
label be split between the old version and the new.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, cast

from tracecore.errors import ConfigError
from tracecore.prompt_values import as_messages, as_text, check_type, listed, printable
from tracecore.prompts import Variable
from tracecore.reporting import report

__all__ = [
    "LONGEST_COMPILED",
    "MOST_DECLARED",
    "Missing",
    "Unknown",
    "check_declared",
    "compile_chat",
    "compile_text",
    "placeholders_in",
    "variables_in",
]

Missing: TypeAlias = Literal["raise", "keep"]
"""What becomes of a variable or placeholder without a value."""
Unknown: TypeAlias = Literal["raise", "report"]
"""What becomes of a value that the prompt does not use."""

LONGEST_COMPILED: Final = 64 << 20
"""Characters of a compiled text, at most: a long value that is inserted very often is a text without end."""
MOST_DECLARED: Final = 100
"""Variables that a prompt may declare."""

_REQUEST: Final = "the request"
_LONGEST_NAME: Final = 255
_MOST_REPORTS: Final = 1_000
"""Different calls of which the log is told, each once; by then it has heard enough."""
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*+")
_VARIABLE: Final = re.compile(r"({{\s*+([A-Za-z][A-Za-z0-9_]*+)\s*+}})")
"""What stands for a variable, and its name. Nothing is tried twice, so any text takes time in proportion."""
_MESSAGE_TAGS: Final = ("message", "chatmessage")
"""The ``type`` by which Langfuse tells a message from a placeholder; models do not know it."""

_reported: Final[set[tuple[str, str]]] = set()


def variables_in(texts: Iterable[str]) -> set[str]:
    """Return the names of the variables ``{{name}}`` in texts."""
    return {name for text in texts for name in _VARIABLE.split(text)[2::3]}


def placeholders_in(messages: Iterable[Any]) -> set[str]:
    """Return the names of the placeholders among the messages of a chat."""
    return {name for message in messages if (name := _placeholder(message)) is not None}


def compile_text(
    text: str,
    values: Mapping[str, object],
    declared: Mapping[str, Variable] | None = None,
    *,
    missing: Missing = "raise",
    unknown: Unknown = "report",
    source: str = "compile",
) -> str:
    """Return a text with values for its variables; ``source`` says in errors which prompt is compiled.

    Raises:
        ConfigError: a variable has no value, or one that is not what was declared, or that cannot be made a text.
    """
    pieces = _VARIABLE.split(text)
    filling = _Filling(values, declared or {}, source)
    filling.prepare(set(pieces[2::3]), set(), missing, unknown)
    return filling.text(pieces)


def compile_chat(
    messages: Sequence[Mapping[str, Any]],
    values: Mapping[str, object],
    declared: Mapping[str, Variable] | None = None,
    *,
    missing: Missing = "raise",
    unknown: Unknown = "report",
    source: str = "compile",
) -> list[dict[str, Any]]:
    """Return new messages: with values for the variables in their contents, and what is given for placeholders.

    Whatever a message has besides its content stays, and so does a content that is no text.

    Raises:
        ConfigError: as :func:`compile_text`; or what is given for a placeholder is no list of messages.
    """
    plain = _copies(messages, source)
    pieces = [_pieces_of(message) for message in plain]
    filling = _Filling(values, declared or {}, source)
    used = {name for split in pieces if split for name in split[2::3]}
    filling.prepare(used, placeholders_in(plain), missing, unknown)
    compiled: list[dict[str, Any]] = []
    for message, split in zip(plain, pieces, strict=True):
        compiled.extend(filling.messages(message, split))
    return compiled


def check_declared(variables: Mapping[str, Variable], texts: Iterable[str], placeholders: Collection[str] = ()) -> None:
    """Refuse a declaration that does not fit the texts of a prompt, those of inserted prompts included.

    Every variable is declared, and every one that is declared is used. A placeholder need not be declared; if it is,
    then as an array.

    Raises:
        ConfigError: it does not fit, a name or an enum cannot be, or there are too many.
    """
    if len(variables) > MOST_DECLARED:
        raise ConfigError("variables", len(variables), _REQUEST, f"at most {MOST_DECLARED} declared variables")
    for name, variable in variables.items():
        _check_variable(name, variable, is_placeholder=name in placeholders)
    used = variables_in(texts)
    if undeclared := sorted(used - variables.keys()):
        expected = f"every variable of the prompt to be declared; not declared: {listed(undeclared)}"
        raise ConfigError("variables", listed(variables), _REQUEST, expected)
    if unused := sorted(variables.keys() - used - set(placeholders)):
        expected = f"every declared variable to be used in the prompt; not used: {listed(unused)}"
        raise ConfigError("variables", listed(variables), _REQUEST, expected)


class _Filling:
    """Hold what one call inserts: each value checked and made a text once, however often it is inserted."""

    def __init__(self, values: Mapping[str, object], declared: Mapping[str, Variable], source: str) -> None:
        left_out = {name for name, variable in declared.items() if variable.optional and values.get(name) is None}
        self._given = {name: value for name, value in values.items() if name not in left_out}
        self._left_out = left_out
        self._declared = declared
        self._source = source
        self._texts: dict[str, str] = {}
        self._room = LONGEST_COMPILED

    def prepare(self, used: set[str], placeholders: set[str], missing: Missing, unknown: Unknown) -> None:
        """Compare what is given with what is wanted and declared, and make texts of the values that are used."""
        given = self._given.keys()
        wanted = used | placeholders
        lacking = sorted(wanted - given - self._left_out)
        extra = sorted(given - wanted - self._declared.keys())
        if lacking or extra:
            what = _difference(wanted, lacking, extra)
            if (lacking and missing == "raise") or (extra and unknown == "raise"):
                raise ConfigError("variables", listed(given), self._source, what)
            _report_once(self._source, what)
        for name, variable in self._declared.items():
            if name in given:
                check_type(name, self._given[name], variable, self._source)
        self._texts = dict.fromkeys(self._left_out, "")
        self._texts.update((name, as_text(name, self._given[name], self._source)) for name in used & given)

    def text(self, pieces: list[str]) -> str:
        """Return a text, split at its variables, with the values between the pieces."""
        tokens = zip(pieces[1::3], pieces[2::3], strict=True)
        pieces[1::3] = [self._texts.get(name, token) for token, name in tokens]
        del pieces[2::3]
        self._room -= sum(map(len, pieces))
        if self._room < 0:
            expected = f"at most {LONGEST_COMPILED:,} characters with every value inserted"
            raise ConfigError("variables", listed(self._given), self._source, expected)
        return "".join(pieces)

    def messages(self, message: dict[str, Any], pieces: list[str] | None) -> list[dict[str, Any]]:
        """Put the values into the content of a message; return it, or what is given where it is a placeholder."""
        name = _placeholder(message)
        if name in self._left_out:
            return []
        if name is not None and name in self._given:
            return as_messages(name, self._given[name], self._source)
        if message.get("type") in _MESSAGE_TAGS:
            del message["type"]
        if pieces is not None:
            message["content"] = self.text(pieces)
        return [message]


def _difference(wanted: set[str], lacking: list[str], extra: list[str]) -> str:
    """Say what is expected and what is not as it should be."""
    parts = [f"values for {listed(sorted(wanted))}" if wanted else "no values, as the prompt has no variables"]
    if lacking:
        parts.append(f"missing: {listed(lacking, near=extra)}")
    if extra:
        parts.append(f"unknown: {listed(extra)}")
    return "; ".join(parts)


def _report_once(source: str, what: str) -> None:
    key = (source, what)
    if key not in _reported and len(_reported) < _MOST_REPORTS:
        _reported.add(key)
        report("prompt variables (from %s): expected %s; see `missing` and `unknown`", printable(source), what)


def _check_variable(name: str, variable: Variable, *, is_placeholder: bool) -> None:
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        expected = f"a letter, then letters, digits and underscores, {_LONGEST_NAME} in all at most"
        raise ConfigError("variable", name, _REQUEST, expected)
    if is_placeholder and variable.type != "array":
        raise ConfigError(name, variable.type, _REQUEST, "type array, as it is a placeholder for messages")
    if variable.enum and variable.type != "string":
        raise ConfigError(name, variable.type, _REQUEST, "type string, as it has an enum, which lists texts")
    if len(set(variable.enum)) < len(variable.enum):
        raise ConfigError(name, listed(variable.enum), _REQUEST, "an enum that has each text once")


def _placeholder(message: Any) -> str | None:
    """Return the name of the placeholder that a message is, or None where it is a message."""
    if not isinstance(message, Mapping):
        return None
    members = cast("Mapping[str, Any]", message)
    name = members.get("name") if members.get("type") == "placeholder" else None
    return name if isinstance(name, str) else None


def _pieces_of(message: Mapping[str, Any]) -> list[str] | None:
    """Return the content of a message, split at its variables; None for a placeholder and what is no text."""
    content = None if _placeholder(message) is not None else message.get("content")
    return _VARIABLE.split(content) if isinstance(content, str) else None


def _copies(messages: Sequence[Mapping[str, Any]], source: str) -> list[dict[str, Any]]:
    try:
        copies = _copied(messages)
    except RecursionError as error:
        raise ConfigError("messages", len(messages), source, "messages that are nested less deeply") from error
    if not all(isinstance(message, dict) for message in copies):
        raise ConfigError("messages", len(messages), source, "messages and placeholders, each a dict")
    return cast("list[dict[str, Any]]", copies)


def _copied(value: Any) -> Any:
    """Copy JSON that others hold, too; its containers may be ones that cannot be changed."""
    if isinstance(value, Mapping):
        return {name: _copied(member) for name, member in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_copied(item) for item in cast("Iterable[Any]", value)]
    return value
