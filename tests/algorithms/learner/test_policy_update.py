"""What reward and loss owe to the reference and to the sampler, by hand-worked numbers."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from palaestra.algorithms.grpo import GRPOConfig
from palaestra.algorithms.learner.policy_update import PolicyGradientLearner
from palaestra.algorithms.math.batch import Batch, collate
from palaestra.algorithms.math.estimators import estimate
from palaestra.algorithms.math.losses import kl_estimate
from palaestra.algorithms.run.registry import make_learner
from palaestra.errors import ConfigError
from palaestra.types import Trajectory
from tests.algorithms.build import simple
from tests.algorithms.toy_recipe import toy_policy, toy_recipe
from tests.algorithms.updates import moved, play, with_return


def learner(name: str = "grpo", **settings: Any) -> PolicyGradientLearner:
    policy = toy_policy()
    made = make_learner(name, policy, settings, reference=policy.frozen_copy)
    assert isinstance(made, PolicyGradientLearner)
    return made


def scored(batch: Batch, old: float, reference: float) -> Batch:
    """The same log-prob for every token, by the policy and by the reference."""
    shape = batch.ids.shape
    return batch.with_tensors(old_log_prob=torch.full(shape, old), ref_log_prob=torch.full(shape, reference))


def test_a_token_likelier_than_under_the_reference_costs_reward_and_a_rarer_one_earns_some() -> None:
    made = learner(kl={"coefficient": 0.5, "place": "reward"})
    batch = collate([simple("a", 1.0), simple("b", 0.0)])  # two prompt tokens, three sampled ones
    costly = made.penalised_reward(scored(batch, old=-1.0, reference=-3.0))  # k1 = 2 nats a token
    assert costly.tolist() == [[0.0, 0.0, -1.0, -1.0, 0.0], [0.0, 0.0, -1.0, -1.0, -1.0]]
    earned = made.penalised_reward(scored(batch, old=-3.0, reference=-1.0))
    assert earned.tolist() == [[0.0, 0.0, 1.0, 1.0, 2.0], [0.0, 0.0, 1.0, 1.0, 1.0]]


def test_a_penalty_in_the_loss_leaves_the_reward_alone() -> None:
    made = learner(kl={"coefficient": 0.5, "place": "loss"})
    batch = scored(collate([simple("a", 1.0)]), old=-1.0, reference=-3.0)
    assert torch.equal(made.penalised_reward(batch), batch.token_reward)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("grpo", {"advantage": {"estimator": "reinforce_pp"}}),
        ("ppo", {"critic": {"warmup_updates": 0}}),
        ("reinforce_pp", {}),
        # plays of one score are told apart by what they owe, whatever is compared
        ("rloo", {"aggregation": "token_mean"}),
        ("turn_rloo", {"aggregation": "token_mean"}),
        ("dr_grpo", {"aggregation": "token_mean"}),
    ],
)
def test_with_nothing_else_to_earn_the_penalty_leads_back_to_the_reference(name: str, settings: dict[str, Any]) -> None:
    reference = toy_policy()
    policy = moved(toy_policy(), 1.3)
    batch = collate([with_return(t, 0.0) for t in sampled_by(policy)])
    kl = {"coefficient": 1.0, "place": "reward"}
    options = {"lr": 3e-3, "warmup_updates": 0, "epochs": 4, "kl": kl, **settings}
    made: Any = make_learner(name, policy, options, reference=lambda: reference)

    def distance() -> float:
        with torch.no_grad():
            pair = [
                p.token_log_probs(batch.ids, batch.attention_mask, batch.action_mask).log_prob for p in (policy, reference)
            ]
        return float(kl_estimate(*pair, "k1")[batch.action_mask].mean())

    before = distance()
    assert made.learn(batch, 1)["no_signal"] == 0.0
    assert distance() < before - 0.02


def owing(scores: list[float], group: list[str]) -> tuple[Batch, torch.Tensor]:
    """Episodes of one turn, and what is left of their rewards when each pays for a divergence of its own."""
    played = [simple(f"e{i}", score, group=name) for i, (score, name) in enumerate(zip(scores, group, strict=True))]
    states = [dataclasses.replace(t, steps=tuple(dataclasses.replace(s, state_hash="same") for s in t.steps)) for t in played]
    batch = collate(states)
    debt = torch.linspace(0.01, 0.04, batch.num_rows).unsqueeze(1) * batch.action_mask
    return batch, batch.token_reward - debt


DIVIDED: list[dict[str, Any]] = [
    {"estimator": "grpo"},
    {"estimator": "grpo", "spread": "batch"},
    {"estimator": "gigpo", "step_spread": True},
]


@pytest.mark.parametrize("advantage", DIVIDED, ids=str)
def test_plays_of_one_score_are_equal_whatever_they_owe_where_a_spread_is_divided_by(advantage: dict[str, Any]) -> None:
    batch, reward = owing([1.0, 1.0, 1.0, 0.0, 1.0], ["a", "a", "a", "b", "b"])
    found = estimate(batch, reward, GRPOConfig(advantage=advantage).advantage)  # type: ignore[arg-type]
    assert not found[:3].any()
    assert (found[3][batch.action_mask[3]] < -0.5).all()
    assert (found[4][batch.action_mask[4]] > 0.5).all()


@pytest.mark.parametrize(
    "advantage", [{"estimator": "grpo", "spread": "none"}, {"estimator": "rloo"}, {"estimator": "turn_rloo"}]
)
def test_without_a_spread_a_play_is_as_much_worse_as_it_owes_more(advantage: dict[str, Any]) -> None:
    batch, reward = owing([1.0, 1.0, 1.0, 1.0], ["a", "a", "b", "b"])
    found = estimate(batch, reward, GRPOConfig(advantage=advantage).advantage)[:, -1]  # type: ignore[arg-type]
    one = 0.01 * 3 / (2 if advantage["estimator"] == "grpo" else 1)  # nats of a token times three tokens
    assert found.tolist() == pytest.approx([one, -one, one, -one], abs=1e-6)


def test_groups_of_one_score_make_no_step_of_grpo_however_far_the_policy_is_from_the_reference() -> None:
    reference = toy_policy()
    policy = moved(toy_policy(), 1.3)
    batch = collate([with_return(t, 0.0) for t in sampled_by(policy)])
    kl = {"coefficient": 1.0, "place": "reward"}
    made: Any = make_learner("grpo", policy, {"lr": 1e-2, "warmup_updates": 0, "kl": kl}, reference=lambda: reference)
    before = torch.cat([p.detach().flatten().clone() for p in policy.parameters()])
    assert made.learn(batch, 1)["no_signal"] == 1.0
    assert torch.equal(torch.cat([p.detach().flatten() for p in policy.parameters()]), before)


def sampled_by(policy: Any) -> list[Trajectory]:
    return play(policy, num_tasks=4, group_size=4)


@pytest.mark.parametrize("name", ["grpo", "ppo"])
def test_an_entropy_bonus_makes_the_policy_less_sure(name: str) -> None:
    def entropy_after(coefficient: float) -> float:
        policy = moved(toy_policy(), 1.3)
        batch = collate(sampled_by(policy))
        made: Any = make_learner(
            name, policy, {"lr": 3e-3, "warmup_updates": 0, "epochs": 4, "entropy_coefficient": coefficient}
        )
        made.learn(batch, 1)
        with torch.no_grad():
            found = policy.token_log_probs(batch.ids, batch.attention_mask, batch.action_mask, entropy=True).entropy
        assert found is not None
        return float(found[batch.action_mask].mean())

    assert entropy_after(5.0) > entropy_after(0.0) + 0.01


@pytest.mark.parametrize("name", ["grpo", "ppo"])
def test_tokens_too_old_to_count_move_nothing(name: str) -> None:
    policy = toy_policy()
    batch = collate(sampled_by(policy))  # sampled at version 0
    policy.version = 3
    made: Any = make_learner(
        name, policy, {"lr": 1e-2, "warmup_updates": 0, "correction": {"level": "token", "max_staleness": 2}}
    )
    before = torch.cat([p.detach().flatten().clone() for p in policy.parameters()])
    metrics = made.learn(batch, 1)
    assert metrics["stale_tokens"] == 1.0
    assert torch.equal(torch.cat([p.detach().flatten() for p in policy.parameters()]), before)


@pytest.mark.parametrize("name", ["grpo", "ppo"])
@pytest.mark.parametrize("bounds", [{"reject_ratio": [0.9, 1.1]}, {"reject_divergence": 0.01}], ids=str)
@pytest.mark.parametrize("level", ["off", "token"])
def test_rows_that_another_policy_sampled_are_rejected_from_a_recipe(name: str, bounds: dict[str, Any], level: str) -> None:
    policy = toy_policy()
    played = sampled_by(policy)
    odd = dataclasses.replace(
        played[0],
        segments=tuple(dataclasses.replace(s, log_prob=tuple(x - 0.5 for x in s.log_prob)) for s in played[0].segments),
    )
    recipe = toy_recipe(**{"phases": [name], name: {"correction": {"level": level, "drift_limit": 9.0, **bounds}}})
    table = recipe.phase(name).settings
    made: Any = make_learner(name, policy, table)
    batch = collate([odd, *played[1:]])
    weight = made.score(batch)[0].extra["correction"]
    assert not weight[0].any()
    assert bool((weight[1:][batch.action_mask[1:]] > 0.5).all())
    metrics = made.learn(batch, 1)
    assert metrics["rejected_rows"] == pytest.approx(1 / int((batch.action_mask.any(dim=1)).sum()))


@pytest.mark.parametrize("bounds", [[1.1, 2.0], [0.5, 0.9], [0.0, 2.0], [2.0, 0.5]])
def test_bounds_that_would_reject_the_policys_own_tokens_are_refused(bounds: list[float]) -> None:
    with pytest.raises(ConfigError, match=r"grpo.correction: correction.reject_ratio is .*expected \[LOW, HIGH\]"):
        toy_recipe(phases=["grpo"], grpo={"correction": {"reject_ratio": bounds}})


def test_the_divergence_in_the_loss_may_be_k2() -> None:
    def moved(estimator: str) -> tuple[dict[str, float], torch.Tensor]:
        policy = toy_policy()
        other = policy.frozen_copy()
        with torch.no_grad():
            for parameter in other.model.parameters():
                parameter.mul_(0.9)
        table = {"lr": 1e-2, "warmup_updates": 0, "kl": {"coefficient": 5.0, "estimator": estimator}}
        made: Any = make_learner("grpo", policy, table, reference=lambda: other)
        metrics = made.learn(collate(sampled_by(policy)), 1)
        return metrics, torch.cat([p.detach().flatten() for p in policy.parameters()])

    (k2, one), (k3, two) = moved("k2"), moved("k3")
    assert k2["loss"] != k3["loss"]
    assert not torch.equal(one, two)


def test_the_rows_of_a_step_are_divided_anew_in_every_epoch_and_again_alike_when_asked_again() -> None:
    batch = collate([simple(f"e{i}", float(i % 2), group=f"g{i // 4}") for i in range(16)])
    made = learner(minibatches=2, epochs=3)
    found = {(step, epoch): made.minibatches(batch, step, epoch) for step in (1, 2) for epoch in (0, 1, 2)}
    again = learner(minibatches=2, epochs=3)
    assert all(again.minibatches(batch, *place) == parts for place, parts in found.items())
    assert len({str([sorted(part) for part in parts]) for parts in found.values()}) > 4
    for parts in found.values():
        assert sorted(row for part in parts for row in part) == list(range(16))


def test_a_learner_that_accepts_less_staleness_leaves_out_what_is_older() -> None:
    made = learner(correction={"level": "token", "max_staleness": 8})
    batch = collate([simple("a", 1.0), simple("b", 0.0)])  # sampled at version 0
    ready = scored(batch, old=-1.0, reference=-1.0)
    made.policy.version = 2
    everything = torch.ones(batch.num_rows, dtype=torch.bool)
    assert made.weigh(ready, everything)[0].any()
    made.accept_staleness(1)
    weight, metrics = made.weigh(ready, everything)
    assert not weight.any()
    assert metrics["stale_tokens"] == 1.0


def test_a_learner_that_is_slowed_down_keeps_closer_to_the_reference_at_half_the_rate() -> None:
    made = learner(kl={"coefficient": 0.3}, lr=0.1, warmup_updates=0)
    before = made.optimiser.lr
    made.slow_down()
    assert made.kl_coefficient == pytest.approx(0.6)
    assert made.optimiser.lr == pytest.approx(before / 2)
