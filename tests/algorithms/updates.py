"""Episodes of the toy to learn from, and the gradient of an update as its formula is written, row by row."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.algorithms.learner.learner import BatchLearner
from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.learner.policy_update import PolicyGradientLearner
from palaestra.algorithms.math.advantages import grpo_advantages
from palaestra.algorithms.math.batch import Batch, collate
from palaestra.algorithms.run.feed import TaskFeed
from palaestra.algorithms.run.player import policy_agent
from palaestra.types import EpisodeError, Outcome, Trajectory
from tests.algorithms import toy_env
from tests.algorithms.toy_recipe import toy_policy, toy_recipe

FORMS: list[dict[str, Any]] = [
    {},
    {"aggregation": "token_mean"},
    {"clip": {"low": 0.05, "high": 0.4}},
    {"clip": {"low": 0.4, "high": 0.05}},
    {"clip": {"dual": 1.05}},
    {"loss": "cispo", "clip": {"cispo": 1.1}},
    {"loss": "none"},
    {"loss": "reinforce"},
    {"ratio": "sequence"},
    {"entropy_coefficient": 0.3},
    {"kl": {"coefficient": 0.2}},
    {"kl": {"coefficient": 0.2, "estimator": "k2"}, "aggregation": "token_mean"},
    {"correction": {"level": "token", "cap": 1.1}},
    {"correction": {"level": "sequence", "cap": 3.0}},
    {"kl": {"coefficient": 0.2}, "entropy_coefficient": 0.3, "correction": {"level": "token"}, "aggregation": "token_mean"},
]
"""Settings of an update: every form of the loss, every term of it."""


class Written:
    """A batch that one policy has sampled, an update that began with another, and is under way with a third.

    Args:
        options: Settings, one of `FORMS`.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = {"aggregation": "sequence_mean", **options}
        self.settings = {"epochs": 1, "correction": {"drift_limit": 1e6}, **self.options}
        self.batch = collate(play(toy_policy()))
        self.policy = moved(toy_policy(), 1.1)
        self.reference = moved(toy_policy(), 0.95)
        self.advantage = self.batch.spread(grpo_advantages(self.batch.return_, self.batch.group_index))
        with torch.no_grad():
            self.old = self._scores(moved(toy_policy(), 0.9)).log_prob.detach()  # the policy at the start of the update
            self.said = self._scores(self.reference).log_prob.detach()
        gap = (self._scores(self.policy).log_prob.detach() - self.old)[self.batch.action_mask]
        assert gap.min() < -0.1  # there is something to clip on either side
        assert gap.max() > 0.1

    def prepared(self, made: PolicyGradientLearner, batch: Batch) -> tuple[Batch, dict[str, float]]:
        """What `PolicyGradientLearner.score` gives, where the update began with another policy."""
        ready = made.score(batch)[0].with_tensors(old_log_prob=self.old)
        weight, metrics = made.weigh(ready, torch.ones(batch.num_rows, dtype=torch.bool))
        return ready.with_tensors(correction=weight), metrics

    def gradient(self) -> Tensor:
        """The gradient, by sums over rows."""
        options, batch = self.options, self.batch
        scores = self._scores(self.policy, entropy=True)
        clip = {"low": 0.2, "high": 0.2, "dual": None, "cispo": 5.0, **options.get("clip", {})}
        correction = options.get("correction", {})
        level, cap = correction.get("level", "off"), correction.get("cap", 2.0)
        loss, tokens = torch.zeros(()), int(batch.action_mask.sum())
        for row in range(batch.num_rows):
            mask = batch.action_mask[row]
            now, entropy, old = scores.log_prob[row][mask], scores.entropy[row][mask], self.old[row][mask]  # type: ignore[index]
            gap = old - batch.rollout_log_prob[row][mask]
            weight = {"off": torch.ones(()), "token": gap.exp(), "sequence": gap.sum().exp()}[level].clamp(max=cap)
            each = weight * self._each(now, old, self.advantage[row][mask], options, clip)
            if "kl" in options:
                d = self.said[row][mask] - now
                k = d.exp() - d - 1 if options["kl"].get("estimator", "k3") == "k3" else d.square() / 2
                each = each + options["kl"]["coefficient"] * k
            by_row = options["aggregation"] == "sequence_mean"
            loss = loss + (each.mean() / batch.num_rows if by_row else each.sum() / tokens)
            loss = loss - options.get("entropy_coefficient", 0.0) * entropy.sum() / tokens
        loss.backward()
        found = torch.cat([p.grad.flatten() for p in self.policy.parameters()])
        self.policy.model.zero_grad()
        return found

    def _each(self, now: Tensor, old: Tensor, advantage: Tensor, options: dict[str, Any], clip: dict[str, Any]) -> Tensor:
        """The loss of the tokens of a row."""
        gap = now - old
        ratio = (gap.mean().expand_as(gap) if options.get("ratio") == "sequence" else gap).exp()
        kind = options.get("loss", "ppo")
        if kind == "reinforce":
            return -advantage * now
        if kind == "none":
            return -ratio * advantage
        if kind == "cispo":
            return -ratio.detach().clamp(max=clip["cispo"]) * advantage * now
        loss = -torch.minimum(ratio * advantage, ratio.clamp(1 - clip["low"], 1 + clip["high"]) * advantage)
        return loss if clip["dual"] is None else torch.where(advantage < 0, loss.clamp(max=-clip["dual"] * advantage), loss)

    def _scores(self, policy: Policy, **options: Any) -> Any:
        return policy.token_log_probs(self.batch.ids, self.batch.attention_mask, self.batch.action_mask, **options)


