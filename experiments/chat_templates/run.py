"""Checks every chat template that TRL ships, and writes the rows and the page.

python -m experiments.chat_templates.run [--only WORD]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from experiments.chat_templates.checks import row_of, sources, template_of
from experiments.chat_templates.dialogues import EPISODES
from experiments.common.rows import append_row, folder_of, read_rows

FOLDER = folder_of("chat_templates")
CHECKS = {
    "cloned": "cloned text",
    "calls": "cloned calls",
    "read_back": "calls read back",
    "rows": "rows of data sets",
    "shown": "messages shown",
    "continuing": "continued turns",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Check all templates, add a row for each and write the page; 1 if a template could not be checked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="templates whose name contains this; no page is written")
    asked = parser.parse_args(arguments)
    path = FOLDER / "rows.jsonl"
    num_failed = 0
    if not asked.only:
        path.unlink(missing_ok=True)
    for name, source in sources().items():
        if asked.only not in name:
            continue
        try:
            row = {"trl": version("trl"), **row_of(name, template_of(source))}
        except Exception as error:
            num_failed += 1
            print(f"{name}: {type(error).__name__}: {error}")
            continue
        print(name, *(f"{check} {figure(row[check])}" for check in CHECKS))
        if not asked.only:
            append_row(path, row)
    if not asked.only:
        (FOLDER / "README.md").write_text(page(read_rows(path)), encoding="utf-8")
    return int(num_failed > 0)


def figure(found: Mapping[str, Any] | None) -> str:
    """Return the findings of a check, for a table."""
    return "-" if not found or not found["total"] else f"{found['good']}/{found['total']}"


def page(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write the page from the rows."""
    lines, differences = [], []
    for row in rows:
        cells = [row["syntax"] or "-", f"`{row['end']}`", *(figure(row[check]) for check in CHECKS)]
        lines.append(f"| {row['template']} | " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        differences += [
            f"- {row['template']}, {title}: {_code(row[check]['first'])}"
            for check, title in CHECKS.items()
            if row[check] and row[check]["first"]
        ]
    native = [row for row in rows if row["syntax"]]
    return (
        (FOLDER / "page.txt")
        .read_text(encoding="utf-8")
        .format(
            num=len(rows),
            trl=rows[0]["trl"] if rows else "",
            native=len(native),
            episodes=len(EPISODES) - 1,
            messages=rows[0]["shown"]["total"] if rows else 0,
            summary="\n".join(_summary(rows, check, title) for check, title in CHECKS.items()),
            columns=" | ".join(CHECKS.values()),
            lines="|".join(["---"] * len(CHECKS)),
            table="\n".join(lines),
            differences="\n".join(differences) or "Nothing.",
        )
    )


def _summary(rows: Sequence[Mapping[str, Any]], check: str, title: str) -> str:
    """Return how many templates pass a check in full."""
    asked = [row for row in rows if row[check] and row[check]["total"]]
    whole = sum(row[check]["good"] == row[check]["total"] for row in asked)
    return f"- {title}: {whole} of {len(asked)} templates in full"


def _code(text: str) -> str:
    return f"`` {text} ``"


__all__ = ["figure", "main", "page"]

if __name__ == "__main__":
    sys.exit(main())
