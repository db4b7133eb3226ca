"""What an algorithm writes: a learner, which turns the episodes of a step into a better policy.

    episodes -> collate -> Learner.learn(batch, step) -> metrics

The registry builds a learner by the algorithm's name (`registry.Algorithm.learner`), so that the outer loop, the experiments
and the tests treat all of them alike. `OnPolicyConfig` holds the settings that the outer loop reads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Protocol

from pydantic import Field

from palaestra.algorithms.config import MOST_COUNTED, MOST_HELD, Config, Need
from palaestra.algorithms.learner.optimiser import Optimiser, OptimiserConfig
from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.math.advantages import GroupStatistics, group_statistics
from palaestra.algorithms.math.batch import Batch, collate
from palaestra.errors import ConfigError
from palaestra.types import Trajectory

MakePolicy = Callable[[], Policy]
"""Makes a frozen copy of the policy that training began with."""


class SamplingConfig(Config):
    """Group `sampling`: which groups of episodes a step learns from."""

    drop_equal_groups: bool = False
    """Leave groups whose returns are all equal out of the normalisers too (DAPO's dynamic sampling)."""
    max_refills: int = Field(default=0, ge=0, le=MOST_COUNTED)
    """With drop_equal_groups: how often a step may play further tasks in place of the groups that were dropped."""


class OnPolicyConfig(OptimiserConfig):
    """Settings of the shared outer loop (`run/on_policy.py`), part of the table of every algorithm that it runs."""

    held: ClassVar[tuple[str, ...]] = ("tasks_per_step", "group_size")

    older_names: ClassVar[Mapping[str, str]] = {
        "drop_equal_groups": "sampling.drop_equal_groups",
        "max_refills": "sampling.max_refills",
    }

    needs: ClassVar[Mapping[str, Need]] = {"sampling.max_refills": Need("sampling.drop_equal_groups", (True,))}

    steps: int = Field(default=100, ge=1, le=MOST_COUNTED)
    """Training steps: one collection and its updates each."""
    max_env_steps: int | None = Field(default=None, ge=1, le=MOST_COUNTED)
    """Turns played in training, all episodes together, after which no further step begins; None means no limit."""
    tasks_per_step: int = Field(default=8, ge=1, le=MOST_HELD)
    """Tasks (groups) per step."""
    group_size: int = Field(default=8, ge=1, le=MOST_HELD)
    """Episodes per task."""
    sampling: SamplingConfig = SamplingConfig()
    """Which groups of episodes a step learns from."""
    on_collapse: Literal["warn", "stop", "rollback"] = "warn"
    """What to do when spread and entropy are gone: report, stop, or go back once with half the rate."""

    @property
    def refill_start(self) -> int:
        """Number of the first task that refills play, after those of all steps."""
        return self.steps * self.tasks_per_step

    @property
    def planned_tasks(self) -> int:
        """Most tasks that a phase plays, refills included; later phases begin behind them."""
        refills = self.sampling.max_refills if self.sampling.drop_equal_groups else 0
        return self.refill_start * (1 + refills)

    @property
    def corrects_staleness(self) -> bool:
        """Whether tokens that older weights sampled are corrected for."""
        return False


class Learner(ABC):
    """The update half of an algorithm.

    Args:
        policy: Trained in place.
        optimiser: Moves the policy; None where a step has an optimiser of its own.

    Attributes:
        needs_states: Whether steps have to carry a digest of the world before them (`Step.state_hash`).
    """

    needs_states: bool = False

    def __init__(self, policy: Policy, optimiser: Optimiser | None = None) -> None:
        """Keep both."""
        self.policy = policy
        self.optimiser = optimiser

    @abstractmethod
    def update(self, trajectories: Sequence[Trajectory], step: int) -> dict[str, float]:
        """Improve the policy with the episodes of one step.

        Args:
            trajectories: Episodes with the tokens that this policy sampled.
            step: Training step, from 1.

        Returns:
            Metrics. `no_signal` is 1.0 if there was nothing to learn and no weight was moved; `batch_metrics` counts what was
            left out, and the outer loop notices a collapse by them.

        Raises:
            TrainingStopped: If updates are not finite several times in a row.
        """

    def state(self) -> dict[str, Any]:
        """Return everything a resumed run needs in addition to the policy's weights: plain data and tensors."""
        return {} if self.optimiser is None else {"optimiser": self.optimiser.state()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`."""
        if self.optimiser is not None:
            self.optimiser.load(state["optimiser"])

    @property
    def skipped_updates(self) -> int:
        """Optimiser steps that were skipped so far because they were not finite."""
        return 0 if self.optimiser is None else self.optimiser.watchdog.total

    def slow_down(self) -> None:
        """Learn with half the rate from now on: the outer loop went back to an earlier policy after a collapse.

        Raises:
            ConfigError: If there is no optimiser whose rate could be halved.
        """
        if self.optimiser is None:
            raise ConfigError(
                f"on_collapse is 'rollback', and {type(self).__name__} has no learning rate to halve; use 'stop'."
            )
        self.optimiser.lr_factor *= 0.5

    def accept_staleness(self, max_staleness: int) -> None:
        """Prepare for tokens that policies up to so many updates ago sampled.

        Raises:
            ConfigError: If this learner takes every token for its own.
        """
        if max_staleness > 0:
            raise ConfigError(
                f"asynchronous.max_staleness is {max_staleness}, and {type(self).__name__} has no correction for tokens of "
                f"older weights. Set it to 0, or choose an algorithm with a correction, e.g. grpo."
            )


class BatchLearner(Learner):
    """A learner that needs nothing of its episodes but what a `Batch` holds."""

    def update(self, trajectories: Sequence[Trajectory], step: int) -> dict[str, float]:
        """Improve the policy with the episodes of one step; see `learn`."""
        return self.learn(collate(trajectories), step)

    @abstractmethod
    def learn(self, batch: Batch, step: int) -> dict[str, float]:
        """Improve the policy with a collated batch.

        Args:
            batch: Episodes with the tokens that this policy sampled.
            step: Training step, from 1.

        Returns:
            Metrics, as `Learner.update`.
        """


class MakeLearner(Protocol):
    """What builds a learner: usually its class."""

    def __call__(
        self, policy: Policy, config: Any, *, reference: MakePolicy | None = None, temperature: float = 1.0, seed: int = 0
    ) -> Learner:
        """Build a learner.

        Args:
            policy: Trained in place.
            config: Settings, of the algorithm's config class.
            reference: Makes a frozen copy of the starting policy; called only where the settings need one.
            temperature: Sampling temperature of the episodes; log-probs are taken at the same one.
            seed: Seed of whatever is drawn: minibatches, weights of a value head.
        """
        ...


def batch_metrics(batch: Batch, groups: GroupStatistics | None = None) -> dict[str, float]:
    """Measure what a batch offers: spread of the groups, exclusions, lengths, entropy of what was sampled.

    Args:
        batch: Collated episodes.
        groups: Statistics of its groups, where they are known already.
    """
    groups = group_statistics(batch.return_, batch.group_index) if groups is None else groups
    judged = max(1, groups.num_groups - groups.num_single)
    lengths = batch.lengths
    sampled = batch.rollout_log_prob[batch.action_mask]
    return {
        "entropy_sampled": -float(sampled.mean()) if sampled.numel() else 0.0,
        "within_group_std": groups.within_std,
        "groups_equal": groups.num_equal / judged,
        "groups_dropped": float(groups.num_dropped),
        "groups_single": float(groups.num_single),
        "excluded_errors": float(batch.excluded.get("error", 0)),
        "excluded_rewards": float(batch.excluded.get("non_finite_reward", 0)),
        "excluded_empty": float(batch.excluded.get("no_action_tokens", 0)),
        "row_tokens_mean": float(lengths.float().mean()) if batch.num_rows else 0.0,
        "row_tokens_max": float(lengths.max()) if batch.num_rows else 0.0,
    }


BATCH_METRICS = frozenset(batch_metrics(collate([])))
"""Names of what `batch_metrics` returns."""
