"""What SciWorld tells, rewards and ends, in every form of an action."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest

from palaestra.envs.agentgym.sciworld.engine import NOTHING_SAID, UNKNOWN
from palaestra.envs.agentgym.sciworld.env import SciWorldEnv
from palaestra.envs.core.engines import engine_pool
from palaestra.errors import ConfigError, EpisodeStateError, UnknownNameError
from palaestra.types import Message, ToolCall

SHORT = "find-non-living-thing/3"  # its solution has a handful of commands
FIRST_SCORE = "use-thermometer/270"  # begins in the kitchen, which is a subgoal


def begin(env: SciWorldEnv, key: str) -> str:
    return env.reset(seed=0, options={"task": key})[0]


def test_making_one_starts_nothing(make: Callable[..., SciWorldEnv]) -> None:
    pool = engine_pool(*SciWorldEnv.pool)
    before = pool.num_engines
    env = make(action_format="code", compat="upstream")
    assert len(env.tasks) > 7000
    assert env.tools()
    assert pool.num_engines == before


def test_the_first_observation_is_the_task_and_the_room(env: SciWorldEnv) -> None:
    observation, info = env.reset(options={"task": "upstream#15"})
    assert info["task"] == {"key": "boil/15", "split": "dev", "type": "boil"}
    task, room = observation.split("\n", 1)
    assert task.startswith("Your task is to boil ")
    assert room.startswith("This room is called the ")
    assert env.step("look around")[0] == room


def test_a_command_that_cannot_be_read_changes_nothing(env: SciWorldEnv) -> None:
    begin(env, "boil/15")
    state, moves = env.state_hash(), env._ask(lambda engine: engine.num_moves())
    observation, reward, terminated, _, info = env.step("dance")
    assert (observation, reward, terminated, info["action_error"]) == (UNKNOWN, 0, False, UNKNOWN)
    assert (env.state_hash(), env._ask(lambda engine: engine.num_moves())) == (state, moves)


def test_a_number_that_a_menu_does_not_have_is_refused_and_the_menu_waits_on(env: SciWorldEnv) -> None:
    menu = menu_of(env)
    before, numbers = env.state_hash(), list(env.available_actions())
    assert numbers == [str(number) for number in range(menu.count(":\t"))]
    for answer in ("99", "-1", "+99", "00000000000000000000077", "\u0661", "\uff11", "\u0967\u0966"):
        for action in (answer, Message("assistant", "", (ToolCall("choose", {"option": answer}),))):
            said, reward, terminated, _, info = env.step(action)
            assert said == info["action_error"]
            assert (reward, terminated, env.state_hash()) == (0, False, before)
            assert f"0 to {len(numbers) - 1}" in said or "in the digits 0 to 9" in said
    assert list(env.available_actions()) == numbers
    assert env.step("1")[0] == "The door is not moveable."


def test_the_published_menu_is_cancelled_by_a_number_that_it_does_not_have(make: Callable[..., SciWorldEnv]) -> None:
    env = make(compat="upstream")
    menu_of(env)
    said, *_, info = env.step("99")
    assert (said, info["action_error"], info["upstream"]["observation"]) == (NOTHING_SAID, "", NOTHING_SAID)
    assert env.step("look around")[0].startswith("This room is called the hallway")


def menu_of(env: SciWorldEnv) -> str:
    """Bring about a menu."""
    begin(env, "boil/15")
    env.step("open door to hallway")
    env.step("go to hallway")
    menu = env.step("pick up door")[0]
    assert menu.startswith("Ambiguous request")
    return menu


@pytest.mark.parametrize("answer", ["no", "", "1.5", "look around"])
def test_a_menu_is_answered_by_a_number_it_has_and_cancelled_by_any_text(env: SciWorldEnv, answer: str) -> None:
    menu = menu_of(env)
    assert list(env.available_actions()) == [str(number) for number in range(menu.count("\n0:") + menu.count(":\t") - 1)]
    twin = copy.deepcopy(env)
    assert env.step("1")[0] == "The door is not moveable."
    said, _, terminated, _, info = twin.step(answer)
    assert (said, terminated, info["action_error"]) == (NOTHING_SAID, False, "")
    assert twin.step("look around")[0].startswith("This room is called the hallway")


def test_a_wrong_focus_costs_everything_and_ends(env: SciWorldEnv) -> None:
    begin(env, "boil/15")
    _, reward, terminated, truncated, info = env.step("focus on table")
    assert (reward, terminated, truncated) == (-1, True, False)
    assert (info["score"], info["success"], info["stop_reason"]) == (-100, False, "failure")


def test_a_room_that_is_a_subgoal_counts_from_the_beginning(env: SciWorldEnv) -> None:
    begin(env, FIRST_SCORE)
    first = env.step("dance")[4]["score"]
    assert first > 0
    total = 0.0
    for action in env.expert():
        _, reward, terminated, _, info = env.step(action)
        total += float(reward)
    assert terminated
    assert info["score"] == 100
    assert total == pytest.approx(1 - first / 100)


@pytest.mark.parametrize("action_format", ["text", "react", "json", "code"])
def test_the_expert_solves_a_task_in_every_format(make: Callable[..., SciWorldEnv], action_format: str) -> None:
    env = make(action_format=action_format)
    begin(env, SHORT)
    info: dict[str, Any] = {}
    for action in env.expert():
        assert action in env.action_space
        *_, info = env.step(action)
        assert info["action_error"] == ""
    assert info["success"]


def test_calls_and_messages_are_played_and_replayed(make: Callable[..., SciWorldEnv]) -> None:
    env = make(action_format="json")
    begin(env, "boil/15")
    calls = (ToolCall("open", {"obj": "door to hallway"}), ToolCall("dance", {}), ToolCall("goto", {"loc": "hallway"}))
    observation, *_, info = env.step(Message("assistant", "", calls))
    assert [result.status for result in info["tool_results"]] == ["ok", "unknown_tool", "ok"]
    assert "You move to the hallway." in observation
    twin = pickle.loads(pickle.dumps(env))
    action = '{"thought": "", "function_name": "lookaround", "arguments": {}}'
    assert twin.step(action)[0] == env.step(action)[0]


def test_code_is_never_run(make: Callable[..., SciWorldEnv]) -> None:
    env = make(action_format="code")
    begin(env, SHORT)
    for code in ("open(__import__('os').getcwd())", "lookaround(); lookaround()", "dance()", "open('a', 'b')"):
        _, _, _, _, info = env.step(f"```python\n{code}\n```")
        assert info["action_error"]
    assert env.step("```python\n# where am I?\nlookaround()\n```")[4]["action_error"] == ""


@pytest.mark.parametrize(
    ("simplifications", "task", "moves", "names"),
    [
        ("", "melt/3", (), {"look around", "inventory", "wait", "wait1", "task"}),
        (
            "easy",
            "boil/15",
            ("teleport to kitchen",),
            {"open fridge", "teleport to hallway", "look at stove"},
        ),
        ("easy", "find-plant/1", ("pick up apple",), {"look around"}),
    ],
)
def test_available_actions_are_accepted(
    make: Callable[..., SciWorldEnv], simplifications: str, task: str, moves: tuple[str, ...], names: set[str]
) -> None:
    env = make(simplifications=simplifications)
    begin(env, task)
    for move in moves:
        env.step(move)
    actions = [str(action) for action in env.available_actions()]
    assert names <= set(actions)
    rng = np.random.default_rng(0)
    saved = env.snapshot()
    harmless = [action for action in actions if not action.startswith("focus")]
    for number in rng.choice(len(harmless), 8, replace=False):
        action = harmless[number]
        env.restore(saved)
        assert env.step(action)[4]["action_error"] == "", action


def test_available_actions_come_in_the_form_in_use(make: Callable[..., SciWorldEnv]) -> None:
    env = make()
    begin(env, "melt/3")
    actions = env.available_actions()
    called = make(action_format="json")
    begin(called, "melt/3")
    assert 0 < len(called.available_actions()) <= len(actions)
    with pytest.raises(EpisodeStateError):
        make().available_actions()


def test_asking_for_available_actions_changes_neither_them_nor_what_follows(make: Callable[..., SciWorldEnv]) -> None:
    env = make(simplifications="easy")
    begin(env, "find-non-living-thing/1")  # in the art studio, where paints have several names
    twin = make(simplifications="easy")
    begin(twin, "find-non-living-thing/1")
    assert env.available_actions() == env.available_actions()
    for action in ("look around", "wait", "look around"):
        assert env.step(action) == twin.step(action)
        env.available_actions()
    assert env.state_hash() == pickle.loads(pickle.dumps(env)).state_hash()


def test_the_expert_goes_on_from_where_it_was_and_knows_nothing_elsewhere(make: Callable[..., SciWorldEnv]) -> None:
    env = make()
    begin(env, "boil/15")
    commands = [command for command in env._ask(env._gold, env.task).commands if command != "look around"]
    assert next(env.expert()) == next(env.expert()) == commands[0]
    env.step(commands[0])
    env.step("look around")
    env.step("dance")
    twin = make()
    twin.reset(seed=5)
    twin.restore(env.snapshot())
    assert next(twin.expert()) == commands[1]
    twin.step("wait1")
    assert list(twin.expert()) == []


def test_the_published_server_is_quoted(make: Callable[..., SciWorldEnv]) -> None:
    env = make(compat="upstream", action_format="react")
    observation, info = env.reset(options={"task": FIRST_SCORE})
    told = info["upstream"]
    assert f"{told['task_description']}\n{told['observation']}" == observation
    assert (told["task_name"], told["var_num"], told["deleted"], told["done"]) == ("use-thermometer", 270, False, False)
    assert told["score"] == told["reward"] > 0
    *_, info = env.step("Action: dance")
    assert info["upstream"] == {"observation": UNKNOWN, "reward": 0, "score": told["score"], "done": False}
    *_, info = env.step("I have no idea.")
    assert info["upstream"]["observation"] == f"Invalid Action.\n\n{UNKNOWN}"
    for _ in range(10):  # ten moves each
        *_, info = env.step("Action: wait")
    assert info["upstream"]["done"]
    *_, terminated, truncated, info = env.step("Action: wait1")
    assert info["upstream"] == {"error": "The task with environment 0 has finished."}
    assert not terminated
    assert not truncated
    assert "upstream" not in make().reset(options={"task": SHORT})[1]


def test_simplifications_are_the_simulators(make: Callable[..., SciWorldEnv]) -> None:
    env = make(simplifications=["openDoors", "teleportAction"])
    assert env.simplifications == "openDoors,teleportAction"
    assert "teleport" in {tool["function"]["name"] for tool in env.tools()}
    observation, info = env.reset(options={"task": "boil/15"})
    assert "teleport to LOCATION" in info["instructions"]
    assert "(that is open)" in observation
    assert env.step("teleport to kitchen")[0] == "You teleport to the kitchen."
    with pytest.raises(UnknownNameError, match="teleportAction"):
        SciWorldEnv(simplifications="teleport")
    with pytest.raises(ConfigError, match="simplifications is 3"):
        SciWorldEnv(simplifications=3)  # type: ignore[arg-type]


def test_a_wrong_argument_is_one_clear_error() -> None:
    with pytest.raises(UnknownNameError, match="upstream"):
        SciWorldEnv(compat="published")
    with pytest.raises(UnknownNameError, match="boil"):
        SciWorldEnv(tasks="boyl")
    with pytest.raises(UnknownNameError, match="react"):
        SciWorldEnv(action_format="function_calling")


def test_drawn_actions_are_commands(env: SciWorldEnv) -> None:
    begin(env, SHORT)
    env.action_space.seed(0)
    drawn = [env.action_space.sample() for _ in range(25)]
    accepted = 0
    for action in drawn:
        *_, terminated, _, info = env.step(action)
        accepted += info["action_error"] == ""
        if terminated:
            begin(env, SHORT)
    assert accepted >= 5


def test_gymnasium_makes_it() -> None:
    spec = gymnasium.spec("palaestra/SciWorld-v0")
    assert spec.kwargs == {}
