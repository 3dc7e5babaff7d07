"""A rival that is not installed."""

from __future__ import annotations

from benchmarks.rivals.adapter import Rival

RIVAL = Rival(title="Missing", requirements=("missing-rival==1.0",))
