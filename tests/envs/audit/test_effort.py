"""An audit plays less where a step costs more, and its floors do not follow from how much."""

import itertools
import math
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.audit import audit, audit_environment, audit_splits, changes, flips, pace, stability, vandal
from palaestra.envs.audit import subject as subjects
from palaestra.envs.audit.card import Card
from palaestra.envs.audit.effort import EFFORTS, Level
from palaestra.envs.audit.figures import success_rate
from palaestra.envs.audit.pace import BUDGET_S, Pace, level_at, level_of, pace_of
from palaestra.envs.audit.pages import card_page
from palaestra.envs.audit.play import Play, Start, Step
from palaestra.envs.audit.shipped import short
from palaestra.envs.audit.subject import Subject
from palaestra.envs.core.text_env import Turn
from palaestra.envs.registration import Cost, _conditions, conditions
from palaestra.errors import UnknownNameError
from tests.envs.audit.test_bad_input import Empty, RaisingAlways
from tests.envs.audit.toys import Lamps, audited, registered

TEXTCRAFT = "palaestra/TextCraft-v0"


@pytest.fixture
def on_an_engine(monkeypatch):
    """Let a step of TextCraft cost what one of an engine costs."""
    monkeypatch.setitem(_conditions, TEXTCRAFT, conditions(TEXTCRAFT)._replace(cost="engine"))


@pytest.fixture
def episodes(monkeypatch):
    """Count the episodes that a subject plays."""
    begun = []
    real = subjects.play
    monkeypatch.setattr(subjects, "play", lambda env, start, *a, **k: begun.append(start.key) or real(env, start, *a, **k))
    return begun


def test_what_costs_more_is_played_less():
    levels = list(EFFORTS)
    assert set(get_args(Cost)) <= set(levels) == set(get_args(Level))
    for more, less in itertools.pairwise(levels):
        assert all(a < b for a, b in zip(EFFORTS[less], EFFORTS[more], strict=True))
    assert min(EFFORTS[levels[-1]]) > 0
    with pytest.raises(UnknownNameError, match="TextCraft"):
        level_of("palaestra/TextCraf-v0", {})


def test_the_cost_of_an_id_says_how_many_tasks_are_played(on_an_engine, episodes):
    card = audit_environment(TEXTCRAFT)
    assert card.n == EFFORTS["engine"].tasks
    assert {figure.n for figure in card.floors.values() if figure.kind == "free"} == {card.n}
    assert len(episodes) < 1200
    before = len(episodes)
    assert audit_environment(TEXTCRAFT, 5).n == 5
    assert len(episodes) - before < before / 2


def test_the_card_of_an_engine_is_compared_with_a_shorter_audit(on_an_engine, episodes, monkeypatch):
    (card,) = audit_splits(TEXTCRAFT, 4, split="test")
    del episodes[:]
    monkeypatch.setattr("palaestra.envs.audit.cards.hashes_of", lambda env_id: {"code": "another"})
    assert changes(card) == []
    effort = EFFORTS["engine"]
    assert len(set(episodes)) <= effort.quick + 20 + effort.others


@pytest.mark.parametrize("judge", [flips.judge, stability.judge, vandal.judge_vandal])
def test_judges_that_play_tasks_again_play_fewer(judge, episodes, monkeypatch):
    counts = {}
    for cost in ("cheap", "browser"):
        monkeypatch.setitem(_conditions, TEXTCRAFT, conditions(TEXTCRAFT)._replace(cost=cost))
        subject = Subject(TEXTCRAFT, n=12)
        assert subject.plans
        del episodes[:]
        assert all(point.verdict != "fail" for point in judge(subject))
        counts[cost] = len(episodes)
        subject.close()
    assert counts["browser"] < counts["cheap"]


class Patient(Lamps):
    """Solves a task only after many words, and ends no other episode."""

    waits = 35

    def _begin(self, task):
        self.turn = 0
        return super()._begin(task)

    def expert(self):
        for _ in range(self.waits):
            yield "I wait."
        yield from super().expert()

    def _act(self, action):
        self.turn += 1
        text = action if isinstance(action, str) else action.content
        if text.partition(" ")[0] not in ("on", "off") and self.turn < (self.waits if "All" in text else 1000):
            return Turn("Time passes.")
        return super()._act(action)

    def _save(self):
        return {"lit": dict(self.lit), "turn": self.turn}

    def _load(self, task, state):
        del task
        self.lit, self.turn = dict(state["lit"]), state["turn"]


