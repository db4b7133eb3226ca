"""Difficulty: the profile of the tasks, and tasks that tell no agents apart."""

import pytest

from palaestra.envs.audit.difficulty import facts, judge_difficulty
from palaestra.envs.core.text_env import Turn
from tests.envs.audit.toys import Lamps, audited, judged


class HardTwos(Lamps):
    """The expert gives up where two lamps are wanted."""

    def expert(self):
        yield from super().expert() if len(self.task.data["wanted"]) == 3 else ("That I cannot do.",)


class Easy(Lamps):
    """On the first floor everything is paid."""

    def _act(self, action):
        return Turn("", 1.0, True, True) if self.task.data["floor"] == 1 else super()._act(action)


def test_the_profile_is_by_type_and_by_parameter():
    with audited(HardTwos, n=12) as subject:
        found = facts(subject)
    types = found["by_type"]
    assert {kind: row["n"] for kind, row in types.items()} == {"two": 4, "three": 8}
    assert types["two"]["success"]["expert"] == 0.0
    assert types["three"]["success"] == {
        "expert": 1.0,
        "nothing": 0.0,
        "random": 0.0,
        "common_actions": 0.0,
        "other_plan": 0.0,
    }
    assert types["two"]["steps"] is None
    assert types["three"]["steps"] == 4.0
    assert {value: row["n"] for value, row in found["by_parameter"]["floor"].items()} == {"0": 3, "1": 3, "2": 3, "3": 3}
    assert set(found["by_parameter"]["len(wanted)"]) == {"2", "3"}
    assert "nothing" not in found["by_parameter"]  # one value tells nothing apart
    assert (found["nobody"], found["everybody"], found["nothing_to_do"]) == (4 / 12, 0.0, 0.0)


@pytest.mark.parametrize(
    ("env", "said"), [(HardTwos, "Nobody solves 33 % of 12 tasks"), (Easy, "Every reference agent solves 25 %")]
)
def test_tasks_that_tell_nobody_apart_are_named(env, said):
    point = judged(judge_difficulty, env)["difficulty"]
    assert (point.verdict, said in point.reason) == ("warn", True), point
    named = point.evidence["nobody" if env is HardTwos else "everybody"]
    assert named == [f"test/{i}" for i in range(12) if (i % 3 == 0 if env is HardTwos else i % 4 == 1)]


def test_tasks_that_tell_agents_apart_pass():
    assert judged(judge_difficulty, Lamps)["difficulty"].verdict == "pass"


def test_without_an_expert_hard_and_impossible_are_not_told_apart():
    class NoExpert(Lamps):
        """Knows no solution."""

        def expert(self):
            yield from ()

    point = judged(judge_difficulty, NoExpert, n=3)["difficulty"]
    assert (point.verdict, "no expert" in point.reason) == ("not judged", True)
