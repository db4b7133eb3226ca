"""DPO (Rafailov et al. 2023, arXiv:2305.18290) on episodes: learn from pairs of plays of one task, better against worse.

No value model, no advantage: each step plays `tasks_per_step` tasks `group_size` times with the current policy, couples
plays of different return, cuts each couple at the first turn in which they differ, and lets TRL's `DPOTrainer` raise the
sampled tokens of the better rest against those of the worse one. Episodes that ended in an error are in no pair.

The loop, in the open: collect -> pairs -> `train_dpo` on a copy, weights taken back -> log -> save. A step's optimiser
is a new one, so policy and step number are all there is to save.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from palaestra.algorithms.config import MOST_COUNTED, MOST_HELD, Config, Need
from palaestra.algorithms.learner.learner import Learner, MakePolicy
from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.math.seeds import stable_seed
from palaestra.algorithms.run.metrics import measured
from palaestra.algorithms.run.on_policy import build_learner
from palaestra.algorithms.run.phase import Phase
from palaestra.algorithms.run.registry import Algorithm
from palaestra.algorithms.trl.preferences import PairCounts, Pairing, PreferencePair, preference_pairs
from palaestra.algorithms.trl.trainers import DPOLoss, DPOSettings, check_trl, train_dpo
from palaestra.errors import ConfigError
from palaestra.types import Trajectory


class DPOConfig(Config):
    """Table `[dpo]`: better plays of a task against worse ones, by TRL's trainer.

    Papers:
        DPO (arXiv:2305.18290): the loss, on the episodes of one task from the first turn that differs.
        iterative RPO (arXiv:2404.19733): likelihood of the chosen plays in the loss (`sft_weight`).
    """

    held: ClassVar[tuple[str, ...]] = ("tasks_per_step", "group_size")

    needs: ClassVar[Mapping[str, Need]] = {"label_smoothing": Need("loss", ("sigmoid", "robust"))}

    steps: int = Field(default=20, ge=1, le=MOST_COUNTED)
    """Rounds of playing and training."""
    tasks_per_step: int = Field(default=8, ge=1, le=MOST_HELD)
    """Tasks per round."""
    group_size: int = Field(default=8, ge=2, le=MOST_HELD)
    """Episodes per task."""
    pairing: Pairing = "all"
    """Which plays of a task are coupled: every two ("all"), best with worst, second best with second worst, ...
    ("matched"), or only the best with the worst ("best_worst")."""
    margin: float = Field(default=0.0, ge=0)
    """Couples whose returns differ by at most this are left out."""
    beta: float = Field(default=0.1, gt=0)
    """Strength of the pull to the reference."""
    reference: Literal["start", "round"] = "round"
    """Where the pull goes: the policy before this phase, or the one that played the round."""
    loss: DPOLoss = "sigmoid"
    """TRL's name of the loss: "sigmoid" is DPO, "ipo" and "robust" stand more noise in the preferences."""
    sft_weight: float = Field(default=0.2, ge=0)
    """Weight of the likelihood of what was chosen. Without it chosen plays lose likelihood together with the rejected ones,
    with which they share most of their tokens, and tiny policies unlearn to write actions at all."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """Share of preferences taken to be wrong."""
    lr: float = Field(default=1e-3, gt=0)
    """Learning rate; 1e-4 to 1e-3 suits tiny models, 5e-7 to 5e-6 large ones."""
    warmup_updates: int = Field(default=0, ge=0, le=MOST_COUNTED)
    """Optimiser steps of a round over which the rate rises from 0; the first of them moves nothing."""
    epochs: int = Field(default=2, ge=1, le=MOST_COUNTED)
    """Passes over the pairs of a round."""
    batch_size: int = Field(default=16, ge=1, le=MOST_HELD)
    """Pairs per optimiser step."""
    microbatch_pairs: int = Field(default=16, ge=1, le=MOST_HELD)
    """Pairs that go through the model at once; a divisor of `batch_size`. Changes memory and speed, and with `sft_weight`
    what a token weighs: TRL takes that term's mean over the tokens of what goes through at once."""
    grad_clip: float = Field(default=1.0, gt=0)
    """Largest gradient norm."""

    @model_validator(mode="after")
    def _batches_can_be_cut(self) -> DPOConfig:
        self.settings(seed=0).check()
        return self

    @property
    def planned_tasks(self) -> int:
        """Tasks of all rounds; later phases begin behind them."""
        return self.steps * self.tasks_per_step

    def settings(self, seed: int) -> DPOSettings:
        """Return the settings of `train_dpo`."""
        return DPOSettings(
            beta=self.beta,
            lr=self.lr,
            epochs=self.epochs,
            batch_size=self.batch_size,
            microbatch_pairs=self.microbatch_pairs,
            warmup_updates=self.warmup_updates,
            grad_clip=self.grad_clip,
            loss=self.loss,
            sft_weight=self.sft_weight,
            label_smoothing=self.label_smoothing,
            seed=seed,
        )


