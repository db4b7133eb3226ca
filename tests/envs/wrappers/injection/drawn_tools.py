"""Lists of tools drawn from a generator, with calls that are right: schemas of many shapes, odd ones included."""

import numpy as np

from palaestra.envs.wrappers.injection.tool_list import tool_list
from palaestra.types import ToolCall

WORDS = ["get", "find", "create", "note", "event", "city", "startTime", "user_id", "delete", "level", "Größe", "x", "mode"]
TEXTS = ["Mara Lind", "2031-03-04", "09:30", "q@example.net", "12", "Berlin", "a", "", "blue sky"]


def pick(rng, choices):
    return choices[int(rng.integers(len(choices)))]


def draw_value(rng):
    """Return the schema of an argument and a value that is right for it."""
    kind = int(rng.integers(9))
    if kind == 0:
        return {"type": "string"}, pick(rng, TEXTS)
    if kind == 1:
        return {"type": "string", "enum": ["low", "medium", "high"]}, pick(rng, ["low", "medium", "high"])
    if kind == 2:
        return {"type": "integer", "minimum": 0, "maximum": 10}, int(rng.integers(11))
    if kind == 3:
        return {"type": "number"}, float(rng.integers(100)) / 4
    if kind == 4:
        return {"type": "boolean"}, bool(rng.integers(2))
    if kind == 5:
        return {"type": "array", "items": {"type": "string"}, "minItems": 1}, [pick(rng, TEXTS)]
    if kind == 6:
        return {"type": "object", "additionalProperties": True}, {"a": int(rng.integers(5))}
    if kind == 7:
        return {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}, "2031-03-04"
    return {}, pick(rng, ["any", 3, None, [1]])


def draw_tool(rng, name):
    """Return a schema and right arguments."""
    keys = [WORDS[int(i)] for i in rng.permutation(len(WORDS))[: int(rng.integers(5))]]
    drawn = {key: draw_value(rng) for key in keys}
    required = [key for key in keys if rng.random() < 0.6]
    parameters = {"type": "object", "properties": {key: schema for key, (schema, _) in drawn.items()}, "required": required}
    if (free := int(rng.integers(3))) < 2:
        parameters["additionalProperties"] = bool(free)
    given = {key: value for key, (_, value) in drawn.items() if key in required or rng.random() < 0.5}
    function = {"name": name, "description": " ".join(pick(rng, WORDS) for _ in range(4)), "parameters": parameters}
    return {"type": "function", "function": function}, given


def draw_list(seed):
    """Return tools by name, and a right call of one of them."""
    rng = np.random.default_rng(seed)
    names = [
        f"{pick(rng, WORDS)}_{pick(rng, WORDS)}_{i}" if rng.random() < 0.7 else f"{pick(rng, WORDS)}{i}" for i in range(4)
    ]
    names = names[: 1 + int(rng.integers(4))]
    drawn = [draw_tool(rng, name) for name in names]
    at = int(rng.integers(len(drawn)))
    schema, arguments = drawn[at]
    return tool_list(schema for schema, _ in drawn), ToolCall(schema["function"]["name"], arguments, "call_7")
