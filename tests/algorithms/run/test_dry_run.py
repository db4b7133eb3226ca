from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from palaestra.algorithms.run.dry_run import DryRun, dry_run
from palaestra.algorithms.run.packaged import packaged_recipes
from palaestra.algorithms.run.recipe import Recipe, load_recipe
from palaestra.algorithms.run.registry import algorithm_names
from palaestra.algorithms.run.training import train
from palaestra.errors import ConfigError, MissingDataError, UsageError
from palaestra.models.tiny_lm import build_tiny_lm
from tests.algorithms import toy_env, toy_seats
from tests.algorithms.toy_recipe import toy_recipe

toy_seats.register()
toy_env.register()

LARGE = sorted(name for name in packaged_recipes() if "scaling_inter" in name)
SHAPE = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "vocab_size": 500,
}


def with_folder(path: str, **shape: Any) -> Recipe:
    return toy_recipe(model={"path": path, **({"shape": shape} if shape else {})})


@pytest.mark.parametrize("name", LARGE)
def test_large_recipes_have_the_published_settings(name: str) -> None:
    recipe = load_recipe(name)
    settings: Any = recipe.phases[0].settings
    assert (settings.lr, settings.kl.coefficient, settings.epochs, settings.tasks_per_step) == (1e-6, 1e-3, 2, 32)
    assert settings.kl.place == "loss"
    assert settings.tasks_per_step / settings.minibatches == 8, "minibatches of 8 tasks"
    assert recipe.agent.temperature == 1.0
    assert recipe.checkpoint.every == 25
    if name.startswith("textcraft"):
        horizon: Any = recipe.phases[0].active["horizon"]
        assert (horizon.rounds, horizon.interval) == ((10, 20, 30), 100)
        assert (settings.group_size, recipe.agent.max_tokens_per_turn, recipe.evaluation.max_turns) == (8, 512, 30)


@pytest.mark.parametrize(("size", "parameters"), [("3b", 3_085_938_688), ("7b", 7_615_616_512)])
def test_a_large_recipe_is_planned_without_its_weights(size: str, parameters: int) -> None:
    recipe = load_recipe(f"textcraft_scaling_inter_{size}")
    plan = dry_run(recipe, devices=8, sharded=True)
    (phase,) = plan.phases
    assert plan.shape.parameters == parameters, "as published for Qwen2.5"
    assert phase.sampled == tuple(256 * turns * 512 for turns in (10, 20, 30))
    assert phase.update.weights == pytest.approx(4 * parameters / 8, rel=1e-6)
    assert phase.update.frozen == 2 * 4 * parameters, "the reference, and the copy that samples"
    with pytest.raises(ConfigError, match=r"Phase 'grpo' needs .* GiB on each of 8 devices"):
        plan.check(16 * 2**30)
    plan.check(1000 * 2**30)


def test_a_plan_trains_and_stores_nothing_and_counts_the_model_that_would_be_built(tmp_path: Path) -> None:
    recipe = toy_recipe()
    plan = dry_run(recipe)
    result = train(recipe, store=tmp_path)
    with torch.no_grad():
        trained = AutoModelForCausalLM.from_pretrained(result.policy_path)
    assert plan.shape.parameters == sum(parameter.numel() for parameter in trained.parameters())
    assert plan.model == "built for this recipe"
    assert [phase.name for phase in plan.phases] == recipe.phase_names
    assert plan.to_json() == dry_run(recipe).to_json(), "the same plan twice"


def test_a_mean_of_weights_is_one_more_copy() -> None:
    plain, averaged = (
        dry_run(toy_recipe(phases=["grpo"], **tables)).phases[0] for tables in ({}, {"average": {"decay": 0.9}})
    )
    assert averaged.update.frozen - plain.update.frozen == plain.update.weights > 0  # of float32 weights


def test_every_algorithm_can_be_planned() -> None:
    plan = dry_run(toy_recipe(phases=algorithm_names(), grpo={"kl": {"coefficient": 0.1}}))
    found = {phase.name: phase for phase in plan.phases}
    assert found.keys() == {*algorithm_names()}
    size = 4 * plan.shape.parameters
    assert (found["grpo"].update.weights, found["grpo"].update.frozen) == (size, size)
    assert found["dpo"].update.frozen == 2 * size, "the policy and the reference stand still while TRL trains a copy"
    assert found["ppo"].update.weights > 1.5 * size
    assert found["vrpo"].update.frozen >= size, "the frozen language model"
    assert found["sft"].sampling == 0
    assert found["rft"].sampling > 0
    for phase in plan.phases:
        assert phase.peak >= phase.update.weights + phase.update.moments + phase.update.frozen > 0


