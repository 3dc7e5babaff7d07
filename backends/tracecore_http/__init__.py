"""The HTTP backend."""

from __future__ import annotations
