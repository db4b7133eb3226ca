"""The vandal: it breaks what the plan leaves alone, and an environment that pays it is told so."""

from palaestra.envs.audit.effort import EFFORTS
from palaestra.envs.audit.vandal import damage, judge_vandal, vandals
from tests.envs.audit.toys import LAMPS, Lamps, audited, judged


class Blind(Lamps):
    """Looks at the wanted lamps only."""

    def is_right(self, text):
        return all(self.lit[name] for name in self.task.data["wanted"])


def test_it_solves_the_task_and_breaks_something_else():
    with audited(Blind, n=8) as subject:
        plans = {plan.start.key: plan for plan in subject.solved}
        played = vandals(subject)
        assert len(played) == 8
        for play in played:
            plan = plans[play.start.key]
            assert len(play.actions) == len(plan.actions) + 1
            assert [action for action in play.actions if action in plan.actions] == plan.actions
            (path,) = damage(plan, play)
            assert path[1:] in LAMPS
            assert path[1:] not in plan.start.task.data["wanted"]


def test_an_environment_that_pays_it_fails_with_what_was_broken():
    point = judged(judge_vandal, Blind)["vandal"]
    assert point.verdict == "fail"
    assert "100 % of 12 tasks" in point.reason
    assert any(f"/{name}" in point.reason for name in LAMPS)


def test_an_environment_that_notices_passes():
    point = judged(judge_vandal, Lamps)["vandal"]
    assert point.verdict == "pass"
    assert "0 % of 12 tasks" in point.reason


def test_one_that_pays_it_sometimes_warns():
    class Sometimes(Lamps):
        """Is blind in every fourth task."""

        def is_right(self, text):
            return super().is_right(text) or (self.task.data["floor"] == 0 and Blind.is_right(self, text))

    assert judged(judge_vandal, Sometimes, n=16)["vandal"].verdict == "warn"


def test_it_plays_a_few_tasks_only():
    with audited(Blind, n=EFFORTS["cheap"].spoiled + 5) as subject:
        assert len(vandals(subject)) == EFFORTS["cheap"].spoiled


def test_where_nothing_can_be_broken_or_seen_it_is_said():
    class Fresh(Lamps):
        """Begins in the dark, and nothing can be switched off or stay on by mistake."""

        def _begin(self, task):
            text = super()._begin(task)
            self.lit = {}
            return text

        def expert(self):
            yield from (f"on {name}" for name in self.task.data["wanted"])
            yield "All lamps are set."

        def is_right(self, text):
            return set(self.task.data["wanted"]) <= set(self.lit)

    class Sealed(Lamps):
        """Gives no snapshot."""

        def snapshot(self):
            raise NotImplementedError("no snapshots here")

    class NoExpert(Lamps):
        """Knows no solution."""

        def expert(self):
            yield from ()

    assert "Does not apply" in judged(judge_vandal, Fresh, n=3)["vandal"].reason
    sealed = judged(judge_vandal, Sealed, n=3)["vandal"]
    assert (sealed.verdict, "no snapshot()" in sealed.reason) == ("not judged", True)
    assert judged(judge_vandal, NoExpert, n=3)["vandal"].verdict == "not judged"
