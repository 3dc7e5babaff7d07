"""What a client was told is stored survives whatever happens to the server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

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


def test_prompts_are_served_without_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is killed takes no prompt with it that a client has read; for others there is the fallback."""
    monkeypatch.setenv("COMPAT_FOLDER", str(tmp_path))
    url = f"sqlite:///{tmp_path}/served.db"
    with serving(tmp_path, url) as server, ThreadPoolExecutor() as pool:
        telling = pool.submit(tell_python, "langfuse_prompts_offline", server)
        while not (tmp_path / "read").exists() and not telling.done():
            wait([telling], timeout=0.05)
        server.kill()
        (tmp_path / "killed").touch()
        saw = telling.result()["offline"]
    assert saw["before"] == "two y"
    assert saw["stale"] == ["two y"] * 3
    assert saw["fallback"] == [True, "Hello y"]
    assert len(saw["raised"]) == 2
    with serving(tmp_path, url) as again:
        assert again.get("/v2/prompts/kept")["version"] == 2
