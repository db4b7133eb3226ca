"""A recipe to begin with, for one environment: its sizes follow from how long played episodes are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from palaestra.errors import UsageError
from palaestra.types import Json, Trajectory

EPISODES = 24
_CHARS_PER_TOKEN = 2.5  # of a tokenizer made from the environment's own texts, on the short side
_CHARS_PER_UNKNOWN_TOKEN = 1.25  # of all other texts
_LONGEST = 16_384


class Lengths(NamedTuple):
    """What was seen of an environment.

    Attributes:
        has_expert: Whether the episodes are its expert's; else a random agent's.
        action_chars: Characters of the longest action.
        episode_chars: Characters of the longest episode, instructions left out.
        turns: Actions of the longest episode.
    """

    has_expert: bool
    action_chars: int
    episode_chars: int
    turns: int


def starter_recipe(env_id: str, settings: Mapping[str, Json]) -> str:
    """Return a recipe for an environment, as TOML: a tiny policy, cloned from its expert where it has one, then GRPO.

    Args:
        env_id: Registered id.
        settings: Arguments of the environment.

    Raises:
        UsageError: If the environment cannot be made or played.
    """
    from palaestra.agents.endings import TOLD

    seen = measure(env_id, settings)
    tokens = _power_of_two(seen.action_chars / _CHARS_PER_TOKEN * 1.25, 16)
    # a policy that has not learned yet where answers end is told so in each turn, in words that its tokenizer does not know
    cut = seen.turns * (tokens + len(TOLD) / _CHARS_PER_UNKNOWN_TOKEN)
    positions = _power_of_two(seen.episode_chars / _CHARS_PER_TOKEN * 1.5 + cut, 256)
    arguments = "".join(f"{key} = {toml_value(value)}\n" for key, value in settings.items())
    phases = '["sft", "grpo"]' if seen.has_expert else '["grpo"]'
    shown = "its expert's" if seen.has_expert else "random"
    imitation = (
        """
[sft]
episodes = 2000             # expert episodes to clone; more, and more epochs, if the cloned policy solves nothing
epochs = 1
batch_size = 8
lr = 4e-3
beta2 = 0.95
weight_decay = 0.1
"""
        if seen.has_expert
        else ""
    )
    return f"""# A recipe to begin with for {env_id}. The longest of {EPISODES} episodes ({shown}) had {seen.turns} turns and
# {seen.episode_chars:,} characters, the longest action {seen.action_chars:,}: max_positions and max_tokens_per_turn follow.
# A tiny policy from scratch; for weights of your own write `path = "FOLDER"` in place of the sizes below [model].
description = "A tiny policy on {env_id}."
seed = 0
phases = {phases}

[env]
id = {toml_value(env_id)}
{arguments}
[model]
hidden_size = 96
num_layers = 2
num_heads = 4
intermediate_size = 96
vocab_size = 1024
max_positions = {positions}
corpus_episodes = 200       # whose texts the tokenizer is made from

[agent]
format = "text"
instructions = false        # one environment only: the rules are learned, and leaving them out makes prompts short
max_tokens_per_turn = {tokens}

[evaluation]
n = 100
every = 25
curve_n = 32
{imitation}
[grpo]
steps = 100
tasks_per_step = 8
group_size = 8
lr = 1e-3
warmup_updates = 10
beta2 = 0.95
"""


def measure(env_id: str, settings: Mapping[str, Json]) -> Lengths:
    """Play some episodes and return how long they are."""
    from palaestra.agents.reference import ExpertAgent, RandomAgent
    from palaestra.agents.rollout.engine import RolloutEngine
    from palaestra.agents.rollout.plans import EpisodePlan
    from palaestra.cli.environments import open_env

    open_env(env_id, settings).close()
    plans = [EpisodePlan(f"starter/{i}", env_id, dict(settings), seed=i, max_turns=64) for i in range(EPISODES)]
    played: list[Trajectory] = []
    for agent in (ExpertAgent(), RandomAgent()):
        try:
            found = RolloutEngine(8).collect(plans, agent)
        except UsageError:  # it has no expert
            continue
        played = [one for one in found if one.outcome.error is None]
        if played:
            break
    if not played:
        raise UsageError(f"No episode of {env_id} could be played to its end; see: palaestra check {env_id}")
    return Lengths(
        isinstance(agent, ExpertAgent),
        max(len(_written(step.action.content, step.action.tool_calls)) for one in played for step in one.steps),
        max(_length(one) for one in played),
        max(len(one.steps) for one in played),
    )


def write_recipe(env_id: str, folder: Path, settings: Mapping[str, Json]) -> Path:
    """Write the recipe of an environment next to others and return its path.

    Raises:
        UsageError: If the file is there already.
    """
    name = env_id.rpartition("/")[2].rpartition("-v")[0] or env_id.rpartition("/")[2]
    path = folder / f"{name.lower()}.toml"
    if path.exists():
        raise UsageError(f"{path} is there already; choose another --folder, nothing was written.")
    text = starter_recipe(env_id, settings)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
    return path


def _length(episode: Trajectory) -> int:
    """Return the characters of an episode as a model reads and writes it."""
    return sum(len(step.observation) + len(_written(step.action.content, step.action.tool_calls)) for step in episode.steps)


def _written(content: str, calls: tuple[object, ...]) -> str:
    """Return an action as text; calls as Hermes tags."""
    from palaestra.envs.formats.hermes import format_message
    from palaestra.types import Message

    return format_message(Message("assistant", content, tool_calls=calls))  # type: ignore[arg-type]


def _power_of_two(value: float, least: int) -> int:
    """Return the next power of two from `least` on."""
    found = least
    while found < min(value, _LONGEST):
        found *= 2
    return found


def toml_value(value: Json) -> str:
    """Return a value as TOML writes it."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{toml_value(key)} = {toml_value(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


__all__ = ["Lengths", "measure", "starter_recipe", "toml_value", "write_recipe"]
