"""``tracecore prompts``: what each command takes, says and refuses."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import anyio
import msgspec
import pytest
from msgspec import Raw

from tests.cli.recorded import Cli, Result
from tests.cli.test_tables import be_terminal
from tracecore.catalog_prompts import CatalogPrompts, prompts_of
from tracecore.errors import AccessDenied
from tracecore.plugins import open_backend
from tracecore.prompts import Author, LabelMove, NewPrompt, Prompt
from tracecore.testing.opening import opened

HOSTILE = "a\x1b]0;title\x07\u202eb"


class Desk:
    """Run commands on a file of this test."""

    def __init__(self, cli: Cli, folder: Path) -> None:
        self._cli = cli
        self.folder = folder
        self.url = f"sqlite:///{folder}/prompts.db"

    def run(self, *arguments: str, code: int = 0) -> Result:
        """Run a command that ends with a code."""
        result = self._cli("prompts", *arguments, "--backend", self.url)
        assert result.code == code, result
        return result

    def publish(self, name: str, text: str, *arguments: str) -> int:
        """Publish a text, and return its version."""
        version: int = self.run("publish", name, self.file(text), "--json", *arguments).json["version"]
        return version

    def file(self, text: str, name: str = "text") -> str:
        """Write a file, and return its path."""
        path = self.folder / name
        path.write_text(text)
        return str(path)


@pytest.fixture
def desk(cli: Cli, tmp_path: Path) -> Desk:
    """Return a desk with nothing on it."""
    return Desk(cli, tmp_path)


def test_nothing_is_there_yet(desk: Desk) -> None:
    """To look, or to move a label, makes no file, and says what would."""
    for arguments in (
        ["list"],
        ["show", "x"],
        ["promote", "x", "1"],
        ["pull", "--into", "d"],
        ["delete", "x", "--yes"],
    ):
        assert "`tracecore prompts publish NAME FILE` makes it" in desk.run(*arguments, code=1).err
    assert list(desk.folder.iterdir()) == []
    desk.publish("x", "y")
    assert "no prompt of project 'default' matches" in desk.run("list", "--tag", "t").err


def test_a_backend_that_keeps_none(cli: Cli, tmp_path: Path) -> None:
    """A backend without prompts is told from one that has none yet."""
    result = cli("prompts", "list", "--backend", f"jsonl:{tmp_path}/lines")
    assert (result.code, "keeps no prompts" in result.err) == (1, True)


def test_list_by_folder_label_and_tag(desk: Desk) -> None:
    """Names are selected by their folder, their labels and their tags, the last change first."""
    desk.publish("f/a", "1", "--label", "production", "--tag", "x")
    desk.publish("f/g/b", "1", "--label", "staging")
    desk.publish("fa", "1", "--tag", "x")

    def listed(*arguments: str) -> list[str]:
        return [one["name"] for one in desk.run("list", "--json", *arguments).json["prompts"]]

    assert listed() == ["fa", "f/g/b", "f/a"]
    assert listed("--folder", "f") == ["f/g/b", "f/a"]
    assert listed("--label", "production") == ["f/a"]
    assert listed("--tag", "x") == ["fa", "f/a"]
    assert desk.run("list", "--limit", "2", "--json").json["more"]
    assert "there are more" in desk.run("list", "--limit", "2").err
    columns = [line.split() for line in desk.run("list").out.splitlines()]
    assert [row[1:4] for row in columns[1:]] == [["text", "1", "-"], ["text", "1", "-"], ["text", "1", "1"]]
    assert "staging 1" in desk.run("list").out


def test_what_is_kept_and_what_is_new(desk: Desk) -> None:
    """Configuration, variables and tags stay as they are unless others are given; each may be given in a file."""
    config = desk.file('{"model": "m"}', "c.json")
    variables = desk.file('[who]\ndescription = "Who"\nenum = ["a", "b"]\n', "v.toml")
    desk.publish("x", "Hi {{who}}", "--config", config, "--variables", variables, "--tag", "t", "--message", "m")
    desk.publish("x", "Ho {{who}}")
    shown = desk.run("show", "x", "--json").json
    assert (shown["config"], shown["tags"], shown["commit_message"]) == ({"model": "m"}, ["t"], None)
    assert shown["variables"] == {"who": {"description": "Who", "enum": ["a", "b"]}}
    desk.publish("x", "Ha", "--config", desk.file("[1]", "d.json"), "--variables", desk.file("{}", "v.json"))
    shown = desk.run("show", "x", "--json").json
    assert (shown["config"], shown["variables"]) == ([1], {})


def test_a_chat_in_both_manners(desk: Desk) -> None:
    """A chat is published as JSON or as sections, and shown as sections under the roles."""
    chat = [{"role": "system", "content": "Be brief."}, {"type": "placeholder", "name": "history"}]
    desk.publish("x", msgspec.json.encode(chat).decode(), "--type", "chat")
    desk.publish("x", "+++ system\nBe brief.\n\n+++ placeholder history\n")
    for version in ("1", "2"):
        assert desk.run("show", "x", "--version", version, "--json").json["prompt"] == chat
    assert msgspec.json.decode(desk.run("show", "x", "--raw").out) == chat
    assert "[system]\nBe brief.\n\n[history: messages that are given]\n" in desk.run("show", "x").out
    assert "expected" in desk.run("publish", "x", desk.file("Hello"), code=1).err
    assert "expected chat" in desk.run("publish", "x", desk.file("Hello"), "--type", "text", code=1).err


def test_from_stdin(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text comes from a pipe, with or without a dash; nobody waits for one at a terminal."""
    for arguments in (["-"], []):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("Hällo\r\n\n".encode())))
        desk.run("publish", "x", *arguments)
    assert desk.run("show", "x", "--raw").out == "Hällo\r\n"
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    assert "name a file, or -" in desk.run("publish", "x", code=2).err
    for arguments in (["-"], []):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
        assert "nothing came from stdin" in desk.run("publish", "x", *arguments, code=2).err
    assert desk.run("show", "x", "--json").json["version"] == 2


