"""The edges of every command: exit codes, a reader that leaves, a terminal that knows only ASCII, no click."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from tests.cli.recorded import Cli, Store, span
from tracecore.cli import reading
from tracecore.cli.app import app
from tracecore.memory import MemoryBackend, MemoryData
from tracecore.records import Record
from tracecore_sql.views import VIEWS

COMMANDS = ["traces", "show", "sessions", "tail", "sql", "stats", "doctor", "export", "run"]
Python = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def python(project_root: Path) -> Python:
    """Return a function that runs Python code which can import tracecore, in a process of its own."""

    def run(code: str, **environ: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(project_root), str(project_root / "backends")])
        environment = {**os.environ, "PYTHONPATH": path, **environ}
        return subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=50
        )

    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(cli: Cli, command: str) -> None:
    """``--help`` works for each command and names the options that every command has."""
    if command == "run":
        with pytest.raises(SystemExit) as caught:
            cli("run", "--help")
        assert caught.value.code == 0
        return
    result = cli(command, "--help")
    assert result.code == 0
    for option in ("--backend URL", "--project NAME", "--json"):
        assert option in result.out


def test_every_command_is_listed(cli: Cli) -> None:
    """``tracecore --help`` names them all, each with a sentence that is not cut."""
    out = cli("--help").out
    assert all(f"\n  {command} " in out for command in COMMANDS)
    assert all(line.endswith(".") and not line.endswith("...") for line in out.partition("Commands:\n")[2].splitlines())


def test_sql_names_every_view(cli: Cli) -> None:
    """``tracecore sql --help`` says what there is to select from."""
    out = cli("sql", "--help").out
    assert [view for view in VIEWS if view not in out] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["nosuchcommand"],
        ["traces", "--nosuchoption"],
        ["traces", "--limit", "0"],
        ["traces", "--since", "yesterday"],
        ["traces", "--min-duration", "5"],
        ["show"],
        ["sql"],
    ],
)
def test_a_command_line_that_makes_no_sense(cli: Cli, arguments: list[str]) -> None:
    """Misuse is exit code 2 and a sentence, not a traceback."""
    result = cli(*arguments)
    assert (result.code, result.out) == (2, "")
    assert "Error" in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize("arguments", [[], ["--nosuch", "app.py"], ["--backend"], ["-m"]])
def test_run_without_sense(cli: Cli, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    """``run`` refuses what it does not know before it starts anything."""
    with pytest.raises(SystemExit) as caught:
        cli("run", *arguments)
    assert caught.value.code == 2
    assert "tracecore run --help" in capsys.readouterr().err


def test_an_error_is_one_sentence(cli: Cli, stored: Store) -> None:
    """Our own errors end with 1 and one line that names what was asked for."""
    for arguments in (["show", "abc"], ["sessions", "nobody"], ["traces", "--cursor", "x"]):
        result = cli(*arguments, "--backend", stored([]))
        assert (result.code, result.out) == (1, "")
        assert result.err.startswith("tracecore: ")
        assert result.err.count("\n") == 1


def test_a_wrong_setting_is_one_sentence(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration that cannot be used ends every command, with key, value and source."""
    monkeypatch.setenv("TRACECORE_SAMPLE_RATE", "lots")
    result = cli("traces")
    assert result.code == 1
    assert "environment variable TRACECORE_SAMPLE_RATE" in result.err


def test_the_command_line_wins_and_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """``--backend`` beats the environment, and an error says where the URL came from."""
    monkeypatch.setenv("TRACECORE_BACKEND", "memory:")
    result = cli("traces", "--backend", "nosuch:")
    assert result.code == 1
    assert "(from the command line)" in result.err


