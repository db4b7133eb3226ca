from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from palaestra.algorithms.grpo import GRPOConfig, GRPOLearner, shaped
from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.learner.policy_update import CorrectionConfig, KLConfig
from palaestra.algorithms.math.advantages import grpo_advantages, rloo_advantages
from palaestra.algorithms.math.batch import collate
from palaestra.algorithms.math.estimators import GRPOAdvantage
from palaestra.algorithms.math.losses import clipped_policy_loss, kl_estimate, policy_loss, token_weights
from palaestra.algorithms.run.registry import make_learner
from palaestra.errors import ConfigError, TrainingStopped
from palaestra.types import Trajectory
from tests.algorithms.build import simple
from tests.algorithms.toy_recipe import toy_policy
from tests.algorithms.updates import FORMS, Written, caught_gradient, counted_passes, failed, play, weights, with_return


def gradient(policy: Policy, played: list[Trajectory], **options: object) -> torch.Tensor:
    """The gradient of one epoch of GRPO."""
    learner = GRPOLearner(policy, GRPOConfig(epochs=1, **options))  # type: ignore[arg-type]
    return caught_gradient(learner, lambda: learner.update(played, 1))


def test_sampler_and_learner_agree_on_log_probs() -> None:
    policy = toy_policy()
    metrics = GRPOLearner(policy, GRPOConfig()).update(play(policy), 1)
    assert metrics["drift_max"] < 1e-4


@pytest.mark.parametrize("aggregation", ["token_mean", "sequence_mean", "sequence_sum", "constant", "turn_mean"])
def test_cutting_into_microbatches_changes_nothing(aggregation: str) -> None:
    policy = toy_policy()
    played = play(policy)
    options = {"aggregation": aggregation, "constant_length": 16, "entropy_coefficient": 0.01}
    longest = max(len(s.ids) for t in played for s in t.segments)
    whole = gradient(policy, played, max_tokens_per_microbatch=10**6, **options)
    assert whole.abs().max() > 1e-4
    for budget in (1, 2 * longest, 4 * longest):  # 8x1, 4x2, 2x4
        cut = gradient(policy, played, max_tokens_per_microbatch=budget, **options)
        torch.testing.assert_close(cut, whole, atol=1e-6, rtol=1e-5)


