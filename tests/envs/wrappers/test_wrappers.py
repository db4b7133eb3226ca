import json
import pickle

import gymnasium
import numpy as np
import pytest

from palaestra.envs import (
    MoveInstructions,
    RecordTrajectory,
    RewardNoise,
    TransformObservationText,
    TruncateObservation,
    TurnLimit,
)
from palaestra.errors import ConfigError, EpisodeStateError, ToolError, UnknownNameError, UsageError
from palaestra.types import Message, Trajectory
from tests.envs.miniature import COUNTER_ID, CounterEnv, ForeignEnv, register_miniatures

register_miniatures()

NEAR = {"task": "train/0"}


def solve(env, seed=0, options=None, detour=0):
    """Play an episode to its success and return the rewards and the last info."""
    env.reset(seed=seed, options=options or NEAR)
    rewards, info = [], {}
    for action in ["down"] * detour + ["up"] * 30:
        _, reward, terminated, truncated, info = env.step(action)
        rewards.append(reward)
        if terminated or truncated:
            break
    return rewards, info


def fail(env, seed=0, turns=3):
    """Play an episode that is truncated and return the rewards and the last info."""
    env.reset(seed=seed, options=NEAR)
    results = [env.step("down") for _ in range(turns)]
    return [result[1] for result in results], results[-1][-1]


# -- TurnLimit


def test_turn_limit_truncates_a_foreign_env_and_says_why():
    env = TurnLimit(ForeignEnv(), 2)
    env.reset(seed=0)
    assert env.step("x")[2:4] == (False, False)
    *_, terminated, truncated, info = env.step("x")
    assert (terminated, truncated, info["stop_reason"]) == (False, True, "max_rounds")
    with pytest.raises(EpisodeStateError, match="after 2 turns"):
        env.step("x")
    env.reset()
    assert env.step("x")[3] is False


def test_turn_limit_leaves_a_success_in_the_last_turn_alone():
    env = TurnLimit(ForeignEnv(), 1)
    env.reset(seed=0)
    *_, terminated, truncated, info = env.step(str(env.unwrapped.secret))
    assert (terminated, truncated) == (True, False)
    assert "stop_reason" not in info


@pytest.mark.parametrize("max_turns", [0, None, 2.0, True])
def test_turn_limit_needs_a_positive_integer(max_turns):
    with pytest.raises(ConfigError, match="max_turns"):
        TurnLimit(CounterEnv(), max_turns)


# -- RecordTrajectory


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


# -- RewardNoise


def test_without_rate_nothing_changes_but_the_clean_reward_is_told():
    for mode in ("flip", "label", "gaussian"):
        rewards, info = solve(RewardNoise(CounterEnv(), mode, 0.0))
        assert rewards[-1] == 1.0
        assert info["clean_reward"] == 1.0
        assert info["reward_parts"] == {"task": 1.0}


def test_flip_turns_the_return_over_and_leaves_score_and_success():
    rewards, info = solve(RewardNoise(CounterEnv(), "flip", 1.0))
    assert sum(rewards) == 0.0
    assert (info["score"], info["success"], info["clean_reward"]) == (1.0, True, 1.0)
    assert info["reward_parts"] == {"task": 1.0, "noise": -1.0}
    rewards, info = fail(RewardNoise(CounterEnv(max_turns=3), "flip", 1.0))
    assert rewards == [0.0, 0.0, 1.0]
    assert (info["success"], info["clean_reward"]) == (False, 0.0)


def test_the_environments_own_chance_is_untouched():
    plain, noisy = CounterEnv(), RewardNoise(CounterEnv(), "flip", 0.5, seed=7)
    for seed in range(10):
        for env in (plain, noisy):
            env.reset(seed=seed, options=NEAR)
        for action in ("down", "down", "up"):
            assert noisy.step(action)[0] == plain.step(action)[0]
        assert noisy.reset()[0] == plain.reset()[0]


def flips(env, seeds):
    return [info["clean_reward"] != rewards[-1] for rewards, info in (solve(env, seed) for seed in seeds)]


def test_flips_happen_at_the_rate_and_repeat_with_the_seed():
    env = RewardNoise(CounterEnv(), "flip", 0.3, seed=1)
    first = flips(env, range(400))
    assert 0.22 < np.mean(first) < 0.38
    assert flips(RewardNoise(CounterEnv(), "flip", 0.3, seed=1), range(400)) == first
    assert flips(RewardNoise(CounterEnv(), "flip", 0.3, seed=2), range(400)) != first


def test_samples_of_one_seed_that_differ_in_what_was_said_are_flipped_independently():
    env = RewardNoise(CounterEnv(max_turns=50), "flip", 0.5)
    outcomes = {solve(env, seed=0, detour=detour)[0][-1] for detour in range(10)}
    assert outcomes == {0.0, 1.0}


def test_episodes_after_one_seeded_reset_are_flipped_independently():
    env = RewardNoise(CounterEnv(max_turns=1), "flip", 0.5)
    env.reset(seed=0)
    rewards = set()
    for _ in range(12):
        env.reset(options={"task": "train/4"})
        rewards.add(env.step("down")[1])
    assert rewards == {0.0, 1.0}


