from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from experiments.common.comparison import Arm, Experiment
from experiments.common.from_clones import OutOfTime, Runs, chosen_rate, main, written_page
from experiments.common.from_clones_page import area
from experiments.common.rows import folder_of, read_rows
from experiments.desk_algorithms.run import EXPERIMENT as DESK
from experiments.textcraft_algorithms.run import EXPERIMENT as TEXTCRAFT
from experiments.textcraft_horizons.run import EXPERIMENT as HORIZONS
from experiments.textcraft_horizons_deep.run import EXPERIMENT as HORIZONS_DEEP
from palaestra.algorithms.run.recipe import parse_recipe
from palaestra.errors import UsageError

TINY = Experiment(
    name="tiny",
    recipe="textcraft_tiny.toml",
    tables={
        "model": {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "corpus_episodes": 8, "vocab_size": 300},
        "sft": {"episodes": 8, "slip_rate": 0.0},
        "evaluation": {"n": 3, "max_turns": 2},
        "horizon": {"rounds": [2], "interval": 1},
    },
    settings={"epochs": 1, "warmup_updates": 1},
    arms={"rpp": Arm("reinforce_pp", {"tasks_per_step": 2, "group_size": 1})},
    steps=1,
    tuning_steps=1,
    rates=(1e-3, 2e-3),
)


def tuning(arm: str, lr: float, success: float) -> dict[str, Any]:
    return {
        "kind": "tuning",
        "arm": arm,
        "seed": 100,
        "lr": lr,
        "steps": TEXTCRAFT.tuning_steps,
        "train_success": success,
        "cpu_s": 1,
    }


def measured(kind: str, arm: str, seed: int, success: float, **more: Any) -> dict[str, Any]:
    row = {"kind": kind, "arm": arm, "seed": seed, "success": [success, success - 0.05, success + 0.05], "n": 400}
    return {**row, "by_type": {"depth-1": [success, 400]}, "cpu_s": 9, **more}


def run(arm: str, seed: int, success: float, lr: float) -> dict[str, Any]:
    return measured("run", arm, seed, success, lr=lr, steps=40, env_steps=1234, sampled_tokens=9, no_signal_steps=0)


def test_no_arm_is_tuned_before_the_whole_grid_is_there() -> None:
    experiment = TEXTCRAFT
    grid = [tuning(arm, lr, lr) for arm in experiment.arms for lr in experiment.rates]
    assert all(chosen_rate(experiment, grid[:-1], arm) == experiment.rates[0] for arm in experiment.arms)
    assert all(chosen_rate(experiment, grid, arm) == experiment.rates[-1] for arm in experiment.arms)
    ties = [{**row, "train_success": 0.5} for row in grid]
    assert chosen_rate(experiment, ties, "grpo") == experiment.rates[0]


def test_the_page_shows_gains_over_the_clone_of_the_same_seed() -> None:
    lr = TEXTCRAFT.rates[0]
    rows = [measured("clone", "clone", seed, base) for seed, base in ((0, 0.2), (1, 0.3))]
    rows += [run("grpo", 0, 0.35, lr), run("grpo", 1, 0.35, lr), run("ppo", 0, 0.1, lr), run("vrpo", 0, 0.9, 7.0)]
    text = written_page(TEXTCRAFT, rows, [0, 1])
    assert "| 0 | grpo | 0.001 | 40 | 35.0 % [30.0, 40.0] | +15.0 |" in text
    assert "| 1 | grpo | 0.001 | 40 | 35.0 % [30.0, 40.0] | +5.0 |" in text
    # gains 15 and 5: mean 10, half-width t(.975, 1) times 5 = 63.5
    assert f"| grpo | 0.001 | 40 | 2 | +10.0 | [{10 - 63.53:.1f}, {10 + 63.53:.1f}] | 1 of 2 |" in text
    assert "| ppo | 0.001 | 40 | 1 | -10.0 | none from one seed | 0 of 1 |" in text
    longer = written_page(TEXTCRAFT, [*rows, {**run("grpo", 0, 0.5, lr), "steps": 120}], [0, 1])
    assert "| grpo | 0.001 | 120 | 1 | +30.0 |" in longer
    assert "| grpo | 0.001 | 40 | 2 | +10.0 |" in longer
    assert "| 0 | vrpo | 7 | 40 | 90.0 %" in text  # not of the rate that was chosen, and shown all the same
    assert "8 of 8 runs: grpo of seed 0, reinforce_pp of seed 0" in text  # the planned ones are longer
    assert "7 of 8 runs: reinforce_pp of seed 0" in longer
    assert math.isclose(12.706 * 5, 63.53)


EXPERIMENTS = (TEXTCRAFT, HORIZONS, HORIZONS_DEEP, DESK)


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda found: found.name)
def test_every_arm_is_a_recipe_that_can_be_read_and_plays_equally_many_episodes(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Runs, "clone", lambda self, seed: tmp_path)
    runs = Runs(experiment, tmp_path, tmp_path / "rows.jsonl", math.inf)
    episodes = set()
    for name, arm in experiment.arms.items():
        recipe = parse_recipe(runs._arm_data(name, 3, 2e-3, 5))
        table = recipe.phase(arm.algorithm).settings.model_dump()
        assert (table["lr"], table["steps"], recipe.seed, recipe.model.path) == (2e-3, 5, 3, str(tmp_path))
        horizon = None if experiment.env_steps is not None else str(recipe.extensions.get("horizon"))
        episodes.add((table["tasks_per_step"] * table["group_size"], table["epochs"], table["max_env_steps"], horizon))
        assert recipe.envs[0].arguments.items() >= arm.tables.get("env", {}).items()
    assert len(episodes) == 1


