"""Models over the API: what is shipped, what a project defines, and generations priced by both as they come."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from tests.generations import NOON, at, generation
from tests.server.conftest import Api
from tracecore.records import Generation
from tracecore.services.prices import price_table

FLAT = {"modelName": "mine", "matchPattern": "(?i)^mine$", "unit": "TOKENS", "inputPrice": 0.5, "outputPrice": 1}
TIERS: list[dict[str, Any]] = [
    {"name": "Standard", "isDefault": True, "priority": 0, "conditions": [], "prices": {"input": 1, "output": 2}},
    {
        "name": "Large", "isDefault": False, "priority": 1, "prices": {"input": 3, "output": 4},
        "conditions": [{"usageDetailPattern": "^input", "operator": "gt", "value": 100, "caseSensitive": True}],
    },
    {
        "name": "Flex", "isDefault": False, "priority": 2, "prices": {"input": 0.1, "output": 0.2},
        "conditions": [{"source": "model_parameters", "key": "tier", "operator": "in", "values": ["flex"]}],
    },
]  # fmt: skip
TIERED = {"modelName": "tiered", "matchPattern": "^tiered$", "unit": "TOKENS", "pricingTiers": TIERS}
REQUIRED = {
    "id", "modelName", "matchPattern", "startDate", "inputPrice", "outputPrice", "totalPrice", "unit", "tokenizerId",
    "tokenizerConfig", "isLangfuseManaged", "createdAt", "prices", "pricingTiers",
}  # fmt: skip


async def write(api: Api, *records: Generation) -> None:
    """Write records the way every request does: prepared first."""
    await api.backend.write(await api.server.state.prepare(list(records)))


async def stored(api: Api) -> Generation:
    """Return the one generation of these tests as it is kept."""
    assert api.backend.observations is not None
    found = await api.backend.observations.get("p", "1" * 32, "2" * 16)
    assert isinstance(found, Generation)
    return found


async def test_a_model_is_made_read_changed_and_removed(api: Api) -> None:
    """A definition answers with every key that clients need, and is what was said last until it is deleted."""
    made = await api.post("/models", FLAT | {"startDate": "2026-01-31", "tokenizerConfig": {"a": 1}})
    assert set(made) == REQUIRED
    assert made == {
        "id": made["id"], "modelName": "mine", "matchPattern": "(?i)^mine$", "startDate": "2026-01-31T00:00:00.000Z",
        "inputPrice": 0.5, "outputPrice": 1.0, "totalPrice": None, "unit": "TOKENS", "tokenizerId": None,
        "tokenizerConfig": {"a": 1}, "isLangfuseManaged": False, "createdAt": "2027-01-15T08:00:00.000Z",
        "prices": {"input": {"price": 0.5}, "output": {"price": 1.0}},
        "pricingTiers": [
            {"id": f"{made['id']}_tier_default", "name": "Standard", "isDefault": True, "priority": 0, "conditions": [],
             "prices": {"input": 0.5, "output": 1.0}},
        ],
    }  # fmt: skip
    path = f"/models/{made['id']}"
    assert await api.get(path) == made
    api.later()
    changed = (await api.p.put(path, json=TIERED)).json()
    assert (changed["id"], changed["createdAt"], changed["startDate"]) == (made["id"], made["createdAt"], None)
    assert [{key: tier[key] for key in TIERS[0]} for tier in changed["pricingTiers"]] == TIERS
    assert await api.get(path) == changed
    answer = await api.p.delete(path)
    assert (answer.status_code, answer.json()) == (200, {"message": "Model successfully deleted"})
    assert (await api.p.get(path)).status_code == (await api.p.delete(path)).status_code == 404


async def test_a_model_of_a_given_id(api: Api) -> None:
    """A definition that is put where there is none is made there."""
    put = (await api.p.put("/models/my-id", json=FLAT)).json()
    assert put["id"] == "my-id"
    assert (await api.p.put("/models/my-id", json=FLAT | {"inputPrice": 7})).json()["inputPrice"] == 7
    assert (await api.get("/models/my-id"))["inputPrice"] == 7


async def test_the_list_has_all_that_counts(api: Api) -> None:
    """What is shipped and what the project defined stand in one list by name, page by page."""
    await api.post("/models", FLAT | {"modelName": "!first"})
    await api.post("/models", TIERED | {"modelName": "~last"})
    page = await api.get("/models", limit=2)
    total = len(price_table().models) + 2
    assert page["meta"] == {"page": 1, "limit": 2, "totalItems": total, "totalPages": -(-total // 2)}
    assert page["data"][0]["modelName"] == "!first"
    assert set(page["data"][1]) == REQUIRED
    assert page["data"][1]["isLangfuseManaged"] is True
    last = await api.get("/models", limit=2, page=page["meta"]["totalPages"])
    assert last["data"][-1]["modelName"] == "~last"
    names = [
        model["modelName"]
        for number in range(1, 9)
        for model in (await api.get("/models", limit=100, page=number))["data"]
    ]
    assert len(names) == total
    assert names == sorted(names)


async def test_another_project_sees_nothing_of_it(api: Api) -> None:
    """A definition of another project is not there: to read, to remove, to price by, and its name is free."""
    made = await api.post("/models", FLAT)
    path = f"/models/{made['id']}"
    unknown = [(await api.q.get("/models/none")), (await api.q.delete("/models/none"))]
    foreign = [(await api.q.get(path)), (await api.q.delete(path))]
    for one, other in zip(foreign, unknown, strict=True):
        assert one.status_code == other.status_code == 404
        assert one.text.replace(made["id"], "none") == other.text
    assert (await api.q.post("/models", json=FLAT)).status_code == 200
    given = msgspec.structs.replace(generation("mine", {"input": 1}), project="r")
    [priced] = await api.server.state.prepare([given])
    assert priced == given


async def test_what_is_shipped_cannot_be_changed(api: Api) -> None:
    """Definitions that are shipped are read like others, and neither changed nor removed."""
    path = f"/models/{price_table().models[0].id}"
    shipped = await api.get(path)
    assert shipped["isLangfuseManaged"] is True
    assert (await api.get(path + "@" + price_table().version)) == shipped
    for answer in (await api.p.put(path, json=FLAT), await api.p.delete(path)):
        assert answer.status_code == 404
        assert "shipped" in answer.json()["message"]
    assert await api.get(path) == shipped


async def test_a_key_that_only_reads_defines_nothing(api: Api) -> None:
    """To define models takes a key that may."""
    async with await api.client("p", "read") as reader:
        assert (await reader.get("/models")).status_code == 200
        assert (await reader.post("/models", json=FLAT)).status_code == 403


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"matchPattern": "("}, "matchPattern"),
    ({"matchPattern": "(?=a)"}, "RE2"),
    ({"modelName": ""}, "modelName"),
    ({"inputPrice": -1}, "price of 'input'"),
    ({"inputPrice": 1e10}, "price of 'input'"),
    ({"inputPrice": 1e-30}, "decimal places"),
    ({"inputPrice": "1"}, "inputPrice"),
    ({"totalPrice": 1}, "totalPrice must be null"),
    ({"inputPrice": None, "outputPrice": None}, "either flat prices"),
    ({"pricingTiers": TIERS}, "either flat prices"),
    ({"unit": "APPLES"}, "unit"),
    ({"startDate": "yesterday"}, "ISO 8601"),
    ({"tokenizerId": "mine"}, "tokenizerId"),
    ({"tokenizerConfig": {"a": "x" * 20_000}}, "tokenizerConfig"),
]
WRONG_TIERS: list[tuple[int, dict[str, Any], str]] = [
    (0, {"isDefault": False}, "exactly one tier"),
    (1, {"isDefault": True}, "exactly one tier"),
    (0, {"priority": 3}, "0 for the default tier"),
    (0, {"conditions": TIERS[1]["conditions"]}, "none for the default tier"),
    (1, {"conditions": []}, "conditions of 'Large'"),
    (1, {"priority": 2}, "pricingTiers.priority"),
    (1, {"priority": 1000}, "priority of 'Large'"),
    (1, {"name": " Flex "}, "pricingTiers.name"),
    (1, {"name": " "}, "name of a tier"),
    (1, {"prices": {"input": 1}}, "prices of 'Large'"),
    (1, {"prices": {}}, "prices of 'Large'"),
    (1, {"conditions": [TIERS[1]["conditions"][0] | {"usageDetailPattern": "(a)\\1"}]}, "usageDetailPattern"),
    (1, {"conditions": [TIERS[1]["conditions"][0] | {"operator": "in"}]}, "operator"),
    (1, {"conditions": [TIERS[1]["conditions"][0] | {"value": -1}]}, "operator"),
    (2, {"conditions": [TIERS[2]["conditions"][0] | {"operator": "gt"}]}, "operator"),
    (2, {"conditions": [TIERS[2]["conditions"][0] | {"key": ""}]}, "key"),
    (2, {"conditions": [TIERS[2]["conditions"][0] | {"values": []}]}, "values"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), WRONG)
async def test_what_cannot_be_a_model_is_refused(api: Api, change: dict[str, Any], message: str) -> None:
    """A definition that cannot be one is refused with what is wrong and what would do; nothing is kept."""
    await refused(api, FLAT | change, message)


@pytest.mark.parametrize(("number", "change", "message"), WRONG_TIERS)
async def test_what_cannot_be_tiers_is_refused(api: Api, number: int, change: dict[str, Any], message: str) -> None:
    """Tiers keep Langfuse's rules, and who breaks one is told which."""
    tiers = [tier | change if place == number else tier for place, tier in enumerate(TIERS)]
    await refused(api, TIERED | {"pricingTiers": tiers}, message)


