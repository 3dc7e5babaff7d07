"""The OpenTelemetry SDKs export to the server over HTTP in every way that they have, and nothing is lost on the way."""

from __future__ import annotations

from typing import Any

import pytest

from tests.compat.programs import Told, tell_js, tell_python
from tests.compat.serving import Server

TELLERS = {"Python": tell_python, "JavaScript": tell_js}
COMPRESSIONS = {"Python": 3, "JavaScript": 2}
BIG = {"Python": 2**62, "JavaScript": 2**53 - 1}


@pytest.fixture(scope="module", params=TELLERS)
def sdk(request: pytest.FixtureRequest) -> str:
    """Return whose exporter it is."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def told(server: Server, sdk: str) -> Told:
    """Return what the program told."""
    return TELLERS[sdk]("otlp", server)


def assert_arrived(server: Server, saw: dict[str, Any], name: str, big: int) -> None:
    """Assert that both spans of a trace are there, with everything that was said of them."""
    assert set(saw["results"]) == {"SUCCESS"}, name
    spans = server.by_name(saw["trace_id"])
    root, child = spans[name], spans["child"]
    assert (root["id"], child["id"], child["parentObservationId"]) == (saw["root"], saw["child"], saw["root"])
    assert (root["isRootObservation"], root["type"], root["environment"]) == (True, "SPAN", "qa")
    assert (root["version"], root["level"]) == ("3.1", "DEFAULT")
    assert (child["level"], child["statusMessage"]) == ("ERROR", "broken")
    metadata = server.by_name(saw["trace_id"], expandMetadata="attributes,resourceAttributes,scope")[name]["metadata"]
    assert "/世" in str(metadata["attributes"])
    assert str(big) in str(metadata["attributes"])
    assert "shop" in str(metadata["resourceAttributes"])
    assert "my.library" in str(metadata["scope"])


def test_combinations(told: Told, server: Server, sdk: str) -> None:
    """Both encodings on both paths, compressed or not, arrive equally."""
    combinations = told["combinations"]
    assert len(combinations) == 2 * 2 * COMPRESSIONS[sdk]
    for name, saw in combinations.items():
        assert_arrived(server, saw, name, BIG[sdk])


def test_by_environment(told: Told, server: Server, sdk: str) -> None:
    """Address and keys from the environment suffice, for a program that cannot be changed."""
    for name, saw in told["by_environment"].items():
        assert_arrived(server, saw, f"{name} by environment", BIG[sdk])


def test_a_wrong_key_is_refused(told: Told) -> None:
    """An exporter with a wrong key is told that its spans were not taken."""
    assert {result for results in told["wrong_key"].values() for result in results} == {"FAILURE"}
