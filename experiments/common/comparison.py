"""What is compared from one clone: an environment, arms and their settings, and the arms that several comparisons share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Arm:
    """One way to train on from the clone.

    Attributes:
        algorithm: Its name.
        settings: Of its table, beside those of the experiment.
        tables: Other tables of the recipe, as far as they differ from those of the experiment.
        lr: Learning rate of its own, which is not tuned; None takes that of the experiment.
        steps: Training steps of its own; None takes those of the experiment. With "sft" these are updates on demonstrations of
            tasks that the clone has not seen, from the settings of the recipe.
    """

    algorithm: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    lr: float | None = None
    steps: int | None = None


@dataclass(frozen=True)
class Experiment:
    """What is compared.

    Attributes:
        name: Of its folder under `experiments/`.
        recipe: File whose environment, model and cloning are used.
        tables: Tables that replace or extend those of the recipe.
        settings: Of every arm's table.
        arms: By name.
        steps: Training steps of a reported run.
        tuning_steps: Training steps of a tuning run.
        rates: Grid of learning rates; the first is taken where nothing was tuned: the default for tiny models. With one
            rate there is nothing to tune.
        tuning_seed: Seed of the tuning runs.
        bar: Gain over the clone that is asked for.
        env_steps: Turns that each run plays, where arms are compared at equal turns; its curve of test success is kept.
        pairs: Arms that are compared seed by seed: which, with which.
        tasks_apart: Training tasks set aside for each seed: the clone plays its first ones, all arms those behind them. None
            lets all seeds, the clone and the arms begin at task 0.
        title: Of the page.
        about: Its first paragraphs.
        remarks: What it shows, and what not.
    """

    name: str
    recipe: str
    tables: Mapping[str, Mapping[str, Any]]
    settings: Mapping[str, Any]
    arms: Mapping[str, Arm]
    steps: int
    tuning_steps: int
    rates: tuple[float, ...]
    tuning_seed: int = 100
    bar: float | None = None
    env_steps: int | None = None
    pairs: tuple[tuple[str, str], ...] = ()
    tasks_apart: int | None = None
    title: str = ""
    about: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def steps_of(self, arm: str) -> int:
        """Return the training steps of a reported run of an arm."""
        return self.arms[arm].steps or self.steps


GROUPS = {"tasks_per_step": 4, "group_size": 8}
SINGLES = {"tasks_per_step": 32, "group_size": 1}
CRITIC = {"lr": 2e-3, "epochs": 3, "warmup_updates": 10, "beta2": 0.95}

OUTCOME_ARMS = {
    "grpo": Arm("grpo", GROUPS),
    "reinforce_pp": Arm("reinforce_pp", SINGLES),
    "ppo": Arm("ppo", {**SINGLES, "critic": CRITIC}),
    "vrpo": Arm("vrpo", {**SINGLES, "critic": {**CRITIC, "beta": 1e-3}}),
}