def test_order_of_the_episodes_changes_nothing() -> None:
    policy = toy_policy()
    played = play(policy)
    torch.testing.assert_close(gradient(policy, played[::-1]), gradient(policy, played), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("options", FORMS, ids=str)
def test_the_gradient_is_that_of_the_formula_written_out(options: dict[str, Any]) -> None:
    case = Written(options)
    made: Any = make_learner("grpo", case.policy, case.settings, reference=lambda: case.reference)
    made.prepare = lambda batch: case.prepared(made, batch)
    found = caught_gradient(made, lambda: made.learn(case.batch, 1))
    torch.testing.assert_close(found, case.gradient(), atol=1e-6, rtol=1e-4)


def test_rows_without_advantage_add_nothing_and_are_still_counted() -> None:
    policy = toy_policy()
    played = play(policy)
    played = [*played[:4], *(with_return(t, 1.0) for t in played[4:])]  # the second group has no signal
    whole = gradient(policy, played)
    alone = gradient(policy, played[:4])
    torch.testing.assert_close(whole, alone / 2, atol=1e-6, rtol=1e-4)  # the mean is over all eight episodes
    metrics = GRPOLearner(policy, GRPOConfig(epochs=1)).update(played, 1)
    assert metrics["ratio_mean"] == pytest.approx(1.0)  # and what is measured, over the four that the update reaches


def test_failed_episodes_change_neither_baseline_nor_loss() -> None:
    policy = toy_policy()
    played = play(policy)
    with_failures = [*played, failed(dataclasses.replace(played[0], episode_id="x")), failed(played[5])]
    torch.testing.assert_close(gradient(policy, with_failures), gradient(policy, played), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("estimate", [grpo_advantages, rloo_advantages])
def test_a_reward_in_the_second_turn_reaches_all_assistant_tokens_and_no_other(
    estimate: Callable[..., torch.Tensor],
) -> None:
    policy = toy_policy()
    batch = collate(play(policy))
    advantage = batch.spread(estimate(batch.return_, batch.group_index))
    log_prob = policy.token_log_probs(batch.ids, batch.attention_mask).log_prob.detach().requires_grad_()
    weight = token_weights(batch.action_mask, batch.episode_index, "sequence_mean")
    (weight * clipped_policy_loss(log_prob, log_prob.detach(), advantage)).sum().backward()
    assert log_prob.grad is not None
    assert (log_prob.grad[batch.action_mask] != 0).all()
    assert (log_prob.grad[~batch.action_mask] == 0).all()


@pytest.mark.parametrize("case", ["equal", "failed", "alone"])
def test_a_batch_without_signal_moves_nothing_even_with_momentum(case: str) -> None:
    policy = toy_policy()
    played = play(policy)
    learner = GRPOLearner(policy, GRPOConfig(lr=1e-2, warmup_updates=0))
    learner.update(played, 1)  # fills Adam's momentum
    before, updates = weights(policy), learner.optimiser.updates
    if case == "equal":
        played = [with_return(t, 0.1) for t in played]
    elif case == "failed":
        played = [failed(t) for t in played]
    else:
        played = [dataclasses.replace(t, group_id="") for t in played]
    metrics = learner.update(played, 2)
    assert metrics["no_signal"] == 1.0
    assert torch.equal(weights(policy), before)
    assert learner.optimiser.updates == updates


def test_failed_groups_are_counted() -> None:
    policy = toy_policy()
    played = play(policy)
    metrics = GRPOLearner(policy, GRPOConfig()).update([*played[:4], *(failed(t) for t in played[4:])], 1)
    assert metrics["groups_dropped"] == 1
    assert metrics["excluded_errors"] == 4
    assert metrics["no_signal"] == 0.0


def test_rewards_in_several_turns_need_a_word() -> None:
    policy = toy_policy()
    played = play(policy)
    steps = tuple(dataclasses.replace(step, reward=0.5) for step in played[0].steps)
    played[0] = dataclasses.replace(played[0], steps=steps)
    with pytest.raises(ConfigError, match=r"has rewards in turns \[0, 1, 2, 3\].*sum_turn_rewards = true"):
        GRPOLearner(policy, GRPOConfig()).update(played, 1)
    summed = GRPOConfig(advantage=GRPOAdvantage(sum_turn_rewards=True))
    assert GRPOLearner(policy, summed).update(played, 1)["no_signal"] == 0.0


def test_log_probs_of_another_policy_are_refused() -> None:
    policy = toy_policy()
    played = play(policy)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.mul_(1.5)
    with pytest.raises(TrainingStopped, match="sampler's log-probs differ"):
        GRPOLearner(policy, GRPOConfig()).update(played, 1)


def test_weights_that_are_not_finite_stop_training_without_touching_more(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = toy_policy()
    played = play(policy)
    learner = GRPOLearner(policy, GRPOConfig(epochs=4))
    before = weights(policy)
    monkeypatch.setattr("palaestra.algorithms.grpo.policy_loss", lambda *a, **k: policy_loss(*a, **k) * math.nan)
    with pytest.raises(TrainingStopped, match="3 updates in a row"):
        learner.update(played, 1)
    assert torch.equal(weights(policy), before)


@pytest.mark.parametrize(
    "options", [{}, {"ratio": "sequence"}, {"kl": {"coefficient": 0.1}}, {"max_tokens_per_microbatch": 64}], ids=str
)
def test_the_first_pass_finds_the_log_probs_that_scoring_before_it_finds(options: dict[str, Any]) -> None:
    played = play(toy_policy())
    found = []
    for scores_first in (False, True):
        policy = toy_policy()
        config = GRPOConfig(lr=1e-2, warmup_updates=0, epochs=3, **options)  # type: ignore[arg-type]
        learner = GRPOLearner(policy, config, reference=policy.frozen_copy)
        passes = counted_passes(policy)
        if scores_first:
            learner.prepare = lambda batch, made=learner: made.score(batch, made.reached(batch))  # type: ignore[method-assign, misc]
        metrics = learner.update(played, 1)
        found.append((metrics, weights(policy), len(passes)))
    (metrics, trained, passed), (expected, wanted, more) = found
    assert metrics == expected
    assert torch.equal(trained, wanted)
    assert passed * 4 == more * 3


def test_a_drifting_sampler_leaves_weights_and_gradients_alone() -> None:
    policy = toy_policy()
    learner = GRPOLearner(policy, GRPOConfig(correction=CorrectionConfig(drift_limit=1e-12)))
    before = weights(policy)
    with pytest.raises(TrainingStopped, match="sampler's log-probs differ"):
        learner.update(play(policy), 1)
    assert torch.equal(weights(policy), before)
    assert all(parameter.grad is None for parameter in policy.parameters())


def test_the_kl_term_pulls_back_to_the_reference() -> None:
    policy = toy_policy()
    reference = policy.frozen_copy()
    played = play(policy)
    learner = GRPOLearner(policy, GRPOConfig(lr=1e-2, warmup_updates=0, epochs=8))
    free = learner.update(played, 1)
    assert "kl_reference" not in free
    batch = collate(played)

    def distance(policy: Policy) -> float:
        with torch.no_grad():
            now = policy.token_log_probs(batch.ids, batch.attention_mask, batch.action_mask).log_prob
            ref = reference.token_log_probs(batch.ids, batch.attention_mask, batch.action_mask).log_prob
        return float(kl_estimate(now, ref, "k3")[batch.action_mask].mean())

    held = toy_policy()
    metrics = GRPOLearner(
        held, GRPOConfig(lr=1e-2, warmup_updates=0, epochs=8, kl=KLConfig(coefficient=5.0)), reference=lambda: reference
    ).update(played, 1)
    assert metrics["kl_reference"] > 0
    assert distance(held) < 0.5 * distance(policy)
    assert all(not p.requires_grad and p.grad is None for p in reference.model.parameters())


def test_a_kl_term_without_reference_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"kl\.coefficient is 0\.1; it needs a reference"):
        GRPOLearner(toy_policy(), GRPOConfig(kl=KLConfig(coefficient=0.1)))


def test_minibatches_keep_the_segments_of_an_episode_together_and_train_all() -> None:
    policy = toy_policy()
    learner = GRPOLearner(policy, GRPOConfig(epochs=2, minibatches=2, warmup_updates=0))
    learner.update(play(policy), 1)
    assert learner.optimiser.updates == 4


def test_groups_that_differ_in_nothing_but_length_are_dropped_with_their_penalty() -> None:
    lengths = {"same": [(1.0, 8), (1.0, 3)], "mixed": [(1.0, 8), (0.0, 3)]}
    played = [simple(f"{g}{i}", r, group=g, tokens=n) for g, made in lengths.items() for i, (r, n) in enumerate(made)]
    config = GRPOConfig.model_validate({"sampling": {"drop_equal_groups": True}, "overlong": {"limit": 8, "buffer": 4}})
    batch = shaped(collate(played), config)
    assert batch.action_mask.any(dim=1).tolist() == [False, False, True, True]
    assert batch.return_.tolist() == [0.0, 1.0, 0.0, 0.0]  # the penalty itself is taken from all


SPREADS = {"wide": (1.0, 0.0), "narrow": (0.6, 0.4), "equal": (1.0, 1.0), "zero": (0.0, 0.0)}


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [
        ({}, {"wide", "narrow", "equal", "zero"}),
        ({"uncertain_share": 0.25}, {"wide"}),
        ({"uncertain_share": 0.5}, {"wide", "narrow"}),
        ({"drop_equal_groups": True}, {"wide", "narrow"}),
        ({"drop_equal_groups": True, "uncertain_share": 0.75}, {"wide", "narrow"}),  # the third of the widest is equal
        ({"drop_equal_groups": True, "uncertain_share": 0.25}, {"wide"}),
    ],
    ids=lambda value: str(sorted(value)) if isinstance(value, set) else str(value),
)
def test_a_step_learns_from_the_groups_that_its_sampling_keeps(sampling: dict[str, Any], kept: set[str]) -> None:
    played = [simple(f"{g}{i}", r, group=g) for g, made in SPREADS.items() for i, r in enumerate(made)]
    batch = shaped(collate(played), GRPOConfig.model_validate({"sampling": sampling}))
    assert batch.action_mask.any(dim=1).tolist() == [g in kept for g in SPREADS for _ in range(2)]


@pytest.mark.parametrize("name", ["grpo", "ppo"])
def test_an_update_is_a_new_version_of_the_policy_and_one_without_signal_is_not(name: str) -> None:
    policy = toy_policy()
    made: Any = make_learner(name, policy, {"epochs": 2})
    before = policy.version
    made.update(play(policy), 1)
    assert policy.version == before + 1  # samplers drop what they have cached, and staleness is counted from here
    made.update([failed(t) for t in play(policy)], 2)
    assert policy.version == before + 1
