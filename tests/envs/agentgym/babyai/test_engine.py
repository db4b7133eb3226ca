"""minigrid is loaded when it is needed, and says what is missing."""

import sys

import pytest

from palaestra.envs.agentgym.babyai import engine
from palaestra.errors import EnvironmentFault, MissingExtraError


def test_without_minigrid_the_extra_is_named(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "minigrid"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "minigrid", None)
    with pytest.raises(MissingExtraError, match=r"palaestra\[agentgym\]"):
        engine.load_engine()


def test_a_fault_of_minigrid_is_not_a_fault_of_the_agent(monkeypatch):
    pytest.importorskip("minigrid", reason="the extra agentgym is not installed")

    class Broken:
        def reset(self, seed):
            raise AssertionError("no room")

    monkeypatch.setattr(engine, "make_level", lambda name: Broken())
    with pytest.raises(EnvironmentFault, match="BabyAI-Open-v0 with seed 3"):
        engine.begin_level("Open", 3)
