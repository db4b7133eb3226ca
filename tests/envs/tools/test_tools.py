import enum
import json
import pickle
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Optional

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from palaestra.envs.tools import TextForm, Toolkit, ToolRefusal, tool
from palaestra.errors import EnvironmentFault, ToolError, UnknownNameError, UsageError
from palaestra.types import ToolCall


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Place:
    """Where something is."""

    street: str
    number: int = 1


class Node(BaseModel):
    value: int
    children: list["Node"] = []


class Shed:
    def __init__(self):
        self.boxes = {"red": ["saw"]}

    @tool
    def put(
        self,
        item: str,
        colour: Colour,
        count: Annotated[int, Field(ge=1, le=9)] = 1,
        mode: Literal["top", "bottom"] = "top",
        tags: list[str] | None = None,
        place: Place | None = None,
    ) -> dict[str, Any]:
        """Put an item into a box.

        Boxes never fill up.

        Args:
            item: What to put
                there.
            colour: Colour of the box.
            tags: Labels, if any.

        Returns:
            What the box holds.
        """
        self.boxes.setdefault(colour.value, []).extend([item] * count)
        if item == "nothing":
            raise ToolRefusal("nothing cannot be put anywhere; name an item")
        if item == "bug":
            raise KeyError("oops")
        if item == "outage":
            raise ToolError("The store's server does not answer.")
        return {"box": self.boxes[colour.value], "place": place, "tags": tags, "mode": mode}

    @tool(name="list")
    def list_boxes(self) -> list[str]:
        """List the boxes."""
        return sorted(self.boxes)

    @tool
    def grow(self, node: Node) -> str:
        """Grow a tree.

        Args:
            node: The root.
        """
        return f"{node.value} with {len(node.children)}"


@tool
def add(a: int, b: float = 0.5, c: Optional[int] = None) -> float:  # noqa: UP045
    """Add numbers."""
    return a + b + (c or 0)


def call(toolkit, name, /, **arguments):
    return toolkit.call(ToolCall(name, arguments))


def test_the_schema_of_a_method_is_exactly_this():
    assert Toolkit(Shed()).schemas()[0] == {
        "type": "function",
        "function": {
            "name": "put",
            "description": "Put an item into a box.\nBoxes never fill up.",
            "parameters": {
                "type": "object",
                "additionalProperties": False,
                "required": ["item", "colour"],
                "properties": {
                    "item": {"type": "string", "description": "What to put there."},
                    "colour": {"type": "string", "enum": ["red", "blue"], "description": "Colour of the box."},
                    "count": {"type": "integer", "minimum": 1, "maximum": 9, "default": 1},
                    "mode": {"type": "string", "enum": ["top", "bottom"], "default": "top"},
                    "tags": {
                        "anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}],
                        "default": None,
                        "description": "Labels, if any.",
                    },
                    "place": {
                        "anyOf": [
                            {
                                "type": "object",
                                "description": "Where something is.",
                                "properties": {"street": {"type": "string"}, "number": {"type": "integer", "default": 1}},
                                "required": ["street"],
                                "additionalProperties": False,
                            },
                            {"type": "null"},
                        ],
                        "default": None,
                    },
                },
            },
        },
    }


def test_the_strict_schema_requires_everything_and_allows_nothing_else():
    schema = Toolkit(add).schemas(strict=True)[0]["function"]
    assert schema["strict"] is True
    assert schema["parameters"] == {
        "type": "object",
        "additionalProperties": False,
        "required": ["a", "b", "c"],
        "properties": {
            "a": {"type": "integer"},
            "b": {"anyOf": [{"type": "number"}, {"type": "null"}]},
            "c": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        },
    }

    def objects(schema):
        if isinstance(schema, dict):
            yield from ([schema] if schema.get("type") == "object" else [])
            for value in schema.values():
                yield from objects(value)
        elif isinstance(schema, list):
            for value in schema:
                yield from objects(value)

    for strict in Toolkit(Shed()).schemas(strict=True):
        for found in objects(strict):
            assert found["additionalProperties"] is False
            assert found["required"] == list(found["properties"])
        assert "default" not in json.dumps(strict)


