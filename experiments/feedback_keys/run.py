"""Every algorithm on FeedbackKeys, over several seeds: does it reach its bar?

    python -m experiments.feedback_keys.run --seeds 0 1 2 3 4 --out experiments/feedback_keys/rows.jsonl

Appends one JSON line per finished run and skips runs that are already there, so it can be stopped and started again; prints
the table of these seeds at the end. Exit code 0 if every arm reached its bars with at least nine seeds in ten, else 1.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.common.rows import append_row, find_row, folder_of, read_rows
from experiments.common.threads import one_thread
from palaestra.results.statistics import mean_interval

WANTED_SHARE = 0.9


def main(arguments: list[str] | None = None) -> int:
    """Run what is missing, seed by seed, and print the table."""
    parser = argparse.ArgumentParser(description="Every algorithm on FeedbackKeys.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--arms", nargs="+", help="names of algorithms; all by default")
    parser.add_argument("--out", type=Path, default=folder_of("feedback_keys") / "rows.jsonl")
    parser.add_argument("--cache", type=Path, help="folder of trained base models")
    parser.add_argument("--table-only", action="store_true", help="print what is there and run nothing")
    options = parser.parse_args(arguments)
    one_thread()  # before torch is loaded

    import torch

    from experiments.feedback_keys.arms import ARMS, run_arm

    torch.set_num_threads(1)
    names = options.arms or list(ARMS)
    rows = read_rows(options.out)
    for seed in [] if options.table_only else options.seeds:
        for name in names:
            arm = ARMS[name]
            if find_row(rows, arm=name, seed=seed, digest=arm.digest):
                continue
            found = run_arm(arm, seed, cache=options.cache)
            row = {"arm": name, "seed": seed, "digest": arm.digest, "passed": found.passed(arm.bars)}
            row |= dataclasses.asdict(found) | {"curve": {str(at): score for at, score in found.curve.items()}}
            append_row(options.out, row)
            rows.append(row)
            print(json.dumps(row), flush=True)
    current = [row for row in rows if row["seed"] in options.seeds and is_current(row, ARMS)]
    bars = {name: ARMS[name].bars for name in names}
    print(table(current, bars))
    return 0 if all(share_passed(current, name) >= WANTED_SHARE for name in names) else 1


def is_current(row: Mapping[str, Any], arms: Mapping[str, Any]) -> bool:
    """Whether a row was made with the settings that its arm has now."""
    return row["arm"] in arms and row["digest"] == arms[row["arm"]].digest


def share_passed(rows: Sequence[Mapping[str, Any]], name: str) -> float:
    """Share of the seeds of an arm that reached all its bars; 0 without any."""
    passed = [bool(row["passed"]) for row in rows if row["arm"] == name]
    return sum(passed) / len(passed) if passed else 0.0


def table(rows: Sequence[Mapping[str, Any]], bars: Mapping[str, Mapping[int, float]]) -> str:
    """Return a Markdown table: score at each bar with its interval, lowest seed, seeds over the bar, seconds."""
    lines = [
        "| algorithm | bar | mean score [95 %] | lowest | over the bar | all bars | CPU s |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    for name, asked in bars.items():
        mine = [row for row in rows if row["arm"] == name]
        if not mine:
            continue
        for place, (iteration, bar) in enumerate(sorted(asked.items())):
            scores = [row["curve"][str(iteration)] for row in mine]
            found = mean_interval([[score] for score in scores])
            shown = f"{found.mean:.3f} [{found.low:.3f}, {min(1.0, found.high):.3f}]"
            over = f"{sum(score >= bar for score in scores)}/{len(scores)}"
            seconds = sum(row["cpu_s"] for row in mine) / len(mine)
            first = place == 0
            whole = f"{sum(row['passed'] for row in mine)}/{len(mine)}"
            lines.append(
                f"| {name if first else ''} | >= {bar:g} at {iteration} | {shown} | "
                f"{min(scores):.3f} | {over} | {whole if first else ''} | {f'{seconds:.1f}' if first else ''} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
