"""The page on answers says what happens."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from palaestra.agents.endings import TOLD
from palaestra.agents.evaluation.summary import Summary
from palaestra.algorithms.run.recipe_configs import AgentConfig

PAGE = (Path(__file__).parents[2] / "docs" / "answers.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_examples_of_the_page_run(capsys: Any) -> None:
    names: dict[str, Any] = {}
    for block in BLOCKS:
        exec(compile(block, "docs/answers.md", "exec"), names)
    assert names["thought"].summary.errors == {}
    assert names["thought"].summary.answer_faults == {}
    assert capsys.readouterr().out.strip() == re.search(r"# (\d+ turns cut.*)", PAGE)[1]  # type: ignore[index]
    assert TOLD in PAGE


def test_the_table_of_the_recipe_is_one() -> None:
    table = tomllib.loads(re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)[1])["agent"]  # type: ignore[index]
    assert AgentConfig(**table).cut == "play"
    assert AgentConfig().cut == "refuse"


def test_what_is_counted_is_named_as_it_is_shown() -> None:
    shown = Summary.answers.fget  # type: ignore[attr-defined]
    for reason, words in (("length", "1 turn cut"), ("content_filter", "1 filtered"), ("empty", "1 empty")):
        assert words in shown(type("One", (), {"answer_faults": {reason: 1}}))
        assert f'"{reason}"' in PAGE