def test_more_devices_hold_less_each_and_replicas_hold_all() -> None:
    recipe = toy_recipe()
    one, many = dry_run(recipe), dry_run(recipe, devices=4)
    assert [phase.update.weights for phase in one.phases] == [phase.update.weights for phase in many.phases]
    assert all(a.sampling >= b.sampling for a, b in zip(one.phases, many.phases, strict=True))
    cut = dry_run(recipe, devices=4, sharded=True)
    for whole, part in zip(one.phases, cut.phases, strict=True):
        assert part.update.moments == pytest.approx(whole.update.moments / 4, rel=0.01)
    with pytest.raises(ConfigError, match="devices is 0"):
        dry_run(recipe, devices=0)


@pytest.mark.parametrize(
    ("env", "tables", "message"),
    [
        (toy_seats.RELAY_ID, {"seats": {"train": ["doer", "callr"]}}, "names 'callr'; the environment has the seats"),
        (toy_seats.RELAY_ID, {"seats": {"caller": {"model": "what"}}}, "seats.caller is not an agent"),
        (toy_seats.RELAY_ID, {"grpo": {"seats": {"train": ["nobody"]}}}, "names 'nobody'"),
        (toy_env.ENV_ID, {"reward": {"kind": "model", "path": "no/such/folder"}}, "no/such/folder"),
    ],
)
def test_tables_that_training_refuses_are_refused(env: str, tables: dict[str, Any], message: str, tmp_path: Path) -> None:
    recipe = toy_recipe(env={"id": env}, **tables)
    with pytest.raises(UsageError, match=message) as planned:
        dry_run(recipe)
    with pytest.raises(UsageError) as trained:
        train(recipe, store=tmp_path)
    assert str(planned.value) == str(trained.value)


def test_a_folder_is_counted_by_its_configuration_and_checked_against_the_shape(tmp_path: Path) -> None:
    model, tokenizer = build_tiny_lm(["a b c"] * 4, hidden_size=32, num_layers=2, num_heads=2)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    plan = dry_run(with_folder(str(tmp_path), hidden_size=32))
    assert plan.shape.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert plan.model == str(tmp_path)
    wrong = with_folder(str(tmp_path), hidden_size=64)
    with pytest.raises(ConfigError, match=r"says hidden_size = 64, and the model has 32"):
        dry_run(wrong)
    with pytest.raises(ConfigError, match=r"says hidden_size = 64, and the model has 32"):
        train(wrong, store=tmp_path / "runs")


def test_a_shape_stands_in_for_weights_that_are_elsewhere(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    plan = dry_run(with_folder(gone, **SHAPE))
    sizes = {key: value for key, value in SHAPE.items() if key != "model_type"}
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **sizes))
    assert plan.shape.parameters == sum(parameter.numel() for parameter in model.parameters())
    with pytest.raises(MissingDataError, match=r"There is no configuration .*\[model.shape\]"):
        dry_run(with_folder(gone))
    with pytest.raises(ConfigError, match="not the shape of a model"):
        dry_run(with_folder(gone, model_type="no_such_model"))


@pytest.mark.parametrize(
    ("gib", "changes", "advice"),
    [
        (1e-6, {}, r"is too much \([\d.e-]+ GiB of weights, gradients and moments\): more devices"),
        (None, {"agent": {"concurrency": 10_000, "format": "text"}}, "agent.concurrency|max_tokens_per_microbatch"),
    ],
)
def test_what_does_not_fit_names_what_to_lower(gib: float | None, changes: dict[str, Any], advice: str) -> None:
    plan = dry_run(toy_recipe(**changes))
    limit = plan.peak if gib is None else int(gib * 2**30)
    with pytest.raises(ConfigError, match=advice):
        plan.check(limit)
    assert isinstance(plan, DryRun)
    plan.check(2 * plan.peak)
