from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from palaestra.agents.store.store import RunStore
from palaestra.algorithms.run.feed import MARK
from palaestra.algorithms.run.metrics import MetricsLog, episode_metrics, measured, read_metrics, with_own
from tests.algorithms.build import episode, segment, simple


def test_metrics_go_to_the_file_and_to_the_store(tmp_path: Path) -> None:
    with RunStore(tmp_path) as store:
        run_id = store.create_run({})
        log = MetricsLog(tmp_path / "run", store=store, run_id=run_id, tensorboard=False)
        log.log("grpo", 1, {"loss": 0.5, "bad": math.nan})
        assert read_metrics(log.path) == [{"phase": "grpo", "step": 1, "loss": 0.5, "bad": None}]
        assert store.metrics(run_id) == [{"step": 1, "grpo/loss": 0.5}]


def test_rewinding_forgets_later_steps_of_that_phase_only(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, tensorboard=False)
    for step in (1, 2, 3):
        log.log("sft", step, {"loss": step})
        log.log("grpo", step, {"loss": step})
    with log.path.open("a") as file:
        file.write('{"phase": "grpo", "st')  # cut off by a kill
    log.rewind("grpo", 1)
    log.log("grpo", 2, {"loss": 20.0})
    found = [(r["phase"], r["step"], r["loss"]) for r in read_metrics(log.path)]
    assert sorted(found) == [("grpo", 1, 1.0), ("grpo", 2, 20.0), ("sft", 1, 1.0), ("sft", 2, 2.0), ("sft", 3, 3.0)]
    assert all(json.loads(line) for line in log.path.read_text().splitlines())


def test_tensorboard_files_are_written_by_phase(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = MetricsLog(tmp_path)
    log.log("sft", 1, {"loss": 0.25})
    log.log("sft", 2, {"loss": 0.125})
    log.close()
    events = EventAccumulator(str(tmp_path / "tensorboard" / "sft")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("sft/loss")] == [(1, 0.25), (2, 0.125)]


def test_episode_metrics_leave_errors_out_of_every_mean() -> None:
    played = [simple("a", 1.0), simple("b", 0.0), simple("c", 0.0, error=True)]
    found = episode_metrics(played)
    assert found["episodes"] == 3
    assert found["errors"] == 1
    assert found["success"] == 0.5
    assert found["score_mean"] == 0.5
    assert found["sampled_tokens"] == 9


def test_what_the_environment_measures_is_averaged_over_the_episodes_that_have_it() -> None:
    played = [simple("a", 1.0), simple("b", 0.0), simple("c", 1.0), simple("d", 0.0, error=True)]
    figures = [{"wer": 0.5, "steps": 3.0}, {"wer": 0.25}, {}]
    played = [replace(t, outcome=replace(t.outcome, metrics=given)) for t, given in zip(played, [*figures, {}], strict=True)]
    found = episode_metrics(played)
    assert {name: found[name] for name in with_own(("success",), found)} == {
        "success": 2 / 3,
        "metric_steps": 3.0,
        "metric_wer": 0.375,
    }
    by_env = [replace(t, episode_id=f"step-1{MARK}{name}/x") for t, name in zip(played, "abab", strict=True)]
    assert {name: value for name, value in measured(by_env).items() if name.startswith("metric_wer")} == {
        "metric_wer": 0.375,
        "metric_wer.a": 0.5,
        "metric_wer.b": 0.25,
    }


def test_episode_metrics_of_nothing_are_zero() -> None:
    assert episode_metrics([])["success"] == 0.0
    assert episode_metrics([episode("a", [segment([0, 1], [(1, 2, 0)])], [0.5])])["tokens_per_turn"] == 1.0
