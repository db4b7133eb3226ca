"""Write a world of text commands: one hook, and agents may also call tools, write JSON, Python or ReAct."""

from typing import Literal

import gymnasium as gym

from palaestra.envs import CommandEnv, GeneratedTasks, Task, Turn, check_environment, tool
from palaestra.types import Message, ToolCall


class Commands:
    """The commands as tools: each returns the command's text. Schemas, checks and samples come from the signatures."""

    @tool
    def turn(self, dial: Literal["left", "right"], clicks: Literal[1, 2, 3]) -> str:
        """Turn a dial of the safe.

        Args:
            dial: Which dial.
            clicks: How far.
        """
        return f"turn {dial} {clicks}"

    @tool
    def pull(self) -> str:
        """Pull the handle."""
        return "pull"


def make_task(split: str, index: int) -> Task:
    """Pairs with an even left number are for training, the others for testing: no combination is in both."""
    return Task(f"{split}/{index}", split, data={"code": [2 * (index // 10 % 5) + (split == "test"), index % 10]})


class SafeEnv(CommandEnv):
    """Open a safe with two dials from 0 to 9. Reward 1.0 when it opens."""

    commands = Commands

    def __init__(self, **options):
        """Say how tasks are made; `action_format` is among the options."""
        super().__init__(GeneratedTasks(make_task, {"train": 50, "test": 50}), **options)
        self.dials = {"left": 0, "right": 0}

    def instructions(self):
        """Tell the rules once, and how an action is written."""
        return f"Commands: turn left|right 1|2|3, pull.\n\n{self.format.describe(self.tools())}".strip()

    def _begin(self, task):
        self.dials = {"left": 0, "right": 0}
        return "Both dials stand at 0. A note says: {} and {}.".format(*task.data["code"])

    def _command(self, text):
        match text.split():
            case ["turn", "left" | "right" as dial, "1" | "2" | "3" as clicks]:
                self.dials[dial] = (self.dials[dial] + int(clicks)) % 10
                return Turn(f"The {dial} dial stands at {self.dials[dial]}.")
            case ["pull"] if [*self.dials.values()] == self.task.data["code"]:
                return Turn("The safe opens.", reward=1.0, terminated=True, success=True)
        problem = f"{text[:40]!r} does nothing."
        return Turn(problem, action_error=problem)

    def _save(self):
        return self.dials

    def _load(self, task, state):
        self.dials = dict(state)

    def expert(self):
        """Turn both dials to the number on the note, and pull; `written` puts each call into the form in use."""
        for dial, goal in zip(("left", "right"), self.task.data["code"], strict=True):
            while self.dials[dial] != goal:
                clicks = min(3, (goal - self.dials[dial]) % 10)
                yield self.written(ToolCall("turn", {"dial": dial, "clicks": clicks}), f"The {dial} dial has to show {goal}.")
        yield self.written(ToolCall("pull"), "Both are right.")


gym.register("example/Safe-v0", SafeEnv, vector_entry_point="palaestra.envs.core.vector:example/Safe-v0", order_enforce=False)

if __name__ == "__main__":
    for action_format in ("text", "react", "json", "code"):
        env = gym.make("example/Safe-v0", action_format=action_format, max_turns=12)
        env.reset(seed=0)
        action = next(env.unwrapped.expert())
        print(f"--- {action_format}\n{action}\n=> {env.step(action)[0]}")
    dial = [ToolCall("turn", {"dial": "left", "clicks": clicks}) for clicks in (7, 1)]
    for result in env.step(Message("assistant", tool_calls=tuple(dial)))[4]["tool_results"]:
        print(f"{result.status}: {result.content}")
    print(check_environment("example/Safe-v0"))
