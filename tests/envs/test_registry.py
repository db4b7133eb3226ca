"""Tests made from the registry: a new environment is covered the moment it is registered."""

import contextlib
import copy
import json
import os
import pickle
import random
import subprocess
import sys
import warnings
from collections.abc import Iterator
from typing import NamedTuple

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

import palaestra
from palaestra.envs import check_environment
from palaestra.envs.registration import conditions, for_tests, missing
from palaestra.errors import UsageError
from palaestra.types import Message, ToolCall, plain

VARIANTS = {
    "palaestra/ALFWorld-v0": [
        {"action_format": "react", "compat": "upstream"},
        {"action_format": "json", "dialect": "put"},
        {"action_format": "code", "tolerant": True},
        {"names": "shuffled", "expert_knows": "seen", "max_turns": None},
    ],
    "palaestra/TextCraft-v0": [
        {"action_format": "react"},
        {"action_format": "react", "compat": "upstream"},
        {"recipes": "procedural"},
        {"recipes": "procedural", "depth": 3, "action_format": "react"},
    ],
    "palaestra/CriticTool-v0": [
        {"mode": "skip", "profile": "published"},
        {"mode": "finish", "cot": True, "form": "calls", "max_turns": None},
    ],
    "palaestra/Desk-v0": [{"difficulty": "tiny"}],
    "palaestra/SciWorld-v0": [{"simplifications": "easy"}],
    "palaestra/BabyAI-v0": [
        {"action_format": "react", "compat": "upstream", "levels": ["GoToRedBall", "OpenDoorLoc"]},
        {"numbering": "fixed", "levels": ["KeyInBox", "PickupLoc"], "render_mode": "rgb_array"},
    ],
    "palaestra/Maze-v0": [
        {"action_format": "react", "compat": "upstream"},
        {"size": 7, "loops": 0.0, "render_mode": "rgb_array"},
    ],
    "palaestra/ToolForge-v0": [
        {"preset": "tiny", "reward": "paper_turn", "malformed": "terminate"},
        {"profile": "published", "reward": "mixed"},
        {"preset": "paper_like", "scenario": "parallel_multi_hop", "max_turns": None},
    ],
    "palaestra/TwentyQuestions-v1": [
        {"judge": "each", "seat": "answerer", "things": 6},
        {"judge": "last", "seat": "judge", "players": {"asker": "random"}},
        {"judge": "last", "things": 40, "labels": "numbers"},
    ],
    "palaestra/Wordle-v0": [{"action_format": "react", "compat": "upstream"}, {"num_words": 6}],
    "palaestra/VehicleWorld-v0": [
        {"mode": "sfc"},
        {"mode": "hybrid", "plan": True, "mixed": True},
        {"mode": "sfc", "profile": "published", "state_form": "wrapped", "difficulty": "hard"},
        {"calls": "tools", "tool_scope": "selected", "profile": "published"},
        {"mode": "hybrid", "calls": "tools", "extra_modules": 3, "reward": "accuracy"},
    ],
}
CHEAP_TASKS = {  # of worlds whose tasks differ in cost: SciWorld makes a solution in half a second or in seventy
    "palaestra/SciWorld-v0": {"tasks": ("find-non-living-thing", "lifespan-longest-lived", "find-plant", "power-component")},
}
CASES = [(env_id, kwargs) for env_id in palaestra.list_envs() for kwargs in [{}, *VARIANTS.get(env_id, [])]]


class Budget(NamedTuple):
    """How much these tests play of an environment, by what a step of it costs."""

    seeds: int
    turns: int
    examples: int
    refusals: int


BUDGETS = {"cheap": Budget(5, 40, 80, 1000), "engine": Budget(1, 15, 6, 60), "browser": Budget(1, 6, 3, 20)}


def budget(env_id: str) -> Budget:
    return BUDGETS[conditions(env_id).cost]


def lacking(env_id: str) -> str:
    """Return why an environment cannot be tried here; arguments that it needs come from `for_tests`."""
    return missing(env_id, conditions(env_id).arguments)


def name_of(env_id: str, kwargs: dict) -> str:
    return env_id.removeprefix("palaestra/") + "".join(f",{k}={v}" for k, v in kwargs.items())


