"""Recipes: a training run as a TOML file, checked before anything starts.

`load_recipe(path, ["env.recipes=PATH", "grpo.lr=3e-4"])` reads the file, applies the overrides (dotted keys, values as
TOML, bare words as text) and returns a frozen `Recipe`. Unknown keys, wrong types and impossible values are one
`ConfigError` each with the key, the value and the next move.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from palaestra.algorithms.config import Config, check, nearest
from palaestra.algorithms.data.reward_noise import NoiseConfig
from palaestra.algorithms.run.registry import algorithm_names, get_algorithm
from palaestra.algorithms.run.scaling_inter import HorizonConfig
from palaestra.algorithms.run.trackers import MetricsConfig
from palaestra.algorithms.scale.asynchronous import AsynchronousConfig
from palaestra.algorithms.scale.server_sampler import SamplerConfig
from palaestra.errors import ConfigError
from palaestra.types import Json


class EnvConfig(BaseModel):
    """`[env]`: the environment; every further key is an argument of the environment (e.g. `recipes = "procedural"`)."""

    model_config = ConfigDict(extra="allow", frozen=True)

    id: str
    """Registered id."""
    train_split: str = "train"
    """Split whose tasks are trained on."""
    test_split: str = "test"
    """Split whose tasks are evaluated on; never trained on."""

    @property
    def kwargs(self) -> dict[str, Json]:
        """Arguments for the environment itself."""
        return dict(self.model_extra or {})


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


class Recipe(BaseModel):
    """A whole training run. The tables of the phases (`[sft]`, `[grpo]`, ...) are in `phase_config`."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = ""
    """Shown in reports; the file's name by default."""
    description: str = ""
    """One or two sentences for the report."""
    seed: int = 0
    """Seed of weights, tasks and sampling."""
    threads: int = Field(default=1, ge=1)
    """Torch threads; more than one slows tiny models down."""
    phases: tuple[str, ...] = ("sft", "grpo")
    """Names of algorithms, run in this order; each has a table of its name."""
    env: EnvConfig
    model: ModelConfig = ModelConfig()
    agent: AgentConfig = AgentConfig()
    horizon: HorizonConfig | None = None
    """ScalingInter schedule of the turns a training episode may take; None leaves the horizon to the environment."""
    noise: NoiseConfig | None = None
    """How the reward of training episodes lies; None leaves it true. Evaluation is always clean."""
    asynchronous: AsynchronousConfig | None = None
    """Steps do not wait for their slowest episodes; None lets every step play exactly its own."""
    sampler: SamplerConfig | None = None
    """A vLLM server that samples the training episodes; None samples them in the process that trains."""
    evaluation: EvaluationConfig = EvaluationConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    metrics: MetricsConfig | None = None
    """Where metrics are written beside the run's own log; None writes TensorBoard files."""

    def phase_config(self, name: str) -> BaseModel:
        """Return the checked settings of a phase.

        Where a server samples, `correction` is "token" unless the table says otherwise: another engine is another policy, and
        "off" has to be written.

        Raises:
            ConfigError: If its table has unknown keys or wrong values.
        """
        model, data = get_algorithm(name).config, (self.model_extra or {}).get(name, {})
        if self.sampler is not None and "correction" in model.model_fields and isinstance(data, dict):
            data = {"correction": "token", **data}
        return check(model, data, name)

    def to_json(self) -> dict[str, Json]:
        """Return the recipe as plain JSON, defaults filled in; `parse_recipe` reads it back."""
        data: dict[str, Json] = self.model_dump(mode="json", exclude_none=True)
        for name in self.phases:
            data[name] = self.phase_config(name).model_dump(mode="json", exclude_none=True)
        return data


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe file.

    Args:
        path: TOML file.
        overrides: `KEY=VALUE` with dotted keys, e.g. `grpo.lr=3e-4`, `horizon.rounds=[4,8]`, `env.recipes=../recipes`.

    Raises:
        ConfigError: If the file is missing or no TOML, or a key or value is wrong.
    """
    file = Path(path)
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"There is no recipe {str(file)!r}; recipes/ holds ready-made ones.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"Recipe {str(file)!r} could not be read: {error}.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"Recipe {str(file)!r} is no valid TOML: {error}.") from None
    for override in overrides:
        _apply(data, override)
    data.setdefault("name", file.stem)
    return parse_recipe(data)


def parse_recipe(data: Mapping[str, Json]) -> Recipe:
    """Check plain data and return the recipe.

    Raises:
        ConfigError: If a key or value is wrong.
    """
    recipe = check(Recipe, data, "")
    if not recipe.phases:
        raise ConfigError("phases is empty; expected the algorithms to run, e.g. phases = ['sft', 'grpo'].")
    if len(set(recipe.phases)) < len(recipe.phases):
        raise ConfigError(f"phases is {list(recipe.phases)}; expected each algorithm at most once.")
    if recipe.sampler is not None:
        recipe.sampler.refuse(recipe.model.path)
    for phase in recipe.phases:
        config = recipe.phase_config(phase)
        if recipe.asynchronous is not None:
            recipe.asynchronous.refuse(phase, config)
    algorithms = algorithm_names()
    for key in recipe.model_extra or {}:
        if key not in algorithms:
            raise ConfigError(f"Unknown key {key!r} in the recipe.{nearest(key, [*Recipe.model_fields, *algorithms])}")
        recipe.phase_config(key)  # a phase that is switched off is checked all the same
    return recipe


def _apply(data: dict[str, Any], override: str) -> None:
    """Set one dotted key."""
    key, separator, text = override.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not separator or not all(parts):
        raise ConfigError(f"--set {override!r} is no assignment; expected KEY=VALUE, e.g. grpo.lr=3e-4.")
    table = data
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {override!r}: {part!r} is a value, not a table.")
    table[parts[-1]] = _value(text.strip())


def _value(text: str) -> Any:
    """Read a TOML value; what is none is a text, so that paths and names need no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
