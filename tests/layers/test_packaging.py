"""What is shipped: one wheel with every package, its SQL, its types and its entry points, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

import tracecore

PACKAGES = (
    "tracecore", "backends/tracecore_sql", "backends/tracecore_sqlite", "backends/tracecore_postgres",
    "backends/tracecore_http", "backends/tracecore_jsonl",
)  # fmt: skip


@pytest.fixture
def wheel(project_root: Path, tmp_path: Path) -> Path:
    """Build the wheel and return its path."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=project_root, capture_output=True, check=True, timeout=50)
    (built,) = tmp_path.glob("*.whl")
    return built


def test_wheel_holds_every_file_of_every_package(project_root: Path, wheel: Path) -> None:
    """Python, SQL and py.typed of every package are in the wheel, at top level; tests and examples are not."""
    expected = {
        str(path.relative_to((project_root / package).parent))
        for package in PACKAGES
        for path in (project_root / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc" and path.name != ".gitignore"
    }
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert shipped == expected
    assert any(name.endswith(".sql") for name in shipped)
    assert {f"{Path(package).name}/py.typed" for package in PACKAGES} <= shipped


def test_wheel_declares_the_command_and_the_backends(wheel: Path) -> None:
    """The console script and the URL schemes are entry points of the wheel, and each names something that exists."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        declared = ConfigParser()
        declared.read_string(archive.read(name).decode())
        members = archive.namelist()
    assert dict(declared["console_scripts"]) == {"tracecore": "tracecore.cli.main:main"}
    assert {"sqlite", "postgresql", "https", "jsonl", "stdout", "memory"} <= set(declared["tracecore.backends"])
    for target in (*declared["console_scripts"].values(), *declared["tracecore.backends"].values()):
        module = target.partition(":")[0].replace(".", "/")
        assert {f"{module}.py", f"{module}/__init__.py"} & set(members)


def test_wheel_needs_three_packages(project_root: Path, wheel: Path) -> None:
    """Installed without extras, tracecore brings anyio, msgspec and aiosqlite; the licence is inside."""
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(archive.read(name).decode() for name in archive.namelist() if name.endswith("/METADATA"))
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())
    needed = [line for line in metadata.splitlines() if line.startswith("Requires-Dist:") and "extra ==" not in line]
    version = tomllib.loads((project_root / "pyproject.toml").read_text())["project"]["version"]
    assert [line.split()[1].partition("<")[0].partition(">")[0] for line in needed] == ["aiosqlite", "anyio", "msgspec"]
    assert f"Version: {version}" in metadata.splitlines()
    assert tracecore.__version__ == version
