"""What is shown to every template: episodes with and without calls, and messages that a parser made of arbitrary text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from palaestra.agents.export.conversations import chat_record
from palaestra.envs.formats.hermes import ensure_call_ids, format_message, format_results, parse_message
from palaestra.types import Message, Outcome, Step, ToolCall, ToolResult, Trajectory

GET: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get",
        "description": "Take items.",
        "parameters": {
            "type": "object",
            "properties": {
                "item": {"type": "string", "description": "What."},
                "count": {"type": "integer", "description": "How many."},
            },
            "required": ["item"],
        },
    },
}
RULES, ASK, MORE = Message("system", "These are the rules."), Message("user", "Craft planks."), Message("user", "More.")
PIECES = (
    *"abc xyz<>&{}[]|/\"'\\\n\té東🙂",
    "</think>",
    "<think>hm",
    "  padded ",
    "<|im_end|>",
    "<|channel|>final",
    "{{ 7 * 7 }}",
    "{% raw %}",
    "None",
    "<|tool_call>",
    "<tool_call>",
)
ARGUMENTS: tuple[dict[str, Any], ...] = (
    {"item": "oak log", "count": 2},
    {"item": 'é "東" 🙂 </tool_call> \\ \n\t'},
    {"x": 0.0621217, "y": [-0.283901250610023, 1.0], "z": 2**63 - 1},
    {"item": None, "deep": {"list": [], "none": {}, "text": ""}, "b": [True, False]},
    {},
)


def played(*actions: Message, instructions: str = "Rules.", name: str = "e") -> Trajectory:
    """Return an episode of these actions; every call is answered by a result."""
    steps: list[Step] = []
    shown = "obs0"
    for number, action in enumerate(actions):
        results = [ToolResult(call.name, f"result {number}", "ok", call.id) for call in action.tool_calls]
        steps.append(Step(shown, action, info={"tool_results": [one.to_json() for one in results]} if results else {}))
        shown = format_results(results) if results else f"obs{number + 1}"
    return Trajectory(
        episode_id=name,
        env_id="x",
        task={"key": "k", "split": "train", "type": ""},
        instructions=instructions,
        tools=(GET,) if any(action.tool_calls for action in actions) else (),
        steps=tuple(steps),
        outcome=Outcome(1.0, True, "success"),
    )


def call(number: int, *arguments: dict[str, Any], said: str = "", thought: str = "") -> Message:
    """Return an action that makes a call with each of these arguments."""
    calls = tuple(ToolCall("get", one, f"call{number}{place:04}") for place, one in enumerate(arguments))
    return Message("assistant", said, calls, reasoning=thought)


TEXT = played(*(Message("assistant", said) for said in ("get 1 oak log", "inventory", "done")), instructions="")
CALLS = played(call(1, {"item": "oak log", "count": 2}), call(2, {"item": "elm"}), Message("assistant", "done"))
EPISODES = (
    TEXT,
    *(
        played(call(1, *[arguments] * several, said=said, thought=thought), Message("assistant", "done"), name=f"{number}")
        for number, arguments in enumerate(ARGUMENTS)
        for several in (1, 2)
        for said, thought in (("", ""), ("Now.", "I think so."))
    ),
)


def chat_of(episode: Trajectory, num_turns: int | None = None) -> list[dict[str, Any]]:
    """Return the dialogue up to an action as somebody would write it by hand: no empty keys, arguments as objects."""
    found: list[dict[str, Any]] = []
    answers = 0
    for message in chat_record(episode)["messages"]:
        kept = {key: value for key, value in message.items() if value or key == "content"}
        for one in kept.get("tool_calls", ()):
            one["function"]["arguments"] = json.loads(one["function"]["arguments"])
        found.append(kept)
        answers += kept["role"] == "assistant"
        if answers == num_turns:
            break
    return found


def messages(count: int, seed: int) -> Iterator[Message]:
    """Yield messages that our parser made of texts which a model might write."""
    rng = np.random.default_rng(seed)

    def text(longest: int) -> str:
        return "".join(rng.choice(PIECES, size=rng.integers(longest)))

    for _ in range(count):
        kind = rng.integers(3)
        if kind == 0:
            written = text(20)
        elif kind == 1:
            written = f"{text(5)}<tool_call>{text(9)}"
        else:
            calls = tuple(ToolCall("get", {str(rng.choice(["item", "any key"])): text(9)}) for _ in range(rng.integers(1, 3)))
            written = format_message(Message("assistant", text(5), calls))
        yield ensure_call_ids(parse_message(written, lenient=True))


__all__ = ["ASK", "CALLS", "EPISODES", "GET", "MORE", "RULES", "TEXT", "chat_of", "messages", "played"]
