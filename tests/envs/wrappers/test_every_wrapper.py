"""What holds for all wrappers of the package."""

import pickle

import gymnasium
import pytest

from palaestra.envs import wrappers
from palaestra.envs.wrappers import (
    InjectErrors,
    MoveInstructions,
    RecordTrajectory,
    RewardNoise,
    TransformObservationText,
    TruncateObservation,
    TurnLimit,
)
from tests.envs.miniature import COUNTER_ID, register_miniatures

register_miniatures()


def shout(text: str) -> str:
    return text.upper()


WRAPPED = {
    "turn limit": lambda env: TurnLimit(env, 7),
    "record": lambda env: RecordTrajectory(env, keep=False),
    "errors": lambda env: InjectErrors(env, mode="outage", seed=4),
    "noise": lambda env: RewardNoise(env, "judge", 0.2, seed=4),
    "transform": lambda env: TransformObservationText(env, shout),
    "instructions": lambda env: MoveInstructions(env, with_tools=True),
    "truncate": lambda env: TruncateObservation(env, 150),
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED.keys())
def test_a_wrapped_env_pickles_in_the_middle_of_an_episode(wrap):
    env = wrap(gymnasium.make(COUNTER_ID))
    env.reset(seed=0)
    env.step("down")
    twin = pickle.loads(pickle.dumps(env))
    for action in ("down", "up", "?"):
        assert twin.step(action) == env.step(action)


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED.keys())
def test_a_wrapped_env_is_made_again_from_its_spec(wrap):
    env = wrap(gymnasium.make(COUNTER_ID))
    again = gymnasium.make(env.spec)
    assert str(again) == str(env)
    env.reset(seed=0)
    again.reset(seed=0)
    for action in ("down", "up"):
        assert again.step(action) == env.step(action)


def test_every_wrapper_of_the_package_is_tried_here():
    tried = {type(wrap(gymnasium.make(COUNTER_ID))) for wrap in WRAPPED.values()}
    exported = [getattr(wrappers, name) for name in wrappers.__all__]
    assert tried == {value for value in exported if isinstance(value, type) and issubclass(value, gymnasium.Wrapper)}
