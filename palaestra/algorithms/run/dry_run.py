"""What a recipe will do and hold, before anything is trained: `palaestra train RECIPE --dry-run`.

The recipe is read and checked as for training, its environments are opened and a few of their expert's episodes are played to
see how long texts are. The model is counted without its weights: from its folder's configuration, from `[model.shape]`
where the folder is not on this machine, or, for a model that is built on the spot, from the model itself. Learners are
built on a model without storage, which shows what each of them holds (see `learner.memory`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium
import torch

from palaestra.agents.context import CHARS_PER_TOKEN
from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.algorithms.learner.memory import Held, Shape, UpdateBytes, cache_bytes, held_by, shape_of, update_bytes
from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.run.active_extensions import check_tables
from palaestra.algorithms.run.extension_registry import get_extension
from palaestra.algorithms.run.feed import make_env, make_feed
from palaestra.algorithms.run.recipe_configs import EnvConfig, PhaseConfig, Recipe
from palaestra.algorithms.run.registry import Algorithm, get_algorithm
from palaestra.algorithms.run.scaling_inter import HorizonConfig
from palaestra.algorithms.run.start import build_policy
from palaestra.envs.core.outermost import outermost
from palaestra.errors import ConfigError
from palaestra.models.checkpoint import configuration
from palaestra.models.registry import get_model_kind
from palaestra.types import Json

NUM_EPISODES = 8
USABLE = 0.9
"""Share of a device's memory that a plan may fill; the rest goes to fragments and to the libraries."""

_PLACEHOLDER = ["The quick brown fox jumps over the lazy dog."]

CountTokens = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Texts:
    """How long the texts of an environment are, in tokens, over some episodes of its expert.

    Attributes:
        env: Name of the environment in the recipe.
        num_episodes: Episodes that were looked at.
        prompt: Longest opening: instructions, tools and the first observation.
        observation: Mean of an observation after that.
        longest_observation: Longest of them.
        turns: Most turns that the expert needed; 0 if there is no expert.
        max_turns: The environment's own horizon; None if it has none.
    """

    env: str
    num_episodes: int
    prompt: int
    observation: float
    longest_observation: int
    turns: int
    max_turns: int | None


@dataclass(frozen=True, slots=True)
class PhasePlan:
    """What a phase plays and holds.

    Attributes:
        name: Of the phase.
        algorithm: Its algorithm.
        steps: Training steps, or None where data decide.
        episodes: Episodes of a step.
        rounds: Turns that an episode may take, by stage of the horizon.
        sampled: Most tokens that the policy writes in a step, by stage.
        tokens: Most tokens of a step, the environment's included, by stage: means of its observations.
        longest: Tokens of the longest dialogue.
        microbatch: Tokens of a micro-batch.
        update: Bytes of the update on each device.
        sampling: Bytes of keys and values while a step is played, on each device; 0 where nothing is played.
    """

    name: str
    algorithm: str
    steps: int | None
    episodes: int
    rounds: tuple[int, ...]
    sampled: tuple[int, ...]
    tokens: tuple[int, ...]
    longest: int
    microbatch: int
    update: UpdateBytes
    sampling: int

    @property
    def peak(self) -> int:
        """Most bytes on a device at any moment of the phase."""
        held = self.update.weights + self.update.frozen + self.update.moments
        return max(self.update.peak, held + self.sampling)

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict; bytes are those of one device."""
        update: dict[str, Json] = {name: getattr(self.update, name) for name in UpdateBytes.__slots__}
        return {
            "name": self.name,
            "algorithm": self.algorithm,
            "steps": self.steps,
            "episodes_per_step": self.episodes,
            "rounds": list(self.rounds),
            "sampled_tokens_per_step": list(self.sampled),
            "tokens_per_step": list(self.tokens),
            "longest_dialogue": self.longest,
            "microbatch_tokens": self.microbatch,
            "bytes": {**update, "sampling": self.sampling, "peak": self.peak},
        }


@dataclass(frozen=True, slots=True)
class DryRun:
    """The plan of a recipe.

    Attributes:
        recipe: Its name.
        model: Where the model's shape comes from, in words.
        shape: Of the model.
        dtype: Number format of the weights.
        devices: How many there are.
        is_sharded: Whether the trained weights are cut among them.
        texts: Of each environment.
        phases: In their order.
        notes: What could not be found out, or does not fit the model.
    """

    recipe: str
    model: str
    shape: Shape
    dtype: str
    devices: int
    is_sharded: bool
    texts: tuple[Texts, ...]
    phases: tuple[PhasePlan, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def peak(self) -> int:
        """Most bytes on a device at any moment."""
        return max(phase.peak for phase in self.phases)

    def check(self, device_bytes: int) -> None:
        """Refuse a plan that does not fit.

        Raises:
            ConfigError: If a phase needs more than nine tenths of the device; it names the setting to lower.
        """
        worst = max(self.phases, key=lambda phase: phase.peak)
        if worst.peak <= USABLE * device_bytes:
            return
        update, have = worst.update, f"{device_bytes / 2**30:.4g} GiB"
        fixed = update.weights + update.frozen + update.gradients + update.moments
        if fixed + update.temporary > USABLE * device_bytes:
            copies = f", frozen copies {update.frozen / 2**30:.4g} GiB of it" if update.frozen else ""
            advice = (
                f"what is held all the time is too much ({fixed / 2**30:.4g} GiB of weights, gradients and moments{copies}): "
                "more devices with --sharded, or a smaller model"
            )
        elif worst.peak > update.peak:
            advice = "lower agent.concurrency (dialogues that are played at once)"
        elif worst.microbatch > worst.longest:
            advice = f"lower {worst.name}.max_tokens_per_microbatch"
        else:
            advice = "shorten the dialogues (horizon.rounds, agent.max_tokens_per_turn)"
        raise ConfigError(
            f"Phase {worst.name!r} needs {worst.peak / 2**30:.4g} GiB on each of {self.devices} devices with {have}, of which "
            f"{USABLE:.0%} can be filled; {advice}."
        )

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict."""
        texts: list[Json] = [{name: getattr(one, name) for name in Texts.__slots__} for one in self.texts]
        return {
            "recipe": self.recipe,
            "model": {
                "source": self.model,
                "parameters": self.shape.parameters,
                "dtype": self.dtype,
                "hidden_size": self.shape.hidden_size,
                "num_layers": self.shape.num_layers,
                "vocab_size": self.shape.vocab_size,
            },
            "devices": self.devices,
            "sharded": self.is_sharded,
            "texts": texts,
            "phases": [phase.to_json() for phase in self.phases],
            "peak_bytes": self.peak,
            "notes": list(self.notes),
        }


