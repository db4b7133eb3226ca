"""Plants defects in copies of the environments, audits each, and audits what is clean with many seeds.

    python -m experiments.audit.run defects -n 20 --seed 0
    python -m experiments.audit.run clean -n 20 --seeds 20

One row an audit is added to `defects.jsonl` or `clean.jsonl`; audits whose rows are there are left out, so that a run that
was stopped goes on, and one of changed code begins with empty files. The table of the page is printed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from experiments.audit.planted.table import CLEAN, Defect, defects, register
from experiments.common.rows import append_row, folder_of, read_rows
from palaestra.envs.audit import Card, audit_environment
from palaestra.envs.registration import list_envs

FOUND = ("warn", "fail")
SUBJECTS = ("splits", "leaks", "stability", "flips")
"""Judges whose alarms on clean environments are counted as false; the others' are looked at one by one."""


def names_of(card: Card) -> list[str]:
    """Return the names of the points of a card that warn or fail."""
    return [point.name for point in card.points if point.verdict in FOUND]


def effort_of(card: Card) -> Any:
    """Return the level at which a card was made: how much was played of what does not follow from `n`."""
    return cast(Mapping[str, Any], card.sections["effort"])["level"]


def audit_defect(defect: Defect, n: int, seed: int) -> dict[str, Any]:
    """Audit a defect and say whether the right point names it."""
    begun = time.process_time()
    card = audit_environment(defect.env_id, n, seed=seed)
    named = names_of(card)
    right = [name for name in named if name.startswith(defect.points)]
    reason = next((point.reason for point in card.points if point.name in right[:1]), "")
    return {
        "defect": defect.name,
        "about": defect.about,
        "expected": list(defect.points),
        "named": right,
        "others": [name for name in named if name not in right],
        "reason": reason,
        "n": n,
        "effort": effort_of(card),
        "seed": seed,
        "cpu_s": round(time.process_time() - begun, 1),
    }


def clean_settings() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what has no defect that we know of: the registered ids, some variants, and the small environments."""
    for env_id in list_envs():
        yield env_id, {}
    yield "palaestra/TextCraft-v0", {"recipes": "procedural"}
    yield "palaestra/Desk-v0", {"difficulty": "hard"}
    for name in CLEAN:
        yield f"clean/{name}-v0", {}


def audit_clean(env_id: str, options: dict[str, Any], n: int, seed: int) -> dict[str, Any]:
    """Audit what is clean and return the alarms."""
    begun = time.process_time()
    card = audit_environment(env_id, n, seed=seed, **options)
    alarms = {point.name: point.reason for point in card.points if point.verdict in FOUND}
    said = {"env": env_id, **options, "n": n, "effort": effort_of(card), "seed": seed, "alarms": alarms}
    return {**said, "cpu_s": round(time.process_time() - begun, 1)}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows of defects as a table of the page."""
    lines = ["| defect | what is wrong | expected | named by |", "|---|---|---|---|"]
    for row in rows:
        named = ", ".join(row["named"][:3]) or f"**missed** ({', '.join(row['others'][:2]) or 'nothing'})"
        lines.append(f"| `{row['defect']}` | {row['about']} | {' or '.join(row['expected'])} | {named} |")
    found = sum(bool(row["named"]) for row in rows)
    return "\n".join([*lines, "", f"{found} of {len(rows)} found."])


def main(arguments: list[str] | None = None) -> int:
    """Run the audits, write the rows and print the table; 1 if fewer than 95 % are found, or there is a false alarm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("defects", "clean"))
    parser.add_argument("-n", type=int, default=20, help="tasks of each audit")
    parser.add_argument("--seed", type=int, default=0, help="seed of the audits of defects, first seed of the clean ones")
    parser.add_argument("--seeds", type=int, default=20, help="seeds of the clean ones")
    parser.add_argument("--only", default="", help="environments whose name contains this")
    asked = parser.parse_args(arguments)
    register()
    if asked.what == "defects":
        path = folder_of("audit") / "defects.jsonl"
        chosen = [defect for defect in defects() if asked.only in f"{defect.module}/{defect.name}"]
        for defect in chosen:
            if not kept(path, defect=defect.name, n=asked.n, seed=asked.seed):
                append_row(path, row := audit_defect(defect, asked.n, asked.seed))
                print(row["defect"], row["named"] or "MISSED", row["others"], flush=True)
        rows = [row for one in chosen for row in kept(path, defect=one.name, n=asked.n, seed=asked.seed)]
        print(table(rows))
        return int(sum(bool(row["named"]) for row in rows) < 0.95 * len(rows))
    path, alarms = folder_of("audit") / "clean.jsonl", 0
    for seed in range(asked.seed, asked.seed + asked.seeds):
        for env_id, options in clean_settings():
            if asked.only not in env_id:
                continue
            setting = {"env": env_id, "recipes": None, "difficulty": None, **options, "n": asked.n, "seed": seed}
            if not kept(path, **setting):
                append_row(path, audit_clean(env_id, options, asked.n, seed))
            row = kept(path, **setting)[-1]
            alarms += sum(name.startswith(SUBJECTS) for name in row["alarms"])
            print(env_id, options or "", seed, row["alarms"] or "-", flush=True)
    print(f"{alarms} false alarms.")
    return int(alarms > 0)


def kept(path: Path, **values: Any) -> list[dict[str, Any]]:
    """Return the rows of a file that have these values; None stands for a value that a row lacks, too."""
    return [row for row in read_rows(path) if all(row.get(name) == value for name, value in values.items())]


if __name__ == "__main__":
    sys.exit(main())
