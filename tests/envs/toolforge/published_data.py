"""Published FTRL rows and reference scores for the parity tests."""

import json
from functools import cache
from typing import Any

from tests.fixtures import fixture_files

FOLDER = "ftrl"


@cache
def rows(name: str) -> list[dict[str, Any]]:
    """Return all rows of a file of JSON lines, over all fixture folders."""
    files = fixture_files(f"{FOLDER}/{name}", name)
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines() if line]