def test_what_only_looks_like_a_tag_is_told(desk: Desk) -> None:
    """Whoever forgets which version is to be inserted hears of it; whoever says it does not."""
    told = "is no insertion, and stays as it is"
    desk.publish("x", "a")
    for text, is_told in (("@@@langfusePrompt:name=x@@@", True), ("@@@langfusePrompt:name=x|version=1@@@", False)):
        assert (told in desk.run("publish", "y", desk.file(text)).err) == is_told
    chat = '[{"role": "user", "content": "@@@langfusePrompt:version=1@@@"}]'
    assert told in desk.run("publish", "z", desk.file(chat), "--type", "chat").err


def test_what_is_inserted_is_shown(desk: Desk) -> None:
    """A version is shown as services get it, and what is inserted is named; raw it is what was published."""
    desk.publish("inner", "INNER", "--label", "production")
    tag = "@@@langfusePrompt:name=inner|label=production@@@"
    desk.publish("outer", f"<{tag}>")
    shown = desk.run("show", "outer").out
    assert "<INNER>" in shown
    assert "inner version 1" in shown
    assert desk.run("show", "outer", "--raw").out == f"<{tag}>"
    assert "outer version 1" in desk.run("delete", "inner", "--yes", code=1).err


def test_text_of_others_is_harmless(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a prompt, a message or a tag holds, a terminal shows it and does nothing; a pipe gets the text."""
    config = desk.file('"a\u202e"', "c")
    desk.publish("x", HOSTILE, "--message", HOSTILE, "--tag", HOSTILE, "--config", config)
    desk.publish("x", HOSTILE + "2")
    desk.run("promote", "x", "1", "--reason", HOSTILE)
    assert desk.run("show", "x", "--raw").out == HOSTILE
    commands = [["list"], ["show", "x"], ["show", "x", "--raw"], ["history", "x"], ["diff", "x", "1", "2"]]
    (desk.folder / "d").mkdir()
    (desk.folder / "d" / f"{HOSTILE}.md").write_text("+++\n+++\n" + HOSTILE)
    for arguments in [*commands, ["pull", "--into", str(desk.folder / "d")]]:
        be_terminal(monkeypatch)
        out = desk.run(*arguments, code=int(arguments[0] == "pull")).out
        assert "\u202e" not in out
        assert "\x07" not in out
        assert "\x1b]" not in out
        assert "\\u202e" in out


def test_colours_are_for_terminals(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was taken and given is coloured on a terminal that wants it, and plain elsewhere."""
    desk.publish("x", "a")
    desk.publish("x", "b")
    assert "-a\n+b\n" in desk.run("diff", "x", "1", "2").out
    be_terminal(monkeypatch)
    assert "\x1b[31m-a" in desk.run("diff", "x", "1", "2").out
    monkeypatch.setenv("NO_COLOR", "1")
    be_terminal(monkeypatch)
    assert "\x1b" not in desk.run("diff", "x", "1", "2").out
    assert "the same" in desk.run("diff", "x", "1", "1").out


def test_moves_are_told_as_json(desk: Desk) -> None:
    """A program learns from where to where a label moved."""
    desk.publish("x", "a", "--label", "production")
    desk.publish("x", "b")
    moved = desk.run("promote", "x", "2", "--json").json
    assert moved == {"name": "x", "label": "production", "before": 1, "version": 2}
    assert desk.run("promote", "x", "2", "--label", "staging", "--json").json["before"] is None
    assert desk.run("rollback", "x", "--json").json == {**moved, "before": 2, "version": 1}
    assert desk.run("rollback", "x", "--to", "2", "--json").json["version"] == 2
    assert desk.run("promote", "x", "2").out == "production of 'x' is on version 2 already\n"
    split = desk.run("split", "x", "production", "1=1", "2=3", "--json").json
    assert (split["version"], split["shares"][1]) == (2, {"version": 2, "weight": 3.0})
    assert desk.run("unlabel", "x", "production", "--json").json == {**moved, "before": 2, "version": None}
    assert desk.run("history", "x", "--json").json["moves"][0]["action"] == "unlabel"
    assert desk.run("delete", "x", "--yes", "--json").json == {"name": "x", "versions": [1, 2]}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["split", "x", "production"], 2, "at least two versions"),
        (["split", "x", "production", "1=1", "--whole"], 2, "at least two versions"),
        (["split", "x", "production", "1:1"], 2, "write VERSION=WEIGHT"),
        (["split", "x", "production", "1=1", "9=1"], 1, "9"),
        (["delete", "x"], 2, "say --yes"),
        (["rollback", "x"], 1, "production"),
        (["unlabel", "x", "latest"], 1, "latest"),
        (["promote", "x", "9"], 1, "9"),
        (["publish", "a|b", "text"], 1, "'a|b'"),
        (["publish", "x", "nowhere"], 1, "nowhere"),
        (["publish", "x", "latin"], 1, "UTF-8"),
        (["publish", "x", "text", "--config", "text"], 1, "expected JSON"),
        (["publish", "x", "text", "--variables", "text"], 1, "expected variables"),
        (["publish", "x", "text", "--label", "A"], 1, "'A'"),
        (["diff", "x", "1", "staging"], 1, "staging"),
        (["show", "x", "--version", "1", "--label", "l"], 2, "not both"),
        (["pull", "nobody", "--into", "d"], 1, "nobody"),
        (["stub", "-o", "text"], 1, "one of this command"),
        (["stub", "-o", "."], 1, "not a folder"),
        (["promote", "x", "staging"], 1, "staging"),
        (["promote", "x", "0"], 1, "0"),
        (["publish", "x", "nowhere"], 1, "'nowhere' (from the command line)"),
        (["publish", "y", "text", "--type", "chat"], 1, "JSON messages"),
    ],
)
def test_what_cannot_be_is_said(desk: Desk, arguments: list[str], code: int, said: str) -> None:
    """What makes no sense, or is not there, is one sentence with the value and what is expected."""
    desk.publish("x", "hello", "--label", "production")
    (desk.folder / "latin").write_bytes(b"\xe4")
    result = desk.run(*arguments, code=code)
    assert result.out == ""
    assert said in result.err
    assert "Traceback" not in result.err


