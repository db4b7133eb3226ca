"""Advantage estimators by name: functions from a batch and the reward of its tokens to the advantage of each action token.

| name | advantage | origin |
|---|---|---|
| `grpo` | return over the mean of its group, in units of its spread | arXiv:2402.03300 |
| `rloo` | return over the mean of the others of its group | arXiv:2402.14740 |
| `reinforce_pp` | discounted token returns, whitened over the batch | arXiv:2501.03262 |
| `rebn` | discounted turn returns, whitened over the batch | arXiv:2510.01051 |
| `turn_rloo` | discounted turn returns over the same turn of the others of the group | |
| `gigpo` | as `grpo`, and turn returns over those that began in the same state | arXiv:2505.10978 |

An estimator is a config class with its settings and a function `(batch, reward, config) -> advantage` below it:

    class MeanAdvantage(AdvantageConfig):
        estimator: Literal["mean"] = "mean"

    @estimator(MeanAdvantage)
    def mean_of_batch(batch, reward, config):
        return_ = episode_returns(batch, reward)                      # [E]
        return batch.spread(return_ - return_[~return_.isnan()].mean())    # [B, T]

From then on `[grpo.advantage] estimator = "mean"` finds it. A package names the function in its metadata, to be imported
when a recipe asks for it:

    [project.entry-points."palaestra.estimators"]
    mean = "my_package.mean:mean_of_batch"

 Episodes are numbered E, groups share a number in
`batch.group_index`; `reward` is [B, T], with what a KL term takes from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

import torch
from pydantic import Field, ModelWrapValidatorHandler, model_validator
from torch import Tensor

from palaestra.algorithms.config import Config, nearest
from palaestra.algorithms.math.advantages import GroupStatistics, Spread, grpo_advantages, mixed_groups, rloo_advantages
from palaestra.algorithms.math.batch import Batch
from palaestra.algorithms.math.returns import discounted_returns, step_group_advantages, turn_baseline_advantages, whiten
from palaestra.algorithms.math.sequences import Sequences, token_sequences, turn_sequences
from palaestra.errors import ConfigError
from palaestra.lazy import entry_points_of, import_named

Compared = Literal["episodes", "turns", "batch"]
Function = TypeVar("Function", bound=Callable[[Batch, Tensor, Any], Tensor])


class AdvantageConfig(Config):
    """Group `advantage` of a table: an estimator by name, with its own settings."""

    compares: ClassVar[Compared] = "episodes"
    """What is told from what: the returns of a group's episodes, the turns of a group's episodes, or all of the batch."""
    needs_states: ClassVar[bool] = False
    """Whether steps have to carry a digest of the world before them."""

    estimator: str
    """Name of the estimator."""

    @property
    def least_group_size(self) -> int:
        """Episodes of a task that there have to be."""
        return 1 if self.compares == "batch" else 2

    def gradient_scale(self, group_size: int) -> float | None:
        """Return how many times the exact policy gradient the mean of the estimated one is, where tokens are summed.

        None, the default, claims nothing: the estimate is biased. Claims are compared with the exact gradient of a small
        process by enumeration (`tests/algorithms/test_enumeration.py`).

        Args:
            group_size: Episodes of a task, all of them scored.
        """
        del group_size
        return None

    def has_signal(self, groups: GroupStatistics) -> bool:
        """Return whether anything in a batch with these groups can be told from anything else."""
        if self.compares == "batch":
            return True
        if self.compares == "turns":  # turns may differ where the returns of their episodes do not
            return groups.num_groups > groups.num_single
        return groups.has_signal

    def completed(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings that are given in part; those of another estimator get nothing from this one."""
        if given.get("estimator", self.estimator) != self.estimator:
            return dict(given)
        return super().completed(given)

    @classmethod
    def class_for(cls, data: object) -> type[Config]:
        """Return the config class of the estimator that data name."""
        found = _find(data.get("estimator")) if isinstance(data, Mapping) else None
        return cls if found is None else found.config

    @model_validator(mode="wrap")
    @classmethod
    def _of_its_estimator(cls, data: Any, handler: ModelWrapValidatorHandler[AdvantageConfig]) -> AdvantageConfig:
        """Check data against the class of the estimator that they name."""
        if not isinstance(data, Mapping):
            return handler(data)
        name = data.get("estimator", cls.model_fields["estimator"].default)
        found = _find(name)
        if found is None:
            raise ConfigError(f"Unknown estimator {name!r}.{nearest(str(name), estimator_names())}")
        kind = found.config
        return handler(data) if kind is cls else kind.model_validate(data)


