"""Values that would take too long to compare with a schema are refused before anybody tries."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw

from tests.server.conftest import Api
from tracecore.errors import ConfigError
from tracecore.services.schema_work import MOST_STEPS, TooMuchWork, steps_of
from tracecore.services.schemas import check_schema, problems_of

_BRANCH = {"type": "object", "properties": {"a": {"$ref": "#"}}}
DOUBLING = {"anyOf": [_BRANCH, {**_BRANCH, "title": "the same again"}]}
"""Takes twice as long for every level of a value."""
LIST = {"type": ["object", "null"], "properties": {"value": {"type": "integer"}, "next": {"$ref": "#"}}}
TREE = {"type": "object", "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}, "additionalProperties": False}


def raw(value: Any) -> Raw:
    """Return a value as JSON."""
    return Raw(json.dumps(value).encode())


def nested(levels: int, name: str = "a", end: Any = 1) -> Any:
    """Return objects inside each other."""
    value = end
    for _ in range(levels):
        value = {name: value}
    return value


def tree(levels: int) -> Any:
    """Return a whole binary tree."""
    return {"left": tree(levels - 1), "right": tree(levels - 1)} if levels else {}


def nowhere(reference: str) -> Any:
    """Stand for the references of a schema that has none."""
    raise AssertionError(reference)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (DOUBLING, nested(40)),
        ({"items": {"anyOf": [{"const": number} for number in range(5000)]}}, [-1] * 20_000),
        ({"items": {"enum": list(range(35_000))}}, [-1] * 100),
        ({"items": {"allOf": [True] * 40_000}}, [1] * 1000),
        ({"patternProperties": {f"^{number}": {} for number in range(1000)}}, dict.fromkeys(map(str, range(1000)))),
        ({"additionalProperties": {"oneOf": [{}] * 1000}}, dict.fromkeys(map(str, range(1000)))),
        ({"allOf": [{"pattern": f"{number}$"} for number in range(1000)]}, "x" * 100_000),
    ],
    ids=["doubling", "alternatives", "enum", "booleans", "patterns", "others", "long text"],
)
def test_work_without_end_is_refused(schema: Any, value: Any) -> None:
    """What would hold the server up, some of it for ever, is refused at once, with the reason."""
    check_schema("inputSchema", raw(schema))
    [problem] = problems_of("input", raw(schema), raw(value))
    assert f"more than {MOST_STEPS:,} steps" in problem


def test_references_multiply_however_they_are_spelt() -> None:
    """A reference is a fragment of a URI: ``%24defs`` is ``$defs``, whatever else has the name as it is spelt."""
    alternatives = {
        f"a{number}": {"anyOf": [{"$ref": f"#/%24defs/a{number + 1}"}] * 2} for number in range(30)
    }  # fmt: skip
    names = {**alternatives, "a30": {"type": "string"}}
    schema = {"$ref": "#/%24defs/a0", "%24defs": {name: {} for name in names}, "$defs": names}
    with pytest.raises(ConfigError, match="references multiply"):
        check_schema("inputSchema", raw(schema))


@pytest.mark.parametrize(
    ("schema", "value"),
    [(LIST, nested(100, "next", None)), (TREE, tree(12)), ({"items": LIST}, [{"value": 1}] * 50_000)],
    ids=["list", "tree", "items"],
)
def test_large_values_fit_into_what_leads_into_itself(schema: Any, value: Any) -> None:
    """A schema that meets each part of a value once may lead into itself, and the value may be large."""
    assert problems_of("input", raw(schema), raw(value)) == []


def test_what_is_wrong_with_something_large_is_not_explained() -> None:
    """To say where takes many times as long as to say whether: of what is large only that is said."""
    schema = raw({"items": {"anyOf": [{"const": number} for number in range(20)]}})
    assert problems_of("input", schema, raw([99] * 20_000)) == [
        "input does not meet its schema; both are too large to say where"
    ]
    assert len(problems_of("input", schema, raw([99] * 20))) == 10


@pytest.mark.parametrize(
    ("schema", "value", "least"),
    [
        (True, 1, 1),
        ({"enum": [1, 2, 3]}, 1, 4),
        ({"properties": {"a": {}, "b": {}}, "additionalProperties": {}}, {"a": 1, "c": 2}, 3),
        ({"propertyNames": {"pattern": "a"}, "dependentSchemas": {"a": {}}}, {"a": 1, "b": 2}, 4),
        ({"prefixItems": [{}, {}], "contains": {}, "items": False}, [1, 2], 7),
        ({"allOf": [{}, {}], "unevaluatedProperties": False}, {"a": 1}, 6),
        ({"if": {}, "then": {}, "else": {}, "not": {}}, 1, 5),
    ],
)
def test_steps_are_never_fewer_than_meetings(schema: Any, value: Any, least: int) -> None:
    """Each keyword that has a schema counts for every value that it is for."""
    assert steps_of(schema, value, nowhere) >= least


def test_steps_end() -> None:
    """Counting ends as soon as there are too many."""
    with pytest.raises(TooMuchWork):
        steps_of({"items": {"items": {}}}, [[1] * 1000] * 1000, nowhere)


async def test_an_item_that_is_too_much_work_is_400(api: Api) -> None:
    """An item that nobody could compare with the schema of its dataset is refused, and the next one is kept."""
    await api.post("/v2/datasets", {"name": "d", "inputSchema": DOUBLING})
    answer = await api.p.post("/dataset-items", json={"datasetName": "d", "input": nested(40)})
    assert (answer.status_code, "steps" in answer.text) == (400, True)
    await api.post("/dataset-items", {"datasetName": "d", "input": nested(3, end={})})
