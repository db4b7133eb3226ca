"""The code of the page on training runs as it stands there."""

import re
from pathlib import Path

import pytest

from palaestra.algorithms.grpo import GRPOConfig, GRPOLearner
from palaestra.algorithms.math.estimators import ESTIMATORS
from tests.algorithms.test_grpo import play
from tests.algorithms.toy_recipe import toy_policy

PAGE = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def defined():
    before = set(ESTIMATORS)
    names = {}
    for block in BLOCKS:
        if "class " in block:
            exec(block, names)
    yield names
    for name in set(ESTIMATORS) - before:
        del ESTIMATORS[name]


def test_the_algorithm_of_the_page_is_one(defined):
    algorithm = defined["ALGORITHM"]
    assert algorithm.config().strength == 0.5
    assert algorithm.learner is defined["MyLearner"]


def test_the_estimator_of_the_page_trains(defined):
    policy = toy_policy()
    config = GRPOConfig.model_validate({"advantage": "median", "group_size": 1})
    metrics = GRPOLearner(policy, config).update(play(policy), 1)
    assert metrics["no_signal"] == 0.0
