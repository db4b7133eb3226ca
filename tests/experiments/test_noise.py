from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from experiments.common.rows import read_rows
from experiments.feedback_keys.world import random_play
from experiments.noise import run as noise_run
from experiments.noise import world as noise_world
from experiments.noise.report import (
    auc,
    best_epoch,
    compare,
    complete_seeds,
    control_verdicts,
    differences,
    fit_verdicts,
    pooled,
    report,
)
from experiments.noise.run import ARMS, ControlSize, FitSize, Job, fit_run, plan, run_all

TINY = ControlSize(
    steps=2,
    episodes=16,
    pretrain_episodes=40,
    pretrain_epochs=2,
    evaluate_every=1,
    evaluation_episodes=16,
    base_updates=5,
)


@pytest.fixture(autouse=True, scope="module")
def _base_models_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        noise_world._base.cache_clear()
        yield
        noise_world._base.cache_clear()


# -- the world


def test_the_last_block_at_decisions_alone_says_the_same() -> None:
    world = noise_world.world_of(0)
    batch = random_play(world, 16, noise_world.generator(0, "test")).batch()
    whole = noise_world.fresh_policy(0, 5)
    part = noise_world.trimmed(noise_world.fresh_policy(0, 5), world)
    outcomes = []
    for policy in (whole, part):
        found = policy.token_log_probs(batch.ids, batch.attention_mask, batch.action_mask, entropy=True)
        (found.log_prob.sum() + found.entropy.sum()).backward()
        grads = torch.cat([p.grad.flatten() for p in policy.parameters()])
        outcomes.append((found.log_prob, found.entropy, grads))
    for one, other in zip(*outcomes, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert outcomes[0][2].abs().sum() > 0


def test_flips_are_nested_over_levels_and_have_their_rate() -> None:
    world = noise_world.world_of(0)
    clean = random_play(world, 4000, noise_world.generator(0, "test"))
    lies = {}
    for rate in (0.1, 0.3):
        noisy = noise_world.flipped(clean, rate, seed=0, name="test")
        lies[rate] = noisy.return_ != clean.return_
        undecided = clean.return_ == 0.5  # flipped onto itself
        share = float(lies[rate][~undecided].float().mean())
        assert abs(share - rate) < 4 * math.sqrt(rate * (1 - rate) / 2400)
        back = noise_world.flipped(clean, rate, seed=0, name="test", debias=True)
        assert float(back.return_.mean()) == pytest.approx(float(clean.return_.mean()), abs=0.03)
    assert bool((lies[0.3] | ~lies[0.1]).all())


def test_the_exact_value_leaves_nothing_to_explain_on_average() -> None:
    world = noise_world.world_of(0)
    policy = noise_world.trimmed(noise_world.fresh_policy(0, 5), world)
    clean = noise_world.play_training(world, policy, 4000, seed=0, name="test")
    noisy = noise_world.flipped(clean, 0.2, seed=0, name="test")
    batch = noisy.batch()
    value = noise_world.ExactCritic(world, policy, 0.2).values(batch)[batch.action_mask].view(4000, world.num_turns)
    gap = noisy.return_.unsqueeze(1) - value
    assert bool((gap.mean(dim=0).abs() < 4 * gap.std(dim=0) / math.sqrt(4000)).all())
    assert bool((gap.square().mean(dim=0) < (noisy.return_ - noisy.return_.mean()).square().mean() + 1e-3).all())


def test_debiasing_changes_no_advantage_of_ppo() -> None:
    world = noise_world.world_of(0)
    found = []
    for name in ("ppo", "ppo_debiased"):
        policy = noise_world.fresh_policy(0, 5)
        learner = noise_run._learner(ARMS[name], policy, world, 0.3, 0, TINY)
        debias = ARMS[name].debias
        clean = noise_world.play_training(world, policy, 40, seed=0, name="pretrain")
        learner.pretrain(noise_world.flipped(clean, 0.3, seed=0, name="pretrain", debias=debias).batch())
        clean = noise_world.play_training(world, policy, 16, seed=0, name="step/1")
        batch = noise_world.flipped(clean, 0.3, seed=0, name="step/1", debias=debias).batch()
        found.append(learner.judged(batch).extra["advantage"])
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-4)


