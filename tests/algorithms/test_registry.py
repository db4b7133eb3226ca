"""What every algorithm of the table promises, whoever wrote it."""

from __future__ import annotations

import ast
import inspect
import shutil
import textwrap
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import torch
from pydantic import BaseModel
from transformers import AutoModelForCausalLM

from palaestra.algorithms.run.checkpoint import Checkpoints
from palaestra.algorithms.run.metrics import read_metrics
from palaestra.algorithms.run.recipe import Recipe
from palaestra.algorithms.run.registry import algorithm_names, get_algorithm
from palaestra.algorithms.run.training import train
from palaestra.envs.core.text_env import Turn
from palaestra.errors import UsageError
from palaestra.types import Message
from tests.algorithms.toy_env import FeedbackKeysEnv
from tests.algorithms.toy_recipe import toy_recipe

STEPS = 3
DEAD_ENV = "test/DyingKeys-v0"

# small enough for a second; what differs from a method's own defaults is size and rate, never what the method is
_SIZES: dict[str, Any] = {
    "steps": STEPS,
    "tasks_per_step": 3,
    "group_size": 3,
    "lr": 1e-3,
    "warmup_updates": 1,
    "critic": {"lr": 1e-3, "warmup_updates": 1, "epochs": 2},
    "pretrain_episodes": 5,
    "pretrain_epochs": 2,
    "batch_size": 4,
    "microbatch_pairs": 4,
    "episodes": 12,
    "max_updates": STEPS,
    "rounds": STEPS,
    "tasks_per_round": 4,
    "samples": 2,
    "clone_first": False,
    "sft": {"episodes": 12, "max_updates": 1, "lr": 1e-3, "warmup_updates": 1},
}


class DyingKeysEnv(FeedbackKeysEnv):
    """A world whose engine dies in every episode."""

    def _act(self, action: str | Message) -> Turn:
        raise RuntimeError("the engine died")


@pytest.fixture(params=algorithm_names())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def cloned(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A policy that is right now and then, so that there is something to learn for every method."""
    clone = {"episodes": 64, "epochs": 8, "batch_size": 16, "lr": 6e-3, "warmup_updates": 4}
    evaluation = {"n": 1, "baselines": []}
    recipe = toy_recipe(phases=["sft"], sft=clone, evaluation=evaluation, checkpoint={"every": 100})
    return str(train(recipe, store=tmp_path_factory.mktemp("clone")).policy_path)


def small(name: str, cloned: str, **tables: Any) -> Recipe:
    known = get_algorithm(name).config.model_fields
    table = {key: value for key, value in _SIZES.items() if key in known}
    return toy_recipe(
        phases=[name],
        model={"path": cloned},
        evaluation={"n": 1, "baselines": []},
        checkpoint={"every": 1},
        **{name: table},
        **tables,
    )


def documented_fields(config: type[BaseModel]) -> dict[str, str]:
    """The text below each field, from the class that declares it last."""
    texts: dict[str, str] = {}
    for owner in reversed([c for c in config.__mro__ if issubclass(c, BaseModel) and c is not BaseModel]):
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
        assert isinstance(tree, ast.ClassDef)
        for field, after in zip(tree.body, [*tree.body[1:], None], strict=True):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                texts[field.target.id] = str(after.value.value) if is_text else ""  # type: ignore[union-attr]
    return {field: texts.get(field, "") for field in config.model_fields}


def tables_of(config: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A table and the tables inside of it."""
    yield config
    for field in config.model_fields.values():
        for option in (field.annotation, *typing.get_args(field.annotation)):
            if isinstance(option, type) and issubclass(option, BaseModel):
                yield from tables_of(option)


def curve(folder: Path) -> list[dict[str, Any]]:
    """All metrics but the wall-clock ones."""
    timed = ("seconds", "tokens_per_second")
    return [{k: v for k, v in row.items() if not k.startswith(timed)} for row in read_metrics(folder / "metrics.jsonl")]


def weights(path: Path | str) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = AutoModelForCausalLM.from_pretrained(path).state_dict()
    return found


def is_same(a: Any, b: Any) -> bool:
    """Bitwise equality of whatever a checkpoint holds."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(is_same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(is_same, a, b))
    return bool(a == b)


def final_state(folder: Path, name: str) -> dict[str, Any]:
    found = Checkpoints(folder / "checkpoints" / name).latest()
    assert found is not None
    assert found.finished
    return found.state()


def test_the_defaults_are_valid_and_every_setting_is_explained(name: str) -> None:
    algorithm = get_algorithm(name)
    assert algorithm.name == name
    assert algorithm.config() == algorithm.config.model_validate(algorithm.config().model_dump())
    for table in tables_of(algorithm.config):
        assert table.__doc__
        assert [field for field, text in documented_fields(table).items() if len(text) < 10] == []


def test_a_run_moves_the_weights_and_a_killed_one_ends_bit_identical(name: str, cloned: str, tmp_path: Path) -> None:
    recipe = small(name, cloned)
    whole = train(recipe, store=tmp_path / "whole", run_id="run")
    before, after = weights(cloned), weights(whole.policy_path)
    assert any(not torch.equal(before[key], after[key]) for key in before)
    assert all(bool(tensor.isfinite().all()) for tensor in after.values())
    steps = [row["step"] for row in curve(whole.folder) if row["step"] > 0]
    last = len(steps)  # a round of rft is two steps: playing, and its one update
    assert last >= STEPS
    assert steps == list(range(1, last + 1))

    shutil.copytree(tmp_path / "whole", tmp_path / "killed")  # what a kill before the last step leaves on the disk
    shutil.rmtree(tmp_path / "killed" / "run" / "checkpoints" / name / f"step-{last:06d}")
    resumed = train(recipe, store=tmp_path / "killed", run_id="run")
    assert is_same(weights(resumed.policy_path), after)
    assert is_same(final_state(resumed.folder, name), final_state(whole.folder, name))  # critic and optimisers included
    assert curve(resumed.folder) == curve(whole.folder)


def test_episodes_that_all_failed_move_nothing(name: str, cloned: str, tmp_path: Path) -> None:
    if DEAD_ENV not in gymnasium.registry:
        gymnasium.register(DEAD_ENV, entry_point=DyingKeysEnv)
    recipe = small(name, cloned, env={"id": DEAD_ENV})
    if not hasattr(recipe.phase(name).settings, "steps"):  # imitation has nothing to begin with
        with pytest.raises(UsageError, match=r"nothing to clone|None of"):
            train(recipe, store=tmp_path)
        return
    result = train(recipe, store=tmp_path)
    assert is_same(weights(result.policy_path), weights(cloned))
    rows = [row for row in curve(result.folder) if row["step"] > 0]
    assert [row["no_signal"] for row in rows] == [1.0] * STEPS
    assert all(row["errors"] == row["episodes"] > 0 for row in rows)
