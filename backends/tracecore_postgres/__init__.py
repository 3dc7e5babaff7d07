"""Keep every record in one schema of a PostgreSQL database: the backend of ``postgresql://host/database``.

One writing connection per process, some for reading, one for people's statements; any number of processes and hosts may
share a schema. See ``migrations/`` for the tables and ``tracecore_sql.views`` for the views that people query.
"""

from __future__ import annotations

from tracecore_postgres.backend import PostgresBackend, open_backend

__all__ = ["PostgresBackend", "open_backend"]
