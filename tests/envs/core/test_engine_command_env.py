"""The lift as a world of commands: both faces on one engine."""

from __future__ import annotations

import gc
import json
import os
import pickle
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from palaestra.envs import EngineCommandEnv, GeneratedTasks, Task, Turn, tool
from palaestra.envs.core.child_process import ChildProcess
from palaestra.envs.core.engine_env import EngineEnv
from palaestra.envs.core.engines import engine_pool
from palaestra.errors import ConfigError, EnvironmentFault, UnknownNameError, UsageError
from palaestra.types import Message, ToolCall
from tests.envs.lift import StartLift
from tests.envs.processes import wait_for


class LiftCommands:
    @tool
    def move(self, way: str) -> str:
        """Move the lift.

        Args:
            way: "up" or "down".
        """
        return way

    @tool
    def open(self) -> str:
        """Open the doors."""
        return "open"


def make_task(split: str, index: int) -> Task:
    return Task(f"{split}/{index}", split, data={"goal": 2 + index})


class LiftCommandEnv(EngineCommandEnv[ChildProcess]):
    commands = LiftCommands
    pool = ("PALAESTRA_TEST_LIFTS", 1)

    def __init__(self, *, action_format: str = "text", max_turns: int | None = 50) -> None:
        tasks = GeneratedTasks(make_task, {"train": 5, "test": 5})
        super().__init__(tasks, StartLift(), action_format=action_format, max_turns=max_turns)

    def _start(self, engine: ChildProcess, task: Task, seed: int) -> str:
        return str(json.loads(engine.ask(json.dumps(["load", task.data["goal"], seed]))))

    def _execute(self, engine: ChildProcess, command: str) -> Turn:
        found = json.loads(engine.ask(json.dumps(["act", command])))
        if found.get("refused"):
            return Turn(found["told"], action_error=found["told"])
        is_over = found.get("over", False)
        return Turn(found["told"], float(is_over), terminated=is_over, success=is_over)


@pytest.fixture
def made() -> Iterator[Any]:
    envs: list[LiftCommandEnv] = []

    def make(**arguments: Any) -> LiftCommandEnv:
        envs.append(LiftCommandEnv(**arguments))
        return envs[-1]

    yield make
    for env in envs:
        env.close()


@pytest.mark.parametrize(
    ("action_format", "action"),
    [
        ("text", "up"),
        ("text", Message("assistant", "", (ToolCall("move", {"way": "up"}),))),
        ("text", '<tool_call>\n{"name": "move", "arguments": {"way": "up"}}\n</tool_call>'),
        ("react", "Thought: higher\nAction: up"),
        ("json", '{"function_name": "move", "arguments": {"way": "up"}}'),
        ("code", '```python\nmove("up")\n```'),
    ],
)
def test_commands_reach_the_engine_in_every_form_and_are_replayed(made: Any, action_format: str, action: Any) -> None:
    env = made(action_format=action_format)
    env.reset(seed=3)
    for _ in range(3):
        observation, *_, info = env.step(action)
        assert observation.startswith("floor ")
        assert info["action_error"] == ""
    twin = pickle.loads(pickle.dumps(env))
    assert twin.step(action)[0] == env.step(action)[0]
    assert twin.state_hash() == env.state_hash()
    twin.close()


def test_what_the_world_or_the_form_refuses_is_not_replayed(made: Any) -> None:
    env = made(action_format="react")
    env.reset(seed=3)
    before = env.state_hash()
    for action in ("Action: sideways", "no action", Message("assistant", "", (ToolCall("jump", {}),))):
        assert env.step(action)[4]["action_error"]
    assert env.state_hash() == before
    calls = (ToolCall("jump", {}), ToolCall("move", {"way": "up"}), ToolCall("move", {"way": "sideways"}))
    *_, info = env.step(Message("assistant", "", calls))
    assert [result.status for result in info["tool_results"]] == ["unknown_tool", "ok", "error"]
    assert env.state_hash() != before
    twin = pickle.loads(pickle.dumps(env))
    assert twin.step("Action: up")[0] == env.step("Action: up")[0]
    twin.close()


def test_a_command_needs_the_engine_of_a_call(made: Any) -> None:
    env = made()
    env.reset()
    with pytest.raises(UsageError, match=r"call step\(\)"):
        env._command("up")


def test_a_dead_engine_ends_the_episode(made: Any) -> None:
    env = made()
    env.reset()
    os.kill(env._ask(lambda engine: engine.pid), signal.SIGKILL)
    with pytest.raises(EnvironmentFault):
        env.step("up")
    assert env.reset()[0].startswith("floor ")


def test_arguments_of_both_faces_are_checked() -> None:
    with pytest.raises(UnknownNameError, match="react"):
        LiftCommandEnv(action_format="raect")
    with pytest.raises(ConfigError, match="max_turns"):
        LiftCommandEnv(max_turns=0)


def test_a_kind_of_engine_may_have_a_pool_of_its_own(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = engine_pool(*LiftCommandEnv.pool)
    assert pool is engine_pool("PALAESTRA_TEST_LIFTS", 7) is not engine_pool(*EngineEnv.pool)
    assert (pool.limit, pool.variable) == (1, "PALAESTRA_TEST_LIFTS")
    one, other = made(), made()
    one.reset(seed=1)
    other.reset(seed=2)  # takes the only engine; the first one replays in it
    assert pool.num_engines == 1
    assert one.step("up")[0].startswith("floor ")
    monkeypatch.setenv("PALAESTRA_TEST_MORE_LIFTS", "5")
    assert engine_pool("PALAESTRA_TEST_MORE_LIFTS", 1).limit == 5
    monkeypatch.setenv("PALAESTRA_TEST_NO_LIFTS", "none")
    with pytest.raises(ConfigError, match="PALAESTRA_TEST_NO_LIFTS is 'none'"):
        engine_pool("PALAESTRA_TEST_NO_LIFTS", 1)


class LastingLiftEnv(LiftCommandEnv):
    pool = ("PALAESTRA_TEST_LASTING_LIFTS", 1)
    engines_outlive = True


def test_an_engine_that_outlives_its_environment_is_left_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, pids = engine_pool(*LastingLiftEnv.pool), set()
    try:
        for closes in (True, False, True):
            env = LastingLiftEnv()
            env.reset()
            env.step("up")
            pids.add(env._ask(lambda engine: engine.pid))
            if closes:
                env.close()
                env.close()
            del env
            gc.collect()
            assert pool.num_engines == 1
        assert len(pids) == 1
        pool.idle_s = 0.0
        pool._wake.put(None)
        wait_for(lambda: pool.num_engines == 0)
    finally:
        pool.close()


def test_an_engine_that_outlives_others_still_goes_with_a_failed_call() -> None:
    env = LastingLiftEnv()
    try:
        env.reset()
        os.kill(env._ask(lambda engine: engine.pid), signal.SIGKILL)
        with pytest.raises(EnvironmentFault):
            env.step("up")
        env.close()
        env.reset()
        env.step("up")
    finally:
        env.close()
        engine_pool(*LastingLiftEnv.pool).close()
