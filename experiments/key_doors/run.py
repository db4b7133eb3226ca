"""Does a growing horizon help? GRPO on KeyDoors with caps 6, 24, and 6 then 12 then 24, with equal environment steps.

    python -m experiments.key_doors.run --seeds 0 1 2 3 4 5 6 7 8 9 --out experiments/key_doors/rows.jsonl

Appends one JSON line per finished run and skips runs that are already there; prints the tables at the end. Seeds are paired: a
seed gives all arms the same world, base model and corridors. Exit code 0 if the growing horizon has a larger area under the
learning curve than cap 24 (paired t-test, one-sided, p < .05) and at least the final success of cap 6 in corridors of five
rooms and more, else 1.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.common.rows import append_row, find_row, folder_of, read_rows
from experiments.common.threads import one_thread
from palaestra.results.statistics import mean_interval

STRETCHES = ((2, 4), (5, 8), (9, 12))
LEVEL = 0.05


class Paired(NamedTuple):
    """A paired comparison: mean difference with its 95 % interval, and one-sided p-values that it is above 0."""

    mean: float
    low: float
    high: float
    p_t: float
    p_wilcoxon: float
    pairs: int


def main(arguments: list[str] | None = None) -> int:
    """Run what is missing, seed by seed, and print the tables."""
    parser = argparse.ArgumentParser(description="Fixed and growing horizons on KeyDoors.")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--out", type=Path, default=folder_of("key_doors") / "rows.jsonl")
    parser.add_argument("--cache", type=Path, help="folder of trained base models")
    parser.add_argument("--table-only", action="store_true", help="print what is there and run nothing")
    options = parser.parse_args(arguments)
    one_thread()  # before torch is loaded

    import torch

    from experiments.key_doors.arms import ARMS, run_arm

    torch.set_num_threads(1)
    rows = read_rows(options.out)
    for seed in [] if options.table_only else options.seeds:
        for name, arm in ARMS.items():
            if find_row(rows, arm=name, seed=seed, digest=arm.digest):
                continue
            found = run_arm(arm, seed, cache=options.cache)
            row = {"arm": name, "seed": seed, "digest": arm.digest, **dataclasses.asdict(found)}
            row["final"] = {str(rooms): share for rooms, share in found.final.items()}
            append_row(options.out, row)
            rows.append(row)
            print(json.dumps(row), flush=True)
    current = [row for row in rows if row["arm"] in ARMS and row["digest"] == ARMS[row["arm"]].digest]
    print(table(current, list(ARMS)))
    area = compare(current, "growing", "fixed_24", lambda row: row["area"])
    final = compare(current, "growing", "fixed_6", lambda row: final_success(row, 5, 12))
    print(f"\narea, growing - fixed_24: {describe(area)}\nfinal success at n >= 5, growing - fixed_6: {describe(final)}")
    return 0 if area.p_t < LEVEL and final.mean >= 0 else 1


def final_success(row: Mapping[str, Any], shortest: int, longest: int) -> float:
    """Mean final success of a run over corridors of `shortest` to `longest` rooms."""
    chosen = [share for rooms, share in row["final"].items() if shortest <= int(rooms) <= longest]
    return float(sum(chosen) / len(chosen))


def compare(rows: Sequence[Mapping[str, Any]], one: str, other: str, measure: Callable[[Mapping[str, Any]], float]) -> Paired:
    """Compare two arms over the seeds that both have.

    Raises:
        ValueError: If there are fewer than two such seeds.
    """
    from scipy import stats

    by_arm = {name: {row["seed"]: measure(row) for row in rows if row["arm"] == name} for name in (one, other)}
    seeds = sorted(by_arm[one].keys() & by_arm[other].keys())
    if len(seeds) < 2:
        raise ValueError(f"{one} and {other} share {len(seeds)} seeds; expected at least 2 to compare them.")
    differences = [by_arm[one][seed] - by_arm[other][seed] for seed in seeds]
    found = mean_interval([[difference] for difference in differences])
    interval = (found.mean, found.low, found.high)
    if not any(differences):
        return Paired(*interval, 1.0, 1.0, len(seeds))
    p_t = 0.0 if found.low == found.high else float(stats.ttest_1samp(differences, 0.0, alternative="greater").pvalue)
    return Paired(*interval, p_t, float(stats.wilcoxon(differences, alternative="greater").pvalue), len(seeds))


def describe(found: Paired) -> str:
    """Return a comparison in one line."""
    return (
        f"{found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}] over {found.pairs} pairs, one-sided p = {found.p_t:.2g} "
        f"(paired t), {found.p_wilcoxon:.2g} (Wilcoxon)"
    )


def table(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    """Return a Markdown table: area under the curve, final success by length, updates, seconds."""
    stretches = [f"{low}-{high} rooms" for low, high in STRETCHES]
    lines = [
        f"| horizon | area under the curve | {' | '.join(stretches)} | updates | CPU s | seeds |",
        "|---|---|---|---|---|---:|---:|---:|",
    ]
    for name in names:
        mine = [row for row in rows if row["arm"] == name]
        if not mine:
            continue
        cells = [_interval([row["area"] for row in mine])]
        cells += [_interval([final_success(row, low, high) for row in mine]) for low, high in STRETCHES]
        updates, seconds = (sum(row[key] for row in mine) / len(mine) for key in ("updates", "cpu_s"))
        lines.append(f"| {name} | {' | '.join(cells)} | {updates:.0f} | {seconds:.1f} | {len(mine)} |")
    return "\n".join(lines)


def _interval(values: Sequence[float]) -> str:
    found = mean_interval([[value] for value in values])
    return f"{found.mean:.3f} [{max(0.0, found.low):.3f}, {min(1.0, found.high):.3f}]"


if __name__ == "__main__":
    sys.exit(main())
