"""The server's rooms, each a list of routes over a backend; needs the extra ``server``.

``native`` is tracecore's own endpoint, which the backend ``https://`` of another process writes to and reads from.
"""

from __future__ import annotations

__all__: list[str] = []
