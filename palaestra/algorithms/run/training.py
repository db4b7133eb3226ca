"""A whole training run from a recipe: model, baselines, phases, evaluations; resumable at any instant.

`train(recipe, store=...)` builds or loads the policy, evaluates the baselines on test tasks, runs the phases one after
the other and evaluates after each. Every evaluation ("arm") is a run of its own in the store, played on the same test
tasks with the same seeds. Whatever is finished when a run is killed is kept: arms by episode, phases by checkpoint.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from palaestra.agents.core import Agent
from palaestra.agents.evaluation.evaluation import Evaluation, evaluate, plan_evaluation
from palaestra.agents.reference import ExpertAgent, RandomAgent
from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.agents.store.store import RunStore
from palaestra.algorithms.data.demonstrations import expert_episodes
from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.math.seeds import stable_seed
from palaestra.algorithms.run.active_extensions import ActiveExtensions
from palaestra.algorithms.run.checkpoint import Checkpoints
from palaestra.algorithms.run.extension import ExtensionContext
from palaestra.algorithms.run.extension_registry import get_extension
from palaestra.algorithms.run.metrics import MetricsLog, episode_metrics
from palaestra.algorithms.run.on_policy import run_algorithm
from palaestra.algorithms.run.phase import Phase, Progress, ProgressEvent, TaskFeed, policy_agent
from palaestra.algorithms.run.recipe import load_recipe, parse_recipe
from palaestra.algorithms.run.recipe_configs import Recipe
from palaestra.algorithms.run.registry import get_algorithm
from palaestra.algorithms.run.trackers import MetricsConfig, WandbTracker
from palaestra.algorithms.scale.ranks import join_ranks, ranks
from palaestra.envs.formats.hermes import format_message
from palaestra.errors import ConfigError, PalaestraError, UsageError
from palaestra.types import Json, Trajectory

START = "start"


@dataclass(frozen=True)
class TrainingResult:
    """What a training run gave.

    Attributes:
        run_id: The run in the store; metrics are logged under it.
        folder: Its artifacts: checkpoints, `metrics.jsonl`, TensorBoard files.
        policy_path: Model folder of the final policy; plays as `hf:PATH`.
        arms: Evaluations on test tasks by arm ("random", "expert", "untrained", "cloned", "trained"), in the order they
            were played; each is a run of the store.
        seconds: Wall-clock seconds of this call.
        cpu_seconds: CPU seconds of this process in this call.
    """

    run_id: str
    folder: Path
    policy_path: Path
    arms: Mapping[str, Evaluation] = field(default_factory=dict)
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict."""
        return {
            "run_id": self.run_id,
            "folder": str(self.folder),
            "policy_path": str(self.policy_path),
            "arms": {name: evaluation.to_json() for name, evaluation in self.arms.items()},
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
        }


def train(
    recipe: Recipe | str | Path,
    *,
    store: RunStore | str | Path = "runs",
    run_id: str | None = None,
    progress: Progress | None = None,
) -> TrainingResult:
    """Run a recipe from its start, or from wherever it was stopped.

    Under `accelerate launch` or `torchrun` every process calls it, with the same store on a disk that all of them see. The
    first one writes, evaluates and reports; the others play and train with it.

    Args:
        recipe: A recipe, or the path of one.
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
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe)
    for phase in recipe.phases:
        for name, table in phase.active.items():
            get_extension(name).check(table, recipe)
    threads = torch.get_num_threads()
    torch.set_num_threads(recipe.threads)
    try:
        with contextlib.ExitStack() as stack:
            team = stack.enter_context(join_ranks())
            kept = store if isinstance(store, RunStore) else stack.enter_context(RunStore(store))
            run_id = team.on_main(lambda: _open_run(kept, run_id, recipe))
            if team.is_main:
                stack.enter_context(kept.lock(run_id))
            with _status(kept, run_id) if team.is_main else contextlib.nullcontext():
                training = _Training(recipe, kept, run_id, progress)
                stack.callback(training.metrics.close)
                policy_path = training.run()
    finally:
        torch.set_num_threads(threads)
    return TrainingResult(
        run_id=run_id,
        folder=training.folder,
        policy_path=policy_path,
        arms=training.arms,
        seconds=time.perf_counter() - started,
        cpu_seconds=time.process_time() - cpu_started,
    )


def build_policy(recipe: Recipe, feed: TaskFeed, engine: RolloutEngine) -> Policy:
    """Load the recipe's model, or build a tiny one whose tokenizer is made from the environment's own texts.

    Args:
        recipe: What to build.
        feed: Train tasks; the texts of expert episodes on them are the tokenizer's corpus.
        engine: Plays these episodes.
    """
    table = recipe.model
    if table.path is not None:
        return Policy.from_path(table.path, dtype=table.dtype)
    from palaestra.models.tiny_lm import build_tiny_lm

    episodes = expert_episodes(feed.plans("corpus", 1, num_tasks=table.corpus_episodes), engine=engine)
    shown = {"instructions": recipe.agent.instructions, "shows_tools": recipe.agent.format != "text"}
    corpus = [text for episode in episodes for text in _texts(episode, **shown)]
    model, tokenizer = build_tiny_lm(
        corpus,
        hidden_size=table.hidden_size,
        num_layers=table.num_layers,
        num_heads=table.num_heads,
        intermediate_size=table.intermediate_size,
        vocab_size=table.vocab_size,
        max_positions=table.max_positions,
        seed=recipe.seed,
    )
    return Policy(model, tokenizer)


def phase_arms(recipe: Recipe) -> dict[str, str]:
    """Return, by phase, what the policy after it is called: the algorithm's word, with its name if the word is taken."""
    arms: dict[str, str] = {}
    for phase in recipe.phases:
        arm = get_algorithm(phase.algorithm).arm
        arms[phase.name] = f"{arm}-{phase.name}" if arm in arms.values() else arm
    return arms


