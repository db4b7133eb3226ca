"""The page of ToolForge: its code runs, and its tables name what there is."""

import inspect
import re
from pathlib import Path

from palaestra.envs.toolforge.env import MALFORMED, PROFILES, REWARDS, ToolForgeEnv
from palaestra.envs.toolforge.graph import SCENARIOS

PAGE = (Path(__file__).parents[2] / "docs" / "toolforge.md").read_text(encoding="utf-8")


def test_the_code_on_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(block, names)
    assert names["info"]["success"]
    assert len(names["opened"]) == 20


def test_the_page_names_the_options_that_there_are():
    words = set(re.findall(r"`(\w+)=", PAGE)) | {"profile"}
    assert words <= {*inspect.signature(ToolForgeEnv.__init__).parameters, "actions", "reward_funcs"}
    assert all(f'`"{reward}"`' in PAGE for reward in REWARDS if reward != "success")
    assert all(f'profile="{profile}"' in PAGE for profile in PROFILES)
    assert all(f'malformed="{word}"' in PAGE for word in MALFORMED)
    assert all(f"`{scenario}`" in PAGE for scenario in SCENARIOS)