def test_a_null_for_an_optional_argument_means_left_out():
    assert call(Toolkit(add), "add", a=1, b=None, c=None).content == "1.5"
    assert call(Toolkit(add), "add", a=None, b=None).status == "invalid_arguments"


def test_references_are_written_out_except_those_of_recursive_types_which_resolve():
    schemas = {s["function"]["name"]: s["function"]["parameters"] for s in Toolkit(Shed()).schemas()}
    assert "$ref" not in json.dumps(schemas["put"])
    assert schemas["grow"]["properties"]["node"] == {"$ref": "#/$defs/Node", "description": "The root."}
    assert set(schemas["grow"]["$defs"]) == {"Node"}
    assert call(Toolkit(Shed()), "grow", node={"value": 3, "children": [{"value": 4}]}).content == "3 with 1"


def test_an_argument_may_be_called_title_or_schema_or_copy():
    @tool
    def write(title: str, schema: str = "", copy: int = 0, model_config: int = 0) -> str:
        """Write something."""
        return f"{title}{schema}{copy}{model_config}"

    properties = Toolkit(write).schemas()[0]["function"]["parameters"]["properties"]
    assert properties["title"] == {"type": "string"}
    assert call(Toolkit(write), "write", title="t", copy=2, model_config=3).content == "t23"


def test_signatures_show_optional_arguments():
    lines = Toolkit(Shed()).signatures().splitlines()
    assert lines[0].startswith(
        'put(item: string, colour: "red"|"blue", count?: integer, mode?: "top"|"bottom", tags?: list[string]'
    )
    assert lines[1] == "list() - List the boxes."


def test_results_are_texts_or_json():
    shed = Toolkit(Shed())
    result = shed.call(ToolCall("put", {"item": "axe", "colour": "red", "place": {"street": "S"}}, "c1"))
    assert (result.status, result.call_id, result.name) == ("ok", "c1", "put")
    assert json.loads(result.content) == {
        "box": ["saw", "axe"],
        "place": {"street": "S", "number": 1},
        "tags": None,
        "mode": "top",
    }

    @tool
    def silent() -> None:
        """Do it."""

    assert call(Toolkit(silent), "silent").content == "OK"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"colour": "red"}, ["put was not run", "argument 'item' is missing; expected a string (What to put there)"]),
        ({"item": 3, "colour": "red"}, ["argument 'item' is 3; expected a string"]),
        (
            {"item": "x", "colour": "green"},
            ['argument \'colour\' is "green"; expected one of "red", "blue" (Colour of the box)'],
        ),
        (
            {"item": "x", "color": "red"},
            ["there is no argument 'color'; did you mean 'colour'?", "argument 'colour' is missing"],
        ),
        ({"item": "x", "colour": "red", "zzz": 1}, ["there is no argument 'zzz'; the arguments are: item, colour"]),
        ({"item": "x", "colour": "red", "count": 0}, ["argument 'count' is 0; expected an integer of at least 1 up to 9"]),
        ({"item": "x", "colour": "red", "count": "2"}, ["argument 'count' is \"2\"; expected an integer"]),
        ({"item": "x", "colour": "red", "count": 1.5}, ["argument 'count' is 1.5"]),
        ({"item": "x", "colour": "red", "tags": ["a", 1]}, ["argument 'tags'", "a list of which each is a string or null"]),
        ({"item": "x", "colour": "red", "place": {"number": 2}}, ["argument 'place'", "an object with street, number"]),
        ("not json", ['arrived as text, "not json"', "do not parse as JSON"]),
        ("[1]", ["expected a JSON object of argument names and values"]),
        ('{"item": "x", "colour": "red"}', ["write the JSON object itself, not a string that holds it"]),
        ({"item": "\ud800", "colour": "red"}, ["put was not run"]),
        ({"item": float("nan"), "colour": "red"}, ["not JSON"]),
    ],
)
def test_wrong_arguments_are_answered_with_what_came_what_was_expected_and_a_right_call(arguments, says):
    shed = Shed()
    result = Toolkit(shed).call(ToolCall("put", arguments, "c1"))
    assert (result.status, result.call_id) == ("invalid_arguments", "c1")
    for text in says:
        assert text in result.content
    assert result.content.endswith('A right call: {"name": "put", "arguments": {"item": "item", "colour": "red"}}')
    result.content.encode()
    assert shed.boxes == {"red": ["saw"]}


