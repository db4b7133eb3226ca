from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import pytest

from experiments.common.rows import folder_of, read_rows
from experiments.vehicle_fc_sfc.run import ENV_ID, MEASURES, MODES, NAME, RECIPE, SETS, main, page, recipe_of, run
from palaestra.algorithms.run.recipe import parse_recipe

pytest.importorskip("torch")

ROWS = read_rows(folder_of(NAME) / "rows.jsonl")
COMMAND = "python -m experiments.vehicle_fc_sfc.run --seeds 0 1 2 3 4"


def requests_of(mode: str, split: str, num_tasks: int, **more: Any) -> list[Any]:
    """The requests of the first tasks of a split, with what they ask for."""
    arguments = {key: value for key, value in parse_recipe(recipe_of(mode, 0)).envs[0].arguments.items()}
    env = gymnasium.make(ENV_ID, **{**arguments, **more}).unwrapped
    found = []
    for index in range(num_tasks):
        env.reset(seed=0, options={"task": f"{split}/{index}"})
        request = env.request  # type: ignore[attr-defined]
        found.append((request.text, tuple(call.code() for call in request.calls)))
    return found


def test_both_policies_are_taught_the_same_requests() -> None:
    assert requests_of("fc", "train", 40) == requests_of("sfc", "train", 40)
    recipes = [parse_recipe(recipe_of(mode, 3)).model_dump() for mode in MODES]
    for recipe in recipes:
        (env,) = recipe.pop("envs")
        assert env["arguments"].pop("mode") in MODES
        recipe["rest of env"] = env
    assert recipes[0] == recipes[1]


def test_requests_that_are_judged_were_not_cloned_and_held_out_goals_never_asked_for() -> None:
    trained = requests_of("fc", "train", 400)
    held_out = requests_of("fc", "test", 200)
    assert {goal for _, goal in trained}.isdisjoint(goal for _, goal in held_out)
    assert len({goal for _, goal in held_out}) >= 8
    asked = requests_of("fc", SETS["asked"]["split"], 200, seed=SETS["asked"]["seed"])
    assert asked[:200] != trained[:200]
    assert len({goal for _, goal in asked} & {goal for _, goal in trained}) > 40


def test_a_short_run_measures_both_interfaces_on_both_sets(tmp_path: Path) -> None:
    small = {
        "sft": {"episodes": 16, "epochs": 1},
        "model": {"hidden_size": 32, "num_layers": 1, "num_heads": 2, "intermediate_size": 32, "corpus_episodes": 30},
        "agent": {"max_tokens_per_turn": 8},
    }
    rows = [run(mode, 0, tmp_path / "work", changes=small, num_tasks=2) for mode in MODES]
    for row in rows:
        for name in SETS:
            assert row[name]["n"] == 2
            assert row[name]["success"][0] == 0.0
            assert set(MEASURES) <= row[name].keys()
            assert row[name]["model_calls"] >= 1
    text = page(rows, "again")
    assert "| requests served exactly | 0.0 % " in text
    again = run("fc", 0, tmp_path / "work", changes=small, num_tasks=2)
    timed = ("cpu_s",)
    for name in SETS:
        same = [{key: value for key, value in row[name].items() if key not in timed} for row in (rows[0], again)]
        assert same[0] == same[1]


def test_recorded_rows_are_pairs_of_policies_of_one_size_and_the_page_is_theirs() -> None:
    seeds = {mode: {row["seed"] for row in ROWS if row["mode"] == mode} for mode in MODES}
    assert seeds["fc"] == seeds["sfc"]
    assert all(row["parameters"] <= 2_000_000 and row["episodes"] == RECIPE["sft"]["episodes"] for row in ROWS)
    assert (folder_of(NAME) / "README.md").read_text(encoding="utf-8") == page(ROWS, COMMAND)


def test_the_page_is_written_without_running_anything(tmp_path: Path) -> None:
    assert main(["--only-page", "--rows", str(tmp_path / "rows.jsonl"), "--seeds", "0"]) == 0
    assert "| seed | mode |" in (tmp_path / "README.md").read_text(encoding="utf-8")
