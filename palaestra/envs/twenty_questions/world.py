"""The state of a game of twenty questions: the things in question, the secret one, and what was asked, answered and judged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from palaestra.envs.core.typed import typed
from palaestra.envs.twenty_questions.questions import NO, UNKNOWN, YES
from palaestra.envs.twenty_questions.things import Question, Thing, ontology, yes_mask
from palaestra.types import Json


@dataclass
class Asked:
    """One question and what became of it.

    Attributes:
        attribute: As in `Question`.
        relation: As in `Question`.
        value: As in `Question`.
        answer: What the answerer said: yes, no or unknown; empty while it is waited for.
        heard: What the asker heard, which a judge may have changed; empty while it is waited for.
        upheld: What a judge said of the answer, None without a verdict.
    """

    attribute: str
    relation: str
    value: str
    answer: str = ""
    heard: str = ""
    upheld: bool | None = None

    @property
    def question(self) -> Question:
        """The question."""
        return Question(self.attribute, self.relation, self.value)


@dataclass
class QuestionWorld:
    """A game.

    Attributes:
        things: Names of the things in question, in the order they are listed.
        secret: Name of the thing to find.
        asked: The questions about facts, oldest first.
        named: Things that were named, the right one last.
        guesses: Things that may be named before the game is lost; 0 for no limit.
        phase: Who is waited for: "ask", "answer", "rule" (a verdict on one answer), "count" (a judge's last word), "over".
        counted: How many answers the judge counted as true at the end, None without such a judge.
    """

    things: list[str]
    secret: str
    asked: list[Asked] = field(default_factory=list)
    named: list[str] = field(default_factory=list)
    guesses: int = 0
    phase: str = "ask"
    counted: int | None = None

    def thing(self) -> Thing:
        """Return the secret thing."""
        return ontology().thing(self.secret)

    def truth(self, question: Question) -> str:
        """Return the true answer to a question."""
        return YES if question.holds(self.thing()) else NO

    def is_true(self, asked: Asked) -> bool:
        """Whether the answer to a question was true; "I do not know" is not."""
        return asked.answer == self.truth(asked.question)

    @property
    def answered(self) -> list[Asked]:
        """The questions that were answered."""
        return [one for one in self.asked if one.answer]

    @property
    def num_true(self) -> int:
        """How many answers were true."""
        return sum(self.is_true(one) for one in self.answered)

    @property
    def is_found(self) -> bool:
        """Whether the thing was named."""
        return self.secret in self.named

    @property
    def guesses_left(self) -> float:
        """How many things may still be named."""
        return self.guesses - len(self.named) if self.guesses else math.inf

    def bits(self) -> float:
        """Return how much the questions could tell: log2 of the things at the start over those that fit the true answers."""
        left = self._fitting([(one.question, self.truth(one.question)) for one in self.asked])
        return math.log2(len(self.things) / (1 if self.is_found else left.bit_count()))

    def suspects(self) -> list[str]:
        """Return the things that fit what the asker heard; if none does, for it was lied to, those that fit most of it."""
        heard = [(one.question, one.heard) for one in self.asked if one.heard in (YES, NO)]
        if left := self._fitting(heard):
            return [name for number, name in enumerate(self.things) if left >> number & 1]
        names = tuple(self.things)
        misfits = {
            name: sum((yes_mask(names, question) >> number & 1) != (answer == YES) for question, answer in heard)
            for number, name in enumerate(self.things)
            if name not in self.named
        }
        return [name for name, count in misfits.items() if count == min(misfits.values())]

    def _fitting(self, answers: list[tuple[Question, str]]) -> int:
        """Return the things, as bits, that fit all answers and were not named in vain."""
        names = tuple(self.things)
        left = (1 << len(names)) - 1
        for question, answer in answers:
            yes = yes_mask(names, question)
            left &= yes if answer == YES else ~yes
        for name in self.named:
            if name != self.secret:
                left &= ~(1 << self.things.index(name))
        return left

    def to_json(self) -> Json:
        """Return the state as plain JSON data."""
        return asdict(self)

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> QuestionWorld:
        """Rebuild from `to_json()`.

        Raises:
            KeyError, TypeError, ValueError: If it is not the state of a game.
        """
        world = typed(cls, {**state, "asked": [typed(Asked, one) for one in state["asked"]]})
        if not {*world.things, *world.named, world.secret} <= ontology().rows.keys() or world.secret not in world.things:
            raise ValueError("a thing is not one of those that there are")
        return world

    def copy(self) -> QuestionWorld:
        """Return an independent game in the same state."""
        return replace(self, things=list(self.things), asked=[replace(one) for one in self.asked], named=list(self.named))


__all__ = ["NO", "UNKNOWN", "YES", "Asked", "QuestionWorld"]
