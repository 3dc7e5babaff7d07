"""Regular expressions that people give: matched in time that grows with the text and nothing else, by RE2.

A pattern of Python's own engine can take longer than the universe has, for a text of forty characters; whoever may
define a model could stop a server with one. RE2 has no such patterns (what would need backtracking, it refuses), its
memory is bounded, and many patterns are matched in one pass over the text. Its syntax is what Langfuse's own patterns
keep to: ``(?i)^(openai/)?(gpt-4o)$``. Needs the extra ``server``.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Final, Protocol, cast

from tracecore.errors import ConfigError

__all__ = ["LONGEST_PATTERN", "LONGEST_TEXT", "Pattern", "PatternSet", "compiled", "found_in"]

_re2: Final[Any] = importlib.import_module("re2")
"""RE2's module, which has no types."""
LONGEST_PATTERN: Final = 2000
"""Characters of a pattern."""
LONGEST_TEXT: Final = 1000
"""Characters of a text that is matched; a longer one matches nothing."""
_PATTERN_BYTES: Final = 1 << 18
"""Memory of one compiled pattern; one that needs more, such as ``(a{1000}){1000}``, is refused."""
_SET_BYTES: Final = 64 << 20
"""Memory of the set of the patterns that are shipped, and of what it remembers of texts."""


class Pattern(Protocol):
    """A compiled pattern."""

    def search(self, text: str) -> object | None:
        """Return something where the pattern occurs in the text, else None."""
        ...


def compiled(pattern: str, *, key: str, ignore_case: bool = False) -> Pattern:
    """Return a pattern compiled; ``key`` is what the error calls it.

    Raises:
        ConfigError: it is none that RE2 takes, or too long.
    """
    if not 0 < len(pattern) <= LONGEST_PATTERN:
        raise ConfigError(key, pattern[:60], "the request", f"a pattern of 1 to {LONGEST_PATTERN} characters")
    try:
        return cast("Pattern", _re2.compile(pattern, _options(_PATTERN_BYTES, ignore_case=ignore_case)))
    except (_re2.error, UnicodeEncodeError) as error:
        expected = f"a regular expression in the syntax of RE2, without look-around and back-references ({error})"
        raise ConfigError(key, pattern, "the request", expected) from None


def found_in(pattern: Pattern, text: str) -> bool:
    """Return whether a pattern occurs in a text; in one with half a character it does not."""
    try:
        return pattern.search(text) is not None
    except UnicodeEncodeError:
        return False


class PatternSet:
    """Match a text against many patterns at once: those that are shipped, which are known to fit."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._set = _re2.Set.SearchSet(_options(_SET_BYTES))
        for pattern in patterns:
            self._set.Add(pattern)
        self._set.Compile()

    def matching(self, text: str) -> list[int]:
        """Return the numbers of the patterns that occur in a text, in their order."""
        if len(text) > LONGEST_TEXT:
            return []
        try:
            return sorted(self._set.Match(text) or ())
        except UnicodeEncodeError:  # a lone surrogate
            return []


def _options(memory: int, *, ignore_case: bool = False) -> Any:
    options = _re2.Options()
    options.max_mem = memory
    options.log_errors = False
    options.case_sensitive = not ignore_case
    return options