def dry_run(recipe: Recipe, *, devices: int = 1, sharded: bool = False) -> DryRun:
    """Plan a recipe without training anything.

    Args:
        recipe: Checked, as for training.
        devices: Processes that train together, one on each device, at least 1.
        sharded: Whether they cut the trained weights among them (FSDP) instead of each holding all of them.

    Raises:
        MissingDataError: If the model's folder is not on this machine and the recipe does not give its shape.
        ConfigError: If there are less than 1 device.
        UsageError: If the recipe cannot work (unknown environment, split, argument; a table that does not fit the recipe).
    """
    if devices < 1:
        raise ConfigError(f"devices is {devices}; expected at least 1.")
    check_tables(recipe)
    policy, source, count = _model(recipe)
    shape = shape_of(policy.model)
    texts = tuple(_texts(env, recipe, count) for env in recipe.envs)
    notes = [f"{one.env}: no expert, lengths are those of the opening alone" for one in texts if not one.turns]
    phases = []
    for config in recipe.phases:
        phases.append(_phase(config, recipe, policy, shape, texts, devices=devices, shards=devices if sharded else 1))
    longest = max(phase.longest for phase in phases)
    if longest >= policy.max_context:
        notes.append(f"the longest dialogues reach the {policy.max_context:,} positions of the model and end there")
    return DryRun(
        recipe=recipe.name,
        model=source,
        shape=shape,
        dtype=recipe.model.dtype,
        devices=devices,
        is_sharded=sharded and devices > 1,
        texts=texts,
        phases=tuple(phases),
        notes=tuple(notes),
    )


def _model(recipe: Recipe) -> tuple[Policy, str, CountTokens]:
    """Return the policy on a model without storage, where its shape comes from, and what counts tokens."""
    kind, config = get_model_kind(recipe.model_kind), recipe.model
    if kind.folder is None:
        feed, engine = make_feed(recipe.envs, seed=recipe.seed), RolloutEngine(recipe.agent.concurrency)
        built = build_policy(recipe, feed, engine)
        model = built.model.to("meta")
        model.tie_weights()  # tensors that two modules share become two on another device
        return Policy(model, built.tokenizer), "built for this recipe", _counter(built.tokenizer)
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = kind.folder(config)
    found, source = configuration(folder, getattr(config, "shape", None) or {})
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(found, trust_remote_code=False)
    model = model.to(getattr(torch, config.dtype))
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError):
        from palaestra.models.tiny_lm import train_tokenizer

        stand_in = train_tokenizer(_PLACEHOLDER, vocab_size=272, max_positions=2048)
        return Policy(model, stand_in), source, lambda text: math.ceil(len(text) / CHARS_PER_TOKEN)
    return Policy(model, tokenizer), source, _counter(tokenizer)


def _counter(tokenizer: Any) -> CountTokens:
    """Return a counter of the tokens of a text."""
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False))


