"""A `ToolEnv` with other tools in every task, made of schemas alone (`examples/tools_from_data.py`)."""

import copy
import json
import pickle
from functools import partial
from typing import Any, get_args

import gymnasium
import pytest

from examples.tools_from_data import FactsEnv
from palaestra.agents.backends.scripted import ScriptedBackend
from palaestra.agents.core import Request
from palaestra.agents.llm import LLMAgent
from palaestra.agents.reference import RandomAgent
from palaestra.envs import FixedTasks, SchemaTool, Task, ToolEnv, Toolkit, Turn, tool
from palaestra.envs.formats.hermes import format_call, parse_message
from palaestra.envs.tools import ToolRefusal
from palaestra.errors import EnvironmentFault, UsageError
from palaestra.types import Message, ToolCall, ToolStatus

ENV_ID = "example/Facts-v0"
KEYS = ("train/0", "train/1", "train/2", "test/0", "test/4")


def names_of(info: dict[str, Any]) -> list[str]:
    return [tool["function"]["name"] for tool in info["tools"]]


def names_drawn(space: Any, number: int = 40) -> set[str]:
    return {call.name for _ in range(number) for call in parse_message(space.sample()).tool_calls}


def test_tools_instructions_and_samples_are_those_of_the_task():
    env = FactsEnv()
    assert (env.tools(), names_drawn(env.action_space)) == ([], set())
    assert "no tools" in env.instructions()
    space = env.action_space
    seen = set()
    for key in KEYS:
        _, info = env.reset(seed=0, options={"task": key})
        data = env.tasks.find(key).data
        assert info["tools"] == env.tools() == list(data["tools"].values())
        assert names_drawn(env.action_space) == set(data["tools"])
        assert all(f"\n{name}(" in info["instructions"] for name in data["tools"])
        assert sum(f"{fact}_of(" in info["instructions"] for fact in ("dish", "tower", "market")) == 1
        assert env.action_space is space
        assert env.action_space == FactsEnv().action_space
        seen.add(tuple(names_of(info)))
    assert len(seen) == 3


def test_samples_after_a_seed_follow_from_the_task_alone():
    one, other = FactsEnv(), FactsEnv()
    for key in ("train/1", "train/2"):
        one.reset(seed=0, options={"task": key})
    other.reset(seed=0, options={"task": "train/2"})
    draws = []
    for env in (one, other):
        env.action_space.seed(5)
        draws.append([env.action_space.sample() for _ in range(20)])
    assert draws[0] == draws[1]


@pytest.mark.parametrize("way", ["restore", "pickle", "deepcopy"])
def test_another_environment_that_goes_on_has_the_tools_of_the_task(way):
    env = FactsEnv()
    env.reset(seed=0, options={"task": "train/1"})
    first, *rest = env.expert()
    env.step(first)
    if way == "restore":
        twin = FactsEnv()
        twin.reset(seed=1, options={"task": "train/0"})
        twin.restore(env.snapshot())
    else:
        twin = pickle.loads(pickle.dumps(env)) if way == "pickle" else copy.deepcopy(env)
    assert twin.tools() == env.tools()
    assert twin.instructions() == env.instructions()
    assert names_drawn(twin.action_space) == {"home_of", "tower_of"}
    assert [twin.step(action)[1:4] for action in rest] == [(0.0, False, False), (1.0, True, False)]
    if way != "restore":  # and the first is not changed by what the second plays next
        twin.reset(options={"task": "train/0"})
        assert names_drawn(env.action_space) == {"home_of", "tower_of"}


