"""Rejection sampling and self-improvement (AgentEvol): play, keep what succeeded, imitate it from the base model, again.

One round: play `samples` episodes of each of `tasks_per_round` tasks with the current policy -> keep the successes -> drop
those that say the same as one that is kept already -> at most `max_per_task` of a task -> clone experts' and kept episodes,
beginning from the weights that the phase began with, not from those that played. So errors of a round do not add up, and the
model forgets nothing that the base model knew. Before the first round the experts alone are cloned, unless `clone_first` is
off.

Under reward noise (`[noise]`), scores and successes are those that training may see, not the true ones.

With fewer successes than `min_keep` a round keeps the tenth of its episodes with the highest scores, and says so.

A round is a pure function of seed, round and weights, and keeping the same episodes twice changes nothing: a round that is
run again gives the same. What was kept is part of the checkpoints.

Sources: AgentEvol, Xi et al. 2024 (arXiv:2406.04151), section 4; rejection sampling: Yuan et al. 2023 (arXiv:2308.01825).
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from pydantic import Field

from palaestra.agents.export.conversations import is_trained_on
from palaestra.algorithms.config import MOST_COUNTED, MOST_HELD, Config
from palaestra.algorithms.data.demonstrations import without_turns
from palaestra.algorithms.data.reward_noise import observed_score, observed_success
from palaestra.algorithms.data.sources import Recorded
from palaestra.algorithms.run.metrics import measured
from palaestra.algorithms.run.phase import Phase
from palaestra.algorithms.run.registry import Algorithm
from palaestra.algorithms.sft import METRICS as OF_STEPS
from palaestra.algorithms.sft import Passes, SFTConfig, SFTLearner, imitation_batch, load_demonstrations
from palaestra.errors import ConfigError, UsageError
from palaestra.types import Trajectory

log = logging.getLogger(__name__)


class RFTConfig(Config):
    """Table `[rft]`: imitate experts and own successes, each round from the base model.

    Papers:
        AgentGym (arXiv:2406.04151): AgentEvol, rounds of playing and imitating from the base model.
        RFT (arXiv:2308.01825): rejection sampling of different successes.
    """

    held: ClassVar[tuple[str, ...]] = ("tasks_per_round", "samples")

    rounds: int = Field(default=3, ge=1, le=MOST_COUNTED)
    """Rounds of playing and imitating."""
    tasks_per_round: int = Field(default=128, ge=1, le=MOST_HELD)
    """Tasks that are played in a round; the next round plays the next ones."""
    samples: int = Field(default=4, ge=1, le=MOST_HELD)
    """Episodes per task."""
    temperature: float = Field(default=1.0, gt=0)
    """Sampling temperature of these episodes; 1.0 to 1.2."""
    clone_first: bool = True
    """Clone the experts before the first round; off where the phase begins with a policy that plays well enough."""
    experts: bool = True
    """Imitate the episodes of `[rft.sft]` in addition to those that were kept."""
    threshold: float | None = None
    """Score from which an episode is a success; None takes the environment's word, or with `[noise]` a noisy score of 1."""
    thresholds: dict[str, float] = Field(default_factory=dict)
    """The same by type of task, where sets of tasks are scored differently."""
    max_per_task: int = Field(default=2, ge=1, le=MOST_COUNTED)
    """Most kept episodes of a task: the shortest of those with the highest score."""
    min_keep: int = Field(default=16, ge=0, le=MOST_COUNTED)
    """With fewer different successes in a round, the tenth with the highest scores is kept."""
    kept_of: Literal["all", "last"] = "all"
    """Rounds whose kept episodes are imitated."""
    skip_refused: bool = True
    """Do not imitate turns that the environment refused, though the episode succeeded in the end."""
    sft: SFTConfig = SFTConfig()
    """How to imitate, and which experts: `[rft.sft]`."""

    @property
    def rounds_start(self) -> int:
        """Number of the first task that a round plays, after those of the experts."""
        return self.sft.planned_tasks if self.experts else 0

    @property
    def planned_tasks(self) -> int:
        """Tasks of the experts and of all rounds; later phases begin behind them."""
        return self.rounds_start + self.rounds * self.tasks_per_round

    def recorded(self) -> tuple[Recorded, ...]:
        """Return the recorded episodes that are imitated."""
        return self.sft.recorded() if self.experts else ()


@dataclass(frozen=True)
class Selection:
    """What a round keeps.

    Attributes:
        episodes: Kept, in the order of tasks.
        num_successes: Episodes that succeeded.
        num_different: Of these, different from each other.
        is_top_decile: Whether there were too few, and the highest scores were kept instead.
    """

    episodes: tuple[Trajectory, ...]
    num_successes: int
    num_different: int
    is_top_decile: bool


