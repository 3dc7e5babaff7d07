"""A WSGI service: ``gunicorn --workers 2 examples.stopping.wsgi_app:app``, with ``--preload`` or without.

There is nothing to do: gunicorn's workers end in order when they are told to stop and when they are recycled
(``--max-requests``), and each delivers what it recorded. With ``--preload`` the application is read before the workers
are forked: each begins with an empty buffer of its own, and what was recorded while reading is delivered by the parent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

from tracecore import observe


@observe
def handle(job: int) -> int:
    """Do one job."""
    return job * job


def app(environment: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Do as many jobs as the query says."""
    jobs = int(parse_qs(environment["QUERY_STRING"]).get("jobs", ["10"])[0])
    answer = json.dumps([handle(number) for number in range(jobs)]).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
    return [answer]
