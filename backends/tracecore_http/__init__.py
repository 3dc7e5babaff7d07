"""Keep records at the other end of HTTP: on a tracecore server, with an OTLP collector, or on a Langfuse server.

The URL says which: ``https://``, ``https+otlp://`` or ``https+langfuse://`` (:mod:`tracecore_http.address`). What each
answer means is one table (:mod:`tracecore_http.meaning`), and httpx2 is imported when a backend is opened.
"""

from __future__ import annotations

from tracecore_http.backend import HttpBackend, open_backend

__all__ = ["HttpBackend", "open_backend"]
