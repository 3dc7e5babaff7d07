"""Traces as a folder of JSON lines: one file a trace. ``TRACECORE_BACKEND=folder:traces`` uses it."""

from __future__ import annotations

from tracecore_folder.backend import FolderBackend, open_backend

__all__ = ["FolderBackend", "open_backend"]
