import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from gymnasium.utils.env_checker import check_env

from palaestra.envs.agentgym.textcraft.env import CommandSampler, TextCraftEnv
from palaestra.envs.agentgym.textcraft.tasks import explicit_task
from palaestra.envs.core.tasks import Task
from palaestra.envs.formats.hermes import format_message
from palaestra.errors import ConfigError, EpisodeStateError, MissingDataError, UnknownNameError, UsageError
from palaestra.types import Message, ToolCall
from tests.envs.agentgym.textcraft.books import SMALL
from tests.hash_seeds import outputs

PROCEDURAL: dict[str, Any] = {"recipes": "procedural", "depth": (1, 2), "distractors": 2, "name_words": 1, "num_names": 64}


@pytest.fixture
def env(tmp_path: Path) -> TextCraftEnv:
    file = tmp_path / "small.txt"
    file.write_text(SMALL.replace("crate", "box"))
    return TextCraftEnv(file, max_turns=20)


def begin(env: TextCraftEnv, goal: str, commands: str = "") -> str:
    assert env.book is not None
    return env.reset(seed=0, options={"task": explicit_task(env.book, f"workshop:{goal}", commands)})[0]


def solve(env: TextCraftEnv) -> tuple[float, dict[str, Any]]:
    for action in env.expert():
        _, reward, terminated, truncated, info = env.step(action)
        if terminated or truncated:
            return float(reward), info
    raise AssertionError("the expert gave up")


@pytest.mark.parametrize("kwargs", [{}, PROCEDURAL, {"action_format": "react"}])
def test_gymnasium_finds_nothing_to_warn_about(kwargs: dict[str, Any]) -> None:
    check_env(TextCraftEnv(**kwargs), skip_render_check=True)


@pytest.mark.parametrize("kwargs", [{}, PROCEDURAL, {**PROCEDURAL, "action_format": "react"}])
def test_the_expert_solves_tasks_of_both_splits(kwargs: dict[str, Any]) -> None:
    env = TextCraftEnv(**kwargs)
    for split in ("train", "test"):
        for task in env.tasks.split(split).first(40):
            env.reset(seed=0, options={"task": task})
            reward, info = solve(env)
            assert reward == 1
            assert info["success"] is True
            assert info["score"] == 1
            assert info["stop_reason"] == "success"


@pytest.mark.parametrize("kwargs", [{}, PROCEDURAL])
def test_the_expert_takes_over_after_random_play(kwargs: dict[str, Any]) -> None:
    env = TextCraftEnv(**kwargs, max_turns=None)
    env.action_space.seed(1)
    for seed in range(30):
        env.reset(seed=seed)
        if not any(env.step(env.action_space.sample())[2] for _ in range(15)):
            assert solve(env)[0] == 1


def test_a_bad_agent_scores_less() -> None:
    env = TextCraftEnv(max_turns=5)
    env.reset(seed=0)
    for _ in range(5):
        _, reward, terminated, truncated, info = env.step("dance")
    assert (reward, terminated, truncated) == (0, False, True)
    assert info["success"] is False
    assert info["stop_reason"] == "max_rounds"
    with pytest.raises(EpisodeStateError, match="over"):
        env.step("inventory")


def test_reset_tells_rules_and_tools(env: TextCraftEnv) -> None:
    observation, info = env.reset(seed=3)
    assert observation.startswith("Crafting commands:\ncraft ")
    assert "Goal: craft " in observation
    assert info["task"]["type"].startswith("depth-")
    assert "get N ITEM" in info["instructions"]
    assert [tool["function"]["name"] for tool in info["tools"]] == ["craft", "get", "inventory"]


def test_the_command_list_follows_the_seed_unless_the_key_pins_it() -> None:
    env = TextCraftEnv()
    key = "workshop:ladder"
    first = [env.reset(seed=seed, options={"task": key})[0] for seed in (1, 2, 1)]
    assert first[0] == first[2] != first[1]
    pinned = [env.reset(seed=seed, options={"task": f"{key}#7"})[0] for seed in (1, 2)]
    assert pinned[0] == pinned[1]
    assert env.reset(options={"task": f"{key}#8"})[0] != pinned[0]


