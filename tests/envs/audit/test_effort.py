"""An audit plays less where a step costs more, and its floors do not follow from how much."""

import pytest

from palaestra.envs.audit import audit_environment, audit_splits, changes, flips, stability, vandal
from palaestra.envs.audit import subject as subjects
from palaestra.envs.audit.effort import EFFORTS, effort_of
from palaestra.envs.audit.subject import Subject
from palaestra.envs.registration import _conditions, conditions
from palaestra.errors import UnknownNameError

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
    for less, more in (("engine", "cheap"), ("browser", "engine")):
        assert all(a < b for a, b in zip(EFFORTS[less], EFFORTS[more], strict=True))
    assert min(EFFORTS["browser"]) > 0
    with pytest.raises(UnknownNameError, match="TextCraft"):
        effort_of("palaestra/TextCraf-v0")


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
