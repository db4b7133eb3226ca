"""Requests for which nothing has to change are counted apart."""

import gymnasium
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.vehicle.served import METRICS, Served
from palaestra.envs.vehicle.strict import StrictScore

SCORES = st.builds(
    lambda success, idle: StrictScore(success, success, success if idle else None), st.booleans(), st.booleans()
)


@given(st.lists(SCORES, max_size=12))
def test_shares_are_of_what_was_judged_and_none_is_of_nothing(scores):
    served = Served()
    for score in scores:
        served.add(score)
    found = served.metrics()
    acting = [score.request_success for score in scores if score.refusal is None]
    assert set(found) == {name for name, holds in (("nothing_to_do", scores), ("changes_served", acting)) if holds}
    if scores:
        assert found["nothing_to_do"] == (len(scores) - len(acting)) / len(scores)
    if acting:
        assert found["changes_served"] == sum(acting) / len(acting)
    assert Served(**served.to_json()) == served
    assert {metric.name for metric in METRICS} == {"nothing_to_do", "changes_served"}


def episode(env, number, act):
    """Play a task and return the last info."""
    env.reset(seed=number, options={"task": f"test/{number}"})
    expert = env.unwrapped.expert()
    while True:
        *_, terminated, truncated, info = env.step(act(expert))
        if terminated or truncated:
            return info


@pytest.mark.parametrize("profile", ["fixed", "published"])
def test_an_agent_that_does_nothing_serves_what_asks_for_nothing_and_no_more(profile):
    env = gymnasium.make("palaestra/VehicleWorld-v0", profile=profile)
    kinds = set()
    for number in range(60):
        idle = episode(env, number, lambda expert: "I leave everything as it is.")
        share = idle["metrics"]["nothing_to_do"]
        assert idle["success"] is (share == 1.0)
        assert idle["metrics"].get("changes_served", 0.0) == 0.0
        done = episode(env, number, next)
        assert done["metrics"]["nothing_to_do"] == share
        if done["success"]:
            assert done["metrics"].get("changes_served", 1.0) == 1.0
        kinds.add((share > 0) + (share == 1.0))
    assert kinds == {0, 1, 2}


def test_a_restored_episode_goes_on_counting():
    env = gymnasium.make("palaestra/VehicleWorld-v0")
    number = next(i for i in range(99) if len(env.unwrapped.tasks.at("test", i).data["requests"]) > 2)
    whole = episode(env, number, next)
    env.reset(seed=number, options={"task": f"test/{number}"})
    info = {}
    while "metrics" not in info:
        *_, info = env.step(next(env.unwrapped.expert()))
    other = gymnasium.make("palaestra/VehicleWorld-v0")
    other.reset(seed=1)
    other.unwrapped.restore(env.unwrapped.snapshot())
    for action in other.unwrapped.expert():
        *_, terminated, _, info = other.step(action)
        if terminated:
            break
    assert info["metrics"] == whole["metrics"]