def test_the_path_of_a_wrong_inner_value_is_named():
    result = call(Toolkit(Shed()), "grow", node={"value": 1, "children": [{"value": "x"}, {}]})
    assert "argument 'node.children[0].value' is \"x\"; expected a valid integer" in result.content
    assert "argument 'node.children[1].value' is missing" in result.content


def test_many_problems_are_cut_short():
    result = call(Toolkit(Shed()), "grow", node={"value": 1, "children": [{}] * 9})
    assert "and 5 more problems" in result.content


def test_an_unknown_tool_is_answered_with_the_nearest_names():
    result = call(Toolkit(Shed()), "pust")
    assert result.status == "unknown_tool"
    assert result.content == 'Error: there is no tool "pust". Did you mean put? The tools are: put, list, grow.'


def test_a_lenient_toolkit_converts_what_converts_without_loss():
    lenient = Toolkit(add, lenient=True)
    assert call(lenient, "add", a="3").content == "3.5"
    assert lenient.call(ToolCall("add", '{"a": 1}')).content == "1.5"
    assert call(lenient, "add", a="three").status == "invalid_arguments"


def test_validate_says_beforehand_what_a_call_would_be_told():
    shed = Toolkit(Shed())
    assert shed.validate(ToolCall("put", {"item": "x", "colour": "red"})) is None
    assert shed.validate(ToolCall("put", {"item": 1})) == shed.call(ToolCall("put", {"item": 1}))


def test_a_refusal_is_a_result_and_leaves_the_world_as_it_was():
    shed = Shed()
    result = call(Toolkit(shed), "put", item="nothing", colour="blue")
    assert (result.status, result.content) == ("error", "Error: nothing cannot be put anywhere; name an item")
    assert shed.boxes == {"red": ["saw"]}


@pytest.mark.parametrize(
    ("item", "error", "match"),
    [("bug", EnvironmentFault, "Tool 'put' failed.*KeyError.*ToolRefusal"), ("outage", ToolError, "server")],
)
def test_faults_rise_and_leave_the_world_as_it_was(item, error, match):
    shed = Shed()
    with pytest.raises(error, match=match):
        call(Toolkit(shed), "put", item=item, colour="red")
    assert shed.boxes == {"red": ["saw"]}


def test_a_result_without_json_form_is_a_fault_and_undone():
    @dataclass
    class Bad:
        items: list[int] = field(default_factory=list)

        @tool
        def take(self) -> object:
            """Take."""
            self.items.append(1)
            return object()

    bad = Bad()
    with pytest.raises(EnvironmentFault, match="object has no JSON form"):
        call(Toolkit(bad), "take")
    assert bad.items == []


def test_a_separate_world_is_put_back_in_place():
    @dataclass
    class World:
        items: list[int] = field(default_factory=list)
        copies: int = 0

        def copy(self):
            return World(list(self.items), self.copies)

    class Tools:
        def __init__(self, world):
            self.world = world

        @tool
        def push(self, item: int) -> str:
            """Push."""
            self.world.items.append(item)
            if item < 0:
                raise ToolRefusal("negative")
            return "pushed"

    world = World()
    toolkit = Toolkit(Tools(world), world=world)
    assert [call(toolkit, "push", item=i).status for i in (1, -1, 2)] == ["ok", "error", "ok"]
    assert world.items == [1, 2]


