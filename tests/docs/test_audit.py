from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gymnasium.envs.registration import registry

from palaestra.agents.report import render_card_page
from palaestra.envs.audit.card import Card
from palaestra.envs.audit.near import NEAR
from palaestra.envs.audit.panel import PANEL
from palaestra.envs.audit.vandal import VANDAL

PAGE = (Path(__file__).parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")


def names_in(section: str) -> set[str]:
    """Return the names in the first column of the table of a section."""
    part = PAGE.split(f"## {section}\n")[1].split("\n## ")[0]
    return {name for row in re.findall(r"^\| (`.*?) \|", part, re.MULTILINE) for name in re.findall(r"`([^`]+)`", row)}


@pytest.fixture(scope="module")
def example() -> Iterator[tuple[Card, str]]:
    """The card that the example makes, and what it prints."""
    [block] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(block, "docs/audit.md", "exec"), names)
    yield names["card"], out.getvalue()
    del registry["mine/Sums-v0"]


def test_the_example_finds_what_the_page_says(example: tuple[Card, str]) -> None:
    card, out = example
    said = re.search(r"It prints `(.*?) \.\.\.`", PAGE)
    assert said is not None
    assert said[1] in out
    assert "not judged stability.restore" in out
    assert card.verdict == "fail"
    assert "mine/Sums-v0" in render_card_page(card)


def test_the_tables_name_the_panel_and_every_point(example: tuple[Card, str]) -> None:
    members = {member.name for member in PANEL} | {variant.name for variant in NEAR} | {VANDAL.name}
    assert names_in("The panel") == members
    found = {"floor.*" if point.name.startswith("floor.") else point.name for point in example[0].points}
    assert names_in("The points") == found
