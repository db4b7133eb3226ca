"""Do the tests notice when the code is changed? `make mutants` tries a random sample of small changes, one at a time.

    python -m tests.mutation -n 300 --seed 0              draw 300, map the tests, try what has not been tried
    python -m tests.mutation -n 300 --seed 0 --survivors  try again what no test has noticed
    python -m tests.mutation -n 60 --seed 3 --near        without a map: the test files nearest to each change, whole
    python -m tests.mutation -n 60 --seed 3 --near --stages 1     on a busy machine: the nearest of all, what survives later
    python -m tests.mutation map                          only map the tests

Everything happens in a copy of the project, `mutants/`, which follows the project at each start. A run that is cut off (also
by `--minutes`) is resumed by the same command. docs/development.md says what is changed and what is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

from tests.mutation.folders import FOLDERS

HERE = Path(__file__).parents[2]
IS_COPY = HERE.parts[-2:] == ("mutants", "copy")
PROJECT = HERE.parents[1] if IS_COPY else HERE
FOLDER = PROJECT / "mutants"
COPY = FOLDER / "copy"
NOTICED = ("killed", "timeout")
MAPPED = (
    *("tests/" + "/".join(folder.split("/")[1:]) for folder in FOLDERS),
    *(f"tests/{name}" for name in ("agents", "envs", "algorithms", "media", "experiments", "cli", "")),
)
"""Folders of tests that are mapped, those of the code that is changed first."""


def synchronise() -> None:
    """Make the copy equal to the project's files that git knows or would take."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=PROJECT, check=True, capture_output=True
    )
    names = {name for name in listed.stdout.decode().split("\0") if name and (PROJECT / name).is_file()}
    for name in sorted(names):
        source, target = PROJECT / name, COPY / name
        if not target.exists() or target.read_bytes() != source.read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=True)
    for file in [file for file in COPY.rglob("*") if file.is_file() and "__pycache__" not in file.parts]:
        if file.relative_to(COPY).as_posix() not in names:
            file.unlink()
    for name in ("agents", "algorithms", "envs", "models"):  # links to folders, which are not files
        if not (COPY / name).is_symlink():
            (COPY / name).symlink_to((PROJECT / name).readlink())


