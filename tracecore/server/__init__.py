"""The server; needs the extra of that name.

``app`` puts it together over one backend, ``serving`` runs it by itself. ``operations`` is how one is declared; those
of each noun are in ``api``, ``access`` is the gate before them. ``otlp`` makes records of what exporters send.
``native`` is tracecore's own endpoint, which the backend ``https://`` of another process writes to and reads from.
"""

from __future__ import annotations

__all__: list[str] = []
