from __future__ import annotations

import dataclasses
import json
import re

import pytest

from palaestra.agents.report import render_report
from palaestra.agents.report.seeds import Trained, compare_runs
from palaestra.agents.store.store import RunStore
from palaestra.errors import UsageError
from palaestra.results.statistics import mean_interval
from tests.agents.report import build
from tests.agents.report.page import parse
from tests.envs.miniature import MEASURED_ID, register_miniatures


@pytest.fixture
def store(tmp_path):
    with RunStore(tmp_path / "runs") as opened:
        yield opened


def add(store, name, seed, solved, heights, *, alarms=(), **settings):
    """A training run with 10 test episodes and a learning curve; return its id."""
    phase = "ppo" if name.startswith("ppo") else "grpo"
    run_id = f"{name}-{len(store.runs())}"
    recipe = {"seed": seed, "phases": ["sft", phase], phase: settings}
    store.create_run({"kind": "train", "name": name, "arms": ["cloned", "trained"], "recipe": recipe}, run_id)
    store.log_metrics(run_id, 1, {"sft/loss": 3.0})
    for step, height in enumerate(heights, start=1):
        rung = {f"{phase}/alarm_grad_norm": float(step in alarms)}
        store.log_metrics(run_id, step, {f"{phase}/success": height, **rung})
    store.create_run({"kind": "evaluate", "training_run": run_id}, f"{run_id}-trained")
    for number in range(10):
        store.add(f"{run_id}-trained", build.crafting(number, agent="trained", solved=number < solved))
    for made in (run_id, f"{run_id}-trained"):
        store.set_status(made, "finished")
    return run_id


def trained(store, run_ids):
    return [Trained(store.run(i), {f"{i}-trained": store.episodes(f"{i}-trained")}, store.metrics(i)) for i in run_ids]


def test_runs_of_one_recipe_are_one_group_and_groups_are_paired_by_seed(store):
    first = [add(store, "grpo", seed, 4 + seed, [0.2, 0.4]) for seed in range(3)]
    second = [add(store, "ppo", seed, 6 + seed + (seed == 2), [0.4, 0.8]) for seed in (2, 0, 1)]
    found = compare_runs(trained(store, [*first, *second]))
    assert [(group.label, len(group.runs)) for group in found.groups] == [("grpo", 3), ("ppo", 3)]
    assert [run.seed for run in found.groups[1].runs] == [0, 1, 2]
    estimate = found.groups[0].estimates["success"]
    assert estimate == mean_interval([[0.4], [0.5], [0.6]])
    difference = next(row for row in found.differences if row.measure == "success")
    assert (difference.first, difference.second, difference.paired.n) == ("grpo", "ppo", 3)
    assert difference.paired.mean == pytest.approx((-0.2 - 0.2 - 0.3) / 3)
    area = next(row for row in found.differences if row.measure == "area")
    assert area.paired.mean == pytest.approx(0.3 - 0.6)


def test_the_interval_of_success_over_seeds_stays_from_0_to_1(store):
    runs = [add(store, "grpo", seed, 9 + (seed > 0), [0.2, 0.4]) for seed in range(3)]
    [group] = compare_runs(trained(store, runs)).groups
    assert mean_interval([[0.9], [1.0], [1.0]]).high > group.estimates["success"].high == 1
    assert group.estimates["return_"].high > 1  # not a share


def test_runs_whose_recipes_differ_are_no_seeds_of_each_other(store):
    runs = [add(store, "ppo", seed, 5, [0.1, 0.2], lr=lr) for lr in (1e-3, 3e-3) for seed in (0, 1)]
    found = compare_runs(trained(store, runs))
    assert [group.label for group in found.groups] == ["ppo (ppo.lr 0.001)", "ppo (ppo.lr 0.003)"]
    many = [add(store, "ppo", 0, 5, [0.1, 0.2], **dict.fromkeys("abcdef", value)) for value in (1, 2)]
    labels = [group.label for group in compare_runs(trained(store, many)).groups]
    assert labels == ["ppo (ppo.a 1, ppo.b 1, ppo.c 1, and 3 more)", "ppo (ppo.a 2, ppo.b 2, ppo.c 2, and 3 more)"]


def test_labels_group_whatever_they_are_given_to(store):
    runs = [add(store, name, seed, 5, [0.1, 0.2]) for name in ("ppo", "grpo") for seed in (0, 1)]
    found = compare_runs(trained(store, runs), {runs[0]: "ours", runs[1]: "ours"})
    assert [(group.label, len(group.runs)) for group in found.groups] == [("ours", 2), ("grpo", 2)]
    with pytest.raises(UsageError, match="Run 'nothing' has a label and is not a training run"):
        compare_runs(trained(store, runs), {"nothing": "x"})


