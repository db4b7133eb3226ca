"""The environment under audit: what agents of the panel do in a task does not follow from how many tasks are played."""

import pytest

from palaestra.envs import list_envs
from palaestra.envs.audit import Subject
from palaestra.envs.audit.effort import EFFORTS
from palaestra.envs.audit.panel import PANEL, plays_of
from palaestra.envs.audit.play import as_text
from palaestra.envs.registration import conditions

OURS = [e for e in list_envs() if e.startswith("palaestra/") and conditions(e).cost == "cheap"]  # an engine's take minutes
TEXTCRAFT = "palaestra/TextCraft-v0"


@pytest.mark.parametrize("split", ["test", "train"])
@pytest.mark.parametrize("env_id", OURS)
def test_what_is_learnt_from_the_expert_is_the_same_however_few_tasks_are_played(env_id, split):
    few, more = (Subject(env_id, n=n, wanted_split=split) for n in (2, 5))
    lessons = [[(plan.start.key, [*map(as_text, plan.actions)]) for plan in subject.lessons] for subject in (few, more)]
    assert lessons[0] == lessons[1]
    assert len(lessons[0]) > EFFORTS["cheap"].lessons / 2
    assert all(plan.start.split == "train" for plan in few.lessons)


@pytest.mark.parametrize("split", ["test", "train"])
def test_every_agent_plays_a_task_alike_however_many_follow(split):
    few, more = (Subject(TEXTCRAFT, n=n, wanted_split=split) for n in (3, 60))
    for member in PANEL:
        played = [[[*map(as_text, play.actions)] for play in plays_of(subject, member)[:3]] for subject in (few, more)]
        assert played[0] == played[1], member.name


def test_without_an_expert_nothing_is_learnt_and_nothing_more_is_played():
    subject = Subject("CartPole-v1", n=2)
    assert subject.lessons == ()
