"""A recipe on the toy environment that runs in a second, and a policy made for it."""

from __future__ import annotations

import functools
from typing import Any

import torch

from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.run.feed import TaskFeed
from palaestra.algorithms.run.recipe import Recipe, parse_recipe
from palaestra.algorithms.run.start import build_policy
from tests.algorithms import toy_env


def toy_recipe(**tables: Any) -> Recipe:
    """Return a small recipe; keyword arguments replace or extend its tables, None takes one out."""
    return parse_recipe(toy_tables(**tables))


def toy_tables(**tables: Any) -> dict[str, Any]:
    """Return that recipe as plain data, as somebody may write it."""
    toy_env.register()
    torch.set_num_threads(1)  # bitwise equality is promised for one thread
    data: dict[str, Any] = {
        "name": "toy",
        "env": {"id": toy_env.ENV_ID},
        "model": {
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 2,
            "vocab_size": 320,
            "max_positions": 128,
            "corpus_episodes": 16,
        },
        # every answer is a turn of the toy, also that of a policy that has not learned yet where answers end
        "agent": {"instructions": False, "max_tokens_per_turn": 4, "cut": "play"},
        "evaluation": {"n": 6},
        "checkpoint": {"every": 2},
        "sft": {"episodes": 24, "epochs": 2, "batch_size": 12, "lr": 3e-3, "warmup_updates": 2},
        "grpo": {"steps": 4, "tasks_per_step": 2, "group_size": 4, "lr": 1e-3, "warmup_updates": 2},
    }
    for name, table in tables.items():
        extends = isinstance(data.get(name), dict) and isinstance(table, dict)
        data[name] = {**data[name], **table} if extends else table
    return {name: table for name, table in data.items() if table is not None}


@functools.cache
def _built() -> Policy:
    recipe = toy_recipe()
    feed = TaskFeed(toy_env.ENV_ID, {}, split="train", seed=0)
    return build_policy(recipe, feed, RolloutEngine(16))


def toy_policy() -> Policy:
    """Return an untrained policy with weights of its own."""
    twin = _built().frozen_copy()
    twin.model.requires_grad_(True)
    return twin
