"""The page and the picture of the demo's experiment, written from its lines alone."""

from __future__ import annotations

import math
import textwrap
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from palaestra.results.statistics.distributions import student_t_quantile
from palaestra.results.statistics.estimates import CONFIDENCE, cluster_freedom, cluster_variance

Row = Mapping[str, Any]
Cells = Mapping[tuple[str, int], tuple[float, int]]
"""Sum and number of outcomes by goal and seed."""

ARMS = {
    "random": "random",
    "expert": "expert",
    "untrained": "untrained policy",
    "cloned": "cloned policy",
    "cloned-same_compute": "cloned on, with GRPO's compute",
    "trained": "GRPO from the cloned policy",
}
PAIRS = (("trained", "cloned"), ("cloned-same_compute", "cloned"), ("trained", "cloned-same_compute"))
TITLE = "# The demo: GRPO, and more cloning for the same CPU time"
COMMAND = "python -m experiments.demo.run --work FOLDER --seeds 3 4 5 6 7"


class Interval(NamedTuple):
    """A mean with its 95 % interval, all as shares."""

    mean: float
    low: float
    high: float


def two_way_interval(cells: Cells) -> Interval:
    """Mean of outcomes that go by goal and by seed, with an interval for new goals and new seeds.

    Two episodes of one goal are alike, whatever the seed, and so are two of one seed. The variance is that of clusters by
    goal, plus that of clusters by seed, less that of their cells, which both count; at least the larger of the two. Student's
    quantile has one degree of freedom less than there are seeds or goals, whichever are fewer.

    Args:
        cells: Sum and number of outcomes (0 or 1, or differences of such) by goal and seed.

    Source: Cameron, Gelbach & Miller 2011, "Robust inference with multiway clustering", Journal of Business & Economic
    Statistics 29.
    """
    whole = sum(count for _, count in cells.values())
    mean = math.fsum(total for total, _ in cells.values()) / whole
    by_goal, by_seed = _variance(cells, mean, lambda key: key[0]), _variance(cells, mean, lambda key: key[1])
    joint = _variance(cells, mean, lambda key: key)
    variance = max(by_goal + by_seed - joint, by_goal, by_seed)
    fewest = min(len({goal for goal, _ in cells}), len({seed for _, seed in cells}))
    if fewest < 2 or not math.isfinite(variance):
        return Interval(mean, -math.inf, math.inf)
    half = student_t_quantile(0.5 + CONFIDENCE / 2, fewest - 1) * math.sqrt(variance)
    return Interval(mean, mean - half, mean + half)


