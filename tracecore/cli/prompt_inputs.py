"""What people hand over for a prompt: its text in a file or on stdin, JSON beside it, shares on the command line."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from msgspec import Raw

from tracecore.errors import ConfigError
from tracecore.prompts import PromptStore, PromptType, Share, Variable
from tracecore.services.prompt_bodies import read_body

__all__ = ["content_in", "json_in", "shares_in", "text_in", "variables_in", "version_in"]

_STDIN: Final = "-"
_CHAT: Final = 'JSON messages, [{"role": "user", "content": …}], or sections that begin with lines such as \'+++ user\''
_SHARE: Final = re.compile(r"(\d{1,9})=(\d+(?:\.\d+)?)", re.ASCII)


def text_in(file: str | None) -> str:
    """Return what a file holds, or stdin.

    Raises:
        ConfigError: it cannot be read, or is not UTF-8.
        click.UsageError: there is neither a file nor anything on stdin.
    """
    if file is None and sys.stdin.isatty():
        raise click.UsageError("name a file, or - for what you type until Ctrl+D")
    text = _read(file or _STDIN, "the command line")
    if not text and file in {None, _STDIN}:  # whatever was to write into the pipe has failed
        raise click.UsageError("nothing came from stdin: name a file, or pipe the text into this command")
    return text


def content_in(text: str, kind: PromptType, source: str) -> Raw:
    """Return the prompt that a text is: for a chat JSON, or the sections of a file of prompts.

    Raises:
        ConfigError: it is no chat.
    """
    start = text.lstrip()
    if kind == "chat" and not start.startswith(("[", "+++")):
        raise ConfigError("prompt", start[:100].rstrip(), source, _CHAT)
    if kind == "text" or not start.startswith("["):
        return read_body(kind, text, source)
    try:
        return msgspec.json.decode(text, type=Raw)
    except msgspec.MsgspecError as error:
        raise ConfigError("prompt", text[:100], source, f"JSON messages ({error})") from error


def json_in(file: str) -> Raw:
    """Return the JSON that a file holds.

    Raises:
        ConfigError: it holds none, or cannot be read.
    """
    text = _read(file, "--config")
    try:
        msgspec.json.decode(text)
        return Raw(text.strip().encode())
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ConfigError("config", text[:100], file, f"JSON ({error})") from error


def variables_in(file: str) -> dict[str, Variable]:
    """Return the variables that a file declares: an object of JSON or a document of TOML, with a member for each.

    Raises:
        ConfigError: it declares none, or cannot be read.
    """
    text = _read(file, "--variables")
    try:
        found: Any = tomllib.loads(text) if file.endswith(".toml") else msgspec.json.decode(text)
        return msgspec.convert(found, dict[str, Variable])
    except (tomllib.TOMLDecodeError, msgspec.MsgspecError, RecursionError) as error:
        expected = f'variables, such as {{"customer": {{"type": "string"}}}} ({error})'
        raise ConfigError("variables", text[:100], file, expected) from error


def shares_in(words: Sequence[str]) -> tuple[Share, ...]:
    """Return the shares that words such as ``3=90`` are.

    Raises:
        click.UsageError: one is none.
    """
    return tuple(map(_share, words))


async def version_in(store: PromptStore, project: str, name: str, which: str) -> int:
    """Return the version that was typed, by its number or by a label that is on it.

    Raises:
        NotFound: it has no such label; it says which there are.
    """
    if which.isascii() and which.isdigit():
        return int(which)
    return (await store.get(project, name, label=which, resolve=False)).version


def _share(word: str) -> Share:
    found = _SHARE.fullmatch(word)
    if found is None:
        raise click.UsageError(f"{word!r} is no share: write VERSION=WEIGHT, such as 3=90")
    return Share(int(found[1]), float(found[2]))


def _read(file: str, source: str) -> str:
    try:
        data = sys.stdin.buffer.read() if file == _STDIN else Path(file).read_bytes()
        return data.decode()
    except UnicodeDecodeError as error:
        raise ConfigError("file", file, source, f"text in UTF-8 ({error.reason})") from error
    except OSError as error:
        raise ConfigError("file", file, source, f"a file that can be read ({error.strerror})") from error
