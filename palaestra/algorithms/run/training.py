"""A whole training run from a recipe: model, baselines, phases, evaluations; resumable at any instant.

`train(recipe, store=...)` builds or loads the policy, evaluates the baselines on test tasks, runs the phases one after
the other and evaluates after each. Every evaluation ("arm") is a run of its own in the store, played on the same test
tasks with the same seeds. Whatever is finished when a run is killed is kept: arms by episode, phases by checkpoint.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from palaestra.agents.backends.checkpoints import align_weights
from palaestra.agents.evaluation.evaluation import Evaluation
from palaestra.agents.evaluation.summary import Summary
from palaestra.agents.reference import ExpertAgent, RandomAgent
from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.agents.store.records import Planned
from palaestra.agents.store.store import RunStore
from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.run.active_extensions import ActiveExtensions, check_tables, own_weights
from palaestra.algorithms.run.admission import check_start
from palaestra.algorithms.run.arms import ArmEvaluations, arms_of, phase_arms, runs_of
from palaestra.algorithms.run.best import best_of
from palaestra.algorithms.run.checkpoint import Checkpoints
from palaestra.algorithms.run.extension import ExtensionContext
from palaestra.algorithms.run.extension_registry import get_extension
from palaestra.algorithms.run.feed import make_env, make_feed
from palaestra.algorithms.run.metrics import MetricsLog
from palaestra.algorithms.run.on_policy import run_algorithm
from palaestra.algorithms.run.phase import CPU, Phase, Progress, ProgressEvent
from palaestra.algorithms.run.recipe import as_it_played, parse_recipe, read_recipe
from palaestra.algorithms.run.recipe_configs import START, Recipe
from palaestra.algorithms.run.registry import get_algorithm
from palaestra.algorithms.run.start import build_policy
from palaestra.algorithms.run.trackers import MetricsConfig, WandbTracker
from palaestra.algorithms.run.weights import KEY, Weights
from palaestra.algorithms.scale.ranks import join_ranks, ranks
from palaestra.errors import ConfigError, PalaestraError, UsageError
from palaestra.models.registry import get_model_kind
from palaestra.types import Json

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingResult:
    """What a training run gave.

    Attributes:
        run_id: The run in the store; metrics are logged under it.
        folder: Its artifacts: checkpoints, `metrics.jsonl`, TensorBoard files.
        policy_path: Model folder of the final policy; plays as `hf:PATH`.
        weights: Model folders by seat, where seats were trained with weights of their own.
        arms: Evaluations on test tasks by arm ("random", "expert", "untrained", "cloned", "trained"), in the order they
            were played; each is a run of the store. In a mixture by arm and environment ("cloned-Desk").
        totals: In a mixture each arm over all environments; empty for a single environment.
        train_cpu_s: By trained arm, CPU seconds of the phases that led to its policy, evaluations left out; of this process.
        seconds: Wall-clock seconds of this call.
        cpu_seconds: CPU seconds of this process in this call.
    """

    run_id: str
    folder: Path
    policy_path: Path
    weights: Mapping[str, Path] = field(default_factory=dict)
    arms: Mapping[str, Evaluation] = field(default_factory=dict)
    totals: Mapping[str, Summary] = field(default_factory=dict)
    train_cpu_s: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict."""
        return {
            "run_id": self.run_id,
            "folder": str(self.folder),
            "policy_path": str(self.policy_path),
            **({"weights": {name: str(path) for name, path in self.weights.items()}} if self.weights else {}),
            "arms": {name: evaluation.to_json() for name, evaluation in self.arms.items()},
            "totals": {name: summary.to_json() for name, summary in self.totals.items()},
            "train_cpu_s": dict(self.train_cpu_s),
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
        }


