"""Tools from data: what comes is taken as it comes, said once, refused if strict; bad schemas are one clear error."""

import copy
import json
import pickle
import sys
import warnings
from typing import Any

import numpy as np
import pytest

from palaestra.envs.tools import DataWarning, SchemaTool, Toolkit, ToolRefusal, schema_tool, tool
from palaestra.envs.tools.json_schema import validator_of
from palaestra.errors import MissingExtraError, UsageError
from palaestra.types import ToolCall

CLEAN = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": "Name of a city.", "examples": ["Graz"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 7},
        "units": {"enum": ["metric", "imperial"]},
        "place": {
            "type": "object",
            "properties": {"street": {"type": "string"}, "number": {"type": "integer"}},
            "required": ["street"],
            "additionalProperties": False,
        },
    },
    "required": ["city"],
    "additionalProperties": False,
}


def schema_of(parameters: Any, name: Any = "forecast", **function: Any) -> dict[str, Any]:
    inner = {"name": name, "description": "Say the weather.", "parameters": parameters, **function}
    return {"type": "function", "function": inner}


def made(parameters: Any, name: str = "forecast", **options: Any) -> SchemaTool:
    return SchemaTool(schema_of(parameters, name), lambda **arguments: arguments, **{"quiet": True, **options})


def said(kit: Toolkit, **arguments: Any) -> str:
    result = kit.call(ToolCall("forecast", arguments, "c1"))
    assert (result.status, result.call_id) == ("invalid_arguments", "c1")
    return result.content.removeprefix("Error: forecast was not run: ")


@pytest.fixture(autouse=True)
def nothing_was_said(monkeypatch):
    monkeypatch.setattr(schema_tool, "_SAID", set())


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "argument 'city' is missing; expected a string (Name of a city)."),
        ({"city": 3}, "argument 'city' is 3; expected a string (Name of a city)."),
        ({"city": "Graz", "days": 9}, "argument 'days' is 9; expected an integer of at least 1 up to 7."),
        ({"city": "Graz", "units": "cubits"}, 'argument \'units\' is "cubits"; expected one of "metric", "imperial".'),
        ({"city": "Graz", "dais": 2}, "there is no argument 'dais'; did you mean 'days'?"),
        ({"city": "Graz", "q": 2}, "there is no argument 'q'; the arguments are: city, days, units, place."),
        ({"city": "Graz", "place": {}}, "argument 'place.street' is missing."),
        ({"city": "Graz", "place": {"street": "a", "number": "4"}}, "argument 'place.number' is \"4\"; expected an integer."),
        ({"city": "Graz", "place": {"street": "a", "floor": 4}}, "argument 'place' has the unexpected field 'floor'."),
        (
            {"city": 1, "days": 0},
            "argument 'city' is 1; expected a string (Name of a city); argument 'days' is 0; expected an",
        ),
    ],
)
def test_a_wrong_call_is_told_what_came_what_was_expected_and_a_right_call(arguments, problem):
    text = said(Toolkit(made(CLEAN)), **arguments)
    assert text.startswith(problem)
    assert text.endswith('A right call: {"name": "forecast", "arguments": {"city": "Graz"}}')


def test_the_words_are_those_of_tools_with_signatures():
    @tool
    def forecast(city: str, days: int = 3) -> str:
        """Say the weather.

        Args:
            city: Where.
            days: For how long.
        """
        return city

    twin = Toolkit(made(Toolkit(forecast).schemas()[0]["function"]["parameters"]))
    for arguments in ({}, {"city": 3}, {"city": "Graz", "dais": 2}, {"days": "x"}, {"city": None}):
        assert said(Toolkit(forecast), **arguments) == said(twin, **arguments)


def test_right_arguments_reach_the_callable_as_they_came_and_nothing_else_does():
    seen = []
    kit = Toolkit(SchemaTool(schema_of(CLEAN), lambda **arguments: seen.append(arguments)))
    given = {"city": "Graz", "place": {"street": "a"}}
    assert kit.call(ToolCall("forecast", given)).content == "OK"
    assert seen == [given]
    assert seen[0]["place"] is not given["place"]
    kit.call(ToolCall("forecast", {"city": 3}))
    kit.call(ToolCall("forecast", "{"))
    assert len(seen) == 1


