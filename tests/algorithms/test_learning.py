from __future__ import annotations

from pathlib import Path

import pytest

from palaestra.algorithms.run.metrics import read_metrics
from palaestra.algorithms.run.training import train
from palaestra.errors import TrainingStopped
from tests.algorithms.toy_recipe import toy_recipe

CLONE = {"episodes": 256, "epochs": 4, "batch_size": 16, "lr": 3e-3, "warmup_updates": 5, "max_updates": 36}
MODEL = {"hidden_size": 48, "vocab_size": 400, "corpus_episodes": 64}


def test_cloning_and_then_grpo_raise_the_score(tmp_path: Path) -> None:
    recipe = toy_recipe(
        model=MODEL,
        sft=CLONE,
        grpo={"steps": 24, "tasks_per_step": 8, "group_size": 8, "lr": 2e-3, "warmup_updates": 5},
        evaluation={"n": 150, "baselines": ["untrained"]},
        checkpoint={"every": 100},
    )
    result = train(recipe, store=tmp_path)
    score = {arm: found.summary.score for arm, found in result.arms.items()}
    assert score["untrained"].mean < 0.05
    assert score["cloned"].low > score["untrained"].high
    assert score["trained"].low > score["cloned"].high
    assert score["trained"].mean > 0.75
    rewards = [row["return_mean"] for row in read_metrics(result.folder / "metrics.jsonl") if row["phase"] == "grpo"]
    assert sum(rewards[-5:]) / 5 > sum(rewards[:5]) / 5 + 0.2


def test_a_learning_rate_far_too_high_collapses_and_is_noticed(tmp_path: Path) -> None:
    recipe = toy_recipe(
        model=MODEL,
        sft=CLONE,
        grpo={"steps": 40, "tasks_per_step": 6, "lr": 0.1, "warmup_updates": 5, "on_collapse": "stop"},
        evaluation={"n": 2, "baselines": []},
        checkpoint={"every": 100},
    )
    with pytest.raises(TrainingStopped, match=r"Step \d+: the spread of returns.*lower grpo\.lr"):
        train(recipe, store=tmp_path)