every_case = pytest.mark.parametrize(
    ("env_id", "kwargs"),
    [
        pytest.param(*case, id=name_of(*case), marks=[pytest.mark.skip(reason=lack)] if (lack := lacking(case[0])) else [])
        for case in CASES
    ],
)


@contextlib.contextmanager
def made(env_id: str, kwargs: dict, **more) -> Iterator[gymnasium.Env]:
    with for_tests(env_id) as arguments:
        env = gymnasium.make(env_id, **{**arguments, **CHEAP_TASKS.get(env_id, {}), **kwargs}, **more)
        try:
            yield env
        finally:
            env.close()


def random_play(env, seed: int, turns: int = 12) -> list:
    """Play drawn actions and return everything that came back."""
    env.action_space.seed(seed)
    record = [plain(list(env.reset(seed=seed)))]
    for _ in range(turns):
        action = env.action_space.sample()
        result = env.step(action)
        record.append([plain(action), plain(list(result))])
        if result[2] or result[3]:
            record.append(plain(list(env.reset())))
    return record


@every_case
def test_every_promise_of_the_contract_is_kept(env_id, kwargs):
    with for_tests(env_id) as arguments:
        report = check_environment(env_id, kwargs={**arguments, **CHEAP_TASKS.get(env_id, {}), **kwargs})
    assert report.ok, str(report)


@every_case
def test_gymnasiums_checker_is_content(env_id, kwargs):
    with made(env_id, kwargs) as env, warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)


@every_case
def test_every_registered_env_has_an_expert_that_solves_tasks(env_id, kwargs):
    with made(env_id, kwargs) as env:
        for seed in range(budget(env_id).seeds):
            for split in env.unwrapped.tasks.splits:
                env.reset(seed=seed, options={"split": split})
                total, info = 0.0, {}
                for action in env.unwrapped.expert():
                    _, reward, terminated, truncated, info = env.step(action)
                    total += reward
                    if terminated or truncated:
                        break
                assert info["success"], f"{env.unwrapped.task.key}: {info}"
                if (full := env.unwrapped.full_return) is not None:
                    assert total == pytest.approx(full)


@every_case
def test_doing_nothing_useful_earns_less_than_the_expert(env_id, kwargs):
    with made(env_id, kwargs) as env:
        env.reset(seed=0)
        total = 0.0
        for _ in range(budget(env_id).refusals):
            _, reward, terminated, truncated, info = env.step("?")
            total += reward
            if terminated or truncated:
                break
        assert env.unwrapped.full_return is None or total < env.unwrapped.full_return
        assert not info["success"]


PROGRAM = """
import sys, json
import palaestra
from tests.envs.test_registry import made, random_play
for env_id, kwargs in json.loads(sys.argv[1]):
    with made(env_id, kwargs) as env:
        print(json.dumps(random_play(env, seed=11)))
"""


def test_two_processes_with_different_hash_seeds_play_the_same_episodes():
    outputs, cases = [], [case for case in CASES if not lacking(case[0])]
    for hash_seed in ("0", "77"):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", PROGRAM, json.dumps(cases)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            check=True,
        )
        outputs.append(done.stdout.splitlines())
    here = []
    for env_id, kwargs in cases:
        with made(env_id, kwargs) as env:
            here.append(json.dumps(random_play(env, seed=11)))
    assert outputs[0] == outputs[1] == here


@every_case
def test_snapshots_copies_and_pickles_have_the_same_future(env_id, kwargs):
    with made(env_id, kwargs) as env:
        env.action_space.seed(1)
        env.reset(seed=1)
        for _ in range(3):
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            if terminated or truncated:
                env.reset()
        actions = [env.action_space.sample() for _ in range(5)]
        fresh = gymnasium.make(env.spec)
        fresh.reset(seed=99)
        fresh.unwrapped.restore(env.unwrapped.snapshot())
        twins = [fresh, copy.deepcopy(env), pickle.loads(pickle.dumps(env))]
        for action in actions:
            results = [plain(list(twin.step(action))) for twin in (env, *twins)]
            assert all(result == results[0] for result in results)
            if results[0][2] or results[0][3]:
                break
        assert all(twin.unwrapped.state_hash() == env.unwrapped.state_hash() for twin in twins)
        for twin in twins:
            twin.close()


