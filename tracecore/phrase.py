"""What searching means, the same in every backend: a phrase of whole words, in any script.

A **word** is a run of letters and digits. In scripts that are written without spaces (Chinese, Japanese, Korean, Thai,
Lao, Khmer, Burmese, Tibetan, Yi) every character is a word, so that any part of a sentence is found. Case, accents and
width are ignored: ``Crème`` equals ``creme``. Everything else (spaces, punctuation, the
syntax of JSON) only separates words. A text **contains** a phrase when the phrase's words stand in it one after the
other. A phrase without a word is contained in nothing.

Invariant: both sides go through the same functions, so that whatever is stored is found by its own text.
"""

from __future__ import annotations

import re
from typing import Final
from unicodedata import normalize

__all__ = ["Phrase", "contains", "is_spaceless", "payload_text", "words"]

_SPACELESS: Final = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u0f00-\u0fff"  # Tibetan
    "\u1000-\u109f"  # Burmese
    "\u1100-\u11ff"  # Hangul jamo
    "\u1780-\u17ff"  # Khmer
    "\u2e80-\u2fdf"  # CJK radicals
    "\u3005-\u3007\u3031-\u3035"  # CJK iteration marks and numerals
    "\u3041-\u312f"  # kana, bopomofo
    "\u31a0-\u31bf\u31f0-\u31ff"  # their extensions
    "\u3400-\u4dbf\u4e00-\u9fff"  # Han
    "\ua000-\ua4cf"  # Yi
    "\uac00-\ud7a3"  # Hangul: spaces are there, but a search for a stem must find it with its particles
    "\uf900-\ufaff"  # compatibility Han
    "\U00020000-\U0003ffff"  # Han beyond the first plane
)
# Vowel signs of the scripts of India are marks (not \w) and belong to their words; the two dandas are punctuation.
_INDIC: Final = "\u0900-\u0963\u0966-\u0dff"
_RUN: Final = rf"(?:[^\W_{_SPACELESS}]|[{_INDIC}])"
_WORD: Final = re.compile(rf"[{_SPACELESS}]|{_RUN}+")
_BETWEEN: Final = rf"(?:(?!{_RUN}|[{_SPACELESS}]).)*"
_ASCII_WORD: Final = re.compile("[a-z0-9]+")
_SPACELESS_CHARACTER: Final = re.compile(f"[{_SPACELESS}]")
_ACCENTS: Final = re.compile(
    "[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f\u0591-\u05c7\u064b-\u065f\u0670]"
)
_SEPARATING_ESCAPE: Final = ("\\\\", '\\"', "\\/", "\\n", "\\t", "\\r", "\\b", "\\f")
_UNICODE_ESCAPE: Final = re.compile(
    r"\\u(?:([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|([0-9a-fA-F]{4}))"
)


def payload_text(payload: bytes) -> str:
    r"""Return encoded JSON as text to search, ``\uXXXX`` decoded and every other escape a separator."""
    text = payload.decode("utf-8", "replace")
    if "\\" not in text:
        return text
    # An escaped backslash goes first: what follows it is then no escape any more.
    for escape in _SEPARATING_ESCAPE:
        text = text.replace(escape, " ")
    return _UNICODE_ESCAPE.sub(_decoded, text)


def words(text: str) -> list[str]:
    """Return the words of a text, folded, in order."""
    return (_ASCII_WORD if text.isascii() else _WORD).findall(_folded(text))


def is_spaceless(word: str) -> bool:
    """Return whether a word is one character of a script that is written without spaces."""
    return len(word) == 1 and not word.isascii() and _SPACELESS_CHARACTER.match(word) is not None


def contains(text: str, phrase: str) -> bool:
    """Return whether the words of ``phrase`` stand in ``text`` one after the other: the definition, in one line."""
    wanted, found = words(phrase), words(text)
    return any(found[i : i + len(wanted)] == wanted for i in range(len(found) - len(wanted) + 1)) and bool(wanted)


class Phrase:
    """Look for one phrase in many texts: :func:`contains` made fast, tested to be equal to it."""

    def __init__(self, text: str) -> None:
        self.words = words(text)
        alone = [word if is_spaceless(word) else rf"(?<!{_RUN}){re.escape(word)}(?!{_RUN})" for word in self.words]
        self._pattern = re.compile(_BETWEEN.join(alone), re.DOTALL)

    def stands_in(self, text: str) -> bool:
        """Return whether the phrase stands in a text."""
        if not self.words:
            return False
        folded = _folded(text)
        # Plain searches reject nearly every text; the pattern has to look only where the first word is.
        if not all(word in folded for word in self.words):
            return False
        start = folded.find(self.words[0])
        while start >= 0:
            if self._pattern.match(folded, start):
                return True
            start = folded.find(self.words[0], start + 1)
        return False

    def stands_in_payload(self, payload: bytes) -> bool:
        """Return whether the phrase stands in encoded JSON."""
        return self.stands_in(payload_text(payload))


def _folded(text: str) -> str:
    """Return a text without case, accents and width."""
    if text.isascii():
        return text.lower()
    decomposed = normalize("NFKD", normalize("NFKD", text).casefold())
    return normalize("NFC", _ACCENTS.sub("", decomposed))


def _decoded(escape: re.Match[str]) -> str:
    """Return the character of one escape; half a surrogate pair, which no text can hold, separates."""
    high, low, single = escape.groups()
    if single is None:
        return chr(0x10000 + ((int(high, 16) & 0x3FF) << 10) + (int(low, 16) & 0x3FF))
    code = int(single, 16)
    return " " if 0xD800 <= code <= 0xDFFF else chr(code)  # noqa: PLR2004 - the surrogates of Unicode
