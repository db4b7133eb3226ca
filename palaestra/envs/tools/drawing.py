"""Right arguments drawn from any JSON schema, for samplers, and the simplest ones, for messages.

A draw follows the schema as far as one can without solving it (`not`, `dependentSchemas` and the like are left to chance),
and the validator has the last word: what it refuses is drawn again, plainer and plainer. Time and size are bounded whatever
the schema asks for: right arguments that are large, or hard to find, count as none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np

from palaestra.envs.tools.json_schema import matches, pointed, validator_of
from palaestra.envs.tools.pattern_texts import draw_match
from palaestra.envs.tools.schema import FORMAT_EXAMPLES, Schema
from palaestra.errors import UsageError
from palaestra.types import Json

WORDS = ("review", "lunch", "Mara", "report", "naïve", "日本", "tram 4", "call back", "2031", "Größe", "a<b", '"quoted"', "🙂")
MAX_DEPTH = 4  # levels below which optional parts are left out
MAX_OPTIONAL = 12  # optional fields of one object, so that 500 of them still make a readable call
_MAX_LEVELS = 40
_MAX_PARTS = 20_000  # schemas that are looked at in one draw
_MAX_COST = 60_000  # the same in all tries for one call, with what else takes time
MAX_DRAWN_CHARS = 10_000  # of all texts of one call: several calls have to fit into a message
MAX_DRAWN_ITEMS = 1_000  # least length of a list, or least number of fields, that is drawn
_TRIES = 40
_NO_LIMIT = 1_000_000

_KINDS = {
    "object": ("properties", "required", "additionalProperties", "minProperties", "patternProperties", "propertyNames"),
    "array": ("items", "prefixItems", "minItems", "contains", "uniqueItems"),
    "string": ("minLength", "pattern", "format", "maxLength"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}
_HIGHER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains")
_LOWER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains")
_JOINED = ("items", "additionalProperties", "propertyNames", "contains")
_CONDITION = ("if", "then", "else")


class Undrawable(Exception):
    """Nothing could be drawn for a part of a schema."""


def draw_arguments(schema: Schema, rng: np.random.Generator) -> dict[str, Json]:
    """Draw arguments that a schema allows.

    Args:
        schema: Schema of the arguments object.
        rng: Source of chance.

    Raises:
        UsageError: If none can be found.
    """
    text = json.dumps(schema, ensure_ascii=False)
    drawn = _drawn(schema, text, rng)
    if drawn is None:
        drawn = simplest_arguments(text)
    if drawn is None:
        raise UsageError(f"No right arguments could be found for the schema {text[:200]}; give it `examples`.")
    copied: dict[str, Json] = json.loads(json.dumps(drawn))
    return copied


@lru_cache(maxsize=1024)
def simplest_arguments(text: str) -> dict[str, Json] | None:
    """Return the simplest right arguments that could be found, always the same; None if none were found.

    Args:
        text: Schema of the arguments object as JSON.
    """
    schema: Schema = json.loads(text)
    rng = np.random.default_rng(0)
    try:
        simplest = _Draw(schema, rng, _Purse(), is_plain=True).value(schema, "text", 0)
    except Undrawable:
        simplest = None
    if isinstance(simplest, dict) and validator_of(text).is_valid(simplest):
        return simplest
    return _drawn(schema, text, rng)


def words(rng: np.random.Generator) -> str:
    """Draw one to three words."""
    return " ".join(WORDS[int(i)] for i in rng.integers(len(WORDS), size=int(rng.integers(1, 4))))


def _drawn(schema: Schema, text: str, rng: np.random.Generator) -> dict[str, Json] | None:
    """Draw until the validator is content, optional parts left out in the later half of the tries."""
    validator = validator_of(text)
    purse = _Purse()
    for attempt in range(_TRIES):
        try:
            value = _Draw(schema, rng, purse, is_sparse=attempt >= _TRIES // 2, most=3 + attempt).value(schema, "text", 0)
        except Undrawable:
            continue
        if isinstance(value, dict) and validator.is_valid(value):
            return value
    return None


class _Purse:
    """What all tries for one call may cost together."""

    def __init__(self) -> None:
        """Begin full."""
        self.left = _MAX_COST


class _Draw:
    """One draw.

    Args:
        root: Schema that local references point into.
        rng: Source of chance.
        purse: What all tries may cost together.
        is_plain: Always the first option, the shortest text and no optional part.
        is_sparse: No optional part.
        most: How often more than asked for an open repetition of a pattern is drawn at most.
    """

    def __init__(
        self,
        root: Schema,
        rng: np.random.Generator,
        purse: _Purse,
        *,
        is_plain: bool = False,
        is_sparse: bool = False,
        most: int = 3,
    ) -> None:
        """Begin with a budget of parts, which ends whatever does not end by itself."""
        self.root = root
        self.rng = rng
        self.purse = purse
        self.is_plain = is_plain
        self.is_sparse = is_sparse or is_plain
        self.most = most
        self.parts_left = _MAX_PARTS
        self.chars_left = MAX_DRAWN_CHARS

    def spend(self, cost: int = 1) -> None:
        """Take from the budgets; Undrawable if one of them is used up."""
        self.parts_left -= 1
        self.purse.left -= cost
        if self.parts_left < 0 or self.purse.left < 0:
            raise Undrawable

    def said(self, text: str) -> str:
        """Return a text that was drawn; Undrawable if all of them together are too long."""
        self.chars_left -= len(text)
        if self.chars_left < 0:
            raise Undrawable
        return text

    def at_least(self, low: int) -> int:
        """Return a least number of items or fields; Undrawable if that many are not drawn."""
        if low > MAX_DRAWN_ITEMS:
            raise Undrawable
        return low

    def value(self, schema: Json, name: str, depth: int) -> Json:
        """Draw a value; `name` is that of a plain text."""
        if depth > _MAX_LEVELS:
            raise Undrawable
        flat = self.flat(schema, depth)
        if "const" in flat:
            return flat["const"]
        kinds = flat.get("type")
        kinds = kinds if isinstance(kinds, list) else [] if kinds is None else [kinds]
        if "enum" in flat:
            return self.pick([value for value in flat["enum"] if not kinds or _is_of(value, kinds)])
        examples = [value for value in flat.get("examples", ()) if not kinds or _is_of(value, kinds)]
        if examples and (self.is_plain or self.rng.random() < 0.8):
            return self.pick(examples)
        kind = self.pick([kind for kind in kinds if kind != "null"] or kinds or _kinds_meant(flat))
        if kind == "object":
            return self.object(flat, depth)
        if kind == "array":
            return self.array(flat, name, depth)
        if kind in ("integer", "number"):
            return self.number(flat, is_integer=kind == "integer")
        if kind == "boolean":
            return True if self.is_plain else bool(self.rng.integers(2))
        return None if kind == "null" else self.text(flat, name)

    def flat(self, schema: Json, depth: int) -> Schema:
        """Return a schema without references, alternatives and conditions: one way through them."""
        flat = _as_map(schema)
        while True:
            self.spend()
            if "$ref" in flat:
                part = pointed(self.root, str(flat.pop("$ref")))
                if part is None:
                    raise Undrawable
            elif flat.get("allOf"):
                first, *rest = flat.pop("allOf")
                part = first
                if rest:
                    flat["allOf"] = rest
            elif key := next((key for key in ("anyOf", "oneOf") if flat.get(key)), ""):
                part = self.option(flat.pop(key), depth)
            elif "if" in flat:
                condition, then, other = (flat.pop(key, True) for key in _CONDITION)
                part = {"allOf": [condition, then]} if self.is_plain or self.rng.random() < 0.5 else other
            else:
                return flat
            self.spend(_cost_of_merging(flat, part))
            flat = merged(flat, part)

    def option(self, options: Sequence[Json], depth: int) -> Json:
        """Choose an alternative; deep down the shortest, which ends types that hold themselves."""
        if self.is_plain and depth < MAX_DEPTH:
            return options[0]
        if depth >= MAX_DEPTH:
            texts = [json.dumps(option) for option in options]
            self.spend(sum(map(len, texts)) // 500)
            return options[min(range(len(options)), key=lambda index: ("$ref" in texts[index], len(texts[index])))]
        return self.pick(options)

    def object(self, schema: Schema, depth: int) -> dict[str, Json]:
        """Draw an object: required fields always, others every second time."""
        properties: dict[str, Json] = schema.get("properties", {})
        required = set(schema.get("required", ()))
        depends = schema.get("dependentRequired", {})
        waiting = list(required)
        while waiting:  # what a required field requires in turn
            fresh = set(depends.get(waiting.pop(), ())) - required
            required |= fresh
            waiting += fresh
        low, high = self.at_least(int(schema.get("minProperties", 0))), int(schema.get("maxProperties", _NO_LIMIT))
        optional = [] if self.is_sparse or depth >= MAX_DEPTH else [key for key in properties if key not in required]
        order = [optional[int(i)] for i in self.rng.permutation(len(optional))[:MAX_OPTIONAL]]
        kept = [key for key in order if self.rng.random() < 0.5 and not set(depends.get(key, ())) - required]
        kept = kept[: max(0, high - len(required))]
        result: dict[str, Json] = {}
        for key in [*properties, *sorted(required - set(properties))]:
            if key in required:
                result[key] = self.value(self.field(schema, key), key, depth + 1)
            elif key in kept:
                try:
                    result[key] = self.value(properties[key], key, depth + 1)
                except Undrawable:
                    continue
        free = schema.get("additionalProperties", True)
        if isinstance(free, dict) and not self.is_sparse and depth < MAX_DEPTH:
            low = max(low, min(high, len(result) + int(self.rng.integers(3))))
        self.fill(result, schema, low, depth)
        return result

    def fill(self, result: dict[str, Json], schema: Schema, low: int, depth: int) -> None:
        """Add fields until there are enough."""
        spare = [key for key in schema.get("properties", {}) if key not in result]
        for _ in range(3 * low + 3):
            if len(result) >= low:
                return
            self.spend()
            if spare:
                key = spare.pop(0)
            elif "propertyNames" in schema:
                key = str(self.value({"type": "string", **_as_map(schema["propertyNames"])}, f"key{len(result)}", depth + 1))
            elif patterns := list(schema.get("patternProperties", {})):
                key = draw_match(self.pick(patterns), self.rng, self.most) or ""
            else:
                key = f"key {len(result) + 1}" if self.is_plain else words(self.rng)
            self.said(key)
            if key not in result:
                result[key] = self.value(self.field(schema, key), key, depth + 1)
        if len(result) < low:
            raise Undrawable

    def field(self, schema: Schema, key: str) -> Json:
        """Return the schema of a field."""
        if key in schema.get("properties", {}):
            return schema["properties"][key]
        patterns: dict[str, Json] = schema.get("patternProperties", {})
        self.spend(10 * len(patterns))
        matching = (inner for pattern, inner in patterns.items() if matches(pattern, key))
        return next(matching, schema.get("additionalProperties", True))

    def array(self, schema: Schema, name: str, depth: int) -> list[Json]:
        """Draw a list between its bounds, short by default."""
        prefix: Sequence[Json] = schema.get("prefixItems", ())
        inner = schema.get("items", True)
        wanted = int(schema.get("minContains", 1)) if "contains" in schema else 0
        low = self.at_least(max(int(schema.get("minItems", 0)), wanted))
        high = int(schema.get("maxItems", _NO_LIMIT))
        if prefix and not self.is_sparse:
            low = max(low, min(len(prefix), high))
        most = low if self.is_sparse or depth >= MAX_DEPTH or inner is False else min(high, low + 2)
        count = int(self.rng.integers(low, max(low, most) + 1))
        items: list[Json] = []
        seen: set[str] = set()
        for _ in range(20 * count):
            if len(items) == count:
                break
            one = prefix[len(items)] if len(items) < len(prefix) else inner
            if count - len(items) <= wanted:
                one = {"allOf": [one, schema["contains"]]}
            item = self.value(one, name, depth + 1)
            key = json.dumps(_numbers_alike(item), sort_keys=True)
            if not schema.get("uniqueItems") or key not in seen:
                seen.add(key)
                items.append(item)
        if len(items) < count:
            raise Undrawable
        return items

    def number(self, schema: Schema, *, is_integer: bool) -> int | float:
        """Draw a number between its bounds, near the lower one or zero."""
        step = Fraction(str(schema.get("multipleOf", 1 if is_integer or self.is_plain else 0.5)))
        if is_integer:
            step = Fraction(step.numerator)  # the least whole number that is a multiple of the step
        low, high = _bound(schema, "minimum", "exclusiveMinimum", max), _bound(schema, "maximum", "exclusiveMaximum", min)
        first = math.ceil(low / step) if low is not None else None
        last = math.floor(high / step) if high is not None else None
        if first is not None and first * step == low and _is_open(schema, "minimum", "exclusiveMinimum", max):
            first += 1
        if last is not None and last * step == high and _is_open(schema, "maximum", "exclusiveMaximum", min):
            last -= 1
        if first is None:
            first = -10 if last is None else last - 20
        last = first + 20 if last is None else min(last, first + 20)
        if first > last:  # a range narrower than the step: its middle
            if is_integer or "multipleOf" in schema or low is None or high is None or low > high:
                raise Undrawable
            return float((low + high) / 2)
        index = min(max(1, first), last) if self.is_plain else first + int(self.rng.integers(last - first + 1))
        value = index * step
        if is_integer or (self.is_plain and value.denominator == 1):
            return int(value)
        try:
            return float(value)
        except OverflowError:
            raise Undrawable from None

    def text(self, schema: Schema, name: str) -> str:
        """Draw a text of the given pattern, format and length."""
        low, high = int(schema.get("minLength", 0)), int(schema.get("maxLength", _NO_LIMIT))
        if low > self.chars_left:
            raise Undrawable
        if "pattern" in schema:
            self.spend(50)
            most = 0 if self.is_plain else max(self.most, low)
            drawn = [draw_match(schema["pattern"], self.rng, most) for _ in range(5)]
            fitting = [text for text in drawn if text is not None and low <= len(text) <= high]
            if not fitting:
                raise Undrawable
            return self.said(fitting[0])
        if schema.get("format") in FORMAT_EXAMPLES:
            return FORMAT_EXAMPLES[schema["format"]]
        return self.said((name if self.is_plain else words(self.rng)).ljust(low, "x")[:high])

    def pick(self, options: Sequence[Any]) -> Any:
        """Draw one of some options, the first if plain."""
        if not options:
            raise Undrawable
        return options[0 if self.is_plain else int(self.rng.integers(len(options)))]


def merged(first: Schema, second: Json) -> Schema:
    """Return a schema that allows what both allow, as far as one can say that in one."""
    result, second = dict(first), _as_map(second)
    if any(key in first and key in second for key in _CONDITION):
        result.setdefault("allOf", [])
        result["allOf"] = [*result["allOf"], {key: second.pop(key) for key in _CONDITION if key in second}]
    for key, value in second.items():
        if key not in result:
            result[key] = value
        elif key == "properties":
            both = result[key].keys() & value.keys()
            result[key] = {**result[key], **value, **{name: {"allOf": [result[key][name], value[name]]} for name in both}}
        elif key in ("required", "allOf"):
            result[key] = [*result[key], *value]
        elif key in _HIGHER:
            result[key] = max(result[key], value)
        elif key in _LOWER:
            result[key] = min(result[key], value)
        elif key == "type":
            result[key] = _common_types(result[key], value)
        elif key == "enum":
            result[key] = [one for one in result[key] if one in value]
        elif key in _JOINED:
            result[key] = {"allOf": [result[key], value]}
        elif key in ("anyOf", "oneOf", "$ref", "not"):
            result["allOf"] = [*result.get("allOf", ()), {key: value}]
        else:
            result[key] = value
    return result


def _cost_of_merging(first: Schema, second: Json) -> int:
    """Return how much longer than usual `merged` takes."""
    if not isinstance(second, Mapping):
        return 0
    options = len(first.get("enum", ())) * len(second.get("enum", ()))
    sizes = sum(len(one.get(key, ())) for one in (first, second) for key in ("properties", "required", "allOf"))
    return (options + sizes) // 500


def _common_types(first: Json, second: Json) -> list[str]:
    """Return the types that two schemas share."""
    ones, others = (kinds if isinstance(kinds, list) else [kinds] for kinds in (first, second))
    common = [kind for kind in ones if kind in others]
    if "integer" not in common and {"integer", "number"} <= {*ones, *others}:
        common.append("integer")
    if not common:
        raise Undrawable
    return common


def _as_map(schema: Json) -> Schema:
    """Return a schema as a new map; what `false` allows cannot be drawn."""
    if schema is False:
        raise Undrawable
    return dict(schema) if isinstance(schema, Mapping) else {}


def _kinds_meant(schema: Schema) -> Sequence[str]:
    """Return the types that a schema without `type` is about."""
    meant = [kind for kind, keys in _KINDS.items() if any(key in schema for key in keys)]
    return meant[:1] or ("string", "integer", "boolean")


def _is_of(value: Json, kinds: Sequence[str]) -> bool:
    """Whether a value is of one of some JSON types."""
    if isinstance(value, bool):
        return "boolean" in kinds
    if isinstance(value, (int, float)):
        return "number" in kinds or ("integer" in kinds and value == int(value))
    names = {str: "string", list: "array", dict: "object", type(None): "null"}
    return names[type(value)] in kinds


def _bound(schema: Schema, closed: str, opened: str, tighter: Any) -> Fraction | None:
    """Return the tighter of two bounds."""
    bounds = [Fraction(str(schema[key])) for key in (closed, opened) if key in schema]
    return tighter(bounds) if bounds else None


def _is_open(schema: Schema, closed: str, opened: str, tighter: Any) -> bool:
    """Whether the tighter of two bounds is the open one."""
    return opened in schema and Fraction(str(schema[opened])) == _bound(schema, closed, opened, tighter)


def _numbers_alike(value: Json) -> Json:
    """Return a value in which 1.0 is 1, as JSON Schema compares."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_numbers_alike(item) for item in value]
    if isinstance(value, dict):
        return {key: _numbers_alike(item) for key, item in value.items()}
    return value


__all__ = ["Undrawable", "draw_arguments", "simplest_arguments", "words"]