def test_null_means_left_out_only_where_the_schema_does_not_take_it():
    kit = Toolkit(made(CLEAN))
    assert kit.call(ToolCall("forecast", {"city": "Graz", "days": None})).content == '{"city": "Graz"}'
    takes = {**CLEAN, "properties": {**CLEAN["properties"], "days": {"type": ["integer", "null"]}}}
    assert kit.call(ToolCall("forecast", {"city": None})).status == "invalid_arguments"
    result = Toolkit(made(takes)).call(ToolCall("forecast", {"city": "Graz", "days": None}))
    assert result.content == '{"city": "Graz", "days": null}'


def test_lenient_kits_read_texts_as_what_the_schema_has_there():
    kit = Toolkit(made(CLEAN), lenient=True)
    given = {"city": "Graz", "days": "3", "place": {"street": "5", "number": " 4 "}}
    wanted = {"city": "Graz", "days": 3, "place": {"street": "5", "number": 4}}
    assert json.loads(kit.call(ToolCall("forecast", json.dumps(given))).content) == wanted
    assert 'is "three"; expected an integer' in said(kit, city="Graz", days="three")
    assert 'is "9"; expected an integer' in said(kit, city="Graz", days="9")


@pytest.mark.parametrize("text", ["\ud800", "ok \udfff"])
def test_text_that_has_no_utf8_form_is_refused(text):
    assert "not usable" in said(Toolkit(made(CLEAN)), city=text)


def test_a_call_that_fails_in_the_middle_changes_nothing_where_there_is_a_world():
    class Desk:
        def __init__(self):
            self.notes = []

        def write(self, text):
            self.notes.append(text)
            if len(self.notes) > 1:
                raise ToolRefusal("the desk is full")

    desk = Desk()
    parameters = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    kit = Toolkit(SchemaTool(schema_of(parameters), desk.write), world=desk)
    assert [kit.call(ToolCall("forecast", {"text": word})).status for word in "ab"] == ["ok", "error"]
    assert desk.notes == ["a"]
    assert Toolkit(SchemaTool(schema_of(parameters), desk.write)).world is None


def test_sources_of_both_kinds_make_one_kit():
    @tool
    def add(a: int) -> int:
        """Add."""
        return a

    kit = Toolkit(add, made(CLEAN))
    assert kit.names == ("add", "forecast")
    assert [kit.call(call).status for call in (ToolCall("add", {"a": 1}), ToolCall("forecast", {"city": "x"}))] == ["ok", "ok"]
    rng = np.random.default_rng(0)
    assert {kit.sample_call(rng).name for _ in range(30)} == {"add", "forecast"}


ODD = {
    "keyword": ({**CLEAN, "optional": ["days"]}, "'optional', which is not a keyword"),
    "vendor": (
        {"type": "object", "properties": {"a": {"type": "string", "x-order": 1}}, "required": []},
        "parameters.a has 'x-order'",
    ),
    "required": ({"type": "object", "properties": {"a": {"type": "string"}}}, "does not say what is required"),
    "types": (
        {"type": "object", "properties": {"a": {"type": ["string", "null"]}}, "required": []},
        'the list ["string", "null"]',
    ),
    "undescribed": ({"type": "object", "properties": {}, "required": ["a"]}, "requires 'a', which it does not describe"),
    "undrawable": (
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(?!x)x$"}}, "required": ["a"]},
        "no right call could be found",
    ),
}


@pytest.mark.parametrize("kind", ODD)
def test_what_may_not_be_meant_is_taken_said_once_and_refused_if_strict(kind):
    parameters, text = ODD[kind]
    with pytest.warns(DataWarning, match="Tool 'forecast': ") as caught:
        one = made(parameters, quiet=False)
    assert [text in str(warning.message) for warning in caught].count(True) == 1
    assert any(text in line for line in one.warnings)
    assert one.parameter_schema == parameters
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert made(parameters, "other", quiet=False).warnings == one.warnings
    with pytest.raises(UsageError, match=r"The schema of tool 'forecast' is refused \(strict=True\): "):
        made(parameters, strict=True)


@pytest.mark.parametrize(
    ("function", "text"),
    [
        ({"name": "get weather.now"}, "its name has characters other than"),
        ({"description": ""}, "it has no description"),
        ({"strict": True, "author": "me"}, "the function has 'author'"),
    ],
)
def test_what_may_not_be_meant_around_the_parameters_is_said_too(function, text):
    with pytest.warns(DataWarning, match=text):
        one = SchemaTool(schema_of(CLEAN, **function), dict)
    assert one.schema() == schema_of(CLEAN, **function)
    assert Toolkit(one).signatures().startswith(f"{one.name}(city: string, ")
    with pytest.raises(UsageError, match=text):
        SchemaTool(schema_of(CLEAN, **function), dict, strict=True)


