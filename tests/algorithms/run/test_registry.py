"""Algorithms by name: what a package brings from outside, and what is refused."""

from __future__ import annotations

import importlib.util
import re
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from reinforce import algorithm as reinforce

from palaestra.algorithms.config import Config
from palaestra.algorithms.grpo import GRPOLearner
from palaestra.algorithms.run import registry
from palaestra.algorithms.run.registry import Algorithm, algorithm_names, get_algorithm, make_learner
from palaestra.errors import ConfigError, UnknownNameError
from tests.algorithms.toy_recipe import toy_policy

ROOT = Path(__file__).parents[3]


def test_an_algorithm_of_an_installed_package_is_one_of_all() -> None:
    assert "reinforce" in algorithm_names()
    assert get_algorithm("reinforce") is reinforce.ALGORITHM
    learner = make_learner("reinforce", toy_policy(), {"momentum": 0.5}, temperature=0.7)
    assert isinstance(learner, reinforce.ReinforceLearner)
    assert (learner.momentum, learner.temperature) == (0.5, 0.7)


def test_an_algorithm_from_outside_is_short_and_in_the_reference() -> None:
    source = Path(reinforce.__file__).read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 80
    assert set(re.findall(r"palaestra\.[.\w]+", source)) == {"palaestra.algorithms"}  # what is public is enough
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    page = generate.algorithms_page(["reinforce"])
    assert "## reinforce\n" in page
    assert "| `momentum` | `float, >= 0, < 1` | `0.9` | Weight of the past in the baseline. |" in page


def test_settings_are_checked_and_taken_as_they_are() -> None:
    config = get_algorithm("grpo").config(lr=0.5)  # type: ignore[call-arg]
    made = make_learner("grpo", toy_policy(), config)
    assert isinstance(made, GRPOLearner)
    assert made.config is config
    with pytest.raises(ConfigError, match=r"grpo\.lr is -1"):
        make_learner("grpo", toy_policy(), {"lr": -1})
    with pytest.raises(ConfigError, match="'rft' has a loop of its own and no learner"):
        make_learner("rft", toy_policy())
    with pytest.raises(UnknownNameError, match="Did you mean 'reinforce'"):
        make_learner("reinforse", toy_policy())


def test_an_algorithm_that_does_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="neither a learner nor a loop"):
        Algorithm("idle", Config)


def test_what_a_package_offers_has_to_be_an_algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_plugins", lambda: {"odd": EntryPoint("odd", "json:dumps", registry.ENTRY_POINTS).value})
    with pytest.raises(ConfigError, match=r"json:dumps is a function; expected a palaestra\.algorithms\.run\.registry"):
        get_algorithm("odd")
