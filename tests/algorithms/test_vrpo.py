from __future__ import annotations

import copy
import math
from types import SimpleNamespace

import pytest
import torch

from palaestra.algorithms.learner.critic import Critic, CriticConfig, make_value_model
from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.math.batch import collate
from palaestra.algorithms.math.losses import entropy
from palaestra.algorithms.ppo import PPOConfig, PPOLearner
from palaestra.algorithms.run.training import train
from palaestra.algorithms.vrpo import (
    VRPOConfig,
    VRPOCritic,
    VRPOCriticConfig,
    candidate_tokens,
    make_critic,
    pooled_over_turns,
    select_uncertain,
)
from palaestra.errors import ConfigError
from tests.algorithms.toy_recipe import toy_policy, toy_recipe
from tests.algorithms.updates import play, weights


def vrpo(policy: Policy, **options: object) -> PPOLearner:
    config = VRPOConfig(critic=VRPOCriticConfig(**options))  # type: ignore[arg-type]
    critic = make_critic(policy, config, language_model=policy.frozen_copy(), temperature=1.0, seed=0)
    return PPOLearner(policy, config, critic=critic)


def ready(learner: PPOLearner, played: list):
    batch, _ = learner.score(collate(played))
    batch = learner.judged(batch)
    return learner.critic.prepared(learner.critic.with_uncertainty(batch))


def test_with_everything_switched_off_it_is_ppo_bit_for_bit() -> None:
    results = []
    for made in ("ppo", "vrpo"):
        policy = toy_policy()
        if made == "ppo":
            table = CriticConfig()
            learner = PPOLearner(policy, PPOConfig(), critic=Critic(make_value_model(policy, table, seed=0), table))
        else:
            learner = vrpo(policy, bottleneck=False, entropy_weight=0.0, perplexity_weight=0.0)
        for step in (1, 2):
            learner.update(play(policy), step)
        results.append((weights(policy), learner.critic.state()["weights"]))
    assert torch.equal(results[0][0], results[1][0])
    assert all(torch.equal(results[0][1][name], results[1][1][name]) for name in results[0][1])


def test_the_terms_add_up_as_written() -> None:
    """Two decisions with values .2 and .6 for returns 0 and 1, divergences .875 and 0, one token selected by each loss."""
    policy = toy_policy()
    learner = vrpo(policy, beta=0.01, beta_warmup=0, entropy_weight=0.01, perplexity_weight=0.001)
    critic = learner.critic
    decisions = torch.tensor([[0.0, 1.0, 1.0]])
    one = {"by_entropy": torch.tensor([[0.0, 1.0, 0.0]]), "by_surprise": torch.tensor([[0.0, 0.0, 1.0]])}
    extra = {"decision": decisions, "return_": torch.tensor([[0.0, 0.0, 1.0]]), **one}
    rows = SimpleNamespace(ids=torch.tensor([[0, 0, 1]]), extra=extra)
    found = SimpleNamespace(value=torch.tensor([[9.0, 0.2, 0.6]]), divergence=torch.tensor([[9.0, 0.875, 0.0]]), mean=None)
    critic.valuation = lambda rows, sample=False: (found, torch.zeros(1, 3, 2))  # type: ignore[method-assign]
    logits = torch.tensor([[math.log(3.0), 0.0]])
    critic._log_q = lambda states: torch.log_softmax(logits.expand(len(states), 2), dim=-1)  # type: ignore[method-assign]
    loss, values = critic.loss(rows, rows)
    assert values["aux_entropy"] == pytest.approx(0.5623351, abs=1e-6)
    assert values["aux_surprise"] == pytest.approx(1.3862944, abs=1e-6)
    assert float(loss) == pytest.approx(0.06138464, abs=1e-7)


@pytest.mark.parametrize("options", [{}, {"auxiliary": "distil"}, {"selector": "value_head"}], ids=str)
def test_a_head_that_never_says_some_words_leaves_the_critic_finite(options: dict[str, str]) -> None:
    policy = toy_policy()
    learner = vrpo(policy, entropy_weight=0.1, perplexity_weight=0.0, **options)
    plain = learner.critic._log_q

    def masked(states: torch.Tensor) -> torch.Tensor:
        said = plain(states)
        never = torch.zeros(said.shape[-1], dtype=torch.bool)
        never[-5:] = True
        return said.masked_fill(never, -math.inf).log_softmax(dim=-1)

    learner.critic._log_q = masked  # type: ignore[method-assign]
    metrics = learner.critic.fit(ready(learner, play(policy)), 1)
    assert metrics["critic_skipped"] == 0.0
    assert math.isfinite(metrics["aux_entropy"])