def test_only_the_shaped_arms_of_the_desk_are_paid_by_turn() -> None:
    shaped = {name for name, arm in DESK.arms.items() if "env" in arm.tables}
    assert shaped == {"turn_ppo_shaped", "turn_rloo_shaped"}
    assert all(DESK.arms[name].tables["env"] == {"shaping": 0.5} for name in shaped)


def test_arms_with_other_horizons_play_equally_many_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Runs, "clone", lambda self, seed: tmp_path)
    runs = Runs(HORIZONS, tmp_path, tmp_path / "rows.jsonl", math.inf)
    recipes = {name: parse_recipe(runs._arm_data(name, 0, 1e-3, HORIZONS.steps)) for name in HORIZONS.arms}
    assert {recipe.phase("grpo").settings.max_env_steps for recipe in recipes.values()} == {HORIZONS.env_steps}  # type: ignore[attr-defined]
    rounds = {name: recipe.extensions["horizon"].rounds for name, recipe in recipes.items() if "horizon" in recipe.extensions}
    assert rounds == {"fixed_4": (4,), "fixed_8": (8,), "growing": (4, 6, 8)}
    assert len({recipe.evaluation.max_turns for recipe in recipes.values()}) == 1


def test_the_area_begins_at_the_clone_and_ends_with_the_turns_that_were_given() -> None:
    clone = measured("clone", "clone", 0, 0.2)
    row = {**run("growing", 0, 0.6, 1e-3), "env_steps": 120, "test_curve": [[60, 0.4], [120, 0.9]]}
    assert area(row, clone, 120) == pytest.approx((0.3 * 60 + 0.5 * 60) / 120)  # the last point is the larger evaluation's
    assert area(row, clone, 90) == pytest.approx((0.3 * 60 + 0.45 * 30) / 90)
    assert area({**row, "test_curve": []}, clone, 120) == pytest.approx(0.4)


def test_arms_are_compared_seed_by_seed() -> None:
    more = {"steps": HORIZONS.steps, "env_steps": HORIZONS.env_steps, "test_curve": []}
    rows = [measured("clone", "clone", seed, 0.2) for seed in (0, 1)]
    rows += [{**run("growing", seed, end, 1e-3), **more} for seed, end in ((0, 0.5), (1, 0.6))]
    rows += [{**run("fixed_8", seed, end, 1e-3), **more} for seed, end in ((0, 0.4), (1, 0.3))]
    text = written_page(HORIZONS, rows, [0, 1])
    assert "| success at the end | growing | fixed_8 | 2 | 55.0, 35.0 | +20.0 | [-107.1, 147.1] |" in text
    assert "| mean success over the turns | growing | fixed_8 | 2 | 37.5, 27.5 | +10.0 |" in text


def test_lines_that_are_there_are_not_made_again(tmp_path: Path) -> None:
    path = tmp_path / "raw" / "tiny.jsonl"
    work = tmp_path / "work"
    for folder in (work, tmp_path / "elsewhere"):
        folder.mkdir()
    with pytest.raises(OutOfTime):
        Runs(TINY, work, path, 0.0).all([0], tuned=True)
    assert read_rows(path) == []
    Runs(TINY, work, path, math.inf).all([0], tuned=True)
    rows = read_rows(path)
    assert [(row["kind"], row.get("lr")) for row in rows[:3]] == [("tuning", 1e-3), ("tuning", 2e-3), ("clone", None)]
    assert [row["arm"] for row in rows[3:]] == ["rpp"]
    assert (rows[3]["n"], rows[3]["lr"]) == (3, chosen_rate(TINY, rows, "rpp"))
    assert rows[3]["env_steps"] > 0
    Runs(TINY, work, path, 0.0).all([0], tuned=True)  # no time to run anything, and no need to
    assert read_rows(path) == rows
    path.write_text(json.dumps({**rows[2], "success": [0.9, 0.8, 1.0]}) + "\n")
    with pytest.raises(UsageError, match=r"that of the lines in .* 90\.0%"):
        Runs(TINY, tmp_path / "elsewhere", path, math.inf).clone(0)


def test_a_page_without_runs_says_so() -> None:
    text = written_page(DESK, [], [0, 1, 2])
    assert "**No run has been made yet**" in text
    assert "21 of 21 runs" in text
    assert "## Gain" not in text


def test_the_page_is_written_without_running_anything(tmp_path: Path) -> None:
    rows = tmp_path / "raw" / "textcraft_algorithms.jsonl"
    rows.parent.mkdir()
    rows.write_text(json.dumps(measured("clone", "clone", 0, 0.25)) + "\n")
    assert main(TEXTCRAFT, ["--only-page", "--rows", str(rows), "--seeds", "0"]) == 0
    assert "25.0 % [20.0, 30.0]" in (tmp_path / "raw" / "README.md").read_text()


@pytest.mark.parametrize("experiment", [HORIZONS, HORIZONS_DEEP], ids=lambda found: found.name)
def test_recorded_lines_make_the_page(experiment: Experiment) -> None:
    folder = folder_of(experiment.name)
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert page == written_page(experiment, read_rows(folder / "rows.jsonl"), [0, 1, 2, 3, 4])