def test_a_function_without_parameters_takes_none_and_says_so():
    with pytest.warns(DataWarning, match="taken for a tool without arguments"):
        one = SchemaTool({"type": "function", "function": {"name": "now", "description": "Say the time."}}, lambda: "noon")
    kit = Toolkit(one)
    assert kit.call(kit.sample_call(np.random.default_rng(0))).content == "noon"


def test_a_sound_schema_says_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one = made(CLEAN, quiet=False, strict=True)
    assert one.warnings == ()


def test_a_file_of_nonsense_does_not_warn_without_end():
    parameters = {"type": "object", "properties": {}, **{f"x{i}": i for i in range(200)}}
    with pytest.warns(DataWarning) as caught:
        one = made(parameters, quiet=False)
    assert len(caught) == 50
    assert len(one.warnings) == 200


cyclic: dict[str, Any] = {"type": "object", "properties": {}}
cyclic["properties"]["self"] = cyclic
deep: dict[str, Any] = {"type": "object", "properties": {}}
for _ in range(120):
    deep = {"type": "object", "properties": {"a": deep}}


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (None, "A tool is None; expected"),
        ({"name": "f", "parameters": CLEAN}, 'expected {"type": "function"'),
        ({"type": "function", "function": "f"}, 'expected {"type": "function"'),
        (schema_of(None), "are null; expected the schema of an object"),
        (schema_of([1]), "expected the schema of an object"),
        (schema_of({"type": "string"}), "expected the schema of an object"),
        (schema_of({"properties": {}}), "expected the schema of an object"),
        (schema_of({"type": ["object", "null"]}), "expected the schema of an object"),
        (
            schema_of({"type": "object", "properties": {"a": {"type": "colour"}}}),
            "At 'properties.a.type': \"colour\" is not valid",
        ),
        (schema_of({"type": "object", "properties": {"a": {"type": "string", "required": "yes"}}}), "is not of type"),
        (schema_of({"type": "object", "required": True}), "true is not of type"),
        (schema_of({"type": "object", "properties": {"a": {"pattern": "(("}}}), 'is not a "regex"'),
        (schema_of({"type": "object", "properties": {"a": {"$ref": "#/$defs/none"}}}), "refers only to itself"),
        (schema_of({"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/s"}}}), "nothing is fetched"),
        (schema_of({"type": "object", "properties": {"a": {"$ref": "file:///etc/hostname"}}}), "nothing is fetched"),
        (schema_of(cyclic), "is not JSON"),
        (schema_of(deep), "nested deeper than 100 levels"),
        (schema_of({"type": "object", "properties": {3: {}}}), "a key is not a text"),
        (schema_of({"type": "object", "default": float("nan")}), "is not JSON"),
        (schema_of({"type": "object", "description": "\ud800"}), "is not JSON"),
        (schema_of(CLEAN, ""), "expected a name of 1 to 64"),
        (schema_of(CLEAN, "x" * 65), "expected a name of 1 to 64"),
        (schema_of(CLEAN, 3), "expected a name of 1 to 64"),
        (schema_of(CLEAN, "a\nb"), "expected a name of 1 to 64"),
        (schema_of(CLEAN, description=3), "The description of tool 'forecast' is 3"),
    ],
)
def test_what_is_not_a_function_schema_is_one_clear_error(schema, text):
    with pytest.raises(UsageError) as caught:
        SchemaTool(schema, print, quiet=True)
    assert text in str(caught.value)
    assert len(str(caught.value)) < 700
    assert "\n" not in str(caught.value)


def test_a_tool_that_cannot_be_run_is_refused():
    with pytest.raises(UsageError, match="run is 'f'; expected a callable"):
        SchemaTool(schema_of(CLEAN), "f")  # type: ignore[arg-type]


def test_names_have_up_to_64_characters_and_are_there_once():
    name = "x" * 64
    assert Toolkit(made(CLEAN, name)).names == (name,)
    with pytest.raises(UsageError, match="Two tools are called 'forecast'; rename one, with @tool"):
        Toolkit(made(CLEAN), made(CLEAN))