def test_p_values_are_corrected_over_all_pairs_of_a_measure(store):
    runs = [
        add(store, name, seed, 3 + 2 * place + (seed * place) % 2, [0.1, 0.2])
        for place, name in enumerate("abc")
        for seed in range(4)
    ]
    rows = [row for row in compare_runs(trained(store, runs)).differences if row.measure == "success"]
    assert len(rows) == 3
    assert all(row.adjusted >= row.paired.p_value for row in rows)
    lowest = min(rows, key=lambda row: row.paired.p_value)
    assert lowest.adjusted == pytest.approx(min(1.0, 3 * lowest.paired.p_value))


def test_curves_have_a_band_over_the_steps_that_all_runs_logged(store):
    runs = [
        add(store, "ppo", 0, 5, [0.1, 0.3, 0.5]),
        add(store, "ppo", 1, 5, [0.3, 0.5]),
        add(store, "grpo", 0, 5, [0.2, 0.2]),
    ]
    band, line = compare_runs(trained(store, runs)).curves("success")
    assert (band.steps, band.values) == ((1, 2), pytest.approx((0.2, 0.4)))
    assert mean_interval([[0.1], [0.3]]).low < band.low[0] == 0  # a share, whose mean cannot be below 0
    assert band.high[1] == pytest.approx(min(1.0, mean_interval([[0.3], [0.5]]).high))
    assert (line.run, line.low) == (1, ())


def test_the_report_compares_runs_and_draws_each_group_once(store):
    runs = [add(store, name, seed, 5 + seed, [0.1, 0.2 + seed / 10]) for name in ("ppo", "grpo") for seed in (0, 1)]
    html = render_report(runs, store=store)
    page = parse(html)
    assert "Across seeds" in page.text
    assert re.search(r"ppo 2 (0 % 50 100 % )?55\.0 % \S+ – \S+ % 0\.550", page.text), page.text
    labels = [a["aria-label"] for tag, a in page.tags if tag == "svg" and "aria-label" in a]
    assert labels == ["success by training step, mean over seeds"]
    identifiers = re.findall(r' id="([^"]+)"', html)
    assert len(identifiers) == len(set(identifiers))
    assert "Across seeds" not in parse(render_report(runs[:1], store=store)).text
    alone = parse(render_report([runs[0], runs[2]], store=store)).text
    assert "one seed" in alone


def test_alarms_are_told_before_the_numbers(store):
    run = add(store, "ppo", 0, 5, [0.1] * 6, alarms=(2, 4, 5))
    quiet = add(store, "ppo", 1, 5, [0.1] * 6)
    text = parse(render_report([run, quiet], store=store)).text
    assert f"Run {run}, phase ppo: the alarm for grad norm rang in 3 steps, from 2 to 5." in text
    assert f"Run {quiet}, phase" not in text


def test_runs_without_episodes_or_curves_have_no_numbers_and_break_nothing(store):
    for seed in (0, 1):
        store.create_run({"kind": "train", "name": "x", "arms": ["trained"], "recipe": {"seed": seed}}, f"x-{seed}")
    found = compare_runs(trained_without_arms(store, ["x-0", "x-1"]))
    assert found.groups[0].estimates == {}
    assert found.differences == ()
    assert "Across seeds" in parse(render_report(["x-0", "x-1"], store=store)).text


def test_leading_metrics_of_the_environment_are_compared_like_success(store):
    register_miniatures()
    runs = [add(store, name, seed, 5, [0.2, 0.4]) for name in ("grpo", "ppo") for seed in range(3)]
    for i, run_id in enumerate(runs):
        for number, played in enumerate(list(store.trajectories(f"{run_id}-trained"))):
            metrics = {"directness": 0.1 * i, "distance": float(number)}
            outcome = dataclasses.replace(played.outcome, metrics=metrics)
            measured = dataclasses.replace(played, env_id=MEASURED_ID, outcome=outcome)
            store.add(f"{run_id}-trained", measured, replace=True)
    found = compare_runs(trained(store, runs))
    assert [metric.name for metric in found.metrics] == ["directness"]  # the only one that leads
    assert [group.estimates["directness"].mean for group in found.groups] == pytest.approx([0.1, 0.4])
    [difference] = [row for row in found.differences if row.measure == "directness"]
    assert (difference.first, difference.second, difference.paired.n) == ("grpo", "ppo", 3)
    assert difference.paired.mean == pytest.approx(-0.3)
    page = parse(render_report(runs, store=store))
    assert "Directness of the final policy on test tasks ↑" in page.text
    assert re.search(r"grpo .*10\.0 %", page.text)


def trained_without_arms(store, run_ids):
    return [Trained(store.run(i), {}, store.metrics(i)) for i in run_ids]


def test_failed_episodes_count_in_no_group(store):
    run = add(store, "ppo", 0, 5, [0.1, 0.2])
    broken = dataclasses.replace(build.broken(0), episode_id="broken")
    (one,) = trained(store, [run])
    before = one.values["success"]
    store.add(f"{run}-trained", broken)
    (again,) = trained(store, [run])
    assert again.values["success"] == before == 0.5
    assert json.dumps(again.values)
