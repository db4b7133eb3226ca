import numpy as np
import pytest

from palaestra.envs.wrappers import RewardNoise
from palaestra.errors import ConfigError, UnknownNameError
from tests.envs.miniature import CounterEnv
from tests.envs.wrappers.players import NEAR, fail, solve


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