def test_types_that_hold_themselves_are_drawn_to_an_end_and_described():
    tree = {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#"}}}, "required": ["kids"]}
    kit = Toolkit(made(tree))
    rng = np.random.default_rng(0)
    calls = [kit.sample_call(rng) for _ in range(50)]
    assert all(kit.call(call).status == "ok" for call in calls)
    assert max(len(json.dumps(call.arguments)) for call in calls) > 30
    assert said(kit, kids=[{"kids": 3}]).startswith("argument 'kids[0].kids' is 3; expected a list of which each is an object")
    endless = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}
    assert "no right call" in made(endless).warnings[-1]
    for nested in ({"$ref": "#/$defs/a"}, {"allOf": [{"$ref": "#/$defs/a"}]}):
        circle = {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "required": ["a"], "$defs": {"a": nested}}
        assert made(circle).example is None
        assert Toolkit(made(circle)).signatures() == "forecast(a: any) - Say the weather."


def test_tools_that_cannot_be_drawn_are_left_out_of_samples_and_answered_without_an_example():
    parameters, _ = ODD["undrawable"]
    kit = Toolkit(made(parameters), made(CLEAN, "other"))
    rng = np.random.default_rng(0)
    assert {kit.sample_call(rng).name for _ in range(20)} == {"other"}
    text = said(kit, a=3)
    assert text == "argument 'a' is 3; expected a string that matches ^(?!x)x$."
    with pytest.raises(UsageError, match="no tool of which a call could be drawn"):
        Toolkit(made(parameters)).sample_call(rng)


def test_500_properties_make_short_messages_and_readable_calls():
    properties = {f"p{i}": {"type": "integer"} for i in range(500)}
    parameters = {"type": "object", "properties": properties, "required": ["p0"], "additionalProperties": False}
    kit = Toolkit(made({**parameters, "properties": {**properties, "place": {**parameters}}}))
    call = kit.sample_call(np.random.default_rng(0))
    assert kit.call(call).status == "ok"
    assert len(call.arguments) <= 13
    for arguments in ({"q": 1}, {f"p{i}": "x" for i in range(500)}, {f"q{i}": "x" for i in range(500)}, {"p0": 1, "place": 3}):
        assert len(said(kit, **arguments)) < 2000
    needed = Toolkit(made({**parameters, "required": list(properties)}))
    assert needed.call(needed.sample_call(np.random.default_rng(0))).status == "ok"