async def refused(api: Api, body: dict[str, Any], message: str) -> None:
    """Check that a definition is refused for this reason, made or put."""
    for answer in (await api.p.post("/models", json=body), await api.p.put("/models/x", json=body)):
        assert answer.status_code == 400
        assert message in answer.text
    assert (await api.get("/models", limit=1))["meta"]["totalItems"] == len(price_table().models)


async def test_one_name_is_one_model(api: Api) -> None:
    """Two definitions of one project cannot have one name; a definition may keep its own."""
    made = await api.post("/models", FLAT)
    other = await api.post("/models", FLAT | {"modelName": "other"})
    for answer in (await api.p.post("/models", json=FLAT), await api.p.put(f"/models/{other['id']}", json=FLAT)):
        assert answer.status_code == 400
        assert "no other model of the project" in answer.text
    assert (await api.p.put(f"/models/{made['id']}", json=FLAT)).status_code == 200


async def test_generations_are_priced_as_they_come(api: Api) -> None:
    """What a project says of a model counts for the next generation, in whichever state it was said."""
    await write(api, generation("gpt-4o", {"input": 1000}))
    assert (await stored(api)).total_cost == 0.0025
    made = await api.post("/models", FLAT | {"matchPattern": "^gpt-4o$"})
    for price, revision in ((0.5, 1), (0.25, 2)):
        if revision > 1:
            await api.p.put(f"/models/{made['id']}", json=FLAT | {"matchPattern": "^gpt-4o$", "inputPrice": price})
        await write(api, generation("gpt-4o", {"input": 1000}))
        priced = await stored(api)
        assert (priced.total_cost, priced.model_id) == (1000 * price, f"{made['id']}@{revision}")
        assert (await api.get(f"/models/{priced.model_id}"))["id"] == made["id"]
    await api.p.delete(f"/models/{made['id']}")
    await write(api, generation("gpt-4o", {"input": 1000}))
    assert (await stored(api)).total_cost == 0.0025


