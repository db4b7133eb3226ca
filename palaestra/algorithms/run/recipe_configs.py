"""What a recipe holds, as checked and frozen data; `recipe.py` reads it from a file and says how it is written."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, Field, SerializeAsAny, field_validator, model_validator

from palaestra.agents.formats import FORMATS
from palaestra.agents.masking import masked
from palaestra.agents.ranges import MAX_SECONDS, MAX_THREADS
from palaestra.agents.rollout.plans import MAX_CONCURRENCY, MAX_SEED, MAX_WORKERS
from palaestra.algorithms.config import MOST_COUNTED, MOST_HELD, Config, Need
from palaestra.algorithms.data.provenance import Allowed
from palaestra.algorithms.run.trackers import MetricsConfig
from palaestra.errors import ConfigError, unknown_name
from palaestra.models.registry import ModelConfig
from palaestra.types import Json


def _known_format(name: str) -> str:
    """Refuse a prompt format that agents do not know, before anything is built."""
    if name not in FORMATS:
        raise ConfigError(str(unknown_name("format", name, FORMATS)))
    return name


FormatName = Annotated[str, AfterValidator(_known_format)]

PHASE_KEYS = ("start_from", "evaluate_every")
"""Keys that the table of a phase may have, whatever its algorithm."""

START = "start"
"""What the policy before all phases is called: its checkpoint, and as `start_from` of a phase."""

DEFAULT_KINDS = ("tiny", "checkpoint")
"""Kinds of models that need no name: `path` says which of the two is meant."""


class EnvConfig(Config):
    """`[[env]]`: one environment of the recipe, or of a mixture of several.

    In the short form `[env]`, for a single environment, its arguments may stand among the keys (`recipes = "procedural"`).
    """

    id: str
    """Registered id."""
    name: str = Field(default="", validate_default=True)
    """How metrics, evaluations and `--set` call it; by default the id without its package and version."""
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Share of the training groups that are played in it, relative to the other environments."""
    train_split: str = "train"
    """Split whose tasks are trained on."""
    test_split: str = "test"
    """Split whose tasks are evaluated on; never trained on."""
    format: FormatName | None = None
    """Prompt format in this environment; that of `[agent]` if left out."""
    cluster_by: str | None = None
    """Key of a test task's data, e.g. "goal": tasks with the same value there are one cluster in the intervals of evaluations;
    by default every task is one of its own."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the environment."""

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: Any) -> Any:
        if isinstance(data, dict) and not data.get("name") and isinstance(data.get("id"), str):
            return {**data, "name": default_env_name(data["id"])}
        return data

    @field_validator("name")
    @classmethod
    def _name_can_be_one(cls, name: str) -> str:
        return checked_name(name)


class AgentConfig(Config):
    """`[agent]`: how the policy plays, in training and in evaluation."""

    format: FormatName = "text"
    """Prompt format: text, react, tools, json, code, hermes."""
    instructions: bool = True
    """Show the environment's instructions; a tiny model trained for one environment does without, and runs faster."""
    temperature: float = Field(default=1.0, gt=0)
    """Sampling temperature; log-probs in training are taken at the same one."""
    max_tokens_per_turn: int = Field(default=64, ge=1, le=MOST_HELD)
    """Most tokens sampled per turn."""
    cut: Literal["refuse", "play"] = "refuse"
    """What becomes of an answer cut off by that limit: "refuse" plays nothing of it, and the policy is told so; "play" plays
    what there is. Its tokens are trained on either way."""
    concurrency: int = Field(default=64, ge=1, le=MAX_CONCURRENCY)
    """Episodes in play at once."""
    workers: int | None = Field(default=None, ge=0, le=MAX_WORKERS)
    """Environments that run outside of the event loop at once; by default those that block run in 8 workers."""
    worker_kind: Literal["process", "thread"] | None = None
    """What a worker is; by default a thread for environments that block, a process for all others."""
    step_timeout_s: float | None = Field(default=None, gt=0, le=MAX_SECONDS)
    """Limit of one call of an environment in a worker, in seconds."""


class EvaluationConfig(Config):
    """`[evaluation]`: what is measured on the test split."""

    held: ClassVar[tuple[str, ...]] = ("n", "samples")

    needs: ClassVar[Mapping[str, Need]] = dict.fromkeys(("curve_n", "curve_samples", "curve_split"), Need("every"))

    n: int = Field(default=400, ge=1, le=MOST_HELD)
    """Test tasks of every arm, the first n of the split."""
    samples: int = Field(default=1, ge=1, le=MOST_HELD)
    """Episodes per task."""
    max_turns: int | None = Field(default=None, ge=1, le=MOST_COUNTED)
    """Horizon of evaluation, fixed whatever the training schedule; None leaves it to the environment."""
    baselines: tuple[Literal["random", "expert", "untrained"], ...] = ("random", "expert", "untrained")
    """Arms evaluated before training."""
    every: int = Field(default=0, ge=0, le=MOST_COUNTED)
    """Training steps between short evaluations for the learning curve; 0 is off."""
    curve_n: int = Field(default=64, ge=1, le=MOST_HELD)
    """Test tasks of a short evaluation."""
    curve_samples: int = Field(default=1, ge=1, le=MOST_HELD)
    """Episodes of each of them; with several the curve has `test_pass_at_K` too."""
    curve_split: str | None = None
    """Split of the short evaluations; the environment's test split if left out. One of its own where a checkpoint is chosen by
    the curve (`checkpoint.best`), so that the final figures are of other tasks."""
    seed: int = Field(default=0, ge=0, le=MAX_SEED)
    """Seed of evaluation: the same test episodes for every arm."""

    @model_validator(mode="after")
    def _curve_can_be_held(self) -> EvaluationConfig:
        if self.curve_n * self.curve_samples > MOST_HELD:
            raise ConfigError(
                f"curve_n = {self.curve_n:,} and curve_samples = {self.curve_samples:,} are too many episodes at once; "
                f"expected a product of at most {MOST_HELD:,}."
            )
        return self