@pytest.mark.parametrize("mode", ["sync", "async", "vector_entry_point"])
def test_vector_environments_play_a_task_with_its_own_tools_each(mode):
    kwargs = {"vector_kwargs": {"shared_memory": False, "context": "forkserver"}} if mode == "async" else {}
    envs = gymnasium.make_vec(ENV_ID, num_envs=3, vectorization_mode=mode, **kwargs)
    try:
        _, infos = envs.reset(seed=0)
        tasks = [FactsEnv().tasks.find(key) for key in infos["task"]["key"]]
        assert [[tool["function"]["name"] for tool in tools] for tools in infos["tools"]] == [
            [*t.data["tools"]] for t in tasks
        ]
        assert len({str(tools) for tools in infos["tools"]}) > 1
        if mode == "vector_entry_point":
            envs.action_space.seed(0)
            batches = [envs.action_space.sample() for _ in range(40)]
            for actions, task in zip(zip(*batches, strict=True), tasks, strict=True):
                drawn = {call.name for action in actions for call in parse_message(action).tool_calls}
                assert drawn == set(task.data["tools"])
        for i in range(2):
            _, _, terminated, _, infos = envs.step([format_call(ToolCall(*task.data["plan"][i])) for task in tasks])
            assert [results[0].status for results in infos["tool_results"]] == ["ok"] * 3
            assert not terminated.any()
        _, rewards, terminated, _, _ = envs.step([task.data["answer"] for task in tasks])
        assert (rewards.tolist(), terminated.tolist()) == ([1.0] * 3, [True] * 3)
    finally:
        envs.close()


@pytest.mark.parametrize("format_", ["tools", "json", "code", "hermes", "auto"])
def test_a_model_plays_every_task_in_every_form_of_calls(format_):
    env, requests = FactsEnv(), []

    def says(request: Request) -> str | Message:
        requests.append(request)
        action = parse_message(list(env.expert())[env._num_turns])
        if agent._active.native_tools:
            return Message("assistant", action.content, action.tool_calls)
        return agent._active.write(action, env.tools())

    agent = LLMAgent(ScriptedBackend(says), format=format_)
    for key in KEYS:
        observation, info = env.reset(seed=0, options={"task": key})
        agent.reset(info, env=env, session=key)
        done = False
        while not done:
            observation, reward, terminated, truncated, info = env.step(agent.act(observation, info))
            assert not info["action_error"]
            done = terminated or truncated
        assert (reward, info["success"]) == (1.0, True)
        shown = requests[-1].messages[0].content + json.dumps(requests[-1].tools)
        assert all(name in shown for name in env.task.data["tools"])
        assert sum(f"{fact}_of" in shown for fact in ("dish", "tower", "market")) == 1


def test_a_random_agent_draws_from_the_tools_of_each_task():
    env, agent = FactsEnv(), RandomAgent()
    for key in KEYS:
        observation, info = env.reset(seed=0, options={"task": key})
        agent.reset(info, env=env, session=key)
        drawn = {call.name for _ in range(30) for call in parse_message(agent.act(observation, info).content).tool_calls}
        drawn |= {call.name for _ in range(30) for call in agent.act(observation, info).tool_calls}
        assert drawn == set(names_of(info))


class Shelf:
    """A world: boxes, and what a tool that runs code may do."""

    def __init__(self, boxes: int = 0) -> None:
        self.boxes = boxes

    def put(self, kind: str = "fine") -> Any:
        self.boxes += 1
        if kind in get_args(ToolStatus) or kind == "odd":
            raise ToolRefusal(f"it ended with {kind}", status=kind)  # type: ignore[arg-type]
        return {"status": "error" if kind == "data" else "ok", "boxes": self.boxes}


PUT = {
    "type": "function",
    "function": {
        "name": "put",
        "description": "Put a box there.",
        "parameters": {"type": "object", "properties": {"kind": {"type": "string"}}, "required": []},
    },
}


class ShelfEnv(ToolEnv):
    """Tools whose results report failures as data, or as a status of their own."""

    says: Any = "error"

    def __init__(self, **options: Any) -> None:
        self.shelf = Shelf()
        super().__init__(FixedTasks([Task("one", "train")]), **options)

    def _begin(self, task):
        self._load(task, 0)
        return "Put boxes there."

    def _load(self, task, state):
        self.shelf = Shelf(state)
        self.toolkit = Toolkit(SchemaTool(PUT, self.shelf.put), world=self.shelf)

    def _save(self):
        return self.shelf.boxes

    def _finish(self, answer):
        return Turn("Over.")

    def _status(self, call, value):
        return self.says if value["status"] == "error" else "ok"


def put(env: ToolEnv, *kinds: str) -> Any:
    calls = tuple(ToolCall("put", {"kind": kind}, str(i)) for i, kind in enumerate(kinds))
    return env.step(Message("assistant", "", calls))[4]


