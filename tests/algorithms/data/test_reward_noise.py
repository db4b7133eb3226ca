from __future__ import annotations

import dataclasses
import math
import random
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from palaestra.agents.reference import ExpertAgent
from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.agents.store.store import RunStore
from palaestra.algorithms.data.reward_noise import NoiseConfig, debiased, observed_score, observed_success, with_noise
from palaestra.algorithms.math.batch import collate
from palaestra.algorithms.run.metrics import episode_metrics, read_metrics
from palaestra.algorithms.run.recipe import parse_recipe
from palaestra.algorithms.run.training import train
from palaestra.envs.wrappers import NoiseModel, RewardNoise
from palaestra.errors import ConfigError
from palaestra.types import Outcome, Trajectory
from tests.algorithms import toy_env
from tests.algorithms.build import episode, segment, simple
from tests.algorithms.toy_recipe import toy_recipe


def episodes(count: int, score: float = 1.0, *, tasks: int = 1) -> list[Trajectory]:
    return [simple(f"e{i}", score, group=f"task{i % tasks}") for i in range(count)]


def returns(trajectories: list[Trajectory]) -> np.ndarray:
    return np.array([t.return_ for t in trajectories])


def within(share: float, rate: float, count: int) -> bool:
    return abs(share - rate) < 4 * math.sqrt(rate * (1 - rate) / count)  # four standard errors


# -- rates


@pytest.mark.parametrize("rate", [0.1, 0.3])
@pytest.mark.parametrize("score", [0.0, 1.0])
def test_the_share_of_flipped_episodes_is_the_rate(rate: float, score: float) -> None:
    noisy = returns(with_noise(episodes(3000, score), NoiseConfig(rate=rate), seed=0))
    assert set(noisy) == {0.0, 1.0}
    assert within(float((noisy != score).mean()), rate, 3000)


def test_a_judge_errs_both_ways_at_its_own_rates() -> None:
    config = NoiseConfig(kind="judge", rate=0.5, miss_rate=0.3, false_rate=0.1)
    assert within(1 - returns(with_noise(episodes(3000, 1.0), config, seed=0)).mean(), 0.3, 3000)
    assert within(returns(with_noise(episodes(3000, 0.0), config, seed=0)).mean(), 0.1, 3000)


def test_a_judge_likes_length() -> None:
    config = NoiseConfig(kind="judge", rate=0.0, length_bias=0.5)
    (paid,) = with_noise([simple("e", 1.0, tokens=6)], config, seed=0)
    assert paid.return_ == pytest.approx(1.0 + 0.5 * 6 / 10)


def test_gaussian_noise_has_its_spread_and_no_bias() -> None:
    noisy = returns(with_noise(episodes(3000, 0.5), NoiseConfig(kind="gaussian", rate=0.4), seed=0))
    assert abs(noisy.mean() - 0.5) < 4 * 0.4 / math.sqrt(3000)
    assert noisy.std() == pytest.approx(0.4, rel=0.06)


def test_label_noise_belongs_to_the_task() -> None:
    config = NoiseConfig(kind="label", rate=0.3)
    noisy = with_noise(episodes(3000, tasks=1000), config, seed=0)
    by_task: dict[str, set[float]] = {}
    for trajectory in noisy:
        by_task.setdefault(str(trajectory.task["key"]), set()).add(trajectory.return_)
    assert all(len(found) == 1 for found in by_task.values())
    assert within(float(np.mean([0.0 in found for found in by_task.values()])), 0.3, 1000)


# -- determinism


@pytest.mark.parametrize("kind", ["flip", "label", "judge", "gaussian"])
def test_chance_depends_on_seed_and_episode_not_on_order_or_company(kind: Any) -> None:
    config = NoiseConfig(kind=kind, rate=0.5)
    plain = episodes(40, tasks=40)
    once = {t.episode_id: t.return_ for t in with_noise(plain, config, seed=1)}
    shuffled = random.Random(0).sample(plain, 17)
    assert all(once[t.episode_id] == t.return_ for t in with_noise(shuffled, config, seed=1))
    assert once != {t.episode_id: t.return_ for t in with_noise(plain, config, seed=2)}
    own = config.model_copy(update={"seed": 1})
    assert once == {t.episode_id: t.return_ for t in with_noise(plain, own, seed=2)}