class CheckpointConfig(Config):
    """`[checkpoint]`: how often, how many."""

    needs: ClassVar[Mapping[str, Need]] = {"best_mode": Need("best")}

    every: int = Field(default=10, ge=1, le=MOST_COUNTED)
    """Training steps between checkpoints."""
    keep: int = Field(default=2, ge=2, le=MOST_COUNTED)
    """Newest checkpoints that are kept."""
    best: str | None = None
    """Metric by which a phase gives the policy of its best step in place of the last one: "test_success" (a point of the
    learning curve, see `evaluation.curve_split`) or any other that is logged; None is off."""
    best_mode: Literal["max", "min"] = "max"
    """Whether the highest or the lowest value is best."""
    patience: int | None = Field(default=None, ge=1, le=MOST_COUNTED)
    """With `best`: measurements of that metric without a better one after which the phase ends; None makes all steps."""

    @model_validator(mode="after")
    def _patience_needs_a_metric(self) -> CheckpointConfig:
        if self.patience is not None and self.best is None:
            raise ConfigError(
                f"checkpoint.patience is {self.patience}, and nothing says what has to get better. Name a metric, e.g. "
                f'checkpoint.best = "test_success".'
            )
        return self


class PhaseConfig(Config):
    """`[[phase]]`: an algorithm, its settings among the keys, and tables of extensions that are the phase's own.

    In the short form, `phases = ["sft", "grpo"]` names the algorithms, and each has a table of its name (`[sft]`).
    """

    algorithm: str
    """Name of the algorithm."""
    name: str = ""
    """How checkpoints, metrics, reports and `--set` call it; by default the algorithm's name."""
    start_from: str | None = None
    """Earlier phase whose policy this one begins with, or "start" for the untrained one; by default the phase before it."""
    evaluate_every: int | None = Field(default=None, ge=0, le=MOST_COUNTED)
    """Training steps between the points of this phase's learning curve, 0 for none; by default `evaluation.every`."""
    settings: SerializeAsAny[BaseModel]
    """The algorithm's own table, defaults filled in."""
    extensions: dict[str, SerializeAsAny[BaseModel] | None] = Field(default_factory=dict)
    """Tables of this phase by extension, in place of the recipe's; None leaves the recipe's out."""
    active: dict[str, SerializeAsAny[BaseModel]] = Field(default_factory=dict)
    """The tables that hold in this phase, the recipe's included, in the order in which extensions act."""

    def own_keys(self) -> dict[str, Json]:
        """Return the keys of the phase's table that are neither its algorithm's nor an extension's, those that were given."""
        return {key: value for key in PHASE_KEYS if (value := getattr(self, key)) is not None}


