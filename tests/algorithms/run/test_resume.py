"""Resumed runs end bit by bit as undisturbed ones, also after steps that change no weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from palaestra.algorithms.run.checkpoint import Checkpoints
from palaestra.algorithms.run.metrics import read_metrics
from palaestra.algorithms.run.phase import ProgressEvent
from palaestra.algorithms.run.training import TrainingResult, train
from tests.algorithms.toy_recipe import toy_recipe

# pairs of plays are often equal: such a step has no signal, and its sampler keeps the weights it had
PAIRS: dict[str, Any] = {"steps": 8, "tasks_per_step": 1, "group_size": 2, "lr": 1e-2, "correction": {"level": "token"}}
PRETRAINED: dict[str, Any] = {"steps": 3, "tasks_per_step": 4, "lr": 1e-2, "pretrain_episodes": 4}
TABLES = {"grpo": PAIRS, "ppo": PRETRAINED}
QUIET: dict[str, Any] = {"n": 2, "baselines": [], "every": 0}
CLONED: dict[str, Any] = {"epochs": 30}  # solves some, so that some pairs differ


class Killed(BaseException):
    """What ends a run in the middle."""


def rows(result: TrainingResult) -> list[dict[str, Any]]:
    timed = ("seconds", "tokens_per_second")
    return [{k: v for k, v in row.items() if not k.startswith(timed)} for row in read_metrics(result.folder / "metrics.jsonl")]


def weights(result: TrainingResult) -> torch.Tensor:
    state = AutoModelForCausalLM.from_pretrained(result.policy_path).state_dict()
    return torch.cat([tensor.flatten() for tensor in state.values()])


def run(
    folder: Path, phase: str, table: dict[str, Any], start: Path | None, killed_after: int | None = None
) -> TrainingResult:
    """Train a phase: after a clone in the same run, or from a clone that was made once for all."""

    def progress(event: ProgressEvent) -> None:
        if event.phase == phase and event.done == killed_after:
            raise Killed

    begins: dict[str, Any] = {"phases": ["sft", phase]}
    if start is not None:
        begins = {"phases": [phase], "model": {"path": str(start)}}
    recipe = toy_recipe(**begins, sft=CLONED, evaluation=QUIET, checkpoint={"every": 1}, **{phase: table})
    return train(recipe, store=folder, run_id="r", progress=progress)


@pytest.fixture(scope="module")
def chained(tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    """A clone, and GRPO after it."""
    return run(tmp_path_factory.mktemp("chained"), "grpo", PAIRS, None)


@pytest.fixture(scope="module")
def clone(chained: TrainingResult) -> Path:
    """The clone of that run: where all other runs begin."""
    found = Checkpoints(chained.folder / "checkpoints" / "sft").latest()
    assert found is not None
    return found.policy_path


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, clone: Path) -> dict[str, TrainingResult]:
    return {phase: run(tmp_path_factory.mktemp(phase), phase, table, clone) for phase, table in TABLES.items()}


def test_some_steps_change_nothing_and_others_do(undisturbed: dict[str, TrainingResult]) -> None:
    for phase, result in undisturbed.items():
        found = [row for row in rows(result) if row["phase"] == phase]
        assert any("policy_loss" not in row for row in found[:-1])
        assert any("policy_loss" in row for row in found)


@pytest.mark.parametrize(("phase", "killed_after"), [("ppo", 0), ("ppo", 1), *(("grpo", step) for step in range(1, 8))])
def test_a_run_resumes_bit_by_bit_after_any_step(
    tmp_path: Path, undisturbed: dict[str, TrainingResult], clone: Path, phase: str, killed_after: int
) -> None:
    with pytest.raises(Killed):
        run(tmp_path, phase, TABLES[phase], clone, killed_after)
    resumed = run(tmp_path, phase, TABLES[phase], clone)
    assert rows(resumed) == rows(undisturbed[phase])
    assert torch.equal(weights(resumed), weights(undisturbed[phase]))


def test_a_run_resumes_bit_by_bit_where_its_clone_is_a_phase_of_its_own(tmp_path: Path, chained: TrainingResult) -> None:
    with pytest.raises(Killed):
        run(tmp_path, "grpo", PAIRS, None, 2)
    resumed = run(tmp_path, "grpo", PAIRS, None)
    assert rows(resumed) == rows(chained)
    assert torch.equal(weights(resumed), weights(chained))
