import pytest

from palaestra.envs.wrappers import TurnLimit
from palaestra.errors import ConfigError, EpisodeStateError
from tests.envs.miniature import CounterEnv, ForeignEnv


def test_turn_limit_truncates_a_foreign_env_and_says_why():
    env = TurnLimit(ForeignEnv(), 2)
    env.reset(seed=0)
    assert env.step("x")[2:4] == (False, False)
    *_, terminated, truncated, info = env.step("x")
    assert (terminated, truncated, info["stop_reason"]) == (False, True, "max_rounds")
    with pytest.raises(EpisodeStateError, match="after 2 turns"):
        env.step("x")
    env.reset()
    assert env.step("x")[3] is False


def test_turn_limit_leaves_a_success_in_the_last_turn_alone():
    env = TurnLimit(ForeignEnv(), 1)
    env.reset(seed=0)
    *_, terminated, truncated, info = env.step(str(env.unwrapped.secret))
    assert (terminated, truncated) == (True, False)
    assert "stop_reason" not in info


@pytest.mark.parametrize("max_turns", [0, None, 2.0, True])
def test_turn_limit_needs_a_positive_integer(max_turns):
    with pytest.raises(ConfigError, match="max_turns"):
        TurnLimit(CounterEnv(), max_turns)