def test_episodes_of_the_panel_are_cut_and_count_as_not_solved_those_of_the_expert_are_not(monkeypatch):
    monkeypatch.setattr(audit, "JUDGES", [one for one in audit.JUDGES if one.name in ("floor", "near", "ceiling", "episodes")])
    with registered(Patient, max_turns=50) as env_id:
        full, cut = (audit_environment(env_id, 2, effort=level) for level in ("engine", "slow"))
    points = {point.name: point for point in cut.points}
    assert cut.ceiling["success"] == 1
    assert cut.ceiling["steps"] > EFFORTS["slow"].actions
    nothing = cut.floors["nothing"]
    assert (nothing.success, nothing.n, nothing.cut) == (0, 2, 2)
    assert "2 were cut after 30 actions and count as not solved" in points["floor.nothing"].reason
    assert points["episodes.end"].verdict == "not judged"
    assert "cut after 30 actions, to save time" in points["episodes.end"].reason
    assert cut.sections["effort"]["actions"] == EFFORTS["slow"].actions
    assert all(figure.cut == 0 for name, figure in cut.floors.items() if figure.kind == "near")
    assert "cut after 30 actions" in card_page([cut])
    assert "2 (2 cut)" in card_page([cut])
    assert Card.from_json(cut.to_json()).floors["nothing"].cut == 2
    assert next(point for point in full.points if point.name == "episodes.end").verdict == "pass"
    assert all(figure.cut == 0 for figure in full.floors.values())


def test_an_episode_that_is_cut_after_it_was_a_success_counts():
    start = Start(0, "a", "", "", 0)
    said, unsaid, ended = ({"success": True}, {}, {"success": False})
    cut = [Play(start, steps=[Step("x", "", 0.0, info)], ended="cut") for info in (said, unsaid)]
    over = Play(start, steps=[Step("x", "", 0.0, ended)], ended="terminated")
    assert success_rate([*cut, over, over]) == 0.25
    assert success_rate(cut[1:]) is None  # it may never say


@pytest.mark.parametrize(("solution_s", "level"), [(0.001, "cheap"), (0.3, "engine"), (0.8, "browser"), (100.0, "slow")])
def test_a_solution_that_takes_long_is_played_less_often(solution_s, level):
    measured = Pace(solution_s, 0.0, 10)
    assert level_at(measured) == level
    levels = list(EFFORTS)
    for least in levels:
        assert level_at(measured, least) == max(level, least, key=levels.index)


@given(st.floats(0, 100), st.floats(0, 1), st.integers(0, 1000), st.floats(0, 100))
def test_less_effort_never_takes_longer_and_what_fits_is_chosen(solution_s, step_s, turns, fresh_s):
    measured = Pace(solution_s, step_s, turns, fresh_s)
    seconds = [measured.seconds(effort) for effort in EFFORTS.values()]
    assert seconds == sorted(seconds, reverse=True)
    chosen = level_at(measured)
    assert measured.seconds(EFFORTS[chosen]) <= BUDGET_S or chosen == "slow"


def test_the_level_follows_what_is_measured_and_the_card_is_compared_at_the_level_that_it_names(monkeypatch):
    monkeypatch.setattr(pace, "pace_of", lambda subject: Pace(1000.0, 0.0, 10))
    monkeypatch.setattr(audit, "JUDGES", [one for one in audit.JUDGES if one.name in ("floor", "ceiling")])
    (card,) = audit_splits(TEXTCRAFT, split="test")
    assert (card.n, card.sections["effort"]["level"]) == (EFFORTS["slow"].tasks, "slow")
    monkeypatch.setattr(pace, "pace_of", lambda subject: Pace(0.0, 0.0, 10))
    monkeypatch.setattr("palaestra.envs.audit.cards.hashes_of", lambda env_id: {"code": "another"})
    assert changes(Card.from_json(short(card))) == []
    assert "effort 'slow'" in card_page([card])


def test_an_environment_that_raises_or_has_no_tasks_is_measured():
    for env in (RaisingAlways, Empty, Lamps):
        with audited(env, n=3) as subject:
            measured = pace_of(subject)
            assert 0 <= measured.solution_s < math.inf
            assert 0 <= measured.step_s < math.inf
            assert measured.turns == (0 if env is Empty else subject.max_actions)
    assert level_of(TEXTCRAFT, {}) in EFFORTS


def test_that_a_task_is_played_for_the_first_time_is_measured(monkeypatch):
    clock = [0.0]

    class Watch:
        """Measures what the environment says that it took."""

        def __init__(self):
            self.begun = clock[0]

        def seconds(self):
            return clock[0] - self.begun

    class Reading(Lamps):
        """Reads the data of a task when it is played first, which takes half a second."""

        def _begin(self, task):
            known = self.__dict__.setdefault("known", set())
            clock[0] += 0.001 if task.key in known else 0.5
            known.add(task.key)
            return super()._begin(task)

    monkeypatch.setattr(pace, "_Watch", Watch)
    with registered(Reading) as env_id:
        assert level_of(env_id, {}) == "engine"
    with audited(Reading) as subject:
        measured = pace_of(subject)
    assert measured.solution_s == pytest.approx(0.001)
    assert measured.fresh_s == pytest.approx(0.499)
    with audited(Reading, n=1) as subject:
        assert pace_of(subject).turns > 0


def test_an_unknown_effort_is_refused():
    with pytest.raises(UnknownNameError, match="engine"):
        audit_environment(TEXTCRAFT, 1, effort="engin")
