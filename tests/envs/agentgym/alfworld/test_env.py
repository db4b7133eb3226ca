"""The Gymnasium face of ALFWorld."""

import json
import pickle
import re

import gymnasium
import numpy as np
import pytest

import palaestra  # noqa: F401  (registers the environments)
from palaestra.envs.agentgym.alfworld.env import ALFWorldEnv
from palaestra.envs.agentgym.alfworld.tools import Commands
from palaestra.errors import ConfigError, EpisodeStateError, UnknownNameError, UsageError
from palaestra.types import Message, ToolCall
from tests.envs.agentgym.alfworld.toys import ALL_TYPES, contents, number_of

HEAT = f"train/{number_of('pick_heat_then_place_in_recep')}"


def solve(env: ALFWorldEnv, key: str, seed: int = 0) -> list[str]:
    """Play the expert and return its actions."""
    env.reset(seed=seed, options={"task": key})
    played = []
    for action in env.expert():
        _, _, terminated, truncated, info = env.step(action)
        assert not info["action_error"], (action, info)
        played.append(action)
        if terminated or truncated:
            break
    assert info["success"]
    return played


@pytest.mark.parametrize("knows", ["everything", "seen"])
@pytest.mark.parametrize("action_format", ["text", "react", "json", "code"])
def test_both_experts_win_in_every_form_and_dialect(action_format, knows):
    for dialect in ("put", "move"):
        env = ALFWorldEnv(dialect=dialect, action_format=action_format, expert_knows=knows, max_turns=None)
        for task_type in ALL_TYPES:
            solve(env, f"test/{number_of(task_type, 'test')}")


def test_the_experts_solve_test_tasks_within_the_horizon():
    env = ALFWorldEnv(split="test")
    for number in range(0, 200, 5):
        assert len(solve(env, f"test/{number}")) <= 15


def test_commands_of_either_dialect_are_understood():
    for dialect, other in (("put", "move"), ("move", "put")):
        env = ALFWorldEnv(dialect=dialect)
        env.reset(options={"task": HEAT})
        for action in solve(ALFWorldEnv(dialect=other), HEAT):
            observation, _, _, _, info = env.step(action)
            assert not info["action_error"]
        assert info["success"]
        assert observation.startswith(f"You {dialect} ")


def test_a_command_that_cannot_be_done_is_answered_as_published():
    env = ALFWorldEnv()
    env.reset(options={"task": HEAT})
    before = env.state_hash()
    observation, reward, terminated, _, info = env.step("take the moon from the sky")
    assert (observation, reward, terminated) == ("Nothing happens.", 0.0, False)
    assert info["action_error"] == "Nothing happens."
    assert env.state_hash() == before


def test_wrapped_commands_are_read_only_where_that_is_asked_for():
    strict, tolerant = ALFWorldEnv(), ALFWorldEnv(tolerant=True)
    walk = solve(strict, HEAT)
    strict.reset(options={"task": HEAT})
    tolerant.reset(options={"task": HEAT})
    assert strict.step(f"> {walk[0]}")[0] == "Nothing happens."
    observation, _, _, _, info = tolerant.step(f"> {walk[0]}")
    assert observation.startswith("You arrive at")
    assert not info["action_error"]
    assert info["tolerated"] == {"prompt": 1, "label": 0, "think": 0, "quotes": 0, "case": 0, "prose": 0}
    before = tolerant.state_hash()
    observation, _, _, _, info = tolerant.step("think: what now?")
    assert (observation, info["action_error"]) == ("OK.", "")
    assert tolerant.state_hash() == before
    assert "tolerated" not in strict.step("look")[4]
    kept = tolerant.snapshot()
    tolerant.step("I would like to look")
    assert tolerant.step("look")[4]["tolerated"] == {"prompt": 1, "label": 0, "think": 1, "quotes": 0, "case": 0, "prose": 1}
    twin = pickle.loads(pickle.dumps(tolerant))
    twin.restore(kept)
    assert twin.step("look")[4]["tolerated"] == {"prompt": 1, "label": 0, "think": 1, "quotes": 0, "case": 0, "prose": 0}
    assert tolerant.reset()[1].get("tolerated") is None
    assert not any(tolerant.step("look")[4]["tolerated"].values())