def test_a_mask_that_is_elsewhere_does_not_stop_reading(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading needs no mask, so it need not be importable."""
    monkeypatch.setenv("TRACECORE_MASK", "no_such_module_here:mask")
    assert cli("traces", "--backend", "memory:").code == 0


def test_an_interrupt_ends_with_130(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is no error and shows no traceback."""

    def interrupted(*_: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr("tracecore.cli.commands.traces.read", interrupted)
    result = cli("traces", "--backend", "memory:")
    assert (result.code, result.err.strip()) == (130, "")


def test_no_traces_yet_says_how_to_begin(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything was recorded, a command says so and what to do, and makes no file."""
    where = tmp_path / "traces.db"
    made = MemoryBackend(MemoryData(), location=str(where), access="read")
    monkeypatch.setattr(reading, "open_to_read", lambda _: made)
    result = cli("traces")
    assert result.code == 1
    assert f"no traces yet: {where} does not exist; record some with `python -m tracecore run app.py`" in result.err
    assert list(tmp_path.iterdir()) == []


def test_the_backend_is_closed_after_an_error(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a command meets, it lets go of the backend."""
    closed: list[bool] = []

    async def close(self: MemoryBackend) -> None:
        closed.append(self._open)

    monkeypatch.setattr(MemoryBackend, "close", close)
    assert cli("show", "abc", "--backend", "memory:").code == 1
    assert closed == [True]


WITH_TRACES = """
import sys
sys.path.insert(0, {root!r})
from tests.cli.recorded import span
import anyio
from importlib.metadata import EntryPoint
import importlib.metadata
entry = EntryPoint("memory", "tracecore.memory:open_backend", "tracecore.backends")
importlib.metadata.entry_points = lambda *, group: [entry]
from tracecore.memory import open_backend
backend = open_backend("memory:piped")
anyio.run(backend.open)
anyio.run(backend.write, [span(1, trace=n, name="\\u6771\\u4eac") for n in range(1, 1000)])
from tracecore.cli.main import main
sys.exit(main([{arguments}, "--backend", "memory:piped"]))
"""


def test_a_reader_that_leaves_ends_it_silently(project_root: Path) -> None:
    """``tracecore export | head -1`` shows one line and no complaint."""
    code = WITH_TRACES.format(root=str(project_root), arguments="'export'")
    environ = {**os.environ, "PYTHONPATH": str(project_root)}
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b'{"record":"span"')
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 0


@pytest.mark.parametrize("command", ["traces", "export"])
def test_a_full_disk_is_one_sentence(project_root: Path, command: str) -> None:
    """``tracecore export > file`` on a full disk says so, once, and ends with 1."""
    code = WITH_TRACES.format(root=str(project_root), arguments=repr(command))
    with Path("/dev/full").open("wb") as full:
        run = subprocess.run(
            [sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=50
        )
    assert run.returncode == 1
    assert run.stderr == "tracecore: the answer could not be written: No space left on device\n"


@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_a_closed_stream_fails_nothing(project_root: Path, closed: str) -> None:
    """A caller may close stdout or stderr: the other one gets what it would have got."""
    code = WITH_TRACES.format(root=str(project_root), arguments="'traces', '--limit', '1'")
    command = ["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, code]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)
    assert run.returncode == 0
    assert "Traceback" not in run.stderr
    assert (len(run.stdout.splitlines()), "there are more" in run.stderr) == (
        (0, True) if closed == ">&-" else (2, False)
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["traces"],
        ["doctor", "--backend", "sqlite:///a.db"],
        ["copy", "jsonl:a", "memory:"],
        ["migrate", "--backend", "sqlite:///a.db"],
        ["run", "app.py"],
    ],
    ids=" ".join,
)
def test_a_working_directory_that_was_removed(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    """Whatever has to know where it is says that there is no such place any more, and what to do."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    result = cli(*arguments)
    assert (result.code, result.out) == (1, "")
    assert result.err == "tracecore: the working directory is not there any more; change to one that is\n"
    monkeypatch.chdir(tmp_path)


def test_a_terminal_that_knows_only_ascii(project_root: Path, python: Python) -> None:
    """What an encoding lacks is escaped, and nothing fails."""
    code = WITH_TRACES.format(root=str(project_root), arguments="'show', '%032x' % 1")
    result = python(code, PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")
    assert (result.returncode, result.stderr) == (0, "")
    assert r"\u6771\u4eac" in result.stdout
    assert "|#" in result.stdout
    assert r"\u2588" not in result.stdout


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("arguments", ["'show', '%032x' % 1, '--json'", "'export'"])
def test_json_is_json_in_any_encoding(project_root: Path, encoding: str, arguments: str) -> None:
    """What an encoding lacks is spelt as JSON spells it, also beyond 16 bits, and read as what it was."""
    name = "caf\u00e9 \U0001f600 \u2502 \u6771"
    code = WITH_TRACES.replace(r"\u6771\u4eac", ascii(name)[1:-1]).format(root=str(project_root), arguments=arguments)
    environ = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "LC_ALL": "C"}
    run = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, check=False, timeout=50)
    assert (run.returncode, run.stderr) == (0, b"")
    documents = [json.loads(line) for line in run.stdout.decode(encoding).splitlines()]
    assert name in str(documents[0])


def test_without_click_one_sentence_names_the_extra(python: Python) -> None:
    """The command line's own dependency may be missing; ``run`` does not need it."""
    code = "import sys; sys.modules['click'] = None; from tracecore.cli.main import main; sys.exit(main(['traces']))"
    result = python(code)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "tracecore: this command needs click: pip install 'tracecore[cli]'\n"
    assert python(code.replace("'traces'", "'run', '--help'")).returncode == 0


def test_a_long_list_is_whole(cli: Cli, stored: Store) -> None:
    """A list as long as it may be is printed to its end."""
    records: list[Record] = [span(1, trace=number) for number in range(1, 1001)]
    assert len(cli("traces", "--limit", "1000", "--backend", stored(records)).out.splitlines()) == 1001


@pytest.mark.parametrize("command", sorted(set(app.commands) - {"copy", "run"}))
def test_every_command_can_be_told_the_backend(command: str) -> None:
    """What reads or writes is told where, which project and in which form in the same way; copy is told both places."""
    named = app.commands[command]
    for one in named.commands.values() if isinstance(named, click.Group) else [named]:
        options = {option for parameter in one.params for option in parameter.opts}
        assert {"--backend", "--project", "--json"} <= options
