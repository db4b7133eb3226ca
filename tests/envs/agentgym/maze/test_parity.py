"""The maze against AgentGym's published maze and traces."""

import gymnasium
import pytest

import palaestra  # noqa: F401  (registers the environments)
from palaestra.errors import UsageError
from tests.fixtures import need_fixtures, read_rows

pytestmark = pytest.mark.parity

FOLDER = "agentgym/maze"


def traces():
    """Yield each maze file with the traces beside it."""
    for maze in need_fixtures(f"{FOLDER}/double_t_maze.json"):
        if (file := maze.with_name("traces.jsonl")).exists():
            yield maze, list(read_rows(file))


@pytest.mark.parametrize("compat", [None, "upstream"])
def test_every_trace_is_reproduced_word_for_word(compat):
    num_steps = 0
    for maze, rows in traces():
        env = gymnasium.make("palaestra/Maze-v0", maze=maze, compat=compat)
        for row in rows:
            task = f"upstream#{row['game']}"
            if "error" in row["reset"]:
                with pytest.raises(UsageError, match=f"game {row['game']}"):
                    env.reset(options={"task": task})
                continue
            observation, info = env.reset(options={"task": task})
            assert observation == row["reset"]["observation"]
            assert compat is None or info["upstream"] == row["reset"]
            for step in row["steps"]:
                observation, reward, terminated, truncated, info = env.step(step["action"])
                assert (observation, reward, terminated) == (step["observation"], step["reward"], step["done"]), row["id"]
                assert not truncated
                assert info["score"] == max(step["reward"], 0)
                assert info["success"] == (step["reward"] == 1)
                if compat is not None:
                    assert info["upstream"] == {key: step[key] for key in ("observation", "reward", "done")}
                num_steps += 1
    assert num_steps


def test_the_expert_is_no_longer_than_the_published_optimal_play():
    for maze, rows in traces():
        env = gymnasium.make("palaestra/Maze-v0", maze=maze)
        for row in rows:
            if row["id"].endswith("optimal") and row["steps"]:
                env.reset(options={"task": f"upstream#{row['game']}"})
                for action in env.unwrapped.expert():
                    info = env.step(action)[4]
                assert info["success"]
                assert env.unwrapped._num_turns <= len(row["steps"])