def select(episodes: Sequence[Trajectory], config: RFTConfig) -> Selection:
    """Choose what to imitate among the episodes of one round.

    Args:
        episodes: As played; those that ended in an error are never kept.
        config: Thresholds, caps, fallback.
    """
    scored = [t for t in episodes if t.outcome.error is None and t.outcome.score is not None and math.isfinite(score_of(t))]
    successes = [t for t in scored if is_success(t, config)]
    different = distinct(successes)
    is_top_decile = len(different) < config.min_keep
    if is_top_decile:
        # a tenth of equal scores would be chosen by nothing but order: what scored lowest teaches nothing
        lowest = min((score_of(t) for t in scored), default=0.0)
        ranked = sorted(distinct(scored), key=_worth)[: math.ceil(len(scored) / 10)]
        above = [t for t in ranked if score_of(t) > lowest]
        chosen = distinct([*different, *above])
    else:
        chosen = different
    kept = capped(chosen, config.max_per_task)
    return Selection(tuple(kept), len(successes), len(different), is_top_decile)


def is_success(episode: Trajectory, config: RFTConfig) -> bool:
    """Whether an episode is good enough to be imitated, by the threshold of its type of task."""
    threshold = config.thresholds.get(str(episode.task.get("type", "")), config.threshold)
    return observed_success(episode) if threshold is None else score_of(episode) >= threshold


def distinct(episodes: Iterable[Trajectory]) -> list[Trajectory]:
    """Keep one of the episodes of a task in which the agent did, word for word, the same: the best, then the earliest."""
    seen: dict[tuple[str, ...], Trajectory] = {}
    for episode in episodes:
        actions = (*_task(episode), *actions_of(episode))
        if actions not in seen or score_of(episode) > score_of(seen[actions]):
            seen[actions] = episode
    return list(seen.values())


def capped(episodes: Iterable[Trajectory], most: int) -> list[Trajectory]:
    """Return at most so many episodes of each task: highest scores first, then the shortest, then the earliest."""
    by_task: dict[tuple[str, ...], list[Trajectory]] = {}
    for episode in episodes:
        by_task.setdefault(_task(episode), []).append(episode)
    return [episode for group in by_task.values() for episode in sorted(group, key=_worth)[:most]]


def merged(kept: Iterable[Trajectory], new: Iterable[Trajectory], most: int) -> list[Trajectory]:
    """Add the episodes of a round to those of earlier ones; adding them again changes nothing."""
    return capped(distinct([*kept, *new]), most)


def actions_of(episode: Trajectory) -> tuple[str, ...]:
    """Return the agent's actions turn by turn, without its reasoning."""
    return tuple(
        json.dumps([step.action.content, [[call.name, call.to_json()["arguments"]] for call in step.action.tool_calls]])
        for step in episode.steps
    )


def score_of(episode: Trajectory) -> float:
    """Return the score of an episode that has one, as training sees it: with the noise of `[noise]`."""
    return observed_score(episode)