def play(policy: Policy, *, num_tasks: int = 2, group_size: int = 4, states: bool = False) -> list[Trajectory]:
    """Real rollouts, with returns set by hand: an untrained policy earns none."""
    recipe = toy_recipe()
    feed = TaskFeed(toy_env.ENV_ID, {}, split="train", seed=0)
    plans = feed.plans("grpo", 1, num_tasks=num_tasks, group_size=group_size)
    engine = RolloutEngine(16)
    engine.record_state_hash = states
    played = engine.collect(plans, policy_agent(policy, recipe))
    return [with_return(t, float(i % 2) + (0.25 if i == 3 else 0.0)) for i, t in enumerate(played)]


def with_return(trajectory: Trajectory, value: float) -> Trajectory:
    steps = (*trajectory.steps[:-1], dataclasses.replace(trajectory.steps[-1], reward=value))
    return dataclasses.replace(trajectory, steps=steps, outcome=Outcome(score=value, success=value >= 1.0))


def failed(trajectory: Trajectory) -> Trajectory:
    return dataclasses.replace(trajectory, outcome=Outcome(error=EpisodeError("environment", "EnvironmentFault", "died")))


def caught_gradient(learner: BatchLearner, update: Callable[[], object]) -> torch.Tensor:
    """The gradient of the only optimiser step of an update, caught before it is used."""
    caught: list[torch.Tensor] = []
    optimiser = learner.optimiser
    assert optimiser is not None

    def catch(loss: float) -> dict[str, float]:
        caught.append(torch.cat([p.grad.flatten().clone() for p in optimiser.parameters]))
        optimiser.zero()
        return {}

    optimiser.step = catch  # type: ignore[method-assign]
    update()
    (only,) = caught
    return only


def moved(policy: Policy, scale: float) -> Policy:
    """A policy that says something else about the same tokens."""
    other = policy.frozen_copy()
    with torch.no_grad():
        for parameter in other.model.parameters():
            parameter.mul_(scale)
    other.model.requires_grad_(True)
    return other


def weights(policy: Policy) -> torch.Tensor:
    return torch.cat([p.detach().flatten().clone() for p in policy.parameters()])


def counted_passes(policy: Policy) -> list[None]:
    passes: list[None] = []
    score = policy.token_log_probs

    def counting(*args: object, **options: object) -> object:
        passes.append(None)
        return score(*args, **options)  # type: ignore[arg-type]

    policy.token_log_probs = counting  # type: ignore[method-assign, assignment]
    return passes
