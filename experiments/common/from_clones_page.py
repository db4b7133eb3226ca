"""The page of an experiment of `real_environments`, written from its lines alone."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from experiments.common.comparison import Experiment
from experiments.common.p_values import p_text
from palaestra.results.statistics import mean_interval, paired_difference

Row = Mapping[str, Any]
PAIRS_HEAD = (
    "| what | first | second | seeds | means, points | difference | 95 % interval (Student's t) | p, two-sided |",
    "|---|---|---|---:|---:|---:|---|---:|",
)
ROUNDING = 1e-9  # of a difference of two rates
Run = tuple[str, float, int, int]  # arm, learning rate, steps, seed


def page(
    experiment: Experiment, *, command: str, rows: Sequence[Row], rates: Mapping[str, float], seeds: Sequence[int]
) -> str:
    """Return the page as Markdown.

    Args:
        experiment: What was compared.
        command: What makes and continues the lines.
        rows: All lines.
        rates: Arms, with the learning rate that was chosen; other runs are shown too.
        seeds: Seeds that were planned.
    """
    clones = {row["seed"]: row for row in rows if row["kind"] == "clone"}
    runs = {
        (row["arm"], row["lr"], row["steps"], row["seed"]): row
        for row in rows
        if row["kind"] == "run" and row["arm"] in rates and row["seed"] in clones
    }
    parts = [
        f"# {experiment.title}",
        *(textwrap.fill(paragraph, width=125) for paragraph in experiment.about),
        "\n".join(f"- {line}" for line in _settings(experiment, rates)),
    ]
    if clones:
        parts += ["## By seed", _by_seed(clones, runs, list(rates))]
    if runs:
        parts += ["## Gain over the clone", _gains(experiment, clones, runs)]
    else:
        parts += ["**No run has been made yet**; nothing is known of the question."]
    if pairs := list(_pairs(experiment, clones, runs, rates)):
        parts += ["## Seed by seed", "\n".join([*PAIRS_HEAD, *pairs])]
    tuning = [row for row in rows if row["kind"] == "tuning"]
    if tuning:
        tables = [_tuning(tuning, rates, steps, experiment.tuning_steps) for steps in sorted({row["steps"] for row in tuning})]
        parts += ["## Learning rates", *tables]
    wanted = [(arm, lr, experiment.steps_of(arm), seed) for seed in seeds for arm, lr in rates.items()]
    missing = [f"{run[0]} of seed {run[-1]}" for run in wanted if run not in runs]
    if missing:
        parts += ["## Not there yet", f"{len(missing)} of {len(seeds) * len(rates)} runs: {', '.join(missing)}."]
    if experiment.remarks and runs:
        parts += ["## What it shows, and what not", "\n".join(f"- {remark}" for remark in experiment.remarks)]
    parts += [f"Made, continued and written by:\n\n```\n{command}\n```"]
    return "\n\n".join(parts) + "\n"


def area(run: Row, clone: Row, env_steps: int) -> float:
    """Mean test success over the turns of a run, by trapezoids, from the clone to the last evaluation; cut at `env_steps`."""
    points = [(0.0, clone["success"][0]), *((float(turns), success) for turns, success in run["test_curve"])]
    points = [point for point in points if point[0] < run["env_steps"]] + [(float(run["env_steps"]), run["success"][0])]
    total = 0.0
    for (left, low), (right, high) in itertools.pairwise(points):
        end = min(right, float(env_steps))
        if end > left:
            at_end = low + (high - low) * (end - left) / (right - left)
            total += (end - left) * (low + at_end) / 2
    return total / min(env_steps, run["env_steps"])


def gains_of(clones: Mapping[int, Row], runs: Mapping[Run, Row], arm: str, lr: float, steps: int) -> list[float]:
    """Return success less that of the same seed's clone, for each seed."""
    return [row["success"][0] - clones[key[-1]]["success"][0] for key, row in runs.items() if key[:-1] == (arm, lr, steps)]


def _settings(experiment: Experiment, rates: Mapping[str, float]) -> Iterator[str]:
    """One line on what all arms share, and one on each."""
    shared = ", ".join(f"{name} {value}" for name, value in experiment.settings.items())
    tables = "; ".join(f"[{name}] {dict(table)}" for name, table in experiment.tables.items())
    length = f"{experiment.steps} steps unless the table says otherwise"
    if experiment.env_steps is not None:
        length = f"{experiment.env_steps:,} turns"
    parts = [length, shared and f"every arm: {shared}", tables and f"changes of the recipe: {tables}"]
    yield "; ".join(part for part in parts if part)
    for arm, spec in experiment.arms.items():
        own = "".join(f", [{name}] {dict(table)}" for name, table in spec.tables.items())
        yield f"`{arm}`: algorithm `{spec.algorithm}`, lr {rates[arm]:g}, {dict(spec.settings)}{own}"
    yield "one CPU thread; CPU seconds count training and evaluation of a run, start-up aside"


