"""What is said of exceptions: short, whoever made them."""

from __future__ import annotations

import pytest

from tracecore.reporting import named_error, text_of_error


class _Speechless(Exception):
    """An exception that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "text"),
    [(ValueError("said"), "said"), (ValueError(), "ValueError"), (_Speechless(), "_Speechless")],
)
def test_an_exception_is_what_it_says_or_its_type(error: Exception, text: str) -> None:
    """One that says nothing, or raises when it is asked, is called by its type."""
    assert text_of_error(error) == text
    assert named_error(error) == f"{type(error).__name__}: {text}"


def test_an_exception_that_quotes_a_batch_is_cut() -> None:
    """Neither the log nor ``health()`` holds what a driver repeats of megabytes that it was sent."""
    assert text_of_error(ValueError("x" * 1_000)) == "x" * 1_000
    assert text_of_error(ValueError("x" * 5_000_000)) == "x" * 1_000 + "… (5,000,000 characters)"
    assert len(named_error(ValueError("x" * 5_000_000))) < 1_100
