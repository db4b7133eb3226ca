"""Reward noise in training: the table `[noise]` of a recipe.

The noise is put on the episodes that are trained on, after they were played: agent and world never see it, and evaluation is
always clean. Chance comes from the seed and the id of the episode (for "label": the key of its task), from no stream that
anything else draws from, so neither the order of the episodes nor a resumed run changes it. What was true stays on record:
`outcome` and `info["clean_reward"]`, hence the metrics `score_mean`, `success` and `clean_return_mean`.

With `debias` the known error rates are undone in expectation: the baseline that every study of noise should include.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from pydantic import Field, model_validator

from palaestra.agents.rollout.plans import MAX_SEED
from palaestra.algorithms.config import Config
from palaestra.algorithms.math.seeds import stable_seed
from palaestra.envs.wrappers.noise_model import NoiseMode, NoiseModel
from palaestra.errors import ConfigError
from palaestra.types import Trajectory

SOLVED_SCORE = 1.0
"""Score of a solved episode, where an environment keeps to the contract."""


class NoiseConfig(Config):
    """Table `[noise]` of a recipe: noise on the rewards of training episodes."""

    kind: NoiseMode = "flip"
    """flip (return s becomes 1 - s), label (the same for fixed tasks), judge (a noisy verdict), gaussian (plus N(0, rate))."""
    rate: float = Field(default=0.1, ge=0, allow_inf_nan=False)
    """Share of episodes (tasks) that are flipped; error rate of the judge; standard deviation of gaussian noise."""
    miss_rate: float | None = Field(default=None, ge=0, le=1)
    """judge: share of solved episodes called wrong; `rate` by default."""
    false_rate: float | None = Field(default=None, ge=0, le=1)
    """judge: share of unsolved episodes called right; `rate` by default."""
    length_bias: float = Field(default=0.0, allow_inf_nan=False)
    """judge: added for every 10 sampled tokens."""
    debias: bool = False
    """Undo the error rates in expectation: (s - false) / (1 - false - missed)."""
    seed: int | None = Field(default=None, ge=0, le=MAX_SEED)
    """Seed of the noise; the recipe's by default."""

    @model_validator(mode="after")
    def _noise_makes_sense(self) -> NoiseConfig:
        model = self.model
        judged = self.miss_rate is not None or self.false_rate is not None or self.length_bias != 0
        if judged and self.kind != "judge":
            raise ConfigError(f"kind is {self.kind!r}; miss_rate, false_rate and length_bias are settings of kind 'judge'.")
        if self.debias:
            _check_debias(model)
        return self

    @property
    def model(self) -> NoiseModel:
        """The noise, apart from chance."""
        return NoiseModel(self.kind, self.rate, self.miss_rate, self.false_rate, self.length_bias)


def with_noise(trajectories: Sequence[Trajectory], config: NoiseConfig, *, seed: int) -> list[Trajectory]:
    """Return episodes with noise on their rewards; a correction to the reward of the last step turns the return s into s'.

    Episodes without steps, without a score (errors), or whose return is not finite come back as they are: they are left out of
    training and counted there.

    Args:
        trajectories: Finished episodes with different ids.
        config: The noise.
        seed: The recipe's seed; `config.seed` comes first.
    """
    seed = seed if config.seed is None else config.seed
    return [_noisy(trajectory, config, seed) for trajectory in trajectories]


def observed_score(trajectory: Trajectory) -> float:
    """Return the score of an episode as training may see it: that of its outcome, and the noise that was put on its rewards.

    Without noise that is the score itself. 0 where there is no score.

    Args:
        trajectory: A finished episode, from `with_noise` or from an environment inside `RewardNoise`, or a clean one.
    """
    if not any("clean_reward" in step.info for step in trajectory.steps):
        return float(trajectory.outcome.score or 0.0)
    if "score" not in trajectory.steps[-1].info:  # the environment's score is its return, so what was paid is what is seen
        return trajectory.return_
    return float(trajectory.outcome.score or 0.0) + sum(
        step.reward - float(step.info.get("clean_reward", step.reward)) for step in trajectory.steps
    )


def observed_success(trajectory: Trajectory) -> bool:
    """Whether training may take an episode for a success.

    Without noise the environment's word is taken. With it that word would be a truth that rewards do not tell: an episode is
    then a success if its noisy score is that of a solved episode, 1 (`SOLVED_SCORE`), or more.
    """
    if any("clean_reward" in step.info for step in trajectory.steps):
        return observed_score(trajectory) >= SOLVED_SCORE - 1e-6
    return bool(trajectory.outcome.success)


def debiased(return_: float, model: NoiseModel) -> float:
    """Undo the known error rates of a noisy return: its mean becomes the true one, at the price of more spread.

    For flips (1 - s in place of s) that is the return; for a judge it is the success, 0 or 1.

    Args:
        return_: What was paid; a float or an array.
        model: The noise.

    Raises:
        ConfigError: If there is no known bias, or nothing is left to recover.
    """
    from palaestra.algorithms.math.advantages import debias_scores

    _check_debias(model)
    rates = {"false_positive": model.false_positive, "false_negative": model.false_negative}
    found: float = debias_scores(return_, **rates)
    return found


def _noisy(trajectory: Trajectory, config: NoiseConfig, seed: int) -> Trajectory:
    """Return one episode with its noise."""
    outcome, steps = trajectory.outcome, trajectory.steps
    clean = trajectory.return_
    if outcome.error is not None or outcome.score is None or not steps or not math.isfinite(clean):
        return trajectory
    about = trajectory.episode_id
    if config.kind == "label":
        about = str(trajectory.task.get("key") or steps[0].observation)
    rng = np.random.default_rng(stable_seed(seed, f"reward noise/{config.kind}/{about}"))
    model = config.model
    length = sum(sum(segment.action) for segment in trajectory.segments)
    success = clean >= 0.5 if outcome.success is None else outcome.success
    paid = clean + float(model.noise(rng, clean, success=success, length=length))
    paid = debiased(paid, model) if config.debias else paid
    noisy = []
    for step in steps:
        true = step.info.get("clean_reward", step.reward)  # what another extension paid is not the environment's word either
        noisy.append(dataclasses.replace(step, info={**step.info, "clean_reward": true}))
    if paid != clean:
        last = noisy[-1]
        parts = {**(last.info.get("reward_parts") or {"task": last.reward}), "noise": paid - clean}
        noisy[-1] = dataclasses.replace(last, reward=last.reward + paid - clean, info={**last.info, "reward_parts": parts})
    return dataclasses.replace(trajectory, steps=tuple(noisy))


def _check_debias(model: NoiseModel) -> None:
    """Refuse to undo what cannot be undone."""
    if model.mode == "gaussian":
        raise ConfigError("debias undoes known error rates, and gaussian noise is unbiased as it is; leave debias away.")
    if model.length_bias:
        raise ConfigError(f"debias undoes known error rates, not a length_bias ({model.length_bias:g}); leave one away.")
    total = model.false_positive + model.false_negative
    if total >= 1:
        raise ConfigError(f"The error rates add up to {total:g}; debias needs less than 1, or nothing is left to recover.")


__all__ = ["SOLVED_SCORE", "NoiseConfig", "debiased", "observed_score", "observed_success", "with_noise"]