def in_copy() -> None:
    """Start this program again in the copy, which is then what is imported and changed."""
    if IS_COPY:
        return
    synchronise()
    environment = {**os.environ, "PYTHONPATH": str(COPY), "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    os.chdir(COPY)
    os.nice(5)
    os.execve(sys.executable, [sys.executable, "-m", "tests.mutation", *sys.argv[1:]], environment)


def test_files() -> list[str]:
    """Return all test files of the copy, in the order of `MAPPED`."""
    files = [file.relative_to(COPY).as_posix() for file in (COPY / "tests").rglob("test_*.py")]
    return sorted(files, key=lambda file: (next(i for i, folder in enumerate(MAPPED) if file.startswith(folder)), file))


class Book:
    """How each change ended, kept line by line, so that a run that is cut off is resumed.

    Args:
        file: Where it is kept.
    """

    def __init__(self, file: Path) -> None:
        """Read it."""
        self._file = file
        lines = file.read_text().splitlines() if file.exists() else []
        self.rows: dict[str, dict[str, Any]] = {row["name"]: row for row in map(json.loads, lines)}

    def new_first(self, drawn: list[Any]) -> list[Any]:
        """Return changes in their order, those that were begun before last: slow ones hold up no others."""
        return sorted(drawn, key=lambda change: change.name in self.rows)

    def add(self, row: dict[str, Any]) -> None:
        """Keep how one ended; the last word counts."""
        self.rows[row["name"]] = row
        with self._file.open("a") as file:
            file.write(json.dumps(row) + "\n")


def equivalents() -> dict[str, str]:
    """Return the changes that change nothing, by name, each with the reason."""
    return dict(tomllib.loads(Path(__file__).with_name("equivalent.toml").read_text(encoding="utf-8")))


def table(names: list[str], book: Book) -> tuple[list[str], dict[str, int]]:
    """Return the lines of the table by part of the code, and the sums."""
    same = equivalents()
    counts: dict[str, Counter[str]] = {}
    for name in names:
        what = "equivalent" if name in same else book.rows[name]["ended"] if name in book.rows else "not tried"
        part = "/".join(name.split("/")[1:3]).partition(".py")[0]
        part = "results" if part.startswith("results") else part
        counts.setdefault(part, Counter())[what] += 1
    total: Counter[str] = sum(counts.values(), Counter())
    kinds = ("killed", "timeout", "survived", "not reached", "equivalent", "not tried")
    lines = [f"| part | drawn | {' | '.join(kinds)} |", f"|---|{'---|' * (len(kinds) + 1)}"]
    for part, count in [*sorted(counts.items()), ("all", total)]:
        lines.append(f"| {part} | {count.total()} | {' | '.join(str(count[kind]) for kind in kinds)} |")
    return lines, dict(total)


def main() -> int:
    """Draw, map, try and report; 1 if fewer are noticed than asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("try", "map", "table"), default="try")
    parser.add_argument("-n", type=int, default=300, help="changes to draw")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after these; the same command resumes")
    parser.add_argument(
        "--seconds", type=float, default=25.0, help="of tests at most for one change, those nearest to it first"
    )
    parser.add_argument("--survivors", action="store_true", help="try again what was not noticed")
    parser.add_argument("--at-least", type=float, default=0.9, help="share that has to be noticed")
    parser.add_argument("--no-map", action="store_true", help="use the map as it is, e.g. while tests are being written")
    parser.add_argument("--near", action="store_true", help="map nothing, run the test files nearest to each change")
    parser.add_argument(
        "--stages", type=int, help="with --near, of the files only those of the first stages, e.g. 1: the mirror"
    )
    asked = parser.parse_args()
    in_copy()
    until = time.monotonic() + 60 * asked.minutes
    from tests.mutation.session import Session

    session = Session(FOLDER, COPY, asked.seconds, near=test_files() if asked.near else (), stages=asked.stages)
    if not (asked.no_map or asked.near) and asked.what != "table" and not session.map(test_files(), until):
        return 2
    if asked.what == "map":
        return 0
    drawn = session.draw(asked.n, asked.seed)
    book = Book(FOLDER / "tried.jsonl")
    same = equivalents()
    if asked.what == "try":
        for change in book.new_first(drawn):
            row = book.rows.get(change.name)
            again = asked.survivors and row is not None and row["ended"] not in NOTICED
            if change.name in same or not (row is None or row["ended"] == "not tried" or again):
                continue
            if time.monotonic() > until:
                break
            book.add(session.trial(change))
        else:
            confirm([change.name for change in drawn], book, session)
    return report([change.name for change in drawn], book, asked.at_least)


def confirm(names: list[str], book: Book, session: Any) -> None:
    """Run each test that has killed a change once without one; what a test that fails then has killed counts as not tried."""
    kills = [row for name in names if (row := book.rows.get(name)) and row["ended"] == "killed" and not row.get("confirmed")]
    unsound = session.unsound({row["by"] for row in kills if row["by"].startswith("tests/")}) if kills else set()
    for row in kills:
        sound = row["by"] not in unsound
        print("" if sound else f"{row['by']} fails without a change: {row['name']} is tried again\n", end="")
        book.add({**row, "confirmed": True} if sound else {**row, "ended": "not tried"})


def report(names: list[str], book: Book, at_least: float) -> int:
    """Print the survivors and the table; return the exit code."""
    same = equivalents()
    for name in names:
        row = book.rows.get(name)
        if row is not None and row["ended"] not in NOTICED and name not in same:
            print(f"\n{row['ended']}: {name}\n{row['diff']}")
    lines, total = table(names, book)
    print("\n" + "\n".join(lines))
    noticed = sum(total.get(kind, 0) for kind in NOTICED)
    tried = noticed + total.get("survived", 0) + total.get("not reached", 0)
    print(f"\n{noticed} of {tried} changes noticed: {noticed / max(tried, 1):.1%}")
    if total.get("not tried"):
        print(f"{total['not tried']} have not been tried; run the same command again.")
        return 2
    return int(noticed < at_least * tried)


if __name__ == "__main__":
    sys.exit(main())
