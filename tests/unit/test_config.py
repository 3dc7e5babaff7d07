"""Configuration: what a value may be, which source wins, and what an error says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracecore.config import Config, without_credentials
from tracecore.errors import ConfigError


def load(directory: Path, environ: dict[str, str] | None = None, **overrides: object) -> Config:
    """Load a configuration from the given sources only."""
    return Config.load(environ=environ or {}, directory=directory, overrides=overrides)


def test_defaults_are_documented_and_valid() -> None:
    """A configuration made from nothing is valid, and the source file states each default."""
    config = Config()
    assert config.backend == "sqlite:///tracecore.db"
    assert (config.sample_rate, config.enabled, config.on_full) == (1.0, True, "drop")
    assert config.buffer_bytes == 64 * 1024 * 1024
    source = Path(str(sys.modules[Config.__module__].__file__)).read_text()
    assert source.count("Default: ") == len(Config.__struct_fields__)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("backend", "traces.db"),
        ("backend", ""),
        ("project", ""),
        ("project", "x" * 201),
        ("enabled", "true"),
        ("enabled", 1),
        ("sample_rate", 1.01),
        ("sample_rate", -0.1),
        ("sample_rate", float("nan")),
        ("sample_rate", True),
        ("sample_rate", "0.5"),
        ("environment", "Production"),
        ("environment", "langfuse-prod"),
        ("environment", "x" * 41),
        ("environment", "prod\n"),
        ("release", 3),
        ("mask", 3),
        ("mask", "nocolon"),
        ("mask", ".relative:function"),
        ("mask", "no_such_module_here:function"),
        ("mask", "os:no_such_function"),
        ("mask", "os:sep"),
        ("buffer_items", 0),
        ("buffer_items", 1.5),
        ("buffer_bytes", 10),
        ("on_full", "block"),
        ("buffer", "disk"),
        ("journal_dir", ""),
        ("journal_dir", "a\0b"),
        ("journal_bytes", 2**22 - 1),
        ("sync", "sometimes"),
        ("full_wait_ms", -1),
        ("flush_interval_ms", 0),
        ("max_depth", 513),
        ("capture_time_us", None),
    ],
)
def test_a_wrong_value_names_key_value_source_and_what_was_expected(key: str, value: object) -> None:
    """A value of the wrong type or out of range is refused in code with everything one needs to mend it."""
    with pytest.raises(ConfigError) as caught:
        Config(**{key: value})  # type: ignore[arg-type]  # wrong on purpose
    error = caught.value
    assert (error.key, error.source) == (key, "code")
    assert error.expected
    assert str(error).startswith(f"{key} = ")
    assert "\n" not in str(error)


def test_values_are_brought_to_their_type() -> None:
    """A whole number is a rate too, and is stored as a float."""
    rate = Config(sample_rate=1).sample_rate
    assert isinstance(rate, float)


def test_equal_settings_make_equal_configurations(tmp_path: Path) -> None:
    """Where a value came from is no part of the value."""
    loaded = load(tmp_path, {"TRACECORE_PROJECT": "shop"})
    assert loaded == Config(project="shop")
    assert hash(loaded) == hash(Config(project="shop"))


def test_later_sources_win_and_are_named(tmp_path: Path) -> None:
    """Defaults < pyproject.toml < tracecore.toml < environment < code, and each value knows its source."""
    pyproject, own = tmp_path / "pyproject.toml", tmp_path / "tracecore.toml"
    pyproject.write_text('[tool.tracecore]\nproject = "a"\nrelease = "a"\nversion = "a"\nservice_name = "a"\n')
    own.write_text('project = "b"\nrelease = "b"\nversion = "b"\n')
    config = load(tmp_path, {"TRACECORE_PROJECT": "c", "TRACECORE_RELEASE": "c"}, project="d")
    assert (config.project, config.release, config.version, config.service_name) == ("d", "c", "b", "a")
    assert config.sources["project"] == "code"
    assert config.sources["release"] == "environment variable TRACECORE_RELEASE"
    assert config.sources["version"] == str(own)
    assert config.sources["service_name"] == f"{pyproject} [tool.tracecore]"
    assert config.sources["backend"] == "default"


def test_overrides_may_come_from_elsewhere_than_code(tmp_path: Path) -> None:
    """The command line names itself as the source of what it overrides."""
    with pytest.raises(ConfigError, match=r"from option --backend\)"):
        Config.load(environ={}, directory=tmp_path, overrides={"backend": "x"}, overrides_source="option --backend")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("FALSE", False),
        ("1", True),
        ("0", False),
        ("Yes", True),
        ("no", False),
        ("on", True),
        ("oFF", False),
    ],
)
def test_switches_in_the_environment(tmp_path: Path, text: str, value: object) -> None:
    """A switch may be spelt true/false, 1/0, yes/no or on/off in any case."""
    assert load(tmp_path, {"TRACECORE_ENABLED": text}).enabled is value


def test_numbers_and_choices_in_the_environment(tmp_path: Path) -> None:
    """Text becomes the type of its key, and an empty variable counts as unset."""
    environ = {"TRACECORE_SAMPLE_RATE": "0.25", "TRACECORE_BATCH_ITEMS": "7", "TRACECORE_ON_FULL": "wait"}
    config = load(tmp_path, {**environ, "TRACECORE_PROJECT": "", "TRACECORE_RELEASE": "null"})
    assert (config.sample_rate, config.batch_items, config.on_full) == (0.25, 7, "wait")
    assert (config.project, config.release) == ("default", "null")


def test_a_wrong_variable_is_named(tmp_path: Path) -> None:
    """An error about the environment names the variable and shows its text."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, {"TRACECORE_SAMPLE_RATE": "lots"})
    assert str(caught.value) == (
        "sample_rate = 'lots' (from environment variable TRACECORE_SAMPLE_RATE): expected a number from 0 to 1"
    )


