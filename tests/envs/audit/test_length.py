"""Length: steps of the expert's episodes, and their tokens by the form of actions."""

import pytest

from palaestra.envs.audit import Subject
from palaestra.envs.audit.length import BYTES_PER_TOKEN, MAX_TOKENS, facts, judge_length
from palaestra.envs.audit.play import as_text
from tests.envs.audit.toys import Lamps, audited, judged


def test_steps_and_tokens_are_those_of_the_plans():
    with audited(Lamps, n=6) as subject:
        found = facts(subject)
        plans = subject.solved
    assert found["steps"] == {"mean": pytest.approx(22 / 6), "median": 4, "most": 4}
    cost = found["by_format"]["text"]
    written = sum(len(as_text(action).encode()) for plan in plans for action in plan.actions) / BYTES_PER_TOKEN / 6
    assert cost["written"] == round(written)
    assert cost["prompt"] == round(len(plans[0].info["instructions"]) / BYTES_PER_TOKEN)
    assert cost["read_once"] < cost["read"]
    assert set(found["by_format"]) == {"text"}  # no tools: nothing to write in other forms


def test_calls_cost_what_each_form_writes():
    forms = facts(Subject("palaestra/Desk-v0", n=3))["by_format"]
    assert {"text", "tools", "react"} <= set(forms)
    assert forms["tools"]["prompt"] > forms["text"]["prompt"]
    assert len({cost["written"] for cost in forms.values()}) > 2


def test_an_episode_that_fits_in_no_usual_context_warns():
    class Wordy(Lamps):
        """Says too much."""

        def _begin(self, task):
            return super()._begin(task) + "\n" + "word " * MAX_TOKENS

    assert judged(judge_length, Lamps, 3)["length"].verdict == "pass"
    point = judged(judge_length, Wordy, 3)["length"]
    assert (point.verdict, "40," in point.reason) == ("warn", True), point


def test_a_limit_without_room_for_a_detour_warns():
    class Tight(Lamps):
        """Four turns, and a plan takes four."""

        def __init__(self, **kwargs):
            super().__init__(**{**kwargs, "max_turns": 4})

    point = judged(judge_length, Tight, 3)["length"]
    assert (point.verdict, "turn limit of 4 leaves no room" in point.reason) == ("warn", True)


def test_without_a_plan_nothing_is_judged():
    class NoExpert(Lamps):
        """Knows no solution."""

        def expert(self):
            yield from ()

    with audited(NoExpert, n=2) as subject:
        assert facts(subject) == {"steps": None, "by_format": {}}
        assert judge_length(subject)[0].verdict == "not judged"
