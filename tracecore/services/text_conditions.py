"""Conditions on texts that no store knows: Langfuse's ``string`` and ``stringOptions``, in plain Python.

A text that is not there is empty, as in Langfuse's own store: it meets ``does not contain`` and ``none of``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from msgspec import Struct

__all__ = ["TEXT_OPERATORS", "OptionOperator", "TextCondition", "TextOperator"]

TextOperator: TypeAlias = Literal["=", "contains", "does not contain", "starts with", "ends with"]
OptionOperator: TypeAlias = Literal["any of", "none of"]
TEXT_OPERATORS: Final[dict[TextOperator, Callable[[str, str], bool]]] = {
    "=": lambda text, value: text == value,
    "contains": lambda text, value: value in text,
    "does not contain": lambda text, value: value not in text,
    "starts with": lambda text, value: text.startswith(value),
    "ends with": lambda text, value: text.endswith(value),
}
"""What each operator that compares with one text means."""


class TextCondition(Struct, frozen=True):
    """Compare one column with a text, or with several."""

    column: str
    operator: TextOperator | OptionOperator
    values: tuple[str, ...]
    """One, for an operator that compares with one."""

    def meets(self, text: str | None) -> bool:
        """Return whether the text of the column is as it should be."""
        match self.operator:
            case "any of":
                return (text or "") in self.values
            case "none of":
                return (text or "") not in self.values
            case _:
                return TEXT_OPERATORS[self.operator](text or "", self.values[0])
