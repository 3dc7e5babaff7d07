"""schemathesis reads the OpenAPI document and asks every operation for what it says, and for what it does not."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.compat.programs import INSTALL, PATIENCE_S, PYTHON, missing
from tests.compat.serving import Server

CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
    "unsupported_method", "allow_header_conformance", "ignored_auth",
)  # fmt: skip
"""All but two: what is unknown is ignored, as Langfuse does, and what a schema allows may be refused all the same."""


def test_every_operation_keeps_its_description(server: Server, tmp_path: Path) -> None:
    """No request of its makes a mistake of the server; each answer has a status and a shape that are declared."""
    schemathesis = PYTHON.with_name("schemathesis")
    if not schemathesis.exists():
        missing(f"schemathesis is not there ({schemathesis}): {INSTALL}")
    ran = subprocess.run(
        [
            str(schemathesis), "run", f"{server.url}/openapi.json",
            "--auth", f"{server.public_key}:{server.secret_key}",
            "--phases", "coverage,fuzzing,stateful", "--max-examples", "6", "--seed", "1", "--checks", ",".join(CHECKS),
            "--warnings", "off", "--no-color",
        ],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=PATIENCE_S,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-1000:]
    assert re.search(r"Tested: \d{2}", ran.stdout), ran.stdout
