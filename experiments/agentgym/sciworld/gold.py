"""Which variations does the simulator's own solution solve? One row a variation, kinds in turns.

    python -m experiments.agentgym.sciworld.gold --split test --seconds 3600

Rows are appended to `gold.jsonl`, and variations that have one are left out, so the run may be stopped at any time. At the end
`unsolved.json` of the environment is written from all rows. With `--play` each solution is played through `gymnasium.make` as
well, as the environment's expert plays it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from palaestra.envs.agentgym.sciworld.engine import ScienceWorld, StartScienceWorld
from palaestra.envs.agentgym.sciworld.tasks import KINDS, SPLITS, split_of
from palaestra.errors import EnvironmentFault

ROWS = Path(__file__).with_name("gold.jsonl")


def places(split: str) -> Iterator[tuple[str, int]]:
    """Yield the variations of a split, solved or not, one of each kind in turns."""
    lists = [(kind.name, [v for v in range(kind.variations) if split_of(kind, v) == split]) for kind in KINDS]
    for rank in range(max(len(numbers) for _, numbers in lists)):
        yield from ((name, numbers[rank]) for name, numbers in lists if rank < len(numbers))


def known() -> dict[tuple[str, int], dict[str, object]]:
    """Return the rows by variation."""
    lines = ROWS.read_text().splitlines() if ROWS.exists() else []
    return {(row["task"], row["variation"]): row for row in map(json.loads, lines)}


def survey(engine: ScienceWorld, name: str, variation: int, *, play: bool) -> dict[str, object]:
    """Return the row of a variation."""
    start = time.perf_counter()
    gold = engine.gold_path(name, variation, "")
    row: dict[str, object] = {"task": name, "variation": variation, "solved": gold.is_solved, "length": len(gold.commands)}
    row["seconds"] = round(time.perf_counter() - start, 1)
    if play:
        engine.load(name, variation, "")
        reply = engine.step("look around")
        for command in gold.commands:
            if reply.is_over or reply.score < 0:
                break
            reply = engine.step(command)
        row["played"] = reply.score
    return row


def write_unsolved() -> int:
    """Write the variations that are not solved beside the environment, and return their number."""
    found: dict[str, list[int]] = {}
    for (name, variation), row in sorted(known().items()):
        if not row["solved"] or row.get("played", 100) != 100:
            found.setdefault(name, []).append(variation)
    file = Path(str(resources.files("palaestra.envs.agentgym.sciworld") / "unsolved.json"))
    file.write_text(json.dumps(found, indent=1) + "\n")
    return sum(map(len, found.values()))


def main() -> None:
    """Survey variations until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--limit", type=int, default=10**6, help="most variations of the split, those with rows included")
    parser.add_argument("--play", action="store_true")
    arguments = parser.parse_args()
    done, end = set(known()), time.perf_counter() + arguments.seconds
    engine = StartScienceWorld()()
    try:
        for number, (name, variation) in enumerate(places(arguments.split)):
            if time.perf_counter() > end or number >= arguments.limit:
                break
            if (name, variation) in done:
                continue
            try:
                row = survey(engine, name, variation, play=arguments.play)
            except EnvironmentFault as fault:
                row = {"task": name, "variation": variation, "solved": False, "length": 0, "fault": str(fault)[:200]}
                engine.kill()
                engine = StartScienceWorld()()
            with ROWS.open("a") as file:
                file.write(json.dumps(row) + "\n")
    finally:
        engine.kill()
    print(f"{len(known())} variations, {write_unsolved()} not solved")


if __name__ == "__main__":
    main()
