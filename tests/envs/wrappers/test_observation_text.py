from palaestra.envs.wrappers import TransformObservationText
from tests.envs.miniature import CounterEnv
from tests.envs.wrappers.players import NEAR


def shout(text: str) -> str:
    return text.upper()


def test_observations_are_transformed_on_reset_and_step():
    env = TransformObservationText(CounterEnv(), shout)
    assert env.reset(seed=0, options=NEAR)[0].endswith("GOAL 2")
    assert env.step("down")[0].startswith("NUMBER")
