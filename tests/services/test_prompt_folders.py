"""Names of prompts and files: each has one of the other, none leaves its folder, and no write is half a file."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tracecore.errors import ConfigError, Conflict
from tracecore.prompt_contents import check_name
from tracecore.services.prompt_folders import PromptFolder, file_name, prompt_name

parts = st.one_of(
    st.sampled_from(
        ["..", ".", "con", "Nul.txt", "lpt1", "a.md", "a.MD", "%2e", "~", "-x", "a ", ".git", "c:", "\\", "ä"]
    ),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=8),
)
names = st.lists(parts, min_size=1, max_size=4).map("/".join)


def is_name(name: str) -> bool:
    """Return whether a prompt may have a name."""
    try:
        check_name(name)
    except ConfigError:
        return False
    return True


@given(names)
def test_any_name_has_a_file_inside(name: str) -> None:
    """Whatever a prompt may be called, its file is inside the folder on every system, and leads back to the name."""
    assume(is_name(name))
    path = file_name(name)
    assert prompt_name(path) == name
    assert not path.is_absolute()
    for part in path.parts:
        assert not part.startswith(".")
        assert not re.search(r'[\\:*?"<>|]|[. ]$', part)
        assert not re.match(r"(con|nul|lpt1)(\.|$)", part, re.IGNORECASE)
    assert all(not part.lower().endswith(".md") for part in path.parts[:-1])


@given(names, names)
def test_two_names_have_two_files(one: str, other: str) -> None:
    """No two names share a file."""
    assume(is_name(one) and is_name(other) and one != other)
    assert file_name(one) != file_name(other)


@pytest.mark.parametrize("path", ["a%2Fb.md", "%61.md", "a%.md", "con.md", "%FF%.md", "x.md/y.md", "a:b.md"])
def test_a_file_has_one_name(path: str) -> None:
    """A file under a name that no prompt would be written to is refused, and told the right one."""
    with pytest.raises(ConfigError, match="the name"):
        prompt_name(PurePosixPath(path))


@pytest.mark.parametrize("name", ["/etc/passwd", "a//b", "", "a\x00b", "a|b", " a"])
def test_what_is_no_name(name: str, tmp_path: Path) -> None:
    """A name that no prompt can have, from a server that lies, makes no file."""
    with pytest.raises(ConfigError):
        PromptFolder(tmp_path).write(name, b"x", known=None)
    assert list(tmp_path.iterdir()) == []


def test_a_part_too_long_for_a_file() -> None:
    """A name of which no file system could make a file is refused."""
    with pytest.raises(ConfigError, match="255 bytes"):
        file_name("世" * 90)


def test_written_and_found(tmp_path: Path) -> None:
    """What is written is found under its name, in folders made for it, with the rights that files have here."""
    folder = PromptFolder(tmp_path / "new" / "prompts")
    assert folder.files() == ([], [])
    assert folder.write("support/../greeting", b"1", known=None) == "support/%2E%2E/greeting.md"
    folder.write("a", b"2", known=None)
    found, problems = PromptFolder(tmp_path / "new" / "prompts").files()
    assert [(one.name, one.data) for one in found] == [("a", b"2"), ("support/../greeting", b"1")]
    assert problems == []
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "new/prompts/a.md").stat().st_mode & 0o777 == 0o666 & ~umask
    (tmp_path / "new/prompts/a.md").chmod(0o640)
    folder.write("a", b"3", known=b"2")
    assert (tmp_path / "new/prompts/a.md").stat().st_mode & 0o777 == 0o640


def test_what_somebody_wrote_meanwhile_stays(tmp_path: Path) -> None:
    """A file that is not what is known of it is left alone: neither lost nor made."""
    folder = PromptFolder(tmp_path)
    folder.write("a", b"1", known=None)
    for known in (None, b"2"):
        with pytest.raises(Conflict, match="changed meanwhile"):
            folder.write("a", b"x", known=known)
    with pytest.raises(Conflict):
        folder.write("b", b"x", known=b"1")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.md", b"1")]


def test_links_lead_nowhere(tmp_path: Path) -> None:
    """A link inside the folder, to a file or a folder, is neither read, followed nor replaced."""
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    (outside / "secret.md").write_text("secret")
    (inside / "a.md").symlink_to(outside / "secret.md")
    (inside / "sub").symlink_to(outside)
    (inside / "gone.md").symlink_to(outside / "gone.md")
    found, problems = PromptFolder(inside).files()
    assert found == []
    assert sorted(problem.path for problem in problems) == ["a.md", "gone.md", "sub"]
    for name in ("a", "sub/secret", "sub/new", "gone"):
        with pytest.raises(ConfigError, match="no links"):
            PromptFolder(inside).write(name, b"x", known=None)
    assert [(path.name, path.read_text()) for path in outside.iterdir()] == [("secret.md", "secret")]


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    """A pipe or a folder under the name of a file is refused at once."""
    os.mkfifo(tmp_path / "a.md")
    (tmp_path / "b.md").mkdir()
    found, problems = PromptFolder(tmp_path).files()
    assert (found, [problem.path for problem in problems]) == ([], ["a.md"])
    with pytest.raises(ConfigError):
        PromptFolder(tmp_path).write("b", b"x", known=None)


@pytest.mark.parametrize(
    ("one", "other"), [("a", "A"), ("F/x", "f/y"), ("stra\u00dfe", "STRASSE"), ("\u00e9", "e\u0301")]
)
def test_names_that_are_one_elsewhere(tmp_path: Path, one: str, other: str) -> None:
    """Two names that are one file on another system are refused, whichever was there first."""
    folder = PromptFolder(tmp_path)
    folder.write(one, b"1", known=None)
    with pytest.raises(ConfigError, match="upper and lower case"):
        folder.write(other, b"2", known=None)
    later = PromptFolder(tmp_path)
    later.files()
    with pytest.raises(ConfigError, match="upper and lower case"):
        later.write(other, b"2", known=None)


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk is full the old file stays whole, and no other is left beside it."""
    folder = PromptFolder(tmp_path)
    folder.write("a", b"1", known=None)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(ConfigError, match="No space left"):
            folder.write("a", b"2", known=b"1")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.md", b"1")]


def test_what_is_not_looked_at(tmp_path: Path) -> None:
    """Other files, and what is hidden, are no prompts; a path that is no folder is said."""
    for name in ("README.txt", ".hidden.md"):
        (tmp_path / name).write_text("x")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "a.md").write_text("x")
    assert PromptFolder(tmp_path).files() == ([], [])
    with pytest.raises(ConfigError, match="one that can be read"):
        PromptFolder(tmp_path / "README.txt").files()
