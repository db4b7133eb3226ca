import json

import gymnasium
import pytest

from palaestra.envs.wrappers import RecordTrajectory, TurnLimit
from palaestra.errors import EpisodeStateError, ToolError, UsageError
from palaestra.types import Message, Trajectory
from tests.envs.miniature import COUNTER_ID, CounterEnv, ForeignEnv, register_miniatures
from tests.envs.wrappers.players import solve

register_miniatures()


def test_a_played_episode_is_recorded_whole():
    env = RecordTrajectory(gymnasium.make(COUNTER_ID), hash_states=True)
    rewards, _ = solve(env, seed=5, detour=1)
    (trajectory,) = env.trajectories
    assert (trajectory.env_id, trajectory.seed, trajectory.task["key"], trajectory.max_turns) == (COUNTER_ID, 5, "train/0", 20)
    assert trajectory.instructions.startswith("Say")
    assert [step.reward for step in trajectory.steps] == rewards
    assert [step.action for step in trajectory.steps][:2] == [Message("assistant", "down"), Message("assistant", "up")]
    assert trajectory.steps[0].observation.endswith("goal 2")
    assert trajectory.final_observation.startswith("number 2")
    assert (trajectory.outcome.score, trajectory.outcome.success, trajectory.outcome.stop_reason) == (1.0, True, "success")
    hashes = [step.state_hash for step in trajectory.steps]
    assert hashes[0] == hashes[2] != hashes[1]  # down and up again
    assert Trajectory.from_json(json.loads(json.dumps(trajectory.to_json()))) == trajectory


def test_an_episode_cut_by_reset_or_close_is_kept():
    env = RecordTrajectory(CounterEnv())
    env.reset(seed=0)
    env.step("down")
    env.reset(seed=1)
    env.reset(seed=2)
    env.step("down")
    env.step("?")
    env.close()
    env.close()
    assert [trajectory.num_turns for trajectory in env.trajectories] == [1, 2]
    assert [trajectory.outcome.stop_reason for trajectory in env.trajectories] == ["", ""]
    assert env.trajectories[1].outcome.success is False
    assert env.trajectories[0].episode_id != env.trajectories[1].episode_id


def test_a_failure_is_recorded_with_its_boundary_and_raised():
    class Broken(CounterEnv):
        def _act(self, action):
            raise ToolError("the weather service is down") if action == "tool" else ZeroDivisionError("oops")

    env = RecordTrajectory(Broken())
    for action, kind, boundary in (("tool", ToolError, "tool"), ("up", ZeroDivisionError, "environment")):
        env.reset(seed=0)
        with pytest.raises(kind):
            env.step(action)
        outcome = env.trajectories[-1].outcome
        assert (outcome.score, outcome.success) == (None, None)
        assert (outcome.error.boundary, outcome.error.type) == (boundary, kind.__name__)
        assert "Traceback" in outcome.error.detail
        assert env.trajectories[-1].steps[-1].action.content == action


def test_a_mistake_of_the_caller_is_no_episode():
    env = RecordTrajectory(CounterEnv())
    with pytest.raises(EpisodeStateError):
        env.step("up")
    env.reset(seed=0)
    with pytest.raises(UsageError):
        env.step(3)
    assert env.trajectories == []
    assert env.step("up")[-1]["action_error"] == ""


def test_episodes_go_to_a_file_and_a_callback_at_once(tmp_path):
    seen = []
    path = tmp_path / "episodes.jsonl"
    env = RecordTrajectory(CounterEnv(max_turns=2), path=path, callback=seen.append, keep=False)
    for seed in (0, 1):
        env.reset(seed=seed)
        env.step("lone \ud800")
        env.step("日本")
        lines = path.read_text(encoding="ascii").splitlines()
        assert [Trajectory.from_json(json.loads(line)) for line in lines] == seen
    assert len(seen) == 2
    assert seen[0].steps[0].action.content == "lone \ud800"
    assert env.trajectories == []


def test_a_foreign_env_is_recorded_as_far_as_it_tells():
    env = RecordTrajectory(TurnLimit(ForeignEnv(), 1))
    env.reset(seed=4)
    env.step("x")
    (trajectory,) = env.trajectories
    assert trajectory.task["key"] == "seed/4"
    assert (trajectory.outcome.score, trajectory.outcome.success, trajectory.max_turns) == (0.0, None, 1)
    assert "object" in trajectory.steps[0].info["note"]
    json.dumps(trajectory.to_json())


def test_copies_give_episodes_with_ids_of_their_own(tmp_path):
    path = tmp_path / "episodes.jsonl"
    vector = gymnasium.vector.SyncVectorEnv([lambda: RecordTrajectory(CounterEnv(max_turns=1), path=path)] * 3)
    vector.reset(seed=0)
    for _ in range(4):
        vector.step(["down"] * 3)
    vector.close()
    ids = [json.loads(line)["episode_id"] for line in path.read_text().splitlines()]
    assert len(ids) == len(set(ids)) == 6
