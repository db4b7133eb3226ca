from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from palaestra.agents import Agent, evaluate, make_agent
from palaestra.agents.from_module import ENTRY_POINTS
from palaestra.agents.own import as_agent

PAGE = (Path(__file__).parents[2] / "docs" / "agents.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_examples_of_the_page_run() -> None:
    names: dict[str, Any] = {}
    assert len(BLOCKS) == 5
    for block in BLOCKS:
        exec(compile(block, "docs/agents.md", "exec"), names)
    assert (names["result"].config["agent"], names["result"].summary.errors) == ("shopper", {})
    assert names["careful"].summary.errors == {}


@pytest.mark.parametrize("name", ["explorer", "Shopper"])
def test_the_examples_are_agents_of_a_module(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "page_agents.py").write_text(BLOCKS[0] + BLOCKS[2], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "page_agents", raising=False)
    agent = make_agent(f"page_agents:{name}")
    assert evaluate("palaestra/TextCraft-v0", agent, n=2, max_turns=3).summary.errors == {}


def test_the_table_names_what_is_used() -> None:
    rows = re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
    members = {name for row in rows for name in re.findall(r"`(\w+)", row)}
    assert members == {"reset", "name", "version", "shaped_by", "fork", "record", "aclose", "close"}
    assert members - {"close"} <= set(dir(Agent))
    called: list[str] = []

    class Told:
        def __getattr__(self, name: str) -> Any:
            called.append(name)
            raise AttributeError(name)

        def act(self, observation: str, info: Any) -> str:
            return "inventory"

        def __deepcopy__(self, memo: Any) -> Told:
            return self

    evaluate("palaestra/TextCraft-v0", Told(), n=1, max_turns=1, close_agent=True)
    assert as_agent(Told()).version == ""
    assert members <= set(called)


def test_the_entry_point_group_is_the_one_that_is_read() -> None:
    (table,) = (tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL))
    assert list(table["project"]["entry-points"]) == [ENTRY_POINTS]
