"""What an algorithm works with: one phase of a training run.

A `Phase` gives an algorithm its policy, plans of episodes to play, the rollouts of those plans, a place to log and a place
to save. Plans are a pure function of seed and step, so a resumed run plays exactly what the killed one would have.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palaestra.agents.core import Agent
from palaestra.agents.export.origins import Origin
from palaestra.agents.rollout.engine import EpisodePlan, RolloutEngine
from palaestra.agents.store.store import RunStore
from palaestra.algorithms.data.provenance import provenance_of
from palaestra.algorithms.data.sources import LeftOut
from palaestra.algorithms.run.active_extensions import ActiveExtensions, demonstrated
from palaestra.algorithms.run.admission import check_plays, trained_envs
from palaestra.algorithms.run.alarms import ALARM_TEXTS, Alarms
from palaestra.algorithms.run.best import Best, kept
from palaestra.algorithms.run.checkpoint import Checkpoint, Checkpoints
from palaestra.algorithms.run.extension import ExtensionContext
from palaestra.algorithms.run.feed import Feed, stream_starts
from palaestra.algorithms.run.metrics import MetricsLog
from palaestra.algorithms.run.player import policy_agent
from palaestra.algorithms.run.recipe_configs import Recipe
from palaestra.algorithms.scale.ranks import ranks
from palaestra.types import Json, Trajectory

if TYPE_CHECKING:
    from palaestra.algorithms.learner.policy import Policy

CPU = "seconds_cpu"
"""Metric: CPU seconds of this process that a phase has taken so far, evaluations left out, all its resumed calls together."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    """How far a part of a run is.

    Attributes:
        phase: What is running: "random", "sft", "cloned", ...
        done: Units done (steps, episodes).
        total: Units in all.
        metrics: Latest measurements, for display.
    """

    phase: str
    done: int
    total: int
    metrics: Mapping[str, float] = field(default_factory=dict)


Progress = Callable[[ProgressEvent], None]


class Phase:
    """One phase of a training run, as the algorithm sees it.

    Attributes:
        name: Name of the algorithm.
        recipe: The whole recipe.
        policy: What is trained, in place.
        feed: Training tasks.
        engine: Plays episodes.
        checkpoints: Where the phase saves and resumes.
        metrics: Where it logs.
        reference_path: Model folder with the weights the phase began with.
        evaluate: Plays a short evaluation on test tasks and returns its metrics.
        store: Where other runs can be read, e.g. as demonstrations.
        alarms: Judge what is logged.
        best: Knows the best step, where the recipe asks for it.
        extensions: Those that are active in this phase.
        first_task: Place in the feed's order at which the tasks of this phase begin.
    """

    def __init__(
        self,
        name: str,
        *,
        recipe: Recipe,
        policy: Policy,
        feed: Feed,
        engine: RolloutEngine,
        checkpoints: Checkpoints,
        metrics: MetricsLog,
        reference_path: Path | None = None,
        evaluate: Callable[[], Mapping[str, float]] | None = None,
        store: RunStore | None = None,
        progress: Progress | None = None,
        shared: dict[str, Any] | None = None,
        note: Callable[[Mapping[str, Json]], None] | None = None,
    ) -> None:
        """Put the parts together; nothing is played yet.

        Args:
            name: Of a phase of the recipe.
            recipe: The whole recipe.
            policy: What is trained.
            feed: Training tasks.
            engine: Plays episodes.
            checkpoints: Where the phase saves.
            metrics: Where it logs.
            reference_path: Model folder with the weights the phase begins with.
            evaluate: Plays a short evaluation.
            store: Where other runs can be read.
            progress: Called after every step.
            shared: What the extensions of the whole run have in common.
            note: Takes down where episodes that are learned from were played.
        """
        self.name = name
        self.recipe = recipe
        self.policy = policy
        self.feed = feed
        self.engine = engine
        self.checkpoints = checkpoints
        self.metrics = metrics
        self.reference_path = reference_path
        self.evaluate = evaluate
        self.store = store
        self.alarms = Alarms()
        self.best = Best.of(recipe.checkpoint)
        self.first_task = stream_starts(recipe)[name]
        context = ExtensionContext(name, recipe, policy, engine, store, reference_path, {} if shared is None else shared)
        self.extensions = ActiveExtensions(recipe.phase(name).active, context)
        self._progress = progress
        self._note = note
        self._agent: Agent | None = None
        self._played: dict[str, Any] = {}  # weights before the update, where the best policy is one that has played
        self._cpu_began = time.process_time()  # evaluations are taken out of it
        self._cpu_before = 0.0  # of the calls that this one resumes

    @property
    def agent(self) -> Agent:
        """The agent that plays with the policy; it keeps its caches from step to step."""
        if self._agent is None:
            self._agent = self.player()
        return self._agent

    def player(self, temperature: float | None = None) -> Agent:
        """Return another agent that plays with the policy, as the extensions of the phase say.

        Args:
            temperature: Of sampling; the recipe's if None.
        """
        recipe = self.recipe
        if temperature is not None:
            recipe = recipe.model_copy(update={"agent": recipe.agent.model_copy(update={"temperature": temperature})})
        return self.extensions.agent(policy_agent(self.policy, recipe, backend=self.extensions.backend()))

    def record_states(self) -> None:
        """Keep the digest of the world before each action from now on (`Step.state_hash`), where the environment gives one."""
        # a twin: other phases and evaluations go on without paying for digests
        self.engine = copy.copy(self.engine)
        self.engine.record_state_hash = True

    def max_turns(self, step: int) -> int | None:
        """Return the horizon of a training step; None leaves it to the environment."""
        return self.extensions.max_turns(step)

    def plans(
        self, step: int, *, num_tasks: int, group_size: int = 1, part: str = "", first: int | None = None
    ) -> list[EpisodePlan]:
        """Plan the episodes of one training step, under its horizon, as the extensions of the phase say.

        Every phase has a stretch of tasks of its own. What it plays in addition to the equal steps at its beginning says where
        in that stretch its tasks lie (`first`), and the phase's settings count it in `planned_tasks`.

        Args:
            step: Training step, from 1.
            num_tasks: Tasks of the step.
            group_size: Episodes per task; they share task and seed and differ in what the policy samples.
            part: Of the step, where it plays several times; part of the episode ids, e.g. "refill".
            first: Number of the first task among those of the phase; by default that after steps of as many tasks.
        """
        name = f"{self.name}-{part}" if part else self.name
        place = self.first_task + ((step - 1) * num_tasks if first is None else first)
        horizon = self.max_turns(step)
        planned = self.feed.plans(name, step, num_tasks=num_tasks, group_size=group_size, max_turns=horizon, first=place)
        if arguments := self.extensions.env_arguments():
            planned = [replace(plan, env_kwargs={**plan.env_kwargs, **arguments}) for plan in planned]
        return self.extensions.plans(planned, step)

    def demonstrations(self, num_tasks: int) -> list[EpisodePlan]:
        """Plan the episodes that experts play to be imitated in this phase.

        Args:
            num_tasks: Train tasks.
        """
        plans = self.feed.plans(self.name, 1, num_tasks=num_tasks, first=self.first_task)
        return demonstrated(self.recipe.phase(self.name).active, plans)

    def admit(self, episodes: Sequence[Trajectory], source: str, left_out: LeftOut | None = None) -> None:
        """Refuse episodes that the recipe must not learn from, and note where the others were played.

        Every source of episodes that the policy did not play in this phase goes through here.

        Args:
            episodes: To learn from.
            source: What the recipe calls it.
            left_out: What was read of the source and is not learned from.

        Raises:
            UsageError: If some are test tasks, or of other environments, and the recipe does not allow it.
        """
        found = provenance_of(map(Origin.of, episodes), trained_envs(self.recipe), source)
        if left_out is not None:
            found = replace(found, num_bad=left_out.num_bad, first_bad=left_out.first_bad, num_left_out=left_out.num_left_out)
        found.check(self.recipe.allow)
        if found.num_test or found.num_other:
            log.warning("%s", found.notice)
        if self._note is not None:
            self._note({"phase": self.name, **found.to_json()})

    def collect(self, plans: Sequence[EpisodePlan], agent: Agent | None = None) -> list[Trajectory]:
        """Play episodes with the current policy (or another agent), in the order of the plans; return what training sees.

        Several ranks divide the groups, and each gets all episodes. A server that samples gets the current weights first.

        Raises:
            TrainingStopped: If the server that samples failed altogether.
        """
        self.extensions.ready()
        make_env = self.extensions.make_env()
        player = agent or self.agent
        return self.observed(played_together(plans, lambda mine: self.engine.collect(mine, player, make_env=make_env)))

    def observed(self, trajectories: list[Trajectory]) -> list[Trajectory]:
        """Return episodes as training sees them: what the policy lived through, then the rewards (`[noise]`).

        Raises:
            TrainingStopped: If all of them failed at the server that samples.
            UsageError: If some are test tasks, and the recipe does not allow it.
        """
        check_plays(trajectories, self.recipe)
        return self.extensions.observed(self.extensions.played(trajectories))

    def log(self, step: int, metrics: Mapping[str, float], *, total: int, evaluates: bool | None = None) -> None:
        """Close a step: extensions act after its update, the learning curve gets its point, alarms judge, all is logged.

        All ranks call it, and wait here while the first one evaluates. An alarm is told in words once.

        Args:
            step: The step that is over; 0 is what comes before the first one, after which nothing is due.
            metrics: Of this step.
            total: Steps in all, for the display.
            evaluates: Whether a point of the learning curve is due; by default as often as the recipe says
                (`Recipe.evaluates_every`).
        """
        if step > 0:
            metrics = self.extensions.after_step(step, metrics)
        is_due = step > 0 and self.is_evaluation_due(step) if evaluates is None else evaluates
        if self.evaluate is not None and is_due:
            cpu_began = time.process_time()
            with self.result_weights():
                metrics = {**metrics, **{f"test_{name}": value for name, value in self.evaluate().items()}}
            self._cpu_began += time.process_time() - cpu_began
        ranks().barrier("log")
        if not ranks().is_main:
            return
        if step == 0:  # a run killed before its first checkpoint does this again
            self.metrics.rewind(self.name, -1)
        metrics = {**metrics, CPU: self._cpu_before + time.process_time() - self._cpu_began}
        told = set(self.alarms.rung)
        metrics = {**metrics, **self.alarms.observe(step, metrics)}
        for alarm in sorted(self.alarms.rung.keys() - told):
            log.warning("%s, step %d: %s. %s", self.name, step, alarm, ALARM_TEXTS[alarm])
        if self.best is not None and self.best.observe(step, metrics):
            self._save_best(step)
        self._keep_played()
        self.metrics.log(self.name, step, metrics)
        if self._progress is not None:
            self._progress(ProgressEvent(self.name, step, total, metrics))

    def stops_early(self, step: int) -> bool:
        """Whether the phase ends here because its metric gets no better (`checkpoint.patience`); all ranks ask."""
        best = self.best
        if best is None or best.patience is None:
            return False
        if not ranks().on_main(lambda: best.is_over):
            return False
        if ranks().is_main:
            log.warning(
                "%s, step %d: %s was best at step %s (%.4g) and no better %d times since; the phase ends here.",
                self.name,
                step,
                best.metric,
                best.step,
                best.value,
                best.waited,
            )
        return True

    @contextlib.contextmanager
    def result_weights(self) -> Iterator[None]:
        """Put the weights into the policy that are evaluated and kept, where an extension has others than the trained ones."""
        with self._other_weights(self.extensions.result_weights()):
            yield

    @contextlib.contextmanager
    def _other_weights(self, found: Mapping[str, Any] | None) -> Iterator[None]:
        """Put other weights into the policy for a while; None leaves it as it is."""
        if found is None:
            yield
            return
        parameters = {name: p for name, p in self.policy.model.named_parameters() if name in found}
        trained = {name: p.detach().clone() for name, p in parameters.items()}
        try:
            self._put(parameters, found)
            yield
        finally:
            self._put(parameters, trained)

    def _put(self, parameters: Mapping[str, Any], weights: Mapping[str, Any]) -> None:
        """Copy weights into the policy; samplers drop what they have cached, and its version stays."""
        for name, parameter in parameters.items():
            parameter.data.copy_(weights[name])
        self.policy.refresh()

    def is_evaluation_due(self, step: int) -> bool:
        """Whether the learning curve wants a point after this step."""
        every = self.recipe.evaluates_every(self.name)
        return ranks().is_main and self.evaluate is not None and every > 0 and step % every == 0

    def is_save_due(self, step: int, *, last: int) -> bool:
        """Whether to save after this step."""
        return step == last or step % self.recipe.checkpoint.every == 0

    def save(self, step: int, state: Mapping[str, Any], *, finished: bool = False) -> Checkpoint:
        """Save policy and state, so that a killed run goes on after this step."""
        whole = {**state, "policy_version": self.policy.version}
        if extensions := self.extensions.state():
            whole["extensions"] = extensions
        if self.best is not None:
            whole["best"] = self.best.state()
            if finished and self.best.step is None and ranks().is_main:
                names = ", ".join(sorted(name for name in self.best.seen if not name.startswith("alarm_")))
                log.warning(
                    "checkpoint.best is %r, which the phase %s never measured; its last policy is kept. It measured: %s.",
                    self.best.metric,
                    self.name,
                    names,
                )

        # what samplers have cached is no part of a checkpoint, and a run that resumes has none of it
        self.policy.refresh()

        def write() -> Checkpoint:
            with self.result_weights() if finished else contextlib.nullcontext():
                return self.checkpoints.save(
                    step,
                    save_policy=self.policy.save,
                    state=whole,
                    config=self.recipe.to_json(),
                    finished=finished,
                )

        return ranks().on_main(write)

    def _save_best(self, step: int) -> None:
        """Keep the policy that was measured at the best step so far; the first rank alone."""
        with self._other_weights(self._played) if self._played else self.result_weights():
            kept(self.checkpoints).save(step, save_policy=self.policy.save, state={}, config=self.recipe.to_json())

    def _keep_played(self) -> None:
        """Copy the weights with which the next step plays, where they may turn out to be the best."""
        if self.best is not None and self.best.is_of_played:
            named = self.policy.model.named_parameters()
            self._played = {name: parameter.detach().to("cpu", copy=True) for name, parameter in named}

    def resume(self) -> tuple[int, dict[str, Any] | None]:
        """Load the newest good checkpoint into the policy, if there is one.

        Returns:
            The step it was written after and its state, or `(0, None)`.
        """
        found = self._resumed()
        if ranks().is_main:
            self._keep_played()
        return found

    def roll_back(self, found: Checkpoint) -> dict[str, Any]:
        """Go back to a checkpoint while the phase goes on: weights, and what extensions had kept of the steps until then.

        What was logged stays, and so does the version of the policy: no later step has the number of an earlier one.

        Args:
            found: Of this phase.

        Returns:
            Its state.
        """
        state = found.state()
        self.policy.load_weights(found.policy_path)
        self.extensions.load(state.get("extensions", {}))
        if ranks().is_main:
            self._keep_played()  # the next step plays with these weights
        return state

    def _resumed(self) -> tuple[int, dict[str, Any] | None]:
        """Load the newest good checkpoint, and take in what was logged until it was written."""
        found = ranks().on_main(self.checkpoints.latest)  # for all: a late rank would find what the first one wrote since
        if ranks().is_main:
            self.metrics.rewind(self.name, 0 if found is None else found.step)
            self.alarms, self.best = Alarms(), Best.of(self.recipe.checkpoint)
            if self.best is not None:
                kept(self.checkpoints).forget(after=-1 if found is None else found.step)
            for row in self.metrics.rows(self.name):  # what it has seen is what is logged
                logged = {k: v for k, v in row.items() if k not in ("phase", "step")}
                self.alarms.observe(row["step"], logged)
                self._cpu_before = logged.get(CPU) or 0.0
                if self.best is not None:
                    self.best.observe(row["step"], logged)
        if found is None:
            return 0, None
        state = found.state()
        self.policy.load_weights(found.policy_path)
        self.policy.version = int(state["policy_version"])
        self.extensions.load(state.get("extensions", {}))
        return found.step, state


def played_together(
    plans: Sequence[EpisodePlan], play: Callable[[Sequence[EpisodePlan]], list[Trajectory]]
) -> list[Trajectory]:
    """Divide plans among the ranks, group by group, and return the episodes of all in the order of the plans.

    Args:
        plans: The same on every rank.
        play: Plays this rank's share, in order.
    """
    if ranks().size == 1:
        return play(plans)
    groups: dict[str, list[EpisodePlan]] = {}
    for plan in plans:
        groups.setdefault(plan.group_id or plan.episode_id, []).append(plan)
    mine = [plan for group in ranks().share(list(groups.values())) for plan in group]
    found = {trajectory.episode_id: trajectory for trajectory in ranks().gather(play(mine))}
    return [found[plan.episode_id] for plan in plans]


__all__ = ["CPU", "Phase", "Progress", "ProgressEvent"]
