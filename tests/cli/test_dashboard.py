from __future__ import annotations

import io

import pytest
from rich.console import Console

from palaestra.algorithms.run.alarms import ALARM_TEXTS
from palaestra.algorithms.run.packaged import find_recipe
from palaestra.algorithms.run.phase import ProgressEvent
from palaestra.algorithms.run.recipe import load_recipe
from palaestra.cli.dashboard import Dashboard, PlainLines, duration, number, parts_of, sparkline


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def drawn(board: Dashboard, width: int = 100) -> str:
    out = Console(file=io.StringIO(), width=width, force_terminal=False)
    out.print(board)
    return out.file.getvalue()  # type: ignore[attr-defined]


def steps(board, clock, phase, count, total, **metrics) -> None:
    for step in range(1, count + 1):
        clock.now += 2.0
        board(ProgressEvent(phase, step, total, {name: value(step) for name, value in metrics.items()}))


def test_parts_come_in_the_order_in_which_a_run_comes_to_them():
    recipe = load_recipe(find_recipe("textcraft_tiny"))
    assert parts_of(recipe) == ["random", "expert", "untrained", "sft", "cloned", "grpo", "trained"]


def test_the_picture_tells_phases_step_metrics_alarms_and_what_is_left():
    clock = Clock()
    board = Dashboard("run-1", ["random", "sft", "cloned", "ppo", "trained"], clock=clock)
    board(ProgressEvent("random", 6, 6))
    steps(board, clock, "sft", 4, 4, loss=lambda s: 1 / s)
    steps(
        board,
        clock,
        "ppo",
        30,
        100,
        success=lambda s: s / 100,
        grad_norm=lambda s: 1.0,
        alarm_grad_norm=lambda s: float(s in (7, 9)),
    )
    text = drawn(board)
    assert "run-1   1:08" in text
    assert "+ random   + sft   . cloned   > ppo   . trained" in text
    assert "ppo 30/100" in text
    assert "2:20 left" in text  # 70 steps of 2 seconds
    assert "success" in text
    assert "0.01 .. 0.3" in text
    assert f"! ppo, 2 steps, 7 to 9: {ALARM_TEXTS['alarm_grad_norm']}" in " ".join(text.split())
    assert all(len(line) <= 100 for line in text.splitlines())


def test_the_pace_is_that_of_the_last_steps_and_of_this_process():
    clock = Clock()
    board = Dashboard("r", ["grpo"], clock=clock)
    board(ProgressEvent("grpo", 50, 60))  # resumed: what came before says nothing about the pace
    assert "-- " in drawn(board) or "--\n" in drawn(board)
    clock.now += 6.0
    board(ProgressEvent("grpo", 52, 60))
    assert "24 s left" in drawn(board)
    board(ProgressEvent("grpo", 60, 60))
    assert "left" not in drawn(board)


def test_a_phase_nobody_announced_and_odd_numbers_break_nothing():
    board = Dashboard("r", [])
    board(ProgressEvent("surprise", 1, 3, {"loss": float("nan"), "success": float("inf"), "entropy": 0.5}))
    text = drawn(board)
    assert "surprise 1/3" in text
    assert "entropy" in text
    assert "loss" not in text


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], ""),
        ([3.0], "▁"),
        ([2.0] * 5, "▁▁▁▁▁"),
        (list(range(8)), "▁▂▃▄▅▆▇█"),
        ([0.0, 1.0] * 20, "▁" * 4),
        ([0.0] * 20 + [1.0] * 20, "▁▁██"),
    ],
)
def test_a_sparkline_is_a_mean_per_sign(values, expected):
    assert sparkline(values, 4 if len(values) == 40 else 8) == expected


def test_lines_come_now_and_then_and_for_every_new_alarm(capsys):
    clock = Clock()
    lines = PlainLines(10.0, clock=clock)
    for step in range(1, 13):
        clock.now += 3.0
        lines(ProgressEvent("ppo", step, 12, {"success": 0.25, "odd": 1.0, "alarm_drift": float(step in (3, 5))}))
    err = capsys.readouterr().err.splitlines()
    assert err[0] == "ppo: 1/12  success 0.25"
    assert err[1] == "ppo: alarm_drift at step 3"
    assert err[2] == "ppo: 5/12  success 0.25  21 s left"
    assert err[-1] == "ppo: 12/12  success 0.25"
    assert len(err) == 5


def test_numbers_and_durations_are_short():
    assert [number(v) for v in (0.12345, 12345.6, 1e-7, float("nan"), None)] == ["0.123", "12,346", "1e-07", "none", "none"]
    assert [duration(s) for s in (0.4, 59, 61, 3725, -3)] == ["0 s", "59 s", "1:01", "1:02:05", "0 s"]