def test_schemas_that_branch_without_end_are_given_up_in_time():
    levels = {f"a{i}": {"allOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(40)}
    defs = {**levels, "a40": {"type": "string"}}
    wide = {"type": "object", "properties": {"a": {"$ref": "#/$defs/a0"}}, "required": ["a"], "$defs": defs}
    assert made({**wide, "properties": {"a": {"$ref": "#/$defs/a30"}}}).example == {"a": "a"}
    objects = {
        f"o{i}": {"type": "object", "properties": {k: {"$ref": f"#/$defs/o{i + 1}"} for k in "ab"}, "required": ["a", "b"]}
        for i in range(30)
    }
    tower = {**wide, "properties": {"a": {"$ref": "#/$defs/o0"}}, "$defs": {**objects, "o30": {"type": "string"}}}
    assert "no right call" in made(tower).warnings[-1]


def test_a_slow_pattern_is_cut_off():
    parameters = {"type": "object", "properties": {"a": {"pattern": "^(a|a)*(?=b)c$", "examples": ["x"]}}, "required": []}
    kit = Toolkit(made(parameters))
    assert kit.call(ToolCall("forecast", {"a": "a" * 60 + "b"})).status == "invalid_arguments"


def test_strict_forms_of_openai_are_made_of_sound_schemas():
    strict = made(CLEAN).schema(strict=True)["function"]
    assert strict["strict"] is True
    assert strict["parameters"]["required"] == ["city", "days", "units", "place"]
    assert made(CLEAN).schema() == schema_of(CLEAN)
    with pytest.raises(UsageError, match="an argument whose schema is true, which strict schemas cannot express"):
        made({"type": "object", "properties": {"a": True}, "required": []}).schema(strict=True)


def test_a_missing_package_is_one_error_that_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "jsonschema_rs", None)
    validator_of.cache_clear()
    with pytest.raises(MissingExtraError, match=r"pip install 'palaestra\[tools\]'"):
        made(CLEAN)


@pytest.mark.parametrize("strict", [True, False])
def test_strictness_survives_pickling(strict):
    assert pickle.loads(pickle.dumps(SchemaTool(schema_of(CLEAN), dict, strict=strict))).strict is strict


BOOL_REQUIRED = {"type": "bool", "required": True}
MEANT = [
    ({"a": {"type": "float"}}, [], {"a": {"type": "number"}}, [], "'float', which is read as number"),
    ({"a": {"type": "dict"}}, [], {"a": {"type": "object"}}, [], "'dict', which is read as object"),
    ({"a": {"type": "String"}}, [], {"a": {"type": "string"}}, [], "'String', which is read as string"),
    ({"a": {"type": "any"}}, [], {"a": {}}, [], "'any', which is read as any type"),
    (
        {"a": {"type": ["int", "integer", "none"]}},
        [],
        {"a": {"type": ["integer", "null"]}},
        [],
        "type of parameters.a is 'int', which is read as integer",
    ),
    ({"a": {"type": ["int", "any"]}}, [], {"a": {}}, [], "'any', which is read as any type"),
    ({"a": {"enum": None, "type": "string"}}, [], {"a": {"type": "string"}}, [], "'enum' of parameters.a is null"),
    ({"a": {"description": None}}, ["a"], {"a": {}}, ["a"], "'description' of parameters.a is null"),
    ({"a": {"const": None, "default": None}}, [], {"a": {"const": None, "default": None}}, [], ""),
    ({"a": None}, [], {"a": {}}, [], "the schema of parameters.a is null, which is read as any value"),
    ({"a": {"required": True}, "b": {"required": False}}, [], {"a": {}, "b": {}}, ["a"], "inside parameters.a"),
    ({"b": {"required": True}, "a": {}}, ["a"], {"b": {}, "a": {}}, ["a", "b"], "'required' stands inside parameters.b"),
    (
        {
            "a": {
                "type": "list",
                "items": {"anyOf": [{"type": "dict", "properties": {"x": {"type": "bool", "required": True}}}]},
            }
        },
        [],
        {
            "a": {
                "type": "array",
                "items": {"anyOf": [{"type": "object", "properties": {"x": {"type": "boolean"}}, "required": ["x"]}]},
            }
        },
        [],
        "'required' stands inside parameters.a.items.anyOf.0.x",
    ),
    ({"required": {"type": "string"}, "type": {"enum": ["float"]}}, [], None, [], ""),
]


@pytest.mark.parametrize(("properties", "required", "wanted", "needed", "text"), MEANT)
def test_near_misses_are_read_as_they_are_meant_and_said(properties, required, wanted, needed, text):
    came = {"type": "object", "properties": properties, "required": required}
    before = copy.deepcopy(came)
    one = made(came)
    assert came == before
    assert one.parameter_schema == {"type": "object", "properties": wanted or properties, "required": needed}
    assert one.schema()["function"]["parameters"] == one.parameter_schema
    assert (text in "; ".join(one.warnings)) == bool(text or not one.warnings)
    kit = Toolkit(one)
    assert all(kit.call(kit.sample_call(np.random.default_rng(seed))).status == "ok" for seed in range(5))
    if text:
        with pytest.raises(UsageError, match="strict=True"):
            made(came, strict=True)


def test_nulls_around_the_parameters_are_read_as_left_out():
    one = made({"type": "dict", "properties": None, "required": None})
    assert one.parameter_schema == {"type": "object"}
    assert Toolkit(one).call(ToolCall("forecast", {})).content == "{}"
    function = {"name": "f", "description": None, "parameters": {"type": "object", "properties": {}}}
    bare = SchemaTool({"type": "function", "function": function}, dict, quiet=True)
    assert (bare.description, bare.warnings) == ("", ("it has no description",))


def test_a_key_twice_is_not_taken_for_either():
    kit = Toolkit(made({"type": "object", "properties": {"a": {"type": "object"}}, "required": ["a"]}), lenient=True)
    assert said(kit, a='{"x": 1, "x": 2}').startswith("argument 'a' is \"{")
    result = kit.call(ToolCall("forecast", '{"a": {}, "a": {}}'))
    assert "they do not parse as JSON (the key 'a' stands twice in one object; write every key once)" in result.content