def test_a_version_is_promoted_by_its_label(desk: Desk) -> None:
    """What staging is on goes into production without anybody looking up its number."""
    desk.publish("x", "a", "--label", "production")
    desk.publish("x", "b", "--label", "staging")
    desk.publish("x", "c")
    assert desk.run("promote", "x", "staging").out == "production of 'x': from version 1 to version 2\n"
    assert desk.run("promote", "x", "latest").out == "production of 'x': from version 2 to version 3\n"


def test_where_there_is_nothing_to_do(desk: Desk) -> None:
    """Who pulls, pushes or writes a stub of nothing is told why it is nothing."""
    desk.publish("x", "a")
    folder = desk.folder / "d"
    for arguments in (["pull", "--into", str(folder)], ["stub", "-o", str(desk.folder / "stub.py")]):
        assert "no prompt of project 'default' has the label 'production'" in desk.run(*arguments).err
    folder.mkdir(exist_ok=True)
    assert "ends with .md" in desk.run("push", str(folder)).err
    desk.run("pull", "--into", str(folder), "--label", "latest")
    assert "nothing was published to put production on" in desk.run("push", str(folder), "--label", "production").err
    assert "nothing was published" not in desk.run("push", str(folder)).err


def test_a_stub_is_written_anew(desk: Desk) -> None:
    """A module is written for what has the label, over its predecessor, and nothing else is written over."""
    desk.publish("f/x", "hello {{who}}", "--label", "production")
    desk.publish("y", "hello", "--label", "staging")
    path = desk.folder / "prompts.py"
    for _ in range(2):
        assert desk.run("stub", "-o", str(path)).err == f"1 prompt in {path}\n"
    module = path.read_text()
    compile(module, "prompts.py", "exec")
    assert "def f_x(" in module
    assert desk.run("stub", "f/").out == module
    assert desk.run("stub", "f/x", "f/", "--json").json["prompts"] == [["f/x", 1]]
    assert desk.run("stub", "y", "--label", "staging", "--json").json["prompts"] == [["y", 1]]


