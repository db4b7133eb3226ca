"""Alarms about where a run is going: on made-up series, and on the metrics of runs that were played."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from palaestra.algorithms.run.alarms import ALARM_TEXTS, Alarms

RECORDED = Path(__file__).parent / "recorded"
TRENDS = {"alarm_entropy", "alarm_invalid", "alarm_groups_equal", "alarm_plateau"}
METRIC = {
    "alarm_entropy": "entropy_sampled",
    "alarm_invalid": "invalid_actions",
    "alarm_groups_equal": "groups_equal",
    "alarm_plateau": "return_mean",
}


def rung(rows: list[dict[str, float | None]]) -> dict[str, list[int]]:
    alarms = Alarms()
    found: dict[str, list[int]] = {}
    for step, row in enumerate(rows, start=1):
        for name, value in alarms.observe(step, row).items():
            found.setdefault(name, []).extend([step] if value else [])
    return found


def steps_of(alarm: str, values: list[float], **also: float) -> list[int]:
    return rung([{METRIC[alarm]: float(value), **also} for value in values])[alarm]


def noisy(values: list[float], spread: float, seed: int = 0) -> list[float]:
    return [float(v) for v in np.asarray(values) + spread * np.random.default_rng(seed).standard_normal(len(values))]


def recorded(name: str) -> list[dict[str, float | None]]:
    return [json.loads(line) for line in (RECORDED / f"{name}.jsonl").read_text().splitlines()]


def test_the_demo_that_went_wrong_rings_every_alarm_about_it() -> None:
    found = rung(recorded("demo_seed_0"))
    first = {name: steps[0] for name, steps in found.items() if steps}
    assert first.keys() >= TRENDS
    assert first["alarm_groups_equal"] < 50  # before anything else is seen
    assert first["alarm_entropy"] < 90
    assert first["alarm_invalid"] < 100
    assert first["alarm_plateau"] < 125


@pytest.mark.parametrize("name", ["two_seats_one_seat", "two_seats_asker", "feedback_keys"])
def test_runs_that_went_well_ring_nothing(name: str) -> None:
    found = rung(recorded(name))
    assert found.keys() >= TRENDS  # all of them were asked
    assert {alarm: steps for alarm, steps in found.items() if steps} == {}


@pytest.mark.parametrize("seed", range(5))
def test_entropy_that_falls_or_stays_is_silent_and_a_rise_rings(seed: int) -> None:
    assert steps_of("alarm_entropy", noisy([3.0 * 0.97**i for i in range(120)], 0.05, seed)) == []
    assert steps_of("alarm_entropy", noisy([0.2] * 120, 0.05, seed)) == []
    rising = [0.2] * 40 + [0.2 + 0.03 * i for i in range(60)]
    assert 48 < steps_of("alarm_entropy", noisy(rising, 0.02, seed))[0] < 65
    # a policy that is nearly certain may double its entropy without a word
    assert steps_of("alarm_entropy", [0.02] * 20 + [0.1] * 40) == []


@pytest.mark.parametrize("seed", range(5))
def test_a_share_of_refused_actions_rings_by_its_rise_and_not_by_its_height(seed: int) -> None:
    assert steps_of("alarm_invalid", noisy([0.6] * 120, 0.06, seed)) == []
    assert steps_of("alarm_invalid", noisy([0.6 - 0.004 * i for i in range(120)], 0.05, seed)) == []
    found = steps_of("alarm_invalid", noisy([0.05] * 40 + [0.3] * 40, 0.03, seed))
    assert 44 <= found[0] <= 52
    assert found == list(range(found[0], 81))


def test_groups_ring_where_most_teach_nothing_unless_all_is_solved() -> None:
    assert steps_of("alarm_groups_equal", [0.7] * 40, success=0.4) == []
    assert steps_of("alarm_groups_equal", [0.5] * 10 + [0.9] * 10, success=0.4) == list(range(17, 21))
    assert steps_of("alarm_groups_equal", [0.95] * 40, success=0.95) == []
    assert steps_of("alarm_groups_equal", [0.95] * 9, success=0.0) == [8, 9]


@pytest.mark.parametrize("seed", range(5))
def test_a_return_that_stands_still_rings_and_one_that_rises_does_not(seed: int) -> None:
    flat, slow = noisy([0.47] * 140, 0.05, seed), noisy([0.2 + 0.003 * i for i in range(140)], 0.05, seed)
    assert len(steps_of("alarm_plateau", flat)) > 30
    assert steps_of("alarm_plateau", slow) == []
    assert steps_of("alarm_plateau", flat[:74]) == []  # too short to say
    assert steps_of("alarm_plateau", noisy([0.97] * 140, 0.01, seed), success=0.97) == []
    rising_then_flat = noisy([0.1 + 0.006 * i for i in range(60)] + [0.46] * 90, 0.03, seed)
    assert 75 < steps_of("alarm_plateau", rising_then_flat)[0] < 150


def test_returns_of_any_scale_are_judged_alike() -> None:
    flat = noisy([0.47] * 140, 0.05)
    assert steps_of("alarm_plateau", [100.0 * v - 300.0 for v in flat]) == steps_of("alarm_plateau", flat)


def test_steps_without_a_number_are_passed_over() -> None:
    for alarm, metric in METRIC.items():
        rows: list[dict[str, float | None]] = [{metric: None} for _ in range(100)]
        assert rung(rows)[alarm] == []
        assert alarm in ALARM_TEXTS


def test_a_resumed_run_that_reads_its_log_again_rings_as_before() -> None:
    rows = recorded("demo_seed_0")
    whole, resumed = Alarms(), Alarms()
    for step, row in enumerate(rows, start=1):
        whole.observe(step, row)
    for step, row in enumerate(rows[:100], start=1):  # as `Phase.resume` does, without the rest
        resumed.observe(step, row)
    for step, row in enumerate(rows[100:], start=101):
        resumed.observe(step, row)
    assert (whole.rung, whole.first) == (resumed.rung, resumed.first)
