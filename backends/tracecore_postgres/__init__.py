"""The PostgreSQL backend."""

from __future__ import annotations
