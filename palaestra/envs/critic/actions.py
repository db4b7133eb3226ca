"""How an agent's message becomes the text that is scored, and how an action is written for an agent.

Tool names of published items have dots, which model APIs do not take: in native calls other characters stand for them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from palaestra.envs.core.actions import read_message
from palaestra.envs.critic.documents import json_type, shown_schema
from palaestra.envs.critic.paper import read_reply
from palaestra.envs.critic.published import FINISH
from palaestra.envs.critic.record import Action, Record
from palaestra.envs.formats.hermes import CALL_OPEN, format_message
from palaestra.envs.wrappers.injection.taxonomy import INTERNAL
from palaestra.types import Json, Message, ToolCall
from palaestra.types.plain_json import strict_json

REPORT = "reply"
"""Parameter of `FinishAction` as a native tool."""
FINISH_SCHEMA: dict[str, Json] = {
    "type": "function",
    "function": {
        "name": FINISH,
        "description": "End the task, or stop, with a reply to the user.",
        "parameters": {
            "type": "object",
            "properties": {REPORT: {"type": "string", "description": "The reply."}},
            "required": [REPORT],
        },
    },
}
ONE_CALL = "Your message has {number} tool calls; make one call in a message."

_CRITIQUE = re.compile(r"<critique>\s*(.*?)\s*</critique>", re.DOTALL)
_UNUSABLE = re.compile(r"[^a-zA-Z0-9_-]")
_VALUES: Mapping[str | None, tuple[Json, ...]] = {
    "string": ("tea", "2031-03-04", "Arlow"),
    "integer": (1, 2, 7),
    "number": (1.5, 20.5),
    "boolean": (True, False),
    "array": (["tea"], []),
    "object": ({},),
    None: ("tea", 1),
}


class Read(NamedTuple):
    """A message read: the text that is scored, or what is wrong with it."""

    text: str
    problem: str = ""


class Names:
    """Names of tools as native calls have them, and back.

    Args:
        names: The tools' own names.
    """

    def __init__(self, names: Iterable[str]) -> None:
        """Give each a name that model APIs take."""
        self.native: dict[str, str] = {FINISH: FINISH}
        for name in names:
            stem = found = _UNUSABLE.sub("_", name)[:60]
            number = 1
            while found in self.native.values():
                number += 1
                found = f"{stem}_{number}"
            self.native[name] = found
        self.own = {native: name for name, native in self.native.items()}

    def schemas(self, record: Record) -> list[dict[str, Json]]:
        """Return the tools of an item for native calls, and `FinishAction`."""
        found = []
        for tool in record.tools:
            schema = shown_schema(tool)
            function: dict[str, Any] = schema["function"]
            about = function.get("description") or f"The tool {function['name']}."
            found.append({**schema, "function": {**function, "name": self.native[function["name"]], "description": about}})
        return [*found, FINISH_SCHEMA]


def read_action(action: str | Message, names: Names) -> Read:
    """Return the text of the action of a message: its own, or of its tool call with the critique next to it.

    Args:
        action: The message.
        names: Names of the tools of the item.
    """
    message = action if isinstance(action, Message) else Message("assistant", action)
    if not message.tool_calls and CALL_OPEN in message.content:
        message = read_message(message.content)
        if message.error:
            return Read(message.content, message.error)
    if not message.tool_calls:
        return Read(message.content)
    if len(message.tool_calls) > 1:
        return Read(message.content, ONE_CALL.format(number=len(message.tool_calls)))
    call = message.tool_calls[0]
    if not isinstance(call.arguments, Mapping) or not call.name:
        return Read(
            message.content, f"The arguments of your call of {call.name!r} cannot be read; write them as a JSON object."
        )
    name = names.own.get(call.name, call.name)
    args: Json = dict(call.arguments)
    if name == FINISH and isinstance(args.get(REPORT), str):
        args = args[REPORT]
    claim, thought = _beside(message.content)
    found = {**claim, **({"thought": thought} if thought else {}), "name": name, "args": args}
    return Read(json.dumps(found, ensure_ascii=False))


def written(action: Action, label: str, names: Names, form: str) -> str:
    """Return the text of an action, as JSON or as a tool call with the critique next to it.

    Args:
        action: The action.
        label: The error that is claimed; "" for none.
        names: Names of the tools of the item.
        form: "json" or "calls".
    """
    if form == "json":
        claim = {"error": label} if label else {}
        return json.dumps({**claim, **action.to_published()}, ensure_ascii=False)
    args = {REPORT: action.args} if isinstance(action.args, str) else action.args
    critique = f"<critique>{json.dumps({'error': label})}</critique>" if label else ""
    content = " ".join(part for part in (action.thought or "", critique) if part)
    call = ToolCall(names.native.get(action.name, action.name), args)
    return format_message(Message("assistant", content, (call,)))


def dialogue(record: Record, names: Names, form: str) -> str:
    """Return the dialogue of an item as an agent is shown it, without the system message.

    Args:
        record: The item.
        names: Names of its tools.
        form: How the steps are written: "json" or "calls".
    """
    shown = []
    for message in record.messages:
        role, content = message["role"], message["content"]
        if role == "system":
            continue
        if role == "assistant" and form == "calls":
            reply = read_reply(content)
            if reply is not None and reply.action is not None:
                content = written(reply.action, "", names, form)
        title = {"user": "User", "assistant": "You", "function": "Result"}.get(role, role)
        shown.append(f"{title}: {content}")
    return "\n\n".join(shown)


class SampleAction:
    """Draws well-formed actions of an item: a call of one of its tools, now and then with a claim.

    Args:
        record: The item; None before the first, where only reports are drawn.
        form: How they are written.
    """

    def __init__(self, record: Record | None, form: str) -> None:
        """Look at the tools."""
        self.tools = [] if record is None else [tool["function"] for tool in record.tools]
        self.is_internal = record is not None and record.family == "internal"
        self.form = form
        self.names = Names(function["name"] for function in self.tools)

    def __call__(self, rng: np.random.Generator) -> str:
        """Draw an action."""
        place = int(rng.integers(len(self.tools) + 1))
        label = INTERNAL[int(rng.integers(4))] if self.is_internal and rng.random() < 0.5 else ""
        if place == len(self.tools):
            words = ("It failed.", "All is done.", "Please tell me how to proceed.")
            return written(Action(name=FINISH, args=words[int(rng.integers(3))]), label, self.names, self.form)
        function = self.tools[place]
        needed = function["parameters"].get("required", ())
        args = {}
        for name, found in function["parameters"]["properties"].items():
            if name in needed or rng.random() < 0.3:
                values = _values(found)
                args[name] = values[int(rng.integers(len(values)))]
        return written(Action(name=function["name"], args=args), label, self.names, self.form)


def _values(found: Mapping[str, Json]) -> tuple[Json, ...]:
    """Return values for a property."""
    if isinstance(found.get("enum"), list) and found["enum"]:
        return tuple(found["enum"])
    kept = found.get("x-document", {})
    kind = json_type(kept["type"]) if "type" in kept else found.get("type")
    return _VALUES.get(kind if isinstance(kind, str) else None, _VALUES[None])


def _beside(content: str) -> tuple[dict[str, Json], str]:
    """Return the claim that stands next to a call, as a mapping, and the text around it."""
    marked = _CRITIQUE.search(content)
    text = marked[1] if marked is not None else content.strip()
    rest = (content[: marked.start()] + content[marked.end() :]).strip() if marked is not None else ""
    try:
        found = strict_json(text)
    except (ValueError, RecursionError):
        found = text if marked is not None else None
    if isinstance(found, dict):
        thought = found.get("thought")
        return ({"error": found["error"]} if "error" in found else {}), rest or (thought if isinstance(thought, str) else "")
    if marked is not None:
        return {"error": found}, rest
    return {}, content.strip()


__all__ = ["FINISH_SCHEMA", "REPORT", "Names", "Read", "SampleAction", "dialogue", "read_action", "written"]
