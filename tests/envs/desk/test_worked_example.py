import importlib
import re
import sys
from pathlib import Path

import gymnasium
import pytest

from palaestra.envs.check import check_environment

PAGE = Path(__file__).parents[3] / "docs" / "write_an_environment.md"


@pytest.fixture
def till(tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "till_of_the_page.py").write_text("\n\n".join(blocks), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    yield importlib.import_module("till_of_the_page")
    for env_id in ("shop/Till-v0", "shop/RemoteTill-v0", "shop/Lamp-v0", "shop/Prices-v0"):
        gymnasium.registry.pop(env_id, None)
    del sys.modules["till_of_the_page"]


@pytest.mark.parametrize("env_id", ["shop/Till-v0", "shop/Lamp-v0", "shop/Prices-v0"])
def test_every_block_of_the_page_runs_and_its_environments_pass_the_checker(till, env_id):
    assert till.info["success"]
    for other, made in {"shop/Lamp-v0": till.LampEnv, "shop/Prices-v0": till.ShopEnv}.items():
        gymnasium.register(other, made, vector_entry_point=f"palaestra.envs.core.vector:{other}", order_enforce=False)
    report = check_environment(env_id)
    assert report.ok, str(report)
