import json
from importlib import resources

import pytest

from bnexport.report.form import faults

SCHEMA = json.loads(resources.files("bnexport.report").joinpath("schema.json").read_text())
KNOWN = {
    *("$schema", "$id", "$defs", "$ref", "title", "description"),
    *("type", "const", "enum", "anyOf", "pattern"),
    *("required", "properties", "additionalProperties", "items"),
}


def schemas(schema):
    yield schema
    for name in ("properties", "$defs"):
        for each in schema.get(name, {}).values():
            yield from schemas(each)
    for each in (*schema.get("anyOf", ()), schema.get("items"), schema.get("additionalProperties")):
        if isinstance(each, dict):
            yield from schemas(each)


def test_the_schema_uses_nothing_that_is_not_looked_at():
    assert {key for schema in schemas(SCHEMA) for key in schema} <= KNOWN


@pytest.mark.parametrize(
    ("value", "schema", "fault"),
    [
        (1, {"type": "string"}, "$: 1 is no string"),
        (True, {"type": "integer"}, "$: True is no integer"),
        ("b", {"const": "a"}, "$: 'b' is not 'a'"),
        ("b", {"enum": ["a"]}, "$: 'b' is not one of ['a']"),
        ("b", {"pattern": "^a"}, "$: 'b' is not like ^a"),
        ({}, {"required": ["x"]}, "$: x is missing"),
        ({"y": 1}, {"additionalProperties": False}, "$: y is not documented"),
        ({"y": 1}, {"additionalProperties": {"type": "null"}}, "$.y: 1 is no null"),
        ([1, "a"], {"items": {"type": "integer"}}, "$[1]: 'a' is no integer"),
        (1.5, {"anyOf": [{"type": "null"}, {"enum": ["NaN"]}]}, "$: 1.5 fits no form"),
    ],
)
def test_a_fault_says_where_and_what(value, schema, fault):
    assert list(faults(value, schema, {})) == [fault]
    assert list(faults(value, {"$ref": "#/$defs/x"}, {"$defs": {"x": schema}})) == [fault]