@dataclass(frozen=True)
class Estimator:
    """An estimator.

    Attributes:
        config: Its settings.
        advantages: From a batch, the reward of each token [B, T] and the settings to advantages [B, T], 0 outside of actions.
    """

    config: type[AdvantageConfig]
    advantages: Callable[[Batch, Tensor, Any], Tensor]


ESTIMATORS: dict[str, Estimator] = {}
"""All estimators that are imported by name, in the order in which they were defined."""

ENTRY_POINTS = "palaestra.estimators"


def estimator_names() -> list[str]:
    """Return the names of all estimators that can be used here: those imported, then those of installed packages."""
    return [*ESTIMATORS, *sorted(_plugins().keys() - ESTIMATORS.keys())]


def get_estimator(name: str) -> Estimator:
    """Return an estimator by name; one of an installed package is imported first.

    Raises:
        UnknownNameError: If there is none of this name.
        ConfigError: If what a package offers under it is not the estimator of that name.
    """
    if name not in ESTIMATORS:  # importing an estimator registers it
        import_named(
            "estimator",
            name,
            {},
            _plugins(),
            fits=lambda found: name in ESTIMATORS and ESTIMATORS[name].advantages is found,
            expected=f"the function under @estimator of a config with the default estimator = {name!r}",
        )
    return ESTIMATORS[name]


def _find(name: object) -> Estimator | None:
    """Return an estimator by name; None if there is none."""
    is_known = isinstance(name, str) and (name in ESTIMATORS or name in _plugins())
    return get_estimator(str(name)) if is_known else None


def _plugins() -> dict[str, str]:
    """Return the estimators that installed packages offer, by name."""
    return entry_points_of(ENTRY_POINTS)


def estimator(config: type[AdvantageConfig]) -> Callable[[Function], Function]:
    """Register the decorated function as the estimator that a config class names.

    Args:
        config: With a default for `estimator`.

    Raises:
        ConfigError: If it names no estimator, or one that is there already.
    """
    name = config.model_fields["estimator"].default
    if not isinstance(name, str) or (name in ESTIMATORS and ESTIMATORS[name].config is not config):
        raise ConfigError(f"{config.__name__}.estimator is {name!r}; expected a default that names no other estimator.")

    def register(function: Function) -> Function:
        ESTIMATORS[name] = Estimator(config, function)
        return function

    return register


def estimate(batch: Batch, reward: Tensor, config: AdvantageConfig) -> Tensor:
    """Advantage of each action token, [B, T], 0 elsewhere, by the estimator that the settings name.

    Args:
        batch: Collated episodes.
        reward: [B, T], reward of each token.
        config: Which estimator, with its settings.
    """
    return get_estimator(config.estimator).advantages(batch, reward, config)


# -- one advantage per episode ----------------------------------------------------------------------------------------


class GRPOAdvantage(AdvantageConfig):
    """Return over the mean of its group, in units of its spread."""

    estimator: Literal["grpo"] = "grpo"
    """Group mean and spread."""
    spread: Spread = "group"
    """What is divided by: the spread of the group, of the batch, or nothing ("none" is Dr.GRPO)."""
    sum_turn_rewards: bool = False
    """Train on the sum of rewards given in several turns; without it such episodes are refused."""

    def gradient_scale(self, group_size: int) -> float | None:
        """Return (G - 1) / G without a spread: the mean holds the episode's own return. Spreads bias."""
        return (group_size - 1) / group_size if self.spread == "none" else None


@estimator(GRPOAdvantage)
def group_mean(batch: Batch, reward: Tensor, config: GRPOAdvantage) -> Tensor:
    """Return of each episode over the mean of its group, in units of its spread.

    Source: Shao et al. 2024, DeepSeekMath (arXiv:2402.03300), section 4.1; without spread: Liu et al. 2025, Dr.GRPO
        (arXiv:2503.20783).
    """
    return batch.spread(mean_advantages(batch, reward, spread=config.spread))  # [E] -> [B, T]


class RLOOAdvantage(AdvantageConfig):
    """Return over the mean of the others of its group."""

    estimator: Literal["rloo"] = "rloo"
    """Leave-one-out."""
    sum_turn_rewards: bool = False
    """Train on the sum of rewards given in several turns; without it such episodes are refused."""

    def gradient_scale(self, group_size: int) -> float | None:
        """Return 1: the baseline does not depend on the episode."""
        del group_size
        return 1.0