def test_noise_of_a_batch_is_that_of_its_episodes_one_by_one() -> None:
    model = NoiseModel("judge", 0.5, miss_rate=0.2, false_rate=0.4, length_bias=0.1)
    rng, many = np.random.default_rng(0), np.random.default_rng(0)
    one_by_one = [float(model.noise(rng, 0.5, success=i % 2 == 0, length=i)) for i in range(8)]
    at_once = model.noise(many, np.full(8, 0.5), success=np.arange(8) % 2 == 0, length=np.arange(8))
    assert one_by_one == at_once.tolist()
    with pytest.raises(ConfigError, match=r"rate is 1\.5"):
        NoiseModel("flip", 1.5)


# -- debiasing


@pytest.mark.parametrize("score", [0.0, 0.25, 1.0])
def test_debiased_flips_have_the_true_mean(score: float) -> None:
    paid = returns(with_noise(episodes(4000, score), NoiseConfig(rate=0.3, debias=True), seed=0))
    assert abs(paid.mean() - score) < 4 * paid.std() / math.sqrt(4000)
    biased = returns(with_noise(episodes(4000, score), NoiseConfig(rate=0.3), seed=0))
    assert abs(biased.mean() - (0.4 * score + 0.3)) < 4 * biased.std() / math.sqrt(4000)