async def test_usage_that_comes_without_its_model(api: Api) -> None:
    """Older clients name the model first and send usage later: it is priced all the same, and keeps what it says."""
    begun = generation("gpt-4o", None, status="running")
    ended = generation(None, {"input": 1000, "output": 500}, duration_ns=5)
    await write(api, begun)
    await write(api, ended)
    assert ((await stored(api)).total_cost, (await stored(api)).model) == (0.0075, "gpt-4o")
    [first, second] = await api.server.state.prepare([begun, ended])
    assert (first, type(second)) == (begun, Generation)
    assert isinstance(second, Generation)
    assert (second.total_cost, second.model) == (0.0075, None)
    lost = msgspec.structs.replace(ended, span_id="9" * 16)
    assert await api.server.state.prepare([lost]) == [lost]


async def test_another_process_defines_a_model(api: Api) -> None:
    """What is defined behind this process's back counts five seconds later."""
    clock = 0
    models = type(api.server.state.models)(api.server.state.models._catalog, clock=lambda: clock)
    given = generation("mine", {"input": 1})
    assert await models.priced([given]) == [given]
    await api.post("/models", FLAT)
    clock = 4_999_999_999
    assert await models.priced([given]) == [given]
    clock = 5_000_000_000
    [priced] = await models.priced([given])
    assert isinstance(priced, Generation)
    assert priced.total_cost == 0.5
    kept = await models.pricing("p")
    clock = 10_000_000_000
    assert await models.pricing("p") is kept


