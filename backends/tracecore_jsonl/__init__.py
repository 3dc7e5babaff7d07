"""The JSON Lines backend."""

from __future__ import annotations
