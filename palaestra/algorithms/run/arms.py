"""The evaluations of a training run: baselines, the policy after each phase, and the points of the learning curve.

Every arm ("random", "cloned", ...) is played on the same test tasks with the same seeds and is a run of its own in the store;
in a mixture it is one run for each environment, and `totals` sums them up.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from palaestra.agents.core import Agent
from palaestra.agents.evaluation.evaluation import Evaluation, evaluate
from palaestra.agents.evaluation.planning import plan_evaluation
from palaestra.agents.evaluation.summary import Summary, summarize_together
from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.agents.store.store import RunStore
from palaestra.algorithms.config import nearest
from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.math.seeds import stable_seed
from palaestra.algorithms.run.active_extensions import ActiveExtensions
from palaestra.algorithms.run.feed import make_env
from palaestra.algorithms.run.metrics import CURVE, by_type, episode_metrics, pass_at_powers, with_own
from palaestra.algorithms.run.phase import Progress, ProgressEvent
from palaestra.algorithms.run.player import policy_agent
from palaestra.algorithms.run.recipe_configs import EnvConfig, Recipe
from palaestra.algorithms.run.registry import get_algorithm
from palaestra.algorithms.scale.ranks import ranks
from palaestra.errors import ConfigError
from palaestra.types import Trajectory, plain

"""Metrics of a point of the learning curve, in addition to those that the environments measure."""


def phase_arms(recipe: Recipe) -> dict[str, str]:
    """Return, by phase, what the policy after it is called: the algorithm's word, with the phase's name if it is taken."""
    arms: dict[str, str] = {}
    for phase in recipe.phases:
        arm = get_algorithm(phase.algorithm).arm
        arms[phase.name] = f"{arm}-{phase.name}" if arm in arms.values() else arm
    return arms


def arms_of(recipe: Recipe) -> list[str]:
    """Return all arms of a recipe, in the order in which they are played."""
    return [*recipe.evaluation.baselines, *phase_arms(recipe).values()]


def runs_of(recipe: Recipe, arm: str) -> dict[str, EnvConfig]:
    """Return the runs of an arm by name, each with its environment: the arm itself, or one for each of a mixture."""
    if not recipe.is_mixture:
        return {arm: recipe.envs[0]}
    return {f"{arm}-{env.name}": env for env in recipe.envs}


def clusters_of(env: EnvConfig, n: int) -> dict[str, str]:
    """Return the value that each test task of an environment has under its `cluster_by`, by the key of the task.

    Args:
        env: With `cluster_by`.
        n: The first n tasks of its test split.

    Raises:
        ConfigError: If it has no tasks, or a task has nothing there.
    """
    made = make_env(env.id, env.arguments)
    try:
        tasks = getattr(made.unwrapped, "tasks", None)
        if tasks is None:
            raise ConfigError(f"env.cluster_by is {env.cluster_by!r}, and {env.id} has no tasks; take it out.")
        size = tasks.size(env.test_split)
        found = {}
        for index in range(n if size is None else min(n, size)):
            task = tasks.at(env.test_split, index)
            if env.cluster_by not in task.data:
                raise ConfigError(
                    f"env.cluster_by is {env.cluster_by!r}, and the test task {task.key!r} of {env.id} has no such key in its "
                    f"data.{nearest(str(env.cluster_by), list(task.data))}"
                )
            found[task.key] = json.dumps(plain(task.data[env.cluster_by]), sort_keys=True)
        return found
    finally:
        made.close()


class ArmEvaluations:
    """Plays the evaluations of a training run that are not in the store yet. Only the first rank plays.

    Args:
        recipe: What is evaluated, on which tasks.
        store: Where the episodes are kept.
        run_id: The training run; an evaluation is `RUN-ARM`.
        engine: Plays.
        extensions: Those of the recipe.
        progress: Called after every episode.

    Attributes:
        found: Evaluations by the name of their run, in the order in which they were played.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        store: RunStore,
        run_id: str,
        engine: RolloutEngine,
        extensions: ActiveExtensions,
        progress: Progress | None,
    ) -> None:
        """Nothing is played yet."""
        self.recipe = recipe
        self.store = store
        self.run_id = run_id
        self.engine = engine
        self.extensions = extensions
        self.progress = progress
        self.found: dict[str, Evaluation] = {}
        self._curve_agents: dict[str, Agent] = {}
        self._clusters: dict[str, dict[str, str]] = {}

    def begin(self, extensions: ActiveExtensions) -> None:
        """Play with these extensions from now on."""
        self.extensions = extensions
        self._curve_agents = {}

    def policy(self, arm: str, policy: Policy) -> None:
        """Evaluate the policy as it is now, as the extensions of the recipe say."""
        if not ranks().is_main:
            return
        extensions = self.extensions
        if len(extensions) and not all(self.is_played(name) for name in runs_of(self.recipe, arm)):
            extensions.ready()

        def player(env: EnvConfig) -> Agent:
            return policy_agent(policy, self.recipe, backend=extensions.backend(), name=arm, env=env)

        self.play(arm, player, retry_errors=extensions.samples_elsewhere)

    def is_played(self, name: str) -> bool:
        """Whether a run of an arm has been played to its end, without errors."""
        run_id = f"{self.run_id}-{name}"
        return any(run.run_id == run_id and run.status == "finished" and not run.num_errors for run in self.store.runs())

    def play(self, arm: str, player: Callable[[EnvConfig], Agent], *, retry_errors: bool = False) -> None:
        """Play the test episodes of an arm that are not in the store yet.

        Args:
            arm: Its name.
            player: Returns the agent that plays in an environment.
            retry_errors: Play episodes again that ended with an error.
        """
        if not ranks().is_main:
            return
        table = self.recipe.evaluation
        for name, env in runs_of(self.recipe, arm).items():
            settings: dict[str, Any] = {"arm": arm, "training_run": self.run_id}
            if env.cluster_by is not None:
                settings["clusters"] = {"by": env.cluster_by, "of": self._clusters_of(env)}
            self.found[name] = evaluate(
                env.id,
                self.extensions.agent(player(env)),
                env_kwargs={**env.arguments, **self.extensions.env_arguments()},
                split=env.test_split,
                n=table.n,
                samples=table.samples,
                seed=table.seed,
                max_turns=table.max_turns,
                store=self.store,
                run_id=f"{self.run_id}-{name}",
                retry_errors=retry_errors,
                extra_config=settings,
                engine=self.engine,
                progress=self._report(name),
            )

    def curve(self, policy: Policy) -> dict[str, float]:
        """Play a few test tasks of each environment for the learning curve; nothing is stored."""
        self.extensions.ready()
        played = {env.name: self._short(policy, env) for env in self.recipe.envs}
        total = episode_metrics([trajectory for members in played.values() for trajectory in members])
        found = {metric: total[metric] for metric in with_own(CURVE, total)} | pass_at_powers(*played.values())
        for name, members in played.items():
            types = by_type(members)
            if self.recipe.is_mixture:
                own = episode_metrics(members)
                found |= {f"{metric}.{name}": own[metric] for metric in with_own(CURVE, own)}
                types = {metric.replace(".type.", f".{name}.type."): value for metric, value in types.items()}
            found |= types
        return found

    def totals(self) -> Mapping[str, Summary]:
        """Sum up each arm over the environments of a mixture; empty for a single environment."""
        if not self.recipe.is_mixture or not ranks().is_main:
            return {}
        names = {arm: [name for name in runs_of(self.recipe, arm) if name in self.found] for arm in arms_of(self.recipe)}
        return {
            arm: summarize_together({name: self.store.episodes(f"{self.run_id}-{name}") for name in played})
            for arm, played in names.items()
            if played
        }

    def _short(self, policy: Policy, env: EnvConfig) -> list[Trajectory]:
        """Play the short evaluation of one environment."""
        table = self.recipe.evaluation
        seed = stable_seed(table.seed, "curve")
        config = {
            "envs": [{"env_id": env.id, "env_kwargs": {**env.arguments, **self.extensions.env_arguments()}}],
            "split": env.test_split if table.curve_split is None else table.curve_split,
            "n": table.curve_n,
            "samples": table.curve_samples,
            "seed": seed,
            "max_turns": table.max_turns,
        }
        if env.name not in self._curve_agents:
            agent = policy_agent(policy, self.recipe, backend=self.extensions.backend(), seed=seed, env=env)
            self._curve_agents[env.name] = self.extensions.agent(agent)
        # the agent has this seed already: it need not be in the names of the episodes too
        plans = [replace(plan, session="") for plan in plan_evaluation(config)]
        return self.extensions.played(self.engine.collect(plans, self._curve_agents[env.name]))

    def _clusters_of(self, env: EnvConfig) -> dict[str, str]:
        """Return the clusters of an environment's test tasks, by task key."""
        if env.name not in self._clusters:
            self._clusters[env.name] = clusters_of(env, self.recipe.evaluation.n)
        return self._clusters[env.name]

    def _report(self, name: str) -> Callable[[int, int], None] | None:
        """Return what tells how far a run is."""
        progress = self.progress
        return None if progress is None else lambda done, total: progress(ProgressEvent(name, done, total))


__all__ = ["ArmEvaluations", "arms_of", "phase_arms", "runs_of"]
