"""Do the splits meet? Near-duplicates between training and test tasks, and how many different goals there are.

Two tasks are the same if they have the same record, or the same first observation and the same solution. They are
near-duplicates if they have the same solution and ask for it in words that mean as much: the words that few other tasks
have (the *goal words*; Sparck Jones 1972, inverse document frequency) are shared. Templates that all tasks share weigh
nothing, so that "Cancel 'Winter tasting'" and "Cancel 'Spring tasting'" are two tasks.

Of tasks that a seed draws, the record says only which one it is. They are worlds: two are the same if they also begin alike.
The same mission in another room is another task; how many different missions there are is told next to it.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from palaestra.envs.audit.card import Point, failed, not_judged, passed, warned
from palaestra.envs.audit.figures import few
from palaestra.envs.audit.play import Start, as_text, replay
from palaestra.envs.audit.subject import Subject, expert_policy
from palaestra.envs.audit.texts import excerpt, leaves, normal, words
from palaestra.envs.core.snapshots import digest
from palaestra.envs.core.tasks import Task
from palaestra.types import Json, plain

TRAIN_FACTOR = 8
"""Training tasks that are looked at, for each test task."""
DRAWN, EPISODES = 6, 20  # where there are no tasks
NEAR, NEAR_COMMON = 0.6, 0.85
"""Share of the goal words' weight that near-duplicates have in common, of the task that has fewer; more where many tasks have
the same solution, which then says little."""
MORE = 0.8
"""What suffices of the task that has more goal words, for each share of the other."""
SOME = 0.01
"""Share of near-duplicates that is found among any tasks: "on" for "off" while it is on, say."""
COMMON_PLAN = 0.01
"""Share of tasks with the same solution from which on it says little."""
SAME_SHINGLES = 0.9
"""Share of three-word stretches that the texts of near-duplicates have in common where there is no solution to compare."""
NAMED = 0.5
"""Share of the goal words' weight that the things of a common solution have which both texts name, of the lesser."""
SAME_VALUES, MIN_VALUES, MAX_VALUES = 0.75, 3, 400
"""Share of values that the records of near-duplicates have in common, how many that has to be, and how many are looked at."""
MIN_GOALS = 0.5
"""Different goals for each task of a split, below which the card warns."""

_IDS = frozenset({"id", "key", "uid", "uuid", "index", "number", "split", "name_id", "task_id", "n", "idx"})
_SEED = re.compile(r"(^|_)seed$", re.IGNORECASE)
_MISSION = re.compile(r"^\W*(?:(?:your|the|current|this)\s+)?(?:goal|task|mission|question|request|objective)s?\b.*\w", re.I)


@dataclass
class _Record:
    """A task as it is compared.

    Attributes:
        task: The task.
        text: Its first observation.
        data: Digest of what its record holds in addition to names and numbers; empty if nothing.
        plan: What the expert does, as one normal text; empty where it knows nothing.
        words: Words of the first observation.
        values: Values of its record, with their paths.
        is_drawn: Whether a seed draws it: its record has one, or says no more than its key.
    """

    task: Task
    text: str
    data: str
    plan: str
    words: frozenset[str] = field(default_factory=frozenset)
    values: frozenset[tuple[str, str]] = field(default_factory=frozenset)
    is_drawn: bool = False

    @property
    def mission(self) -> str:
        """The line of the first observation that says what is asked for, if there are others; else empty."""
        lines = [line for line in map(str.strip, self.text.splitlines()) if line]
        return next((normal(line) for line in lines if _MISSION.match(line)), "") if len(lines) > 1 else ""

    @property
    def goal(self) -> tuple[str, str]:
        """What tells this task from others."""
        return (self.plan or self.data, normal(self.text))


def judge(subject: Subject) -> list[Point]:
    """Compare the tasks of all splits.

    Args:
        subject: The environment under audit.

    Returns:
        The points "splits.overlap" (same tasks, and the same in other words) and "splits.goals" (different goals by split).
    """
    if not subject.splits:
        return [not_judged("splits.overlap", "There are no tasks, so there are no splits to compare."), _episodes(subject)]
    filled = [split for split, size in subject.splits.items() if size != 0]
    held_out = _held_out(filled)
    records = {split: _records(subject, split, _budget(subject, is_test=split == held_out)) for split in filled}
    points = [_goals(records, subject.splits)]
    if len(filled) < 2:
        reason = f"There is one split, {filled[0]!r}: nothing is held out." if filled else "No split holds a task."
        return [not_judged("splits.overlap", reason), *points]
    return [_overlap(records, held_out), *points]


