"""What the audit says about splits."""

from __future__ import annotations

import gymnasium
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


class Rooms(TextEnv):
    """Tasks drawn by a seed: one of two missions, in rooms that differ in a few figures."""

    def __init__(self, seeds, missions, named="seed", **kwargs):
        rows = [(split, seed) for split, found in seeds.items() for seed in found]
        tasks = [Task(f"go-{named}/{split}-{seed}", split, "", {"kind": "go", named: seed}) for split, seed in rows]
        self.missions, self.named = missions, named
        super().__init__(FixedTasks(tasks, splits=("train", "test")), **kwargs)

    def expert(self):
        yield f"go to the {self.colour(self.task)} ball"

    def colour(self, task):
        return ("red", "blue")[task.data[self.named] % self.missions]

    def _begin(self, task):
        ahead, aside = divmod(task.data[self.named] % 50, 7)
        colour = self.colour(task)
        return (
            f"Your goal: go to the {colour} ball.\nThe {colour} ball is {ahead} steps in front of you and {aside} steps aside."
        )

    def _act(self, action):
        is_right = action == f"go to the {self.colour(self.task)} ball"
        return Turn("", float(is_right), True, is_right)

    def _save(self):
        return {}

    def _load(self, task, state):
        pass


def of_rooms(train, test, **options):
    """Return the points of rooms of some seeds."""
    if "tests/Rooms-v0" in gymnasium.registry:
        gymnasium.registry.pop("tests/Rooms-v0")
    kwargs = {"seeds": {"train": train, "test": test}, "missions": 2, **options}
    gymnasium.register("tests/Rooms-v0", entry_point=Rooms, kwargs=kwargs)
    return {point.name: point for point in splits.judge(Subject("tests/Rooms-v0", n=12))}


def test_equal_missions_in_other_worlds_are_other_tasks_and_are_counted():
    points = of_rooms(range(20), range(20, 40))
    assert points["splits.overlap"].verdict == "pass", points["splits.overlap"].reason
    assert "20 of them ask in another world what some of these ask" in points["splits.overlap"].reason
    assert points["splits.overlap"].evidence["asked_elsewhere"] == 20
    assert "2 in 20 of 'train', 2 in 20 of 'test' tasks are different" in points["splits.goals"].reason
    assert points["splits.goals"].evidence["test"]["missions"] == 2


@given(
    st.sets(st.integers(0, 40), min_size=4, max_size=12), st.sets(st.integers(0, 40), min_size=4, max_size=12), st.booleans()
)
def test_worlds_that_a_seed_draws_overlap_where_they_begin_alike_and_nowhere_else(train, test, is_moved):
    """Seeds that differ by 50 draw the same room, so that no record says that two tasks are the same."""
    held_out = {seed + 50 * is_moved for seed in test}
    points = of_rooms(sorted(train), sorted(held_out), missions=1)
    shared = {seed % 50 for seed in held_out} & train
    assert points["splits.overlap"].verdict == ("fail" if shared else "pass"), points["splits.overlap"].reason
    if shared:
        assert f"{len(shared)} of {len(test)} tasks of 'test' are in another split" in points["splits.overlap"].reason


def test_what_many_records_hold_does_not_make_their_tasks_the_same():
    points = of_rooms(range(20), range(20, 40), named="number")
    assert points["splits.overlap"].verdict == "pass", points["splits.overlap"].reason
    assert of_rooms(range(20), range(70, 90), named="number")["splits.overlap"].verdict == "pass"
    assert of_rooms(range(20), range(60, 80), named="number")["splits.overlap"].verdict == "fail"  # 10 rooms are the same