def test_bad_declarations_are_refused_when_they_are_written():
    with pytest.raises(UsageError, match="has no docstring"):

        @tool
        def undocumented(a: int) -> int:
            return a

    with pytest.raises(UsageError, match=r"Parameter 'b' of tool .*untyped has no type; annotate it"):

        class Sloppy:
            @tool
            def untyped(self, a: int, b) -> int:
                """Do."""
                return a

    with pytest.raises(UsageError, match=r"takes \*rest: int; expected only parameters that can be given by name"):

        @tool
        def variadic(*rest: int) -> int:
            """Do."""
            return 0

    with pytest.raises(UsageError, match="'no spaces'; expected 1 to 64"):

        @tool(name="no spaces")
        def spaced() -> int:
            """Do."""
            return 0

    with pytest.raises(UsageError, match="coroutine or generator"):

        @tool
        async def later() -> int:
            """Do."""
            return 0

    with pytest.raises(UsageError, match="innermost decorator"):
        tool(staticmethod(add))


def test_bad_declarations_are_refused_when_the_toolkit_is_made():
    @tool
    def misdocumented(a: int) -> int:
        """Do.

        Args:
            b: Is not there.
        """
        return a

    @tool
    def opaque(a: np.random.Generator) -> int:
        """Do."""
        return 0

    @tool
    def pattern(a: Annotated[str, Field(pattern="^x+$")]) -> int:
        """Do."""
        return 0

    @tool
    def mapping(a: dict[str, int]) -> int:
        """Do."""
        return sum(a.values())

    @tool
    def default(a: object = ...) -> int:
        """Do."""
        return 0

    for bad, says in [
        (misdocumented, "describes 'b', which is not a parameter; its parameters are: a"),
        (opaque, "has no JSON form"),
        (pattern, "Parameter 'a' .* has a pattern and no examples"),
        (default, "default Ellipsis, which has no JSON form"),
    ]:
        with pytest.raises(UsageError, match=says):
            Toolkit(bad)
    assert call(Toolkit(mapping), "mapping", a={"x": 2}).content == "2"
    with pytest.raises(UsageError, match="strict schemas cannot express"):
        Toolkit(mapping).schemas(strict=True)


def test_the_form_of_a_text_goes_into_schema_check_messages_and_samples():
    @tool
    def ring(
        codes: list[Annotated[str, TextForm("^[0-9]{2}$", ("07", "42"))]], name: Annotated[str, TextForm(max_chars=3)]
    ) -> str:
        """Ring.

        Args:
            codes: Two digits each.
            name: Short name.
        """
        return "".join(codes)

    toolkit = Toolkit(ring)
    properties = toolkit.schemas()[0]["function"]["parameters"]["properties"]
    assert properties["codes"]["items"] == {"type": "string", "pattern": "^[0-9]{2}$", "examples": ["07", "42"]}
    assert properties["name"] == {"type": "string", "maxLength": 3, "description": "Short name."}
    assert call(toolkit, "ring", codes=["11"], name="abc").content == "11"
    assert "argument 'codes[0]' is \"x\"" in call(toolkit, "ring", codes=["x"], name="abc").content
    assert "expected a string of at most this many characters: 3" in call(toolkit, "ring", codes=[], name="abcd").content
    for seed in range(20):
        assert toolkit.validate(toolkit.sample_call(np.random.default_rng(seed))) is None


def test_toolkits_of_the_wrong_things_are_refused():
    with pytest.raises(UsageError, match="Two tools are called 'add'"):
        Toolkit(add, add)
    with pytest.raises(UsageError, match="Shed is a class; give the toolkit an object"):
        Toolkit(Shed)
    with pytest.raises(UsageError, match="holds no tools"):
        Toolkit(object())
    with pytest.raises(UsageError, match="toolkit of nothing"):
        Toolkit()
    with pytest.raises(UnknownNameError, match=r"Unknown tool 'pit'\. Did you mean 'put'"):
        Toolkit(Shed(), names=["pit"])