def _held_out(splits: Sequence[str]) -> str:
    """Return the split that others are compared with."""
    return next(
        (name for name in ("test", "eval", "validation", "dev", "val") if name in splits), splits[-1] if splits else ""
    )


def _budget(subject: Subject, *, is_test: bool) -> int:
    """Return how many tasks of a split are looked at."""
    most = subject.effort
    tests = min(most.held_out, max(2 * subject.n, 20))
    return tests if is_test else min(most.others, TRAIN_FACTOR * tests)


def _records(subject: Subject, split: str, n: int) -> list[_Record]:
    """Begin the first tasks of a split, and solve them where the expert can."""
    records = []
    for index, task in enumerate(subject.tasks(split, n)):
        start = Start(index, task.key, split, task.type, 0, task)
        played = subject.play(start, expert_policy())
        if played.ended == "error" and not played.steps:
            continue  # the ceiling says what is wrong with it
        text = played.observation if isinstance(played.observation, str) else as_text(played.observation)
        plan = " ; ".join(normal(as_text(action)) for action in played.actions)
        held = islice(leaves(dict(task.data), decode=False), MAX_VALUES)
        values = frozenset((leaf.path, leaf.value) for leaf in held)
        says_less = _only_names(task, values)
        is_drawn = says_less or any(_SEED.search(str(name)) for name in task.data)
        data = "" if says_less else _fingerprint(task)
        records.append(_Record(task, text, data, plan, frozenset(words(text)), values, is_drawn))
    return records


def _fingerprint(task: Task) -> str:
    """Return a digest of a task's record without its names and numbers; empty if nothing is left."""
    names = {task.key, task.split, *re.findall(r"\d+", task.key)}
    left = _without_names(plain(dict(task.data)), names)
    return digest(left) if left else ""


def _without_names(value: Json, names: Collection[str], *, top: bool = True) -> Any:
    """Return data without entries that only say which task it is."""
    if not isinstance(value, Mapping):
        return value
    return {
        key: item
        for key, item in value.items()
        if _SEED.search(str(key))
        or (str(key).casefold() not in _IDS and not (top and isinstance(item, (str, int)) and str(item) in names))
    }


def _only_names(task: Task, values: Collection[tuple[str, str]]) -> bool:
    """Whether the record of a task says no more than its key: a kind and a number, from which a generator draws the rest."""
    key = normal(task.key)
    return bool(values) and all(normal(value) in key for _, value in values)


# -- overlap ----------------------------------------------------------------------------------------------------------


def _overlap(records: Mapping[str, list[_Record]], held_out: str) -> Point:
    """Compare the tasks that are held out with all others."""
    tests = records[held_out]
    others = [record for split, found in records.items() if split != held_out for record in found]
    if not tests or not others:
        return not_judged("splits.overlap", "No task of one of the splits could be begun.")
    misplaced = [r.task.key for split, found in records.items() for r in found if r.task.split != split]
    weights = _weights([*tests, *others])
    exact, near = [], []
    index = _Index(others, weights)
    for test in tests:
        if (twin := index.same(test)) is not None:
            exact.append((test, twin))
        elif (twin := index.near(test)) is not None:
            near.append((test, twin))
    evidence: dict[str, Json] = {
        "held_out": held_out,
        "compared": {split: len(found) for split, found in records.items()},
        "same": [_pair(*pair) for pair in exact[:5]],
        "near": [_pair(*pair) for pair in near[:5]],
    }
    found = []
    if exact:
        found.append(f"{len(exact)} of {len(tests)} tasks of {held_out!r} are in another split ({_keys(exact)})")
    if len(near) > SOME * len(tests):
        found.append(f"{len(near)} of {len(tests)} are there in other words ({_keys(near)})")
    if misplaced:
        found.append(f"{len(misplaced)} tasks say that they belong to another split ({few(misplaced)})")
    if found:
        return failed("splits.overlap", f"{'; '.join(found)}.", **evidence)
    known = {record.mission for record in others}
    again = sum(bool(test.mission) and test.mission in known for test in tests)
    said = f"; {again} of them ask in another world what some of these ask" if again else ""
    reason = f"No task of {len(tests)} in {held_out!r} is among {len(others)} others{said}."
    return passed("splits.overlap", reason, **evidence, asked_elsewhere=again)


