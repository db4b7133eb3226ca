"""What a recipe holds, as checked and frozen data; `recipe.py` reads it from a file and says how it is written."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field, SerializeAsAny

from palaestra.algorithms.config import Config
from palaestra.algorithms.run.trackers import MetricsConfig
from palaestra.errors import ConfigError
from palaestra.types import Json


class EnvConfig(Config):
    """`[env]`: the environment. Every further key is an argument of the environment (e.g. `recipes = "procedural"`)."""

    id: str
    """Registered id."""
    train_split: str = "train"
    """Split whose tasks are trained on."""
    test_split: str = "test"
    """Split whose tasks are evaluated on; never trained on."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the environment."""


class ModelConfig(Config):
    """`[model]`: a checkpoint on disk, or a tiny model built on the spot."""

    path: str | None = None
    """Folder of a transformers model with tokenizer; None builds a tiny one from the environment's own texts."""
    hidden_size: int = Field(default=128, ge=8)
    """Width of the tiny model."""
    num_layers: int = Field(default=4, ge=1)
    """Layers of the tiny model."""
    num_heads: int = Field(default=4, ge=1)
    """Attention heads of the tiny model."""
    intermediate_size: int | None = Field(default=None, ge=1)
    """Width of its feed-forward layers; twice `hidden_size` if left out."""
    vocab_size: int = Field(default=1024, ge=272)
    """Largest vocabulary of the tiny model's tokenizer."""
    max_positions: int = Field(default=2048, ge=64)
    """Longest sequence of the tiny model, tokens."""
    corpus_episodes: int = Field(default=200, ge=1)
    """Expert episodes on train tasks whose texts the tokenizer is made from."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Number format of the weights."""


class AgentConfig(Config):
    """`[agent]`: how the policy plays, in training and in evaluation."""

    format: str = "text"
    """Prompt format: text, react, tools, json, code, hermes."""
    instructions: bool = True
    """Show the environment's instructions; a tiny model trained for one environment does without, and runs faster."""
    temperature: float = Field(default=1.0, gt=0)
    """Sampling temperature; log-probs in training are taken at the same one."""
    max_tokens_per_turn: int = Field(default=64, ge=1)
    """Most tokens sampled per turn."""
    concurrency: int = Field(default=64, ge=1)
    """Episodes in play at once."""


class EvaluationConfig(Config):
    """`[evaluation]`: what is measured on the test split."""

    n: int = Field(default=400, ge=1)
    """Test tasks of every arm, the first n of the split."""
    samples: int = Field(default=1, ge=1)
    """Episodes per task."""
    max_turns: int | None = Field(default=None, ge=1)
    """Horizon of evaluation, fixed whatever the training schedule; None leaves it to the environment."""
    baselines: tuple[Literal["random", "expert", "untrained"], ...] = ("random", "expert", "untrained")
    """Arms evaluated before training."""
    every: int = Field(default=0, ge=0)
    """Training steps between short evaluations for the learning curve; 0 is off."""
    curve_n: int = Field(default=64, ge=1)
    """Test tasks of a short evaluation."""
    seed: int = 0
    """Seed of evaluation: the same test episodes for every arm."""


class CheckpointConfig(Config):
    """`[checkpoint]`: how often, how many."""

    every: int = Field(default=10, ge=1)
    """Training steps between checkpoints."""
    keep: int = Field(default=2, ge=2)
    """Newest checkpoints that are kept."""


class PhaseConfig(Config):
    """One phase: an algorithm, its settings, and the extensions that are its own."""

    name: str
    """How checkpoints, metrics and reports call it."""
    algorithm: str
    """Name of the algorithm."""
    settings: SerializeAsAny[BaseModel]
    """The algorithm's own table, defaults filled in."""
    extensions: dict[str, SerializeAsAny[BaseModel] | None] = Field(default_factory=dict)
    """Tables of this phase by extension, in place of the recipe's; None leaves the recipe's out."""
    active: dict[str, SerializeAsAny[BaseModel]] = Field(default_factory=dict)
    """The tables that hold in this phase, the recipe's included, in the order in which extensions act."""


class Recipe(Config):
    """A whole training run."""

    name: str = ""
    """Shown in reports; the file's name by default."""
    description: str = ""
    """One or two sentences for the report."""
    seed: int = 0
    """Seed of weights, tasks and sampling."""
    threads: int = Field(default=1, ge=1)
    """Torch threads; more than one slows tiny models down."""
    envs: tuple[EnvConfig, ...]
    """The environments."""
    model: ModelConfig = ModelConfig()
    agent: AgentConfig = AgentConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    metrics: MetricsConfig | None = None
    """Where metrics are written in addition to the run's own log; None writes TensorBoard files."""
    phases: tuple[PhaseConfig, ...]
    """What is trained, in this order."""
    extensions: dict[str, SerializeAsAny[BaseModel]] = Field(default_factory=dict)
    """Tables of the whole recipe by extension (`[noise]`, `[horizon]`, ...), in the order in which extensions act."""

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

    def to_json(self) -> dict[str, Json]:
        """Return the recipe as plain JSON, defaults filled in; `parse_recipe` reads it back."""
        shown = {"envs", "phases", "extensions"}
        data: dict[str, Json] = self.model_dump(mode="json", exclude=shown, exclude_none=True)
        data["env"] = _env_json(self.envs[0])
        data["phases"] = self.phase_names
        data |= {name: _plain(table) for name, table in self.extensions.items()}
        data |= {phase.name: _plain(phase.settings) | _own_tables(phase) for phase in self.phases}
        return data


def _plain(table: BaseModel) -> dict[str, Json]:
    """Return a table as plain JSON."""
    return table.model_dump(mode="json", exclude_none=True)


def _own_tables(phase: PhaseConfig) -> dict[str, Json]:
    """Return the extension tables of one phase; false stands for one that is left out."""
    return {name: False if table is None else _plain(table) for name, table in phase.extensions.items()}


def _env_json(env: EnvConfig) -> dict[str, Json]:
    """Return an environment in the short form: its arguments among its keys."""
    return {"id": env.id, "train_split": env.train_split, "test_split": env.test_split, **env.arguments}
