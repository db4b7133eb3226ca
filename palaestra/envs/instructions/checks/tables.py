"""Constraints on Markdown tables."""

from __future__ import annotations

import re
from typing import Any

from palaestra.envs.instructions.checks.bounds import range_words, within
from palaestra.envs.instructions.kinds import Asked, Verdict, kind
from palaestra.envs.instructions.units import Table, tables
from palaestra.types import Json

_ANY_TABLE = re.compile(r"\A(?!.*\bif\b).*\bany tables?\b")
"""The published checkers need a table where a sentence says "any table", too."""


@kind(
    "format.table",
    family="Format_Table",
    defaults={"rows": [None, None], "cols": [None, None], "required": True, "headers": None},
    optional=("headers",),
    examples=[
        {"rows": [None, 3]},
        {"cols": [2, 2], "rows": [1, 4]},
        {"cols": [None, 3], "required": False},
        {"headers": ["Name", "Price"]},
    ],
)
def table(asked: Asked) -> Verdict:
    """Every table has rows and columns in range, and the headers asked for; there is one if one is required."""
    found = tables(asked.response)
    required = asked.params["required"]
    if asked.published:  # "any table" needs one there, unless the sentence begins with "if"
        required = required or _ANY_TABLE.search(asked.text.lower()) is not None
    sizes: list[Json] = [[len(one.rows), len(one.header)] for one in found]
    if not found:
        said = "there is no table, and one is required" if required else "there is no table, and none is required"
        return Verdict(not required, said, {"tables": sizes})
    failed = [reason for one in found for reason in _reasons(one, asked.params)]
    return Verdict(not failed, "; ".join(failed) or f"{len(found)} tables, each as asked", {"tables": sizes})


def _reasons(one: Table, params: Any) -> list[str]:
    """Return what is wrong with a table."""
    failed = []
    for noun, count, (lo, hi) in (("rows", len(one.rows), params["rows"]), ("columns", len(one.header), params["cols"])):
        if not within(count, lo, hi):
            failed.append(f"found {count} {noun}, need {range_words(lo, hi)}")
    headers = [cell.casefold() for cell in one.header]
    for name in params.get("headers") or ():
        if not any(name.casefold() in cell for cell in headers):
            failed.append(f"no column is called {name!r}")
    return failed
