"""The generator of tasks: constraints, words for them, and answers that meet all of them or break one."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

from palaestra.envs.instructions.constraints import Constraint, check
from palaestra.envs.instructions.procedural.answer import write
from palaestra.envs.instructions.procedural.draw import PER_CATEGORY, draw_constraints, draw_kinds
from palaestra.envs.instructions.procedural.lexicon import TITLES, TOPICS, Topic
from palaestra.envs.instructions.procedural.plan import Impossible, plan_for
from palaestra.envs.instructions.reading.parse import parse
from palaestra.envs.instructions.tasks import Pattern, Task
from palaestra.errors import ConfigError, unknown_name

ALL_KINDS = tuple(kind for kinds in PER_CATEGORY.values() for kind in kinds)
"""The kinds of which tasks are made."""

MAX_ATTEMPTS = 500
"""Draws for one task; far more than are ever needed."""

REPAIRS = 5
"""How often an answer is written again before other constraints are drawn."""

_LEAD_INS = ("Keep to these rules:", "The answer must meet these requirements:", "Please follow these rules:")
_REQUESTS = ("Please {0}.", "Also, {0}.", "In doing so, {0}.", "Be sure to {0}.", "Remember to {0}.", "Then {0}.")
_STATEMENTS = ("Note that {0}.", "Also, {0}.", "Besides, {0}.", "Remember that {0}.", "Mind that {0}.", "Moreover, {0}.")
_STATED = ("the ", "each ")


class ProceduralGenerator:
    """Makes tasks from a seed, each with an answer that meets every constraint and near misses.

    Task number `n` depends on the seed and `n` alone. Every task that is yielded has been checked: its witness passes all
    constraints, near miss `i` fails constraint `i` and no other, and `parse` reads each sentence back to its typed form.

    Args:
        seed: Same seed, same tasks, on every platform.
        kinds: Kinds to use; all of `ALL_KINDS` by default.
        levels: Weight of each level, the number of categories of a task, 1 to 4; equal by default.
        patterns: Weight of each pattern; equal by default.

    Raises:
        UnknownNameError: If a kind is not made, or a pattern unknown.
        ConfigError: If no kind or no weight is left, or a level is not 1 to 4.

    Source: Ye et al. 2025, MulDimIF (arXiv:2505.07591), section 3.2; conflict test, witness and near misses are ours.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        kinds: Sequence[str] | None = None,
        levels: Mapping[int, float] | None = None,
        patterns: Mapping[Pattern, float] | None = None,
    ) -> None:
        """Check the arguments."""
        self.seed = seed
        self.kinds = tuple(kinds) if kinds is not None else ALL_KINDS
        for kind in self.kinds:
            if kind not in ALL_KINDS:
                raise unknown_name("kind of constraint that is made", kind, list(ALL_KINDS))
        self.levels = dict(levels) if levels is not None else dict.fromkeys((1, 2, 3, 4), 1.0)
        self.patterns = dict(patterns) if patterns is not None else dict.fromkeys(get_args(Pattern), 1.0)
        for pattern in self.patterns:
            if pattern not in get_args(Pattern):
                raise unknown_name("pattern", pattern, list(get_args(Pattern)))
        if not self.kinds:
            raise ConfigError("kinds is empty; expected at least one kind.")
        if not all(level in (1, 2, 3, 4) for level in self.levels):
            raise ConfigError(f"levels is {self.levels}; expected weights of the levels 1 to 4.")
        for name, weights in (("levels", self.levels), ("patterns", self.patterns)):
            if not any(weights.values()) or min(weights.values()) < 0:
                raise ConfigError(f"{name} is {weights}; expected weights from 0, at least one above it.")
        self._num_categories = sum(any(kind in here for kind in self.kinds) for here in PER_CATEGORY.values())

    def generate(self, n: int) -> Iterator[Task]:
        """Yield the first `n` tasks."""
        return (self.task(number) for number in range(n))

    def task(self, number: int) -> Task:
        """Return task number `number`, from 0.

        Raises:
            ConfigError: If the kinds leave no constraints that an answer can meet.
        """
        rng = random.Random(f"palaestra instructions {self.seed} {number}")
        level = rng.choices(list(self.levels), list(self.levels.values()))[0]
        level = min(level, self._num_categories)
        pattern = rng.choices(list(self.patterns), list(self.patterns.values()))[0]
        for _ in range(MAX_ATTEMPTS):
            topic = rng.choice(TOPICS)
            kinds = draw_kinds(level, self.kinds, rng)
            constraints = draw_constraints(kinds, topic, rng)
            if constraints is None or not all(map(_is_read_back, constraints)):
                continue
            witness = _answer(constraints, None, topic, rng)
            if witness is None:
                continue
            near_misses = [_answer(constraints, broken, topic, rng) for broken in range(len(constraints))]
            if None in near_misses:
                continue
            question = rng.choice(topic.questions)
            content = _told(pattern, question, constraints, rng)
            if content is None:
                continue
            return Task(
                f"procedural-{self.seed}-{number}",
                ({"role": "user", "content": content},),
                tuple(constraints),
                pattern,
                level,
                witness,
                tuple(one for one in near_misses if one is not None),
                {"question": question},
            )
        raise ConfigError(f"Of the kinds {', '.join(self.kinds)} no task of level {level} could be made; allow more kinds.")


def _is_read_back(constraint: Constraint) -> bool:
    """Whether the sentence is read back to its typed form, with its labels and without."""
    return all(
        isinstance(found, Constraint) and (found.kind, found.params) == (constraint.kind, constraint.params)
        for found in (parse(constraint.text, constraint.label), parse(constraint.text))
    )


def _answer(constraints: Sequence[Constraint], broken: int | None, topic: Topic, rng: random.Random) -> str | None:
    """Return an answer that passes all constraints but the broken one, or None if none was found."""
    for _ in range(REPAIRS):
        try:
            text = write(plan_for(constraints, broken, TITLES, rng), topic.nouns, rng)
        except Impossible:
            continue
        if all(check(one, text).passed == (at != broken) for at, one in enumerate(constraints)):
            return text
    return None


def _told(pattern: Pattern, question: str, constraints: Sequence[Constraint], rng: random.Random) -> str | None:
    """Return the request with its constraints; None if no examples were found."""
    if pattern == "listing":
        return _listing(question, constraints, rng)
    if pattern == "incorporation":
        order = rng.sample(constraints, len(constraints))
        return " ".join([question, *(_woven(one.text, rng) for one in order)])
    shots = []
    for _ in range(MAX_ATTEMPTS):
        topic = rng.choice(TOPICS)
        shown = draw_constraints([one.kind for one in constraints], topic, rng)
        witness = _answer(shown, None, topic, rng) if shown is not None else None
        if shown is not None and witness is not None:
            shots.append(f"Request: {_listing(rng.choice(topic.questions), shown, rng)}\n\nAnswer: {witness}")
        if len(shots) == 3:
            return "\n\n".join([*shots, f"Request: {_listing(question, constraints, rng)}\n\nAnswer:"])
    return None


def _woven(sentence: str, rng: random.Random) -> str:
    """Return a sentence joined to the ones before it."""
    clause = sentence[0].lower() + sentence[1:]
    frames = _STATEMENTS if clause.startswith(_STATED) else _REQUESTS
    return rng.choice(frames).format(clause)


def _listing(question: str, constraints: Sequence[Constraint], rng: random.Random) -> str:
    rules = "\n".join(f"{number}. {one.text}." for number, one in enumerate(constraints, start=1))
    return f"{question} {rng.choice(_LEAD_INS)}\n{rules}"
