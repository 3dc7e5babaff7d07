"""``tracecore serve`` as a process of its own, for tests that need one."""

from __future__ import annotations

import base64
import json
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final
from urllib.request import Request, urlopen

from tests.faults.processes import HANG_SECONDS, Program, running

__all__ = ["AUTH", "KEY", "Served", "asked", "serving"]

KEY: Final = ("pk-tc-of-a-test", "sk-tc-of-a-test")
AUTH: Final = "Basic " + base64.b64encode(":".join(KEY).encode()).decode()
NAMED: Final = {
    "TRACECORE_INIT_PROJECT": "p", "TRACECORE_INIT_PUBLIC_KEY": KEY[0], "TRACECORE_INIT_SECRET_KEY": KEY[1],
}  # fmt: skip
"""The variables of an unattended start."""


class Served:
    """A server that has said where it is."""

    def __init__(self, program: Program) -> None:
        self.program = program
        program.wait_for_word("serves")
        found = re.search(r"http://\S+:(\d+)", program.out)
        assert found, program.out
        self.port = int(found[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def connection(self) -> HTTPConnection:
        """Return a connection of a patient client."""
        return HTTPConnection("127.0.0.1", self.port, timeout=HANG_SECONDS)

    def socket(self) -> socket.socket:
        """Return a bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=HANG_SECONDS)


@contextmanager
def serving(
    folder: Path, *arguments: str, environment: Mapping[str, str] = NAMED, backend: str | None = None
) -> Iterator[Served]:
    """Serve, by default an SQLite file in a folder, for the length of a block."""
    url = backend or f"sqlite:///{folder}/traces.db"
    given = ("-m", "tracecore", "serve", "--backend", url, "--port", "0", *arguments)
    with running(*given, folder=folder, environment=environment) as program:
        yield Served(program)


def asked(served: Served, path: str, body: Any = None, *, method: str | None = None) -> Any:
    """Return the JSON that a server answers to somebody who has the key."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"authorization": AUTH, "content-type": "application/json"}
    request = Request(served.url + path, data, headers, method=method)  # noqa: S310 - of this machine
    with closing(urlopen(request, timeout=HANG_SECONDS)) as answer:  # noqa: S310 - as above
        return json.loads(answer.read() or b"null")
