"""What has to be equal, for every algorithm there is: forms of one gradient, cuts and orders of one batch, masked tokens."""

from __future__ import annotations

import copy
import dataclasses
import functools
from typing import Any

import pytest
import torch
from torch import Tensor

from experiments.common.base_model import BaseConfig, build_policy
from palaestra.algorithms.learner.learner import BatchLearner
from palaestra.algorithms.learner.optimiser import OptimiserConfig
from palaestra.algorithms.learner.policy import Policy, TokenScores
from palaestra.algorithms.learner.policy_update import PolicyConfig
from palaestra.algorithms.math.advantages import grpo_advantages, rloo_advantages
from palaestra.algorithms.math.batch import Batch, collate
from palaestra.algorithms.math.returns import generalised_advantages
from palaestra.algorithms.run.registry import algorithm_names, get_algorithm, make_learner
from palaestra.types import Trajectory
from tests.algorithms.build import episode, segment

NAMES = algorithm_names()
# rft imitates through sft's update, dpo through the trainer of another library
LEARNERS = [n for n in NAMES if get_algorithm(n).learner is not None and issubclass(get_algorithm(n).config, OptimiserConfig)]
REINFORCING = [name for name in LEARNERS if issubclass(get_algorithm(name).config, PolicyConfig)]


def has_critic(name: str) -> bool:
    return "critic" in get_algorithm(name).config.model_fields


WORDS = ("PAD", *(f"w{i}" for i in range(30)))


class Watched(Policy):
    """A policy that scores observations too, whatever it is asked for, and remembers the gradients."""

    seen: list[tuple[Tensor, Tensor, Tensor]]

    def token_log_probs(
        self, ids: Tensor, attention_mask: Tensor, action_mask: Tensor | None = None, **options: Any
    ) -> TokenScores:
        scores = super().token_log_probs(ids, attention_mask, None, **options)
        if scores.log_prob.requires_grad and action_mask is not None:
            scores.log_prob.retain_grad()
            self.seen.append((scores.log_prob, action_mask, attention_mask))
        return scores


@functools.cache
def built() -> Policy:
    return build_policy(WORDS, 32, BaseConfig(width=16, layers=1, seed=3))


def policy(kind: type[Policy] = Policy) -> Policy:
    made = kind(copy.deepcopy(built().model), built().tokenizer)
    if isinstance(made, Watched):
        made.seen = []
    return made


def two_turns(name: str, reward: float, group: str, lengths: tuple[int, int, int, int], first: int) -> Trajectory:
    """Observation, turn, observation, turn, and one more observation token; the reward comes with the second turn."""
    a, b, c, d = lengths
    mask = [0] * a + [1] * b + [0] * c + [1] * d + [0]
    spans = [(a, a + b, 0), (a + b + c, a + b + c + d, 1)]
    played = episode(name, [segment(mask, spans, first_id=first)], [0.0, reward], group=group)
    steps = tuple(dataclasses.replace(step, state_hash=f"{group}/{turn}") for turn, step in enumerate(played.steps))
    return dataclasses.replace(played, steps=steps)


def episodes() -> list[Trajectory]:
    rewards = [1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.5, 0.0]
    shapes = [(2, 3, 2, 1), (2, 1, 3, 2), (2, 2, 1, 2), (2, 1, 1, 1), (3, 2, 2, 3), (3, 1, 2, 1), (3, 4, 1, 2), (3, 2, 3, 2)]
    return [
        two_turns(f"e{i}", reward, f"g{i // 4}", shape, first=1 + i)
        for i, (reward, shape) in enumerate(zip(rewards, shapes, strict=True))
    ]


def settings(name: str, **options: Any) -> Any:
    kind = get_algorithm(name).config
    # the log-probs of hand-made episodes are made up, so any drift has to do
    common: dict[str, Any] = {"epochs": 1, "lr": 1e-3, "group_size": 4, "correction": {"drift_limit": 1e6}}
    common = {key: value for key, value in common.items() if key in kind.model_fields}
    if "critic" in options:  # keep the class of the critic's table that the algorithm wants
        options["critic"] = type(kind().critic)(**options["critic"])  # type: ignore[attr-defined]
    return kind(**common | options)


def learn(name: str, trained: Policy, batch: Batch, **options: Any) -> dict[str, Tensor]:
    """One update; the gradients of policy and critic, caught before an optimiser uses them."""
    caught: dict[str, Tensor] = {}

    def catch(part: str, optimiser: Any) -> None:
        def step(loss: float) -> dict[str, float]:
            caught[part] = torch.cat([p.grad.flatten().clone() for p in optimiser.parameters if p.grad is not None])
            optimiser.zero()
            return {}

        optimiser.step = step

    learner = make_learner(name, trained, settings(name, **options), reference=trained.frozen_copy)
    assert isinstance(learner, BatchLearner)
    catch("policy", learner.optimiser)
    if has_critic(name):
        catch("critic", learner.critic.optimiser)  # type: ignore[attr-defined]
    learner.learn(batch, 1)
    return caught


def without_drawn_latents(name: str) -> dict[str, Any]:
    """Latents are drawn micro-batch by micro-batch; all else of a critic has to be the same however it is cut."""
    if not has_critic(name):
        return {}
    known = type(get_algorithm(name).config().critic).model_fields  # type: ignore[attr-defined]
    return {"critic": {"epochs": 1, **({"bottleneck": False} if "bottleneck" in known else {})}}


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert found.keys() >= {"policy"}
    for part, gradient in expected.items():
        assert gradient.abs().max() > 1e-5
        torch.testing.assert_close(found[part], gradient, atol=1e-6, rtol=1e-4)