@pytest.mark.parametrize("status", [status for status in get_args(ToolStatus) if status != "ok"])
def test_every_status_reaches_the_agent_and_leaves_the_world_as_it_was(status):
    env = ShelfEnv()
    env.reset(seed=0)
    info = put(env, "fine", status, "data", "fine")
    results = info["tool_results"]
    assert [result.status for result in results] == ["ok", status, "error", "ok"]
    assert (results[1].content, results[2].content) == (f"Error: it ended with {status}", '{"status": "error", "boxes": 2}')
    assert env.shelf.boxes == 2
    info = put(env, status)
    assert info["action_error"] == f"Error: it ended with {status}"


def test_a_status_that_nobody_knows_is_a_fault_of_the_tool_or_the_rule():
    env = ShelfEnv()
    env.reset(seed=0)
    with pytest.raises(EnvironmentFault, match="The status of a tool call is 'odd'; expected one of ok, unknown_tool"):
        put(env, "odd")
    env.says = "lost"
    with pytest.raises(EnvironmentFault, match="The status of a tool call is 'lost'"):
        put(env, "data")
    assert env.shelf.boxes == 0
    with pytest.raises(UsageError, match="A refusal has the status 'ok'"):
        ToolRefusal("no", status="ok")
    assert pickle.loads(pickle.dumps(ToolRefusal("no", status="crash"))).status == "crash"


class UnlockEnv(ShelfEnv):
    """A tool that brings other tools."""

    def _load(self, task, state):
        super()._load(task, state)
        if not state:
            self.toolkit = Toolkit(partial_tool("open", self._open), world=self.shelf)

    def _open(self) -> str:
        self.shelf.boxes += 1
        super()._load(self.task, self.shelf.boxes)
        return "It is open."

    def _status(self, call, value):
        return "ok"


def partial_tool(name: str, run: Any) -> SchemaTool:
    parameters = {"type": "object", "properties": {}, "required": []}
    function = {"name": name, "description": "Do it.", "parameters": parameters}
    return SchemaTool({"type": "function", "function": function}, partial(run))


def test_tools_that_change_in_an_episode_are_announced_and_drawn():
    env = UnlockEnv()
    _, info = env.reset(seed=0)
    assert names_of(info) == ["open"]
    *_, info = env.step(format_call(ToolCall("open", {})))
    assert names_of(info) == ["put"]
    assert names_drawn(env.action_space) == {"put"}
    assert "tools" not in put(env, "fine")


class BareEnv(ShelfEnv):
    """A task without tools."""

    def _load(self, task, state):
        self.shelf = Shelf(state)
        self.toolkit = Toolkit(names=())


def test_a_task_without_tools_says_so():
    env = BareEnv()
    _, info = env.reset(seed=0)
    assert (info["tools"], info["instructions"]) == ([], "This task has no tools. Write your final answer as plain text.")
    info = put(env, "fine")
    assert info["tool_results"][0].status == "unknown_tool"
    assert info["action_error"] == 'Error: there is no tool "put". This task has no tools; answer in plain words.'
    assert names_drawn(env.action_space) == set()


def test_the_same_declarations_on_another_world_are_described_once():
    class Lamp:
        @tool
        def press(self) -> None:
            """Press it."""

    env = BareEnv()
    env.toolkit = Toolkit(Lamp())
    sampler, schemas = env.action_space.sampler, env._schemas
    env.toolkit = Toolkit(Lamp())
    assert env.action_space.sampler is sampler
    assert env._schemas is schemas


def test_other_tools_of_the_same_names_are_offered_as_they_are():
    env = FactsEnv()
    env.reset(seed=0, options={"task": "train/0"})

    def kit(kind):
        parameters = {"type": "object", "properties": {"a": {"type": kind}}, "required": ["a"], "additionalProperties": False}
        function = {"name": "f", "description": "Do.", "parameters": parameters}
        return Toolkit(SchemaTool({"type": "function", "function": function}, str, quiet=True))

    for kind in ("integer", "boolean"):
        env.toolkit = kit(kind)
        assert env.tools()[0]["function"]["parameters"]["properties"] == {"a": {"type": kind}}
        assert f"f(a: {kind})" in env.instructions()
