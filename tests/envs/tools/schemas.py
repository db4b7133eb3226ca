"""Hypothesis strategies: JSON schemas of arguments as they come from anywhere, and any JSON."""

import re
from typing import Any

from hypothesis import strategies as st

NAMES = st.sampled_from(["a", "b", "city", "max-results", "größe", "from", "x y"])
PATTERNS = [r"^[A-Z]{2}-\d+$", r"ab?c", r"^(red|green)$", r"^\w+@\w+\.org$", r"[^0-9]{3}", r"^(?:x|yz){2,4}$", r"^(a+)+$"]
TEXTS = st.text("ab1 é日🙂", max_size=5)
NUMBERS = st.integers(-20, 20) | st.integers(-40, 40).map(lambda n: n / 2)

scalars = st.none() | st.booleans() | NUMBERS | TEXTS
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8
)


def texts() -> st.SearchStrategy[dict[str, Any]]:
    """Schemas of texts."""
    limits = st.fixed_dictionaries({"type": st.just("string")}, optional={"minLength": st.integers(0, 3)})
    upper = st.integers(3, 8).map(lambda n: {"type": "string", "maxLength": n})
    patterns = st.sampled_from(PATTERNS).map(lambda p: {"type": "string", "pattern": p})
    formats = st.sampled_from(["date", "email", "unheard-of"]).map(lambda f: {"type": "string", "format": f})
    return limits | upper | patterns | formats


def numbers() -> st.SearchStrategy[dict[str, Any]]:
    """Schemas of numbers that some number fits."""
    kinds = st.sampled_from(["integer", "number"])
    lower = st.sampled_from(["minimum", "exclusiveMinimum"])
    upper = st.sampled_from(["maximum", "exclusiveMaximum"])
    return st.builds(
        lambda kind, low, span, least, most, step: {
            "type": kind,
            **({} if low is None else {least: low}),
            **({} if span is None else {most: (low or 0) + span}),
            **({} if step is None else {"multipleOf": step}),
        },
        kinds,
        st.none() | NUMBERS,
        st.none() | st.integers(5, 30),
        lower,
        upper,
        st.none() | st.sampled_from([1, 2, 0.5, 3]),
    )


def lists(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Schemas of lists."""
    plain = st.fixed_dictionaries(
        {"type": st.just("array"), "items": inner},
        optional={"minItems": st.integers(0, 2), "maxItems": st.integers(2, 4)},
    )
    unique = st.just({"type": "array", "items": {"type": "integer"}, "uniqueItems": True, "minItems": 2})
    prefix = st.lists(inner, min_size=1, max_size=2).map(lambda parts: {"type": "array", "prefixItems": parts, "items": False})
    holding = inner.map(
        lambda part: {"type": "array", "items": {"type": "integer"}, "contains": {"type": "integer", "minimum": 3}}
    )
    return plain | unique | prefix | holding


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> dict[str, Any]:
    """Draw a schema of an object, with required fields that it describes."""
    properties = draw(st.dictionaries(NAMES, inner, max_size=4))
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if draw(st.booleans()):
        schema["required"] = draw(st.lists(st.sampled_from(sorted(properties)), unique=True)) if properties else []
    if draw(st.booleans()):
        schema["additionalProperties"] = draw(st.booleans() | inner)
    elif draw(st.booleans()):
        schema["minProperties"] = draw(st.integers(0, 3))
    if len(properties) > 1 and draw(st.booleans()):
        first, second, *_ = sorted(properties)
        schema["dependentRequired"] = {first: [second]}
    return schema


def alternatives(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Schemas of one of several things, and what vendors add."""
    some = st.lists(inner, min_size=1, max_size=3)
    return (
        some.map(lambda parts: {"anyOf": parts})
        | inner.map(lambda part: {"allOf": [part], "optional": True})
        | inner.map(lambda part: {**part, "x-vendor": {"type": 3}, "nullable": True} if isinstance(part, dict) else part)
        | inner.map(lambda part: {"if": {"type": "string"}, "then": {"minLength": 1}, "else": part})
    )


leaves = (
    texts()
    | numbers()
    | st.sampled_from(
        [{"type": "boolean"}, {"type": "null"}, {}, True, {"type": ["string", "null"]}, {"type": ["integer", "array"]}]
    )
    | st.lists(scalars, min_size=1, max_size=3).map(lambda given: {"enum": given})
    | scalars.map(lambda given: {"const": given})
    | st.just({"$ref": "#/$defs/tree"})
    | st.just({"not": {"type": "string"}})
)
any_schema = st.recursive(leaves, lambda inner: lists(inner) | objects(inner) | alternatives(inner), max_leaves=6)

TREE = {
    "type": "object",
    "properties": {"label": {"type": "string"}, "kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
}
parameters = objects(any_schema).map(lambda schema: {**schema, "$defs": {"tree": TREE}})
"""Schemas of whole arguments, nearly all of which have right ones."""

names = st.from_regex(re.compile(r"[a-zA-Z0-9_-]{1,64}"), fullmatch=True)
