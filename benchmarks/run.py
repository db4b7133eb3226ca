"""Runs the benchmarks of this folder and prints their rows: `python -m benchmarks.run [--only NAME] [--json]`.

Exit code 0 if every promise is kept, 1 if one is not or a benchmark failed, 2 for a wrong argument.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import json
import os
import sys
import traceback
from pathlib import Path

from benchmarks.rows import Row

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Return the names of all benchmarks: the modules here that define `run() -> list[Row]`."""
    found = (path.stem for path in sorted(FOLDER.glob("*.py")) if "\ndef run() -> list[Row]:" in path.read_text("utf-8"))
    return list(found)


def measure(chosen: list[str], *, quiet: bool = False) -> tuple[list[Row], list[str]]:
    """Run benchmarks one after the other; return their rows and the names of those that failed."""
    # before a benchmark loads numpy or torch: one thread, so that figures compare between machines and runs
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
    rows: list[Row] = []
    failed: list[str] = []
    for name in chosen:
        if not quiet:
            print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            rows += importlib.import_module(f"benchmarks.{name}").run()
        except Exception:
            traceback.print_exc()
            failed.append(name)
    return rows, failed


def table(rows: list[Row]) -> str:
    """Return rows as a Markdown table, the peer beside each figure."""
    lines = ["| what | ours | peer | peer's | ratio | promised | kept |", "|---|---:|---|---:|---:|---|---|"]
    for row in rows:
        peer = "not installed" if row.peer_value is None else f"{_number(row.peer_value)} {row.unit}"
        ratio = f"{row.ours / row.peer_value:.2f}x" if row.peer_value else ""
        kept = "" if row.ok is None else "yes" if row.ok else "NO"
        ours = f"{_number(row.ours)} {row.unit}"
        lines.append(f"| {row.name} | {ours} | {row.peer} | {peer} | {ratio} | {row.target} | {kept} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", metavar="NAME", help="run this benchmark alone (may be repeated)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--list", action="store_true", help="print the names of the benchmarks and stop")
    options = parser.parse_args(arguments)
    known = names()
    if options.list:
        print("\n".join(known))
        return 0
    for name in options.only or ():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            advice = f"Did you mean {close[0]!r}? " if close else ""
            print(f"Unknown benchmark {name!r}. {advice}There are: {', '.join(known)}.", file=sys.stderr)
            return 2
    rows, failed = measure(options.only or known, quiet=options.json)
    if options.json:
        print(json.dumps({"rows": [row.to_json() for row in rows], "failed": failed}, indent=2))
    else:
        print(table(rows))
    for name in failed:
        print(f"The benchmark {name!r} failed; see the traceback above.", file=sys.stderr)
    return 1 if failed or any(row.ok is False for row in rows) else 0


def _number(value: float) -> str:
    """Return a figure with three significant digits, large ones in full."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


if __name__ == "__main__":
    sys.exit(main())
