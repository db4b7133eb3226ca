"""BabyAI against AgentGym's published levels and traces."""

import json

import pytest

pytest.importorskip("minigrid", reason="the extra agentgym is not installed")

from palaestra.envs.agentgym.babyai.engine import LEVELS, level_id
from palaestra.envs.agentgym.babyai.env import BabyAIEnv
from tests.fixtures import need_fixtures, need_rows

pytestmark = pytest.mark.parity


def test_every_trace_is_reproduced_word_for_word():
    env = BabyAIEnv(compat="upstream", max_turns=None)
    num_steps = 0
    for row in need_rows("agentgym/babyai/traces.jsonl"):
        observation, info = env.reset(options={"task": f"upstream#{row['data_idx']}"})
        assert info["task"]["key"] == f"{row['level']}/{row['seed']}"
        assert observation == row["reset"]["observation"]
        assert info["upstream"] == row["reset"]
        for step in row["steps"]:
            _, _, terminated, truncated, info = env.step(step["action"])
            told = {key: step[key] for key in ("observation", "reward", "score", "done")}
            assert info["upstream"] == told, (row["level"], row["seed"], step["action"])
            assert (terminated, truncated) == (step["done"], False)
            assert not step["done"] or info["success"]
            num_steps += 1
    assert num_steps


def test_by_default_the_same_is_told_until_minigrid_ends_the_episode():
    env = BabyAIEnv(max_turns=None)
    for row in need_rows("agentgym/babyai/traces.jsonl"):
        env.reset(options={"task": f"upstream#{row['data_idx']}"})
        for step in row["steps"]:
            observation, reward, terminated, _, info = env.step(step["action"])
            if terminated and not step["done"]:  # in the middle of the action, for 0.5 or less, or as a failure
                break
            assert (observation, reward, terminated) == (step["observation"], step["reward"], step["done"])
            assert (info["score"], info["success"]) == (step["reward"], step["done"])


def test_the_levels_are_the_published_ones():
    for file in need_fixtures("agentgym/babyai/levels.json"):
        listed = json.loads(file.read_text())["levels"]
        assert {number: name for number, name in listed.items()} == {
            str(number + 1): level_id(name) for number, name in enumerate(LEVELS)
        }