def _texts(config: EnvConfig, recipe: Recipe, count: CountTokens) -> Texts:
    """Play some of the expert's episodes and measure what is shown."""
    env = make_env(config.id, config.arguments)
    prompts, shown, turns = [], [], [0]
    try:
        tasks = getattr(env.unwrapped, "tasks", None)
        options = None if tasks is None else {"split": tasks.split(config.train_split).name}
        for index in range(NUM_EPISODES):
            observation, info = env.reset(seed=recipe.seed + index, options=options)
            opening = [observation]
            if recipe.agent.instructions:
                opening += [info.get("instructions") or "", *(json.dumps(tool) for tool in info.get("tools") or ())]
            prompts.append(sum(map(count, opening)))
            found = _observations(env)
            shown += [count(text) for text in found]
            turns.append(len(found))
        limit = getattr(env.unwrapped, "max_turns", None)
    finally:
        env.close()
    mean = sum(shown) / len(shown) if shown else float(max(prompts))
    return Texts(config.name, len(prompts), max(prompts), mean, max(shown, default=max(prompts)), max(turns), limit)


def _observations(env: gymnasium.Env[Any, Any]) -> list[str]:
    """Return the observations while an environment's expert plays the task that was begun."""
    expert = outermost(env, "expert")
    found: list[str] = []
    if expert is None:
        return found
    for action in expert():
        observation, _, terminated, truncated, _ = env.step(action)
        found.append(observation)
        if terminated or truncated:
            break
    return found


def _phase(
    config: PhaseConfig,
    recipe: Recipe,
    policy: Policy,
    shape: Shape,
    texts: Sequence[Texts],
    *,
    devices: int,
    shards: int,
) -> PhasePlan:
    """Plan one phase."""
    algorithm, settings = get_algorithm(config.algorithm), config.settings
    rounds = _rounds(config, texts)
    widest = max(texts, key=lambda one: one.prompt + max(rounds) * one.observation)
    written = recipe.agent.max_tokens_per_turn
    dialogues = [min(policy.max_context, math.ceil(widest.prompt + n * (written + widest.observation))) for n in rounds]
    episodes = _episodes(settings)
    longest = max(dialogues)
    share = written / (written + widest.observation)
    microbatch = _microbatch(settings, longest, -(-episodes * longest // devices))
    held = _held(algorithm, settings, policy, recipe)
    means = sum(get_extension(name).copies for name in config.active) * policy.num_parameters * 4 // shape.item
    update = update_bytes(
        shape,
        replace(held, frozen=held.frozen + means),
        tokens=microbatch,
        scored=math.ceil(microbatch * share),
        shards=shards,
    )
    rows = min(recipe.agent.concurrency, -(-episodes // devices)) if algorithm.plays else 0
    return PhasePlan(
        name=config.name,
        algorithm=config.algorithm,
        steps=getattr(settings, "steps", None),
        episodes=episodes,
        rounds=rounds,
        sampled=tuple(episodes * n * written for n in rounds),
        tokens=tuple(episodes * length for length in dialogues),
        longest=longest,
        microbatch=microbatch,
        update=update,
        sampling=cache_bytes(shape, rows=rows, length=longest) if rows else 0,
    )


def _rounds(config: PhaseConfig, texts: Sequence[Texts]) -> tuple[int, ...]:
    """Return the turns that an episode of a phase may take, by stage."""
    if not get_algorithm(config.algorithm).plays:  # it reads what experts played
        return (max(1, *(one.turns or one.max_turns or 1 for one in texts)),)
    table = config.active.get("horizon")
    if isinstance(table, HorizonConfig):
        return table.rounds
    return (max(1, *(one.max_turns or one.turns for one in texts)),)


def _episodes(settings: Any) -> int:
    """Return the dialogues of a training step: those that are played, or those of a batch."""
    if hasattr(settings, "tasks_per_step"):
        return int(settings.tasks_per_step * settings.group_size)
    if hasattr(settings, "tasks_per_round"):
        return int(settings.tasks_per_round * settings.samples)
    return int(getattr(settings, "batch_size", 1))


def _microbatch(settings: Any, longest: int, available: int) -> int:
    """Return the tokens of a micro-batch: as many as allowed, at least one dialogue, at most what there is."""
    if pairs := getattr(settings, "microbatch_pairs", None):
        return 2 * int(pairs) * longest
    own = settings if hasattr(settings, "max_tokens_per_microbatch") else getattr(settings, "sft", settings)
    allowed = int(getattr(own, "max_tokens_per_microbatch", longest))
    return max(longest, min(allowed, available))


def _held(algorithm: Algorithm, settings: Any, policy: Policy, recipe: Recipe) -> Held:
    """Build the learner of a phase on a model without storage, and count what it holds."""
    size = policy.num_parameters
    if algorithm.learner is None:
        return Held(size, algorithm.copies * size)
    learner = algorithm.learner(
        policy, settings, reference=policy.frozen_copy, temperature=recipe.agent.temperature, seed=recipe.seed
    )
    held = held_by(learner)
    if not held.trained:  # a trainer of its own moves a copy
        return Held(size, held.frozen + max(0, algorithm.copies - 1) * size)
    return Held(held.trained, held.frozen + algorithm.copies * size)


__all__ = ["DryRun", "PhasePlan", "Texts", "dry_run"]
