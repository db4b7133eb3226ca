"""A `checkpoint.best` that nothing logs is refused before anything is played; what is logged is what is known."""

from __future__ import annotations

from typing import Any

import pytest

from palaestra.algorithms.run.known_metrics import known_metrics
from palaestra.algorithms.run.recipe import read_recipe
from palaestra.algorithms.run.registry import algorithm_names, get_algorithm, make_learner
from palaestra.errors import ConfigError
from tests.algorithms import toy_env
from tests.algorithms.toy_recipe import toy_policy, toy_recipe, toy_tables
from tests.algorithms.updates import play

EVERYTHING: dict[str, Any] = {
    "kl": {"coefficient": 0.1},
    "entropy": {"target": 1.0},
    "correction": {"level": "token"},
    "warmup_updates": 0,
}


@pytest.mark.parametrize(
    ("overrides", "match"),
    [
        (["checkpoint.best=sucess"], r"checkpoint.best is 'sucess', which no phase .* Did you mean 'success'\?"),
        (["checkpoint.best=tset_success", "evaluation.every=2"], r"Did you mean 'test_success'\?"),
        (["checkpoint.best=test_sucess", "evaluation.every=2"], r"Did you mean 'test_success'\?"),
        (["checkpoint.best=test_return_mean", "evaluation.every=2"], r"no phase of the recipe logs"),
        (["checkpoint.best=pass_at_8"], r"Did you mean 'pass_at_4'\?"),  # groups of 4
        (["checkpoint.best=test_pass_at_2", "evaluation.every=2"], r"no phase of the recipe logs"),
        (["checkpoint.best=explained_variance"], r"no phase of the recipe logs"),  # of a critic
        (["checkpoint.best=reward_score_mean"], r"no phase of the recipe logs"),
        (["checkpoint.best=success.Desk"], r"no phase of the recipe logs"),
        (["checkpoint.best=sucess.type.deep"], r"no phase of the recipe logs"),
        (["checkpoint.best=test_success", "evaluation.every=5", "phases=['grpo']"], r"the learning curve has no points"),
    ],
)
def test_a_name_that_nothing_logs_is_refused(overrides: list[str], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        read_recipe(toy_tables(), overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        ["checkpoint.best=success"],
        ["checkpoint.best=seconds_cpu"],
        ["checkpoint.best=success.type.deep"],
        ["checkpoint.best=metric_moves"],
        ["checkpoint.best=test_metric_moves", "evaluation.every=2"],
        ["checkpoint.best=test_success", "evaluation.every=4"],
        ["checkpoint.best=test_success.type.deep", "evaluation.every=2"],
        ["checkpoint.best=test_pass_at_2", "evaluation.every=2", "evaluation.curve_samples=2"],
        ["checkpoint.best=pass_at_4"],
        ["checkpoint.best=explained_variance", "phases=['ppo']"],
        ["checkpoint.best=stale_episodes", "asynchronous.max_staleness=0", "phases=['grpo']"],
        ["checkpoint.best=reward_score_mean", "reward.kind=server", "reward.url=http://127.0.0.1:1/x", "phases=['grpo']"],
    ],
    ids=str,
)
def test_a_name_that_something_logs_is_taken(overrides: list[str]) -> None:
    read_recipe(toy_tables(), overrides)


def test_in_a_mixture_a_metric_may_be_that_of_an_environment() -> None:
    envs = [{"id": toy_env.ENV_ID, "name": "one"}, {"id": toy_env.ENV_ID, "name": "two"}]
    data = toy_tables(env=envs, evaluation={"every": 2})
    for best in ("success.one", "test_success.two", "success.type.deep", "test_success.two.type.deep"):
        read_recipe({**data, "checkpoint": {"best": best}})
    for best in ("success.three", "test_success.three", "lr.one"):
        with pytest.raises(ConfigError, match="no phase of the recipe logs"):
            read_recipe({**data, "checkpoint": {"best": best}})


def test_an_algorithm_of_a_package_that_says_nothing_is_believed() -> None:
    assert get_algorithm("reinforce").metrics is None
    read_recipe(toy_tables(), ["checkpoint.best=whatever", "phases=['reinforce']"])


OURS = [name for name in algorithm_names() if get_algorithm(name).metrics is not None]


@pytest.mark.parametrize("name", [name for name in OURS if get_algorithm(name).learner is not None])
def test_a_learner_logs_what_its_algorithm_says(name: str) -> None:
    algorithm = get_algorithm(name)
    fields = algorithm.config.model_fields
    given = {key: value for key, value in EVERYTHING.items() if key in fields}
    if "advantage" in fields and name == "gigpo":
        given["advantage"] = {"step_weight": 1.0}
    policy = toy_policy()
    made = make_learner(name, policy, given, reference=policy.frozen_copy)
    played = play(policy, states=True)
    found: set[str] = set()
    for step in (1, 2):
        found |= made.update(played, step).keys()
    recipe = toy_recipe(phases=[name], **{name: {**given, "tasks_per_step": 2} if "tasks_per_step" in fields else given})
    known = known_metrics(recipe, recipe.phase(name))
    assert known is not None
    assert found <= known
    assert len(found) >= 3
