import gymnasium
import pytest
from gymnasium.wrappers import TimeLimit

from palaestra.agents.reference import RandomAgent
from palaestra.agents.rollout.engine import EpisodePlan, RolloutEngine
from palaestra.envs.core.horizon import horizon_of
from palaestra.envs.wrappers import RecordTrajectory, TurnLimit
from tests.envs.miniature import COUNTER_ID, CounterEnv, ForeignEnv, register_miniatures

register_miniatures()


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        (ForeignEnv(), None),
        (CounterEnv(max_turns=5), 5),
        (TurnLimit(CounterEnv(max_turns=5), 3), 3),
        (TurnLimit(CounterEnv(max_turns=2), 3), 2),
        (TurnLimit(TurnLimit(ForeignEnv(), 3), 4), 3),
        (TimeLimit(CounterEnv(max_turns=5), 4), 4),
        (TurnLimit(TimeLimit(ForeignEnv(), 4), 9), 4),
    ],
)
def test_the_smallest_limit_of_all_layers_holds(env, expected):
    assert horizon_of(env) == expected


@pytest.mark.parametrize("planned", [None, 2, 9])
def test_the_limit_of_an_outer_wrapper_is_the_recorded_one(planned):
    plan = EpisodePlan("e", COUNTER_ID, seed=0, max_turns=planned)
    make = lambda plan: TurnLimit(gymnasium.make(plan.env_id), 3)  # noqa: E731
    [episode] = RolloutEngine(1).collect([plan], RandomAgent(0), make_env=make)
    assert episode.max_turns == min(3, planned or 3)
    recorded = RecordTrajectory(TurnLimit(gymnasium.make(COUNTER_ID), 3))
    recorded.reset(seed=0)
    recorded.step("down")
    recorded.close()
    assert recorded.trajectories[0].max_turns == 3
