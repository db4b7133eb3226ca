"""The comparison on the tiny desk: what its arms train on, a short version of it, and its recorded lines."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.common.comparison import Experiment
from experiments.common.from_clones import Runs, chosen_rate, written_page
from experiments.common.rows import folder_of, read_rows
from experiments.desk_tiny_algorithms.run import EXPERIMENT
from palaestra.algorithms.run.feed import make_feed, stream_starts
from palaestra.algorithms.run.recipe import parse_recipe

pytest.importorskip("torch")

ROWS = read_rows(folder_of(EXPERIMENT.name) / "rows.jsonl")


def short(experiment: Experiment) -> Experiment:
    """The same with a model, phases and evaluations of seconds."""
    small = {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "intermediate_size": 16, "corpus_episodes": 30}
    tables = {
        **experiment.tables,
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


def test_every_arm_trains_on_tasks_that_neither_its_clone_nor_another_seed_has_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = Runs(EXPERIMENT, tmp_path, tmp_path / "rows.jsonl", math.inf)
    monkeypatch.setattr(Runs, "clone", lambda self, seed: tmp_path)
    keys: dict[tuple[str, int], set[str | None]] = {}
    for seed in (1, 2):
        recipes = {name: parse_recipe(runs._arm_data(name, seed, 1e-3, 5)) for name in EXPERIMENT.arms}
        recipes["clone"] = parse_recipe(runs._data(seed, {"phases": ["sft"]}))
        for name, recipe in recipes.items():
            (phase,) = recipe.phases
            start, feed = stream_starts(recipe)[phase.name], make_feed(recipe.envs, seed=seed)
            num_tasks = 50 if name != "clone" else phase.settings.planned_tasks  # type: ignore[attr-defined]
            keys[name, seed] = {plan.task_key for plan in feed.plans("p", 1, num_tasks=num_tasks, first=start)}
    for name in EXPERIMENT.arms:
        assert keys[name, 1].isdisjoint(keys["clone", 1])
        assert keys[name, 1].isdisjoint(keys[name, 2])
    assert keys["clone", 1].isdisjoint(keys["clone", 2])


def test_arms_that_play_play_equally_many_episodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Runs, "clone", lambda self, seed: tmp_path)
    runs = Runs(EXPERIMENT, tmp_path, tmp_path / "rows.jsonl", math.inf)
    found = set()
    for name, arm in EXPERIMENT.arms.items():
        settings = parse_recipe(runs._arm_data(name, 3, 1e-3, 5)).phases[0].settings.model_dump()
        if arm.algorithm == "sft":
            assert (settings["max_updates"], settings["batch_size"]) == (5, 16)
        else:
            found.add((settings["tasks_per_step"] * settings["group_size"], settings["epochs"], settings["steps"]))
    assert found == {(32, 2, 5)}


def test_a_short_version_makes_every_line_once(tmp_path: Path) -> None:
    experiment, path = short(EXPERIMENT), tmp_path / "rows.jsonl"
    (tmp_path / "work").mkdir()
    Runs(experiment, tmp_path / "work", path, math.inf).all([1], tuned=False)
    rows = read_rows(path)
    assert [row["arm"] for row in rows] == ["clone", *experiment.arms]
    assert all(row["n"] == 3 for row in rows)
    played = {row["arm"]: row["env_steps"] for row in rows if row["kind"] == "run"}
    assert {name for name, turns in played.items() if not turns} == {
        name for name, arm in experiment.arms.items() if arm.algorithm == "sft"
    }
    Runs(experiment, tmp_path / "work", path, 0.0).all([1], tuned=False)  # no time to run anything, and no need to
    assert read_rows(path) == rows
    assert all(f"| 1 | {name} |" in written_page(experiment, rows, [1]) for name in experiment.arms)


def test_recorded_lines_are_of_the_settings_that_stand_here_and_the_page_is_theirs() -> None:
    runs = [row for row in ROWS if row["kind"] == "run"]
    for row in runs:
        assert row["steps"] == EXPERIMENT.steps_of(row["arm"])
        assert row["lr"] == chosen_rate(EXPERIMENT, ROWS, row["arm"])
    page = (folder_of(EXPERIMENT.name) / "README.md").read_text(encoding="utf-8")
    assert page == written_page(EXPERIMENT, ROWS, [2, 3, 4, 5, 6])