class _Index:
    """Finds the other tasks that a task may be the same as."""

    def __init__(self, records: Sequence[_Record], weights: Mapping[str, float]) -> None:
        self._weights = weights
        plans = Counter(record.plan for record in records)
        most = max(3, COMMON_PLAN * len(records))
        self._common = {plan for plan, count in plans.items() if count > most}
        of_many = {data for data, count in Counter(record.data for record in records).items() if count > most}
        self._by_key, self._by_data, self._by_text, self._by_plan = {}, {}, defaultdict(list), defaultdict(list)
        self._by_word: dict[str, list[_Record]] = defaultdict(list)
        for record in records:
            self._by_key[record.task.key] = record
            if record.data and record.data not in of_many:  # what many have, e.g. the kind of a task, tells none
                self._by_data[record.data] = record
            self._by_text[normal(record.text)].append(record)
            if record.plan:
                self._by_plan[record.plan].append(record)
            elif record.words:
                self._by_word[max(record.words, key=lambda word: (weights[word], word))].append(record)

    _by_key: dict[str, _Record]
    _by_data: dict[str, _Record]
    _by_text: dict[str, list[_Record]]
    _by_plan: dict[str, list[_Record]]

    def same(self, record: _Record) -> _Record | None:
        """Return a task with the same record, or with the same first observation and solution."""
        if (twin := self._by_key.get(record.task.key)) is not None:
            return twin
        if (twin := self._by_data.get(record.data or "-")) is not None and record.plan == twin.plan:
            return twin
        alike = self._by_text.get(normal(record.text), ())
        return next((twin for twin in alike if (twin.plan or twin.data) == (record.plan or record.data)), None)

    def near(self, record: _Record) -> _Record | None:
        """Return a task with the same solution whose text shares the goal words, or without solutions nearly the same text."""
        if record.plan:
            wanted = NEAR_COMMON if record.plan in self._common else NEAR
            for twin in self._by_plan.get(record.plan, ()):
                if record.is_drawn and twin.is_drawn:
                    if _begin_alike(record, twin):
                        return twin
                    continue
                if self._shared(record, twin) >= wanted and not _other_figures(record, twin):
                    return twin
                if record.plan not in self._common and (_same_values(record, twin) or self._named_alike(record, twin)):
                    return twin
            return None
        for word in record.words:
            for twin in self._by_word.get(word, ()):
                if _shingles_shared(record.text, twin.text) >= SAME_SHINGLES and self._shared(record, twin) >= SAME_SHINGLES:
                    return twin
        return None

    def _named_alike(self, a: _Record, b: _Record) -> bool:
        """Whether two texts name the same things of the solution that they have in common, and those are much of one."""
        told = set(words(a.plan))
        named = a.words & told
        least = NAMED * min(sum(self._weights[word] for word in one.words) for one in (a, b))
        is_much = len(named) > 1 and sum(self._weights[word] for word in named) >= least > 0
        return is_much and named == b.words & told and not _other_figures(a, b)

    def _shared(self, a: _Record, b: _Record) -> float:
        """Return the weight of the words that two tasks share, as a share of the one that has less."""
        weights = self._weights
        less, more = sorted(sum(weights[w] for w in one.words) for one in (a, b))
        shared = sum(weights[w] for w in a.words & b.words)
        return min(shared / less, shared / more / MORE) if less > 0 else 0.0


def _same_values(a: _Record, b: _Record) -> bool:
    """Whether the records of two tasks hold nearly the same values (Jaccard index)."""
    return len(a.values & b.values) >= max(MIN_VALUES, SAME_VALUES * len(a.values | b.values))


def _begin_alike(a: _Record, b: _Record) -> bool:
    """Whether the texts of two tasks are nearly the same, with the same figures in the same order."""
    figures = [[word for word in words(one.text) if any(map(str.isdigit, word))] for one in (a, b)]
    return figures[0] == figures[1] and _shingles_shared(a.text, b.text) >= SAME_SHINGLES