def test_tool_calls_are_played_in_order_up_to_the_end():
    env = ALFWorldEnv()
    walk = solve(env, HEAT)
    calls = [Commands().call_of(command) for command in walk]
    env.reset(options={"task": HEAT})
    message = Message("assistant", "", (*calls, ToolCall("look", {}), ToolCall("goto", {})))
    observation, reward, terminated, _, info = env.step(message)
    assert (reward, terminated) == (1.0, True)
    assert [result.status for result in info["tool_results"]] == ["ok"] * len(calls) + ["error"] * 2
    assert observation.count("\n") >= len(calls)


def test_json_and_code_take_every_name_of_an_argument():
    for action_format, first in (
        ("json", '{{"thought": "t", "function_name": "goto", "arguments": {{"{name}": "{place}"}}}}'),
        ("code", '```python\n# t\ngoto({name}="{place}")\n```'),
    ):
        env = ALFWorldEnv(action_format=action_format)
        for name in ("recep", "receptacle", "location"):
            env.reset(options={"task": HEAT})
            place = next(c for c in env.world.commands() if c.startswith("go to")).removeprefix("go to ")
            assert env.step(first.format(name=name, place=place))[0].startswith("You arrive at")
        observation, _, _, _, info = env.step(first.format(name="nowhere", place="x"))
        assert "there is no argument 'nowhere'" in observation
        assert info["action_error"]


def test_code_is_parsed_and_never_run():
    env = ALFWorldEnv(action_format="code")
    env.reset()
    for code in ("__import__('os').getcwd()", "look() if True else 0", "goto(recep=open('x').read())", "look(); look()"):
        assert env.step(f"```python\n{code}\n```")[4]["action_error"]


