"""Compares our ALFWorld engine with the original, text for text, and writes a row for each game.

    python -m experiments.agentgym.alfworld_oracle.run --python PATH --games 30 --length 200

`--python` is an interpreter that has textworld and alfworld (extra `alfworld-oracle`); by default the current one. The games
are made: six task types in turn, both dialects, and some with what published files have (`variants`). Published files are
compared in addition with `--files PATH...`. Rows are appended to `rows.jsonl`, and games that have one are left out, so the
run may be stopped at any time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from experiments.agentgym.alfworld_oracle import original
from experiments.agentgym.alfworld_oracle.variants import published_like
from palaestra.envs.agentgym.alfworld.engine.game import Game
from palaestra.envs.agentgym.alfworld.engine.game_file import read_game
from palaestra.envs.agentgym.alfworld.generator import TASK_TYPES, choose, generate
from palaestra.envs.agentgym.alfworld.world import AlfredWorld

FOLDER = Path(__file__).parent
ROWS = FOLDER / "rows.jsonl"
DIALECTS = ("move", "put")


def games(num: int, num_variants: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield names and contents of games: the types in turn, every other round of the split "test" and of the dialect "put"."""
    numbers = {(split, kind): _numbers(split, kind) for split in ("train", "test") for kind in TASK_TYPES}
    for index in range(num):
        kind = tuple(TASK_TYPES)[index % len(TASK_TYPES)]
        rounds = index // len(TASK_TYPES)
        split, dialect = ("train", "test")[rounds % 2], DIALECTS[(rounds // 2 + index) % 2]
        number = next(numbers[split, kind])
        yield f"{kind}-{split}-{number}-{dialect}", in_dialect(generate(split, number), dialect)
    for index in range(num_variants):
        yield f"published_like-{index}", published_like(generate("train", 1000 + index), index)


def in_dialect(made: dict[str, Any], dialect: str) -> dict[str, Any]:
    """Return a made game with the texts of a dialect in its grammar, so that the original plays it so too."""
    if dialect == "move":
        return made
    grammar = str(made["grammar"])
    for old, new in (
        ("You arrive at {r.name}.", "You arrive at {lend.name}."),
        ("You move the {o.name} to the {r.name}.", "You put the {o.name} in/on the {r.name}."),
        ("move {o} to {r}", "put {o} in/on {r}"),
    ):
        assert old in grammar
        grammar = grammar.replace(old, new)
    walkthrough = [
        f"put {command.removeprefix('move ').replace(' to ', ' in/on ')}" if command.startswith("move ") else command
        for command in made["walkthrough"]
    ]
    return {**made, "grammar": grammar, "walkthrough": walkthrough}


def compared(told: dict[str, Any]) -> dict[str, Any]:
    """Play what was recorded on our engine, and return what is equal and what both cost."""
    begin = time.process_time()
    world = AlfredWorld(Game(read_game(told["game"])))
    load_s = time.process_time() - begin
    texts = [(world.intro() == told["first"]["feedback"], world.commands() == told["first"]["commands"], True)]
    first = ""
    step_s = 0.0
    for number, step in enumerate(told["steps"]):
        begin = time.process_time()
        text, commands, is_won = world.act(step["command"]).text, world.commands(), world.is_won
        step_s += time.process_time() - begin
        texts.append((text == step["feedback"], commands == step["commands"], is_won == step["won"]))
        if not all(texts[-1]) and not first:
            first = f"{number}: {step['command']!r}: {text!r} for {step['feedback']!r}"
    feedback, commands_, won = (sum(equal) for equal in zip(*texts, strict=True))
    return {
        "texts": len(texts),
        "feedback": feedback,
        "commands": commands_,
        "won": won,
        "first_difference": first,
        "wins": any(step["won"] for step in told["steps"]),
        "load_ms": round(1e3 * load_s, 3),
        "original_load_ms": round(1e3 * told["load_s"], 1),
        "step_us": round(1e6 * step_s / max(1, len(told["steps"])), 1),
        "original_step_us": round(1e6 * told["step_s"], 1),
    }


def recorded(python: str, folder: Path, paths: list[Path], length: int) -> Iterator[dict[str, Any]]:
    """Yield what the original says in each game, as soon as it has said it."""
    out = folder / "told.jsonl"
    out.touch()
    command = [python, original.__file__, str(length), str(out), *map(str, paths)]
    names = {path.name for path in paths}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process, out.open(encoding="utf-8") as told:
        assert process.stdout is not None
        for said in process.stdout:  # the name of each game, once its line is written; and whatever else the original prints
            if said.strip() in names:
                yield json.loads(told.readline())
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def known() -> list[dict[str, Any]]:
    """Return the rows that there are."""
    return [json.loads(line) for line in ROWS.read_text(encoding="utf-8").splitlines()] if ROWS.exists() else []


def table(rows: list[dict[str, Any]]) -> str:
    """Return the page's table."""
    lines = ["| games | number | texts | feedback equal | commands equal | won equal |", "|---|---:|---:|---:|---:|---:|"]
    for kind in dict.fromkeys(row["name"].partition("-")[0] for row in rows):
        own = [row for row in rows if row["name"].partition("-")[0] == kind]
        sums = [sum(row[key] for row in own) for key in ("texts", "feedback", "commands", "won")]
        lines.append(f"| {kind} | {len(own)} | {' | '.join(f'{total:,}' for total in sums)} |")
    sums = [sum(row[key] for row in rows) for key in ("texts", "feedback", "commands", "won")]
    lines.append(f"| all | {len(rows)} | {' | '.join(f'{total:,}' for total in sums)} |")

    def mean(key: str) -> float:
        return sum(row[key] for row in rows) / len(rows)

    return "\n".join(
        [
            *lines,
            "",
            "| per | ours | original | ratio |",
            "|---|---:|---:|---:|",
            f"| load, CPU ms | {mean('load_ms'):.1f} | {mean('original_load_ms'):,.0f} | "
            f"{mean('original_load_ms') / mean('load_ms'):,.0f} |",
            f"| step with commands, CPU µs | {mean('step_us'):.0f} | {mean('original_step_us'):,.0f} | "
            f"{mean('original_step_us') / mean('step_us'):,.0f} |",
        ]
    )


def main(arguments: list[str] | None = None) -> int:
    """Compare, write the rows, print the table; 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="interpreter that has textworld and alfworld")
    parser.add_argument("--games", type=int, default=36)
    parser.add_argument("--variants", type=int, default=8)
    parser.add_argument("--length", type=int, default=200, help="random commands after the walkthrough")
    parser.add_argument("--files", nargs="*", default=[], help="game files to be compared in addition")
    given = parser.parse_args(arguments)
    done = {(row["name"], row["length"]) for row in known()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = []
        for title, contents in games(given.games, given.variants):
            if (title, given.length) not in done:
                paths.append(folder / f"{title}.tw-pddl")
                paths[-1].write_text(json.dumps(contents), encoding="utf-8")
        for told in recorded(given.python, folder, [*paths, *map(Path, given.files)], given.length):
            row = {"name": Path(told["game"]).name.removesuffix(".tw-pddl"), "length": given.length}
            row |= {"refused": told["refused"]} if "refused" in told else compared(told)
            with ROWS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
    rows = [row for row in known() if "refused" not in row]
    print(table(rows))
    print("The original cannot load:", ", ".join(row["name"] for row in known() if "refused" in row) or "none left out")
    return int(any(row[key] != row["texts"] for row in rows for key in ("feedback", "commands", "won")))


def _numbers(split: str, kind: str) -> Iterator[int]:
    """Yield the numbers of the games of one type."""
    return (number for number in count() if choose(split, number).task_type == kind)


if __name__ == "__main__":
    sys.exit(main())