def test_entropy_and_perplexity_of_two_tokens() -> None:
    skewed, even = torch.tensor([math.log(3.0), 0.0]), torch.zeros(2)
    assert float(entropy(skewed)) == pytest.approx(0.5623351, abs=1e-6)
    assert float(-torch.log_softmax(skewed, 0)[1].exp().log()) == pytest.approx(math.log(4), abs=1e-6)
    assert float(entropy(even)) == pytest.approx(math.log(2), abs=1e-6)


def test_the_frozen_head_gets_no_gradient_and_the_states_do() -> None:
    policy = toy_policy()
    learner = vrpo(policy)
    batch = ready(learner, play(policy))
    loss, _ = learner.critic._auxiliary(learner.critic.model.states(batch.ids, batch.attention_mask), batch, batch)
    loss.backward()
    assert all(p.grad is None for p in learner.critic.language_model.model.parameters())
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in learner.critic.model.backbone.parameters())
    assert all(p.grad is None for p in policy.parameters())


def test_selection_takes_the_upper_quantile_and_never_padding() -> None:
    values = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 99.0])
    real = torch.tensor([True] * 5 + [False])
    assert select_uncertain(values, real, quantile=0.8).tolist() == [False] * 4 + [True, False]
    assert select_uncertain(torch.ones(6), real, quantile=0.8).tolist() == real.tolist()
    assert not select_uncertain(values, torch.zeros(6, dtype=torch.bool), quantile=0.8).any()


@pytest.mark.parametrize("scope", ["all", "action", "observation"])
def test_candidates_are_real_tokens_of_the_scope(scope) -> None:
    policy = toy_policy()
    batch = collate(play(policy))
    found = candidate_tokens(batch, scope)
    assert not found[~batch.attention_mask].any()
    assert not found[:, 0].any()
    if scope == "action":
        assert torch.equal(found, batch.action_mask)
    if scope == "observation":
        assert not (found & batch.action_mask).any()


@pytest.mark.parametrize(
    "options",
    [
        {"selector": "value_head"},
        {"threshold": "absolute", "absolute": 2.0},
        {"scope": "action"},
        {"subset": "union"},
        {"subset": "intersection"},
        {"auxiliary": "distil"},
        {"bottleneck_over": "turn"},
        {"bottleneck": False},
        {"share_backbone": True},
    ],
)
def test_every_alternative_trains(options: dict) -> None:
    policy = toy_policy()
    learner = vrpo(policy, epochs=2, **options)
    metrics = learner.update(play(policy), 1)
    assert metrics["no_signal"] == 0.0
    assert all(math.isfinite(metrics[name]) for name in ("value_loss", "critic_loss"))


def test_distilling_from_the_frozen_model_itself_costs_nothing_at_first() -> None:
    policy = toy_policy()
    learner = vrpo(policy, auxiliary="distil")
    batch = ready(learner, play(policy))
    states = learner.critic.model.states(batch.ids, batch.attention_mask)
    loss, _ = learner.critic._auxiliary(states, batch, batch)
    assert float(loss.detach()) == pytest.approx(0.0, abs=1e-6)


def test_pooling_is_the_mean_of_what_was_read_before_the_turn() -> None:
    policy = toy_policy()
    batch = collate(play(policy))
    states = torch.randn(*batch.ids.shape, 3)
    pooled = pooled_over_turns(states, batch)
    row = 0
    spans = {}
    for column in range(batch.ids.shape[1]):
        turn = int(batch.turn_index[row, column])
        if batch.action_mask[row, column]:
            spans.setdefault(turn, []).append(column)
    begin = 0
    for columns in spans.values():
        expected = states[row, begin : columns[0]].mean(dim=0)
        for column in columns:
            torch.testing.assert_close(pooled[row, column], expected, atol=1e-4, rtol=1e-4)
        begin = columns[-1] + 1
    assert not pooled[~batch.action_mask].any()


