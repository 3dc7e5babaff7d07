"""``tracecore serve``: one process that Langfuse's SDKs, exporters of OpenTelemetry and our own programs send to."""

from __future__ import annotations

import base64
import os
import socket
import sys
from importlib.util import find_spec
from urllib.parse import quote

import anyio
import click

from tracecore import __version__
from tracecore.cli.escaping import visible
from tracecore.cli.options import with_settings
from tracecore.cli.output import print_json, print_lines
from tracecore.cli.reading import Settings
from tracecore.config import without_credentials
from tracecore.errors import ConfigError
from tracecore.plugins import configured_urls, open_backend
from tracecore.services.keys import NewKey

__all__ = ["serve"]

_SOURCE = "tracecore serve"


@click.command(short_help="Serve the HTTP API that Langfuse SDKs and OTLP exporters send to.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option("--port", default=4318, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes; PostgreSQL only.")
@click.option("--access-log", is_flag=True, help="Write one line of JSON per request to stdout.")
@with_settings
def serve(settings: Settings, *, host: str, port: int, workers: int, access_log: bool) -> None:
    """Serve the HTTP API that Langfuse SDKs and OTLP exporters send to.

    The first start makes a project and a key, and prints the key this once. Where nobody is there to read it, name the
    key beforehand: TRACECORE_INIT_PROJECT, TRACECORE_INIT_PUBLIC_KEY and TRACECORE_INIT_SECRET_KEY.
    """
    if any(find_spec(needed) is None for needed in ("uvicorn", "starlette", "re2")):
        raise click.UsageError("this command needs more: pip install 'tracecore[server]'")
    from tracecore.server import serving  # noqa: PLC0415 - an extra, and slow to import

    url = _one_url(settings, workers)
    with serving.listen(host, port) as listening:
        made = anyio.run(serving.prepared, open_backend(url, source=_SOURCE), serving.init_of(os.environ))
        _say(settings, _base(listening), without_credentials(url), made)
        serving.serve(url, listening, workers=workers, access_log=access_log)


def _one_url(settings: Settings, workers: int) -> str:
    urls = configured_urls(settings.config)
    source = settings.config.sources["backend"]
    if len(urls) > 1:
        raise ConfigError("backend", settings.config.shown()["backend"], source, "one URL: a server keeps in one place")
    if urls[0].startswith(("http:", "https:")):  # what the first start says to export, in the shell of the second
        where = "where this server keeps everything, such as --backend sqlite:///tracecore.db; this is that of a server"
        raise ConfigError("backend", settings.config.shown()["backend"], source, where)
    if workers > 1 and not urls[0].startswith(("postgresql:", "postgres:")):
        raise ConfigError("workers", workers, "the command line", "1, unless the backend is PostgreSQL")
    return urls[0]


def _base(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _say(settings: Settings, base: str, where: str, made: NewKey | None) -> None:
    """Say where it serves, and a key that was made now."""
    variables = _variables(base, made) if made is not None and "TRACECORE_INIT_SECRET_KEY" not in os.environ else {}
    if settings.as_json:
        print_json({"url": base, "backend": where, "version": __version__, "environment": variables})
    else:
        print_lines([visible(line) for line in _lines(base, where, made, variables)])
    sys.stdout.flush()  # whoever started it waits for this


def _lines(base: str, where: str, made: NewKey | None, variables: dict[str, str]) -> list[str]:
    lines = [f"tracecore {__version__} serves {where} at {base}"]
    if variables and made is not None:
        lines += ["", f"A key for the project {made.key.project!r} was made. Its secret is shown this once:", ""]
        lines += [f"  export {name}={value}" for name, value in variables.items()]
        lines.append("")
    return lines


def _variables(base: str, made: NewKey) -> dict[str, str]:
    """Return the variables by which programs find this server: of Langfuse, of OpenTelemetry, and our own."""
    public, secret = made.key.public_key, made.secret
    basic = base64.b64encode(f"{public}:{secret}".encode()).decode()
    return {
        "LANGFUSE_BASE_URL": base,
        "LANGFUSE_PUBLIC_KEY": public,
        "LANGFUSE_SECRET_KEY": secret,
        "OTEL_EXPORTER_OTLP_ENDPOINT": base,
        "OTEL_EXPORTER_OTLP_HEADERS": f"Authorization=Basic%20{quote(basic)}",
        "TRACECORE_BACKEND": base.replace("://", f"://{public}:{secret}@"),
    }
