"""A recipe over several seeds: does the trained policy beat its cloned start on test tasks, whatever the seed?

    python -m experiments.common.seeds recipes/textcraft_tiny.toml --seeds 0 1 2 --out results.jsonl

Prints, per seed, the success of every arm on test tasks with its 95 % interval and the CPU seconds of the run. Exit code
0 if the interval of the last arm lies above that of the one before it for every seed, else 1.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from experiments.common.threads import one_thread


def main(arguments: list[str] | None = None) -> int:
    """Run the recipe for each seed, one after the other."""
    parser = argparse.ArgumentParser(description="A recipe over several seeds.")
    parser.add_argument("recipe")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, help="append one JSON line per seed")
    options = parser.parse_args(arguments)
    one_thread()  # before torch is loaded

    import palaestra  # noqa: F401  # registers the environments
    from palaestra.algorithms.run.recipe import load_recipe
    from palaestra.algorithms.run.training import train

    clear = True
    for seed in options.seeds:
        recipe = load_recipe(options.recipe, [*options.overrides, f"seed={seed}"])
        with tempfile.TemporaryDirectory() as folder:
            result = train(recipe, store=folder, run_id="run")
        arms = {name: found.summary.success for name, found in result.arms.items()}
        line = {"seed": seed, "cpu_s": round(result.cpu_seconds), "wall_s": round(result.seconds)}
        line |= {name: [round(found.mean, 4), round(found.low, 4), round(found.high, 4)] for name, found in arms.items()}
        print(json.dumps(line), flush=True)
        if options.out is not None:
            with options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        *_, before, after = arms.values()
        clear = clear and after.low > before.high
    return 0 if clear else 1


if __name__ == "__main__":
    sys.exit(main())