def train(
    recipe: Recipe | Mapping[str, Json] | str | Path,
    *,
    overrides: Sequence[str] = (),
    store: RunStore | str | Path = "runs",
    run_id: str | None = None,
    progress: Progress | None = None,
) -> TrainingResult:
    """Run a recipe from its start, or from wherever it was stopped.

    Under `accelerate launch` or `torchrun` every process calls it, with the same store on a disk that all of them see. The
    first one writes, evaluates and reports; the others play and train with it.

    Args:
        recipe: A recipe: the path of a TOML file, the name of one that comes with Palaestra ("textcraft_tiny"), plain data, or
            what `load_recipe` returns.
        overrides: `KEY=VALUE` with dotted keys, e.g. "grpo.lr=3e-4".
        store: Run store or its folder.
        run_id: Name of the run. If the store has it, the run is resumed; the recipe must be the same.
        progress: Called with a `ProgressEvent` after every step and episode.

    Raises:
        UsageError: If the recipe cannot work (unknown environment, split, key; nothing to clone).
        TrainingStopped: If a watchdog stopped training, or the server that samples failed; the last checkpoint is good.
        StoreError: If the store cannot be used, or another process runs this run.
    """
    import torch

    started, cpu_started = time.perf_counter(), time.process_time()
    recipe = read_recipe(recipe, overrides)
    check_tables(recipe)
    threads = torch.get_num_threads()
    torch.set_num_threads(recipe.threads)
    try:
        with contextlib.ExitStack() as stack:
            team = stack.enter_context(join_ranks())
            kept = store if isinstance(store, RunStore) else stack.enter_context(RunStore(store))
            run_id = team.on_main(lambda: _open_run(kept, run_id, recipe))
            if team.is_main:
                stack.enter_context(kept.lock(run_id))
            done = _Done(len(recipe.phases))
            with _status(kept, run_id, done) if team.is_main else contextlib.nullcontext():
                training = _Training(recipe, kept, run_id, progress, done)
                stack.callback(training.metrics.close)
                policy_path = training.run()
                totals = training.arms.totals()
    finally:
        torch.set_num_threads(threads)
    return TrainingResult(
        run_id=run_id,
        folder=training.folder,
        policy_path=policy_path,
        weights=training.weights,
        arms=training.arms.found,
        totals=totals,
        train_cpu_s=training.train_cpu_s,
        seconds=time.perf_counter() - started,
        cpu_seconds=time.process_time() - cpu_started,
    )


class _Done:
    """How much of a training run is done, for the note of its status.

    Args:
        num_phases: Phases of the recipe.
    """

    def __init__(self, num_phases: int) -> None:
        """Begin with nothing done."""
        self.num_phases = num_phases
        self.phases = 0
        self.step = ""
        self._told_at = -math.inf

    def __str__(self) -> str:
        """Return the note."""
        planned = Planned(self.phases, self.num_phases, "phases")
        return f"{self.step}, {planned}" if self.step else str(planned)

    def at(self, event: ProgressEvent) -> bool:
        """Take a step of a phase; return whether the note is due, once in a second: a kill leaves the last one."""
        self.step = f"{event.done:,} of {event.total:,} steps of {event.phase}"
        now = time.monotonic()
        if now - self._told_at < 1.0:
            return False
        self._told_at = now
        return True

    def next_phase(self) -> None:
        """Count a phase."""
        self.phases += 1
        self.step = ""