class Rounds:
    """The rounds of a phase, from wherever it was stopped.

    Args:
        phase: Policy, tasks, rollouts, logs, checkpoints.
        config: Settings.

    Raises:
        ConfigError: If the phase does not know the weights it began with.
    """

    def __init__(self, phase: Phase, config: RFTConfig) -> None:
        """Take up the last checkpoint."""
        if phase.reference_path is None:
            raise ConfigError("rft imitates from the base model, and the phase names no folder of it.")
        self.phase = phase
        self.config = config
        self.base = phase.reference_path
        # playing and every optimiser step count as one step each, so that checkpoints and logs are in order
        self.step, state = phase.resume()
        self.round = int(state["round"]) if state else (0 if config.clone_first and config.experts else 1)
        self.updates = int(state["updates"]) if state else -1
        self.kept = [Trajectory.from_json(json.loads(text)) for text in state["kept"]] if state else []
        self._optimiser: dict[str, Any] | None = state["optimiser"] if state else None
        self._experts: list[Trajectory] | None = None
        self._total = self.step
        self._ends = False

    def run(self) -> None:
        """Run all rounds that are not done yet."""
        while self.round <= self.config.rounds and not self._ends:
            if self.updates < 0:
                self.play()
            self.imitate()
            self.round, self.updates = self.round + 1, -1

    def play(self) -> None:
        """Play the episodes of a round and keep the good ones; the round before the first plays nothing."""
        config = self.config
        if self.round > 0:
            started = time.perf_counter()
            played = self.phase.collect(
                self.phase.plans(
                    self.round,
                    num_tasks=config.tasks_per_round,
                    group_size=config.samples,
                    first=config.rounds_start + (self.round - 1) * config.tasks_per_round,
                ),
                self.phase.player(config.temperature),
            )
            found = select(played, config)
            if found.is_top_decile:
                log.warning(
                    "Round %d has %d different successes, below min_keep = %d; the highest scores are kept too: %d episodes.",
                    self.round,
                    found.num_different,
                    config.min_keep,
                    len(found.episodes),
                )
            chosen = [_trimmed(t) if config.skip_refused else t for t in found.episodes]
            self.kept = merged(self.kept if config.kept_of == "all" else (), chosen, config.max_per_task)
            self.step += 1
            metrics = measured(played) | {
                "round": float(self.round),
                "successes": float(found.num_successes),
                "successes_different": float(found.num_different),
                "kept_new": float(len(chosen)),
                "kept": float(len(self.kept)),
                "top_decile": float(found.is_top_decile),
                "seconds_collect": time.perf_counter() - started,
            }
            self._total = max(self._total, self.step)
            self.phase.log(self.step, metrics, total=self._total, evaluates=False)
        # from here on, the weights that played are not needed any more
        self._begin_from_base()
        self._save(finished=False)

    def imitate(self) -> None:
        """Clone experts' and kept episodes; goes on after the optimiser steps that are done."""
        sft = self.config.sft
        experts = self.experts()
        episodes = [*experts, *self.kept]
        if not episodes:
            raise UsageError(
                f"Round {self.round} kept no episode, and there are no experts; play more samples, lower rft.threshold, or "
                f"set rft.experts = true."
            )
        passes = Passes(
            imitation_batch(episodes, sft), sft, seed=self.phase.recipe.seed, name=f"{self.phase.name}/{self.round}"
        )
        learner = SFTLearner(self.phase.policy, sft, total=passes.total)
        if self._optimiser is not None:
            learner.optimiser.load(self._optimiser)
        later = self.config.rounds - self.round  # a guess for the display: every round has its own number of episodes
        self._total = self.step + passes.total - self.updates + later * (passes.total + 1)
        while self.updates < passes.total:
            started = time.perf_counter()
            self.updates += 1
            self.step += 1
            rows = passes.rows(self.updates)
            metrics = learner.learn(rows, self.step) | {
                "round": float(self.round),
                "epoch": self.updates / passes.per_epoch,
                "episodes": float(len(episodes)),
                "episodes_kept": float(len(self.kept)),
                "trained_tokens": float(rows.attention_mask.sum()),
                "seconds_update": time.perf_counter() - started,
            }
            is_over = self.updates == passes.total
            # one point of the learning curve per round, if any are wanted at all
            is_due = is_over and self.phase.is_evaluation_due(0)
            self.phase.log(self.step, metrics, total=self._total, evaluates=is_due)
            self._ends = is_over and (later == 0 or self.phase.stops_early(self.step))
            if is_over or self.updates % self.phase.recipe.checkpoint.every == 0:
                self._optimiser = learner.optimiser.state()
                self._save(finished=self._ends)

    def experts(self) -> list[Trajectory]:
        """Return the experts' episodes, the same in every round."""
        if self._experts is None:
            self._experts = load_demonstrations(self.phase, self.config.sft)[0] if self.config.experts else []
        return self._experts

    def _begin_from_base(self) -> None:
        """Put the policy back to the weights that the phase began with."""
        policy = self.phase.policy
        policy.load_weights(self.base)
        policy.version += 1
        self.updates, self._optimiser = 0, None

    def _save(self, *, finished: bool) -> None:
        state: Mapping[str, Any] = {
            "round": self.round,
            "updates": self.updates,
            "kept": [json.dumps(episode.to_json()) for episode in self.kept],
            "optimiser": self._optimiser,
        }
        self.phase.save(self.step, state, finished=finished)


def run(phase: Phase, config: RFTConfig) -> None:
    """Improve a policy by its own successes (see the module's docstring); resumes from the phase's last checkpoint.

    Raises:
        TrainingStopped: If a watchdog stops it.
        UsageError: If a round leaves nothing to imitate.
        ConfigError: If the phase does not know the weights it began with.
    """
    Rounds(phase, config).run()


METRICS = OF_STEPS | {"round", "epoch", "episodes_kept", "trained_tokens", "seconds_update", "seconds_collect"}
METRICS |= {"successes", "successes_different", "kept_new", "kept", "top_decile"}
"""Names of what a round and its optimiser steps log."""

ALGORITHM = Algorithm(
    "rft", RFTConfig, run=run, metrics=METRICS
)  # no learner: what it imitates was kept in many steps, by sft's learner


def _trimmed(episode: Trajectory) -> Trajectory:
    """Make context of the turns that the environment refused, and of those that were cut."""
    refused = {i for i, step in enumerate(episode.steps) if step.info.get("action_error") or not is_trained_on(step)}
    if not refused:
        return episode
    return replace(episode, segments=tuple(without_turns(segment, refused) for segment in episode.segments))


def _task(episode: Trajectory) -> tuple[str, ...]:
    """Return the key of episodes that are compared: environment, split, task (else the group) and seat."""
    key = str(episode.task.get("key", ""))
    return (episode.env_id, str(episode.task.get("split", "")), key or episode.group_id or episode.episode_id, episode.seat)


def _worth(episode: Trajectory) -> tuple[float, int]:
    """Sort key: the higher the score and the shorter the episode, the earlier."""
    return (-score_of(episode), len(episode.steps))
