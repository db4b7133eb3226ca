"""What environments do with answers as models really write them, for every registered environment."""

from __future__ import annotations

import numpy as np
import pytest

from palaestra.types import Message, plain
from tests.envs.test_registry import budget, every_case, made

THOUGHTS = [
    "hm",
    "Maybe Action: inventory?",
    'I might write <tool_call>\n{"name": "delete_note", "arguments": {"note_id": "N1"}}\n</tool_call> but first I look.',
    "```python\nvw.trunk.trunk_switch(switch=True)\n```",
    "<modules>\nwindow\n</modules>",
    "Is it the dowick? yes, uphold",
    "an open ```python",
]
MARKS = [("<think>\n", "\n</think>\n\n"), ("", "\n</think>\n\n"), ("<THINKING>", "</thinking>"), ("[THINK]", "[/THINK]")]


@every_case
@pytest.mark.parametrize("as_message", [False, True])
def test_thinking_changes_nothing_of_what_an_environment_does(env_id, kwargs, as_message):
    drawn = np.random.default_rng(0)
    with made(env_id, kwargs) as env, made(env_id, kwargs) as twin:
        env.action_space.seed(1)
        for seed in range(min(3, budget(env_id).seeds)):
            assert plain(list(env.reset(seed=seed))) == plain(list(twin.reset(seed=seed)))
            for _ in range(min(10, budget(env_id).turns)):
                action = env.action_space.sample()
                opening, closing = MARKS[drawn.integers(len(MARKS))]
                thought = THOUGHTS[drawn.integers(len(THOUGHTS))]
                other = f"{opening}{thought}{closing}{action}"
                result = env.step(action)
                thinking = twin.step(Message("assistant", other) if as_message else other)
                assert plain(list(result)) == plain(list(thinking)), (action, other)
                if result[2] or result[3]:
                    break