class _Training:
    """The state of one call of `train`."""

    def __init__(self, recipe: Recipe, store: RunStore, run_id: str, progress: Progress | None, done: _Done) -> None:
        self.done = done
        self.recipe = recipe
        self.store = store
        self.run_id = run_id
        self.progress = progress
        self.folder = store.run_folder(run_id)
        self.metrics = _metrics_log(recipe, self.folder, store, run_id)
        self.engine = RolloutEngine(
            recipe.agent.concurrency,
            env_workers=recipe.agent.workers,
            worker_kind=recipe.agent.worker_kind,
            step_timeout_s=recipe.agent.step_timeout_s,
        )
        for env in recipe.envs:
            self.engine.check_env(env.id)
        _check_curve(recipe)
        self.feed = make_feed(recipe.envs, seed=recipe.seed)
        self.shared: dict[str, Any] = {}
        self.weights: Mapping[str, Path] = {}
        self.train_cpu_s: dict[str, float] = {}
        self.arms: ArmEvaluations

    def run(self) -> Path:
        """Run everything that is not done yet and return the folder of the final policy."""
        policy, path = self.start()
        weights = self.shared[KEY] = Weights(path)
        # evaluations go by the tables of the recipe; those of a phase concern the episodes that the phase plays
        context = ExtensionContext("", self.recipe, policy, self.engine, self.store, path, self.shared)
        extensions = ActiveExtensions(self.recipe.extensions, context)
        self.arms = ArmEvaluations(
            self.recipe,
            store=self.store,
            run_id=self.run_id,
            engine=self.engine,
            extensions=extensions,
            progress=self.progress,
        )
        if not ranks().on_main(self.has_begun):  # a server that cannot be used is found out before anything is trained
            extensions.start()
        baselines = self.recipe.evaluation.baselines
        if "random" in baselines:
            self.arms.play("random", lambda env: RandomAgent(seed=self.recipe.seed))
        if "expert" in baselines:
            self.arms.play("expert", lambda env: ExpertAgent())
        if "untrained" in baselines:
            self.arms.policy("untrained", policy)
        trained: dict[str, Path] = {START: path}
        cpu_s = {path: 0.0}  # of all phases behind a policy
        for name, arm in phase_arms(self.recipe).items():
            config = self.recipe.phase(name)
            active = config.active
            own = own_weights(active)
            start = weights.of(own[0] if own else "") if config.start_from is None else trained[config.start_from]
            if start != path:  # another set of weights has its turn, or another phase is continued
                policy.load_weights(start)
                policy.version += 1
            # weights of their own are evaluated where they are trained
            self.arms.begin(ActiveExtensions({**self.recipe.extensions, **_apart(active)}, context) if own else extensions)
            path = trained[name] = self.run_phase(name, policy, start)
            cpu_s[path] = cpu_s[start] + self.cpu_s(name)
            self.note_cpu(arm, cpu_s[path])
            self.done.next_phase()
            if ranks().is_main:
                self.store.set_status(self.run_id, "running", str(self.done))
            weights.trained(own, path)
            self.arms.policy(arm, policy)
            self.warn_of_no_success(name, arm)
        self.weights = {name: weights.of(name) for name in weights.own}
        return path

    def warn_of_no_success(self, name: str, arm: str) -> None:
        """Warn where a phase that imitates leaves a policy that solves nothing, and one that learns from reward follows."""
        names = list(phase_arms(self.recipe))
        later = [get_algorithm(self.recipe.phase(one).algorithm) for one in names[names.index(name) + 1 :]]
        if get_algorithm(self.recipe.phase(name).algorithm).plays or not any(one.plays for one in later):
            return
        found = [self.arms.found[run] for run in runs_of(self.recipe, arm) if run in self.arms.found]
        scored = sum(one.summary.total.num_episodes - one.summary.total.num_errors for one in found)
        if scored and not any(one.summary.success.mean > 0 for one in found):
            log.warning(
                "After the phase %s the policy solved none of %d test episodes; training from reward begins with nothing to "
                "build on. Raise %s.episodes, %s.epochs or the size of [model], or choose easier tasks, until it solves some.",
                name,
                scored,
                name,
                name,
            )

    def start(self) -> tuple[Policy, Path]:
        """Return the policy as it is before training, and its folder.

        A resumed run has to have the weights at the same addresses, or the last bits of its log-probs differ. So a model that
        is loaded comes from the checkpoint of the start in both, and one that is built is aligned when it is loaded.
        """
        checkpoints = Checkpoints(self.folder / "checkpoints" / START)
        found = ranks().on_main(checkpoints.latest)
        is_built = get_model_kind(self.recipe.model_kind).build is not None
        if found is None:
            policy = build_policy(self.recipe, self.feed, self.engine)
            config = self.recipe.to_json()
            found = ranks().on_main(
                lambda: checkpoints.save(0, save_policy=policy.save, state={}, config=config, finished=True)
            )
            if is_built:
                return policy, found.policy_path
        policy = Policy.from_path(found.policy_path, dtype=self.recipe.model.dtype)
        if is_built:
            align_weights(policy.model)
        return policy, found.policy_path

    def run_phase(self, name: str, policy: Policy, start: Path) -> Path:
        """Run or resume one phase, or load its result if it is over; return the folder of the policy."""
        checkpoints = Checkpoints(self.folder / "checkpoints" / name, keep=self.recipe.checkpoint.keep)
        found = ranks().on_main(checkpoints.latest)
        if found is None or not found.finished:
            phase = Phase(
                name,
                recipe=self.recipe,
                policy=policy,
                feed=self.feed,
                engine=self.engine,
                checkpoints=checkpoints,
                metrics=self.metrics,
                reference_path=start,
                evaluate=partial(self.arms.curve, policy),
                store=self.store,
                progress=self.step_done,
                shared=self.shared,
                note=self.note,
            )
            config = self.recipe.phase(name)
            algorithm = get_algorithm(config.algorithm)
            tables = [table for table, own in config.extensions.items() if own is not None and not algorithm.plays]
            if unused := [table for table in tables if not get_extension(table).shows]:
                log.warning("Phase %s plays no episodes with the policy; its table %s does nothing.", name, unused[0])
            run_algorithm(algorithm, phase, config.settings)
            found = ranks().on_main(checkpoints.latest)
            if found is None or not found.finished:
                raise ConfigError(
                    f"Algorithm {config.algorithm!r} returned without a final checkpoint; save with finished=True."
                )
            result = ranks().on_main(partial(best_of, checkpoints, found))
            if result != found or phase.extensions.result_weights() is not None:  # what is kept is not what was trained last
                policy.load_weights(result.policy_path)
        else:
            result = ranks().on_main(partial(best_of, checkpoints, found))
            policy.load_weights(result.policy_path)
            policy.version = int(found.state()["policy_version"])
        if result != found:
            log.info("Phase %s: the run continues with the policy of step %d, the best one.", name, result.step)
        return result.policy_path

    def note(self, found: Mapping[str, Json]) -> None:
        """Take down in the run's record where episodes that are learned from were played."""
        if not ranks().is_main:
            return
        config = self.store.config(self.run_id)
        names = ("phase", "source")
        kept = [one for one in config.get("training_data", ()) if [one.get(n) for n in names] != [found[n] for n in names]]
        self.store.set_config(self.run_id, {**config, "training_data": [*kept, dict(found)]})

    def cpu_s(self, name: str) -> float:
        """Return the CPU seconds of a phase that is over; 0 where a run of an earlier version did not log them."""
        rows = self.metrics.rows(name)
        return float(rows[-1].get(CPU) or 0.0) if rows else 0.0

    def note_cpu(self, arm: str, seconds: float) -> None:
        """Take down in the run's record what a trained arm has cost."""
        if not ranks().is_main:
            return
        self.train_cpu_s |= dict.fromkeys(runs_of(self.recipe, arm), seconds)
        self.store.set_config(self.run_id, {**self.store.config(self.run_id), "train_cpu_s": dict(self.train_cpu_s)})

    def step_done(self, event: ProgressEvent) -> None:
        """Note a step of a phase, and tell it to the display."""
        if self.done.at(event):
            self.store.set_status(self.run_id, "running", str(self.done))
        if self.progress is not None:
            self.progress(event)

    def has_begun(self) -> bool:
        """Whether a phase of the run has a checkpoint."""
        return any((self.folder / "checkpoints" / name).exists() for name in self.recipe.phase_names)


