"""The page of CriticTool: its code runs, and its tables name what there is."""

import inspect
import re
from pathlib import Path

from palaestra.envs.critic.behaviour import ON_ERRORS, ON_FAILURES, WITHOUT_ERRORS
from palaestra.envs.critic.blocks import MODES
from palaestra.envs.critic.documents import PROFILES
from palaestra.envs.critic.env import FORMS, METRICS, CriticEnv
from palaestra.envs.critic.generate import LABELS
from palaestra.envs.critic.made_tools import made

PAGE = (Path(__file__).parents[2] / "docs" / "critic.md").read_text(encoding="utf-8")


def test_the_code_on_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(block, names)
    assert names["info"]["success"]
    assert len(names["opened"]) == 10
    assert len(names["replies"]) == 1


def test_the_page_names_what_there_is():
    words = set(re.findall(r"`(\w+)=", PAGE))
    assert words <= {*inspect.signature(CriticEnv.__init__).parameters}
    assert all(f'`"{mode}"`' in PAGE for mode in MODES)
    assert all(f'profile="{profile}"' in PAGE for profile in PROFILES)
    assert all(f'form="{form}"' in PAGE for form in FORMS)
    named = {*ON_ERRORS, *ON_FAILURES, *WITHOUT_ERRORS, *LABELS["internal"], *LABELS["external"]} - {""}
    assert all(f"`{name}`" in PAGE for name in named)
    assert all(f"`{one.name}`" in PAGE for one in METRICS if one.name != "parse_rate")
    tools = made()
    assert f"{len(tools)} tools of nine domains" in PAGE
    assert len({tool.domain for tool in tools.values()}) == 9