def test_a_latent_that_says_nothing_is_noticed_after_20_updates() -> None:
    policy = toy_policy()
    learner = vrpo(
        policy, beta=10.0, beta_warmup=0, lr=1e-3, warmup_updates=0, epochs=4, entropy_weight=0.0, perplexity_weight=0.0
    )
    batch, _ = learner.score(collate(play(policy)))
    batch = learner.judged(batch)
    batch = batch.with_tensors(return_=torch.randn(batch.ids.shape, generator=torch.Generator().manual_seed(0)))
    seen = [
        learner.critic.fit(batch.with_tensors(value=learner.critic.values(batch)), step)["latent_collapsed"]
        for step in range(60)
    ]
    assert seen[0] == 0.0
    assert seen[-1] == 1.0


def test_a_state_brings_the_critic_back() -> None:
    policy = toy_policy()
    learner = vrpo(policy)
    played = play(policy)
    learner.update(played, 1)
    twin_policy = policy.frozen_copy()
    twin_policy.model.requires_grad_(True)
    twin = vrpo(twin_policy)
    twin.critic.language_model = learner.critic.language_model
    twin.load(copy.deepcopy(learner.state()))
    second = play(policy)
    assert twin.update(second, 2) == learner.update(second, 2)


def test_auxiliary_losses_need_a_language_model() -> None:
    policy = toy_policy()
    with pytest.raises(ConfigError, match="need a frozen language model"):
        make_critic(policy, VRPOConfig(), language_model=None, temperature=1.0, seed=0)


def test_vrpo_raises_the_score_of_a_cloned_policy(tmp_path) -> None:
    recipe = toy_recipe(
        model={"hidden_size": 48, "vocab_size": 400, "corpus_episodes": 64},
        phases=["sft", "vrpo"],
        sft={"episodes": 256, "epochs": 4, "batch_size": 16, "lr": 3e-3, "warmup_updates": 5, "max_updates": 36},
        vrpo={"steps": 16, "tasks_per_step": 48, "lr": 1e-3, "warmup_updates": 5, "entropy_coefficient": 0.01},
        evaluation={"n": 150, "baselines": []},
        checkpoint={"every": 100},
    )
    result = train(recipe, store=tmp_path)
    score = {arm: found.summary.score for arm, found in result.arms.items()}
    assert score["trained"].low > score["cloned"].high


@pytest.mark.parametrize("auxiliary", ["minimise", "distil"])
def test_auxiliary_losses_are_means_over_the_minibatch_however_it_is_cut(auxiliary: str) -> None:
    found = []
    for budget in (1, 10**6):
        policy = toy_policy()
        made = vrpo(
            policy, auxiliary=auxiliary, entropy_weight=0.5, perplexity_weight=0.5, max_tokens_per_microbatch=budget, epochs=1
        )
        batch, _ = made.score(collate(play(policy)))
        metrics = made.critic.fit(made.judged(batch), 1)
        found.append([metrics[name] for name in ("aux_entropy", "aux_surprise")])
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_the_frozen_head_is_read_at_the_temperature_of_sampling() -> None:
    policy = toy_policy()
    config = VRPOConfig()
    states = torch.randn(4, policy.model.config.hidden_size)
    found = {}
    for temperature in (0.5, 1.0, 2.0):
        critic = make_critic(policy, config, language_model=policy.frozen_copy(), temperature=temperature, seed=0)
        found[temperature] = critic._log_q(states)
    for temperature, log_q in found.items():
        expected = torch.log_softmax(found[1.0] / temperature, dim=-1)
        torch.testing.assert_close(log_q, expected, atol=1e-5, rtol=1e-4)


def test_beta_begins_at_nothing_and_the_count_of_dead_updates_survives() -> None:
    policy = toy_policy()
    learner = vrpo(policy, beta=0.2, beta_warmup=4)
    critic = learner.critic
    assert isinstance(critic, VRPOCritic)
    betas = []
    for updates in range(6):
        critic.updates = updates
        betas.append(critic.beta)
    assert betas == pytest.approx([0.0, 0.05, 0.1, 0.15, 0.2, 0.2])
    critic.low_updates = 7
    twin = vrpo(toy_policy(), beta=0.2, beta_warmup=4)
    twin.load(learner.state())
    assert isinstance(twin.critic, VRPOCritic)
    assert (twin.critic.low_updates, twin.critic.updates) == (7, 5)