def _other_figures(a: _Record, b: _Record) -> bool:
    """Whether both tasks have figures, dates or names with digits that the other has not, and the solution does not tell."""
    told = set(words(a.plan))
    differing = (a.words - b.words - told, b.words - a.words - told)
    return all(any(any(map(str.isdigit, word)) for word in only) for only in differing)


def _weights(records: Sequence[_Record]) -> dict[str, float]:
    """Return the information of each word: the logarithm of one over the share of tasks that have it."""
    counts = Counter(word for record in records for word in record.words)
    return {word: math.log(len(records) / count) for word, count in counts.items()}


def _shingles_shared(a: str, b: str) -> float:
    """Return the Jaccard index of the three-word stretches of two texts (Broder 1997)."""
    first, second = ({tuple(found[i : i + 3]) for i in range(max(1, len(found) - 2))} for found in (words(a), words(b)))
    return len(first & second) / len(first | second) if first | second else 1.0


# -- goals ------------------------------------------------------------------------------------------------------------


def _goals(records: Mapping[str, list[_Record]], sizes: Mapping[str, int | None]) -> Point:
    """Count the different goals of each split."""
    counts = {split: (len({record.goal for record in found}), len(found)) for split, found in records.items() if found}
    missions = {split: len({record.mission for record in records[split]} - {""}) for split in counts}
    evidence: dict[str, Json] = {
        split: {"tasks": num, "goals": goals, "missions": missions[split] or None, "size": sizes.get(split)}
        for split, (goals, num) in counts.items()
    }
    shown = ", ".join(f"{goals} in {num} of {split!r}" for split, (goals, num) in counts.items())
    asked = ", ".join(f"{missions[split]} in {num} of {split!r}" for split, (_, num) in counts.items() if missions[split])
    if not counts:
        return not_judged("splits.goals", "No task could be begun.")
    single = [split for split, (goals, num) in counts.items() if goals == 1 and num > 1]
    if single:
        return failed("splits.goals", f"All tasks of {few(single)} are equal: {shown} tasks.", **evidence)
    if lone := [split for split, (_, num) in counts.items() if num == 1]:
        return warned("splits.goals", f"There is a single task in {few(lone)}; nothing can be said about others.", **evidence)
    equal = [split for split, (goals, num) in counts.items() if goals < MIN_GOALS * num]
    if equal:
        return warned("splits.goals", f"Many tasks of {few(equal)} are equal; different goals: {shown} tasks.", **evidence)
    said = f" Lines that say what is asked for: {asked} tasks are different." if asked else ""
    return passed("splits.goals", f"Different goals: {shown} tasks.{said}", **evidence)


def _episodes(subject: Subject) -> Point:
    """Count the different episodes of an environment without tasks: what is told at the start and after the same actions."""
    subject.env.action_space.seed(subject.seed)
    actions = [subject.env.action_space.sample() for _ in range(DRAWN)]
    told = set()
    for start in subject.starts[:EPISODES]:
        played = subject.play(start, replay(actions))
        rest = [(str(step.observation), step.reward) for step in played.steps]
        told.add(digest([str(played.observation), rest]))
    num = min(len(subject.starts), EPISODES)
    if num < 2:
        return not_judged("splits.goals", f"{num} episodes were to be played; at least 2 can be compared.")
    if len(told) == 1:
        reason = f"Episodes of {num} seeds are all equal, at the start and after the same {DRAWN} actions."
        return warned("splits.goals", reason, episodes=num, different=1)
    return passed("splits.goals", f"{len(told)} different episodes with {num} seeds.", episodes=num, different=len(told))


def _pair(test: _Record, twin: _Record) -> Json:
    """Return two tasks as evidence."""
    return {
        "test": test.task.key,
        "other": twin.task.key,
        "test_text": excerpt(test.text[-300:], width=200),
        "other_text": excerpt(twin.text[-300:], width=200),
    }


def _keys(pairs: Sequence[tuple[_Record, _Record]]) -> str:
    """Name some pairs."""
    return few([f"{test.task.key} is {twin.task.key}" for test, twin in pairs])


__all__ = ["judge"]