def test_the_registry_is_covered() -> None:
    family = {"grpo", "dr_grpo", "dapo", "gspo", "rloo", "reinforce_pp", "rebn", "turn_rloo", "gigpo", "ppo", "vrpo"}
    assert family <= set(REINFORCING)
    assert {*REINFORCING, "sft"} <= set(LEARNERS)
    assert all(get_algorithm(name).run is not None for name in NAMES if name not in LEARNERS)


@pytest.mark.parametrize(
    ("name", "options"),
    [(name, {}) for name in LEARNERS] + [(name, {"level": "turn"}) for name in LEARNERS if has_critic(name)],
)
def test_a_reward_in_the_second_turn_reaches_all_assistant_tokens_and_no_observation(
    name: str, options: dict[str, Any]
) -> None:
    watched = policy(Watched)
    batch = collate([t for t in episodes() if t.group_id == "g0"])
    learn(name, watched, batch, **options)
    assert watched.seen
    for log_prob, mask, real in watched.seen:
        assert (log_prob[real & ~mask][1:] != 0).any()  # observations were scored, and could have been trained on
        assert log_prob.grad is not None
        assert (log_prob.grad[mask] != 0).all()
        assert (log_prob.grad[~mask] == 0).all()


@pytest.mark.parametrize("name", LEARNERS)
def test_cutting_into_microbatches_changes_nothing(name: str) -> None:
    batch = collate(episodes())
    longest = int(batch.lengths.max())
    options = without_drawn_latents(name)
    whole = learn(name, policy(), batch, max_tokens_per_microbatch=10**6, **options)
    for budget in (1, 4 * longest):  # 8x1, 2x4
        for table in options.values():
            table["max_tokens_per_microbatch"] = budget
        assert_equal(learn(name, policy(), batch, max_tokens_per_microbatch=budget, **options), whole)


@pytest.mark.parametrize("name", LEARNERS)
def test_order_of_the_episodes_changes_nothing(name: str) -> None:
    order = (3, 6, 0, 5, 1, 7, 2, 4)
    played, options = episodes(), without_drawn_latents(name)
    shuffled = learn(name, policy(), collate([played[i] for i in order]), **options)
    assert_equal(shuffled, learn(name, policy(), collate(played), **options))


@pytest.mark.parametrize("name", REINFORCING)
def test_one_epoch_on_policy_has_the_gradient_of_reinforce_whatever_the_loss(name: str) -> None:
    batch = collate(episodes())
    plain = learn(name, policy(), batch, loss="reinforce", ratio="token")
    for loss in ("ppo", "none", "cispo"):
        assert_equal(learn(name, policy(), batch, loss=loss, ratio="token"), plain)


def test_gspo_on_policy_has_the_gradient_of_grpo() -> None:
    batch = collate(episodes())
    assert_equal(learn("gspo", policy(), batch), learn("grpo", policy(), batch))


def test_grpo_without_spread_and_with_a_constant_length_is_dr_grpo() -> None:
    batch = collate(episodes())
    found = learn("grpo", policy(), batch, spread="none", aggregation="constant", constant_length=16)
    assert_equal(found, learn("dr_grpo", policy(), batch, constant_length=16))


def test_rloo_scaled_by_the_group_is_dr_grpo() -> None:
    batch = collate(episodes())
    options = {"aggregation": "constant", "constant_length": 16}
    scaled = {part: gradient * 3 / 4 for part, gradient in learn("rloo", policy(), batch, **options).items()}
    assert_equal(scaled, learn("dr_grpo", policy(), batch, constant_length=16))
    generator = torch.Generator().manual_seed(0)
    returns, group = torch.rand(60, generator=generator), torch.arange(60) // 5
    torch.testing.assert_close(
        rloo_advantages(returns, group) * 4 / 5, grpo_advantages(returns, group, std="none"), atol=1e-6, rtol=0
    )


def test_turn_rloo_with_one_reward_at_the_end_is_rloo() -> None:
    batch = collate(episodes())
    options = {"aggregation": "token_mean"}
    assert_equal(learn("turn_rloo", policy(), batch, **options), learn("rloo", policy(), batch, **options))


def test_gigpo_without_step_groups_is_grpo() -> None:
    batch = collate(episodes())
    options = {"aggregation": "token_mean"}
    assert_equal(learn("gigpo", policy(), batch, step_weight=0.0, **options), learn("grpo", policy(), batch, **options))


def test_dapo_is_grpo_by_tokens_where_nothing_is_clipped_or_dropped() -> None:
    batch = collate(episodes())
    assert_equal(learn("dapo", policy(), batch), learn("grpo", policy(), batch, aggregation="token_mean"))


def test_without_values_and_decay_the_advantage_is_the_reward_to_go() -> None:
    generator = torch.Generator().manual_seed(0)
    reward = torch.randn(20, 9, generator=generator)
    mask = torch.arange(9) < torch.randint(1, 10, (20, 1), generator=generator)
    found = generalised_advantages(reward, torch.zeros(20, 9), mask, gamma=1.0, lam=1.0).advantage
    real = torch.where(mask, reward, 0.0)
    to_go = real.sum(dim=1, keepdim=True) - real.cumsum(dim=1) + real
    torch.testing.assert_close(found, torch.where(mask, to_go, 0.0), atol=1e-5, rtol=0)
