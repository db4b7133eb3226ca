from __future__ import annotations

import pytest

from palaestra.agents.report.charts import Curve, draw_curves, horizon_changes, metric_rank, read_curves, running_mean


def test_curves_keep_steps_in_order_and_leave_out_what_is_no_number():
    logs = [
        [{"step": 2, "a/x": 3.0, "a/flag": True}, {"step": 1, "a/x": 1, "a/y": float("nan"), "a/z": None}],
        [{"step": 5, "a/x": 2.0}],
    ]
    curves = read_curves(logs)
    assert curves == {"a/x": [Curve(0, (1, 2), (1.0, 3.0)), Curve(1, (5,), (2.0,))]}


def test_logged_ends_of_an_interval_become_a_band_and_no_curves_of_their_own():
    curves = read_curves([[{"step": 1, "s": 0.5, "s_low": 0.4, "s_high": 0.7}]])
    assert curves == {"s": [Curve(0, (1,), (0.5,), (0.4,), (0.7,))]}


def test_the_horizon_is_marked_where_it_changes():
    curves = read_curves([[{"step": s, "grpo/horizon": 4 if s < 3 else 8, "sft/loss": 1.0} for s in range(1, 6)]])
    assert horizon_changes(curves) == [("grpo", 3, 8)]


@pytest.mark.parametrize(("window", "expected"), [(1, [1, 3, 5, 7]), (2, [1, 2, 4, 6]), (9, [1, 2, 3, 4])])
def test_the_running_mean_looks_back_over_its_window(window, expected):
    assert running_mean([1, 3, 5, 7], window) == expected


def test_a_drawing_is_the_same_every_time_and_has_no_text_but_numbers():
    curve = Curve(0, tuple(range(50)), tuple(float(x % 7) for x in range(50)))
    drawn = draw_curves([curve], label='<b> "x" & y', marks=[(10, 8)])
    assert drawn == draw_curves([curve], label='<b> "x" & y', marks=[(10, 8)])
    assert 'aria-label="&lt;b> &quot;x&quot; &amp; y"' in drawn
    assert "<style" not in drawn
    assert "<metadata" not in drawn


def test_types_of_task_lead_only_where_they_were_reached_on_test_tasks() -> None:
    names = [
        "grpo/success.type.easy", "grpo/test_success.type.easy", "grpo/loss", "grpo/success", "grpo/test_success",
        "grpo/success.Desk", "sft/loss", "grpo/pass_at_2",
    ]  # fmt: skip
    assert sorted(names, key=metric_rank) == [
        "grpo/test_success", "grpo/test_success.type.easy", "grpo/success", "grpo/success.Desk", "grpo/loss", "sft/loss",
        "grpo/pass_at_2", "grpo/success.type.easy",
    ]  # fmt: skip
