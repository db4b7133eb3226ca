"""Tools from data: every task brings its own OpenAI function schemas, and a table for each of them that answers."""

from functools import partial

import gymnasium as gym

from palaestra.envs import GeneratedTasks, SchemaTool, Task, ToolEnv, Toolkit, Turn, check_environment
from palaestra.envs.formats.hermes import format_call
from palaestra.types import ToolCall

PEOPLE = {"train": ("Mara", "Tomas", "Ines", "Yusuf"), "test": ("Lena", "Oskar", "Ada", "Milan")}  # no goal is in both
CITIES = ("Aarhus", "Bergen", "Graz", "Lyon")
FACTS, VALUES = ("dish", "tower", "market"), ("soup", "stone", "fish", "gold")


def schema(name: str, key: str, known: tuple[str, ...]) -> dict:
    """Return a tool as data sets hold it."""
    names = {"type": "string", "description": f"Name of a {key}.", "examples": [*known]}
    parameters = {"type": "object", "properties": {key: names}, "required": [key], "additionalProperties": False}
    return {"type": "function", "function": {"name": name, "description": f"Look a {key} up.", "parameters": parameters}}


def make_task(split: str, index: int) -> Task:
    """Ask for a fact about somebody's city: two lookups, with tools that change from task to task."""
    who, fact = PEOPLE[split][index % 4], FACTS[index % 3]
    homes = {person: CITIES[(i + index // 4) % 4] for i, person in enumerate(PEOPLE[split])}
    facts = {city: VALUES[(i * index + 1) % 4] for i, city in enumerate(CITIES)}
    question = f"Which {fact} has the city in which {who} lives? Answer with one word."
    tools = {"home_of": schema("home_of", "person", PEOPLE[split]), f"{fact}_of": schema(f"{fact}_of", "city", CITIES)}
    plan = [["home_of", {"person": who}], [f"{fact}_of", {"city": homes[who]}]]
    tables = {"home_of": homes, f"{fact}_of": facts}
    data = {"question": question, "tools": tools, "tables": tables, "plan": plan, "answer": facts[homes[who]]}
    return Task(f"{split}/{index}", split, data=data)


def look_up(table: dict[str, str], **arguments: str) -> dict:
    """Answer a call of any tool; a failure is part of the result, as published tools have it."""
    found = table.get(*arguments.values())
    return {"status": "not_found", "known": [*table]} if found is None else {"status": "ok", "value": found}


class FactsEnv(ToolEnv):
    """Say a fact about the city in which somebody lives. Reward 1.0 for the right answer."""

    def __init__(self, **options) -> None:
        """Say how tasks are made; tools come with each."""
        super().__init__(GeneratedTasks(make_task, {"train": 12, "test": 12}), rules="Look things up, then answer.", **options)

    def _begin(self, task):
        self._load(task, None)
        return task.data["question"]

    def _load(self, task, state):
        tables = task.data["tables"]
        tools = [SchemaTool(tool, partial(look_up, tables[name])) for name, tool in task.data["tools"].items()]
        self.toolkit = Toolkit(*tools, lenient=self.lenient)

    def _save(self):
        return None  # nothing changes here; with `Toolkit(..., world=...)` a call that is not "ok" is undone

    def _status(self, call, value):
        return "ok" if value["status"] == "ok" else "error"

    def _finish(self, answer):
        solved = answer.strip(" .").lower() == self.task.data["answer"].lower()
        return Turn("Right." if solved else "Wrong.", reward=float(solved), success=solved)

    def expert(self):
        """Look both up and say the second."""
        yield from (format_call(ToolCall(*step)) for step in self.task.data["plan"])
        yield self.task.data["answer"]


gym.register(
    "example/Facts-v0", FactsEnv, vector_entry_point="palaestra.envs.core.vector:example/Facts-v0", order_enforce=False
)

if __name__ == "__main__":
    env = gym.make("example/Facts-v0", max_turns=8)
    for key in ("train/0", "train/1"):
        observation, info = env.reset(seed=0, options={"task": key})
        print([tool["function"]["name"] for tool in info["tools"]], observation)
        for person in (3, "Nobody"):
            (result,) = env.step(format_call(ToolCall("home_of", {"person": person})))[4]["tool_results"]
            print(f"{result.status}: {result.content}")
        print("solved:", [env.step(action)[4]["success"] for action in env.unwrapped.expert()][-1])
        print("sampled:", env.action_space.sample())
    print(check_environment("example/Facts-v0"))
