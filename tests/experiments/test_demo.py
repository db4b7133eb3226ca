"""The demo's experiment: its intervals, its lines, and a short version of it from recipe to page."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from experiments.common.rows import folder_of, read_rows
from experiments.demo.page import Cells, difference, goal_interval, outcomes, page, two_way_interval
from experiments.demo.picture import mean_line
from experiments.demo.remarks import REMARKS
from experiments.demo.run import main, phases, played
from palaestra.algorithms.run.packaged import find_recipe
from palaestra.algorithms.run.recipe import load_recipe
from palaestra.results.statistics import mean_interval
from palaestra.types import Message, Outcome, Step, Trajectory

GOALS, SEEDS, COUNT = 12, 5, 20


def cells_of(rates: np.ndarray, count: int = COUNT) -> Cells:
    return {
        (f"goal-{goal}", seed): (float(rates[goal, seed] * count), count)
        for goal in range(rates.shape[0])
        for seed in range(rates.shape[1])
    }


def drawn(rng: np.random.Generator, *, of_goal: float, of_seed: float) -> np.ndarray:
    """Rates by goal and seed around .5."""
    shifts = of_goal * rng.standard_normal((GOALS, 1)) + of_seed * rng.standard_normal((1, SEEDS))
    return 0.5 + shifts + 0.02 * rng.standard_normal((GOALS, SEEDS))


@pytest.mark.parametrize(("of_goal", "of_seed"), [(0.1, 0.0), (0.0, 0.1), (0.1, 0.1), (0.0, 0.0)])
def test_the_interval_covers_whatever_outcomes_go_by(of_goal: float, of_seed: float) -> None:
    rng = np.random.default_rng(1)
    found = [two_way_interval(cells_of(drawn(rng, of_goal=of_goal, of_seed=of_seed))) for _ in range(400)]
    assert sum(one.low <= 0.5 <= one.high for one in found) / len(found) >= 0.92
    spread = math.sqrt(of_goal**2 / GOALS + of_seed**2 / SEEDS + 0.02**2 / (GOALS * SEEDS))
    assert np.mean([one.high - one.low for one in found]) < 4 * 2 * spread  # and is no wider than it has to be


def test_outcomes_that_go_by_one_of_the_two_have_the_interval_of_its_clusters() -> None:
    by_seed = np.repeat(np.array([[0.1, 0.4, 0.5, 0.7, 0.3]]), GOALS, axis=0)
    found, simple = two_way_interval(cells_of(by_seed)), mean_interval([[float(value)] for value in by_seed[0]])
    assert found == pytest.approx((simple.mean, simple.low, simple.high))
    assert two_way_interval(cells_of(np.full((GOALS, 1), 0.5)))[1:] == (-math.inf, math.inf)  # of one seed nothing is known


def test_a_difference_is_of_the_same_goals_and_seeds() -> None:
    rng = np.random.default_rng(2)
    base = drawn(rng, of_goal=0.2, of_seed=0.1)
    better = difference(cells_of(base + 0.1), cells_of(base))
    assert two_way_interval(better) == pytest.approx((0.1, 0.1, 0.1))  # what both have in common says nothing
    assert goal_interval(better) == pytest.approx((0.1, 0.1, 0.1))


def test_the_interval_of_new_goals_is_that_of_their_means() -> None:
    rates = drawn(np.random.default_rng(3), of_goal=0.1, of_seed=0.3)
    simple = mean_interval([[float(value)] for value in rates.mean(axis=1)])
    assert goal_interval(cells_of(rates)) == pytest.approx((simple.mean, simple.low, simple.high))
    wide, narrow = two_way_interval(cells_of(rates)), goal_interval(cells_of(rates))
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def turn(problem: str) -> Step:
    return Step(observation="", action=Message("assistant", "x"), info={"action_error": problem} if problem else {})


def test_turns_that_are_not_a_command_are_told_from_names_that_do_not_exist() -> None:
    problems = (
        "",
        "Could not find torch",
        "Could not execute craft 1",
        "Wrong item format: using",
        "Your answer was cut off; x",
    )
    trajectory = Trajectory(
        episode_id="x",
        env_id="e",
        task={"key": "test/0", "type": "depth-1", "split": "test"},
        steps=tuple(map(turn, problems)),
        outcome=Outcome(score=1.0, success=True),
    )
    found = played([trajectory, trajectory], {"test/0": '"torch"'})
    assert found == {"solved": {"depth-1": {"torch": [2, 2]}}, "turns": {"depth-1": [10, 8, 6]}}


def test_a_line_keeps_the_curve_the_means_and_the_alarms() -> None:
    logged = [
        {
            "phase": "grpo",
            "step": step,
            "success": step / 10,
            "seconds_cpu": 2.0 * step,
            "alarm_entropy": float(step in (4, 6)),
            **({"test_success": 0.5, "test_success.type.depth-1": 0.75} if step % 5 == 0 else {}),
        }
        for step in range(1, 11)
    ]
    found = phases([{"phase": "sft", "step": 1, "loss": 1.0}, *logged])
    assert found["grpo"]["test"] == [[5, 10.0, 0.5, 0.75], [10, 20.0, 0.5, 0.75]]
    assert found["grpo"]["train"]["success"] == pytest.approx([0.3, 0.8])
    assert found["grpo"]["train"]["kl_reference"] == [None, None]
    assert found["grpo"]["alarms"] == {"alarm_entropy": [4, 2]}
    assert found["sft"] == {"steps": 1, "test": [], "alarms": {}}
    assert mean_line([([1, 2, 3], [0.0, 1.0, 5.0]), ([1, 2], [1.0, 2.0])]) == ([1, 2], [0.5, 1.5])


def test_both_ways_begin_with_the_clone_and_no_seed_is_one_that_settings_were_chosen_on() -> None:
    recipe = load_recipe(find_recipe("demo"))
    assert recipe.phase("same_compute").start_from == recipe.phase("grpo").start_from == "sft"
    assert recipe.envs[0].cluster_by == "goal"
    assert not {row["seed"] for row in read_rows(folder_of("demo") / "rows.jsonl")} & {1, 2, 101, 102}


SHORT = (
    "model.hidden_size=16",
    "model.intermediate_size=16",
    "model.num_layers=1",
    "model.corpus_episodes=20",
    "evaluation.n=24",
    "evaluation.curve_n=8",
    "evaluation.max_turns=3",
    "agent.max_tokens_per_turn=4",
    "sft.episodes=16",
    "sft.epochs=1",
    "sft.evaluate_every=0",
    "same_compute.episodes=16",
    "same_compute.epochs=1",
    "same_compute.evaluate_every=0",
    "grpo.steps=2",
    "grpo.tasks_per_step=2",
    "grpo.group_size=4",
    "grpo.evaluate_every=1",
)


def test_a_short_version_makes_lines_once_and_a_page_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tmp_path / "rows.jsonl"
    words = ["--work", str(tmp_path / "work"), "--rows", str(rows), "--seeds", "1", "2"]
    for override in SHORT:
        words += ["--set", override]
    assert main([*words, "--no-page"]) == 0
    lines = [json.loads(line) for line in rows.read_text("utf-8").splitlines()]
    assert [line["seed"] for line in lines] == [1, 2]
    for line in lines:
        arms = line["arms"]
        assert set(arms) == {"random", "expert", "untrained", "cloned", "cloned-same_compute", "trained"}
        assert sum(count for _, count in outcomes([line], "trained").values()) == 24
        assert arms["trained"]["train_cpu_s"] > arms["cloned"]["train_cpu_s"] > 0
        assert [point[0] for point in line["phases"]["grpo"]["test"]] == [1, 2]
    assert two_way_interval(outcomes(lines, "expert")).mean == 1.0
    capsys.readouterr()
    assert main([*words]) == 0
    assert capsys.readouterr().out == ""  # nothing was run again
    text = (tmp_path / "README.md").read_text("utf-8")
    assert "| expert | 100.0 % |" in text
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_is_that_of_the_lines() -> None:
    folder = folder_of("demo")
    rows = read_rows(folder / "rows.jsonl")
    assert (folder / "README.md").read_text("utf-8") == page(rows, REMARKS)
    assert (folder / "curves.png").exists() == bool(rows)


def test_a_page_without_runs_says_so() -> None:
    assert "**No run has been made yet**" in page([], REMARKS)
