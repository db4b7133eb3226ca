"""The policy that training begins with: a model from disk, or a tiny one for the texts of the recipe's environments."""

from __future__ import annotations

import json
from collections.abc import Iterator

from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.algorithms.data.demonstrations import expert_episodes
from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.run.feed import Feed, env_of
from palaestra.algorithms.run.recipe_configs import Recipe
from palaestra.envs.formats.hermes import format_message
from palaestra.types import Trajectory


def build_policy(recipe: Recipe, feed: Feed, engine: RolloutEngine) -> Policy:
    """Load the recipe's model, or build a tiny one whose tokenizer is made from the environments' own texts.

    Args:
        recipe: What to build.
        feed: Train tasks; the texts of expert episodes on them are the tokenizer's corpus.
        engine: Plays these episodes.
    """
    table = recipe.model
    if table.path is not None:
        return Policy.from_path(table.path, dtype=table.dtype)
    from palaestra.models.tiny_lm import build_tiny_lm

    model, tokenizer = build_tiny_lm(
        corpus(recipe, feed, engine, table.corpus_episodes),
        hidden_size=table.hidden_size,
        num_layers=table.num_layers,
        num_heads=table.num_heads,
        intermediate_size=table.intermediate_size,
        vocab_size=table.vocab_size,
        max_positions=table.max_positions,
        seed=recipe.seed,
    )
    return Policy(model, tokenizer)


def corpus(recipe: Recipe, feed: Feed, engine: RolloutEngine, num_episodes: int) -> list[str]:
    """Return the texts of expert episodes as the policy will read and write them."""
    formats = {env.name: env.format or recipe.agent.format for env in recipe.envs}
    alone = formats[recipe.envs[0].name]
    texts: list[str] = []
    for episode in expert_episodes(feed.plans("corpus", 1, num_tasks=num_episodes), engine=engine):
        shows_tools = formats.get(env_of(episode.episode_id), alone) != "text"
        texts += _texts(episode, instructions=recipe.agent.instructions, shows_tools=shows_tools)
    return texts


def _texts(episode: Trajectory, *, instructions: bool, shows_tools: bool) -> Iterator[str]:
    """Yield the texts of an episode as the model will read and write them."""
    for message in episode.messages():
        if message.role == "assistant":
            yield format_message(message)
        elif message.role != "system" or instructions:
            yield message.content
    if shows_tools:
        yield from (json.dumps(tool, ensure_ascii=False) for tool in episode.tools)


__all__ = ["build_policy", "corpus"]
