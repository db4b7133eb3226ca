from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from palaestra.agents.store.store import RunStore
from palaestra.algorithms.run.arms import ArmEvaluations
from palaestra.algorithms.run.feed import MARK
from palaestra.algorithms.run.metrics import (
    MAX_TYPES,
    MetricsLog,
    by_type,
    episode_metrics,
    measured,
    pass_at_powers,
    read_metrics,
    with_own,
)
from palaestra.types import Trajectory
from tests.algorithms.build import episode, segment, simple
from tests.algorithms.toy_recipe import toy_recipe


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


def typed(kind: str, name: str, reward: float, *, group: str = "g", error: bool = False) -> Trajectory:
    one = simple(name, reward, group=group, error=error)
    return replace(one, task={**one.task, "type": kind})


def test_types_of_task_are_told_apart() -> None:
    played = [
        typed("depth 1", "a", 1.0),
        typed("depth 1", "b", 1.0),
        typed("depth 2", "c", 0.0),
        typed("depth 2", "d", 0.0, error=True),
    ]
    assert by_type(played) == {
        "success.type.depth_1": 1.0, "score_mean.type.depth_1": 1.0, "episodes.type.depth_1": 2.0,
        "success.type.depth_2": 0.0, "score_mean.type.depth_2": 0.0, "episodes.type.depth_2": 2.0,
    }  # fmt: skip
    assert by_type(played[:2]) == {}  # one type is all there is
    assert by_type([simple("a", 1.0), simple("b", 0.0)]) == {}
    assert measured(played).items() >= by_type(played).items()


def test_of_many_types_the_most_frequent_are_told_apart() -> None:
    many = [typed(f"t{i:02d}", f"{i}/{j}", 1.0) for i in range(40) for j in range(1 + i % 20)]
    names = {name.rpartition(".")[2] for name in by_type(many)}
    assert len(names) == MAX_TYPES
    assert names == {f"t{i:02d}" for i in range(40) if i % 20 >= 12}
    assert list(by_type(many)) == list(by_type(many[::-1]))


def test_passes_of_groups_are_the_chance_that_one_of_k_plays_succeeds() -> None:
    wins = {"a": [1, 0, 0, 0], "b": [0, 0, 0, 0], "c": [1, 1, 1, 0], "d": [1, 1]}
    played = [simple(f"{g}{i}", float(w), group=g) for g, won in wins.items() for i, w in enumerate(won)]
    played += [simple("failed", 0.0, group="d", error=True), simple("alone", 1.0, group="")]

    def chance(won: list[int], k: int) -> float:
        draws = list(itertools.combinations(won, k))
        return sum(any(draw) for draw in draws) / len(draws)

    found = pass_at_powers(played)
    assert found == {
        "pass_at_2": pytest.approx(sum(chance(won, 2) for won in wins.values()) / 4),
        "pass_at_4": pytest.approx(sum(chance(wins[g], 4) for g in "abc") / 3),  # the last group was not played as often
    }
    assert pass_at_powers([simple("x", 1.0, group="")]) == {}
    assert measured(played).items() >= found.items()


def test_points_of_the_learning_curve_are_told_apart_by_type_and_plays(monkeypatch: pytest.MonkeyPatch) -> None:
    played = [typed(kind, f"{kind}{i}", float(i == 0), group=kind) for kind in ("easy", "hard") for i in range(2)]
    played[2] = typed("hard", "hard0", 0.0, group="hard")
    one = {"id": toy_recipe().envs[0].id}
    for env, where in ((one, ""), ([{**one, "name": "x"}, {**one, "name": "y"}], ".y")):
        recipe = toy_recipe(env=env)
        arms = ArmEvaluations.__new__(ArmEvaluations)
        arms.recipe, arms.extensions = recipe, type("Nothing", (), {"ready": lambda self: None})()  # type: ignore[assignment]
        monkeypatch.setattr(ArmEvaluations, "_short", lambda self, policy, env: played)
        found = arms.curve(None)  # type: ignore[arg-type]
        assert found["success"] == 0.25
        assert found["pass_at_2"] == 0.5
        assert found[f"success{where}.type.easy"] == 0.5
        assert found[f"success{where}.type.hard"] == 0.0


def test_equal_names_of_groups_in_several_environments_are_several_groups() -> None:
    one = [simple("a0", 1.0, group="g"), simple("a1", 1.0, group="g")]
    other = [simple("b0", 0.0, group="g"), simple("b1", 0.0, group="g")]
    assert pass_at_powers(one, other) == {"pass_at_2": 0.5}
    assert set(pass_at_powers([*one, *other])) == {"pass_at_2", "pass_at_4"}
