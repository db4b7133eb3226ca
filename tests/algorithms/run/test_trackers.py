from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from palaestra.algorithms.run.metrics import MetricsLog
from palaestra.algorithms.run.recipe import parse_recipe
from palaestra.algorithms.run.trackers import MetricsConfig, WandbTracker
from palaestra.algorithms.run.training import train
from palaestra.errors import ConfigError, MissingExtraError
from tests.algorithms.toy_recipe import toy_recipe


class FakeRun:
    """The calls of a run of wandb 0.31 that are made here, with its own signatures."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.axes: dict[str, str | None] = {}
        self.rows: list[dict[str, Any]] = []
        self.finished = 0

    def define_metric(self, name: str, step_metric: str | None = None, *, hidden: bool | None = None) -> None:
        self.axes[name] = step_metric

    def log(self, data: dict[str, Any], step: int | None = None, commit: bool | None = None) -> None:
        assert step is None  # the service's own step may never fall
        self.rows.append(dict(data))

    def finish(self, exit_code: int | None = None) -> None:
        self.finished += 1


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[FakeRun]:
    made: list[FakeRun] = []
    module = ModuleType("wandb")
    module.__spec__ = ModuleSpec("wandb", None)  # other packages look for it

    def init(
        *,
        entity: str | None = None,
        project: str | None = None,
        dir: str | None = None,
        id: str | None = None,
        name: str | None = None,
        config: dict[str, Any] | None = None,
        resume: str | bool | None = None,
        mode: str | None = None,
    ) -> FakeRun:
        made.append(FakeRun(locals()))
        return made[-1]

    module.init = init  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    return made


def test_each_phase_is_drawn_over_its_own_steps(runs: list[FakeRun], tmp_path: Path) -> None:
    tracker = WandbTracker(MetricsConfig(wandb=True, wandb_offline=True), tmp_path, run_id="r", config={"seed": 1})
    assert runs == []  # nothing is opened before there is something to send
    with_tracker = MetricsLog(tmp_path, tensorboard=False, trackers=[tracker])
    with_tracker.log("sft", 1, {"loss": 0.5})
    with_tracker.log("sft", 2, {"loss": float("nan"), "lr": 0.1})
    with_tracker.log("grpo", 1, {"success": 1.0})
    with_tracker.close()
    with_tracker.close()
    (run,) = runs
    assert run.axes == {"sft/step": None, "sft/*": "sft/step", "grpo/step": None, "grpo/*": "grpo/step"}
    assert run.rows == [
        {"sft/step": 1, "sft/loss": 0.5},
        {"sft/step": 2, "sft/lr": 0.1},
        {"grpo/step": 1, "grpo/success": 1.0},
    ]
    assert run.finished == 1
    wanted = {"project": "palaestra", "id": "r", "name": "r", "resume": "allow", "mode": "offline", "config": {"seed": 1}}
    assert wanted.items() <= run.settings.items()


def test_a_recipe_sends_what_it_logs_and_goes_on_with_the_same_run(runs: list[FakeRun], tmp_path: Path) -> None:
    recipe = toy_recipe(phases=["sft"], evaluation={"n": 1, "baselines": []}, metrics={"wandb": True, "tensorboard": False})
    result = train(recipe, store=tmp_path, run_id="toy")
    (run,) = runs
    assert [row["sft/step"] for row in run.rows] == [1, 2, 3, 4]
    assert run.settings["config"] == recipe.to_json()
    assert run.settings["mode"] is None
    assert run.finished == 1
    assert not (result.folder / "tensorboard").exists()
    train(recipe, store=tmp_path, run_id="toy")
    assert len(runs) == 1  # nothing was left to do, and nothing was sent


def test_a_missing_package_is_told_before_anything_is_played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingExtraError, match="wandb"):
        train(toy_recipe(metrics={"wandb": True}), store=tmp_path, run_id="toy")
    assert not (tmp_path / "toy" / "metrics.jsonl").exists()


def test_recipes_of_before_stay_what_they_were() -> None:
    assert "metrics" not in toy_recipe().to_json()
    recipe = toy_recipe(metrics={"wandb_offline": True})
    assert parse_recipe(recipe.to_json()).to_json() == recipe.to_json()
    with pytest.raises(ConfigError, match=r"Unknown key 'metrics.wand'. Did you mean 'wandb'"):
        toy_recipe(metrics={"wand": True})
