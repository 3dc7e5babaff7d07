"""Text as Python source: as a string literal, in a docstring, or made an identifier.

Whatever the text is, it stays text: nothing of it ends the literal or the docstring that it stands in, and what cannot
be seen is written as an escape.
"""

from __future__ import annotations

import keyword
import unicodedata
from collections.abc import Collection

__all__ = ["docstring_text", "identifier", "string_literal"]


def string_literal(text: str) -> str:
    """Return a literal of a text on one line: in double quotes unless it has more of them than of single ones."""
    quote = "'" if text.count('"') > text.count("'") else '"'
    return f"{quote}{_escaped(text, quote)}{quote}"


def docstring_text(text: str) -> str:
    """Return a text for the inside of a docstring in double quotes, not its end: on one line, with single blanks."""
    return _escaped(" ".join(text.split())).replace('"""', '\\"\\"\\"')


def identifier(text: str, otherwise: str, taken: Collection[str] = ()) -> str:
    """Return a text as an identifier: other characters are underscores, none of which begins it.

    ``otherwise`` is put before what cannot begin one, or stands where nothing is left. A keyword, or a name that is
    ``taken``, gets an underscore behind it. Letters of every script stay, in the form that Python gives them (NFKC).
    """
    normal = unicodedata.normalize("NFKC", text)
    name = "".join(one if f"a{one}".isidentifier() else "_" for one in normal).lstrip("_")
    name = unicodedata.normalize("NFKC", name if name.isidentifier() else f"{otherwise}_{name}".rstrip("_"))
    return f"{name}_" if keyword.iskeyword(name) or name in taken else name


def _escaped(text: str, quote: str = "") -> str:
    """Return a text with escapes for backslashes, a quote, and all that cannot be seen."""
    return "".join(
        f"\\{one}" if one in {"\\", quote} else one if one.isprintable() else repr(one)[1:-1] for one in text
    )
