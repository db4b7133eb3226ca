"""The return of a solved episode: what is declared, or where it varies more than an episode brings that is not solved."""

from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.audit.ceiling import judge_ceiling
from palaestra.envs.audit.rewards import judge_episodes
from tests.envs.audit.toys import Lamps, audited


def returns(env, n=12):
    """Return the two points about returns, judged after everything else was played."""
    with audited(env, n) as subject:
        points = {point.name: point for point in (*judge_ceiling(subject), *judge_episodes(subject))}
    return points["ceiling.return"], points["reward.bound"]


class Paid(Lamps):
    """Pays for a solution what follows from the number of the task, and something for what is not solved."""

    solved = (0.5, 0.25, 1.0)
    unsolved = 0.0

    def _act(self, action):
        turn = super()._act(action)
        if turn.terminated:
            number = int(self.task.key.rpartition("/")[2])
            turn.reward = self.solved[number % len(self.solved)] if turn.success else self.unsolved
        return turn


class Varying(Paid):
    """Declares that what a solved task brings varies."""

    full_return = None


class Undeclared(Paid):
    """Declares something that is not a number."""

    full_return = "1"


def test_a_return_that_varies_and_keeps_its_order_passes_both():
    ceiling, bound = returns(Varying)
    assert (ceiling.verdict, bound.verdict) == ("pass", "pass")
    assert "varies" in ceiling.reason


def test_the_same_return_is_wrong_where_one_number_is_declared_and_unknown_where_none_is():
    ceiling, bound = returns(Paid)
    assert (ceiling.verdict, bound.verdict) == ("fail", "pass")
    assert [point.verdict for point in returns(Undeclared)] == ["not judged", "not judged"]


def test_a_solution_that_brings_nothing_or_no_more_than_what_is_not_solved_is_named():
    class Free(Varying):
        """A third of the tasks bring nothing."""

        solved = (0.0, 0.5, 1.0)

    class Equal(Varying):
        """What is not solved brings as much as the least solution."""

        unsolved = 0.25

    class More(Varying):
        """What is not solved brings more than any solution."""

        unsolved = 2.0

    class Less(Varying):
        """What is not solved costs something."""

        unsolved = -1.0

    found = {env: tuple(point.verdict for point in returns(env)) for env in (Free, Equal, More, Less)}
    assert found == {Free: ("fail", "pass"), Equal: ("fail", "pass"), More: ("fail", "fail"), Less: ("pass", "warn")}
    assert "4 of 12 solved episodes" in returns(Equal)[0].reason


@settings(max_examples=25)
@given(st.floats(0.1, 1), st.floats(0, 1))
def test_what_is_not_solved_must_bring_less_than_each_solution(least, unsolved):
    class Drawn(Varying):
        """Pays what was drawn."""

    Drawn.solved, Drawn.unsolved = (least, 1.0), unsolved
    ceiling, bound = returns(Drawn, 2)
    assert (ceiling.verdict == "pass") == (least > unsolved + 1e-9)
    assert (bound.verdict == "pass") == (unsolved <= least + 1e-6)


def test_where_the_expert_solves_nothing_a_return_that_varies_is_not_judged():
    class Lost(Varying):
        """Is never solved."""

        def is_right(self, text):
            del text
            return False

    assert [point.verdict for point in returns(Lost)] == ["not judged", "not judged"]
