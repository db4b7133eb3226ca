"""The page of ToolForge: its code runs, and its tables name what there is."""

import inspect
import re
import tomllib
from pathlib import Path

from palaestra.algorithms.run.recipe import parse_recipe
from palaestra.envs.toolforge.env import MALFORMED, PROFILES, REWARDS, ToolForgeEnv
from palaestra.envs.toolforge.graph import SCENARIOS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "toolforge.md").read_text(encoding="utf-8")


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


def test_the_recipes_on_the_page_can_be_read_and_their_environment_is_this_one():
    names = set(re.findall(r"recipes/(toolforge_\w+\.toml)", PAGE))
    assert names == {path.name for path in (ROOT / "recipes").glob("toolforge_*.toml")}
    for name in names:
        recipe = parse_recipe(tomllib.loads((ROOT / "recipes" / name).read_text(encoding="utf-8")))
        assert recipe.envs[0].id == "palaestra/ToolForge-v0"
        assert [phase.name for phase in recipe.phases] == ["sft", "grpo"]