class _Training:
    """The state of one call of `train`."""

    def __init__(self, recipe: Recipe, store: RunStore, run_id: str, progress: Progress | None) -> None:
        self.recipe = recipe
        self.store = store
        self.run_id = run_id
        self.progress = progress
        self.folder = store.run_folder(run_id)
        self.metrics = _metrics_log(recipe, self.folder, store, run_id)
        self.engine = RolloutEngine(recipe.agent.concurrency)
        (env,) = recipe.envs
        self.feed = TaskFeed(env.id, env.arguments, split=env.train_split, seed=recipe.seed)
        self.arms: dict[str, Evaluation] = {}
        self.shared: dict[str, Any] = {}
        self.extensions: ActiveExtensions
        self._curve_agent: Agent | None = None

    def run(self) -> Path:
        """Run everything that is not done yet and return the folder of the final policy."""
        policy, path = self.start()
        # evaluations go by the tables of the recipe; those of a phase concern the episodes that the phase plays
        context = ExtensionContext("", self.recipe, policy, self.engine, self.store, path, self.shared)
        self.extensions = ActiveExtensions(self.recipe.extensions, context)
        if not ranks().on_main(self.has_begun):  # a server that cannot be used is found out before anything is trained
            self.extensions.start()
        baselines = self.recipe.evaluation.baselines
        if "random" in baselines:
            self.evaluate("random", RandomAgent(seed=self.recipe.seed))
        if "expert" in baselines:
            self.evaluate("expert", ExpertAgent())
        if "untrained" in baselines:
            self.evaluate_policy("untrained", policy)
        for name, arm in phase_arms(self.recipe).items():
            path = self.run_phase(name, policy, path)
            self.evaluate_policy(arm, policy)
        return path

    def start(self) -> tuple[Policy, Path]:
        """Return the policy as it is before training, and its folder."""
        checkpoints = Checkpoints(self.folder / "checkpoints" / START)
        found = ranks().on_main(checkpoints.latest)
        if found is None:
            policy = build_policy(self.recipe, self.feed, self.engine)
            config = self.recipe.to_json()
            found = ranks().on_main(
                lambda: checkpoints.save(0, save_policy=policy.save, state={}, config=config, finished=True)
            )
            return policy, found.policy_path
        return Policy.from_path(found.policy_path, dtype=self.recipe.model.dtype), found.policy_path

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
                evaluate=partial(self.short_evaluation, policy),
                store=self.store,
                progress=self.progress,
                shared=self.shared,
            )
            config = self.recipe.phase(name)
            run_algorithm(get_algorithm(config.algorithm), phase, config.settings)
            found = ranks().on_main(checkpoints.latest)
            if found is None or not found.finished:
                raise ConfigError(
                    f"Algorithm {config.algorithm!r} returned without a final checkpoint; save with finished=True."
                )
        else:
            policy.load_weights(found.policy_path)
            policy.version = int(found.state()["policy_version"])
        return found.policy_path

    def has_begun(self) -> bool:
        """Whether a phase of the run has a checkpoint."""
        return any((self.folder / "checkpoints" / name).exists() for name in self.recipe.phase_names)

    def evaluate_policy(self, arm: str, policy: Policy) -> None:
        """Play the test episodes of an arm with the policy as it is now, as the extensions of the recipe say."""
        if not ranks().is_main:
            return
        if len(self.extensions) and not self.is_played(arm):
            self.extensions.ready()
        agent = policy_agent(policy, self.recipe, backend=self.extensions.backend(), name=arm)
        self.evaluate(arm, agent, retry_errors=self.extensions.samples_elsewhere)

    def is_played(self, arm: str) -> bool:
        """Whether an arm has been played to its end, without errors."""
        run_id = f"{self.run_id}-{arm}"
        return any(run.run_id == run_id and run.status == "finished" and not run.num_errors for run in self.store.runs())

    def evaluate(self, arm: str, agent: Agent, *, retry_errors: bool = False) -> None:
        """Play the test episodes of an arm that are not in the store yet."""
        if not ranks().is_main:
            return
        table = self.recipe.evaluation
        settings: dict[str, Any] = {"arm": arm, "training_run": self.run_id}
        self.arms[arm] = evaluate(
            self.recipe.envs[0].id,
            self.extensions.agent(agent),
            env_kwargs=self.recipe.envs[0].arguments,
            split=self.recipe.envs[0].test_split,
            n=table.n,
            samples=table.samples,
            seed=table.seed,
            max_turns=table.max_turns,
            store=self.store,
            run_id=f"{self.run_id}-{arm}",
            retry_errors=retry_errors,
            extra_config=settings,
            engine=self.engine,
            progress=lambda done, total: self.report(arm, done, total),
        )

    def short_evaluation(self, policy: Policy) -> dict[str, float]:
        """Play a few test tasks for the learning curve; nothing is stored."""
        table = self.recipe.evaluation
        plans = plan_evaluation(
            {
                "envs": [{"env_id": self.recipe.envs[0].id, "env_kwargs": self.recipe.envs[0].arguments}],
                "split": self.recipe.envs[0].test_split,
                "n": table.curve_n,
                "samples": 1,
                "seed": stable_seed(table.seed, "curve"),
                "max_turns": table.max_turns,
            }
        )
        if self._curve_agent is None:
            seed = stable_seed(table.seed, "curve")
            agent = policy_agent(policy, self.recipe, backend=self.extensions.backend(), seed=seed)
            self._curve_agent = self.extensions.agent(agent)
        self.extensions.ready()
        found = episode_metrics(self.extensions.played(self.engine.collect(plans, self._curve_agent)))
        return {name: found[name] for name in ("success", "score_mean", "turns_mean")}

    def report(self, phase: str, done: int, total: int) -> None:
        """Tell how far an arm is."""
        if self.progress is not None:
            self.progress(ProgressEvent(phase, done, total))


