"""From a URL to a backend: its scheme is the name of an entry point in the group ``tracecore.backends``.

Our own backends come in by the same door as anybody else's; no backend is named here. A plug-in is imported when its
scheme is first asked for, and only then.

Invariants: what goes wrong between a URL and its factory is a :class:`~tracecore.errors.ConfigError` that names the URL
(without credentials), its source and what would work; a driver that is not installed is
:class:`~tracecore.errors.MissingDriver`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, cast

from tracecore.backend import Access, Backend, BackendFactory, Repeatable
from tracecore.config import Config, urls_in, without_credentials
from tracecore.credentials import with_secret
from tracecore.errors import ConfigError, MissingDriver

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["GROUP", "another_backend", "configured_urls", "known_schemes", "open_backend", "open_to_read"]

GROUP: Final = "tracecore.backends"
"""The entry-point group: names are URL schemes in lower case, values are ``BackendFactory`` callables."""


def open_backend(url: str, *, access: Access = "write", source: str = "code") -> Backend:
    """Return the backend for ``url``, not opened yet; ``source`` says in errors where the URL came from.

    Of several URLs joined by ``+`` (:func:`~tracecore.config.urls_in`) whoever reads is given the first backend that
    has something to read; to write to them is a recorder's work.

    Raises:
        ConfigError: the scheme is unknown, its plug-in is broken, or the plug-in cannot use the URL.
        MissingDriver: the plug-in's driver is not installed.
    """
    urls = urls_in(url, _plugins())
    if len(urls) == 1:
        return _opened(url, access, source)
    if access == "write":
        raise ConfigError("backend", without_credentials(url), source, "one URL here, not several joined by '+'")
    backends = [_opened(one, access, source) for one in urls]
    return next(filter(_can_be_read, backends), backends[0])


def _can_be_read(backend: Backend) -> bool:
    return any(store is not None for store in (backend.traces, backend.observations, backend.sql))


def _opened(url: str, access: Access, source: str) -> Backend:
    """Return the backend for one URL."""
    scheme = url.partition(":")[0].lower()
    plugin = _plugin(scheme, url, source)
    try:
        factory = cast("BackendFactory", plugin.load())
        return factory(url, access=access)
    except MissingDriver as error:
        raise MissingDriver(error.scheme, error.extra, source) from error
    except ConfigError as error:
        raise ConfigError(
            "backend", without_credentials(url), source, _without_parts_of_password(error, url)
        ) from error
    except ImportError as error:
        raise _not_importable(plugin, error, url=url, source=source) from error
    except AttributeError as error:
        expected = f"a working plug-in: {plugin.value} cannot be used ({error})"
        raise ConfigError("backend", without_credentials(url), source, expected) from error


def _without_parts_of_password(error: ConfigError, url: str) -> str:
    """Return what was expected; a password that was not encoded ends early, and its beginning is taken for a port."""
    credentials = re.search(r"//(\S*)@", url)
    if credentials is None:
        return error.expected
    secret = credentials[1]
    hidden = re.sub("'([^']+)'", lambda found: "'***'" if found[1] in secret else found[0], error.expected)
    hint = "; in a password write %2F for /, %3F for ? and %23 for #"
    return hidden if hidden == error.expected else hidden + hint


def another_backend(before: object, url: str, *, source: str = "code") -> Backend:
    """Return a backend for ``url``, not opened yet: of the same data as the one ``before``, where that can make one.

    Raises:
        ConfigError: as :func:`open_backend` does.
    """
    return before.another() if isinstance(before, Repeatable) else open_backend(url, source=source)


def configured_urls(config: Config) -> list[str]:
    """Return the URL of every backend that is configured, with the secret in the one that lacks it: not to be shown.

    Raises:
        ConfigError: the secret cannot be read, or nobody knows whose it is.
    """
    return with_secret(urls_in(config.backend, _plugins()), config)


def open_to_read(config: Config) -> Backend:
    """Return the configured backend that commands read from, not opened yet: of several as :func:`open_backend` does.

    Raises:
        ConfigError: as :func:`open_backend` and :func:`configured_urls` do.
    """
    return open_backend("+".join(configured_urls(config)), access="read", source=config.sources.get("backend", "code"))


def known_schemes() -> list[str]:
    """Return the URL schemes that installed plug-ins offer, sorted."""
    return sorted(_plugins())


@cache
def _plugins() -> Mapping[str, tuple[EntryPoint, ...]]:
    """Return the plug-ins by scheme: several for one scheme when distributions disagree."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - slow to import, and not needed before a backend is

    found: dict[str, dict[str, EntryPoint]] = {}
    for plugin in entry_points(group=GROUP):
        found.setdefault(plugin.name.lower(), {}).setdefault(plugin.value, plugin)
    return MappingProxyType({scheme: tuple(plugins.values()) for scheme, plugins in found.items()})


def _plugin(scheme: str, url: str, source: str) -> EntryPoint:
    """Return the one plug-in for ``scheme``, or else for what stands before its first ``+``."""
    plugins = _plugins()
    # What speaks over HTTP is https+otlp: or https+langfuse:, and one plug-in knows them all.
    match plugins.get(scheme) or plugins.get(scheme.partition("+")[0], ()):
        case (plugin,):
            return plugin
        case ():
            expected = _known(scheme, plugins)
        case several:
            expected = f"one plug-in for '{scheme}:', found " + " and ".join(plugin.value for plugin in several)
    raise ConfigError("backend", without_credentials(url), source, expected)


def _known(scheme: str, plugins: Mapping[str, object]) -> str:
    """Return the words for what would have been right."""
    if not plugins:
        return f"an installed plug-in, but there is no entry point '{GROUP}' at all: pip install tracecore"
    from tracecore.config_sources import nearest  # noqa: PLC0415 - with difflib, only for errors

    near = nearest(scheme, plugins)
    known = ", ".join(f"{name}:" for name in sorted(plugins))
    return f"a URL with one of the schemes {known}" + (f" (perhaps {near}:)" if near else "")


def _not_importable(plugin: EntryPoint, error: ImportError, *, url: str, source: str) -> ConfigError:
    """Return the error for a plug-in whose import failed: a driver of ours, or something only its author can name."""
    own_module = error.name is not None and error.name.partition(".")[0] == plugin.module.partition(".")[0]
    ours = plugin.dist is None or plugin.dist.name == "tracecore"
    if ours and not own_module:
        extra = plugin.extras[0] if plugin.extras else plugin.name
        return MissingDriver(plugin.name, extra, source)
    expected = f"a plug-in that can be imported: {plugin.value} cannot ({error}); install what it needs"
    return ConfigError("backend", without_credentials(url), source, expected)