def goal_interval(cells: Cells) -> Interval:
    """Mean of outcomes that go by goal, with an interval for new goals and the same seeds: goals are the clusters."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for (goal, _), (total, count) in cells.items():
        sums[goal][0] += total
        sums[goal][1] += count
    totals, sizes = [total for total, _ in sums.values()], [count for _, count in sums.values()]
    mean = math.fsum(totals) / math.fsum(sizes)
    if len(sizes) < 2:
        return Interval(mean, -math.inf, math.inf)
    quantile = student_t_quantile(0.5 + CONFIDENCE / 2, cluster_freedom(sizes))
    half = quantile * math.sqrt(cluster_variance(sizes, totals, mean))
    return Interval(mean, mean - half, mean + half)


def outcomes(rows: Sequence[Row], arm: str, kind: str | None = None) -> dict[tuple[str, int], tuple[float, int]]:
    """Return solved and played episodes of an arm by goal and seed, of all tasks or of one type."""
    found: dict[tuple[str, int], tuple[float, int]] = defaultdict(lambda: (0.0, 0))
    for row in rows:
        for name, goals in row["arms"][arm]["solved"].items():
            for goal, (solved, count) in goals.items() if kind in (None, name) else ():
                old = found[goal, row["seed"]]
                found[goal, row["seed"]] = (old[0] + solved, old[1] + count)
    return dict(found)


def difference(first: Cells, second: Cells) -> Cells:
    """Return the differences of two arms on the same tasks and seeds, first minus second."""
    return {key: (total - second[key][0], count) for key, (total, count) in first.items()}


def page(rows: Sequence[Row], remarks: Sequence[str]) -> str:
    """Return the page as Markdown.

    Args:
        rows: One line per seed.
        remarks: What was seen, in words.
    """
    if not rows:
        return f"{TITLE}\n\n**No run has been made yet**; nothing is known of the question. Runs are made by `{COMMAND}`.\n"
    rows = sorted(rows, key=lambda row: row["seed"])
    kinds = sorted({kind for row in rows for kind in row["arms"]["cloned"]["solved"]})
    goals = len({goal for goal, _ in outcomes(rows, "cloned")})
    tasks = sum(count for _, count in outcomes(rows[:1], "cloned").values())
    seeds = ", ".join(str(row["seed"]) for row in rows)
    parts = [
        TITLE,
        _filled(
            f"`recipes/demo.toml` (what `make demo` runs) with seeds {seeds}, one torch thread. A policy of about 0.1 M "
            f"parameters is cloned from expert play; from this clone begin both GRPO and more cloning, on fresh episodes, for "
            f"about as many CPU seconds. All play the same {tasks} test tasks of procedural recipe worlds, temperature 1, at "
            f"most 8 turns. The test tasks ask for {goals} goals, none of which is ever a goal in training."
        ),
        _filled(
            "Intervals hold 95 %. Those for new goals take the episodes of one goal for a cluster, and the seeds as they are; "
            "those for new goals and seeds take the episodes of one seed for a cluster too (two-way clustered variance, "
            "Student's t with one degree of freedom less than there are seeds), and are wide because seeds are few."
        ),
        "## Success on test tasks",
        "\n".join(_success(rows, kinds)),
        "The same tasks and seeds, one policy less another, in points:",
        "\n".join(_differences(rows, kinds)),
        "## By seed",
        "\n".join(_by_seed(rows)),
        "## Turns that are not a command",
        _filled(
            "Share of turns on test tasks that are none of the environment's commands (answers that the limit of a turn cuts "
            "are among them), and of all turns that are refused, names that cannot be had or made included:"
        ),
        "\n".join(_turns(rows, kinds)),
        "## In the course of GRPO",
        "![Success in training and on test tasks, divergence, entropy](curves.png)",
        "\n".join(_course(rows)),
        "## Alarms",
        "\n".join(_alarms(rows)),
    ]
    if remarks:
        parts += ["## What it shows, and what not", "\n".join(f"- {_filled(remark, indent='  ')}" for remark in remarks)]
    parts += [f"Again: `{COMMAND}`; a run that was cut off resumes. The page and the picture are written from `rows.jsonl`."]
    return "\n\n".join(parts) + "\n"


def write(folder: Path, rows: Sequence[Row]) -> None:
    """Write the page and the picture of the lines."""
    from experiments.demo.picture import draw
    from experiments.demo.remarks import REMARKS

    (folder / "README.md").write_text(page(rows, REMARKS), encoding="utf-8")
    if rows:
        draw(rows, folder / "curves.png")


def _variance(cells: Cells, mean: float, key: Callable[[tuple[str, int]], object]) -> float:
    """Variance of the mean with cells as clusters that share a key."""
    sums: dict[object, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for place, (total, count) in cells.items():
        sums[key(place)][0] += total
        sums[key(place)][1] += count
    return cluster_variance([count for _, count in sums.values()], [total for total, _ in sums.values()], mean)


def _success(rows: Sequence[Row], kinds: Sequence[str]) -> Iterator[str]:
    """One line for each arm."""
    heads = ["agent", "success", "new goals", "new goals and seeds", *kinds, "CPU s of training, mean"]
    yield f"| {' | '.join(heads)} |"
    yield f"|---|{'---:|' * (len(heads) - 1)}"
    for arm, name in ARMS.items():
        if any(arm not in row["arms"] for row in rows):
            continue
        cells = outcomes(rows, arm)
        ends = [_ends(goal_interval(cells)), _ends(two_way_interval(cells))]
        seconds = [row["arms"][arm].get("train_cpu_s") for row in rows]
        cost = "" if None in seconds else f"{sum(seconds) / len(seconds):.0f}"
        types = [_percent(mean_of(outcomes(rows, arm, kind))) for kind in kinds]
        yield f"| {' | '.join([name, _percent(mean_of(cells)), *ends, *types, cost])} |"


def _differences(rows: Sequence[Row], kinds: Sequence[str]) -> Iterator[str]:
    """One line for each pair of arms."""
    heads = ["difference", *(f"{kind}, {what}" for kind in ("all tasks", *kinds) for what in ("new goals", "goals and seeds"))]
    yield f"| {' | '.join(heads)} |"
    yield f"|---|{'---:|' * (len(heads) - 1)}"
    for first, second in PAIRS:
        cells = []
        for kind in (None, *kinds):
            found = difference(outcomes(rows, first, kind), outcomes(rows, second, kind))
            cells.append(f"{100 * mean_of(found):+.1f} {_points(goal_interval(found))}")
            cells.append(_points(two_way_interval(found)))
        yield f"| {' | '.join([f'{ARMS[first]} - {ARMS[second]}', *cells])} |"


def _by_seed(rows: Sequence[Row]) -> Iterator[str]:
    """One line for each seed."""
    arms = [arm for arm in ARMS if "train_cpu_s" in rows[0]["arms"][arm]]
    yield f"| seed | {' | '.join(ARMS[arm] for arm in arms)} | CPU s: clone, more, GRPO |"
    yield f"|---:|{'---:|' * (len(arms) + 1)}"
    for row in rows:
        cells = [_percent(mean_of(outcomes([row], arm))) for arm in arms]
        seconds = [row["arms"][arm]["train_cpu_s"] for arm in arms]
        cost = f"{seconds[0]:.0f}, {seconds[1] - seconds[0]:.0f}, {seconds[2] - seconds[0]:.0f}"
        yield f"| {row['seed']} | {' | '.join([*cells, cost])} |"


def mean_of(cells: Cells) -> float:
    """Mean of outcomes by goal and seed."""
    return math.fsum(total for total, _ in cells.values()) / sum(count for _, count in cells.values())


def _turns(rows: Sequence[Row], kinds: Sequence[str]) -> Iterator[str]:
    """One line for each trained arm: not a command, and refused, by type."""
    heads = [f"{kind}: {what}" for kind in kinds for what in ("not a command", "refused")]
    yield f"| agent | {' | '.join(heads)} |"
    yield f"|---|{'---:|' * len(heads)}"
    for arm in ("cloned", "cloned-same_compute", "trained"):
        cells = []
        for kind in kinds:
            counts = [row["arms"][arm]["turns"][kind] for row in rows]
            turns, refused, closed = (sum(count[place] for count in counts) for place in range(3))
            cells += [_percent(closed / turns), _percent(refused / turns)]
        yield f"| {' | '.join([ARMS[arm], *cells])} |"


def _course(rows: Sequence[Row]) -> Iterator[str]:
    """Means of the first and last steps of GRPO, by seed."""
    names = {
        "success": "success in training",
        "entropy_sampled": "entropy, nats a token",
        "kl_reference": "divergence from the clone",
        "groups_equal": "groups all equal",
        "invalid_actions": "turns refused",
    }
    yield f"| seed | {' | '.join(names.values())} |"
    yield f"|---:|{'---:|' * len(names)}"
    for row in rows:
        train = row["phases"]["grpo"]["train"]
        values = {name: [value for value in train[name] if value is not None] for name in names}
        yield f"| {row['seed']} | {' | '.join(f'{v[0]:.2f} to {v[-1]:.2f}' if v else '' for v in values.values())} |"


def _alarms(rows: Sequence[Row]) -> Iterator[str]:
    """Which alarms rang in which phase, by seed."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in rows:
        for phase, table in row["phases"].items():
            for alarm, (first, _) in table["alarms"].items():
                found[phase, alarm].append(f"{row['seed']} (step {first})")
    if not found:
        yield "None rang."
        return
    yield "| phase | alarm | seeds, first step |"
    yield "|---|---|---|"
    for (phase, alarm), seeds in sorted(found.items()):
        yield f"| `{phase}` | `{alarm}` | {', '.join(seeds)} |"


def _points(found: Interval) -> str:
    """Return the ends of an interval of a difference, in points; nothing where the spread is not known."""
    return f"[{100 * found.low:.1f}, {100 * found.high:.1f}]" if math.isfinite(found.low) else ""


def _filled(paragraph: str, *, indent: str = "") -> str:
    return textwrap.fill(paragraph, width=123, subsequent_indent=indent)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _ends(found: Interval) -> str:
    """Return the ends of an interval of a rate, between 0 and 1; nothing where the spread is not known."""
    if not math.isfinite(found.low) or found.low == found.high:
        return ""
    return f"{100 * max(0.0, found.low):.1f} - {100 * min(1.0, found.high):.1f} %"
