"""Published CriticTool data, its reference scores and the tables of its paper, for the parity tests."""

import json
from functools import cache
from typing import Any

from tests.fixtures import fixture_files, need_fixtures, need_rows, read_rows

FOLDER = "critictool"


def names(name: str) -> tuple[str, str]:
    """Return a name inside the folder of this data, and alone."""
    return f"{FOLDER}/{name}", name


@cache
def items() -> dict[str, dict[str, Any]]:
    """Return all items of the published form, over all fixture folders."""
    found: dict[str, dict[str, Any]] = {}
    for folder in fixture_files(*names("synthetic")):
        for file in sorted(folder.glob("*_error/*.json")):
            found |= json.loads(file.read_text(encoding="utf-8"))
    return found


def reference(name: str) -> list[dict[str, Any]]:
    """Return the rows of a reference file; skip the test without one."""
    return need_rows(*names(f"reference/{name}"))


def reference_folders() -> list[tuple[dict[str, Any], Any]]:
    """Return the means of every reference folder, and a function that gives the rows next to them."""
    found = []
    for file in need_fixtures(*names("reference/means.json")):
        found.append((json.loads(file.read_text(encoding="utf-8")), lambda name, at=file: list(read_rows(at.with_name(name)))))
    return found


def published_results() -> dict[str, Any]:
    """Return the tables of the paper; skip the test without them."""
    file = need_fixtures(*names("published_results.json"))[0]
    return json.loads(file.read_text(encoding="utf-8"))
