"""Wordle against AgentGym's published list and traces."""

import gymnasium
import pytest

import palaestra  # noqa: F401  (registers the environments)
from tests.fixtures import need_fixtures, read_rows

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("compat", [None, "upstream"])
def test_every_trace_is_reproduced_word_for_word(compat):
    num_steps = 0
    for words in need_fixtures("agentgym/wordle/tweet_words.txt"):
        env = gymnasium.make("palaestra/Wordle-v0", words=words, compat=compat)
        file = words.with_name("traces.jsonl")
        for row in read_rows(file) if file.exists() else ():
            observation, info = env.reset(options={"task": f"upstream#{row['seed']}"})
            assert observation == row["reset"]["observation"]
            assert compat is None or info["upstream"] == row["reset"]
            for step in row["steps"]:
                observation, reward, terminated, truncated, info = env.step(step["action"])
                assert (observation, reward, terminated) == (step["observation"], step["reward"], step["done"]), row["id"]
                assert not truncated
                assert (info["score"], info["success"]) == (step["reward"], step["reward"] == 1)
                if compat is not None:
                    assert info["upstream"] == {key: step[key] for key in ("observation", "reward", "done")}
                if not step["done"]:  # of a finished game the server does not say it
                    assert len(env.unwrapped.world.left) == step["consistent_words_left"]
                num_steps += 1
    assert num_steps


def test_every_published_list_is_read():
    for words in need_fixtures("agentgym/wordle"):
        for file in words.glob("*.txt"):
            env = gymnasium.make("palaestra/Wordle-v0", words=file).unwrapped
            env.reset(options={"task": "upstream#0"})
            assert list(env.world.words.words) == file.read_text().split()
