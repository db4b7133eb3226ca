"""Comparisons from clones, made so small that they run in seconds."""

from __future__ import annotations

from dataclasses import replace

from experiments.common.comparison import Experiment


def short(experiment: Experiment) -> Experiment:
    """Return the same comparison with a model, phases and evaluations of seconds."""
    small = {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "intermediate_size": 16, "corpus_episodes": 30}
    tables = {
        "model": {**small, "vocab_size": 400},
        "agent": {"max_tokens_per_turn": 4},
        "sft": {"episodes": 16, "max_updates": 1},
        "evaluation": {"n": 3, "max_turns": 2},
    }
    few = {"tasks_per_step": 2, "group_size": 2}
    arms = {
        name: replace(arm, steps=1, settings={**arm.settings, **({"episodes": 16} if arm.algorithm == "sft" else few)})
        for name, arm in experiment.arms.items()
    }
    return replace(experiment, tables=tables, arms=arms, steps=1)