def test_wrong_labels_stick_to_their_tasks():
    env = RewardNoise(CounterEnv(max_turns=40), "label", 0.5, seed=3)
    keys = [f"{split}/{i}" for split in ("train", "test") for i in range(5)]
    for key in keys:
        verdicts = {solve(env, seed, {"task": key}, detour)[0][-1] for seed in range(3) for detour in range(2)}
        assert len(verdicts) == 1
    assert {solve(env, 0, {"task": key})[0][-1] for key in keys} == {0.0, 1.0}


def test_gaussian_noise_has_the_spread_asked_for():
    env = RewardNoise(CounterEnv(), "gaussian", 0.2)
    noise = [solve(env, seed)[1]["reward_parts"]["noise"] for seed in range(300)]
    assert abs(np.mean(noise)) < 0.04
    assert 0.17 < np.std(noise) < 0.23


def test_a_judge_misses_and_is_fooled_at_its_own_rates():
    env = RewardNoise(CounterEnv(max_turns=3), "judge", miss_rate=0.2, false_rate=0.4)
    solved = [sum(solve(env, seed)[0]) for seed in range(300)]
    failed = [sum(fail(env, seed)[0]) for seed in range(300)]
    assert set(solved) | set(failed) == {0.0, 1.0}
    assert 0.73 < np.mean(solved) < 0.87
    assert 0.32 < np.mean(failed) < 0.48


def test_a_judge_likes_long_answers():
    env = RewardNoise(CounterEnv(max_turns=1), "judge", 0.0, length_bias=0.1)
    env.reset(seed=0, options=NEAR)
    assert env.step("word " * 20)[1] == pytest.approx(0.2)


@pytest.mark.parametrize(
    "arguments",
    [{"mode": "flop"}, {"rate": -0.1}, {"rate": 1.5}, {"rate": "much"}, {"mode": "judge", "miss_rate": 2}],
)
def test_wrong_noise_is_refused(arguments):
    with pytest.raises((ConfigError, UnknownNameError)):
        RewardNoise(CounterEnv(), **arguments)


# -- what the agent reads


def shout(text: str) -> str:
    return text.upper()


def test_observations_are_transformed_on_reset_and_step():
    env = TransformObservationText(CounterEnv(), shout)
    assert env.reset(seed=0, options=NEAR)[0].endswith("GOAL 2")
    assert env.step("down")[0].startswith("NUMBER")


def test_instructions_move_into_the_first_observation():
    env = MoveInstructions(CounterEnv())
    observation, info = env.reset(seed=0, options=NEAR)
    assert observation.startswith('Say "up"')
    assert observation.endswith("\n\nnumber 1, goal 2")
    assert info["instructions"] == ""
    assert env.step("down")[0].startswith("number")
    assert MoveInstructions(ForeignEnv()).reset(seed=0)[0] == "guess"


def test_tools_can_follow_the_instructions():
    env = MoveInstructions(gymnasium.make("palaestra/TextCraft-v0"), with_tools=True)
    observation, info = env.reset(seed=0)
    for tool in info["tools"]:
        assert json.dumps(tool, ensure_ascii=False) in observation


def test_long_observations_lose_their_middle():
    text = "".join(chr(ord("a") + i % 26) for i in range(1000))
    env = TruncateObservation(TransformObservationText(CounterEnv(), lambda _: text), 200)
    observation, _ = env.reset(seed=0)
    assert len(observation) <= 200
    head, note, tail = observation.split("\n")
    assert text.startswith(head)
    assert text.endswith(tail)
    assert note == f"[{1000 - len(head) - len(tail)} characters left out]"
    assert TruncateObservation(CounterEnv(), 100).reset(seed=0, options=NEAR)[0] == "number 1, goal 2"
    with pytest.raises(ConfigError, match="max_chars"):
        TruncateObservation(CounterEnv(), 10)


# -- all of them

WRAPPED = {
    "turn limit": lambda env: TurnLimit(env, 7),
    "record": lambda env: RecordTrajectory(env, keep=False),
    "noise": lambda env: RewardNoise(env, "judge", 0.2, seed=4),
    "transform": lambda env: TransformObservationText(env, shout),
    "instructions": lambda env: MoveInstructions(env, with_tools=True),
    "truncate": lambda env: TruncateObservation(env, 150),
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED.keys())
def test_a_wrapped_env_pickles_in_the_middle_of_an_episode(wrap):
    env = wrap(gymnasium.make(COUNTER_ID))
    env.reset(seed=0)
    env.step("down")
    twin = pickle.loads(pickle.dumps(env))
    for action in ("down", "up", "?"):
        assert twin.step(action) == env.step(action)


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED.keys())
def test_a_wrapped_env_is_made_again_from_its_spec(wrap):
    env = wrap(gymnasium.make(COUNTER_ID))
    again = gymnasium.make(env.spec)
    assert str(again) == str(env)
    env.reset(seed=0)
    again.reset(seed=0)
    for action in ("down", "up"):
        assert again.step(action) == env.step(action)
