from __future__ import annotations

import pytest

import palaestra  # noqa: F401  (registers the environments)
from palaestra.agents.evaluation import evaluate
from palaestra.agents.reference import ExpertAgent
from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.agents.store import RunStore
from palaestra.algorithms.data.demonstrations import expert_episodes
from palaestra.algorithms.run.extension_registry import get_extension
from palaestra.algorithms.run.extensions.inject import InjectConfig, recovery
from palaestra.algorithms.run.recipe import load_recipe
from palaestra.envs.wrappers.injection.summary import has_recovered, was_injected
from palaestra.errors import ConfigError, UnknownNameError


def plans(n):
    easy = {"difficulty": "easy"}
    return [EpisodePlan(f"sft/{i:03d}/00", "palaestra/Desk-v0", easy, seed=i, group_id=f"sft/{i:03d}") for i in range(n)]


def test_a_share_of_the_tasks_is_disturbed_in_each_mode_and_always_the_same_ones():
    config = InjectConfig(rate=0.5)
    disturbed = get_extension("inject").demonstrated(config, plans(200))
    modes = [plan.wrappers["InjectErrors"]["mode"] for plan in disturbed if plan.wrappers]
    assert 70 < len(modes) < 130
    assert 0.3 < modes.count("slip") / len(modes) < 0.7
    assert disturbed == get_extension("inject").demonstrated(config, plans(200))
    assert not any(plan.wrappers for plan in get_extension("inject").demonstrated(InjectConfig(rate=0.0), plans(20)))


def test_experts_show_how_to_recover_and_only_real_errors_count():
    disturbed = [InjectConfig(rate=1.0, steps=(1, 2)).disturbed(plan) for plan in plans(24)]
    episodes = expert_episodes(disturbed, engine=RolloutEngine(8))
    figures = recovery(episodes)
    assert figures["injected_share"] > 0.5
    assert figures["injected_success"] == 1.0
    assert all(has_recovered(one) for one in episodes if was_injected(one))
    assert recovery(expert_episodes(plans(4))) == {"injected_share": 0.0}
    assert recovery([]) == {}


def test_the_recipe_that_comes_with_the_package_is_read():
    recipe = load_recipe("recipes/desk_tiny_inject.toml")
    assert recipe.phases[0].active["inject"].modes == ("outage", "slip")


@pytest.mark.parametrize(
    "table", [{"modes": ["slip"], "labels": ["rate_limit"]}, {"labels": ["none such"]}, {"steps": [0]}, {"persistence": [0]}]
)
def test_tables_that_can_inject_nothing_are_refused(table):
    with pytest.raises((ConfigError, UnknownNameError, ValueError)):
        InjectConfig(**table)


def test_a_plan_names_its_wrappers_and_unknown_ones_are_refused():
    plan = EpisodePlan("e", "palaestra/Desk-v0", wrappers={"NoSuch": {}}, seed=0)
    with pytest.raises(UnknownNameError, match="NoSuch"):
        RolloutEngine().collect([plan], ExpertAgent())


def test_an_evaluation_under_errors_has_them_in_its_settings(tmp_path):
    errors = {"InjectErrors": {"mode": "outage", "plan": {"step": 1, "label": "timeout"}}}
    settings = {"n": 4, "env_kwargs": {"difficulty": "tiny"}, "store": tmp_path / "runs", "run_id": "errors"}
    run = evaluate("palaestra/Desk-v0", ExpertAgent(), wrappers=errors, **settings)
    assert run.config["wrappers"] == errors
    with RunStore(tmp_path / "runs") as store:
        assert [was_injected(one) for one in store.trajectories("errors")] == [True] * 4
    with pytest.raises(ConfigError, match="wrappers"):
        evaluate("palaestra/Desk-v0", ExpertAgent(), **settings)
    with pytest.raises(UnknownNameError, match="NoSuch"):
        evaluate("palaestra/Desk-v0", ExpertAgent(), n=1, wrappers={"NoSuch": {}})