def test_a_procedural_task_shows_the_same_whatever_the_seed() -> None:
    env = TextCraftEnv(**PROCEDURAL)
    assert env.reset(seed=1, options={"task": "test/5"})[0] == env.reset(seed=2, options={"task": "test/5"})[0]
    assert env.reset(seed=1)[0] == env.reset(seed=1)[0]


def test_whitespace_around_a_command_is_forgiven_and_later_lines_are_not_read(env: TextCraftEnv) -> None:
    begin(env, "box")
    assert env.step("  get 2 twig \n")[0] == "Got 2 twig"
    assert env.step("get 1 pebble\nget 5 pebble")[0] == "Got 1 pebble"
    assert env.step(Message("assistant", "inventory"))[0] == "Inventory: [twig] (2) [pebble] (1) "


def test_react_takes_the_single_action_line(tmp_path: Path) -> None:
    file = tmp_path / "small.txt"
    file.write_text(SMALL)
    env = TextCraftEnv(file, action_format="react")
    begin(env, "crate")
    assert "Thought:" in env.instructions()
    assert env.step("Thought:\nI need it.\n\nAction:\nget 2 twig")[0] == "Got 2 twig"
    assert env.step("Thought: more\nAction: **get 1   twig.**\nObservation: Got 9 twig")[0] == "Got 1 twig"
    observation, _, _, _, info = env.step("Action: get 1 twig\nAction: get 1 twig")
    assert observation == "Error: Only one 'Action' is allowed per response. Please adjust your response."
    assert info["action_error"] == observation
    assert env.step("get 1 twig")[0] == "Could not execute "
    assert env.step("Action: inventory")[0] == "Inventory: [twig] (3) "


def test_tool_calls_are_played_in_order_with_one_result_each(env: TextCraftEnv) -> None:
    begin(env, "stick")
    calls = (
        ToolCall("get", {"item": "twig", "count": 1}, "a"),
        ToolCall("fly", {}, "b"),
        ToolCall("get", {"item": "twig"}, "c"),
        ToolCall("get", {"item": "moon", "count": 1}, "d"),
        ToolCall("craft", {"item": "stick", "ingredients": [{"item": "twig", "count": 1}]}, "e"),
        ToolCall("inventory", {}, "f"),
    )
    observation, reward, terminated, _, info = env.step(Message("assistant", tool_calls=calls))
    results = info["tool_results"]
    assert [r.call_id for r in results] == list("abcdef")
    assert [r.status for r in results] == ["ok", "unknown_tool", "invalid_arguments", "error", "ok", "error"]
    assert results[4].content == "Crafted 1 workshop:stick"
    assert results[5].content.startswith("Not done: the goal was reached")
    assert observation == "\n".join(r.content for r in results)
    assert (reward, terminated, info["success"], info["action_error"]) == (1, True, True, "")


def test_tool_calls_that_all_fail_are_an_action_error_and_change_nothing(env: TextCraftEnv) -> None:
    begin(env, "stick")
    before = env.state_hash()
    _, _, _, _, info = env.step(Message("assistant", tool_calls=(ToolCall("fly"), ToolCall("get", "{"))))
    assert info["action_error"]
    assert env.state_hash() == before


def test_the_text_form_of_tool_calls_does_the_same(env: TextCraftEnv) -> None:
    message = Message("assistant", "First things first.", (ToolCall("get", {"item": "twig", "count": 2}, "1"),))
    for action in (message, format_message(message), Message("assistant", format_message(message))):
        begin(env, "stick")
        observation, _, _, _, info = env.step(action)
        assert observation == "Got 2 twig"
        assert [(r.name, r.status) for r in info["tool_results"]] == [("get", "ok")]


def test_a_tool_call_that_cannot_be_read_is_explained(env: TextCraftEnv) -> None:
    begin(env, "stick")
    observation, _, _, _, info = env.step("<tool_call>\n{broken\n</tool_call>")
    assert [r.status for r in info["tool_results"]] == ["invalid_arguments"]
    assert "<tool_call>" in observation
    assert info["action_error"] == observation


