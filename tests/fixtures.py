"""Published data for parity tests, from the folders named by `PALAESTRA_FIXTURES` (joined by `os.pathsep`).

Each folder holds any part of the data; a test takes every row of every file found and assumes no counts.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def fixture_files(*names: str) -> list[Path]:
    """Return every existing file or folder with one of these relative names, over all fixture folders."""
    folders = [Path(folder) for folder in os.environ.get("PALAESTRA_FIXTURES", "").split(os.pathsep) if folder]
    return [folder / name for name in names for folder in folders if (folder / name).exists()]


def need_fixtures(*names: str) -> list[Path]:
    """Like `fixture_files`, but skip the test with a reason if there is none."""
    found = fixture_files(*names)
    if not found:
        pytest.skip(f"no {' or '.join(names)} in the folders named by PALAESTRA_FIXTURES")
    return found


def need_rows(*names: str) -> list[Any]:
    """Return the rows of every JSON-lines file with one of these names; skip the test if there is none."""
    rows = [row for file in need_fixtures(*names) for row in read_rows(file)]
    if not rows:
        pytest.skip(f"{' and '.join(names)} hold no rows")
    return rows


def read_rows(file: Path) -> Iterator[Any]:
    """Yield the rows of a JSON-lines file."""
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                yield json.loads(line)
