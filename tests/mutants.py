"""Do the tests notice when the code is changed? `make mutants` runs mutmut over a random sample of small changes.

    python -m tests.mutants -n 300 --seed 0

mutmut copies the project to `mutants/`, changes every function of the files under `[tool.mutmut]` in every way it knows, runs
the tests named there once to see which of them reach which function, and then those tests against each change. All changes
are too many for a run, so a seeded sample is drawn; the table says how many of it were killed, by part of the code, and the
diffs of all survivors follow. Again with the same seed tries the same changes, and only the tests that are new are mapped.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

FOLDER = Path("mutants")
FIRST = "palaestra.algorithms.math.seeds.*"  # the smallest file: trying it makes all changes and maps the tests
UNNOTICED = ("survived", "no tests", "not checked", "skipped")


def exit_codes() -> dict[str, int | None]:
    """Return how each change ended, by name; None for those that were not tried."""
    found: dict[str, int | None] = {}
    for file in sorted(FOLDER.rglob("*.meta")):
        found |= json.loads(file.read_text(encoding="utf-8"))["exit_code_by_key"]
    return found


def part(name: str) -> str:
    """Return the folder of a change, e.g. `agents/backends`."""
    return "/".join(name.split(".")[1:3])


def mutmut(*arguments: str, check: bool = True) -> None:
    """Run mutmut's command of this installation."""
    subprocess.run([Path(sys.executable).with_name("mutmut"), *arguments], check=check)


def run_mutmut(*names: str, workers: int) -> None:
    """Try some changes."""
    mutmut("run", "--max-children", str(workers), *names)


def main(arguments: list[str] | None = None) -> int:
    """Draw a sample, try it, print the table and the survivors; 1 if fewer are killed than asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=300, help="changes to try")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--workers", type=int, default=2, help="changes that are tried at once")
    parser.add_argument("--at-least", type=float, default=0.9, help="share that has to be killed")
    asked = parser.parse_args(arguments)
    run_mutmut(FIRST, workers=asked.workers)
    names = sorted(exit_codes())
    sample = random.Random(asked.seed).sample(names, min(asked.n, len(names)))
    run_mutmut(*sample, workers=asked.workers)
    from mutmut.stats import status_by_exit_code  # an extra of its own: only this script needs it

    codes = exit_codes()
    ended = {name: status_by_exit_code[codes[name]] for name in sample}
    by_part: dict[str, Counter[str]] = {}
    for name, what in ended.items():
        by_part.setdefault(part(name), Counter())[what] += 1
    for name, counts in sorted(by_part.items()):
        print(f"{name}: {', '.join(f'{count} {what}' for what, count in sorted(counts.items()))}")
    survivors = [name for name, what in ended.items() if what in UNNOTICED]
    for name in sorted(survivors):
        print(f"\n{ended[name]}: {name}", flush=True)
        mutmut("show", name, check=False)
    share = 1 - len(survivors) / len(sample)
    print(f"\n{len(sample)} of {len(names)} changes tried, {len(sample) - len(survivors)} noticed: {share:.1%}")
    return int(share < asked.at_least)


if __name__ == "__main__":
    sys.exit(main())