def _check_curve(recipe: Recipe) -> None:
    """Refuse a split of the learning curve that an environment lacks; warn where a checkpoint is chosen by the test tasks."""
    table, best = recipe.evaluation, recipe.checkpoint.best
    if table.curve_split is None:
        if (best or "").startswith("test_"):
            log.warning(
                "checkpoint.best is %r, measured on test tasks: success on the same tasks in the end is too high an estimate. "
                "Set evaluation.curve_split to a split that nothing else is measured on.",
                best,
            )
        return
    for env in recipe.envs:
        made = make_env(env.id, env.arguments)
        try:
            if (tasks := getattr(made.unwrapped, "tasks", None)) is not None:
                tasks.split(table.curve_split)
        finally:
            made.close()


@contextlib.contextmanager
def _status(store: RunStore, run_id: str, done: _Done) -> Iterator[None]:
    """Keep the run's status true, whatever happens."""
    store.set_status(run_id, "running", str(done))
    try:
        yield
    except BaseException as error:
        with contextlib.suppress(PalaestraError):  # the reason to stop must not be hidden by a failing disk
            if isinstance(error, Exception):
                store.set_status(run_id, "failed", f"{str(error) or type(error).__name__} ({done})")
            else:
                store.set_status(run_id, "interrupted", str(done))
        raise
    store.set_status(run_id, "finished")


