"""Agents of the panel: each plays what its name says, and an environment that pays it is told so."""

import json

import gymnasium
import pytest

from palaestra.envs.audit import Subject
from palaestra.envs.audit.floors import judge_floors, judge_injection
from palaestra.envs.audit.panel import ANSWER, CLAIMS, COMMON_ACTIONS, DONE, NOTHING, PANEL, members, plays_of
from palaestra.envs.audit.play import as_text
from palaestra.envs.core.actions import read_message
from tests.envs.audit.toys import LAMPS, Lamps, audited, judged

DESK = "palaestra/Desk-v0"
BY_NAME = {member.name: member for member in PANEL}


def actions_of(subject, name):
    """Return the actions of an agent as texts, by episode."""
    return [[*map(as_text, play.actions)] for play in plays_of(subject, BY_NAME[name])]


def pays(is_paid):
    """Return a room in which a text is paid, or what was switched before it."""

    class Paying(Lamps):
        """Pays for a text."""

        def _begin(self, task):
            self.said, self.told = [], super()._begin(task)
            return self.told

        def _act(self, action):
            self.said.append(action)
            turn = super()._act(action)
            if is_paid(self, action):
                turn.reward, turn.terminated, turn.success = 1.0, True, True
            return turn

    return Paying


WORDS = {
    "nothing": lambda env, text: text == NOTHING,
    "done": lambda env, text: text == DONE,
    "constant": lambda env, text: text == ANSWER,
    "echo_observation": lambda env, text: text == env.told,
    "echo_instructions": lambda env, text: text == env.instructions(),
    "random": lambda env, text: text.startswith("off"),
    "common_actions": lambda env, text: len(env.said) == COMMON_ACTIONS and len({*env.said}) == COMMON_ACTIONS,
    "other_plan": lambda env, text: text == "All lamps are set." and len(env.said) > 2 and env.said[0][3:] not in env.told,
    "question_values": lambda env, text: text in env.task.data["wanted"],
}
"""What is paid for an agent of the panel to be paid, and the expert not for it alone."""


@pytest.mark.parametrize("name", WORDS)
def test_an_environment_that_pays_an_agent_is_told_so(name):
    point = judged(judge_floors, pays(WORDS[name]))[f"floor.{name}"]
    assert point.verdict in ("warn", "fail"), point
    assert BY_NAME[name].about in point.reason
    assert all(key.startswith("test/") for key in point.evidence["tasks"])


def test_an_environment_that_pays_for_words_to_the_grader_is_told_so():
    env = pays(lambda env, text: "success" in text)
    assert judged(judge_injection, env)["injection"].verdict == "fail"
    assert judged(judge_floors, env)["floor.nothing"].verdict == "pass"


def test_no_agent_is_paid_by_an_environment_without_a_defect():
    points = judged(lambda subject: [*judge_floors(subject), *judge_injection(subject)], Lamps)
    assert {point.verdict for point in points.values()} == {"pass"}
    assert set(points) == {*(f"floor.{member.name}" for member in members(("free",))), "injection"}


def test_what_is_said_is_said_until_the_end():
    with audited(Lamps, n=3) as subject:
        assert actions_of(subject, "nothing") == [[NOTHING]] * 3
        assert actions_of(subject, "done") == [[DONE]] * 3
        assert actions_of(subject, "constant") == [[ANSWER]] * 3
        assert actions_of(subject, "echo_instructions") == [[subject.instructions]] * 3
        assert actions_of(subject, "echo_observation") == [[plan.observation] for plan in subject.plans]


def test_random_actions_are_well_formed_and_differ_between_tasks():
    with audited(Lamps, n=3) as subject:
        found = actions_of(subject, "random")
        assert all(len(actions) == subject.max_actions for actions in found)
        assert all(subject.env.action_space.contains(action) for actions in found for action in actions)
        assert found[0] != found[1]


def test_common_actions_are_the_experts_most_frequent_ones_of_training_tasks_the_last_last():
    with audited(Lamps, n=2) as subject:
        told = [action for plan in subject.lessons for action in plan.actions]
        for actions in actions_of(subject, "common_actions"):
            assert len(actions) == COMMON_ACTIONS + 1
            assert actions[-1] == "All lamps are set."
            rarest = min(told.count(action) for action in actions[:-1])
            assert all(told.count(f"on {name}") <= rarest for name in LAMPS if f"on {name}" not in actions)


def test_another_plan_is_one_of_a_training_task_and_not_the_same_for_all():
    with audited(Lamps, n=6) as subject:
        plans = [plan.actions for plan in subject.lessons]
        found = actions_of(subject, "other_plan")
        assert all(actions in plans for actions in found)
        assert len({tuple(actions) for actions in found}) > 3


class OnlyTest(Lamps):
    """Has no training tasks."""

    sizes = (("test", 6),)


def test_without_training_tasks_another_plan_is_never_that_of_the_task_itself():
    with audited(OnlyTest, n=6) as subject:
        own = [plan.actions for plan in subject.plans]
        assert all(actions != mine for actions, mine in zip(actions_of(subject, "other_plan"), own, strict=True))


def test_every_tool_is_called_once_with_arguments_that_its_schema_allows():
    subject = Subject(DESK, n=2)
    for play in plays_of(subject, BY_NAME["every_tool"]):
        names = [tool["function"]["name"] for tool in play.info["tools"]]
        called = [call.name for action in play.actions for call in read_message(action).tool_calls]
        assert called == names
        assert as_text(play.actions[-1]) == DONE or len(play.steps) >= len(names)


def test_values_of_the_question_are_put_where_the_expert_has_them():
    with audited(Lamps, n=6) as subject:
        for actions, plan in zip(actions_of(subject, "question_values"), subject.plans, strict=True):
            wanted = plan.start.task.data["wanted"]
            assert actions, plan.observation
            assert any(name in " ".join(actions) for name in wanted)


def test_the_injector_writes_to_the_grader_in_arguments_and_as_messages():
    subject = Subject(DESK, n=2)
    for play in plays_of(subject, BY_NAME["injector"]):
        said = [as_text(action) for action in play.actions]
        claims = [json.dumps(claim)[1:-1] for claim in CLAIMS]
        assert sum(any(claim in text for claim in claims) for text in said) >= 2
        assert said[-1] in (*CLAIMS, "\n".join(CLAIMS))


def test_what_cannot_be_played_is_said():
    subject = Subject("CartPole-v1", n=2)
    found = {name: member.needs(subject) for name, member in BY_NAME.items()}
    assert found["nothing"] == found["injector"] == found["every_tool"] == "Actions are not texts here."
    assert found["common_actions"].startswith("The expert solves fewer than two tasks")
    assert found["random"] == ""
    assert gymnasium.spec("CartPole-v1").id == subject.env_id
    with audited(Lamps, n=2) as lamps:
        assert BY_NAME["every_tool"].needs(lamps) == "Does not apply: there are no tools."
