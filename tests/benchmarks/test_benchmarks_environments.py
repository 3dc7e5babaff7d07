"""Environments of rivals: made once, made anew when a pin changes, and a failure is a reason. Nothing is downloaded."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.cli import main
from benchmarks.figures import RIVALS_FOLDER, Settings, Table
from benchmarks.rivals import catalogue, environments
from benchmarks.rivals.adapter import Rival
from benchmarks.rivals.environments import Refused

RIVAL = Rival(title="Some", requirements=("some-rival==1.0", "its-exporter==2.0"))
FAKES = Path(__file__).parent / "fake_rivals"


class FakePip:
    """Be what runs commands: note them, make what they would make, and refuse what it does not have."""

    def __init__(self) -> None:
        self.installed: list[str] = []
        self.removed: list[str] = []
        self.environments = 0
        self.brings: dict[str, list[str]] = {}
        """What comes besides, by requirement."""
        self.lacks = ""

    def __call__(self, command: Sequence[str]) -> str:
        """Run a command."""
        if "venv" in command:
            self.environments += 1
            place = Path(command[-1])
            (place / "bin").mkdir(parents=True)
            (place / "bin" / "python").touch()
            (place / "pyvenv.cfg").touch()
            return ""
        if command[1] == "-c":
            return self._programs(command)
        if "uninstall" in command:
            self.removed += command[-1:]
        else:
            self._install(command)
        return ""

    def _install(self, command: Sequence[str]) -> None:
        asked = [word for word in command[command.index("--prefer-binary") + 1 :] if word != "--no-deps"]
        if self.lacks in asked:
            self.installed.append("half of it")
            raise Refused(f"No matching distribution found for {self.lacks}")
        for requirement in asked:
            self.installed += [requirement, *([] if "--no-deps" in command else self.brings.get(requirement, []))]

    def _programs(self, command: Sequence[str]) -> str:
        if command[2] == environments._NEEDS:
            return json.dumps([other for other in self.brings[command[3]] if other not in command[4:]])
        names = [requirement.partition("==")[0] for requirement in self.installed]
        return json.dumps({name: {"version": "1.0", "bytes": 1_000} for name in names})


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakePip:
    """Return what stands in for pip, with all environments in a new folder and the fakes as rivals."""
    fake = FakePip()
    monkeypatch.setattr(environments, "run", fake)
    monkeypatch.setattr(catalogue, "FOLDER", FAKES)
    monkeypatch.setenv(RIVALS_FOLDER, str(tmp_path / "environments"))
    return fake


def test_an_environment_is_made_once(pip: FakePip, tmp_path: Path) -> None:
    """It holds what is required and what that brings, and the second time nothing is done."""
    pip.brings["some-rival==1.0"] = ["its-parser==3.0"]
    said: list[str] = []
    made = environments.install("some", RIVAL, said.append)
    assert made.python == tmp_path / "environments" / "some" / "bin" / "python"
    assert made.distributions.keys() == {"some-rival", "its-exporter", "its-parser"}
    assert said == ["making an environment", "installing some-rival==1.0"]
    assert pip.removed == ["setuptools"]
    assert environments.install("some", RIVAL) == environments.installed("some", RIVAL) == made
    assert pip.environments == 1


def test_a_changed_pin_makes_it_anew(pip: FakePip) -> None:
    """What was made of other requirements is not used, and goes when the new one is made."""
    environments.install("some", RIVAL)
    newer = Rival(title="Some", requirements=("some-rival==1.1",))
    assert environments.installed("some", newer).python is None
    pip.installed.clear()
    assert environments.install("some", newer).distributions.keys() == {"some-rival"}
    assert pip.environments == 2


def test_an_environment_that_was_not_finished_is_made_anew(pip: FakePip, tmp_path: Path) -> None:
    """Without its marker, or with one that cannot be read, it does not count."""
    environments.install("some", RIVAL)
    (tmp_path / "environments" / "some" / "tracecore-benchmark.json").write_text("{")
    assert "not installed" in environments.installed("some", RIVAL).reason
    assert environments.install("some", RIVAL).python is not None


def test_an_environment_whose_interpreter_is_gone_is_made_anew(pip: FakePip) -> None:
    """One made with an interpreter that was removed since can run nothing."""
    made = environments.install("some", RIVAL)
    assert made.python is not None
    made.python.unlink()
    assert "not installed" in environments.installed("some", RIVAL).reason
    pip.installed.clear()
    assert environments.install("some", RIVAL) == made
    assert pip.environments == 2


@pytest.mark.parametrize("action", ["install", "remove"])
def test_what_is_no_environment_is_left_alone(
    pip: FakePip, action: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody's own folder that has the name of a rival outlives every command."""
    theirs = tmp_path / "missing" / "thesis.txt"
    theirs.parent.mkdir()
    theirs.write_text("all of it")
    assert main(["rivals", action, "missing", "--folder", str(tmp_path)]) != 0
    assert "is no environment and is left alone" in "".join(capsys.readouterr())
    assert theirs.read_text() == "all of it"
    assert pip.environments == 0


