"""The model of a recipe: chosen by kind, built or loaded, the same when a run resumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.algorithms.run.feed import TaskFeed
from palaestra.algorithms.run.metrics import read_metrics
from palaestra.algorithms.run.phase import ProgressEvent
from palaestra.algorithms.run.recipe import parse_recipe
from palaestra.algorithms.run.start import build_policy
from palaestra.algorithms.run.training import train
from palaestra.errors import ConfigError, UsageError
from tests.algorithms import toy_env
from tests.algorithms.toy_recipe import toy_recipe

ENV: dict[str, Any] = {"env": {"id": toy_env.ENV_ID}, "phases": ["sft"]}


class Killed(BaseException):
    """Stands for a kill."""


def weights(path: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = AutoModelForCausalLM.from_pretrained(path).state_dict()
    return found


def small(**tables: Any) -> Any:
    evaluation = {"n": 2, "baselines": ["untrained"], "every": 1, "curve_n": 2}
    sizes = {"steps": 2, "tasks_per_step": 4, "group_size": 4, "lr": 1e-2, "warmup_updates": 1}
    clone = {"episodes": 64, "epochs": 6, "batch_size": 16, "lr": 6e-3, "warmup_updates": 4}
    return toy_recipe(sft=clone, grpo=sizes, evaluation=evaluation, checkpoint={"every": 1}, **tables)


def test_a_recipe_trains_a_kind_of_model_that_a_package_brings_and_resumes_bit_identical(tmp_path: Path) -> None:
    recipe = small(model=None)
    data = {**recipe.to_json(), "model": {"kind": "toys_gpt2", "width": 32, "positions": 128}, "toys_clip": {"limit": 0.25}}
    recipe = parse_recipe(data)
    assert recipe.to_json()["model"]["kind"] == "toys_gpt2"
    assert parse_recipe(recipe.to_json()) == recipe

    def progress(event: ProgressEvent) -> None:
        if (event.phase, event.done) == ("grpo", 1):
            raise Killed

    whole = train(recipe, store=tmp_path / "whole", run_id="toy")
    with pytest.raises(Killed):
        train(recipe, store=tmp_path / "killed", run_id="toy", progress=progress)
    resumed = train(recipe, store=tmp_path / "killed", run_id="toy")
    expected, found = weights(whole.policy_path), weights(resumed.policy_path)
    assert all(name.startswith(("transformer.", "lm_head")) for name in found)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    curves = [[row for row in read_metrics(r.folder / "metrics.jsonl") if row["phase"] == "grpo"] for r in (whole, resumed)]
    for name in ("drift_mean", "test_success", "toys_clipped", "return_mean"):
        assert [row[name] for row in curves[0]] == [row[name] for row in curves[1]], name
    assert all(row["return_mean"] <= 0.25 for row in curves[0])
    assert curves[0][-1]["toys_clipped"] > 0


def test_path_and_kind_say_where_the_model_comes_from(tmp_path: Path) -> None:
    toy_env.register()
    cases: list[tuple[dict[str, Any], str]] = [({}, "tiny"), ({"hidden_size": 64}, "tiny"), ({"path": "x"}, "checkpoint")]
    for model, kind in [*cases, ({"kind": "tiny"}, "tiny")]:
        recipe = parse_recipe({**ENV, "model": model})
        assert recipe.model_kind == kind
        assert "kind" not in recipe.to_json()["model"]
        assert parse_recipe(recipe.to_json()) == recipe
    # as --set model.path=... on a recipe of a tiny model, or a stored recipe of an earlier version
    recipe = parse_recipe({**ENV, "model": {"hidden_size": 64, "path": "x", "dtype": "bfloat16"}})
    assert recipe.to_json()["model"] == {"path": "x", "dtype": "bfloat16"}


@pytest.mark.parametrize(
    ("model", "match"),
    [
        ({"kind": "tinny"}, r"Unknown model kind 'tinny'\. Did you mean 'tiny'"),
        ({"kind": 3}, r"model.kind is 3; expected one of checkpoint, tiny, toys_gpt2"),
        ({"kind": "tiny", "path": "x"}, r"Unknown key 'model.path'"),
        ({"kind": "checkpoint"}, r"The key 'model.path' is missing"),
        ({"kind": "checkpoint", "path": "x", "hidden_size": 8}, r"Unknown key 'model.hidden_size'"),
        ({"path": "x", "hiden_size": 8}, r"Unknown key 'model.hiden_size'"),
        ({"kind": "toys_gpt2", "hidden_size": 8}, r"Unknown key 'model.hidden_size'.*(width|Known here)"),
        ({"kind": "toys_gpt2", "width": 2}, r"model.width is 2"),
        ("tiny", r"model is 'tiny'; expected a table"),
        ({"dtype": "float16"}, r"model.dtype is 'float16'"),
        ({"components": []}, r"Unknown key 'model.components'"),
    ],
)
def test_mistakes_are_named(model: Any, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        parse_recipe({**ENV, "model": model})


def test_a_model_is_built_in_the_number_format_of_the_recipe() -> None:
    recipe = toy_recipe(model={"dtype": "bfloat16"})
    policy = build_policy(recipe, TaskFeed(toy_env.ENV_ID, {}, split="train", seed=0), RolloutEngine(8))
    assert {tensor.dtype for tensor in policy.model.parameters()} == {torch.bfloat16}


def test_a_folder_without_a_model_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No model could be loaded"):
        train(toy_recipe(model={"path": str(tmp_path)}), store=tmp_path / "runs")
    with pytest.raises(ConfigError, match=r"model.path is ''"):
        toy_recipe(model={"path": ""})