def _pairs(
    experiment: Experiment, clones: Mapping[int, Row], runs: Mapping[Run, Row], rates: Mapping[str, float]
) -> Iterator[str]:
    """Differences between two arms from the same clones, with intervals over seeds."""
    budget = experiment.env_steps
    measures: dict[str, Callable[[Row, Row], float]] = {"success at the end": lambda run, _: float(run["success"][0])}
    types = sorted({name for row in runs.values() for name in row["by_type"]})
    for name in types if len(types) > 1 else ():
        measures[f"the same on {name}"] = lambda run, _, name=name: float(run["by_type"][name][0])  # type: ignore[misc]
    if budget is not None:
        measures["mean success over the turns"] = lambda run, clone: area(run, clone, budget)
    for first, second in experiment.pairs:
        keys = [(arm, rates[arm], experiment.steps_of(arm)) for arm in (first, second)]
        found = [{key[-1]: row for key, row in runs.items() if key[:-1] == wanted} for wanted in keys]
        seeds = sorted(found[0].keys() & found[1].keys())
        if not seeds:
            continue
        for what, measure in measures.items():
            one, other = ([measure(rows[seed], clones[seed]) for seed in seeds] for rows in found)
            difference = paired_difference(one, other)
            means = f"{100 * sum(one) / len(seeds):.1f}, {100 * sum(other) / len(seeds):.1f}"
            interval = f"[{100 * difference.low:.1f}, {100 * difference.high:.1f}]" if len(seeds) > 1 else "none from one seed"
            cells = [what, first, second, str(len(seeds)), means, f"{100 * difference.mean:+.1f}", interval]
            cells.append(p_text(difference.p_value))
            yield f"| {' | '.join(cells)} |"


def _by_seed(clones: Mapping[int, Row], runs: Mapping[Run, Row], arms: Sequence[str]) -> str:
    """Success on test tasks by seed and arm."""
    table = [
        "| seed | arm | lr | steps | success, Wilson 95 % | gain | by type of task | env steps | sampled tokens | CPU s |",
        "|---:|---|---:|---:|---|---:|---|---:|---:|---:|",
    ]
    for seed, clone in sorted(clones.items()):
        table.append(f"| {seed} | clone | | | {_rate(clone)} | | {_types(clone)} | | | {clone['cpu_s']} |")
        for arm in arms:
            for (_, lr, steps, _), row in sorted((key, row) for key, row in runs.items() if (key[0], key[-1]) == (arm, seed)):
                gain = 100 * (row["success"][0] - clone["success"][0])
                updates = row.get("updates", steps)
                played, sampled = (
                    f"{row[name]:,}" if row[name] else "" for name in ("env_steps", "sampled_tokens")
                )  # 0: not counted
                table.append(
                    f"| {seed} | {arm} | {lr:g} | {updates} | {_rate(row)} | {gain:+.1f} | {_types(row)} | "
                    f"{played} | {sampled} | {row['cpu_s']} |"
                )
    return "\n".join(table)


def _gains(experiment: Experiment, clones: Mapping[int, Row], runs: Mapping[Run, Row]) -> str:
    """Mean gain of each arm with its interval over seeds, and whether it reaches the bar."""
    arms, bar = list(experiment.arms), experiment.bar
    head = "" if bar is None else f" seeds with a gain of {100 * bar:.0f} points or more |"
    table = [f"| arm | lr | steps | seeds | mean gain, points | 95 % interval over seeds (Student's t) |{head}"]
    table.append("|---|---:|---:|---:|---:|---|" + ("" if bar is None else "---:|"))
    for arm, lr, steps in sorted({key[:-1] for key in runs}, key=lambda key: (key[2], arms.index(key[0]), key[1])):
        gains = gains_of(clones, runs, arm, lr, steps)
        found = mean_interval([[gain] for gain in gains])
        interval = f"[{100 * found.low:.1f}, {100 * found.high:.1f}]" if len(gains) > 1 else "none from one seed"
        reached = "" if bar is None else f" {sum(gain >= bar - ROUNDING for gain in gains)} of {len(gains)} |"
        length = str(steps) if experiment.env_steps is None else f"{experiment.env_steps:,} turns"
        table.append(f"| {arm} | {lr:g} | {length} | {len(gains)} | {100 * found.mean:+.1f} | {interval} |{reached}")
    return "\n".join(table)


def _tuning(rows: Sequence[Row], rates: Mapping[str, float], steps: int, wanted_steps: int) -> str:
    """Success on training tasks by learning rate, in tuning runs of some length."""
    rows = [row for row in rows if row["steps"] == steps]
    grid = sorted({row["lr"] for row in rows})
    found = {(row["arm"], row["lr"]): row["train_success"] for row in rows}
    is_taken = steps == wanted_steps
    head = " | taken |" if is_taken else " |"
    table = [f"| arm | {' | '.join(f'{lr:g}' for lr in grid)}{head}", "|---|" + "---:|" * (len(grid) + is_taken)]
    for arm, lr in rates.items():
        cells = (f"{100 * found[arm, rate]:.1f} %" if (arm, rate) in found else "" for rate in grid)
        table.append(f"| {arm} | {' | '.join(cells)} |" + (f" {lr:g} |" if is_taken else ""))
    why = "an earlier tuning"
    if is_taken:
        is_complete = all((arm, lr) in found for arm in rates for lr in grid)
        why = "the best one of each arm is taken"
        if not is_complete:
            why = "the grid is not complete, so nothing was tuned: the default for tiny models is taken for all"
    title = f"Seed {rows[0]['seed']}, {steps} steps, success on the training tasks of the last steps; {why}."
    return f"{title}\n\n" + "\n".join(table)


def _rate(row: Row) -> str:
    mean, low, high = (100 * value for value in row["success"])
    return f"{mean:.1f} % [{low:.1f}, {high:.1f}]"


def _types(row: Row) -> str:
    return ", ".join(f"{name}: {100 * mean:.0f} %" for name, (mean, _) in sorted(row["by_type"].items()))
