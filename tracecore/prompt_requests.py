"""What nobody can publish or change, whatever is there: labels that are none, shares that are none, words too long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tracecore.errors import ConfigError
from tracecore.prompt_contents import REQUEST, check_config, check_labels, check_name, check_tags, check_words
from tracecore.prompts import LATEST, Author, LabelChange, LabelMove, NewPrompt, Share, Split

__all__ = ["check_author", "check_change", "check_publishing"]

_FEWEST_SHARES: Final = 2
_MOST_SHARES: Final = 10
_GREATEST_WEIGHT: Final = 1e6
_LONGEST_CONTENT: Final = 12 << 20
"""Bytes of JSON that a version is, its configuration included: whoever can publish it can read it, at every door."""
_LONGEST_MESSAGE: Final = 500
_LONGEST_AUTHOR: Final = 255


def check_publishing(new: NewPrompt) -> None:
    """Refuse what no version can have, its content apart.

    Raises:
        ConfigError: something cannot be what it is to be, or what is said of it cannot be kept or is too long.
    """
    check_name(new.name)
    size = len(bytes(new.prompt)) + len(bytes(new.config))
    if size > _LONGEST_CONTENT:
        expected = f"at most {_LONGEST_CONTENT} bytes of prompt and configuration, not {size}"
        raise ConfigError("prompt", new.name, REQUEST, expected)
    check_labels(new.labels)
    check_tags(new.tags or ())
    check_config(new.config)
    check_words("variables", new.variables)
    _check_said("commitMessage", new.commit_message, _LONGEST_MESSAGE)
    check_author(new.author)


def check_change(change: LabelChange, author: Author) -> None:
    """Refuse a change that no name can make.

    Raises:
        ConfigError: a label cannot be one or is ``latest``, the shares are none, or what is said of it cannot be kept.
    """
    _check_said("reason", change.reason, _LONGEST_MESSAGE)
    check_author(author)
    labels = change.labels if isinstance(change, LabelMove) else (change.label,)
    check_labels(labels)
    if LATEST in labels:
        raise ConfigError("label", LATEST, REQUEST, "other labels: this one is always on the newest version")
    if isinstance(change, Split) and change.shares:
        _check_shares(change.shares)


def check_author(author: Author) -> None:
    """Refuse a name of an author that moves cannot hold.

    Raises:
        ConfigError: it is too long, or no text that can be kept.
    """
    _check_said("author", author.name, _LONGEST_AUTHOR)


def _check_said(key: str, text: str | None, longest: int) -> None:
    if len(text or "") > longest:
        raise ConfigError(key, text, REQUEST, f"at most {longest} characters")
    check_words(key, text)


def _check_shares(shares: Sequence[Share]) -> None:
    numbers = [share.version for share in shares]
    if not _FEWEST_SHARES <= len(numbers) <= _MOST_SHARES or len(set(numbers)) < len(numbers):
        raise ConfigError("shares", numbers, REQUEST, f"{_FEWEST_SHARES} to {_MOST_SHARES} different versions")
    for share in shares:
        if not 0 < share.weight <= _GREATEST_WEIGHT:  # neither is anything of what is no number
            expected = f"more than 0, up to {_GREATEST_WEIGHT:.0f}"
            raise ConfigError(f"weight of version {share.version}", share.weight, REQUEST, expected)
