"""What does the heaviest message cost? Long and hostile messages are played in every registered environment, and timed.

    python -m experiments.reliability.steps

One row a setting is added to `steps.jsonl`: the most CPU time of one step, and the message that took it. Every message is as
long as the size limit lets it be, and some are longer.
"""

from __future__ import annotations

import sys
import time

import gymnasium

from experiments.common.rows import append_row, folder_of
from experiments.reliability.settings import name_of, players
from palaestra.spaces import MAX_ACTION_CHARS
from palaestra.types import Message, ToolCall

BAR_S = 0.1
REPEATS = 3  # the least of so many, since other programs run as well
LONG = "x = '" + "a" * 15_000 + "'\n"
CODE = {
    "substrings": LONG + "y = x + x\nfor i in range(60):\n  c = " + " or ".join(["'" + "a" * 90 + "b' in y"] * 40),
    "equal texts": LONG + "y = x + 'b'\nz = x + 'b'\nfor i in range(1900):\n  c = y == z",
    "joins": LONG + "for i in range(1900):\n  y = x + x",
    "literals": "for i in range(1900):\n  y = '" + "a" * 15_000 + "'",
    "lists": "a = range(1999)\nb = range(1999)\nfor i in range(1900):\n  c = a == b",
    "sorts": "a = range(1999)\nfor i in range(1900):\n  c = sorted(a)",
    "items": "d = vw.door.to_dict()\nfor i in range(1900):\n  c = d.items()",
    "digits": "x = '" + "0" * 4000 + "'\nfor i in range(1900):\n  y = int(x)",
    "shown": LONG + "y = [x, x, x, x, x, x, x, x, x, x]\ny = [y, y, y, y, y, y, y, y, y, y]\nz = [y, y, y]['a']",
    "loops": "\n".join(" " * i + f"for a{i} in [1, 2, 3]:" for i in range(19)) + "\n" + " " * 19 + "pass",
    "reads": "for i in range(64):\n  x = vw.seat.to_dict()",
    "functions": "for i in range(64):\n  get_module_API(modules=['seat', 'airConditioner', 'door'])",
    "calls": "for i in range(64):\n  vw.music.music_favorite_collect(collect=i % 2 == 0)",
    "arguments": "vw.music.music_soundVolume_increase(" + "1," * 9_000 + ")",
    "sums": "x=" + "1+" * 9_000 + "1",
    "statements": "a\n" * 9_900,
    "brackets": "x=" + "[" * 9_000 + "]" * 9_000,
    "maps": "x=" + "{1:" * 180 + "1" + "}" * 180,
    "not code": "x = (((((" * 2_000,
    "documents": "[] " * 6_600,
    "writes": '{"environment.volume": 3}' * 700,
}
TEXTS = {
    "letters": "x" * MAX_ACTION_CHARS,
    "too long": "x" * 10_000_000,
    "spaces": "craft 1 x using " + " " * 99_000 + "y",
    "items": "craft 1 stick using " + "1 plank, " * 11_000,
    "numbers": "get " + "9" * 99_000 + " log",
    "actions": "Action: " * 12_000,
    "empty actions": "Action:" + "\n" * 90_000,
    "tags": "<tool_call>" * 9_000,
    "open thoughts": "<think>" * 14_000,
    "escapes": "&amp;lt;tool_call>" * 5_000,
    "nested": "<tool_call>\n" + "[" * 99_000,
    "fences": "```\n" * 24_000,
    "fence words": "```python " * 9_900,
    "modules": "<modules>" * 11_000,
    "wrong modules": "<modules>" + "dor," * 24_000 + "</modules>",
    "media": "<audio sha256=" * 7_000,
    "surrogates": "a\udfff" * 50_000,
}
PIECES = (
    "<think>", "</think>", "<think>x</think>", "<thi<think></think>nk>", "[THINK]", "`<think>`", "<tool_call>{}</think>",
    "```\n<think>a</think>\n```\n", "<think>```a\n", "a\n<think>x</think>", "~~~~~\n<think></think>", "</tool_call>",
    '{"name":', '<tool_call>{"name": "x"}</tool_call>', "`", "```", "~~~", "\n", " \n", "(", "[", "{", "<", "</", '"', "'",
    "\\", "a.b(", "Thought: x\nAction: y\n", "<|channel|>", "Action Input: ", "x=1\n", "if x:\n", "&lt;", "#", "|", "é",
)  # fmt: skip
"""Each is repeated up to the limit: work that grows with the square of the length shows."""


def messages(tools: list[str]) -> dict[str, str | Message]:
    """Return the messages by name.

    Args:
        tools: Names of the environment's tools.
    """
    found: dict[str, str | Message] = {f"code: {name}": f"```python\n{code}\n```" for name, code in CODE.items()}
    found |= {f"text: {name}": text for name, text in TEXTS.items()}
    found |= {f"again and again: {piece!r}": piece * (MAX_ACTION_CHARS // len(piece)) for piece in PIECES}
    for tool in ["x" * 90_000, "no_such_tool", *tools[:3]]:
        for name, value in (("text", "x" * 90_000), ("list", [0] * 90_000), ("places", ["driver's seat"] * 7_000)):
            for key in ("query", "item", "modules", "position", "y" * 5_000):
                found[f"call: {tool[:20]}({key[:9]}: {name})"] = Message("assistant", "", (ToolCall(tool, {key: value}, "1"),))
    found["calls: many"] = Message("assistant", "", tuple(ToolCall((tools or ["x"])[0], {}, str(i)) for i in range(10_000)))
    return found


def main() -> int:
    """Play every message in every environment, print and write what the heaviest cost; 1 if any took longer than the bar."""
    is_slow = False
    for env_id, options in players():
        env = gymnasium.make(env_id, disable_env_checker=True, **options)
        _, info = env.reset(seed=0)
        costs: dict[str, float] = {}
        for name, message in messages([tool["function"]["name"] for tool in info["tools"]]).items():
            for _ in range(REPEATS):
                env.reset(seed=0)
                start = time.thread_time()
                env.step(message)
                costs[name] = min(costs.get(name, 60.0), time.thread_time() - start)
        env.close()
        heaviest = max(costs, key=lambda name: costs[name])
        slow = [f"{name} {1000 * cost:.0f} ms" for name, cost in costs.items() if cost > BAR_S]
        is_slow |= bool(slow)
        row = {"setting": name_of(env_id, options), "messages": len(costs), "most_ms": round(1000 * costs[heaviest], 1)}
        append_row(folder_of("reliability") / "steps.jsonl", {**row, "heaviest": heaviest, "above_100_ms": slow})
        print(row, heaviest, *slow, sep="\n  ", flush=True)
    return int(is_slow)


if __name__ == "__main__":
    sys.exit(main())
