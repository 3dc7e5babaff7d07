"""The first start of an installation: one project and one key, so that the first trace needs no set-up."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from msgspec import Struct

from tracecore.errors import AccessDenied, ConfigError, Conflict
from tracecore.services.keys import Keys, NewKey
from tracecore.services.projects import Projects, check_project_id

__all__ = ["Init", "first_key"]

_DEFAULT: Final = "default"
"""The project into which programs record that name none."""


class Init(Struct, frozen=True):
    """Say what there shall be at the start, where nobody is there to read what was made: ``TRACECORE_INIT_*``."""

    project: str | None = None
    public_key: str | None = None
    secret_key: str | None = None


async def first_key(projects: Projects, keys: Keys, init: Init, *, now_ns: int) -> NewKey | None:
    """Make the project and the key that are asked for, or the first ones; return a key that was made now.

    However often, and by however many processes at once, it is asked: there is one.

    Raises:
        ConfigError: half a key is given, or the public part is another key's.
    """
    if (init.public_key is None) != (init.secret_key is None):
        missing = "TRACECORE_INIT_SECRET_KEY" if init.secret_key is None else "TRACECORE_INIT_PUBLIC_KEY"
        raise ConfigError(missing, "", "the environment", "both parts of the key, or neither")
    project = init.project or _DEFAULT
    if init.public_key is not None:
        check_project_id(project)
        made = await _key(keys, project, init, now_ns)  # before the project: what is refused makes nothing
        with suppress(Conflict):
            await projects.create(project, now_ns=now_ns)
        return made
    if await projects.every():
        return None
    try:
        await projects.create(project, now_ns=now_ns)
    except Conflict:  # another process was first, and has the key
        return None
    return await _key(keys, project, init, now_ns)


async def _key(keys: Keys, project: str, init: Init, now_ns: int) -> NewKey | None:
    try:
        return await keys.create(
            project, now_ns=now_ns, note="first start", public_key=init.public_key, secret=init.secret_key
        )
    except Conflict:
        public, secret = init.public_key or "", init.secret_key or ""
    try:
        principal = await keys.check(public, secret, now_ns=now_ns)
    except AccessDenied as error:
        expected = "the public part of a key with this secret, or one that is not used yet"
        raise ConfigError("TRACECORE_INIT_PUBLIC_KEY", public, "the environment", expected) from error
    if principal.project != project:
        expected = f"a key of the project {project!r}, not of {principal.project!r}"
        raise ConfigError("TRACECORE_INIT_PUBLIC_KEY", public, "the environment", expected)
    return None
