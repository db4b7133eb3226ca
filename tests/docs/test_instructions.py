"""The page about instructions names what there is."""

import re
from pathlib import Path

from palaestra.envs.instructions import all_kinds
from palaestra.envs.instructions.kinds import SCOPES

PAGE = (Path(__file__).parents[2] / "docs" / "instructions.md").read_text(encoding="utf-8")


def test_every_kind_scope_and_parameter_is_named():
    named = set(re.findall(r"`([\w.]+)`", PAGE))
    assert set(all_kinds()) <= named
    assert set(SCOPES) <= named
    assert {name for kind in all_kinds().values() for name in kind.defaults} <= named


def test_the_first_example_runs(capsys):
    exec(re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1], {})
    assert "there is no table" in capsys.readouterr().out