@pytest.mark.parametrize(
    "action", ["", " ", "\x00", "é" * 50, "get", "craft", "craft  using ", "craft a using ,", "x" * 99_999]
)
def test_odd_texts_are_answered_and_change_nothing(env: TextCraftEnv, action: str) -> None:
    begin(env, "stick")
    before = env.state_hash()
    observation, reward, terminated, _, info = env.step(action)
    assert info["action_error"] == observation != ""
    assert len(observation) < 1_100
    assert (reward, terminated) == (0, False)
    assert env.state_hash() == before
    assert env.observation_space.contains(observation)


@pytest.mark.parametrize("kwargs", [{}, PROCEDURAL])
def test_a_restored_episode_has_the_same_future(kwargs: dict[str, Any]) -> None:
    env, other = TextCraftEnv(**kwargs), TextCraftEnv(**kwargs)
    env.reset(seed=5)
    actions = iter(env.expert())
    env.step(next(actions))
    env.step("get 1 nothing")
    snapshot = env.snapshot()
    other.restore(snapshot)
    assert other.world == env.world
    assert other.state_hash() == env.state_hash()
    assert solve(other) == solve(env)
    assert other.reset()[0] == env.reset()[0]


def test_environments_and_spaces_pickle() -> None:
    env = TextCraftEnv()
    env.reset(seed=2)
    copy = pickle.loads(pickle.dumps(env))
    assert copy.world == env.world
    assert copy.tasks.find("workshop:ladder") == env.tasks.find("workshop:ladder")
    copy.action_space.seed(4)
    env.action_space.seed(4)
    assert [copy.action_space.sample() for _ in range(9)] == [env.action_space.sample() for _ in range(9)]


def test_sampled_actions_are_well_formed_commands_of_all_three_kinds() -> None:
    for kwargs in ({}, PROCEDURAL):
        env = TextCraftEnv(**kwargs)
        env.action_space.seed(0)
        sampled = [env.action_space.sample() for _ in range(200)]
        assert {action.split()[0] for action in sampled} == {"get", "craft", "inventory"}
        env.reset(seed=0)
        replies = {env.world.copy().act(action).text.partition(" ")[0] for action in sampled}
        assert not any(reply.startswith("Wrong") for reply in replies)
    assert isinstance(env.action_space.sampler, CommandSampler)
    assert TextCraftEnv(action_format="react").action_space.sample().startswith("Action: ")


def test_a_random_agent_finds_shallow_goals_of_a_small_book(env: TextCraftEnv) -> None:
    env.action_space.seed(0)
    solved = 0
    for seed in range(60):
        env.reset(seed=seed, options={"task": "workshop:stick"})
        solved += any(env.step(env.action_space.sample())[2] for _ in range(19))
    assert solved > 10


def test_rendering_shows_the_last_turn() -> None:
    env = TextCraftEnv(render_mode="ansi")
    env.reset(seed=0, options={"task": "workshop:ladder"})
    assert "Goal: craft ladder." in str(env.render())
    env.step("inventory")
    assert "> inventory\nInventory: You are not carrying anything." in str(env.render())