@estimator(RLOOAdvantage)
def leave_one_out(batch: Batch, reward: Tensor, config: RLOOAdvantage) -> Tensor:
    """Return of each episode over the mean of the others of its group.

    Source: Ahmadian et al. 2024, RLOO (arXiv:2402.14740).
    """
    del config
    return batch.spread(rloo_advantages(episode_returns(batch, reward), batch.group_index))  # [E] -> [B, T]


# -- one advantage per token or turn ----------------------------------------------------------------------------------


class ReinforcePPAdvantage(AdvantageConfig):
    """Discounted token returns, whitened over the batch."""

    compares: ClassVar[Compared] = "batch"

    estimator: Literal["reinforce_pp"] = "reinforce_pp"
    """REINFORCE++."""
    gamma: float = Field(default=1.0, gt=0, le=1)
    """Discount per token."""
    group_baseline: bool = False
    """Take the mean of the group away before whitening; needs 2 episodes of a task or more."""

    @property
    def least_group_size(self) -> int:
        """Episodes of a task that there have to be."""
        return 2 if self.group_baseline else 1


@estimator(ReinforcePPAdvantage)
def whitened_token_returns(batch: Batch, reward: Tensor, config: ReinforcePPAdvantage) -> Tensor:
    """Discounted return from each token on, whitened over all action tokens of the batch.

    Source: Hu 2025, REINFORCE++ (arXiv:2501.03262).
    """
    if config.group_baseline:
        reward = reward - group_baseline(batch, episode_returns(batch, reward))  # [B, T]
    tokens = token_sequences(batch.action_mask, batch.episode_index, batch.turn_index)
    returns = discounted_returns(tokens.total(reward), tokens.mask, gamma=config.gamma)  # [E, N]
    return tokens.spread(whiten(returns, tokens.mask))  # [B, T]


class ReBNAdvantage(AdvantageConfig):
    """Discounted turn returns, whitened over the batch."""

    compares: ClassVar[Compared] = "batch"

    estimator: Literal["rebn"] = "rebn"
    """Return batch normalisation."""
    gamma: float = Field(default=1.0, ge=0, le=1)
    """Discount per turn; .9 in the table `[rebn]`, 0 judges each turn by its own reward alone."""


@estimator(ReBNAdvantage)
def whitened_turn_returns(batch: Batch, reward: Tensor, config: ReBNAdvantage) -> Tensor:
    """Discounted return from each turn on, whitened over all turns of the batch.

    Source: Liu et al. 2025, GEM (arXiv:2510.01051), return batch normalisation.
    """
    turns, returns = turn_returns(batch, reward, gamma=config.gamma)  # [E, K]
    return turns.spread(whiten(returns, turns.mask, eps=1e-9))  # [B, T]


class TurnRLOOAdvantage(AdvantageConfig):
    """Discounted turn returns over the same turn of the others of the group; unbiased, for rewards per turn."""

    compares: ClassVar[Compared] = "turns"

    estimator: Literal["turn_rloo"] = "turn_rloo"
    """Leave-one-out by turn."""
    gamma: float = Field(default=1.0, ge=0, le=1)
    """Discount per turn; 0 judges each turn by its own reward alone."""

    def gradient_scale(self, group_size: int) -> float | None:
        """Return 1 without a discount; with one, late turns count for more than their share of the return."""
        del group_size
        return 1.0 if self.gamma == 1 else None


@estimator(TurnRLOOAdvantage)
def leave_one_out_by_turn(batch: Batch, reward: Tensor, config: TurnRLOOAdvantage) -> Tensor:
    """Discounted return from each turn on, over the same turn of the others of the group.

    Source: the project; leave-one-out of Ahmadian et al. 2024 (arXiv:2402.14740) for each turn.
    """
    turns, returns = turn_returns(batch, reward, gamma=config.gamma)  # [E', K], episodes with action tokens
    return turns.spread(turn_baseline_advantages(returns, turns.mask, batch.group_index[turns.episodes]))  # [B, T]


class GiGPOAdvantage(AdvantageConfig):
    """Groups of episodes, and within them groups of turns that began in the same state."""

    compares: ClassVar[Compared] = "turns"
    needs_states: ClassVar[bool] = True

    estimator: Literal["gigpo"] = "gigpo"
    """Episode groups and step groups."""
    gamma: float = Field(default=1.0, gt=0, le=1)
    """Discount per turn of the step groups; .95 in the table `[gigpo]`."""
    spread: Spread = "group"
    """What the episode's part is divided by, as with `grpo`."""
    step_weight: float = Field(default=1.0, ge=0)
    """Weight of the step groups."""
    step_spread: bool = False
    """Divide by the spread of the step group."""


