"""Floors: what chance brings is no alarm, and what is more certainly is one."""

import math
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.audit.difficulty import facts
from palaestra.envs.audit.floors import ALPHA, CHANCE, FREE, _apart, figures, is_more_than, judge_floors
from tests.envs.audit.toys import Lamps, audited, judged


def tail(paid, n, rate):
    """Return the chance that at least `paid` of `n` episodes are paid."""
    return sum(math.comb(n, k) * rate**k * (1 - rate) ** (n - k) for k in range(paid, n + 1))


@given(st.integers(1, 200), st.data())
def test_more_than_a_bound_is_what_the_bound_brings_seldom(n, data):
    paid = data.draw(st.integers(0, n))
    for bound in (CHANCE, FREE):
        assert is_more_than(bound, paid / n, n) == (tail(paid, n, bound) < ALPHA)


@pytest.mark.parametrize(("paid", "n"), [(1, 1), (2, 2), (2, 5), (6, 100)])
def test_what_chance_does_not_bring_is_an_alarm(paid, n):
    assert is_more_than(CHANCE, paid / n, n)


@pytest.mark.parametrize(("paid", "n"), [(1, 2), (1, 5), (1, 20), (5, 100), (0, 0)])
def test_what_chance_brings_is_none(paid, n):
    assert not is_more_than(CHANCE, paid / max(n, 1), n)


def test_shares_of_returns_outside_0_and_1_are_compared_as_well():
    assert is_more_than(CHANCE, 1.7, 3)
    assert not is_more_than(CHANCE, -0.4, 3)


class Idle(Lamps):
    """Every fourth task wants what holds already, and says so."""

    idle = 4


class Silent(Idle):
    """Does not say so."""

    def _act(self, action):
        turn = super()._act(action)
        turn.metrics = None
        return turn


class MostlyIdle(Lamps):
    """Every second task wants what holds already."""

    idle = 2


def floor_of_nothing(env, n=40):
    return judged(judge_floors, env, n)["floor.nothing"]


def test_tasks_that_ask_for_nothing_are_counted_apart_where_the_environment_says_so():
    class Seldom(Lamps):
        """Every tenth task wants what holds already."""

        idle = 10

    point = floor_of_nothing(Seldom)
    assert point.verdict == "pass"
    assert "0 % of 36 tasks" in point.reason
    assert "4 other tasks and 0 in part ask for nothing" in point.reason
    with audited(Seldom, 40) as subject:
        assert figures(subject)["nothing"].success == 0.1  # the figure is what an agent gets
        assert facts(subject)["nothing_to_do"] == 0.1


@given(st.integers(1, 60), st.data())
def test_how_many_tasks_may_ask_for_nothing_is_judged_with_what_few_tasks_do_not_tell(n, data):
    num = data.draw(st.integers(0, n))
    said = {str(i): 1.0 for i in range(num)}
    subject = types.SimpleNamespace(asks_nothing=said, starts=range(n))
    is_many = num > 0 and tail(num, n, FREE) < ALPHA
    assert _apart(subject) == ({} if is_many else said)


def test_two_of_eight_tasks_that_ask_for_nothing_are_no_alarm():
    class Quarter(Lamps):
        """Two of the first eight tasks, and a tenth of all, want what holds already."""

        def make_task(self, split, index):
            self.idle = 1 if index in (0, 1) or index % 10 == 9 else 0
            return super().make_task(split, index)

    for n in (8, 40):
        points = judged(judge_floors, Quarter, n)
        assert {point.verdict for point in points.values()} <= {"pass", "not judged"}, points
        assert "counted apart" in points["floor.nothing"].reason


def test_where_every_task_asks_for_nothing_nothing_is_judged():
    class Always(Lamps):
        """Wants what holds already."""

        idle = 1

    point = floor_of_nothing(Always, 2)
    assert point.verdict == "not judged"
    assert "Each of 2 tasks asks for nothing" in point.reason
    assert floor_of_nothing(Always, 3).verdict == "fail"


def test_what_one_task_of_eight_is_paid_besides_is_chance():
    class Often(Lamps):
        """Saying nothing solves three tasks of eight; one more is solved by any other words."""

        def is_right(self, text):
            kind = int(self.task.key.rpartition("/")[2]) % 8
            return kind < 3 or (kind == 3 and "Done" in text)

    points = judged(judge_floors, Often, 8)
    assert points["floor.nothing"].verdict in ("warn", "fail")
    assert points["floor.done"].verdict == "pass"
    assert "paid as much" in points["floor.done"].reason


@pytest.mark.parametrize("env", [Silent, MostlyIdle])
def test_they_are_not_where_it_does_not_or_where_there_are_many(env):
    point = floor_of_nothing(env)
    assert point.verdict in ("warn", "fail")
    assert "counted apart" not in point.reason


def test_what_is_paid_besides_is_found_all_the_same():
    class Generous(Lamps):
        """Every tenth task asks for nothing; half of the others are paid for nothing."""

        idle = 10

        def is_right(self, text):
            return super().is_right(text) or self.task.data["floor"] < 2

    point = floor_of_nothing(Generous)
    assert point.verdict == "fail"
    assert "counted apart" in point.reason


def test_of_a_task_that_asks_for_nothing_in_part_the_rest_counts():
    class Parts(Lamps):
        """Pays a quarter for nothing in every task, and says that this is so."""

        def _act(self, action):
            turn = super()._act(action)
            if turn.terminated:
                turn.metrics = {"nothing_to_do": self.part}
                turn.reward = max(turn.reward, 0.15)
            return turn

    class Right(Parts):
        """Says what it pays."""

        part = 0.15

    class TooLittle(Parts):
        """Says less than it pays."""

        part = 0.05

    assert floor_of_nothing(Right).verdict == "pass"
    point = floor_of_nothing(TooLittle)
    assert point.verdict in ("warn", "fail")
    assert "11 % of the full return" in point.reason