async def test_a_model_that_is_removed_and_made_again_elsewhere(api: Api) -> None:
    """Another definition under the same id, as new as the one before was, is another one."""
    clock = 0
    models = type(api.server.state.models)(api.server.state.models._catalog, clock=lambda: clock)
    for price in (1.0, 2.0):
        await api.p.put("/models/same", json=FLAT | {"inputPrice": price})
        [priced] = await models.priced([generation("mine", {"input": 1})])
        assert isinstance(priced, Generation)
        assert (priced.total_cost, priced.model_id) == (price, "same@1")
        await api.p.delete("/models/same")
        clock += 5_000_000_000


async def test_many_change_one_model_at_once(api: Api) -> None:
    """Whoever is second changes what the first has left; each change is made, and none fails."""
    bodies = [FLAT | {"inputPrice": number} for number in range(1, 9)]
    answers = await asyncio.gather(*(api.p.put("/models/one", json=body) for body in bodies))
    assert [answer.status_code for answer in answers] == [200] * 8
    [priced] = await api.server.state.prepare([generation("mine", {"input": 1})])
    assert isinstance(priced, Generation)
    assert priced.model_id == "one@8"


async def test_an_id_has_an_end(api: Api) -> None:
    """An id of a definition is at most as long as a name."""
    answer = await api.p.put("/models/" + "x" * 201, json=FLAT)
    assert answer.status_code == 400
    assert "1 to 200 characters" in answer.text


async def test_only_so_many_models(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project cannot make more definitions than are fast to try."""
    monkeypatch.setattr("tracecore.services.models.MOST_MODELS", 2)
    for number in range(2):
        await api.post("/models", FLAT | {"modelName": f"m{number}"})
    for answer in (await api.p.post("/models", json=FLAT), await api.p.put("/models/x", json=FLAT)):
        assert answer.status_code == 400
        assert "delete some first" in answer.text


async def test_what_prices_depend_on_arrives_with_spans(api: Api) -> None:
    """A span that comes over OTLP costs what its model costs."""
    attributes = {"langfuse.observation.type": "generation", "gen_ai.request.model": "gpt-4o"}
    spoken = [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()]
    spoken += [
        {"key": "gen_ai.usage.input_tokens", "value": {"intValue": 1000}},
        {"key": "gen_ai.usage.output_tokens", "value": {"intValue": "500"}},
    ]
    start = at(NOON)
    span = {
        "traceId": "1" * 32, "spanId": "2" * 16, "name": "call", "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + 1), "attributes": spoken,
    }  # fmt: skip
    await api.post("/otel/v1/traces", {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
    assert (await stored(api)).total_cost == 0.0075
