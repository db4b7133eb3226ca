"""Tools from data: checking the arguments of a call with `jsonschema-rs`, next to `jsonschema` on the same schemas."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from benchmarks.rows import Row, cpu_us
from palaestra.envs.tools import SchemaTool, Toolkit
from palaestra.envs.tools.json_schema import validator_of

NUM_CALLS = 64
_PLACE = {
    "type": "object",
    "properties": {"street": {"type": "string"}, "number": {"type": "integer", "minimum": 1}},
    "required": ["street"],
    "additionalProperties": False,
}
PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 2},
        "days": {"type": "integer", "minimum": 1, "maximum": 7},
        "units": {"type": "string", "enum": ["metric", "imperial"]},
        "places": {"type": "array", "items": _PLACE, "minItems": 1, "maxItems": 3},
        "hourly": {"type": "boolean"},
        "code": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{2,4}$"},
        "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    },
    "required": ["city", "places"],
    "additionalProperties": False,
}
"""Seven arguments, as published tools have on average (FTRL test split)."""


def run() -> list[Row]:
    """Time the check of right arguments alone, and a whole call of a toolkit; only shown."""
    function = {"name": "forecast", "description": "Say the weather.", "parameters": PARAMETERS}
    tool = SchemaTool({"type": "function", "function": function}, lambda **arguments: "fine")
    kit = Toolkit(tool)
    rng = np.random.default_rng(0)
    calls = [kit.sample_call(rng) for _ in range(NUM_CALLS)]
    given = [(call.arguments, json.dumps(call.arguments)) for call in calls]
    validator = validator_of(json.dumps(PARAMETERS))
    loops = {
        "check": lambda number: [validator.is_valid(given[i % NUM_CALLS][0]) for i in range(number)],
        "ours": lambda number: [tool.read(*given[i % NUM_CALLS], lenient=False) for i in range(number)],
        "call": lambda number: [kit.call(calls[i % NUM_CALLS]) for i in range(number)],
    }
    peer = _peer()
    if peer is not None:
        loops["peer"] = lambda number: [peer.is_valid(given[i % NUM_CALLS][0]) for i in range(number)]
    times = cpu_us(loops, number=NUM_CALLS)
    known = times.get("peer")
    return [
        Row("verdict on a call's arguments by their schema", times["check"], "µs", "jsonschema", known),
        Row("the same from JSON text, as a toolkit does", times["ours"], "µs", "jsonschema, its verdict alone", known),
        Row("call of a tool from data", times["call"], "µs", "jsonschema, its verdict alone", known),
    ]


def _peer() -> Any:
    """Return the validator of `jsonschema`, None if it is not installed."""
    try:
        import jsonschema
    except ModuleNotFoundError:
        return None
    return jsonschema.Draft202012Validator(PARAMETERS)


if __name__ == "__main__":
    for row in run():
        print(row)
