import json

import gymnasium

from palaestra.envs.wrappers import MoveInstructions
from tests.envs.miniature import CounterEnv, ForeignEnv
from tests.envs.wrappers.players import NEAR


def test_instructions_move_into_the_first_observation():
    env = MoveInstructions(CounterEnv())
    observation, info = env.reset(seed=0, options=NEAR)
    assert observation.startswith('Say "up"')
    assert observation.endswith("\n\nnumber 1, goal 2")
    assert info["instructions"] == ""
    assert env.step("down")[0].startswith("number")
    assert MoveInstructions(ForeignEnv()).reset(seed=0)[0] == "guess"


def test_tools_can_follow_the_instructions():
    env = MoveInstructions(gymnasium.make("palaestra/TextCraft-v0"), with_tools=True)
    observation, info = env.reset(seed=0)
    for tool in info["tools"]:
        assert json.dumps(tool, ensure_ascii=False) in observation
