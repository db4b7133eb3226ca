"""The page of an experiment of `real_environments`, written from its lines alone."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from palaestra.agents.statistics import mean_interval

Row = Mapping[str, Any]
Run = tuple[str, int, int]  # arm, steps, seed


def page(
    *,
    title: str,
    about: Sequence[str],
    command: str,
    rows: Sequence[Row],
    rates: Mapping[str, float],
    settings: Sequence[str],
    seeds: Sequence[int],
    steps: int,
    bar: float | None,
    remarks: Sequence[str] = (),
) -> str:
    """Return the page as Markdown.

    Args:
        title: Headline.
        about: What was done; one paragraph each.
        command: What makes and continues the lines.
        rows: All lines.
        rates: Arms, with the learning rate whose runs are shown.
        settings: One line each.
        seeds: Seeds that were planned.
        steps: Training steps that were planned.
        bar: Gain over the clone that is asked for.
        remarks: What it shows and what not, in the words of whoever looked at it.
    """
    clones = {row["seed"]: row for row in rows if row["kind"] == "clone"}
    runs = {
        (row["arm"], row["steps"], row["seed"]): row
        for row in rows
        if row["kind"] == "run" and rates.get(row["arm"]) == row["lr"] and row["seed"] in clones
    }
    parts = [
        f"# {title}",
        *(textwrap.fill(paragraph, width=125) for paragraph in about),
        "\n".join(f"- {line}" for line in settings),
    ]
    if clones:
        parts += ["## By seed", _by_seed(clones, runs, list(rates))]
    if runs:
        parts += ["## Gain over the clone", _gains(clones, runs, rates, bar)]
    else:
        parts += ["**No run has been made yet**; nothing is known of the question."]
    tuning = [row for row in rows if row["kind"] == "tuning"]
    if tuning:
        parts += ["## Learning rates", _tuning(tuning, rates)]
    missing = [f"{arm} of seed {seed}" for seed in seeds for arm in rates if (arm, steps, seed) not in runs]
    if missing:
        parts += ["## Not there yet", f"{len(missing)} of {len(seeds) * len(rates)} runs: {', '.join(missing)}."]
    if remarks and runs:
        parts += ["## What it shows, and what not", "\n".join(f"- {remark}" for remark in remarks)]
    parts += [f"Made, continued and written by:\n\n```\n{command}\n```"]
    return "\n\n".join(parts) + "\n"


def gains_of(clones: Mapping[int, Row], runs: Mapping[Run, Row], arm: str, steps: int) -> list[float]:
    """Return success less that of the same seed's clone, for each seed."""
    return [row["success"][0] - clones[key[2]]["success"][0] for key, row in runs.items() if key[:2] == (arm, steps)]


def _by_seed(clones: Mapping[int, Row], runs: Mapping[Run, Row], arms: Sequence[str]) -> str:
    """Success on test tasks by seed and arm."""
    table = [
        "| seed | arm | steps | success, Wilson 95 % | gain | by type of task | env steps | sampled tokens | CPU s |",
        "|---:|---|---:|---|---:|---|---:|---:|---:|",
    ]
    for seed, clone in sorted(clones.items()):
        table.append(f"| {seed} | clone | | {_rate(clone)} | | {_types(clone)} | | | {clone['cpu_s']} |")
        for arm in arms:
            for (_, steps, _), row in sorted((key, row) for key, row in runs.items() if (key[0], key[2]) == (arm, seed)):
                gain = 100 * (row["success"][0] - clone["success"][0])
                table.append(
                    f"| {seed} | {arm} | {steps} | {_rate(row)} | {gain:+.1f} | {_types(row)} | {row['env_steps']:,} | "
                    f"{row['sampled_tokens']:,} | {row['cpu_s']} |"
                )
    return "\n".join(table)


def _gains(clones: Mapping[int, Row], runs: Mapping[Run, Row], rates: Mapping[str, float], bar: float | None) -> str:
    """Mean gain of each arm with its interval over seeds, and whether it reaches the bar."""
    head = "" if bar is None else f" seeds with a gain of {100 * bar:.0f} points or more |"
    table = [f"| arm | steps | seeds | mean gain, points | 95 % interval over seeds (Student's t) |{head}"]
    table.append("|---|---:|---:|---:|---|" + ("" if bar is None else "---:|"))
    order = list(rates)
    for arm, steps in sorted({key[:2] for key in runs}, key=lambda key: (key[1], order.index(key[0]))):
        gains = gains_of(clones, runs, arm, steps)
        found = mean_interval([[gain] for gain in gains])
        interval = f"[{100 * found.low:.1f}, {100 * found.high:.1f}]" if len(gains) > 1 else "none from one seed"
        reached = "" if bar is None else f" {sum(gain >= bar for gain in gains)} of {len(gains)} |"
        table.append(f"| {arm} | {steps} | {len(gains)} | {100 * found.mean:+.1f} | {interval} |{reached}")
    return "\n".join(table)


def _tuning(rows: Sequence[Row], rates: Mapping[str, float]) -> str:
    """Success on training tasks by learning rate."""
    grid = sorted({row["lr"] for row in rows})
    found = {(row["arm"], row["lr"]): row["train_success"] for row in rows}
    is_complete = all((arm, lr) in found for arm in rates for lr in grid)
    seed, steps = rows[0]["seed"], rows[0]["steps"]
    table = [f"| arm | {' | '.join(f'{lr:g}' for lr in grid)} | taken |", "|---|" + "---:|" * (len(grid) + 1)]
    for arm, lr in rates.items():
        cells = (f"{100 * found[arm, rate]:.1f} %" if (arm, rate) in found else "" for rate in grid)
        table.append(f"| {arm} | {' | '.join(cells)} | {lr:g} |")
    why = (
        "the best one of each arm is taken"
        if is_complete
        else "the grid is not complete, so nothing was tuned: the default for tiny models is taken for all"
    )
    return f"Seed {seed}, {steps} steps, success on the training tasks of the last steps; {why}.\n\n" + "\n".join(table)


def _rate(row: Row) -> str:
    mean, low, high = (100 * value for value in row["success"])
    return f"{mean:.1f} % [{low:.1f}, {high:.1f}]"


def _types(row: Row) -> str:
    return ", ".join(f"{name}: {100 * mean:.0f} %" for name, (mean, _) in sorted(row["by_type"].items()))
