"""What the audit says about splits."""

from __future__ import annotations

import gymnasium
import pytest

from palaestra.envs.audit import Subject, splits
from palaestra.envs.core.tasks import FixedTasks, Task
from palaestra.envs.core.text_env import TextEnv, Turn

THINGS = [("Ann", "milk"), ("Bo", "tea"), ("Cy", "rice")] * 4
TRAIN = [f"Bring {name} {thing} number {n}." for n, (name, thing) in enumerate(THINGS)]


class Bring(TextEnv):
    """Tasks whose text and plan are given."""

    def __init__(self, rows, **kwargs):
        tasks = [Task(key, split, "", {"text": text, "plan": plan}) for key, split, text, plan in rows]
        super().__init__(FixedTasks(tasks, splits=("train", "test")), **kwargs)

    def expert(self):
        yield self.task.data["plan"]

    def _begin(self, task):
        return task.data["text"]

    def _act(self, action):
        is_right = action == self.task.data["plan"]
        return Turn("", float(is_right), True, is_right)

    def _save(self):
        return {}

    def _load(self, task, state):
        pass


def judged(*tests):
    train = [(f"train/{i}", "train", text, f"bring {text[6:-1].lower()}") for i, text in enumerate(TRAIN)]
    rows = train + [(f"test/{i}", "test", text, plan) for i, (text, plan) in enumerate(tests)]
    if "tests/Bring-v0" in gymnasium.registry:
        gymnasium.registry.pop("tests/Bring-v0")
    gymnasium.register("tests/Bring-v0", entry_point=Bring, kwargs={"rows": rows})
    return {point.name: point for point in splits.judge(Subject("tests/Bring-v0", n=12))}


def test_other_tasks_of_the_same_form_are_other_tasks():
    points = judged(
        ("Bring Ann milk number 40.", "bring ann milk number 40"), ("Bring Bo tea number 41.", "bring bo tea number 41")
    )
    assert points["splits.overlap"].verdict == "pass"
    assert points["splits.goals"].verdict == "pass"


@pytest.mark.parametrize(
    "text",
    ["Bring Ann milk number 0.", "Please be so kind and bring Ann the milk with number 0.", "milk, number 0, for Ann: bring!"],
)
def test_the_same_task_in_the_same_or_other_words_is_found(text):
    point = judged((text, "bring ann milk number 0"), ("Bring Bo tea number 41.", "bring bo tea number 41"))["splits.overlap"]
    assert point.verdict == "fail"
    assert "test/0 is train/0" in point.reason


def test_equal_and_single_tasks_are_told():
    two = [("Bring Di jam number 50.", "bring di jam number 50")] * 2
    assert "All tasks of test are equal" in judged(*two)["splits.goals"].reason
    assert "single task" in judged(two[0])["splits.goals"].reason


def test_an_empty_split_is_not_judged():
    assert judged()["splits.overlap"].verdict == "not judged"
