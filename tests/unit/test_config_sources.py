"""Where settings are looked for: files up to the repository's root, named files, and the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracecore.config import Config
from tracecore.config_sources import environment_settings, file_settings, ignored_variables
from tracecore.errors import ConfigError

KEYS = Config.__struct_fields__


def projects_in(directory: Path, environ: dict[str, str] | None = None) -> list[object]:
    """Return the project that each file names, the stronger last."""
    return [settings.get("project") for settings, _ in file_settings(environ or {}, directory)]


def test_files_are_found_in_parents_up_to_the_repository(tmp_path: Path) -> None:
    """The nearest file of each name counts, and nothing above the folder that holds .git."""
    inner = tmp_path / "repository" / "package" / "inner"
    inner.mkdir(parents=True)
    (tmp_path / "tracecore.toml").write_text('project = "outside"\n')
    assert projects_in(inner) == ["outside"]
    (tmp_path / "repository" / ".git").mkdir()
    assert projects_in(inner) == []
    (tmp_path / "repository" / "tracecore.toml").write_text('project = "root"\n')
    (tmp_path / "repository" / "pyproject.toml").write_text('[tool.tracecore]\nproject = "pyproject"\n')
    assert projects_in(inner) == ["pyproject", "root"]
    (inner.parent / "tracecore.toml").write_text('project = "nearest"\n')
    assert projects_in(inner) == ["pyproject", "nearest"]


def test_a_pyproject_without_our_table_is_passed_over(tmp_path: Path) -> None:
    """A package inside a repository has a pyproject.toml of its own; the one that speaks of tracecore counts."""
    inner = tmp_path / "package"
    inner.mkdir()
    (inner / "pyproject.toml").write_text('[project]\nname = "package"\n')
    (tmp_path / "pyproject.toml").write_text('[tool.tracecore]\nproject = "root"\n')
    assert projects_in(inner) == ["root"]


def test_a_folder_that_anyone_may_write_to_ends_the_search(tmp_path: Path) -> None:
    """A file that a stranger may have put above the working directory is not read; in it, it is."""
    inner = tmp_path / "work"
    inner.mkdir()
    (tmp_path / "tracecore.toml").write_text('project = "stranger"\n')
    tmp_path.chmod(0o777)
    assert projects_in(inner) == []
    assert projects_in(tmp_path) == ["stranger"]


def test_a_named_file_replaces_the_search(tmp_path: Path) -> None:
    """TRACECORE_CONFIG names the one file that counts, a pyproject.toml too."""
    (tmp_path / "tracecore.toml").write_text('project = "found"\n')
    named = tmp_path / "elsewhere.toml"
    named.write_text('project = "named"\n')
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text('[tool.tracecore]\nproject = "pyproject"\n')
    assert projects_in(tmp_path, {"TRACECORE_CONFIG": str(named)}) == ["named"]
    assert projects_in(tmp_path, {"TRACECORE_CONFIG": str(pyproject)}) == ["pyproject"]


@pytest.mark.parametrize("content", [None, "folder"])
def test_a_named_file_that_cannot_be_read_is_an_error(tmp_path: Path, content: str | None) -> None:
    """A missing file and a folder are refused with the name of the variable."""
    named = tmp_path / "named.toml"
    if content is not None:
        named.mkdir()
    with pytest.raises(ConfigError, match=r"TRACECORE_CONFIG.*can be read"):
        file_settings({"TRACECORE_CONFIG": str(named)}, tmp_path)


@pytest.mark.parametrize("content", [b"a = 1\nb =\n", b"a = \xff\n", b"a = " + b"[" * 10_000])
def test_invalid_toml_says_why(tmp_path: Path, content: bytes) -> None:
    """What is not TOML is refused with the file's name, whatever the bytes."""
    (tmp_path / "tracecore.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"tracecore\.toml.*valid TOML"):
        file_settings({}, tmp_path)


def test_a_file_without_an_end_is_refused() -> None:
    """A device, or a file of another kind that is named by mistake, is not read to its end."""
    with pytest.raises(ConfigError, match="at most 4,194,304 bytes"):
        file_settings({"TRACECORE_CONFIG": "/dev/zero"}, None)


def test_a_byte_order_mark_and_other_line_ends_are_no_mistake(tmp_path: Path) -> None:
    """What an editor on another system makes of a file is the same file."""
    (tmp_path / "tracecore.toml").write_bytes(b'\xef\xbb\xbfproject = "marked"\r\nrelease = "7"\r\n')
    assert projects_in(tmp_path) == ["marked"]


@pytest.mark.parametrize("table", ["tool.tracecore", "tracecore"])
def test_a_table_in_a_file_that_needs_none_is_refused(tmp_path: Path, table: str) -> None:
    """In a file of its own a setting stands by itself; what was in the table is not shown."""
    (tmp_path / "tracecore.toml").write_text(f'[{table}]\nsecret = "hush"\n')
    with pytest.raises(ConfigError, match="settings without a table") as caught:
        file_settings({}, tmp_path)
    assert "hush" not in str(caught.value)


def test_invalid_toml_names_the_line(tmp_path: Path) -> None:
    """A syntax error says in which line it is."""
    (tmp_path / "tracecore.toml").write_text("project = 'a'\nrelease =\n")
    with pytest.raises(ConfigError, match="line 2"):
        file_settings({}, tmp_path)


@pytest.mark.parametrize("content", ["tool = 3\n", "[tool]\ntracecore = 3\n"])
def test_a_table_that_is_none_is_an_error(tmp_path: Path, content: str) -> None:
    """``tool.tracecore`` must be a table."""
    (tmp_path / "pyproject.toml").write_text(content)
    with pytest.raises(ConfigError, match="a table of settings"):
        file_settings({}, tmp_path)


def test_a_removed_working_directory_has_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process whose directory was deleted under it still gets its configuration."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert file_settings({}, None) == []


def test_a_misspelt_key_names_the_nearest(tmp_path: Path) -> None:
    """An unknown key is refused in every source, with the key that was probably meant."""
    (tmp_path / "tracecore.toml").write_text("smaple_rate = 1.0\n")
    with pytest.raises(ConfigError, match=r"smaple_rate.*tracecore\.toml.*perhaps 'sample_rate'"):
        Config.load(environ={}, directory=tmp_path)
    nowhere = tmp_path / "repository"
    (nowhere / ".git").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"TRACECORE_SMAPLE_RATE.*perhaps 'sample_rate'"):
        Config.load(environ={"TRACECORE_SMAPLE_RATE": "1"}, directory=nowhere)
    with pytest.raises(ConfigError, match=r"from code.*perhaps 'sample_rate'"):
        Config.load(environ={}, directory=nowhere, overrides={"smaple_rate": 1})
    with pytest.raises(ConfigError, match=r"one of backend, secret, secret_file, project"):
        Config.load(environ={}, directory=nowhere, overrides={"zzz": 1})


KUBERNETES = {
    "TRACECORE_SERVICE_HOST": "10.0.0.1",
    "TRACECORE_SERVICE_PORT": "80",
    "TRACECORE_PORT": "tcp://10.0.0.1:80",
    "TRACECORE_PORT_80_TCP_ADDR": "10.0.0.1",
    "TRACECORE_SERVICE_PORT_HTTP": "80",
}


def test_variables_of_others_are_left_alone() -> None:
    """What Kubernetes sets for a service called tracecore is no mistake of the user's, but can be listed."""
    assert environment_settings(KUBERNETES, KEYS) == []
    assert ignored_variables({**KUBERNETES, "TRACECORE_PROJECT": "a", "TRACECORE_CONFIG": "b"}, KEYS) == sorted(
        KUBERNETES
    )


def test_variables_of_the_server_are_no_settings() -> None:
    """What `tracecore serve` reads itself is neither refused as a misspelling nor named as ignored."""
    environ = {"TRACECORE_INIT_PROJECT": "shop", "TRACECORE_INIT_SECRET_KEY": "sk", "TRACECORE_PEPPER": "salt"}
    assert environment_settings(environ, {*KEYS, "project", "secret"}) == []
    assert ignored_variables(environ, KEYS) == []