# -- part A, short


def test_noise_lowers_what_critics_know_and_without_it_both_beat_the_mean() -> None:
    size = FitSize(episodes=384, epochs=8, test_episodes=64, base_updates=80)
    found = {(critic, rate): max(fit_run(critic, rate, 0, size)["r2"]) for critic in ("plain", "vrpo") for rate in (0.0, 0.45)}
    assert found["plain", 0.0] > 0.2
    assert found["vrpo", 0.0] > 0.2
    assert found["plain", 0.45] < found["plain", 0.0] - 0.1
    assert found["vrpo", 0.45] < found["vrpo", 0.0] - 0.1


# -- the runner


def test_a_stopped_experiment_goes_on_where_it_was(tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    jobs = plan("control", [0], [0.0, 0.3], ["grpo", "ppo_exact"], [])
    first = list(itertools.islice(run_all(jobs, out, size=TINY), 2))
    out.write_text(out.read_text() + '{"part": "control", "arm": "gr')  # killed while writing
    rest = list(run_all(jobs, out, size=TINY))
    assert [Job.of(row) for row in first + rest] == jobs
    assert list(run_all(jobs, out, size=TINY)) == []
    assert read_rows(out) == first + rest
    again = Job("control", "grpo", 0.3, 0).run(TINY)
    kept = next(row for row in rest if row["arm"] == "grpo")
    assert {**again, "cpu_s": 0} == {**kept, "cpu_s": 0}


def test_no_run_begins_after_the_time_is_up(tmp_path: Path) -> None:
    assert list(run_all([Job("control", "grpo", 0.0, 0)], tmp_path / "rows.jsonl", seconds=-1.0, size=TINY)) == []


def test_every_arm_gives_a_row_and_all_begin_alike() -> None:
    rows = [json.loads(json.dumps(Job("control", arm, 0.2, 0).run(TINY))) for arm in ARMS]
    for row in rows:
        assert len(row["curve"]) == 3
        assert 0 <= row["auc"] <= 1
        assert ("pretrain_kept" in row) == (row["arm"] not in ("grpo", "ppo_exact"))
    assert len({(row["curve"][0], row["base"]) for row in rows}) == 1
    assert len({tuple(row["curve"]) for row in rows}) > 1


def test_the_plan_is_seed_by_seed_and_leaves_out_what_is_the_same() -> None:
    jobs = plan("control", [3, 4], [0.0, 0.2], list(ARMS), [])
    assert [job.seed for job in jobs] == [3] * 17 + [4] * 17
    assert Job("control", "ppo_debiased", 0.0, 3) not in jobs
    assert len(plan("fit", [0], [0.1], ["plain"], [2048, 512])) == 2
    assert noise_run.numbers("0-2,7") == [0, 1, 2, 7]
    assert noise_run.area([0.0, 1.0, 1.0]) == 0.75


# -- the report


def rows_of(gains: dict[float, list[float]], base: float = 0.5) -> list[dict[str, Any]]:
    """Rows of ppo at `base`, and of vrpo better by these gains, by level and seed."""
    rows = []
    for rate, by_seed in gains.items():
        for seed, gain in enumerate(by_seed):
            common = {"part": "control", "rate": rate, "seed": seed, "curve": [0.3], "cpu_s": 1.0}
            rows.append({**common, "arm": "ppo", "auc": base + 0.01 * seed, "last": 0.9})
            rows.append({**common, "arm": "vrpo", "auc": base + 0.01 * seed + gain, "last": 0.9})
    return rows


def test_differences_are_paired_by_seed_and_pooled_within_seeds() -> None:
    rows = rows_of({0.2: [0.1, 0.2, 0.3], 0.3: [0.0, 0.1], 0.4: [0.2, 0.0, 0.1]})
    assert differences(rows, "vrpo", "ppo", 0.2, auc) == pytest.approx({0: 0.1, 1: 0.2, 2: 0.3})
    together = pooled(rows, "vrpo", "ppo", (0.2, 0.3, 0.4), auc)
    assert together.estimate.n == 2  # seed 2 lacks a level
    assert together.estimate.mean == pytest.approx((0.1 + 0.0 + 0.2 + 0.2 + 0.1 + 0.0) / 6)
    five = compare([0.1, 0.2, 0.3, 0.4, 0.5])
    assert five.p_value == pytest.approx(1 / 32)
    assert five.estimate.low < 0.3 < five.estimate.high
    assert complete_seeds(rows, tuple(ARMS)) == []


def spread(mean: float, count: int = 24) -> list[float]:
    """Gains around a mean, half of them 0.02 above and half as much below."""
    return [mean + 0.02 * (-1) ** i + 0.0001 * i for i in range(count)]


@pytest.mark.parametrize(
    ("gains", "no_worse", "better"),
    [
        ({0.0: 0.0, 0.2: 0.05, 0.3: 0.05, 0.4: 0.05}, "**met**", "**met**"),
        ({0.0: -0.05, 0.2: 0.05, 0.3: 0.05, 0.4: 0.05}, "**not met**", "**met**"),
        ({0.0: 0.0, 0.2: -0.01, 0.3: -0.01, 0.4: -0.01}, "**met**", "**not met**"),
    ],
)
def test_verdicts_follow_the_intervals(gains: dict[float, float], no_worse: str, better: str) -> None:
    rows = rows_of({rate: spread(gain) for rate, gain in gains.items()})
    first, second = control_verdicts(rows, sorted(gains))
    assert no_worse in first
    assert better in second


def test_no_verdict_below_the_number_of_seeds_asked_for() -> None:
    rows = rows_of({rate: spread(0.5, 5) for rate in (0.0, 0.2, 0.3, 0.4)})
    assert all("no verdict: 5 of 24 seeds" in line for line in control_verdicts(rows, [0.0, 0.2, 0.3, 0.4]))


def fits(seeds: int, gain: float) -> list[dict[str, Any]]:
    """Rows of critics whose R^2 peaks in the second of three epochs; vrpo keeps `gain` more to the end."""
    rows = []
    for rate, seed in itertools.product((0.0, 0.4), range(seeds)):
        for arm, kept in (("plain", 0.0), ("vib", gain), ("vrpo", gain + 0.001 * seed)):
            common = {"part": "fit", "rate": rate, "seed": seed, "n": 64, "cpu_s": 1.0}
            rows.append({**common, "arm": arm, "r2": [0.1, 0.5, 0.2 + kept]})
    return rows


def test_critics_are_judged_at_their_best_and_at_the_end() -> None:
    rows = fits(10, 0.1)
    assert best_epoch(rows, "plain", 0.0) == (2, pytest.approx(0.5))
    clean, noisy = fit_verdicts(rows, "vrpo")
    assert "best-epoch R2 +0.000" in clean
    assert clean.endswith("**met**")
    assert "p = 0.0010" in noisy  # 2^-10
    assert noisy.endswith("**met**")
    assert fit_verdicts(fits(10, -0.1), "vrpo")[1].endswith("**not met**")
    assert "no verdict: 4 of 10" in fit_verdicts(fits(4, 0.1), "vrpo")[0]
    lonely = {**rows[0], "arm": "plain", "seed": 99, "r2": [9.0, 9.0, 9.0]}  # a seed that only one of them has
    assert fit_verdicts([*rows, lonely], "vrpo") == fit_verdicts(rows, "vrpo")


def test_the_page_says_what_is_missing_and_shows_what_is_there() -> None:
    page = report(fits(3, 0.1), rows_of({0.0: [0.1], 0.2: [0.2]}), [])
    assert "for PPO and VRPO with 1 seeds, for all arms with 0" in page
    assert "## What it shows" not in page  # said of the whole experiment only
    assert "experiments.noise.run control --seeds 0-23" in page
    assert "+0.200 (one seed)" in page
    assert "0.300 ± 0.000 (3)" in page
    assert "Not run yet." in page
    assert "Not run yet." in report([], [], [])