@every_case
def test_random_play_stays_inside_the_spaces(env_id, kwargs):
    with made(env_id, kwargs) as env:
        for seed in range(min(3, budget(env_id).seeds)):
            for entry in random_play(env, seed, turns=budget(env_id).turns):
                observation = entry[0] if isinstance(entry[0], str) and isinstance(entry[1], dict) else entry[1][0]
                assert observation in env.observation_space


@every_case
def test_the_global_generators_are_left_alone(env_id, kwargs):
    before = random.getstate(), str(np.random.get_state())
    with made(env_id, kwargs) as env:
        random_play(env, seed=0)
    assert (random.getstate(), str(np.random.get_state())) == before


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


def nested(depth):
    """Return the text of lists in lists, and the lists."""
    value = 0
    for _ in range(depth):
        value = [value]
    return value


STRANGE = [  # what no server should send, and some do
    *map(nested, (50, 64, 300, 850, 930, 990, 10_000)),
    *("\ud800", {"\ud800": 1}, ["a\udfff"], 10**5000, -(10**400), float("nan"), float("inf"), "x" * 100_001, [0] * 100_001),
]
strange_texts = st.builds(
    lambda depth, wrap: wrap.replace("@", "[" * depth + "]" * depth),
    st.sampled_from([10, 63, 64, 65, 300, 850, 900, 930, 960, 990, 20_000]),
    st.sampled_from(
        [
            '<tool_call>\n{"name": "get", "arguments": {"item": @}}\n</tool_call>',
            '<tool_call>\n{"name": "get", "arguments": @}\n</tool_call>',
            '<tool_call>\n{"name": "\\ud800", "arguments": {"\\udfff": @}, "id": "\\ud800"}\n</tool_call>',
            "<tool_call>@</tool_call>",
            "```json\n@\n```",
            "```python\nx = @\nvw.door.carcontrol_carDoor_switch(action=@)\n```",
            "Action: @",
            "@",
        ]
    ),
)
any_text = st.one_of(
    st.text(st.characters(codec=None), max_size=200),  # lone surrogates included
    st.sampled_from(
        ["<tool_call>", "</tool_call>", "Action:", "Thought:", "```python\n", "{", "craft 1", "inventory"]
    ).flatmap(lambda start: st.text(max_size=80).map(start.__add__)),
)


def any_action(env) -> st.SearchStrategy[str | Message]:
    """Texts, and messages with calls of real and invented tools with any arguments."""
    names = [tool["function"]["name"] for tool in env.unwrapped.tools()]
    properties = sorted({p for tool in env.unwrapped.tools() for p in tool["function"]["parameters"].get("properties", {})})
    arguments = st.dictionaries(st.sampled_from([*properties, "x"]), json_values, max_size=4) | st.text(max_size=30)
    arguments |= st.dictionaries(
        st.sampled_from([*properties, "x", "\udfff"]), json_values | st.sampled_from(STRANGE), max_size=2
    )
    name = st.sampled_from([*names, "no_such_tool", "", "\ud800", "x" * 100_001])
    call = st.builds(ToolCall, name, arguments, st.text(st.characters(codec=None), max_size=4))
    message = st.builds(Message, st.just("assistant"), any_text, st.lists(call, max_size=3).map(tuple))
    return any_text | strange_texts | message


@every_case
def test_any_text_or_message_is_played_or_refused_but_never_raises(env_id, kwargs):
    with made(env_id, kwargs) as env:

        @settings(max_examples=budget(env_id).examples)
        @given(st.lists(any_action(env), min_size=1, max_size=4))
        def play(actions):
            env.reset(seed=0)
            for action in actions:
                before = env.unwrapped.state_hash()
                observation, reward, terminated, truncated, info = env.step(action)
                assert observation in env.observation_space
                assert np.isfinite(reward)
                json.dumps(plain(info), ensure_ascii=False).encode()
                if info["action_error"]:
                    assert env.unwrapped.state_hash() == before
                if isinstance(action, Message) and action.tool_calls and info["tool_results"]:
                    assert len(info["tool_results"]) == len(action.tool_calls)
                env.unwrapped.restore(env.unwrapped.snapshot())
                if terminated or truncated:
                    break

        play()


@every_case
def test_an_unknown_argument_is_one_clear_error(env_id, kwargs):
    with for_tests(env_id) as arguments, pytest.raises((UsageError, TypeError), match="no_such_argument"):
        gymnasium.make(env_id, **{**arguments, **kwargs}, no_such_argument=1)
