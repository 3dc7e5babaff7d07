"""The leak check itself: a test that leaves something behind fails, one that cleans up does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

LEAKS = """
    import asyncio, os, threading

    def test_thread():
        threading.Thread(target=threading.Event().wait, name="forgotten", daemon=True).start()

    def test_descriptor():
        os.open(os.getcwd(), os.O_RDONLY)

    async def test_task():
        global kept
        kept = asyncio.create_task(asyncio.Event().wait(), name="never awaited")
"""
CLEAN = """
    import asyncio, os, threading

    async def test_cleans_up():
        await asyncio.to_thread(int)
        threading.Thread(target=int).start()
        task = asyncio.create_task(asyncio.sleep(0))
        os.close(os.open(os.getcwd(), os.O_RDONLY))
"""


def outcome_of(test: str, tmp_path: Path, project_root: Path) -> str:
    """Run one test file under our conftest in a process of its own and return what pytest said."""
    conftest = (project_root / "tests" / "conftest.py").read_text()
    assert "GRACE_SECONDS = 2.0" in conftest
    (tmp_path / "conftest.py").write_text(conftest.replace("GRACE_SECONDS = 2.0", "GRACE_SECONDS = 0.2"))
    (tmp_path / "test_one.py").write_text(dedent(test))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        str(project_root / "pyproject.toml"),
    ]
    command += ["--rootdir", str(tmp_path), str(tmp_path / "test_one.py")]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=50)
    return run.stdout + run.stderr


def test_a_leak_fails_its_test(tmp_path: Path, project_root: Path) -> None:
    """A thread, a descriptor or a task that survives its test is an error that names it."""
    said = outcome_of(LEAKS, tmp_path, project_root)
    assert "3 passed, 3 errors" in said
    assert "thread 'forgotten'" in said
    assert f": {tmp_path}" in said
    assert "never awaited" in said


def test_what_ends_in_time_is_no_leak(tmp_path: Path, project_root: Path) -> None:
    """Threads and tasks that end by themselves, and descriptors that were closed, are no leak."""
    assert "1 passed" in outcome_of(CLEAN, tmp_path, project_root)