@pytest.mark.parametrize("action", ["install", "remove"])
def test_a_folder_that_is_a_file_is_an_error_in_one_sentence(
    pip: FakePip, action: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the system says of it is what the user reads."""
    (tmp_path / "file").touch()
    assert main(["rivals", action, "missing", "--folder", str(tmp_path / "file")]) == 2
    assert "Not a directory" in capsys.readouterr().err
    assert pip.environments == 0


def test_a_failure_is_kept_as_a_reason_and_tried_again(pip: FakePip, tmp_path: Path) -> None:
    """What pip said stays beside the environments until an attempt succeeds; nothing half-made stays."""
    pip.lacks = "its-exporter==2.0"
    failed = environments.install("some", RIVAL)
    assert (failed.python, failed.reason) == (None, "No matching distribution found for its-exporter==2.0")
    assert environments.installed("some", RIVAL) == failed
    assert [path.name for path in (tmp_path / "environments").iterdir()] == ["some.failed"]
    pip.lacks = ""
    assert environments.install("some", RIVAL).reason == ""
    assert [path.name for path in (tmp_path / "environments").iterdir()] == ["some"]


def test_what_a_rival_is_not_to_have_is_left_out(pip: FakePip) -> None:
    """The rival comes alone, and then what it needs, less that; whatever the spelling, it is not there."""
    rival = Rival(title="Some", requirements=("some-rival==1.0",), without=("litellm",))
    pip.brings["some-rival==1.0"] = ["litellm", "its-parser==3.0"]
    assert environments.install("some", rival).distributions.keys() == {"some-rival", "its-parser"}
    environments.remove("some")
    pip.installed.clear()
    pip.brings["its-parser==3.0"] = ["LiteLLM"]
    refused = environments.install("some", rival)
    assert (refused.python, refused.reason) == (
        None, "litellm came all the same, because something else requires it",
    )  # fmt: skip


def test_what_requires_nothing_runs_here(pip: FakePip) -> None:
    """Our own adapters need no environment."""
    assert environments.install("ours", Rival(title="Ours")).python == Path(sys.executable)
    assert pip.environments == 0


def test_what_a_rival_needs_is_read_from_its_metadata() -> None:
    """Needs of extras that were not asked for, and of other systems, are none."""
    pytest.importorskip("pip")
    needed = environments.run([sys.executable, "-c", environments._NEEDS, "anyio==4.9", "Idna"])
    names = [requirement.partition(">")[0].strip() for requirement in json.loads(needed)]
    assert "idna" not in names
    assert "trio" not in names
    with_trio = environments.run([sys.executable, "-c", environments._NEEDS, "anyio[trio]==4.9"])
    assert {"idna", "trio"} <= {requirement.partition(">")[0].strip() for requirement in json.loads(with_trio)}


def test_the_inventory_is_of_what_is_there() -> None:
    """Names, versions and bytes of a real environment."""
    found = json.loads(environments.run([sys.executable, "-c", environments._INVENTORY]))
    assert "pip" not in found
    assert found["msgspec"]["bytes"] > 100_000


def test_a_command_that_fails_says_why_in_a_line() -> None:
    """The last error counts, not the advice after it; where nothing was said the exit code does."""
    complaint = "import sys; sys.exit('ERROR: first\\nERROR: no such thing\\nsome advice')"
    with pytest.raises(Refused, match=r"\Ano such thing\Z"):
        environments.run([sys.executable, "-c", complaint])
    with pytest.raises(Refused, match="exit code 3"):
        environments.run([sys.executable, "-c", "import sys; sys.exit(3)"])


def test_the_commands_install_list_and_remove(pip: FakePip, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Each says what is there afterwards, as text and as JSON; an installation that failed is an exit code."""
    elsewhere = str(tmp_path / "elsewhere")
    assert main(["rivals", "install", "missing", "honest", "--folder", elsewhere]) == 0
    text = capsys.readouterr().out.splitlines()
    assert text[0].split() == ["honest", "runs", "where", "this", "does"]
    assert text[1].split() == ["missing", "1", "distributions,", "0", "MB", "missing-rival==1.0"]
    assert main(["rivals", "list", "--folder", elsewhere, "--json", "missing"]) == 0
    [listed] = json.loads(capsys.readouterr().out)
    assert listed["python"] == str(tmp_path / "elsewhere" / "missing" / "bin" / "python")
    assert listed["distributions"] == {"missing-rival": {"version": "1.0", "bytes": 1_000}}
    assert main(["rivals", "remove", "--folder", elsewhere]) == 0
    assert "not installed" in capsys.readouterr().out
    pip.lacks = "missing-rival==1.0"
    assert main(["rivals", "install", "--folder", elsewhere]) == 1
    assert "No matching distribution found" in capsys.readouterr().out


def test_a_rival_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A name that is not in the catalogue ends at once, for both commands."""
    assert main(["rivals", "install", "nobody"]) == 2
    assert "no rival is called 'nobody'" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["run", "rivals", "--only", "nobody"])
    assert "no rival is called 'nobody'" in capsys.readouterr().err


def test_a_run_installs_what_it_needs_first(
    pip: FakePip, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One command does everything, and goes on without who cannot be installed; other suites install nothing."""
    ran: list[tuple[str, Settings]] = []

    def note(name: str, settings: Settings, _: object) -> Table:
        ran.append((name, settings))
        return Table(suite=name, title=name, method="", rows=[])

    monkeypatch.setattr("benchmarks.cli.run_in_child", note)
    monkeypatch.setattr("benchmarks.cli.text_report", lambda results: f"{len(results.tables)} tables")
    pip.lacks = "missing-rival==1.0"
    assert main(["run", "ring"]) == 0
    assert pip.environments == 0
    assert main(["run", "--rivals", "--only", "honest,missing", "--quick"]) == 0
    assert pip.environments == 1
    assert "missing cannot be installed: No matching distribution" in capsys.readouterr().err
    wanted = Settings(quick=True, busy_host=False, only=("honest", "missing"))
    assert ran[1:] == [(name, wanted) for name in ("rivals/call", "rivals/load", "rivals/lag", "rivals/size")]