def test_files_as_json(desk: Desk) -> None:
    """A program learns what became of each file, and by the exit code whether somebody has to decide."""
    desk.publish("x", "one", "--label", "production")
    folder = str(desk.folder / "d")
    assert desk.run("pull", "--into", folder, "--json").json == {
        "files": [{"name": "x", "path": "x.md", "action": "new", "version": 1}]
    }
    (desk.folder / "d" / "bad.md").write_text("no prompt")
    found = desk.run("push", folder, "--json", code=1).json["files"]
    assert [(one["path"], one["action"]) for one in found] == [("bad.md", "refused"), ("x.md", "unchanged")]
    assert "DIR" in desk.run("push", str(desk.folder / "nowhere"), code=2).err


def test_where_a_service_looks(desk: Desk, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a backend on the command line prompts are those that the service would be given."""
    desk.publish("x", "one")
    monkeypatch.setenv("TRACECORE_PROMPTS", desk.url)
    monkeypatch.setenv("TRACECORE_BACKEND", f"jsonl:{desk.folder}/lines")
    assert [one["name"] for one in cli("prompts", "list", "--json").json["prompts"]] == ["x"]
    assert "keeps no prompts" in cli("prompts", "list", "--backend", f"jsonl:{desk.folder}/lines").err
    monkeypatch.delenv("TRACECORE_PROMPTS")
    monkeypatch.setenv("TRACECORE_BACKEND", f"jsonl:{desk.folder}/lines+{desk.url}")
    assert [one["name"] for one in cli("prompts", "list", "--json").json["prompts"]] == ["x"]


def test_somebody_else_publishes_meanwhile(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not said stays as it is in the version before, also where that is published at this very moment."""
    desk.publish("x", "one", "--config", desk.file("[1]", "c.json"))
    publish = CatalogPrompts.publish

    async def faster(store: CatalogPrompts, project: str, new: NewPrompt) -> Prompt:
        monkeypatch.setattr(CatalogPrompts, "publish", publish)
        await publish(store, project, NewPrompt(name="x", prompt=Raw(b'"theirs"'), config=Raw(b"[2]")))
        return await publish(store, project, new)

    monkeypatch.setattr(CatalogPrompts, "publish", faster)
    assert desk.publish("x", "mine") == 3
    assert desk.run("show", "x", "--json").json["config"] == [2]
    monkeypatch.setattr(CatalogPrompts, "publish", faster)
    error = desk.run("publish", "x", desk.file("mine"), "--after", "3", code=1).err
    assert "the newest version of 'x' is 4" in error


def test_labels_are_protected(desk: Desk) -> None:
    """A label is protected until it is not; members then move others only. What cannot be one is refused."""
    desk.publish("x", "a", "--label", "production")
    desk.publish("x", "b")
    assert "no label of project 'default' is protected" in desk.run("protect").err
    assert desk.run("protect", "production", "stable").out == "production\nstable\n"
    assert desk.run("protect", "--off", "stable", "--json").json == {"labels": ["production"]}
    assert desk.run("protect").out == "production\n"
    assert anyio.run(_is_denied, desk.url, "production")
    assert not anyio.run(_is_denied, desk.url, "stable")
    assert "'latest'" in desk.run("protect", "latest", code=1).err
    assert "name the labels" in desk.run("protect", "--off", code=2).err


async def _is_denied(url: str, label: str) -> bool:
    async with opened(open_backend(url)) as backend:
        member = Author("m", moves_protected=False)
        try:
            await prompts_of(backend).change("default", "x", LabelMove(version=2, labels=(label,)), author=member)
        except AccessDenied:
            return True
        return False


def test_every_command_is_there(cli: Cli) -> None:
    """The commands of prompts are shown in the order in which people need them, each with its help; others are none."""
    names = [
        line.split()[0] for line in cli("prompts", "--help").out.split("Commands:\n")[1].splitlines() if line[2] != " "
    ]
    assert names[:4] == ["list", "show", "diff", "history"]
    for name in names:
        assert cli("prompts", name, "--help").code == 0
    assert "No such command 'shwo'" in cli("prompts", "shwo").err


def test_other_commands_do_not_wait_for_these(project_root: Path) -> None:
    """What the commands of prompts need is imported when one of them is run."""
    code = (
        "import sys, tracecore.cli.app; print([one for one in sys.modules if '.prompts_' in one or 's.prompt_' in one])"
    )
    environment = {**os.environ, "PYTHONPATH": f"{project_root}{os.pathsep}{project_root / 'backends'}"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_every_move_has_its_words(desk: Desk) -> None:
    """The history says of each move what it was, also of a name that is not there any more."""
    desk.publish(
        "x", "a {{who}}", "--label", "production", "--variables", desk.file('{"who": {"description": "W"}}', "v")
    )
    desk.publish("x", "b {{who}}")
    desk.run("split", "x", "production", "1=1", "2=3")
    desk.run("split", "x", "production", "--whole")
    desk.run("unlabel", "x", "production", "--reason", "enough")
    desk.run("delete", "x", "--version", "1", "--yes")
    assert "variable   who (string): W\n" in desk.run("show", "x").out
    desk.run("delete", "x", "--yes")
    told = [line[21:].split("  ")[0] for line in desk.run("history", "x").out.splitlines()[1:]]
    assert told == [
        "deleted all versions", "deleted version 1", "took production off version 1", "made production whole",
        "split production: version 1 25 %, version 2 75 %", "published version 2", "put production on version 1",
        "published version 1",
    ]  # fmt: skip


def test_somebody_is_asked(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a terminal a deletion is asked about, and only yes is one."""
    desk.publish("x", "a")
    for answer, code, left in (("n\n", 130, 1), ("y\n", 0, 0)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(answer.encode())))
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
        assert "Delete prompt 'x' with every version?" in desk.run("delete", "x", code=code).err
        assert len(desk.run("list", "--json").json["prompts"]) == left


def test_a_user_whom_the_system_does_not_know(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container without a name for its user a version has no author, and is published all the same."""

    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found: 1234")

    desk.publish("x", "a")
    assert desk.run("show", "x", "--json").json["created_by"]
    monkeypatch.setattr("getpass.getuser", unknown)
    desk.publish("x", "b")
    assert desk.run("show", "x", "--json").json["created_by"] == ""
