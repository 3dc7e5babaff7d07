"""Keys and the gate: who is let in, how far, and for how long."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from functools import partial

import anyio
import pytest
from starlette.requests import Request

from tests.fakes import ManualClock
from tracecore.catalog import INSTALLATION, CatalogQuery
from tracecore.errors import AccessDenied, ConfigError, Conflict, NotFound
from tracecore.memory import MemoryBackend, MemoryData
from tracecore.server.access import KNOWN_FOR_NS, Gate
from tracecore.server.problems import Refusal
from tracecore.services.access import KEY_SCOPES, PERMISSIONS
from tracecore.services.first_start import Init, first_key
from tracecore.services.keys import Keys, NewKey
from tracecore.services.projects import Projects

NOW = 1_000_000_000_000


@pytest.fixture
async def backend() -> AsyncIterator[MemoryBackend]:
    """Return an open backend."""
    opened = MemoryBackend(MemoryData(), location="memory:", access="write")
    await opened.open()
    yield opened
    await opened.close()


def basic(public: str, secret: str) -> str:
    """Return the header of a key."""
    return "Basic " + base64.b64encode(f"{public}:{secret}".encode()).decode()


def asking(authorization: str | None) -> Request:
    """Return a request with this header."""
    headers = [] if authorization is None else [(b"authorization", authorization.encode())]
    return Request({"type": "http", "method": "GET", "path": "/", "headers": headers})


def gate_of(keys: Keys) -> tuple[Gate, ManualClock, ManualClock]:
    """Return a gate, its wall clock and its monotonic one."""
    wall, clock = ManualClock(), ManualClock()
    wall.now = NOW
    return Gate(keys, wall=wall, clock=clock), wall, clock


async def test_a_secret_is_nowhere(backend: MemoryBackend) -> None:
    """What is kept of a key is a hash that depends on the pepper; the secret is in no entry."""
    made = await Keys(backend.catalog).create("p", now_ns=NOW)
    entries = (await backend.catalog.find(INSTALLATION, CatalogQuery(kind="api_key"))).items
    assert [entry.parent for entry in entries] == ["p"]
    assert made.secret.encode() not in bytes(entries[0].body)
    other = await Keys(backend.catalog, "another pepper").create("p", now_ns=NOW, secret=made.secret)
    assert other.key.secret_hash != made.key.secret_hash
    assert len(made.secret) > 40
    assert made.key.hint.endswith(made.secret[-4:])


async def test_a_key_is_checked_as_a_whole(backend: MemoryBackend) -> None:
    """Another secret, another public part, a revoked and an expired key are refused alike."""
    keys = Keys(backend.catalog)
    good, other = await keys.create("p", now_ns=NOW), await keys.create("q", now_ns=NOW)
    short = await keys.create("p", now_ns=NOW, expires_ns=NOW + 10)
    principal = await keys.check(good.key.public_key, good.secret, now_ns=NOW)
    assert (principal.project, principal.permissions) == ("p", PERMISSIONS)
    assert (await keys.check(short.key.public_key, short.secret, now_ns=NOW + 9)).project == "p"
    await keys.revoke("q", other.key.public_key, now_ns=NOW)
    for public, secret, now in (
        (good.key.public_key, other.secret, NOW),
        ("pk-tc-unknown", good.secret, NOW),
        (other.key.public_key, other.secret, NOW),
        (short.key.public_key, short.secret, NOW + 10),
        ("", "", NOW),
    ):
        with pytest.raises(AccessDenied, match="Invalid credentials"):
            await keys.check(public, secret, now_ns=now)


async def test_keys_of_other_projects_are_not_there(backend: MemoryBackend) -> None:
    """A key of another project is revoked exactly as one that is unknown: not at all."""
    keys = Keys(backend.catalog)
    made = await keys.create("p", now_ns=NOW)
    for public in (made.key.public_key, "pk-tc-unknown"):
        with pytest.raises(NotFound):
            await keys.revoke("q", public, now_ns=NOW)
    assert (await keys.check(made.key.public_key, made.secret, now_ns=NOW)).project == "p"
    assert [key.public_key for key in await keys.of_project("p")] == [made.key.public_key]
    assert await keys.of_project("q") == []


async def test_revoking_wins_over_noting_use(backend: MemoryBackend) -> None:
    """Notes of use and a revocation at once: however they meet, the key is revoked in the end."""
    keys = Keys(backend.catalog)
    for _ in range(20):
        made = await keys.create("p", now_ns=NOW)
        async with anyio.create_task_group() as group:
            for moment in range(5):
                group.start_soon(partial(keys.used, made.key.public_key, now_ns=NOW + moment))
            group.start_soon(partial(keys.revoke, "p", made.key.public_key, now_ns=NOW))
        with pytest.raises(AccessDenied):
            await keys.check(made.key.public_key, made.secret, now_ns=NOW)


@pytest.mark.parametrize("given", ["short", "with:colon-in-it", "näher-als-gedacht", "x" * 201, "line\nbreak-in-it"])
async def test_a_part_that_is_given_must_be_one(backend: MemoryBackend, given: str) -> None:
    """A public or a secret part that a header cannot carry is refused; a secret is not repeated in the error."""
    keys = Keys(backend.catalog)
    with pytest.raises(ConfigError, match="public key"):
        await keys.create("p", now_ns=NOW, public_key=given)
    with pytest.raises(ConfigError) as caught:
        await keys.create("p", now_ns=NOW, secret=given)
    assert given not in str(caught.value)


async def test_the_gate_lets_in_whom_it_knows(backend: MemoryBackend) -> None:
    """A whole key is let in as far as its scope goes; its public part alone may give scores."""
    keys = Keys(backend.catalog)
    gate, _, _ = gate_of(keys)
    for scope, permissions in KEY_SCOPES.items():
        made = await keys.create("p", now_ns=NOW, scope=scope)
        header = basic(made.key.public_key, made.secret)
        for permission in sorted(PERMISSIONS):
            if permission in permissions:
                assert (await gate.admit(asking(header), permission)).project == "p"
            else:
                with pytest.raises(Refusal) as caught:
                    await gate.admit(asking(header), permission)
                assert caught.value.problem.status == 403
                assert "use one of the scope all" in str(caught.value.problem.detail)
    everything = await keys.create("p", now_ns=NOW)
    bearer = asking(f"Bearer {everything.key.public_key}")
    assert (await gate.admit(bearer, "scores:create")).key == everything.key.public_key
    with pytest.raises(Refusal):
        await gate.admit(bearer, "scores:CUD")
    with pytest.raises(Refusal):
        await gate.admit(bearer, "project:read")


@pytest.mark.parametrize(
    "header",
    [
        None, "", "Basic", "Basic !", "Basic " + base64.b64encode(b"\xff\xfe").decode(), "Basic bm9jb2xvbg==",
        "Bearer ", "Bearer pk-tc-unknown", "Digest a=b", "Basic " + "A" * 100_000,
    ],
)  # fmt: skip
async def test_the_gate_lets_nobody_else_in(backend: MemoryBackend, header: str | None) -> None:
    """Whatever is no credential is 401."""
    gate, _, _ = gate_of(Keys(backend.catalog))
    with pytest.raises(Refusal) as caught:
        await gate.admit(asking(header), "project:read")
    assert caught.value.problem.status == 401


async def test_a_key_revoked_elsewhere_is_refused_within_5_s(backend: MemoryBackend) -> None:
    """Another process revokes: this one remembers for some seconds and no longer, and not at all once it is told."""
    keys = Keys(backend.catalog)
    gate, _, clock = gate_of(keys)
    made = await keys.create("p", now_ns=NOW)
    request = asking(basic(made.key.public_key, made.secret))
    await gate.admit(request, "project:read")
    await Keys(backend.catalog).revoke("p", made.key.public_key, now_ns=NOW)
    clock.now += KNOWN_FOR_NS - 1
    await gate.admit(request, "project:read")
    clock.now += 1
    with pytest.raises(Refusal):
        await gate.admit(request, "project:read")
    assert KNOWN_FOR_NS <= 5_000_000_000
    again = await keys.create("p", now_ns=NOW)
    request = asking(basic(again.key.public_key, again.secret))
    await gate.admit(request, "project:read")
    await keys.revoke("p", again.key.public_key, now_ns=NOW)
    gate.forget(again.key.public_key)
    with pytest.raises(Refusal):
        await gate.admit(request, "project:read")


async def test_what_is_remembered_is_bounded(backend: MemoryBackend) -> None:
    """A hundred thousand wrong credentials take no more memory than ten thousand."""
    gate, _, _ = gate_of(Keys(backend.catalog))
    for number in range(10_050):
        with pytest.raises(Refusal):
            await gate.admit(asking(f"Bearer pk-{number}"), "scores:CUD")
    assert len(vars(gate)["_known"]) <= 10_000


async def test_a_credential_as_long_as_a_head_is_not_remembered(backend: MemoryBackend) -> None:
    """What is remembered is some hundred bytes each: ten thousand credentials of 60 kB would be all memory."""
    gate, _, _ = gate_of(Keys(backend.catalog))
    for header in ("Bearer " + "x" * 60_000, basic("x" * 200, "y" * 60_000)):
        with pytest.raises(Refusal, match="longer"):
            await gate.admit(asking(header), "project:read")
    assert not vars(gate)["_known"]
    longest = await Keys(backend.catalog).create("p", now_ns=NOW, public_key="p" * 200, secret="s" * 200)
    await gate.admit(asking(basic(longest.key.public_key, longest.secret)), "project:read")


async def test_the_first_start_makes_one_key(backend: MemoryBackend) -> None:
    """Ten starts at once make one project and one key, and a later start makes none."""
    found: list[NewKey | None] = []

    async def start() -> None:
        found.append(await first_key(Projects(backend.catalog), Keys(backend.catalog), Init(), now_ns=NOW))

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(start)
    await start()
    assert [made.key.project for made in found if made] == ["default"]
    assert [project.id for project in await Projects(backend.catalog).every()] == ["default"]


async def test_a_start_that_is_refused_makes_nothing(backend: MemoryBackend) -> None:
    """Neither a project for a key of another one, nor a key for a project that cannot be."""
    projects, keys = Projects(backend.catalog), Keys(backend.catalog)
    await first_key(projects, keys, Init("p", "pk-of-p-", "sk-of-p-"), now_ns=NOW)
    for init in (
        Init("q", "pk-of-p-", "sk-of-p-"),
        Init("q", "pk-of-q-", "short"),
        Init("a/b", "pk-of-q-", "sk-of-q-"),
    ):
        with pytest.raises(ConfigError):
            await first_key(projects, keys, init, now_ns=NOW)
    assert [one.id for one in await projects.every()] == ["p"]
    assert not await keys.of_project("a/b")
    await projects.delete("p")  # a start that was killed between both
    assert await first_key(projects, keys, Init("p", "pk-of-p-", "sk-of-p-"), now_ns=NOW) is None
    assert [one.id for one in await projects.every()] == ["p"]


async def test_a_key_from_the_environment(backend: MemoryBackend) -> None:
    """A key that is named beforehand is there after every start, and is refused where it is another's."""
    projects, keys = Projects(backend.catalog), Keys(backend.catalog)
    await first_key(projects, keys, Init(), now_ns=NOW)
    init = Init("shop", "pk-lf-shop", "sk-lf-secret")
    made = await first_key(projects, keys, init, now_ns=NOW)
    assert made is not None
    assert await first_key(projects, keys, init, now_ns=NOW) is None
    assert (await keys.check("pk-lf-shop", "sk-lf-secret", now_ns=NOW)).project == "shop"
    for wrong in (Init("shop", "pk-lf-shop", "sk-lf-other"), Init("bank", "pk-lf-shop", "sk-lf-secret")):
        with pytest.raises(ConfigError, match="TRACECORE_INIT_PUBLIC_KEY") as caught:
            await first_key(projects, keys, wrong, now_ns=NOW)
        assert "sk-lf" not in str(caught.value)
    with pytest.raises(ConfigError, match="TRACECORE_INIT_SECRET_KEY"):
        await first_key(projects, keys, Init(public_key="pk-lf-shop"), now_ns=NOW)


async def test_projects(backend: MemoryBackend) -> None:
    """Projects are made once, renamed, and gone when they are deleted; their ids are what a record can carry."""
    projects = Projects(backend.catalog)
    await projects.create("a", now_ns=NOW)
    with pytest.raises(Conflict):
        await projects.create("a", now_ns=NOW)
    assert (await projects.update("a", now_ns=NOW + 1, name="A shop")).name == "A shop"
    assert (await projects.get("a")).updated_ns == NOW + 1
    await projects.delete("a")
    for missing in (projects.get("a"), projects.delete("a"), projects.update("a", now_ns=NOW, name="b")):
        with pytest.raises(NotFound):
            await missing
    for wrong in ("", "-a", "a b", "a/b", "ä", "a" * 201, "a\n"):
        with pytest.raises(ConfigError):
            await projects.create(wrong, now_ns=NOW)
