"""What an error of the database means to a caller, entry by entry of the table, and as a real server says it."""

from __future__ import annotations

import ssl
from pathlib import Path

import asyncpg
import pytest
from msgspec import Raw

from tests.postgres_server import Database
from tracecore.errors import BackendError, BackendRejected, BackendUnavailable, DiskFull
from tracecore.records import Generation
from tracecore.testing.opening import opened
from tracecore.testing.samples import generation, span
from tracecore_postgres import open_backend
from tracecore_postgres.address import parse
from tracecore_postgres.connection import Connector, within
from tracecore_postgres.failures import FAILURES, failure

FOR_GOOD = {"22", "22021", "22P05", "23", "54"}


def error_of(code: str) -> Exception:
    """Return an error of the driver with a code of the server."""
    error = asyncpg.PostgresError("said\nthe server")
    error.sqlstate = code.ljust(5, "0")
    return error


@pytest.mark.parametrize("code", FAILURES)
def test_an_entry_says_what_to_do(code: str) -> None:
    """Values that will never fit are refused for good, a full disk is counted apart, everything else may pass."""
    found = failure("postgresql://h/d", error_of(code))
    expected = BackendRejected if code in FOR_GOOD else DiskFull if code == "53100" else BackendUnavailable
    assert type(found) is expected
    assert str(found).startswith("postgresql://h/d ")
    assert "(said the server)" in str(found)
    assert found.remedy


@pytest.mark.parametrize(
    ("error", "kind", "what"),
    [
        (error_of("57P01"), BackendUnavailable, "stopped or started"),
        (error_of("57P03"), BackendUnavailable, "stopped or started"),
        (error_of("40P01"), BackendUnavailable, "busy"),
        (error_of("40001"), BackendUnavailable, "busy"),
        (error_of("55P03"), BackendUnavailable, "busy"),
        (error_of("55000"), BackendUnavailable, "cannot do this now"),
        (error_of("57014"), BackendUnavailable, "cancelled"),
        (error_of("28P01"), BackendUnavailable, "password"),
        (error_of("08006"), BackendUnavailable, "lost the connection"),
        (error_of("22003"), BackendRejected, "cannot hold a value"),
        (error_of("0A000"), BackendUnavailable, "failed"),
        (asyncpg.InterfaceError("closed"), BackendUnavailable, "lost the connection"),
        (asyncpg.DataError("wrong"), BackendRejected, "cannot hold a value"),
        (asyncpg.exceptions.ClientConfigurationError("wrong"), BackendRejected, "cannot be reached so"),
        (OverflowError(), BackendRejected, "cannot hold a value"),
        (ssl.SSLCertVerificationError("not of this host"), BackendUnavailable, "by TLS"),
        (TimeoutError(), BackendUnavailable, "in time"),
        (ConnectionResetError(), BackendUnavailable, "lost the connection"),
        (ConnectionRefusedError(), BackendUnavailable, "cannot be reached"),
        (FileNotFoundError(), BackendUnavailable, "cannot be reached"),
    ],
)
def test_an_error_is_known_by_its_code_or_its_kind(error: Exception, kind: type[BackendError], what: str) -> None:
    """The longest beginning of a code counts; what the driver raises by itself is known by its class."""
    found = failure("here", error)
    assert type(found) is kind
    assert what in str(found)


@pytest.mark.parametrize(
    "record",
    [
        generation(1, start_ns=2**63),
        generation(1, duration_ns=2**80),
        generation(1, prompt_version=10**5000),
        generation(1, name=[]),
        generation(1, start_ns=1.5),
    ],
    ids=["start", "duration", "huge", "no value", "no whole number"],
)
async def test_what_no_column_holds_is_refused_for_good(postgres: Database, record: Generation) -> None:
    """A number beyond 64 bits, or a value of another type, will never fit; the next batch is written as ever."""
    async with opened(open_backend(postgres.url())) as backend:
        with pytest.raises(BackendRejected):
            await backend.write([span(1), record])
        assert await postgres.fetch("select from tc_observations") == []
        await backend.write([span(1)])
        assert len(await postgres.fetch("select from tc_observations")) == 1


async def test_what_fits_into_no_message_is_refused_for_good(
    postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record of a gigabyte (here: of a kilobyte) is refused before it is sent."""
    monkeypatch.setattr("tracecore_postgres.packing.MOST_BYTES", 1000)
    async with opened(open_backend(postgres.url())) as backend:
        with pytest.raises(BackendRejected, match="gigabyte"):
            await backend.write([span(1, input=Raw(b'"' + b"x" * 1000 + b'"'))])


async def test_a_server_that_is_not_there_may_come(tmp_path: Path) -> None:
    """Nobody at the socket, or no such database, may pass."""
    with pytest.raises(BackendUnavailable, match="reached"):
        await open_backend(f"postgresql:///d?host={tmp_path}&user=u").open()


async def test_a_database_that_is_not_there_may_be_made(postgres: Database) -> None:
    """A database that does not exist is a matter of creating it."""
    with pytest.raises(BackendUnavailable, match="no such database"):
        await open_backend(postgres.url().replace("/postgres?", "/nothing?")).open()


async def test_a_wrong_parameter_of_the_driver_is_refused(postgres: Database) -> None:
    """What the driver does not understand will not pass."""
    with pytest.raises(BackendRejected, match="sslmode"):
        await open_backend(postgres.url(sslmode="perhaps")).open()


async def test_what_keeps_from_connecting_again_is_no_fault_of_records(
    postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A running service waits until somebody has mended it: what is refused for good would be lost."""

    async def refuse(*_: object, **__: object) -> None:
        raise BackendRejected("it is PostgreSQL 9", "use a newer one")

    async with opened(open_backend(postgres.url())) as backend:
        backend._cut()
        with monkeypatch.context() as patched:
            patched.setattr("tracecore_postgres.connection.Connector.connect", refuse)
            with pytest.raises(BackendUnavailable, match="PostgreSQL 9; use a newer one"):
                await backend.write([generation(1)])
        await backend.write([generation(1)])


async def test_a_standby_is_left(postgres: Database) -> None:
    """A connection to a server that only reads is cut: the next one may find the primary."""
    url = postgres.url(options="-c default_transaction_read_only=on")
    async with opened(open_backend(postgres.url())):
        pass
    async with opened(open_backend(url)) as backend:
        with pytest.raises(BackendUnavailable, match="can only be read"):
            await backend.write([generation(1)])
        assert backend._writing is None


async def test_every_transaction_sees_what_others_committed(postgres: Database) -> None:
    """Whoever has waited for a lock sees what its holder did, also where the server's default is another level."""
    address = parse(postgres.url(options="-c default_transaction_isolation=serializable"))
    connection, _ = await Connector(address).connect()
    async with within(connection, "", always=True):
        assert await connection.fetchval("show transaction_isolation") == "read committed"
    await connection.close()


async def test_a_service_file_is_not_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be read of it may be the password."""
    services = tmp_path / "services"
    services.write_text("[mine]\nhost=h\npassword=100%hush\n")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    with pytest.raises(BackendUnavailable, match="service file") as caught:
        await open_backend("postgresql:///d?service=mine").open()
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None
