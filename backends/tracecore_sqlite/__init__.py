"""Keep every record in one SQLite file: the backend of ``sqlite:///traces.db``.

One writing connection per process, on its own daemon thread; reads on others, which never write. See
``migrations/`` for the tables and ``tracecore_sql.views`` for the views that people query.
"""

from __future__ import annotations

from tracecore_sqlite.backend import SqliteBackend, open_backend

__all__ = ["SqliteBackend", "open_backend"]
