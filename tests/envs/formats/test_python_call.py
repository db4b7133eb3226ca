import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.formats.action_format import ActionFormatError
from palaestra.envs.formats.python_call import PythonCallFormat, format_code_call, parameter_names, parse_code_call, signature
from palaestra.types import ToolCall

KNOWN = {"goto": ["place"], "take": ["item", "place"], "look": []}
SCHEMA = {
    "type": "function",
    "function": {
        "name": "take",
        "description": "Take an item.",
        "parameters": {
            "type": "object",
            "properties": {
                "item": {"type": "string", "description": "What to take."},
                "count": {"type": "integer", "default": 1},
                "kind": {"enum": ["big", "small"]},
            },
            "required": ["item", "kind"],
        },
    },
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(thought=st.text(alphabet="abc ,.", max_size=40), values=st.lists(json_values, min_size=2, max_size=2))
def test_code_call_round_trip(thought, values):
    call = ToolCall("take", dict(zip(["item", "place"], values, strict=True)))
    parsed = parse_code_call(format_code_call(thought, call), KNOWN)
    assert parsed.call == call


def test_code_call_binds_positions_to_names_and_reads_comments():
    thought, call = parse_code_call("```python\n# first\n# second\ntake('cup', place='shelf')\n```", KNOWN)
    assert thought == "first\nsecond"
    assert call == ToolCall("take", {"item": "cup", "place": "shelf"})


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("```python\nlook()\n```\n```python\nlook()\n```", "2 code blocks"),
        ("import os", "expected exactly one call"),
        ("look(); look()", "2 statements"),
        ("__import__('os').system('true')", "expected exactly one call"),
        ("rm('x')", "Unknown function 'rm'"),
        ("take(open('x'), 'y')", "must be a literal"),
        ("take(*['a'])", "must be a literal"),
        ("take(**other)", "only before a dict"),
        ("take(**{**{'item': 1}})", "only before a dict"),
        ("take(**{1: 1})", "only before a dict"),
        ("take(item=1, **{'item': 1})", "got 'item' twice"),
        ("take(**{'item': open('x')})", "must be a literal"),
        ("tools[take]('a')", "expected exactly one call"),
        ("tools['rm']('a')", "Unknown function 'rm'"),
        ("others['take']('a')", "expected exactly one call"),
        ("tools['take']['take']('a')", "expected exactly one call"),
        ("take('a', item='b')", "got 'item' twice"),
        ("take(1, 2, 3)", "takes 2 arguments"),
        ("take({1}, 2)", "must be a literal"),
        ("look(", "could not be read"),
        ("x = look()", "expected exactly one call"),
        ("look\x00()", "could not be read"),
    ],
)
def test_code_call_refuses_everything_but_one_literal_call(code, message):
    with pytest.raises(ActionFormatError, match=message):
        parse_code_call(code, KNOWN)


def test_signature_shows_types_defaults_and_descriptions():
    text = signature(SCHEMA)
    assert text.startswith("def take(item: str, count: int = 1, kind: Literal['big', 'small']):")
    assert "What to take." in text
    assert parameter_names([SCHEMA]) == {"take": ["item", "count", "kind"]}
    assert json.dumps(SCHEMA)


TYPES = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "object": "dict", "null": "None"}
plain_types = st.sampled_from([({"type": name}, told) for name, told in TYPES.items()]) | st.sampled_from(
    [({}, "object"), (True, "object"), ({"type": "else"}, "object"), ({"enum": ["a", 1, None]}, "Literal['a', 1, None]")]
)


def unions(inner):
    parts = st.lists(inner, min_size=1, max_size=3)
    kinds = st.lists(st.sampled_from(sorted(TYPES)), min_size=1, max_size=3, unique=True)
    return (
        parts.map(lambda of: ({"anyOf": [spec for spec, _ in of]}, " | ".join(dict.fromkeys(told for _, told in of))))
        | inner.map(lambda of: ({"type": "array", "items": of[0]}, f"list[{of[1]}]"))
        | kinds.map(lambda of: ({"type": of}, " | ".join(TYPES[kind] for kind in of)))
        | st.just(({"type": "array"}, "list[object]"))
    )


@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "c"]),
        st.tuples(st.recursive(plain_types, unions, max_leaves=4), st.booleans(), st.none() | st.just(7), st.booleans()),
    )
)
def test_a_signature_says_the_type_of_every_schema_and_what_may_be_left_out(drawn):
    properties, told, lines = {}, [], []
    for name, ((spec, kind), is_required, default, is_described) in drawn.items():
        if isinstance(spec, dict):
            spec = spec | ({} if default is None else {"default": default})
            spec |= {"description": f"About {name}.\nMore."} if is_described else {}
            lines += [f"    {name}: About {name}.\n    More."] if is_described else []
        else:
            default = None
        properties[name] = spec
        told.append(f"{name}: {kind}" + ("" if is_required else f" = {default!r}"))
    required = [name for name, (_, is_required, _, _) in drawn.items() if is_required]
    parameters = {"type": "object", "properties": properties, "required": required}
    tool = {"type": "function", "function": {"name": "f", "description": " Do. ", "parameters": parameters}}
    doc = "\n".join(["Do.", *lines])
    assert signature(tool) == f'def f({", ".join(told)}):\n    """{doc}"""'
    example = f"f({', '.join(f'{name}=...' for name in required)})"
    for answers in (True, False):
        text = PythonCallFormat(answers=answers).describe([tool])
        assert signature(tool) in text
        assert example in text
        assert ("def final_answer(" in text) == answers
    assert "f(" in PythonCallFormat().describe([{"type": "function", "function": {"name": "f"}}])


ODD_NAMES = (
    "get-price",
    "ns.get",
    "a b",
    "class",
    "None",
    "__debug__",
    "ﬁ",
    "größe",
    "a\"b'c\\",
    "x</think>",
    "```",
    "tools",
    "日本",
)
odd_names = st.sampled_from(ODD_NAMES) | st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=8)
fenced = st.sampled_from(["```", "````python\n", "\\```", "\\\\````", "<think>```</think>"])


@given(odd_names, st.dictionaries(odd_names, json_values | fenced, max_size=4))
def test_calls_of_any_names_and_values_are_read_as_they_were_written(name, arguments):
    call = ToolCall(name, arguments)
    text = format_code_call("so\n```", call)
    assert text.count("```") == 2
    read = PythonCallFormat().parse(text, [schema_of(name, arguments)])
    assert read.tool_calls == (call,)


def schema_of(name, parameters):
    properties = {parameter: {"type": "string"} for parameter in parameters}
    function = {"name": name, "description": "", "parameters": {"type": "object", "properties": properties, "required": []}}
    return {"type": "function", "function": function}


def test_the_explanation_shows_quoted_names_only_where_there_are_some():
    form = PythonCallFormat()
    plain = form.describe([schema_of("take", ["item"])])
    assert "quotes" not in plain
    odd = form.describe([schema_of("take", ["item"]), schema_of("get-price", ["city", "from"])])
    assert "def tools['get-price'](city: str = None, **{'from': str = None}):" in odd
    assert odd.endswith("stand in quotes, for example `tools['get-price'](**{'from': ...})`.")
    for call in ("tools['get-price']('A', **{'from': 'B'})", 'tools["get-price"](city="A", **{"from": "B"})'):
        read = form.parse(f"```python\n{call}\n```", [schema_of("get-price", ["city", "from"])])
        assert read.tool_calls == (ToolCall("get-price", {"city": "A", "from": "B"}),)
