from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from palaestra.agents.store.store import RunStore
from palaestra.algorithms import dpo
from palaestra.algorithms.dpo import ALGORITHM, DPOConfig
from palaestra.algorithms.run.metrics import read_metrics
from palaestra.algorithms.run.phase import ProgressEvent
from palaestra.algorithms.run.recipe import Recipe
from palaestra.algorithms.run.registry import get_algorithm
from palaestra.algorithms.run.training import train
from palaestra.errors import ConfigError, MissingExtraError
from tests.algorithms.toy_recipe import toy_policy, toy_recipe
from tests.algorithms.updates import play


class Killed(BaseException):
    """Stands for a kill: nothing in the library catches it."""


@pytest.fixture(scope="module")
def beginner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that has seen a little of the expert: some of its plays are better than others."""
    recipe = toy_recipe(
        phases=("sft",), sft={"episodes": 48, "epochs": 20, "batch_size": 16}, evaluation={"n": 1, "baselines": []}
    )
    return train(recipe, store=tmp_path_factory.mktemp("beginner")).policy_path


def recipe(beginner: Path, *, n: int = 4, **dpo: Any) -> Recipe:
    return toy_recipe(
        phases=("dpo",),
        model={"path": str(beginner)},
        evaluation={"n": n, "baselines": ["untrained"]},
        checkpoint={"every": 1},
        dpo={"steps": 2, "tasks_per_step": 2, "group_size": 6, **dpo},
    )


def weights(path: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = AutoModelForCausalLM.from_pretrained(path).state_dict()
    return found


def same(one: Path, other: Path) -> bool:
    mine, theirs = weights(one), weights(other)
    return all(torch.equal(mine[name], theirs[name]) for name in mine)


def rows(folder: Path) -> list[dict[str, Any]]:
    return list(read_metrics(folder / "metrics.jsonl"))


def test_without_trl_nothing_is_cloned_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trl", None)
    with pytest.raises(MissingExtraError, match="Training with TRL"):
        train(toy_recipe(phases=("sft", "dpo")), store=tmp_path, run_id="r")
    with RunStore(tmp_path) as store:
        assert store.runs() == []


def test_dpo_is_an_algorithm_of_the_table(beginner: Path) -> None:
    assert get_algorithm("dpo") is ALGORITHM
    assert DPOConfig().settings(seed=4).seed == 4
    for key, value in (("betta", 0.1), ("loss", "sigmoyd"), ("group_size", 1), ("label_smoothing", 0.5)):
        with pytest.raises(ConfigError, match=rf"dpo\.{key}"):
            recipe(beginner, **{key: value})


def test_the_score_of_a_policy_that_learns_from_preferences_rises(beginner: Path, tmp_path: Path) -> None:
    result = train(recipe(beginner, n=60, steps=5, tasks_per_step=6, group_size=8), store=tmp_path)
    before, after = (result.arms[arm].summary.total.score.mean for arm in ("untrained", "trained"))
    assert after > before + 0.15
    logged = rows(result.folder)
    assert all(row["pairs"] > 0 and row["updates"] > 0 and row["excluded_errors"] == 0 for row in logged)
    assert logged[-1]["accuracy"] > 0.6
    assert logged[-1]["return_mean"] > logged[0]["return_mean"]


@pytest.mark.parametrize("reference", ["round", "start"])
def test_a_killed_run_goes_on_to_the_same_weights(reference: str, beginner: Path, tmp_path: Path) -> None:
    chosen = recipe(beginner, reference=reference)
    whole = train(chosen, store=tmp_path / "whole", run_id="toy")

    def kill(event: ProgressEvent) -> None:
        if (event.phase, event.done) == ("dpo", 1):
            raise Killed

    with pytest.raises(Killed):
        train(chosen, store=tmp_path / "killed", run_id="toy", progress=kill)
    resumed = train(chosen, store=tmp_path / "killed", run_id="toy")
    assert same(whole.policy_path, resumed.policy_path)
    assert not same(whole.policy_path, beginner)
    logged = rows(resumed.folder)
    assert [row["step"] for row in logged] == [1, 2]
    assert sum(row.get("updates", 0) for row in logged) > 0


def test_a_round_without_a_preference_moves_nothing_and_is_counted(beginner: Path, tmp_path: Path) -> None:
    result = train(recipe(beginner, steps=1, margin=5.0), store=tmp_path, run_id="toy")
    (row,) = rows(result.folder)
    assert (row["no_signal"], row["pairs"], row["groups_without_pair"]) == (1.0, 0.0, 2.0)
    assert "loss" not in row
    assert same(result.policy_path, beginner)


def test_every_round_shuffles_its_pairs_in_an_order_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []
    monkeypatch.setattr(dpo, "train_dpo", lambda policy, pairs, settings, reference: seeds.append(settings.seed) or {})
    played = play(toy_policy())
    for seed, name in ((0, "dpo"), (1, "dpo"), (0, "other")):
        made = dpo.DPOLearner(toy_policy(), DPOConfig(), seed=seed, name=name)
        for step in (1, 2):
            made.update(played, step)
    assert len(set(seeds)) == 6
    dpo.DPOLearner(toy_policy(), DPOConfig()).update(played, 1)
    assert seeds[-1] == seeds[0]