@contextlib.contextmanager
def _status(store: RunStore, run_id: str) -> Iterator[None]:
    """Keep the run's status true, whatever happens."""
    store.set_status(run_id, "running")
    try:
        yield
    except BaseException as error:
        with contextlib.suppress(PalaestraError):  # the reason to stop must not be hidden by a failing disk
            stopped = not isinstance(error, Exception)
            store.set_status(run_id, "stopped" if stopped else "failed", "" if stopped else str(error) or type(error).__name__)
        raise
    store.set_status(run_id, "finished")


def _open_run(store: RunStore, run_id: str | None, recipe: Recipe) -> str:
    """Create the run, or check that the one to resume has the same recipe."""
    arms = [*recipe.evaluation.baselines, *phase_arms(recipe).values()]
    config = {"kind": "train", "name": recipe.name, "arms": arms, "recipe": recipe.to_json()}
    if run_id is None or run_id not in {run.run_id for run in store.runs()}:
        return store.create_run(config, run_id)
    stored, wanted = _comparable(store.config(run_id).get("recipe")), _comparable(config["recipe"])
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
        return _without_movable(parsed.to_json(), parsed)
    return recipe


def _without_movable(data: dict[str, Json], recipe: Recipe) -> dict[str, Json]:
    """Leave out the keys of extension tables that may differ when a run resumes."""

    def fixed(table: dict[str, Json], names: Iterable[str]) -> dict[str, Json]:
        movable = {name: get_extension(name).movable for name in names if isinstance(table.get(name), dict)}
        kept = {name: {k: v for k, v in table[name].items() if k not in keys} for name, keys in movable.items()}
        return {**table, **kept}

    data = fixed(data, recipe.extensions)
    return {**data, **{phase.name: fixed(data[phase.name], phase.extensions) for phase in recipe.phases}}


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


def _texts(episode: Trajectory, *, instructions: bool, shows_tools: bool) -> Iterator[str]:
    """Yield the texts of an episode as the model will read and write them."""
    for message in episode.messages():
        if message.role == "assistant":
            yield format_message(message)
        elif message.role != "system" or instructions:
            yield message.content
    if shows_tools:
        yield from (json.dumps(tool, ensure_ascii=False) for tool in episode.tools)