def test_a_list_of_tasks_limits_what_is_played() -> None:
    env = TextCraftEnv(tasks=["workshop:well", {"goal": "workshop:ladder", "commands": "craft 1 moon using 1 cheese"}])
    assert {env.reset(seed=seed)[1]["task"]["key"].partition("@")[0] for seed in range(20)} == {
        "workshop:well",
        "workshop:ladder",
    }
    assert env.default_split == "test"
    task = env.tasks.split("test")[1]
    assert env.reset(options={"task": task})[0] == ("Crafting commands:\ncraft 1 moon using 1 cheese\n\nGoal: craft ladder.")
    assert solve(env)[0] == 1


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"recipes": "/no/such/folder"}, MissingDataError, "no recipe book at '/no/such/folder'"),
        ({"recipes": 3}, ConfigError, "recipes is 3; expected None, 'procedural' or a path"),
        ({"split": "dev"}, UnknownNameError, "Unknown split 'dev'"),
        ({"distractors": -1}, ConfigError, "distractors is -1"),
        ({"action_format": "json"}, UnknownNameError, "Unknown action format 'json'"),
        ({"render_mode": "human"}, UnknownNameError, "Unknown render mode 'human'"),
        ({"max_turns": 0}, ConfigError, "max_turns is 0"),
        ({"recipe": "x"}, UnknownNameError, "Did you mean 'recipes'"),
        ({"branching": 0.1}, UnknownNameError, "With recipes='procedural' there are also max_ingredients"),
        ({"depth": (2, 1)}, ConfigError, r"depth is \(2, 1\); expected two integers with 1 <= least"),
        ({"depth": (7, 8)}, ConfigError, r"no goal of these recipes has such a depth; they have \[1, 2, 3, 4, 5, 6\]"),
        ({"depth": 1, "tasks": ["workshop:ladder"]}, ConfigError, "leave it out where tasks=... names them"),
        ({"recipes": "procedural", "tasks": ["train/0"]}, ConfigError, "goes with a recipe book"),
        ({"recipes": "procedural", "deepness": 2}, UnknownNameError, "Unknown argument of TextCraft"),
        ({"tasks": ["workshop:nothing"]}, UnknownNameError, "Unknown task 'workshop:nothing'"),
    ],
)
def test_wrong_arguments_are_refused_with_the_next_move(kwargs: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        TextCraftEnv(**kwargs)


@pytest.mark.parametrize("depth", [1, (1, 2), [2, 3], (5, 8)])
def test_a_book_may_be_narrowed_to_goals_of_some_depths_in_the_splits_they_have(depth: Any) -> None:
    least, greatest = (depth, depth) if isinstance(depth, int) else depth
    whole, narrow = TextCraftEnv(), TextCraftEnv(depth=depth)
    for split in ("train", "test"):
        wanted = [task for task in whole.tasks.split(split) if least <= int(task.type.removeprefix("depth-")) <= greatest]
        assert list(narrow.tasks.split(split)) == wanted
    task = next(iter(narrow.tasks.split("train")))
    shown = [env.reset(seed=3, options={"task": task.key})[0] for env in (whole, narrow)]
    assert shown[0] == shown[1]


def test_a_task_of_other_recipes_is_refused_and_leaves_the_episode_alone(env: TextCraftEnv) -> None:
    begin(env, "stick")
    before = env.state_hash()
    for data in ({"goal": "minecraft:bread"}, {}, {"goal": ["x"]}):
        with pytest.raises(UsageError, match="has no goal that these recipes know"):
            env.reset(options={"task": Task("x", "test", "", data)})
    assert env.world.goal == "workshop:stick"
    procedural = TextCraftEnv(**PROCEDURAL)
    with pytest.raises(ConfigError, match="is no procedural task"):
        procedural.reset(options={"task": Task("x", "test", "", {"goal": "workshop:ladder"})})
    assert before


def test_the_world_before_reset_is_an_error_with_the_next_move() -> None:
    with pytest.raises(EpisodeStateError, match="call reset"):
        TextCraftEnv().world  # noqa: B018


def test_episodes_do_not_depend_on_the_hash_seed() -> None:
    script = (
        "import json\n"
        "from palaestra.envs.agentgym.textcraft.env import TextCraftEnv\n"
        "texts = []\n"
        "for kwargs in ({}, {'recipes': 'procedural'}):\n"
        "    env = TextCraftEnv(**kwargs)\n"
        "    env.action_space.seed(3)\n"
        "    for seed in range(5):\n"
        "        texts.append(env.reset(seed=seed)[0])\n"
        "        texts += [env.step(a)[0] for a in env.expert()] + [env.action_space.sample(), env.state_hash()]\n"
        "print(json.dumps(texts))\n"
    )
    [output] = outputs(script)
    assert len(json.loads(output)) > 20
