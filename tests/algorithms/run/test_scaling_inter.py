from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from palaestra.algorithms.run.scaling_inter import HorizonConfig, horizon
from palaestra.errors import ConfigError


@pytest.mark.parametrize(("step", "expected"), [(1, 10), (100, 10), (101, 20), (200, 20), (201, 30), (10**6, 30)])
def test_the_horizon_grows_by_stages(step: int, expected: int) -> None:
    assert horizon(step, [10, 20, 30], 100) == expected


@pytest.mark.parametrize("step", [1, 2, 99, 10**9])
def test_one_stage_is_a_fixed_horizon(step: int) -> None:
    assert horizon(step, [5], 1) == 5


def test_resuming_at_any_step_gives_the_same_sequence() -> None:
    config = HorizonConfig(rounds=(10, 20, 30), interval=100)
    whole = [config.at(step) for step in range(1, 211)]
    for stop in range(95, 106):
        assert [config.at(step) for step in range(stop, 211)] == whole[stop - 1 :]


@pytest.mark.parametrize(
    ("rounds", "interval", "step", "match"),
    [
        ([], 100, 1, "rounds is empty"),
        ([10], 0, 1, "interval is 0; expected at least 1"),
        ([10, 0], 5, 1, r"rounds is \[10, 0\]; expected at least 1 turn"),
        ([10], 5, 0, "step is 0; training steps are counted from 1"),
    ],
)
def test_impossible_schedules_are_refused(rounds: list[int], interval: int, step: int, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        horizon(step, rounds, interval)


@pytest.mark.parametrize(
    "table", [{"rounds": ()}, {"rounds": (5,), "interval": 0}, {"rounds": (0,)}, {"rounds": (5,), "every": 3}]
)
def test_the_recipe_table_refuses_them_too(table: dict[str, object]) -> None:
    with pytest.raises((ValidationError, ConfigError)):
        HorizonConfig(**table)  # type: ignore[arg-type]


def _published() -> list[Path]:
    folders = [Path(p) for p in os.environ.get("PALAESTRA_FIXTURES", "").split(os.pathsep) if p]
    return [file for folder in folders for file in sorted(folder.rglob("scaling_inter/schedules.json"))]


@pytest.mark.parity
def test_published_schedules() -> None:
    files = _published()
    if not files:
        pytest.skip("PALAESTRA_FIXTURES names no folder that holds scaling_inter/schedules.json")
    for file in files:
        data = json.loads(file.read_text())
        assert data["cases"]
        for case in data["cases"]:
            schedule = data["scaling_inter"][case["env"]]
            assert horizon(case["step"], schedule["rounds"], schedule["steps_scaling_inter"]) == case["max_rounds"], case
