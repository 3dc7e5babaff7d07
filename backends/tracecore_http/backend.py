"""From a URL to the backend that speaks the protocol which its scheme names."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TypeAlias

from tracecore.backend import Access
from tracecore.errors import MissingDriver
from tracecore_http.address import parse
from tracecore_http.langfuse import LangfuseBackend
from tracecore_http.native import NativeBackend
from tracecore_http.otlp import OtlpBackend
from tracecore_http.remote import drivers_of

__all__ = ["HttpBackend", "open_backend"]

HttpBackend: TypeAlias = NativeBackend | OtlpBackend | LangfuseBackend


def open_backend(url: str, *, access: Access = "write") -> HttpBackend:
    """Return an unopened backend for ``https://``, ``https+otlp://`` or ``https+langfuse://``.

    Raises:
        ConfigError: the URL is not of one of these forms.
        MissingDriver: what it needs is not installed.
    """
    address = parse(url)
    if not all(map(_is_there, drivers_of(address))):
        raise MissingDriver(address.scheme, "http", "backend URL")
    match address.protocol:
        case "native":
            return NativeBackend(address, access=access)
        case "otlp":
            return OtlpBackend(address, access=access)
        case "langfuse":
            return LangfuseBackend(address, access=access)


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # what it is in is not there
        return False