def test_a_wrong_value_that_another_source_replaces_is_refused_too(tmp_path: Path) -> None:
    """A mistake is reported when it is made, not on the day the override goes away."""
    with pytest.raises(ConfigError, match="TRACECORE_SAMPLE_RATE"):
        load(tmp_path, {"TRACECORE_SAMPLE_RATE": "7"}, sample_rate=0.5)


def test_text_is_not_converted_from_files(tmp_path: Path) -> None:
    """TOML has types: a number in quotes is a mistake there."""
    (tmp_path / "tracecore.toml").write_text('sample_rate = "0.5"\n')
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert caught.value.source == str(tmp_path / "tracecore.toml")


def test_a_mask_is_imported_from_its_path(tmp_path: Path) -> None:
    """A file or variable names the mask by import path; code may pass the function or the path."""
    assert load(tmp_path, {"TRACECORE_MASK": "os.path:basename"}).mask is not None
    assert Config(mask=str.upper).mask == str.upper
    assert load(tmp_path, mask="builtins:str.upper").mask == str.upper


@pytest.mark.parametrize(("content", "raised"), [("1 / 0", ZeroDivisionError), ("raise SystemExit(3)", SystemExit)])
def test_a_mask_whose_module_fails_is_a_configuration_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, raised: type[BaseException]
) -> None:
    """Whatever the module of the mask raises, a script's exit too, the error names the import path and the cause."""
    (tmp_path / "broken_mask_module.py").write_text(f"{content}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=rf"broken_mask_module:mask.*{raised.__name__}") as caught:
        load(tmp_path, {"TRACECORE_MASK": "broken_mask_module:mask"})
    assert isinstance(caught.value.__cause__, raised)


def test_keys_may_be_left_out(tmp_path: Path) -> None:
    """A program that only reads traces need not be able to import the mask."""
    environ = {"TRACECORE_MASK": "no_such_module_here:mask", "TRACECORE_PROJECT": "shop"}
    config = Config.load(environ=environ, directory=tmp_path, without=("mask",))
    assert (config.mask, config.project) == (None, "shop")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://user:secret@host/db", "postgresql://***@host/db"),
        ("postgresql://user:se@cret@host/db", "postgresql://***@host/db"),
        ("postgres//user:secret@host", "postgres//***@host"),
        ("user:secret@host", "***@host"),
        ("https://user:se cr\net@host", "https://***@host"),
        ("https://host/?password=secret&x=1", "https://host/?password=***&x=1"),
        ("https://host/?x=1&api_key=secret", "https://host/?x=1&api_key=***"),
        ("sqlite:///traces.db", "sqlite:///traces.db"),
    ],
)
def test_credentials_are_hidden(url: str, shown: str) -> None:
    """User, password and secret parameters of a URL never reach a message."""
    assert without_credentials(url) == shown


