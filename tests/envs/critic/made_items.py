"""Small items made by hand, for the tests of the scorers."""

import json
from typing import Any

from palaestra.envs.critic.record import Record, of_published, system_message

TOOLS = [
    {
        "name": "order",
        "description": "Order something.",
        "required_parameters": [{"name": "what", "type": "STRING"}, {"name": "count", "type": "NUMBER"}],
        "optional_parameters": [
            {"name": "price", "type": "FLOAT"},
            {"name": "gift", "type": "BOOLEAN"},
            {"name": "note", "type": "any"},
            {"name": "tags", "type": "array"},
            {"name": "address", "type": "dict"},
            {"name": "day", "type": "integer"},
        ],
        "return_data": [],
    },
    {"name": "list", "description": "List it.", "required_parameters": [], "optional_parameters": [], "return_data": []},
]
FAILED = {"name": "list", "args": {}}
NEXT = {"name": "order", "args": {"what": "green tea", "count": 2}}
THOUGHT = "The shelf is empty."


def prompt() -> list[dict[str, str]]:
    step = json.dumps(FAILED)
    dialogue = [("system", system_message(TOOLS)), ("user", "Tea, please."), ("assistant", step), ("function", "Busy.")]
    return [{"role": role, "content": content} for role, content in dialogue]


def internal(args: dict[str, Any] | None = None, label: str = "tool_select_error", cot: bool = False) -> Record:
    """An item whose expected step is an order."""
    gold = {**NEXT, "args": NEXT["args"] if args is None else args, **({"thought": THOUGHT} if cot else {})}
    return of_published("i", {"query_prompt": prompt(), "ground_truth": gold, "error_type": label})


def external(following: dict[str, Any] | None = None, cot: bool = False) -> Record:
    """An item whose call of the list failed."""
    thought = {"thought": THOUGHT} if cot else {}
    pair = [{**FAILED, **thought}, {**(following or NEXT), **thought}]
    return of_published("e", {"query_prompt": prompt(), "ground_truth": pair})


def said(name: str = "order", args: Any = None, error: Any = None, thought: str = "") -> str:
    """A reply."""
    claim = {} if error is None else {"error": error}
    args = NEXT["args"] if args is None else args
    return json.dumps({**claim, **({"thought": thought} if thought else {}), "name": name, "args": args})
