"""From a URL to the backend that speaks the protocol which its scheme names."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TypeAlias

from tracecore.backend import Access
from tracecore.errors import MissingDriver
from tracecore_http.address import Address, parse
from tracecore_http.langfuse import LangfuseBackend
from tracecore_http.native import NativeBackend
from tracecore_http.otlp import OtlpBackend

__all__ = ["HttpBackend", "open_backend"]

HttpBackend: TypeAlias = NativeBackend | OtlpBackend | LangfuseBackend


def open_backend(url: str, *, access: Access = "write") -> HttpBackend:
    """Return an unopened backend for ``https://``, ``https+otlp://`` or ``https+langfuse://``.

    Raises:
        ConfigError: the URL is not of one of these forms.
        MissingDriver: what it needs is not installed.
    """
    address = parse(url)
    extra = _missing_extra(address)
    if extra is not None:
        raise MissingDriver(address.scheme, extra, "backend URL")
    match address.protocol:
        case "native":
            return NativeBackend(address, access=access)
        case "otlp":
            return OtlpBackend(address, access=access)
        case "langfuse":
            return LangfuseBackend(address, access=access)


def _missing_extra(address: Address) -> str | None:
    """Return the extra that brings what is missing, without importing anything that is slow."""
    zstd = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    if not _is_there("httpx2") or (address.compression == "zstd" and not _is_there(zstd)):
        return "http"
    if address.protocol != "native" and address.encoding == "protobuf":
        return None if _is_there("opentelemetry.proto.collector") else "otlp"
    return None


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # what it is in is not there
        return False
