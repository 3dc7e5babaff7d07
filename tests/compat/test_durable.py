"""What a client was told is stored survives whatever happens to the server."""

from __future__ import annotations

from pathlib import Path

from tests.compat.programs import tell_python
from tests.compat.serving import serving


def test_what_was_flushed_survives_kill(tmp_path: Path) -> None:
    """A server that is killed after a client has flushed, and started again on its file, has every span and prompt."""
    url = f"sqlite:///{tmp_path}/served.db"
    with serving(tmp_path, url) as server:
        told = tell_python("langfuse_tracing", server, cases=("generation", "burst"))
        server.kill()
    with serving(tmp_path, url) as again:
        names = {one["name"] for one in again.observations(told["burst"]["trace_id"])}
        assert names == set(told["burst"]["names"])
        assert len(names) == 701
        assert again.by_name(told["generation"]["trace_id"])["complete"]["promptName"] == "compat/linked"
        assert again.get("/v2/prompts/compat%2Flinked")["version"] == 1
