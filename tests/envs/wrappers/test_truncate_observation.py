import pytest

from palaestra.envs.wrappers import TransformObservationText, TruncateObservation
from palaestra.errors import ConfigError
from tests.envs.miniature import CounterEnv
from tests.envs.wrappers.players import NEAR


def test_long_observations_lose_their_middle():
    text = "".join(chr(ord("a") + i % 26) for i in range(1000))
    env = TruncateObservation(TransformObservationText(CounterEnv(), lambda _: text), 200)
    observation, _ = env.reset(seed=0)
    assert len(observation) <= 200
    head, note, tail = observation.split("\n")
    assert text.startswith(head)
    assert text.endswith(tail)
    assert note == f"[{1000 - len(head) - len(tail)} characters left out]"
    assert TruncateObservation(CounterEnv(), 100).reset(seed=0, options=NEAR)[0] == "number 1, goal 2"
    with pytest.raises(ConfigError, match="max_chars"):
        TruncateObservation(CounterEnv(), 10)
