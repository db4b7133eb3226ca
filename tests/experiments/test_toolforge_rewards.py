"""The page of the rewards on ToolForge, and the arms that it compares."""

import copy
import tomllib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from experiments.common.rows import read_rows
from experiments.toolforge.rewards.changes import changes, table
from experiments.toolforge.rewards.page import is_above, written
from experiments.toolforge.rewards.run import ARMS, EXPERIMENT, ROWS, SEEDS
from palaestra.algorithms.run.recipe import parse_recipe

RECIPE = Path(__file__).parents[2] / "recipes" / EXPERIMENT.recipe


def row(kind, arm, seed, f1):
    interval = [f1, f1 - 0.04, f1 + 0.04]
    metrics = {"solve_f1": interval, "solve_recall": interval, "final_correct": interval}
    return {"kind": kind, "arm": arm, "seed": seed, "success": interval, "metrics": metrics, "cpu_s": 7, "env_steps": 1200}


def test_every_arm_is_a_recipe_and_each_turn_is_judged_alone_where_the_name_says_so():
    for arm in ARMS.values():
        data = copy.deepcopy(tomllib.loads(RECIPE.read_text(encoding="utf-8")))
        data["phases"] = [arm.algorithm]
        data["env"].update(arm.tables.get("env", {}))
        data[arm.algorithm] = {**(data["sft"] if arm.algorithm == "sft" else {}), **EXPERIMENT.settings, **arm.settings}
        parse_recipe(data)
    assert ARMS["turn_rloo_paper_turn"].settings["advantage"] == {"estimator": "turn_rloo", "gamma": 0.0}
    assert len(ARMS) == 7


def test_the_page_tells_gains_intervals_and_what_is_missing():
    rows = [row("clone", "clone", 0, 0.4), row("run", "grpo_success", 0, 0.6), row("run", "more_cloning", 0, 0.42)]
    rows += [row("clone", "clone", 1, 0.5), row("run", "grpo_success", 1, 0.6), row("run", "grpo_success", 9, 0.9)]
    rows += [row("clone", "clone", 100, 0.1), row("run", "grpo_success", 100, 0.9)]  # tried on: shown, not counted
    page = written(rows)
    assert "| grpo_success | 2 | +0.150 | [" in page
    assert "2 of 2 | +0.150 |" in page
    assert "| more_cloning | 1 | +0.020 | none from one seed | 0 of 1 |" in page
    assert "| 100 | grpo_success | 0.900" in page
    assert f"{len(SEEDS) * len(ARMS) - 3} of {len(SEEDS) * len(ARMS)} runs" in page
    assert is_above(rows[1], rows[0])
    assert not is_above(rows[2], rows[0])
    assert "nothing is known" in written([])


def test_the_kept_page_is_that_of_the_kept_lines():
    page = (ROWS.parent / "README.md").read_text(encoding="utf-8")
    assert page == written(read_rows(ROWS))


def test_changes_are_relative_norms_by_layer_and_module(tmp_path):
    for name, scale in (("clone", 1.0), ("policy", 1.25)):
        (tmp_path / name).mkdir()
        weights = {
            "model.layers.0.self_attn.q_proj.weight": torch.full((2, 3), 2.0 * scale),
            "model.norm.weight": torch.ones(4),
        }
        save_file(weights, tmp_path / name / "model.safetensors")
    found = changes(tmp_path / "clone", tmp_path / "policy")
    assert found == {"0": {"self_attn.q_proj": 0.25}, "outside": {"norm": 0.0}}
    lines = table([{"arm": "a", "seed": 0, "changes": found}, {"arm": "a", "seed": 1, "changes": found}])
    assert "| 0 | self_attn.q_proj | 25.0 % |" in lines
    save_file({"model.norm.weight": torch.ones(4)}, tmp_path / "policy" / "model.safetensors")
    with pytest.raises(ValueError, match="its own clone"):
        changes(tmp_path / "clone", tmp_path / "policy")
