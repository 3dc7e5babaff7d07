"""Assertions inside the conformance suite are shown with their values, as in a test file."""

from __future__ import annotations

import pytest

for part in (
    "contract",
    "sink",
    "trace",
    "observation",
    "session",
    "score",
    "search",
    "sql",
    "ledger",
    "catalog",
    "erasure",
    "prompt",
    "prompt_label",
    "backend",
):
    pytest.register_assert_rewrite(
        f"tracecore.testing.{part}_suite" if part != "contract" else "tracecore.testing.contract"
    )
