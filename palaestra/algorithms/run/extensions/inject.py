"""`[inject]`: errors in the calls of training episodes, and of those that experts show; see `palaestra.envs.InjectErrors`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from palaestra.agents.rollout.plans import MAX_SEED, EpisodePlan
from palaestra.algorithms.config import MOST_COUNTED, Config
from palaestra.algorithms.math.seeds import stable_seed
from palaestra.algorithms.run.extension import Extension
from palaestra.envs.wrappers.injection.critique import Channel
from palaestra.envs.wrappers.injection.plans import Mode, plan_of
from palaestra.envs.wrappers.injection.summary import has_recovered, was_injected
from palaestra.envs.wrappers.injection.taxonomy import EXTERNAL, INTERNAL, family_of
from palaestra.errors import ConfigError
from palaestra.types import Json, Trajectory

_FAMILIES: dict[Mode, tuple[str, ...]] = {
    "slip": ("internal",),
    "outage": ("external",),
    "prefix": ("internal", "external"),
}


class InjectConfig(Config):
    """Table `[inject]`: errors in the calls of episodes that are trained on; evaluation is always clean.

    Papers:
        CriticTool (arXiv:2506.13977): the labels. Training under errors is ours.
    """

    rate: float = Field(default=0.5, ge=0, le=1)
    """Share of tasks with an error."""
    modes: tuple[Mode, ...] = Field(default=("outage", "slip"), min_length=1)
    """How errors come about, all alike: "outage", "slip", "prefix"."""
    steps: tuple[Annotated[int, Field(ge=1, le=MOST_COUNTED)], ...] = Field(default=(1, 2), min_length=1)
    """Steps with calls that errors befall, from 1, all alike."""
    labels: tuple[str, ...] = (*INTERNAL, *EXTERNAL)
    """Labels of errors; each mode takes those that it can inject."""
    persistence: tuple[Annotated[int, Field(ge=1, le=MOST_COUNTED)] | Literal["always"], ...] = Field(
        default=(1,), min_length=1
    )
    """How often the same call fails under an outage."""
    critique: Channel | None = None
    """How the policy is told to report errors: "text", "tool", or not at all."""
    w_critic: float = Field(default=0.0, ge=0)
    """Weight of the critique in the reward."""
    seed: int = Field(default=0, ge=0, le=MAX_SEED)
    """Seed of the errors."""

    @model_validator(mode="after")
    def _modes_have_labels(self) -> InjectConfig:
        for mode in self.modes:
            if not self.labels_of(mode):
                raise ConfigError(f"labels is {list(self.labels)}, of which the mode {mode!r} can inject none; add some.")
        for step in self.steps:
            for persistence in self.persistence:
                plan_of({"step": step, "persistence": persistence}, "prefix")
        return self

    def labels_of(self, mode: Mode) -> list[str]:
        """Return the labels that a mode can inject."""
        return [label for label in self.labels if family_of(label) in _FAMILIES[mode]]

    def wrapper(self, mode: Mode) -> dict[str, Json]:
        """Return the arguments of `InjectErrors` for a mode."""
        sampler = {
            "error_free": 0.0,
            "labels": self.labels_of(mode),
            "steps": list(self.steps),
            "persistence": list(self.persistence),
        }
        return {
            "mode": mode,
            "sampler": sampler,
            "seed": self.seed,
            "critique": self.critique,
            "w_critic": self.w_critic,
        }

    def disturbed(self, plan: EpisodePlan) -> EpisodePlan:
        """Return a plan with an error in its episode, or the plan itself; all samples of a task are alike."""
        name = plan.group_id or plan.episode_id
        if stable_seed(self.seed, f"inject/{name}") >= self.rate * 2**31:
            return plan
        mode = self.modes[stable_seed(self.seed, f"inject/mode/{name}") % len(self.modes)]
        return replace(plan, wrappers={**plan.wrappers, "InjectErrors": self.wrapper(mode)})


class Inject(Extension):
    """Plays a share of the training episodes with an error in their calls, and logs how often the policy recovered."""

    name: ClassVar[str] = "inject"
    config_type = InjectConfig
    config: InjectConfig
    shows: ClassVar[bool] = True
    metrics: ClassVar[frozenset[str] | None] = frozenset({"injected_share", "recovered_share", "injected_success"})

    def __init__(self, config: InjectConfig, context: Any) -> None:
        """Start without episodes."""
        super().__init__(config, context)
        self._figures: dict[str, float] = {}

    @classmethod
    def demonstrated(cls, config: InjectConfig, plans: list[EpisodePlan]) -> list[EpisodePlan]:
        """Let experts show what to do about errors, too."""
        return [config.disturbed(plan) for plan in plans]

    def plans(self, plans: list[EpisodePlan], step: int) -> list[EpisodePlan]:
        """Put errors into a share of the episodes."""
        del step
        return [self.config.disturbed(plan) for plan in plans]

    def observed(self, trajectories: list[Trajectory]) -> list[Trajectory]:
        """Count in how many episodes an error was injected, and what came of it."""
        self._figures = recovery(trajectories)
        return trajectories

    def after_step(self, step: int, metrics: Mapping[str, float]) -> Mapping[str, float]:
        """Return the figures of the step's episodes."""
        del step, metrics
        return self._figures


def recovery(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    """Return how often an error was injected, and of these episodes how often the agent recovered and solved its task.

    Only episodes in which the error was really injected count for the latter two; without any, they are left out.

    Args:
        trajectories: Played episodes; those with an error of their own do not count.
    """
    played = [one for one in trajectories if one.outcome.error is None]
    hit = [one for one in played if was_injected(one)]
    if not played:
        return {}
    figures = {"injected_share": len(hit) / len(played)}
    if hit:
        figures["recovered_share"] = sum(has_recovered(one) for one in hit) / len(hit)
        figures["injected_success"] = sum(bool(one.outcome.success) for one in hit) / len(hit)
    return figures


__all__ = ["Inject", "InjectConfig", "recovery"]
