"""DPO with and without the likelihood of chosen plays: what its arms are, a short version, and its recorded lines."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from experiments.common.from_clones import Runs, written_page
from experiments.common.rows import folder_of, read_rows
from experiments.dpo_sft_weight.run import EXPERIMENT
from palaestra.algorithms.dpo import DPOConfig
from palaestra.algorithms.run.recipe import parse_recipe
from tests.experiments.short import short

pytest.importorskip("torch")

ROWS = read_rows(folder_of(EXPERIMENT.name) / "rows.jsonl")
SEEDS = [5, 6, 7, 8, 9]


def test_the_arms_of_dpo_differ_in_the_weight_alone_and_one_has_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Runs, "clone", lambda self, seed: tmp_path)
    runs = Runs(EXPERIMENT, tmp_path, tmp_path / "rows.jsonl", math.inf)
    recipes = {name: parse_recipe(runs._arm_data(name, 0, 1e-3, 20)) for name in EXPERIMENT.arms}
    settings = {name: recipe.phases[0].settings.model_dump() for name, recipe in recipes.items() if name != "more_cloning"}
    weights = {name: table.pop("sft_weight") for name, table in settings.items()}
    assert weights == {"weight_0": 0.0, "weight_0.2": DPOConfig().sft_weight, "weight_1": 1.0}
    assert settings["weight_0"] == settings["weight_0.2"] == settings["weight_1"]
    assert len({(recipe.first_task, recipe.seed) for recipe in recipes.values()}) == 1


def test_a_short_version_makes_every_line_once(tmp_path: Path) -> None:
    experiment, path = short(EXPERIMENT), tmp_path / "rows.jsonl"
    (tmp_path / "work").mkdir()
    Runs(experiment, tmp_path / "work", path, math.inf).all([1], tuned=False)
    rows = read_rows(path)
    assert [row["arm"] for row in rows] == ["clone", *experiment.arms]
    Runs(experiment, tmp_path / "work", path, 0.0).all([1], tuned=False)  # no time to run anything, and no need to
    assert read_rows(path) == rows


def test_recorded_lines_are_of_the_settings_that_stand_here_and_the_page_is_theirs() -> None:
    for row in ROWS:
        if row["kind"] == "run":
            assert row["steps"] == EXPERIMENT.steps_of(row["arm"])
    page = (folder_of(EXPERIMENT.name) / "README.md").read_text(encoding="utf-8")
    assert page == written_page(EXPERIMENT, ROWS, SEEDS)
