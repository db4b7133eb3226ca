import importlib
import re
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
    for env_id in ("shop/Till-v0", "shop/RemoteTill-v0"):
        gymnasium.registry.pop(env_id)


def test_every_block_of_the_page_runs_and_its_environment_passes_the_checker(till):
    assert till.info["success"]
    report = check_environment("shop/Till-v0")
    assert report.ok, str(report)