def test_tools_keep_their_order_in_a_class_that_was_rebuilt_from_sorted_attributes():
    class Two:
        @tool
        def turn(self) -> str:
            """Turn."""

        def helper(self) -> None: ...

        @tool
        def pull(self) -> str:
            """Pull."""

    rebuilt = type("Two", (), {name: vars(Two)[name] for name in sorted(vars(Two)) if name not in ("__dict__", "__weakref__")})
    assert list(vars(rebuilt)) != list(vars(Two))
    assert [schema["function"]["name"] for schema in Toolkit(rebuilt()).schemas()] == ["turn", "pull"]


def test_tools_can_be_chosen_and_ordered():
    shed = Toolkit(Shed(), names=["list", "put"])
    assert shed.names == ("list", "put")
    assert call(shed, "grow", node={"value": 1}).status == "unknown_tool"


def test_an_overridden_method_is_a_tool_only_under_the_decorator():
    class Locked(Shed):
        def grow(self, node):
            return "no"

    assert Toolkit(Locked()).names == ("put", "list")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9))
def test_sampled_calls_are_well_formed(seed):
    rng = np.random.default_rng(seed)
    toolkit = Toolkit(Shed(), add)
    for _ in range(5):
        assert toolkit.validate(toolkit.sample_call(rng)) is None


def test_sampling_respects_bounds_and_formats():
    @dataclass
    class Box:
        size: Annotated[float, Field(gt=0, lt=0.25)]

    @tool
    def many(
        a: Annotated[int, Field(gt=3, lt=6)],
        b: Annotated[float, Field(ge=-2, multiple_of=0.5)],
        c: Annotated[list[int], Field(min_length=2, max_length=2)],
        d: tuple[int, str],
        e: Annotated[str, Field(min_length=6, max_length=7)],
        f: Literal["only"],
        g: dict[str, bool],
        h: Annotated[str, Field(pattern="^[0-9]{2}$", examples=["07"])],
    ) -> int:
        """Take many kinds."""
        return a

    toolkit = Toolkit(many)
    for seed in range(100):
        problem = toolkit.validate(toolkit.sample_call(np.random.default_rng(seed)))
        assert problem is None, problem


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.floats(), st.text(max_size=4)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=5,
)
names = st.one_of(st.sampled_from(["put", "list", "grow", "add", ""]), st.text(max_size=6))
argument_names = st.one_of(st.sampled_from(["item", "colour", "count", "node", "a", "b", "place"]), st.text(max_size=4))


@settings(max_examples=200, deadline=None)
@given(names, st.one_of(st.text(max_size=10), st.dictionaries(argument_names, json_values, max_size=4)), st.booleans())
def test_any_call_is_answered_and_a_failed_one_changes_nothing(name, arguments, lenient):
    shed = Shed()
    result = Toolkit(shed, add, lenient=lenient).call(ToolCall(name, arguments))
    if result.status != "ok":
        assert result.content.startswith("Error: ")
        assert shed.boxes == {"red": ["saw"]}


def test_toolkits_and_samplers_pickle():
    toolkit = pickle.loads(pickle.dumps(Toolkit(Shed(), add, names=["add", "put"])))
    assert toolkit.names == ("add", "put")
    assert call(toolkit, "put", item="x", colour="blue").status == "ok"
    assert toolkit.world.boxes["blue"] == ["x"]
    sampler = toolkit.sampler()
    draws = [pickle.loads(pickle.dumps(sampler))(np.random.default_rng(1)), sampler(np.random.default_rng(1))]
    assert draws[0] == draws[1]


def test_importing_tools_and_environments_made_of_them_imports_no_pydantic():
    code = "import palaestra.envs.desk.env, sys; sys.exit('pydantic' in sys.modules or 'docstring_parser' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
