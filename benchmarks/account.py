"""The account of what was made: everything is in the store or counted as lost, and nothing is in both."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

__all__ = ["EXACT", "Account"]

EXACT: Final = "one ends the suite with an error"
"""What a row says of spans that are missing."""


class Account(Struct, kw_only=True):
    """Say what became of spans: made by the program, counted by the recorder, and found in the store."""

    made: int
    emitted: int
    delivered: int
    lost: dict[str, int]
    """By reason."""
    stored: int

    @property
    def missing(self) -> int:
        """Return how many spans are neither in the store nor counted as lost, or in one of them too often."""
        return (
            abs(self.made - self.emitted)
            + abs(self.emitted - self.delivered - sum(self.lost.values()))
            + abs(self.delivered - self.stored)
        )

    def check(self) -> None:
        """Raise unless the account is exact.

        Raises:
            RuntimeError: something is missing; the message holds the whole account.
        """
        if self.missing:
            raise RuntimeError(
                f"{self.missing} spans are unaccounted for: {self.made} made, {self.emitted} emitted, {self.delivered}"
                f" delivered, {self.stored} stored, lost: {self.lost}"
            )
