"""``tracecore key``: keys of a server's projects, made where the server keeps them."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from tests.cli.recorded import Cli
from tracecore.errors import AccessDenied
from tracecore.kinds import catalog_of
from tracecore.plugins import open_backend
from tracecore.services.access import KEY_SCOPES, KeyScope, Principal
from tracecore.services.keys import Keys


@pytest.fixture
def url(cli: Cli, tmp_path: Path) -> str:
    """Return a store with the projects shop and other."""
    made = f"sqlite:///{tmp_path}/a.db"
    for name in ("shop", "other"):
        assert cli("project", "create", name, "--backend", made).code == 0
    return made


def who(url: str, public: str, secret: str, *, now_ns: int = 0, pepper: str | None = None) -> Principal:
    """Return who a key stands for, as a server finds it out."""

    async def ask() -> Principal:
        backend = open_backend(url)
        await backend.open()
        try:
            return await Keys(catalog_of(backend), pepper).check(public, secret, now_ns=now_ns)
        finally:
            await backend.close()

    return anyio.run(ask)


@pytest.mark.parametrize("scope", KEY_SCOPES)
def test_a_key_that_is_made_opens_its_project(cli: Cli, url: str, scope: KeyScope) -> None:
    """The key that is shown is one that a server knows: of this project, as far as its scope."""
    made = cli("key", "create", "--json", "--project", "shop", "--scope", scope, "--note", "ci", "--backend", url)
    assert (made.code, made.err, made.json["note"], made.json["state"]) == (0, "", "ci", "holds")
    assert "secret_hash" not in made.json
    principal = who(url, made.json["public_key"], made.json["secret_key"])
    assert (principal.project, principal.permissions) == ("shop", KEY_SCOPES[scope])


def test_the_secret_is_shown_once(cli: Cli, url: str, tmp_path: Path) -> None:
    """It is in what ``create`` prints, in nothing that ``list`` prints, and nowhere in the file."""
    text = cli("key", "create", "--project", "shop", "--backend", url).out
    secret = text.partition("LANGFUSE_SECRET_KEY=")[2].split()[0]
    public = text.partition("LANGFUSE_PUBLIC_KEY=")[2].split()[0]
    assert len(secret) > 40
    for options in ([], ["--json"]):
        listed = cli("key", "list", "--project", "shop", "--backend", url, *options)
        assert public in listed.out
        assert secret not in listed.out + listed.err
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert public.encode() in kept
    assert secret.encode() not in kept


def test_the_pepper_of_the_server_is_used(cli: Cli, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is made under TRACECORE_PEPPER is none under another."""
    monkeypatch.setenv("TRACECORE_PEPPER", "a pepper")
    made = cli("key", "create", "--json", "--project", "shop", "--backend", url).json
    assert who(url, made["public_key"], made["secret_key"], pepper="a pepper").project == "shop"
    with pytest.raises(AccessDenied):
        who(url, made["public_key"], made["secret_key"], pepper="another")


def test_a_revoked_key_opens_nothing(cli: Cli, url: str) -> None:
    """Revoked, it is refused and stays listed; nobody revokes keys of another project."""
    made = cli("key", "create", "--json", "--project", "shop", "--backend", url).json
    foreign = cli("key", "revoke", made["public_key"], "--project", "other", "--backend", url)
    unknown = cli("key", "revoke", "pk-nobody", "--project", "other", "--backend", url)
    assert (foreign.code, foreign.err.replace(made["public_key"], "pk-nobody")) == (1, unknown.err)
    assert who(url, made["public_key"], made["secret_key"]).project == "shop"
    assert cli("key", "revoke", made["public_key"], "--project", "shop", "--backend", url).code == 0
    with pytest.raises(AccessDenied):
        who(url, made["public_key"], made["secret_key"])
    [listed] = cli("key", "list", "--json", "--project", "shop", "--backend", url).json["keys"]
    assert (listed["public_key"], listed["state"]) == (made["public_key"], "revoked")
    assert cli("key", "list", "--json", "--project", "other", "--backend", url).json["keys"] == []


def test_a_key_may_expire(cli: Cli, url: str) -> None:
    """``--expires-in`` is how long it holds, and what it was in the past is listed as expired."""
    made = cli("key", "create", "--json", "--project", "shop", "--expires-in", "30d", "--backend", url).json
    assert made["expires_ns"] - made["created_ns"] == 30 * 86_400 * 10**9
    who(url, made["public_key"], made["secret_key"], now_ns=made["expires_ns"] - 1)
    with pytest.raises(AccessDenied):
        who(url, made["public_key"], made["secret_key"], now_ns=made["expires_ns"])
    cli("key", "create", "--project", "shop", "--expires-in", "0s", "--backend", url)
    states = [one["state"] for one in cli("key", "list", "--json", "--project", "shop", "--backend", url).json["keys"]]
    assert states == ["expired", "holds"]


def test_a_project_that_is_none(cli: Cli, url: str, tmp_path: Path) -> None:
    """A misspelt project gets no key, a backend without a catalog none either, and no file is made for it."""
    wrong = cli("key", "create", "--project", "shpo", "--backend", url)
    assert (wrong.code, wrong.out) == (1, "")
    assert "no project 'shpo'" in wrong.err
    missing = cli("key", "create", "--project", "shop", "--backend", f"sqlite:///{tmp_path}/none.db")
    assert (missing.code, missing.out) == (1, "")
    assert "tracecore project create shop" in missing.err
    assert not (tmp_path / "none.db").exists()
    kept = cli("key", "create", "--project", "shop", "--backend", f"jsonl:{tmp_path}/a.jsonl")
    assert kept.code == 1
    assert "keeps no catalog" in kept.err
    of_server = cli("key", "create", "--project", "shop", "--backend", "http://pk:sk@127.0.0.1:1")
    assert (of_server.code, "for a server, what it serves" in of_server.err) == (1, True)


def test_hostile_notes_are_harmless(cli: Cli, url: str) -> None:
    """What somebody wrote into a note cannot drive the terminal of who lists it."""
    cli("key", "create", "--project", "shop", "--note", "\x1b]0;owned\x07\u202e", "--backend", url)
    for options in ([], ["--json"]):
        out = cli("key", "list", "--project", "shop", "--backend", url, *options).out
        assert not {"\x1b", "\x07", "\u202e"} & set(out)
