"""GRPO on a recipe book: what its arms train on, a short version, and its recorded lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from experiments.common.rows import folder_of, read_rows
from experiments.textcraft_book.run import ARMS, DEPTHS, GOALS, NAME, command_of, main, page, recipe_of, run
from palaestra.algorithms.run.recipe import parse_recipe

pytest.importorskip("torch")

ROWS = read_rows(folder_of(NAME) / "rows.jsonl")
SEEDS = [0, 1, 2]
SMALL: dict[str, Any] = {
    "model": {
        "hidden_size": 16,
        "num_layers": 1,
        "num_heads": 2,
        "intermediate_size": 16,
        "corpus_episodes": 8,
        "vocab_size": 300,
    },
    "agent": {"max_tokens_per_turn": 3},
    "sft": {"episodes": 8, "epochs": 1},
    "grpo": {"steps": 1, "tasks_per_step": 1, "group_size": 2},
    "horizon": {"rounds": [2], "interval": 1},
}


def test_every_arm_is_a_recipe_and_begins_from_the_clone_behind_its_tasks() -> None:
    for arm in ARMS:
        recipe = parse_recipe(recipe_of(arm, 3, "somewhere", clone="a/policy"))
        assert (recipe.seed, recipe.model.path, recipe.first_task) == (3, "a/policy", 4000)
        assert recipe.envs[0].arguments == {"recipes": "somewhere", "depth": [1, 2], "distractors": 3}
    assert parse_recipe(recipe_of("clone", 3, None)).first_task == 0


def test_a_short_version_judges_every_arm_on_both_kinds_of_goals(tmp_path: Path) -> None:
    rows = [run(arm, 0, tmp_path, None, small=SMALL, num_goals=2) for arm in ("clone", *ARMS)]
    for row in rows:
        for split in GOALS:
            assert {name: cell[1:] for name, cell in row[split].items()} == {f"depth-{depth}": [4, 2] for depth in DEPTHS}
    assert "train_success" in rows[-1]
    text = page(rows, "again", [0, 1])
    assert "| clone | 1 | 0.0 | 0.0 |" in text
    assert "| grpo - clone | 1 | +0.0 |" in text
    assert "clone of seed 1, more_cloning of seed 1, grpo of seed 1." in text


def test_recorded_rows_make_the_page() -> None:
    for row in ROWS:
        assert row["test"]["depth-1"][1:] == [40, 20]
        assert row["test"]["depth-2"][1:] == [90, 45]
    assert (folder_of(NAME) / "README.md").read_text(encoding="utf-8") == page(ROWS, command_of(SEEDS), SEEDS)


def test_the_page_is_written_without_running_anything(tmp_path: Path) -> None:
    assert main(["--only-page", "--rows", str(tmp_path / "rows.jsonl")]) == 0
    assert "clone of seed 0, more_cloning of seed 0" in (tmp_path / "README.md").read_text(encoding="utf-8")
