"""Finished runs of an experiment: one JSON line each, in a file that several processes may add to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def folder_of(name: str) -> Path:
    """Return the folder of an experiment, where its rows and its page are."""
    return Path(__file__).parents[1] / name


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the finished runs; none if the file is not there. A line that a kill cut off is left out."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Add a finished run; a line that a kill cut off does not swallow it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_cut = path.exists() and not path.read_bytes().endswith(b"\n") and path.stat().st_size > 0
    with path.open("ab") as file:
        file.write((b"\n" if is_cut else b"") + json.dumps(row).encode() + b"\n")


def find_row(rows: list[dict[str, Any]], **wanted: object) -> dict[str, Any] | None:
    """Return the first row that has these values; None if there is none."""
    return next((row for row in rows if all(row.get(key) == value for key, value in wanted.items())), None)