def test_every_listed_action_is_accepted_in_every_form():
    for action_format in ("text", "react", "json", "code"):
        env = ALFWorldEnv(action_format=action_format)
        walk = solve(env, HEAT)
        env.reset(options={"task": HEAT})
        for planned in walk:
            kept = env.snapshot()
            actions = env.available_actions()
            assert planned in actions or action_format != "text"
            for action in actions[:: max(1, len(actions) // 6)]:
                assert not env.step(action)[4]["action_error"], action
                env.restore(kept)
            env.step(planned)
        assert env.available_actions() == []
    with pytest.raises(EpisodeStateError):
        ALFWorldEnv().available_actions()


def test_names_are_shuffled_by_the_seed():
    env, plain = ALFWorldEnv(names="shuffled", max_turns=None), ALFWorldEnv()
    plain.reset(options={"task": HEAT})
    first, _ = env.reset(seed=1, options={"task": HEAT})
    assert first == env.reset(seed=1, options={"task": HEAT})[0]
    texts = {env.reset(seed=seed, options={"task": HEAT})[0] for seed in range(6)}
    assert len(texts) == 6
    assert all(sorted(text) == sorted(plain.world.intro()) for text in texts)
    env.reset(seed=1, options={"task": HEAT})
    twin = ALFWorldEnv(names="shuffled", max_turns=None)
    twin.restore(env.snapshot())
    assert twin.world == env.world
    assert twin.step("look") == env.step("look")
    solve(env, HEAT, seed=3)


def test_snapshots_of_other_games_and_settings_are_refused(tmp_path):
    env = ALFWorldEnv()
    env.reset(seed=0)
    kept = env.snapshot()
    for other in (ALFWorldEnv(dialect="put"), ALFWorldEnv(names="shuffled"), ALFWorldEnv(tolerant=True)):
        with pytest.raises(EpisodeStateError):
            other.restore(kept)
    path = tmp_path / "a.tw-pddl"
    path.write_text(json.dumps(contents()), "utf-8")
    played = ALFWorldEnv(path)
    played.reset()
    kept = played.snapshot()
    ALFWorldEnv(path).restore(kept)
    path.write_text(json.dumps(contents(grammar=contents()["grammar"] + "\n")), "utf-8")
    with pytest.raises(EpisodeStateError, match="of another game"):
        ALFWorldEnv(path).restore(kept)


def test_the_instructions_name_the_commands_of_the_dialect_and_the_form():
    assert "move OBJECT to RECEPTACLE" in ALFWorldEnv().instructions()
    assert "put OBJECT in/on RECEPTACLE" in ALFWorldEnv(dialect="put").instructions()
    assert "Action: one command" in ALFWorldEnv(action_format="react").instructions()
    assert '"function_name"' in ALFWorldEnv(action_format="json").instructions()
    assert "def goto(recep: str)" in ALFWorldEnv(action_format="code").instructions()


def test_the_picture_shows_the_room():
    env = gymnasium.make("palaestra/ALFWorld-v0", render_mode="ansi")
    env.reset(options={"task": HEAT})
    assert "@ in the middle of the room" in env.render()
    walk = list(env.unwrapped.world.game.file.walkthrough)
    for command in walk[:-1]:
        env.step(command)
    picture = env.render()
    held = env.unwrapped.world.act("inventory").text.removeprefix("You are carrying: a ").rstrip(".")
    assert f"In hand: {held} (hot)" in picture or "In hand: nothing" in picture
    assert "microwave 1" in picture
    assert sum(line.startswith("@") for line in picture.splitlines()) >= 1


@pytest.mark.parametrize(
    ("arguments", "error", "problem"),
    [
        ({"dialect": "take"}, UnknownNameError, "dialect"),
        ({"compat": "server"}, UnknownNameError, "compat"),
        ({"names": "random"}, UnknownNameError, "names"),
        ({"expert_knows": "nothing"}, UnknownNameError, "expert_knows"),
        ({"compat": "upstream", "dialect": "move"}, ConfigError, "plays the dialect 'put'"),
        ({"tolerant": 1}, ConfigError, "tolerant is 1"),
        ({"tasks": ["train/3"]}, ConfigError, "pass games=PATH"),
        ({"action_format": "xml"}, UnknownNameError, "action format"),
        ({"split": "valid"}, UnknownNameError, "split"),
    ],
)
def test_wrong_arguments_are_refused(arguments, error, problem):
    with pytest.raises(error, match=problem):
        ALFWorldEnv(**arguments)


def test_tasks_of_elsewhere_are_refused(tmp_path):
    env = ALFWorldEnv()
    foreign = next(iter(env.tasks.split("train"))).__class__("somewhere/3", "train")
    with pytest.raises(UsageError, match="not one that can be made"):
        env.reset(options={"task": foreign})
    path = tmp_path / "a.tw-pddl"
    path.write_text(json.dumps(contents()), "utf-8")
    with pytest.raises(UsageError, match="There is no game"):
        ALFWorldEnv(path).reset(options={"task": foreign})
    with pytest.raises(EpisodeStateError):
        _ = ALFWorldEnv().world


def test_a_bad_file_is_one_error_and_the_next_episode_plays(tmp_path):
    for name, text in (("good", json.dumps(contents())), ("bad", json.dumps(contents())[:-50])):
        (tmp_path / f"{name}.tw-pddl").write_text(text, "utf-8")
    env = ALFWorldEnv(tmp_path)
    with pytest.raises(ConfigError, match=r"bad\.tw-pddl' is not a game file: it is not JSON"):
        env.reset(options={"task": "bad"})
    env.reset(options={"task": "good"})
    assert env.step("look")[0].startswith("You are")


@pytest.mark.parametrize("action_format", ["text", "code"])
@pytest.mark.parametrize("names", ["plain", "shuffled"])
def test_drawn_commands_name_what_is_in_the_game(action_format, names):
    env = ALFWorldEnv(action_format=action_format, names=names)
    for number in range(6):
        env.reset(seed=number)
        env.action_space.seed(number)
        twin = ALFWorldEnv(action_format=action_format, names=names)
        twin.restore(env.snapshot())
        known = {name.name.strip() for name in env.world.game.names.values()}
        rng = np.random.default_rng(number)
        drawn = [env.action_space.sampler(rng) for _ in range(60)]
        rng = np.random.default_rng(number)
        assert drawn == [twin.action_space.sampler(rng) for _ in range(60)]
        named = {name for action in drawn for name in re.findall(r"\b[a-z]+ [0-9]+", action)}
        assert named <= known
        assert len(named) > 15
