"""Tool documents: found in system messages, and turned into schemas and back without loss."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.critic.documents import (
    KEPT,
    CriticDataError,
    check_document,
    documents_of,
    json_type,
    shown_schema,
    to_document,
    to_schema,
)
from tests.envs.critic.published_data import names
from tests.fixtures import need_fixtures

TYPES = [
    "STRING",
    "string",
    "NUMBER",
    "integer",
    "FLOAT",
    "float",
    "BOOLEAN",
    "boolean",
    "array",
    "dict",
    "any",
    "number",
    "X",
]
VALUES = st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4), lambda v: st.lists(v, max_size=2))
NAMES = st.text(min_size=1, max_size=6)


def parameters() -> st.SearchStrategy[dict[str, Any]]:
    known = {"name": NAMES, "type": st.sampled_from(TYPES)}
    return st.fixed_dictionaries(known, optional={"description": st.text(max_size=9), "default": VALUES, "enum": VALUES})


@st.composite
def documents(draw) -> dict[str, Any]:
    found = draw(st.lists(parameters(), max_size=5, unique_by=lambda one: one["name"]))
    cut = draw(st.integers(0, len(found)))
    rest = {"return_data": VALUES, "description": st.text(max_size=9), "version": VALUES}
    document = {"name": draw(NAMES), **draw(st.fixed_dictionaries({}, optional=rest))}
    lists = {"required_parameters": found[:cut], "optional_parameters": found[cut:]}
    return document | {key: value for key, value in lists.items() if value or draw(st.booleans())}


PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["string", "integer", "number", "boolean", "array", "object", "null", ["string", "null"]]),
        "description": st.text(max_size=9),
        "enum": st.lists(VALUES, min_size=1, max_size=2),
        "minimum": st.integers(0, 9),
    },
)


@st.composite
def schemas(draw) -> dict[str, Any]:
    properties = draw(st.dictionaries(NAMES, PROPERTIES, max_size=4))
    held: dict[str, Any] = {"type": "object", "properties": properties}
    if draw(st.booleans()):
        held["required"] = draw(st.lists(st.sampled_from([*properties, "absent"]), unique=True, max_size=3))
    if draw(st.booleans()):
        held["additionalProperties"] = False
    function = {"name": draw(NAMES), "parameters": held}
    function |= draw(st.fixed_dictionaries({}, optional={"description": st.text(max_size=9), "strict": st.booleans()}))
    return {"type": "function", "function": function}


@given(documents(), st.sampled_from(["paper", "published"]))
def test_documents_survive_the_way_through_schemas(document, profile):
    check_document(document, "it")
    schema = to_schema(document, profile)
    assert to_document(schema) == document
    assert KEPT not in json.dumps(shown_schema(schema))


@given(schemas())
def test_schemas_survive_the_way_through_documents(schema):
    document = to_document(schema)
    check_document(document, "it")
    assert to_schema(document) == schema
    assert to_document(to_schema(document)) == document


def test_published_documents_survive():
    for file in need_fixtures(*names("api_descrip.json")):
        for tool in json.loads(file.read_text(encoding="utf-8")):
            for document in tool["api_list"]:
                assert to_document(to_schema(document)) == document


def test_types_by_profile():
    assert (json_type("NUMBER"), json_type("NUMBER", "published")) == ("number", "integer")
    assert (json_type("number"), json_type("number", "published")) == ("number", "string")
    assert (json_type("dict"), json_type("any"), json_type("DATE")) == ("object", None, "string")


TOOL = {"name": "a", "required_parameters": [{"name": "x", "type": "any"}], "optional_parameters": []}


@pytest.mark.parametrize(
    "text",
    [
        f"Use: {json.dumps([TOOL])}\nTo use a tool [x]",
        f"Use: {json.dumps([TOOL])} and no more",
        f"Use: {[TOOL]}\nTo use a tool",
    ],
)
def test_the_list_in_a_system_message(text):
    assert documents_of(text, "item 1") == [TOOL]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Nothing.", "item 1: the system message holds no list of tools"),
        ("[{]\nTo use a tool", "item 1: the list of tools in the system message is neither"),
        ("[1]\nTo use a tool", "item 1: tool 1 is 1; expected an object with a name"),
        ('[{"name": "a", "required_parameters": [{"name": "x"}]}]', "required_parameters is .*; expected a list of objects"),
        (
            '[{"name": "a", "required_parameters": [{"name": "x", "type": "any"}, {"name": "x", "type": "any"}]}]',
            r"item 1: tool 1 \('a'\) has the parameter 'x' twice",
        ),
    ],
)
def test_a_list_that_cannot_be_read_says_why(text, message):
    with pytest.raises(CriticDataError, match=message):
        documents_of(text, "item 1")
