"""The demo from a longer clone: its arms are the demo's, a short version of it, and its recorded lines."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from experiments.common.from_clones import ROOT, Runs, chosen_rate, written_page
from experiments.common.rows import folder_of, read_rows
from experiments.demo_longer_clone.run import EXPERIMENT
from palaestra.algorithms.run.recipe import load_recipe, parse_recipe
from tests.experiments.short import short

pytest.importorskip("torch")

ROWS = read_rows(folder_of(EXPERIMENT.name) / "rows.jsonl")
SEEDS = [0, 1, 2, 3, 4]


def test_the_arms_are_those_of_the_demo_but_for_what_the_page_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Runs, "clone", lambda self, seed: tmp_path)
    runs = Runs(EXPERIMENT, tmp_path, tmp_path / "rows.jsonl", math.inf)
    demo = load_recipe(ROOT / "recipes" / "demo.toml")
    same_compute, grpo = demo.phases[1], demo.phases[2]
    mine = {name: parse_recipe(runs._arm_data(name, 0, 2e-3, EXPERIMENT.steps_of(name))) for name in EXPERIMENT.arms}
    assert mine["grpo"].phases[0].settings == grpo.settings
    assert mine["grpo"].extensions["horizon"] == grpo.extensions["horizon"]
    table = runs._arm_data("more_cloning", 0, 9e-3, 938)["sft"]
    assert table == {**same_compute.settings.model_dump(include=set(table)), "max_updates": 938}
    updates = table["epochs"] * table["episodes"] // table["batch_size"]
    assert table["max_updates"] == updates + 1
    clone = parse_recipe(runs._data(0, {"phases": ["sft"]}))
    assert clone.phases[0].settings == demo.phases[0].settings.model_copy(update={"episodes": 15_500})
    for recipe in (clone, *mine.values()):
        assert (recipe.envs, recipe.evaluation.n, recipe.evaluation.max_turns) == (demo.envs, 400, 8)


def test_a_short_version_makes_every_line_once(tmp_path: Path) -> None:
    experiment, path = short(EXPERIMENT), tmp_path / "rows.jsonl"
    (tmp_path / "work").mkdir()
    Runs(experiment, tmp_path / "work", path, math.inf).all([1], tuned=False)
    rows = read_rows(path)
    assert [row["arm"] for row in rows] == ["clone", *experiment.arms]
    assert all(row["n"] == 3 for row in rows)
    assert [row["env_steps"] > 0 for row in rows[1:]] == [False, True]
    Runs(experiment, tmp_path / "work", path, 0.0).all([1], tuned=False)  # no time to run anything, and no need to
    assert read_rows(path) == rows


def test_recorded_lines_are_of_the_settings_that_stand_here_and_the_page_is_theirs() -> None:
    for row in ROWS:
        if row["kind"] == "run":
            assert row["steps"] == EXPERIMENT.steps_of(row["arm"])
            assert row["lr"] == chosen_rate(EXPERIMENT, ROWS, row["arm"])
    page = (folder_of(EXPERIMENT.name) / "README.md").read_text(encoding="utf-8")
    assert page == written_page(EXPERIMENT, ROWS, SEEDS)