class Recipe(Config):
    """A whole training run: environments, a model, phases, and how they are played, evaluated and saved."""

    name: str = ""
    """Shown in reports; the file's name by default."""
    description: str = ""
    """One or two sentences for the report."""
    seed: int = Field(default=0, ge=0, le=MAX_SEED)
    """Seed of weights, tasks and sampling."""
    first_task: int = Field(default=0, ge=0, le=MOST_COUNTED)
    """Place in the endless order of training tasks at which the first phase begins, each later one behind it: 0, or behind
    the tasks of the run that trained the model."""
    threads: int = Field(default=1, ge=1, le=MAX_THREADS)
    """Torch threads; more than one slows tiny models down."""
    allow: tuple[Allowed, ...] = ()
    """What may be learned from though it is refused otherwise: episodes of "test_tasks", on which the recipe evaluates, and of
    "other_envs", which it does not have. The report says what was let in."""
    envs: tuple[EnvConfig, ...]
    """The environments."""
    model_kind: str = "tiny"
    """Kind of the model that training begins with: `[model] kind`."""
    model: SerializeAsAny[ModelConfig]
    """Settings of that kind."""
    agent: AgentConfig = AgentConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    metrics: MetricsConfig | None = None
    """Where metrics are written in addition to the run's own log; None writes TensorBoard files."""
    phases: tuple[PhaseConfig, ...]
    """What is trained, in this order."""
    extensions: dict[str, SerializeAsAny[BaseModel]] = Field(default_factory=dict)
    """Tables of the whole recipe by extension (`[noise]`, `[horizon]`, ...), in the order in which extensions act."""

    @model_validator(mode="after")
    def _best_is_measured(self) -> Recipe:
        if (self.checkpoint.best or "").startswith("test_") and not any(map(self.evaluates_every, self.phase_names)):
            raise ConfigError(
                f"checkpoint.best is {self.checkpoint.best!r}, and evaluation.every is 0: the learning curve has no points. "
                f"Set evaluation.every, training steps between two of them."
            )
        return self

    @model_validator(mode="after")
    def _starts_are_earlier_phases(self) -> Recipe:
        for index, phase in enumerate(self.phases):
            earlier = [START, *self.phase_names[:index]]
            if phase.start_from is not None and phase.start_from not in earlier:
                raise ConfigError(
                    f"phase.{phase.name}.start_from is {phase.start_from!r}; expected a phase that is run before it, or "
                    f"{START!r}: one of {', '.join(earlier)}."
                )
        return self

    def evaluates_every(self, name: str) -> int:
        """Return the training steps between two points of the learning curve of a phase; 0 if it has none."""
        own = self.phase(name).evaluate_every
        return self.evaluation.every if own is None else own

    def phase(self, name: str) -> PhaseConfig:
        """Return a phase by name.

        Raises:
            ConfigError: If there is none of this name.
        """
        found = next((phase for phase in self.phases if phase.name == name), None)
        if found is None:
            raise ConfigError(f"There is no phase {name!r} in the recipe; its phases are {self.phase_names}.")
        return found

    @property
    def phase_names(self) -> list[str]:
        """Names of the phases, in their order."""
        return [phase.name for phase in self.phases]

    @property
    def is_mixture(self) -> bool:
        """Whether there are several environments."""
        return len(self.envs) > 1

    def to_json(self, *, without: Mapping[str, Collection[str]] | None = None) -> dict[str, Json]:
        """Return the recipe as plain JSON, defaults filled in; `parse_recipe` reads it back.

        Secrets (options of agents in other seats) are masked: this is what is stored and shown.
        A single environment, and phases that are called like their algorithms, are written in the short form.

        Args:
            without: Keys to leave out of the tables of extensions, by the name of the extension.
        """
        written = {"envs", "phases", "extensions", "model_kind"}
        data: dict[str, Json] = self.model_dump(mode="json", exclude=written, exclude_none=True)
        if self.model_kind not in DEFAULT_KINDS:
            data["model"]["kind"] = self.model_kind
        if not data["allow"]:  # a word that nobody wrote stays out of the records of runs
            del data["allow"]
        data["env"] = [_plain(env) for env in self.envs] if self.is_mixture else _short_env(self.envs[0])
        data |= _tables(self.extensions, without or {})
        phases = {
            phase.name: phase.own_keys() | _plain(phase.settings) | _tables(phase.extensions, without or {})
            for phase in self.phases
        }
        if all(phase.name == phase.algorithm for phase in self.phases):
            return masked({**data, "phases": self.phase_names, **phases})
        listed = [{"algorithm": phase.algorithm, "name": phase.name, **phases[phase.name]} for phase in self.phases]
        return masked({**data, "phase": listed})


def default_env_name(env_id: str) -> str:
    """Return the name of an environment without a name of its own: its id without package and version."""
    bare = re.sub(r"-v\d+$", "", env_id.rpartition("/")[2])
    return re.sub(r"[^A-Za-z0-9_-]+", "-", bare).strip("-_") or "env"


def checked_name(name: str) -> str:
    """Return the name of an environment or a phase if it can be part of dotted keys, metrics and file names.

    Raises:
        ConfigError: If it cannot.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name) or name.isdigit():
        raise ConfigError(f"{name!r} cannot be a name; expected letters, digits, - and _, and not digits alone.")
    return name


def _plain(table: BaseModel) -> dict[str, Json]:
    """Return a table as plain JSON."""
    return table.model_dump(mode="json", exclude_none=True)


def _tables(tables: Mapping[str, BaseModel | None], without: Mapping[str, Collection[str]]) -> dict[str, Json]:
    """Return tables of extensions as plain JSON; false stands for one that a phase leaves out."""
    return {
        name: False
        if table is None
        else {key: value for key, value in _plain(table).items() if key not in without.get(name, ())}
        for name, table in tables.items()
    }


def _short_env(env: EnvConfig) -> dict[str, Json]:
    """Return an environment in the short form: what is said of it, its arguments among its keys."""
    data = {"id": env.id, "train_split": env.train_split, "test_split": env.test_split}
    if env.name != default_env_name(env.id):
        data["name"] = env.name
    if env.format is not None:
        data["format"] = env.format
    if env.cluster_by is not None:
        data["cluster_by"] = env.cluster_by
    own = {key: value for key, value in env.arguments.items() if key in EnvConfig.model_fields}
    short = {key: value for key, value in env.arguments.items() if key not in own}
    return {**data, **short, **({"arguments": own} if own else {})}
