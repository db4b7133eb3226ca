"""`InjectErrors` keeps the contract on every registered environment with tools."""

import gymnasium
import pytest

import palaestra
from palaestra.envs import InjectErrors, check_environment
from palaestra.envs.registration import conditions, missing
from palaestra.types import plain

CHECKS = ["step info", "expert", "seeding", "snapshot", "foreign snapshot", "pickle", "turn limit", "wrong types"]
SETTINGS = {"palaestra/VehicleWorld-v0": {"calls": "tools"}}
CHEAP = [name for name in palaestra.list_envs() if name.startswith("palaestra/") and conditions(name).cost == "cheap"]


def made(env_id, **settings):
    if lacking := missing(env_id):
        pytest.skip(lacking)
    env = gymnasium.make(env_id, disable_env_checker=True, **SETTINGS.get(env_id, {}))
    if not env.reset(seed=0)[1]["tools"]:
        pytest.skip(f"{env_id} has no tools")
    return InjectErrors(env, **settings)


@pytest.mark.parametrize("env_id", CHEAP)
@pytest.mark.parametrize("mode", ["slip", "outage", "prefix"])
def test_the_contract_holds_in_each_mode(env_id, mode):
    report = check_environment(made(env_id, mode=mode, sampler={"error_free": 0.0, "steps": [1]}), only=CHECKS)
    assert [f"{result.name}: {result.detail}" for result in report.results if not result.ok] == []


@pytest.mark.parametrize("env_id", CHEAP)
def test_without_an_error_nothing_changes_and_with_one_it_is_there(env_id):
    quiet = made(env_id, plan={"label": ""})
    bare = quiet.env
    start, again = quiet.reset(seed=3), bare.reset(seed=3)
    assert plain(list(start)) == plain(list(again))
    counted = 0
    for seed in range(4):
        env = made(env_id, plan={"label": "timeout"}, mode="outage")
        env.reset(seed=seed)
        for action in env.expert():
            *_, terminated, truncated, info = env.step(action)
            counted += "injection" in info and "label" in info["injection"]
            if terminated or truncated:
                break
    assert counted >= 2 or env_id == "palaestra/Wordle-v0"  # whose commands are not read back from their text
