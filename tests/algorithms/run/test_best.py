"""The best checkpoint by a metric, and phases that end because it gets no better."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from palaestra.algorithms.run import best as best_module
from palaestra.algorithms.run.best import Best
from palaestra.algorithms.run.checkpoint import Checkpoints
from palaestra.algorithms.run.metrics import read_metrics
from palaestra.algorithms.run.phase import Phase, ProgressEvent
from palaestra.algorithms.run.training import TrainingResult, train
from palaestra.errors import ConfigError, UsageError
from tests.algorithms.toy_recipe import toy_recipe

QUIET: dict[str, Any] = {"n": 2, "baselines": [], "curve_n": 2}
# a critic that knows nothing yet gives an untrained policy something to learn
SMALL: dict[str, Any] = {"steps": 6, "tasks_per_step": 4, "epochs": 1, "lr": 1e-2, "warmup_updates": 0}


def weights(path: Path) -> torch.Tensor:
    state = AutoModelForCausalLM.from_pretrained(path).state_dict()
    return torch.cat([tensor.flatten() for tensor in state.values()])


def observed(values: list[float | None], **options: Any) -> tuple[Best, list[int]]:
    best = Best("score", **options)
    return best, [step for step, value in enumerate(values, start=1) if best.observe(step, {"score": value})]


def test_the_first_of_equal_values_is_best_and_what_is_no_number_is_none() -> None:
    best, steps = observed([0.2, None, 0.5, 0.5, math.nan, 0.4])
    assert steps == [1, 3]
    assert (best.step, best.value, best.waited) == (3, 0.5, 2)
    assert observed([0.2, 0.1, 0.3], mode="min")[1] == [1, 2]
    assert not best.observe(7, {"another": 9.0})
    assert best.seen == {"score", "another"}


def test_patience_counts_measurements_since_the_best() -> None:
    assert not observed([0.5, 0.4], patience=2)[0].is_over
    assert observed([0.5, None, 0.4, 0.5], patience=2)[0].is_over
    assert not observed([0.5, 0.4, 0.6, 0.1], patience=2)[0].is_over
    assert not observed([0.5] * 99)[0].is_over


def with_scores(monkeypatch: pytest.MonkeyPatch, scores: list[float], *, played: bool = False) -> None:
    """A metric has these values, one a step, whatever the policy does: after each update, or of what was played before it."""
    monkeypatch.setattr(best_module, "AFTER_UPDATE", "test_" if played else "made_")
    plain = Phase.__init__

    def init(self: Phase, *arguments: Any, **options: Any) -> None:
        plain(self, *arguments, **options)
        log = self.log

        def scored(step: int, metrics: Any, **more: Any) -> None:
            log(step, {**metrics, "made_up": scores[min(step, len(scores)) - 1]}, **more)

        self.log = scored  # type: ignore[method-assign]

    monkeypatch.setattr(Phase, "__init__", init)


def run(folder: Path, checkpoint: dict[str, Any], phase: str = "ppo", progress: Any = None, **tables: Any) -> TrainingResult:
    settings = {"ppo": SMALL, "sft": {"epochs": 6, "episodes": 4, "batch_size": 4, "warmup_updates": 0, "lr": 3e-2}}
    recipe = toy_recipe(
        phases=[phase],
        evaluation=QUIET,
        checkpoint={"every": 2, "keep": 9, **checkpoint},
        **{phase: settings[phase]},
        **tables,
    )
    return train(recipe, store=folder, run_id="r", progress=progress)


@pytest.mark.parametrize("phase", ["ppo", "sft"])
def test_a_phase_gives_the_policy_of_its_best_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str) -> None:
    with_scores(monkeypatch, [0.1, 0.3, 0.2, 0.3, 0.2, 0.1])
    plain = run(tmp_path / "plain", {}, phase)
    best = run(tmp_path / "best", {"best": "made_up"}, phase)
    steps = Checkpoints(plain.folder / "checkpoints" / phase)
    second = steps.at(2)
    assert second is not None
    assert torch.equal(weights(best.policy_path), weights(second.policy_path))
    assert not torch.equal(weights(best.policy_path), weights(plain.policy_path))
    assert best.policy_path.parts[-3:] == ("best", "step-000002", "policy")
    # training itself went the same way
    last = Checkpoints(best.folder / "checkpoints" / phase).at(6)
    assert last is not None
    assert torch.equal(weights(last.policy_path), weights(plain.policy_path))


@pytest.mark.parametrize("phase", ["ppo", "sft"])
@pytest.mark.parametrize("best_step", [1, 4, 6])
def test_a_metric_of_what_was_played_keeps_the_policy_that_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str, best_step: int
) -> None:
    plain = run(tmp_path / "plain", {"every": 1}, phase)
    with_scores(monkeypatch, [float(step == best_step) for step in range(1, 7)], played=True)
    best = run(tmp_path / "best", {"best": "made_up"}, phase)
    assert best.policy_path.parts[-3:] == ("best", f"step-{best_step:06d}", "policy")
    before = Checkpoints(plain.folder / "checkpoints" / phase).at(best_step - 1)
    if best_step == 1:
        start = next((plain.folder / "checkpoints").glob("*start*/**/config.json")).parent
        assert torch.equal(weights(best.policy_path), weights(start))
    else:
        assert before is not None
        assert torch.equal(weights(best.policy_path), weights(before.policy_path))


def test_where_it_is_off_nothing_changes_and_nothing_is_kept(tmp_path: Path) -> None:
    result = run(tmp_path, {})
    assert not (result.folder / "checkpoints" / "ppo" / "best").exists()
    assert len([row for row in read_metrics(result.folder / "metrics.jsonl") if row["phase"] == "ppo"]) == 6
    last = Checkpoints(result.folder / "checkpoints" / "ppo").latest()
    assert last is not None
    assert "best" not in last.state()


@pytest.mark.parametrize("phase", ["ppo", "sft"])
def test_a_phase_ends_when_its_patience_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, phase: str
) -> None:
    with_scores(monkeypatch, [0.1, 0.3, 0.2, 0.3, 0.2, 0.1])
    result = run(tmp_path, {"best": "made_up", "patience": 2}, phase)
    rows = [row for row in read_metrics(result.folder / "metrics.jsonl") if row["phase"] == phase]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert f"{phase}, step 4: made_up was best at step 2 (0.3) and no better 2 times since" in caplog.text
    again = run(tmp_path, {"best": "made_up", "patience": 2}, phase)  # a finished run stays finished
    assert again.policy_path == result.policy_path
    assert len(read_metrics(result.folder / "metrics.jsonl")) == 4


class Killed(BaseException):
    pass


@pytest.mark.parametrize("at", [1, 2, 3, 5, 6])
def test_a_killed_run_ends_with_the_same_best_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    def kill(event: ProgressEvent) -> None:
        if event.phase == "ppo" and event.done == at:
            raise Killed

    with_scores(monkeypatch, [0.1, 0.2, 0.5, 0.4, 0.3, 0.45])
    table = {"best": "made_up", "every": 4}
    whole = run(tmp_path / "whole", table)
    with pytest.raises(Killed):
        run(tmp_path / "cut", table, progress=kill)
    # what a lost branch held best must not crowd out the best of this one
    for stray in (5, 6):
        (tmp_path / "cut" / "r" / "checkpoints" / "ppo" / "best" / f"step-{stray:06d}").mkdir(parents=True, exist_ok=True)
    cut = run(tmp_path / "cut", table)
    assert torch.equal(weights(cut.policy_path), weights(whole.policy_path))
    assert cut.policy_path.parent.name == whole.policy_path.parent.name == "step-000003"


def test_a_metric_that_is_never_measured_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    result = run(tmp_path, {"best": "metric_moves"})  # which the environment alone would know
    assert "checkpoint.best is 'metric_moves', which the phase ppo never measured; its last policy is kept" in caplog.text
    assert "return_mean" in caplog.text
    assert result.policy_path.parent.name == "step-000006"


def test_choosing_by_the_tasks_that_are_evaluated_is_said_and_a_split_of_its_own_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = {"best": "test_success"}
    recipe = toy_recipe(phases=["ppo"], ppo={**SMALL, "steps": 1}, evaluation={**QUIET, "every": 1}, checkpoint=table)
    caplog.set_level(logging.WARNING)
    train(recipe, store=tmp_path / "a")
    assert "Set evaluation.curve_split" in caplog.text
    caplog.clear()
    evaluation = {**QUIET, "every": 1, "curve_split": "train"}
    train(toy_recipe(phases=["ppo"], ppo={**SMALL, "steps": 1}, evaluation=evaluation, checkpoint=table), store=tmp_path / "b")
    assert "curve_split" not in caplog.text
    other = toy_recipe(phases=["ppo"], ppo=SMALL, evaluation={**evaluation, "curve_split": "valid"})
    with pytest.raises(UsageError, match="Unknown split 'valid'"):
        train(other, store=tmp_path / "c")


@pytest.mark.parametrize(
    ("tables", "match"),
    [
        ({"checkpoint": {"patience": 3}}, "nothing says what has to get better"),
        ({"checkpoint": {"best": "test_success"}}, "evaluation.every is 0"),
        ({"checkpoint": {"best": "return_mean", "best_mode": "high"}}, "checkpoint.best_mode is 'high'"),
        ({"evaluation": {"curve_n": 10_000, "curve_samples": 10_000}}, "expected a product of at most 10,000,000"),
    ],
)
def test_what_cannot_be_chosen_by_is_refused(tables: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        toy_recipe(**tables)
