"""The order of independent actions: when another order is blamed, and when the episode has told something else."""

import pytest

from palaestra.envs.audit import stability
from palaestra.envs.core.text_env import Turn
from tests.envs.audit.toys import Lamps, judged


class Ordered(Lamps):
    """A task is solved only if its lamps are lit in the order of their names; the state is that of a set."""

    def _begin(self, task):
        self.order = []
        return super()._begin(task)

    def expert(self):
        yield from (f"on {name}" for name in sorted(self.task.data["wanted"]))
        yield "All lamps are set."

    def switched(self, name, is_on):
        turn = super().switched(name, is_on)
        self.order.append(name)
        return turn

    def is_right(self, text):
        return super().is_right(text) and self.order == sorted(self.order)


class Telling(Ordered):
    """With another order the answer is a question back, and the episode goes on."""

    def _act(self, action):
        text = action if isinstance(action, str) else action.content
        if text.startswith("All") and self.order != sorted(self.order):
            return Turn("Are you sure? Say it once more.")
        return super()._act(action)


@pytest.mark.parametrize(("env", "verdict"), [(Lamps, "pass"), (Ordered, "fail"), (Telling, "pass")])
def test_another_order_is_blamed_unless_the_episode_tells_something_else(env, verdict):
    point = judged(stability.judge, env, 12)["stability.order"]
    assert point.verdict == verdict, point.reason
