"""Steps of `palaestra/TextCraft-v0` never change: results were published with them.

Every observation, reward, flag, info, picture and state of some thousand steps (the expert's, sampled ones, junk; as text, as
tool calls and as junk tool calls) is hashed and compared with what version 0 gave when it was first released. Whoever changes
a step on purpose registers v1. One thing did change: what a model thought is split off (`<think>...</think>`), which version
0 first took for a part of the command; such tags are not among the junk.
"""

import hashlib
import json
import random

import gymnasium
import pytest

import palaestra  # noqa: F401  (registers the environments)
from palaestra.types import Message, ToolCall

WHO = ("expert", "random", "junk", "calls", "junk calls")
EPISODES = 20
TURNS = 12
PIECES = (
    *(
        "Thought:",
        "Action:",
        "get ",
        "craft ",
        "inventory",
        " ",
        "\n",
        "\n\n",
        "**",
        "é",
        "\ud83d",
        "$",
        "<tool_call>",
        "</tool_call>",
    ),
    *('{"name": "get", "arguments": {"item": "stick", "count": 1}}', '{"name": "inventory", "arguments": {}}'),
    *(
        "1",
        "0",
        "-1",
        "99999999999999",
        " using ",
        ",",
        "```json\n",
        '{"function_name": "get"}',
        "search[x]",
        "&lt;tool_call>",
    ),
)
VALUES = (
    "stick",
    "",
    " ",
    "a, b",
    "x using y",
    "a\nb",
    "é" * 100,
    0,
    1,
    2,
    -1,
    True,
    None,
    1.0,
    2.5,
    "2",
    10**9,
    10**9 + 1,
    [],
    {},
)


def call_of(command: str) -> ToolCall:
    """Return a command as a tool call."""
    word, _, rest = command.partition(" ")
    if word == "inventory":
        return ToolCall("inventory", {}, "i")
    if word == "get":
        count, _, item = rest.partition(" ")
        return ToolCall("get", {"item": item, "count": int(count)}, "g")
    made, _, parts = rest.partition(" using ")
    count, _, item = made.partition(" ")
    ingredients = [{"item": part.split(" ", 1)[1], "count": int(part.split(" ", 1)[0])} for part in parts.split(", ")]
    return ToolCall("craft", {"item": item, "count": int(count), "ingredients": ingredients}, "c")


def junk_call(rng: random.Random, items: list[str]) -> ToolCall:
    """Return a call that may be right, or wrong in some way."""
    name = rng.choice(("craft", "craft", "get", "get", "inventory", "fly", "", "x" * 100))
    if rng.random() < 0.1:
        return ToolCall(name, rng.choice(("{broken", "{}", '{"item": "stick", "count": 1}', "[1]", "")), rng.choice(("", "a")))
    if rng.random() < 0.5:
        parts = [{"item": rng.choice(items), "count": rng.choice((1, 2, *VALUES[:3]))} for _ in range(rng.randint(0, 3))]
        return ToolCall(
            name, {"item": rng.choice(items), "ingredients": parts, **({"count": 1} if rng.random() < 0.5 else {})}
        )
    keys = [rng.choice(("item", "count", "ingredients", "x")) for _ in range(rng.randint(0, 3))]
    return ToolCall(name, {key: rng.choice(VALUES) for key in keys}, rng.choice(("", "a", "b")))


def action_of(who: str, env: gymnasium.Env, rng: random.Random) -> str | Message:
    """Return what is played next."""
    planned = next(iter(env.unwrapped.expert()), "inventory")
    command = planned.split("Action:\n")[-1]
    if who == "expert":
        return planned
    if who == "random":
        return env.action_space.sample()
    if who == "junk":
        return planned if rng.random() < 0.3 else "".join(rng.choice(PIECES) for _ in range(rng.randint(0, 9)))
    call = call_of(command)
    if who == "calls":
        text = f"<tool_call>\n{json.dumps({'name': call.name, 'arguments': dict(call.arguments)})}\n</tool_call>"
        return rng.choice((Message("assistant", "words", (call,)), f"hm\n{text}", Message("assistant", text)))
    items = [line.split(" ", 2)[-1].split(" using")[0] for line in env.unwrapped.world.commands] + ["stick"]
    calls = [junk_call(rng, items) for _ in range(rng.randint(1, 3))] + [call] * (rng.random() < 0.4)
    rng.shuffle(calls)
    return Message("assistant", rng.choice(("", "words")), tuple(calls))


def told(value: object) -> object:
    """Return a value as JSON in which lists and tuples differ."""
    if isinstance(value, dict):
        return {key: told(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, *map(told, value)]
    return told(value.to_json()) if hasattr(value, "to_json") else value


@pytest.mark.parametrize(
    ("kwargs", "digest", "num_steps"),
    [
        ({}, "f3da8e49f274ef4ffdfdc42f618e9f27", 1049),
        ({"action_format": "react"}, "5d57a53acf6fe2084f3ced0740c1076f", 1049),
        ({"recipes": "procedural"}, "50e737fe877c41f6ef58ad62d94c20fa", 821),
        ({"recipes": "procedural", "action_format": "react"}, "f536910a41728f71820b7ef449429cbe", 821),
    ],
)
def test_steps_are_those_that_version_0_gave_first(kwargs, digest, num_steps):
    env = gymnasium.make("palaestra/TextCraft-v0", render_mode="ansi", **kwargs)
    record, count = hashlib.blake2b(digest_size=16), 0
    for who in WHO:
        for seed in range(EPISODES):
            rng = random.Random(f"{who} {seed}")
            env.action_space.seed(seed)
            seen = [told(env.reset(seed=seed))]
            for _ in range(TURNS):
                action = action_of(who, env, rng)
                result = env.step(action)
                count += 1
                # half a surrogate pair cannot be shown; pictures escape it, which they did not at first
                picture = "" if isinstance(action, str) and "\ud83d" in action else env.render()
                seen.append([told(action), told(result), env.unwrapped.state_hash(), picture])
                if result[2] or result[3]:
                    break
            record.update(json.dumps(seen).encode())
    assert (record.hexdigest(), count) == (digest, num_steps)