def _open_run(store: RunStore, run_id: str | None, recipe: Recipe) -> str:
    """Create the run, or check that the one to resume has the same recipe."""
    arms = [name for arm in arms_of(recipe) for name in runs_of(recipe, arm)]
    config: dict[str, Json] = {"kind": "train", "name": recipe.name, "arms": arms, "recipe": recipe.to_json()}
    if recipe.is_mixture:
        config["totals"] = {arm: list(runs_of(recipe, arm)) for arm in arms_of(recipe)}
    if run_id is None or run_id not in {run.run_id for run in store.runs()}:
        if known := check_start(recipe, store):
            config["training_data"] = known
        return store.create_run(config, run_id)
    stored, wanted = _comparable(as_it_played(store.config(run_id).get("recipe"))), _comparable(config["recipe"])
    if stored != wanted:
        changed = sorted(_differences(stored, wanted))
        raise ConfigError(
            f"Run {run_id!r} was started with another recipe (different: {', '.join(changed)}). Resume it with the same one, "
            f"or train under another run id."
        )
    return run_id


def _comparable(recipe: Json) -> Json:
    """Return what of a stored recipe has to be the same when its run resumes: not where a server is."""
    with contextlib.suppress(UsageError):
        parsed = parse_recipe(recipe)  # keys that are younger than the run get their defaults
        names = {*parsed.extensions, *(name for phase in parsed.phases for name in phase.extensions)}
        return parsed.to_json(without={name: get_extension(name).movable for name in names})
    return recipe


def _apart(tables: Mapping[str, BaseModel]) -> dict[str, BaseModel]:
    """Return the tables that train weights of their own."""
    return {name: table for name, table in tables.items() if own_weights({name: table})}


def _metrics_log(recipe: Recipe, folder: Path, store: RunStore, run_id: str) -> MetricsLog:
    """Return where the run logs; a package that is missing is an error before anything is played."""
    table = recipe.metrics or MetricsConfig()
    trackers = [WandbTracker(table, folder, run_id=run_id, config=recipe.to_json())] if table.wandb and ranks().is_main else []
    return MetricsLog(folder, store=store, run_id=run_id, tensorboard=table.tensorboard, trackers=trackers)


def _differences(old: Json, new: Json, prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys in which two recipes differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old.keys() | new.keys():
            yield from _differences(old.get(key), new.get(key), f"{prefix}.{key}" if prefix else key)
    elif old != new:
        yield prefix or "everything"