def test_a_debiased_judge_has_the_success_as_its_mean() -> None:
    config = NoiseConfig(kind="judge", miss_rate=0.2, false_rate=0.1, debias=True)
    paid = returns(with_noise(episodes(4000, 1.0), config, seed=0))
    assert set(np.round(paid, 6)) == {round(-0.1 / 0.7, 6), round(0.9 / 0.7, 6)}
    assert abs(paid.mean() - 1.0) < 4 * paid.std() / math.sqrt(4000)
    assert debiased(1.0, config.model) == pytest.approx(1.2857143)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"kind": "gaussian", "debias": True}, "unbiased as it is"),
        ({"kind": "judge", "length_bias": 0.1, "debias": True}, "length_bias"),
        ({"rate": 0.5, "debias": True}, "add up to 1"),
        ({"rate": 1.5}, "rate is 1.5"),
        ({"rate": math.nan}, "rate"),
        ({"kind": "flip", "miss_rate": 0.1}, "kind 'judge'"),
        ({"kind": "lies"}, "kind"),
        ({"rat": 0.1}, "rate"),
    ],
)
def test_impossible_tables_are_refused(table: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        toy_recipe(noise=table)


# -- what may choose among episodes


def graded(name: str, reward: float, score: float, success: bool) -> Trajectory:
    """An environment whose score is not its return."""
    built = simple(name, reward)
    steps = tuple(dataclasses.replace(step, info={"score": score}) for step in built.steps)
    return dataclasses.replace(built, steps=steps, outcome=Outcome(score=score, success=success))


def test_without_noise_score_and_success_are_the_environments_word() -> None:
    odd = graded("e", 3.0, 0.5, True)
    assert (observed_score(odd), observed_success(odd)) == (0.5, True)
    failed = simple("failed", 0.0, error=True)
    assert (observed_score(failed), observed_success(failed)) == (0.0, False)


def test_noise_turns_the_score_and_the_success_that_training_sees() -> None:
    won, lost = simple("won", 1.0), dataclasses.replace(simple("lost", 0.0), outcome=Outcome(score=0.0, success=False))
    for clean, score in ((won, 0.0), (lost, 1.0)):
        (noisy,) = with_noise([clean], NoiseConfig(rate=1.0), seed=0)
        assert (observed_score(noisy), observed_success(noisy)) == (score, score == 1.0)
        (calm,) = with_noise([clean], NoiseConfig(rate=0.0), seed=0)
        assert (observed_score(calm), observed_success(calm)) == (1.0 - score, score == 0.0)


def test_the_noise_is_added_to_a_score_that_is_not_the_return() -> None:
    (noisy,) = with_noise([graded("e", 0.25, 0.75, False)], NoiseConfig(rate=1.0), seed=0)
    assert observed_score(noisy) == pytest.approx(0.75 + 0.5)  # a return of .25 is paid as .75


def test_debiased_scores_keep_their_side_of_the_threshold() -> None:
    for score in (0.0, 1.0):
        (noisy,) = with_noise([simple("e", score)], NoiseConfig(rate=0.0, kind="judge", miss_rate=0.2, debias=True), seed=3)
        assert observed_success(noisy) == (noisy.return_ >= 1.0)


def test_noise_inside_the_environment_is_seen_once() -> None:
    toy_env.register()
    env = RewardNoise(gymnasium.make(toy_env.ENV_ID), "flip", 1.0)
    engine = RolloutEngine(1)
    (played,) = engine.collect(
        [EpisodePlan("e", toy_env.ENV_ID, task_key="train/0", seed=1)], ExpertAgent(), make_env=lambda plan: env
    )
    assert played.outcome.score == 1.0
    assert (observed_score(played), observed_success(played)) == (0.0, False)


# -- what is kept, what is left alone


def test_the_truth_stays_on_record() -> None:
    two = episode("e", [segment([0, 1, 0, 1], [(1, 2, 0), (3, 4, 1)])], [0.25, 0.5])
    (noisy,) = with_noise([two], NoiseConfig(rate=1.0), seed=0)
    assert [step.reward for step in noisy.steps] == [0.25, pytest.approx(0.0)]  # .75 becomes .25, in the last step
    assert [step.info["clean_reward"] for step in noisy.steps] == [0.25, 0.5]
    assert noisy.steps[-1].info["reward_parts"] == {"task": 0.5, "noise": pytest.approx(-0.5)}
    assert noisy.outcome == two.outcome
    found = episode_metrics([noisy])
    assert (found["return_mean"], found["clean_return_mean"]) == (pytest.approx(0.25), pytest.approx(0.75))
    assert found["score_mean"] == pytest.approx(0.75)
    assert "clean_return_mean" not in episode_metrics([two])


def test_errors_and_returns_that_are_no_numbers_are_left_to_be_counted() -> None:
    failed = simple("failed", 0.0, error=True)
    odd = simple("odd", math.nan)
    odd = dataclasses.replace(odd, outcome=Outcome(score=math.nan, success=False))
    empty = dataclasses.replace(simple("empty", 0.0), steps=(), segments=())
    kept = with_noise([failed, odd, empty], NoiseConfig(rate=1.0), seed=0)
    assert kept[0] is failed
    assert kept[1] is odd
    assert kept[2] is empty
    batch = collate(with_noise([failed, odd, simple("good", 1.0)], NoiseConfig(rate=1.0), seed=0))
    assert (batch.excluded["error"], batch.excluded["non_finite_reward"]) == (1, 1)
    assert batch.return_[2] == 0.0
    noise = NoiseModel("gaussian", 0.1).noise(np.random.default_rng(0), np.array([math.nan, 0.0]))
    assert math.isnan(noise[0])
    assert math.isfinite(noise[1])


def test_a_recipe_round_trips_and_older_ones_say_nothing_of_noise() -> None:
    assert "noise" not in toy_recipe().to_json()
    recipe = toy_recipe(noise={"kind": "label", "rate": 0.2, "debias": True})
    assert parse_recipe(recipe.to_json()).extensions == recipe.extensions


def test_training_sees_lies_evaluation_does_not(tmp_path: Path) -> None:
    recipe = toy_recipe(
        phases=["grpo"],
        noise={"rate": 1.0},
        evaluation={"n": 6, "baselines": ["expert"], "every": 2, "curve_n": 4},
        grpo={"steps": 2, "tasks_per_step": 2, "group_size": 2, "warmup_updates": 1},
    )
    with RunStore(tmp_path) as store:
        result = train(recipe, store=store, run_id="noisy")
        assert result.arms["expert"].summary.success.mean == 1.0  # a flip of every score would make it 0
        for arm in ("expert", "trained"):
            played = list(store.trajectories(f"noisy-{arm}"))
            assert not any("clean_reward" in step.info for t in played for step in t.steps)
    rows = [row for row in read_metrics(result.folder / "metrics.jsonl") if row["phase"] == "grpo"]
    assert len(rows) == 2
    for row in rows:
        assert row["return_mean"] == pytest.approx(1.0 - row["clean_return_mean"])
        assert row["clean_return_mean"] == pytest.approx(row["score_mean"])