@estimator(GiGPOAdvantage)
def group_in_group(batch: Batch, reward: Tensor, config: GiGPOAdvantage) -> Tensor:
    """Advantage of the episode in its group, and of each turn among those of the group that began in the same state.

    Raises:
        ConfigError: If no step carries the digest of its state.

    Source: Feng et al. 2025, GiGPO (arXiv:2505.10978), section 4.
    """
    episode = batch.spread(mean_advantages(batch, reward, spread=config.spread))  # [B, T]
    turns, returns = turn_returns(batch, reward, gamma=config.gamma)  # [E', K]
    # [E', K], without what is taken from the reward
    scores = discounted_returns(turns.total(batch.token_reward), turns.mask, gamma=config.gamma)
    states = turn_states(batch, turns)
    if not any(digest for row in states for digest in row):
        raise ConfigError("advantage 'gigpo' compares equal states, and no step carries a state_hash; record it, or use grpo.")
    group = batch.group_index[turns.episodes]  # [E']
    step = step_group_advantages(returns, turns.mask, group, states, scores=scores, scale_by_std=config.step_spread)  # [E', K]
    return episode + config.step_weight * turns.spread(step)


# -- what estimators share --------------------------------------------------------------------------------------------


def episode_returns(batch: Batch, reward: Tensor) -> Tensor:
    """Return of each episode, [E]; NaN where it has none.

    Args:
        batch: Collated episodes.
        reward: [B, T], the batch's own or one with something taken from it.
    """
    if reward is batch.token_reward:  # an episode in which nothing was sampled has a return and no token
        return batch.return_
    sums = torch.zeros(batch.num_episodes).index_add_(0, batch.episode_index, reward.sum(dim=1))  # [B, T] -> [E]
    has_rows = torch.zeros(batch.num_episodes, dtype=torch.bool)
    has_rows[batch.episode_index] = True
    # nothing is taken from an episode in which nothing was sampled: its reward lies on no token
    return torch.where(batch.return_.isnan() | ~has_rows, batch.return_, sums)


def mean_advantages(batch: Batch, reward: Tensor, *, spread: Spread) -> Tensor:
    """Return of each episode over the mean of its group, in units of a spread, [E].

    Where something is divided by, a group whose episodes have one score has advantage 0: a divergence taken from the reward
    tells its plays apart by a hair, and divided by its own spread a hair is as wide as any other difference.

    Args:
        batch: Collated episodes.
        reward: [B, T], the batch's own or one with something taken from it.
        spread: What is divided by.
    """
    found = grpo_advantages(episode_returns(batch, reward), batch.group_index, std=spread)
    return found if spread == "none" else torch.where(mixed_groups(batch.return_, batch.group_index), found, 0.0)


def turn_returns(batch: Batch, reward: Tensor, *, gamma: float) -> tuple[Sequences, Tensor]:
    """Return the turns of the episodes that have any, and the discounted return from each turn on, [E', K]."""
    turns = turn_sequences(batch.action_mask, batch.episode_index, batch.turn_index)
    return turns, discounted_returns(turns.total(reward), turns.mask, gamma=gamma)


def turn_states(batch: Batch, turns: Sequences) -> list[list[str | None]]:
    """Return the digest of the world before each turn, by episode; None where none was recorded."""
    states: list[list[str | None]] = []
    for row, episode in enumerate(turns.episodes.tolist()):
        owned = batch.turn_index.flatten()[turns.first[row][turns.mask[row]]].tolist()
        known = batch.states[episode] if batch.states else ()
        states.append([known[turn] if turn < len(known) else None for turn in owned])
    return states


def group_baseline(batch: Batch, return_: Tensor) -> Tensor:
    """Mean return of each token's group on the last action token of each episode, [B, T], so that sums lose it once."""
    means = torch.zeros_like(return_)  # [E]
    for group in batch.group_index.unique():
        members = (batch.group_index == group) & ~return_.isnan()
        if bool(members.any()):
            means[members] = return_[members].mean()
    tokens = token_sequences(batch.action_mask, batch.episode_index, batch.turn_index)
    placed = torch.zeros(tokens.mask.shape)  # [E', N]
    last = tokens.mask.sum(dim=1) - 1
    placed[torch.arange(len(last)), last] = means[tokens.episodes]
    return tokens.spread(placed)
