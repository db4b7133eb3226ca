from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "rollouts.md"


def test_the_examples_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 6
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["result"].summary.success.mean == 1
    assert (tmp_path / "expert.eval").is_file()
    assert len(names["trajectories"]) == 8
    assert all(step.state_hash for step in names["trajectories"][0].steps)
    assert names["done"].summary.total.metrics["steps"].n == names["result"].num_planned
    assert names["episode"].instructions
