"""Tasks of the desk, made by number: a request, the desk it starts from, the gold plan, and the desk it must end in.

Task *i* of a split is made alone, from (difficulty, split, i). Splits do not meet: every goal (an intent with the things
that it names) belongs by its hash to one split, and a task only takes goals of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from palaestra.envs.core.snapshots import digest
from palaestra.envs.core.tasks import GeneratedTasks, Task
from palaestra.envs.desk.intents import EASY_INTENTS, INTENTS, Intent
from palaestra.envs.desk.scene import Clash, Desk, Pick, Scene, Slots, request_data
from palaestra.envs.desk.world import DeskWorld
from palaestra.errors import EnvironmentFault, unknown_name
from palaestra.types import Json

SEED = 20310303
NUM_TEST_TASKS = 500
TEST_SHARE = 5  # one goal in five is kept for the test split
SPLITS = ("train", "test")


class Level(NamedTuple):
    """What a difficulty means.

    Attributes:
        intents: Names of the intents asked for.
        num_parts: Least and largest number of intents in one request.
        num_events: Least and largest number of events at the start.
        num_notes: The same for notes.
        num_contacts: The same for contacts.
        is_easy: Whether requests are short (dates as YYYY-MM-DD, texts of one word) and need the easy tools only.
        is_single: Whether titles and names are single words of one list, in quotes wherever they stand.
    """

    intents: tuple[str, ...]
    num_parts: tuple[int, int]
    num_events: tuple[int, int]
    num_notes: tuple[int, int]
    num_contacts: tuple[int, int]
    is_easy: bool = False
    is_single: bool = False


LEVELS = {  # a new one goes to the end: the place of a difficulty is part of the seed of its tasks
    "easy": Level(EASY_INTENTS, (1, 1), (1, 2), (1, 2), (1, 2), is_easy=True),
    "normal": Level(tuple(INTENTS), (1, 1), (5, 9), (3, 5), (4, 6)),
    "hard": Level(tuple(INTENTS), (2, 3), (8, 12), (5, 7), (6, 9)),
    "tiny": Level(EASY_INTENTS, (1, 1), (1, 2), (1, 2), (1, 2), is_easy=True, is_single=True),
}
"""Difficulties by name."""


def desk_tasks(difficulty: str) -> GeneratedTasks:
    """Return the tasks of a difficulty: "train" without end, and `NUM_TEST_TASKS` in "test".

    Raises:
        UnknownNameError: If there is no such difficulty.
    """
    if difficulty not in LEVELS:
        raise unknown_name("difficulty", difficulty, LEVELS)
    return GeneratedTasks(MakeTask(difficulty), {"train": None, "test": NUM_TEST_TASKS})


@dataclass(frozen=True)
class MakeTask:
    """The generator of a difficulty, as a value that pickles."""

    difficulty: str

    def __call__(self, split: str, index: int) -> Task:
        """Return task number `index` of `split`."""
        return make_task(self.difficulty, split, index)


@lru_cache(maxsize=1024)
def make_task(difficulty: str, split: str, index: int) -> Task:
    """Make one task.

    Args:
        difficulty: One of `LEVELS`.
        split: "train" or "test".
        index: Number of the task, from 0.
    """
    rng = np.random.default_rng([SEED, list(LEVELS).index(difficulty), SPLITS.index(split), index])
    last = Clash()
    for _ in range(1000):
        try:
            return _draw_task(rng, difficulty, split, index)
        except Clash as clash:  # e.g. two parts wanted the same hour or title: draw again from the same stream
            last = clash
    raise EnvironmentFault(
        f"No {difficulty} task {split}/{index} could be drawn in 1000 attempts; this is a fault of the desk. The last: {last}"
    )


def split_of(intent: str, slots: Slots) -> str:
    """Return the split that a goal belongs to."""
    return "test" if int(digest([intent, slots])[:8], 16) % TEST_SHARE == 0 else "train"


def _draw_task(rng: np.random.Generator, difficulty: str, split: str, index: int) -> Task:
    """Draw goals, furnish a scene for them, and solve it."""
    level = LEVELS[difficulty]
    pick = Pick(rng, is_easy=level.is_easy, is_single=level.is_single)
    goals = [(intent, _draw_slots(intent, pick, split)) for intent in _draw_intents(level, pick)]
    scene = Scene()
    for intent, slots in goals:
        intent.furnish(scene, slots, pick)
    scene.fill(pick, pick.between(*level.num_events), pick.between(*level.num_notes), pick.between(*level.num_contacts))
    start = scene.build(rng)
    desk = Desk(start.copy())
    answers = [intent.solve(desk, slots) for intent, slots in goals]
    data: dict[str, Json] = {
        "difficulty": difficulty,
        "request": _request(goals, pick),
        "goals": [[intent.name, slots] for intent, slots in goals],
        "world": start.to_json(),
        "plan": desk.plan,
        "content": desk.world.content(),
    }
    last = goals[-1][0]
    answer = answers[-1]
    if last.is_question and answer is not None:
        data["answer"] = {
            "gold": answer,
            "is_exact": last.is_exact,
            "others": _other_answers(last.name, answer, start, goals[-1][1]),
        }
    kind = last.name if len(goals) == 1 else f"{len(goals)}-parts"
    return Task(f"{split}/{index}", split, kind, data)


def _draw_intents(level: Level, pick: Pick) -> list[Intent]:
    """Draw the parts of a request: all different, a question only as the last."""
    num_parts = pick.between(*level.num_parts)
    order = [INTENTS[level.intents[int(i)]] for i in pick.rng.permutation(len(level.intents))]
    deeds = [intent for intent in order if not intent.is_question]
    return [*deeds[: num_parts - 1], next(intent for intent in order if intent not in deeds[: num_parts - 1])]


def _draw_slots(intent: Intent, pick: Pick, split: str) -> Slots:
    """Draw a goal of the right split."""
    while True:
        slots = intent.draw(pick)
        if split_of(intent.name, slots) == split:
            return slots


def _request(goals: list[tuple[Intent, Slots]], pick: Pick) -> str:
    """Put the goals into words."""
    phrases = []
    for intent, slots in goals:
        words: dict[str, Any] = dict(slots)
        if "date" in slots:
            words["day"] = pick.day_words(slots["date"])
        if pick.is_single and "name" in slots:
            words["name"] = f"'{slots['name']}'"  # so that it is never one token together with the space before it
        phrases.append(pick.one(request_data()["phrasings"][intent.name]).format(**words))
    if len(phrases) == 1:
        return str(phrases[0])
    lines = [pick.one(request_data()["joins"]["openings"])]
    return "\n".join(lines + [f"{number}. {phrase}" for number, phrase in enumerate(phrases, start=1)])


def _other_answers(intent: str, answer: str, world: DeskWorld, slots: Slots) -> list[str]:
    """Return answers to the same question about other things, so that a list of everything is not an answer."""
    if intent == "ask_email":
        values = [contact.email for contact in world.contacts.values()]
    elif intent == "ask_phone":
        values = [contact.phone for contact in world.contacts.values()]
    elif intent == "ask_first_event":
        values = [event.title for event in world.day(slots["date"])]
    else:
        values = []  # exact answers need none
    return [value for value in values if value != answer]


__all__ = ["LEVELS", "NUM_TEST_TASKS", "desk_tasks", "make_task", "split_of"]
