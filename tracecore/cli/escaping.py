r"""Stored text made harmless for a terminal: everything that is not seen as itself is shown as an escape.

What was recorded comes from models and their users. Written to a terminal as it is, an escape sequence may clear the
screen, set its title or write to the clipboard; a bidirectional override shows another text than the one stored; a
zero-width character hides some. All of these, and anything Unicode calls ignorable, are shown as Python would write
them: ``\x1b``, ``\u202e``, ``\U000e0041``.

Invariant: what comes out of :func:`visible` and :func:`visible_lines` holds no character of the Unicode categories C,
Zl and Zp and no ignorable one; JSON means the same before and after :func:`harmless_json`.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

__all__ = ["harmless_json", "is_harmless", "spelt_as_json", "visible", "visible_lines"]

_HIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Default_Ignorable_Code_Point outside those categories (DerivedCoreProperties.txt), and the blank braille pattern.
_IGNORABLE: Final = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff"
_SUSPECT: Final = re.compile("[^\\x20-\\x7e\\xa1-\\xac\\xae-\u02ff\u4e00-\u9fff]")
"""What must be looked at: most text is ASCII, Latin or Han, none of which needs a look-up per character."""
_ALWAYS: Final = re.compile(f"[{_IGNORABLE}]")
_NAMED: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str) -> str:
    """Return ``text`` on one line, with every character that cannot be seen shown as an escape."""
    return _SUSPECT.sub(_escaped, text)


def visible_lines(text: str) -> list[str]:
    """Return the lines of ``text``, each made visible; a tab becomes four blanks."""
    return [visible(line.replace("\t", "    ")) for line in text.replace("\r\n", "\n").split("\n")]


def is_harmless(character: str) -> bool:
    """Return whether a character is seen as itself."""
    return not (_ALWAYS.match(character) or unicodedata.category(character) in _HIDDEN_CATEGORIES)


def harmless_json(document: str) -> str:
    r"""Return the same JSON with hidden characters, which can only stand inside strings, as ``\u`` escapes.

    Blanks and line breaks between values stay.
    """
    return _SUSPECT.sub(_escaped_in_json, document)


def spelt_as_json(error: UnicodeError) -> tuple[str, int]:
    r"""Spell what an encoding lacks as JSON does, ``\u00e9``, so that a document stays one: a handler for codecs."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return _json_escape(error.object[error.start : error.end]), error.end


def _escaped(found: re.Match[str]) -> str:
    character = found.group()
    if is_harmless(character):
        return character
    return _NAMED.get(character) or _python_escape(ord(character))


def _python_escape(code: int) -> str:
    if code <= 0xFF:  # noqa: PLR2004 - the ranges of Python's escapes
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - as above


def _escaped_in_json(found: re.Match[str]) -> str:
    character = found.group()
    if character in "\n\r\t" or is_harmless(character):
        return character
    return _json_escape(character)


def _json_escape(text: str) -> str:
    units = text.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
