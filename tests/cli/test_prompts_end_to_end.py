"""A prompt from its first version to a merged edit in a repository: over a file, over a database, over a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.cli.recorded import Cli, Result
from tests.compat.serving import serving
from tests.postgres_server import Database

NAME = "support/greeting"


class Desk:
    """Run commands on one backend, in one folder."""

    def __init__(self, cli: Cli, url: str, folder: Path) -> None:
        self._cli = cli
        self._url = url
        self.folder = folder

    def run(self, *arguments: str, code: int = 0) -> Result:
        """Run a command that ends with a code."""
        result = self._cli("prompts", *arguments, "--backend", self._url)
        assert result.code == code, result
        return result

    def file(self, text: str) -> str:
        """Write a text into a file, and return its path."""
        path = self.folder / "text"
        path.write_text(text)
        return str(path)


@pytest.fixture(params=["sqlite", "postgresql", "server"])
def desk(request: pytest.FixtureRequest, cli: Cli, tmp_path: Path) -> Iterator[Desk]:
    """Return a desk: the server is one that people start, with a key."""
    if request.param == "server":
        with serving(tmp_path, f"sqlite:///{tmp_path}/served.db") as server:
            at = urlsplit(server.url)
            yield Desk(cli, f"http://{server.public_key}:{server.secret_key}@{at.netloc}", tmp_path)
    elif request.param == "postgresql":
        database: Database = request.getfixturevalue("postgres")
        yield Desk(cli, database.url(), tmp_path)
    else:
        yield Desk(cli, f"sqlite:///{tmp_path}/prompts.db", tmp_path)


def test_from_the_first_version_to_a_merge(desk: Desk) -> None:
    """Publish, show, compare, promote, roll back, pull, edit, push, be too late, merge: each sees the last."""
    first = desk.file("Hello {{customer}}.\nBe kind.\nBe brief.\nBe right.\n")
    assert desk.run("publish", NAME, first, "--label", "production", "--message", "First").out == (
        f"published {NAME!r} version 1, production\n"
    )
    assert desk.run("show", NAME, "--raw").out == "Hello {{customer}}.\nBe kind.\nBe brief.\nBe right."
    second = desk.file("Dear {{customer}}.\nBe kind.\nBe brief.\nBe right.\n")
    assert f"promote {NAME} 2`" in desk.run("publish", NAME, second, "--tag", "mail").err
    compared = desk.run("diff", NAME, "production", "latest").out
    assert "-Hello {{customer}}.\n+Dear {{customer}}.\n" in compared
    promoted = desk.run("promote", NAME, "2", "--reason", "Politer").out
    assert promoted == f"production of {NAME!r}: from version 1 to version 2\n"
    back = desk.run("rollback", NAME, "--reason", "Stiff").out
    assert back == f"production of {NAME!r}: from version 2 to version 1\n"
    told = desk.run("history", NAME).out
    for said in (
        "published version 2",
        "moved production from version 1 to 2",
        "Politer",
        "rolled production back",
        "Stiff",
    ):
        assert said in told

    prompts = str(desk.folder / "prompts")
    path = desk.folder / "prompts" / "support" / "greeting.md"
    assert "new           support/greeting.md  version 1" in desk.run("pull", "--into", prompts).out
    path.write_text(path.read_text().replace("Be kind", "Be very kind"))
    assert "to publish" in desk.run("push", prompts, "--dry-run").out
    assert "version 1 to 3" in desk.run("push", prompts, "--label", "production", "--message", "Kinder").out
    assert desk.run("show", NAME, "--json").json["commit_message"] == "Kinder"

    path.write_text(path.read_text().replace("Be brief", "Be very brief"))
    desk.run(
        "publish",
        NAME,
        desk.file("Hello {{customer}}.\nBe very kind.\nBe brief.\nBe right!\n"),
        "--label",
        "production",
    )
    refused = desk.run("push", prompts, code=1).out
    assert "version 4 was published since" in refused
    assert "Be very brief.\nBe right." in path.read_text()
    conflict = desk.run("pull", "--into", prompts, code=1).out
    assert "in the same place" in conflict
    desk.run("pull", "--into", prompts, "--merge", code=1)
    marked = path.read_text()
    assert "<<<<<<< this file\nBe very brief.\nBe right.\n||||||| version 3\n" in marked
    assert "a merge is not finished" in desk.run("push", prompts, code=1).out
    start, end = marked.index("<<<<<<<"), marked.index(">>>>>>> version 4\n") + len(">>>>>>> version 4\n")
    path.write_text(marked[:start] + "Be very brief.\nBe right!\n" + marked[end:])
    assert "version 4 to 5" in desk.run("push", prompts, "--label", "production").out
    assert desk.run("show", NAME, "--raw").out == "Hello {{customer}}.\nBe very kind.\nBe very brief.\nBe right!"
    assert desk.run("pull", "--into", prompts).out == "1 file unchanged\n"


def test_a_split_and_what_is_refused(desk: Desk) -> None:
    """A label is split and whole again, and taken off; where somebody else was faster both versions are named."""
    for text in ("one", "two", "three"):
        desk.run("publish", "hi", desk.file(text), "--label", "production")
    assert "version 3 90 %, version 2 10 %" in desk.run("split", "hi", "production", "3=90", "2=10").out
    assert "3, split" in desk.run("list").out
    assert "version 3 90 %" in desk.run("show", "hi").out
    assert desk.run("split", "hi", "production", "--whole").out == "production of 'hi' is whole again: version 3\n"
    error = desk.run("promote", "hi", "1", "--expected", "2", code=1).err
    assert "3" in error
    assert "2" in error
    error = desk.run("publish", "hi", desk.file("four"), "--after", "2", code=1).err
    assert "3" in error
    assert desk.run("unlabel", "hi", "production").out == "took production of 'hi' off version 3\n"
    assert "production" in desk.run("show", "hi", "--label", "production", code=1).err
    assert desk.run("show", "hi", "--json").json["version"] == 3
    assert "versions 1 to 3" in desk.run("show", "hi", "--version", "9", code=1).err
    assert "no prompt 'hii'; there is 'hi'" in desk.run("show", "hii", code=1).err
    desk.run("delete", "hi", "--version", "2", "--yes")
    assert desk.run("list", "--json").json["prompts"][0]["versions"] == [1, 3]
    desk.run("delete", "hi", "--yes")
    assert desk.run("list", "--json").json == {"prompts": [], "more": False}


def test_a_server_that_is_asked_as_langfuse_s(cli: Cli, tmp_path: Path) -> None:
    """What a server of Langfuse can do, commands do there; what it cannot is refused with what to do instead."""
    with serving(tmp_path, f"sqlite:///{tmp_path}/served.db") as server:
        at = urlsplit(server.url)
        desk = Desk(cli, f"http+langfuse://{server.public_key}:{server.secret_key}@{at.netloc}", tmp_path)
        desk.run("publish", NAME, desk.file("one"), "--label", "production")
        desk.run("publish", NAME, desk.file("two"))
        assert desk.run("promote", NAME, "2").out == f"production of {NAME!r}: from version 1 to version 2\n"
        assert "move the label to a version instead" in desk.run("rollback", NAME, code=1).err
        prompts = tmp_path / "prompts"
        desk.run("pull", "--into", str(prompts))
        path = prompts / "support" / "greeting.md"
        path.write_text(path.read_text().replace("two", "three"))
        assert "--unchecked" in desk.run("push", str(prompts), code=1).err
        assert "version 2 to 3" in desk.run("push", str(prompts), "--unchecked").out
        assert desk.run("show", NAME, "--version", "3", "--raw").out == "three"
