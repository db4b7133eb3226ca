"""Plans that are nearly the expert's: what is changed in them, and when an environment is told that it should notice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.audit.near import REPEATED, SWAPPED, WITHOUT_LAST, WITHOUT_ONE, effective, judge_near, leaves, unchanged
from palaestra.envs.core.text_env import Turn
from tests.envs.audit.toys import LAMPS, Lamps, audited, judged


def test_the_state_says_which_steps_matter():
    class Looking(Lamps):
        """An expert that looks before it acts."""

        def expert(self):
            yield "off tower" if not self.lit["tower"] else "on tower"  # as it is already
            yield from super().expert()

    with audited(Looking, n=6) as subject:
        for plan in subject.plans:
            assert effective(plan) == list(range(1, len(plan.steps) - 1)), plan.actions


@pytest.mark.parametrize(
    ("variant", "change"),
    [
        (WITHOUT_LAST, lambda own, other: other == [*own[:-2], own[-1]]),
        (WITHOUT_ONE, lambda own, other: len(other) == len(own) - 1 and other[-2:] == own[-2:]),
        (SWAPPED, lambda own, other: sorted(other) == sorted(own) or own[-1] == other[-1]),
        (REPEATED, lambda own, other: len(other) == len(own) + 1 and set(other) == set(own)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_each_variant_changes_a_plan_as_it_says(variant, change):
    with audited(Lamps, n=9) as subject:
        for plan in subject.solved:
            actions = variant.change(plan, subject.rng(variant.name, plan.start))
            assert change(plan.actions, actions), (plan.actions, actions)
            assert actions != plan.actions


def test_plans_of_one_step_have_no_variants_but_the_empty_one():
    class OneStep(Lamps):
        """Solved by saying so."""

        def expert(self):
            yield "All lamps are set."

        def is_right(self, text):
            return text == "All lamps are set."

    with audited(OneStep, n=4) as subject:
        plan = subject.plans[0]
        assert WITHOUT_ONE.change(plan, subject.rng("", plan.start)) is None
        assert SWAPPED.change(plan, subject.rng("", plan.start)) is None
        points = {point.name: point for point in judge_near(subject)}
    assert {point.verdict for point in points.values()} == {"pass"}
    assert "one step each" in points["near.repeated"].reason


def test_an_environment_that_notices_passes():
    points = judged(judge_near, Lamps)
    assert {point.verdict for point in points.values()} == {"pass"}
    assert "0 % of 24 episodes" in points["near.left_out"].reason


def test_a_step_that_may_be_left_out_is_found():
    class Lax(Lamps):
        """One of the lamps is enough."""

        def is_right(self, text):
            return any(self.lit[name] for name in self.task.data["wanted"])

    point = judged(judge_near, Lax)["near.left_out"]
    assert point.verdict == "fail"
    assert point.evidence["tasks"]


def test_a_step_that_is_paid_twice_is_found():
    class Paying(Lamps):
        """Pays for every wanted lamp that is switched on, each time."""

        full_return = None

        def switched(self, name, is_on):
            super().switched(name, is_on)
            return Turn("", 0.25 if is_on and name in self.task.data["wanted"] else 0.0)

    point = judged(judge_near, Paying)["near.repeated"]
    assert point.verdict == "fail"
    assert "paid again in 12 of 12 episodes" in point.reason


def test_an_order_that_pays_more_is_found():
    class Ordered(Lamps):
        """Pays for a lamp that is switched on after one that comes later in the alphabet."""

        full_return = None

        def _begin(self, task):
            self.last = ""
            return super()._begin(task)

        def expert(self):
            yield from (f"on {name}" for name in sorted(self.task.data["wanted"]))
            yield "All lamps are set."

        def switched(self, name, is_on):
            super().switched(name, is_on)
            reward, self.last = float(name < self.last), name
            return Turn("", reward)

    assert judged(judge_near, Ordered)["near.swapped"].verdict == "fail"


def test_an_expert_that_takes_a_longer_way_than_need_be_is_no_defect_of_the_reward():
    class Walked(Lamps):
        """The return of a solved task is the higher the less was walked between lamps, and is paid at the end."""

        full_return = None

        def _begin(self, task):
            self.at, self.walked = "attic", 0
            return super()._begin(task)

        def switched(self, name, is_on):
            self.walked += abs(LAMPS.index(name) - LAMPS.index(self.at))
            self.at = name
            return super().switched(name, is_on)

        def _act(self, action):
            turn = super()._act(action)
            turn.reward *= 1 - self.walked / 100
            return turn

    point = judged(judge_near, Walked)["near.swapped"]
    assert point.verdict == "warn"
    assert "the return varies, and the expert's is not the highest" in point.reason

    class Declared(Walked):
        """Declares that every solved task brings 1."""

        full_return = 1.0

    assert judged(judge_near, Declared)["near.swapped"].verdict == "fail"


def test_without_a_plan_nothing_is_judged():
    class NoExpert(Lamps):
        """Knows no solution."""

        def expert(self):
            yield from ()

    points = judged(judge_near, NoExpert, n=2)
    assert {point.verdict for point in points.values()} == {"not judged"}
    assert set(points) == {"near.left_out", "near.repeated", "near.swapped"}


DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3),
    max_leaves=12,
)


@given(DATA)
def test_leaves_are_all_values_by_paths_of_their_own(data):
    def count(value):
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
        return 1 if inner is None else sum(map(count, inner))

    found = leaves(data)
    assert len(found) == count(data)
    assert not any(isinstance(value, (dict, list)) for value in found.values())


def test_what_a_plan_changes_and_another_play_does_not_is_named():
    with audited(Lamps, n=1) as subject:
        plan = subject.plans[0]
        play = subject.play(plan.start, lambda episode: "Done.", worlds=True)
        assert unchanged(plan, play) == [f"/{name}" for name in sorted(plan.start.task.data["wanted"])]
        assert unchanged(plan, plan) == []