def test_an_error_about_a_url_hides_its_credentials(tmp_path: Path) -> None:
    """A configuration error shows the value without the password in it."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, {"TRACECORE_BACKEND": "postgresql//user:secret@host"})
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(caught.value.value)


@pytest.mark.parametrize("text", ['[mine]\nurl = "https://u:hush@h"', 'mine = ["https://u:hush@h"]'])
def test_an_error_about_a_table_does_not_show_what_is_in_it(tmp_path: Path, text: str) -> None:
    """What is no setting may hold credentials in any form, so that only what it is gets shown."""
    (tmp_path / "tracecore.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"mine = .* of 1'.*known key") as caught:
        load(tmp_path)
    assert "hush" not in str(caught.value)
    assert "hush" not in repr(caught.value.value)


def test_a_configuration_shows_no_secrets() -> None:
    """Neither its text, nor what is drawn of it, nor its values for people hold a secret or a URL's password."""
    config = Config(backend="postgresql://me:pass-word@db/traces", secret="hush", secret_file="/run/secrets/db")
    for shown in (repr(config), str(config), repr(list(config.__rich_repr__())), repr(config.shown())):
        assert "hush" not in shown
        assert "pass-word" not in shown
        assert "postgresql://***@db/traces" in shown
        assert "/run/secrets/db" in shown
    assert (config.secret, config.shown()["project"]) == ("hush", "default")
    assert "secret=None" in repr(Config())


@pytest.mark.parametrize("name", ["TRACECORE_SECRETS", "TRACECORE_SECRET"])
def test_an_error_about_a_secret_does_not_show_it(tmp_path: Path, name: str) -> None:
    """A misspelt variable and a value that cannot be are refused by name."""
    value = "hush" * (1 if name.endswith("S") else 2000)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, {name: value})
    assert name in str(caught.value)
    assert "hush" not in str(caught.value)
    assert "hush" not in repr(caught.value.value)


@pytest.mark.parametrize("name", ["pyproject.toml", "tracecore.toml"])
def test_a_secret_in_a_file_is_refused(tmp_path: Path, name: str) -> None:
    """Files are shared; the error names the file and what to do instead, and does not show the secret."""
    table = "[tool.tracecore]\n" if name == "pyproject.toml" else ""
    (tmp_path / name).write_text(f'{table}secret = "hush"\n')
    with pytest.raises(ConfigError, match="TRACECORE_SECRET, or let secret_file name a file") as caught:
        load(tmp_path)
    assert name in str(caught.value)
    assert "hush" not in str(caught.value)
    (tmp_path / name).write_text(f'{table}secret_file = "/run/secrets/db"\n')
    assert load(tmp_path).secret_file == "/run/secrets/db"


def test_what_was_overridden_is_known(tmp_path: Path) -> None:
    """For each key the sources that lost are named, the strongest first, and none where there was one source only."""
    (tmp_path / "pyproject.toml").write_text('[tool.tracecore]\nproject = "a"\n')
    (tmp_path / "tracecore.toml").write_text('project = "b"\nrelease = "b"\n')
    config = load(tmp_path, {"TRACECORE_PROJECT": "c"}, project="d")
    files = [str(tmp_path / "tracecore.toml"), f"{tmp_path / 'pyproject.toml'} [tool.tracecore]"]
    assert config.overridden == {"project": ("environment variable TRACECORE_PROJECT", *files)}
    assert Config().overridden == {}


@given(st.dictionaries(st.sampled_from(Config.__struct_fields__), st.none() | st.text() | st.integers() | st.floats()))
def test_any_value_is_accepted_whole_or_refused_by_name(values: dict[str, Any]) -> None:
    """No value, whatever it is, makes anything else than a valid configuration or a configuration error."""
    try:
        config = Config(**values)
    except ConfigError as error:
        refused = error.key
    else:
        refused = None
        assert 0 <= config.sample_rate <= 1
        assert config.buffer_items >= 1
    assert refused is None or refused in values
