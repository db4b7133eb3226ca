"""The policy that training begins with: a model of the recipe's kind, from disk or built for the texts of its environments."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial

import torch

from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.algorithms.data.demonstrations import expert_episodes
from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.run.active_extensions import demonstrated
from palaestra.algorithms.run.feed import Feed, env_of
from palaestra.algorithms.run.recipe_configs import Recipe
from palaestra.envs.formats.hermes import format_message
from palaestra.models.checkpoint import check_shape
from palaestra.models.registry import BuildContext, get_model_kind
from palaestra.types import Trajectory


def build_policy(recipe: Recipe, feed: Feed, engine: RolloutEngine) -> Policy:
    """Load the recipe's model, or build it from the environments' own texts.

    Args:
        recipe: What to build.
        feed: Train tasks; the texts of expert episodes on them may be the tokenizer's corpus.
        engine: Plays these episodes.
    """
    kind, config = get_model_kind(recipe.model_kind), recipe.model
    if kind.folder is not None:
        policy = Policy.from_path(kind.folder(config), dtype=config.dtype)
        check_shape(policy.model.config, getattr(config, "shape", None) or {})
        return policy
    assert kind.build is not None
    model, tokenizer = kind.build(config, BuildContext(recipe.seed, partial(corpus, recipe, feed, engine)))
    return Policy(model.to(getattr(torch, config.dtype)), tokenizer)


def corpus(recipe: Recipe, feed: Feed, engine: RolloutEngine, num_episodes: int) -> list[str]:
    """Return the texts of expert episodes as the policy will read and write them."""
    formats = {env.name: env.format or recipe.agent.format for env in recipe.envs}
    alone = formats[recipe.envs[0].name]
    texts: list[str] = []
    for episode in expert_episodes(_plans(recipe, feed, num_episodes), engine=engine):
        shows_tools = formats.get(env_of(episode.episode_id), alone) != "text"
        texts += _texts(episode, instructions=recipe.agent.instructions, shows_tools=shows_tools)
    return texts


def _plans(recipe: Recipe, feed: Feed, num_episodes: int) -> list[EpisodePlan]:
    """Plan what experts show in any phase of a recipe, each episode once."""
    plans = feed.plans("corpus", 1, num_tasks=num_episodes)
    shown = [demonstrated(tables, plans) for tables in (recipe.extensions, *(phase.active for phase in recipe.phases))]
    found = {(plan.episode_id, str(plan.env_kwargs), str(plan.wrappers)): plan for part in shown for plan in part}
    return list(found.values())


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