class DPOLearner(Learner):
    """The update half of DPO: pairs of the episodes of one round, and TRL's trainer on a copy of the policy.

    Args:
        policy: Takes the weights that come out.
        config: Settings.
        reference: Makes the frozen starting policy; needed if `config.reference` is "start".
        seed: Seed of the order of the pairs.
        name: What is trained; part of that seed.
    """

    def __init__(
        self,
        policy: Policy,
        config: DPOConfig,
        *,
        reference: MakePolicy | None = None,
        temperature: float = 1.0,
        seed: int = 0,
        name: str = "dpo",
    ) -> None:
        """Keep the parts; every round has an optimiser of its own, and log-probs are TRL's, at temperature 1."""
        del temperature
        super().__init__(policy)
        self.config = config
        self.seed = seed
        self.name = name
        self.reference: Policy | None = None
        if config.reference == "start":
            if reference is None:
                raise ConfigError("reference is 'start'; it needs the starting policy. Give one, or set reference = 'round'.")
            self.reference = reference()

    def update(self, trajectories: Sequence[Trajectory], step: int) -> dict[str, float]:
        """Raise the better plays of a round against the worse ones.

        Args:
            trajectories: Episodes with the tokens that this policy sampled.
            step: The round, from 1; the order of the pairs depends on it.

        Returns:
            Metrics; `no_signal` is 1.0 if there was no pair.

        Raises:
            TrainingStopped: If the weights are not finite after it.
            MissingExtraError: If TRL is not installed.
        """
        # errors and equal returns are in no pair
        pairs, counts = preference_pairs(trajectories, pairing=self.config.pairing, margin=self.config.margin)
        metrics = _pair_metrics(pairs, counts)
        if pairs:
            settings = self.config.settings(stable_seed(self.seed, f"{self.name}/{step}"))
            metrics |= train_dpo(self.policy, pairs, settings, reference=self.reference)
        return metrics


def run(phase: Phase, config: DPOConfig) -> None:
    """Train on preferences (see the module's docstring); resumes from the phase's last checkpoint.

    Raises:
        TrainingStopped: If the weights are not finite after a round.
        MissingExtraError: If TRL is not installed.
    """
    done, _ = phase.resume()
    learner = build_learner(phase, config, functools.partial(DPOLearner, name=phase.name))
    for step in range(done + 1, config.steps + 1):
        started = time.perf_counter()
        played = phase.collect(phase.plans(step, num_tasks=config.tasks_per_step, group_size=config.group_size))
        rollout_s = time.perf_counter() - started
        metrics = {**measured(played), **learner.update(played, step), "seconds_rollout": rollout_s}
        metrics["seconds_update"] = time.perf_counter() - started - rollout_s
        phase.log(step, metrics, total=config.steps)
        ends = step == config.steps or phase.stops_early(step)
        if ends or phase.is_save_due(step, last=config.steps):
            phase.save(step, learner.state(), finished=ends)
        if ends:
            return


def _pair_metrics(pairs: list[PreferencePair], counts: PairCounts) -> dict[str, float]:
    """Count the pairs of a round and the episodes that are in none."""
    return {
        "pairs": float(len(pairs)),
        "pair_margin": sum(pair.margin for pair in pairs) / max(1, len(pairs)),
        "pair_turn": sum(pair.turn for pair in pairs) / max(1, len(pairs)),
        "groups_without_pair": float(counts.ties),
        "pairs_incomparable": float(counts.incomparable),
        "excluded_errors": float(counts.errors),
        "excluded_segments": float(counts.unusable),
        "no_signal": float(not pairs),
    }


METRICS = frozenset(_pair_metrics([], PairCounts()))
METRICS |= {"loss", "accuracy", "reward_margin", "grad_norm", "updates", "seconds_rollout", "seconds_update"}
"""Names of what a round logs."""

ALGORITHM = Algorithm(
    "dpo",
    DPOConfig,
    learner=DPOLearner,
    run=run,
    copies=2,  # TRL trains a copy against another
    metrics=METRICS,
    check=check_trl,
)
