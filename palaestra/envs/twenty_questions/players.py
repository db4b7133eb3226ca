"""The setting's own players: an asker that gains the most bits, an answerer that knows, a judge that checks.

Each sees of the world what its seat was told and no more: the asker what it heard, the others the thing as well. Those that
need chance draw it from the generator of their turn, which is made when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from palaestra.envs.twenty_questions.questions import NO, YES
from palaestra.envs.twenty_questions.things import Question, ontology, truth_table
from palaestra.envs.twenty_questions.world import QuestionWorld

Chance = Callable[[], np.random.Generator]

LIE_RATE = 0.15
FORGET_RATE = 0.2

PERSONAS = {
    "asker": ("entropy", "random", "namer"),
    "answerer": ("honest", "liar", "forgetful"),
    "judge": ("strict", "lenient"),
}
"""What scripted players can be like, by seat, the default first."""


def ask(world: QuestionWorld, persona: str, chance: Chance) -> str:
    """Return the next message of an asker.

    Args:
        world: Of it only what the asker heard is used.
        persona: "entropy" asks `best_question`; "random" asks any question that splits what is left, "namer" names one thing
            after the other.
        chance: Makes the generator of this turn.
    """
    suspects = world.suspects()
    if persona == "namer" or len(suspects) <= _few_enough(world):
        return Question("name", "=", suspects[0]).text()
    if persona == "random":
        splitting = np.flatnonzero(_smaller_sides(world, suspects))
        if len(splitting):
            return ontology().questions[int(splitting[chance().integers(len(splitting))])].text()
    return best_question(world).text()


def answer(world: QuestionWorld, persona: str, chance: Chance) -> str:
    """Return the answer of an answerer to the last question.

    Args:
        world: The game.
        persona: "honest"; "liar" turns an answer round with probability `LIE_RATE`; "forgetful" does not know with
            probability `FORGET_RATE`.
        chance: Makes the generator of this turn.
    """
    truth = world.truth(world.asked[-1].question)
    if persona == "liar" and chance().random() < LIE_RATE:
        truth = NO if truth == YES else YES
    if persona == "forgetful" and chance().random() < FORGET_RATE:
        return "I do not know."
    return "Yes." if truth == YES else "No."


def judge(world: QuestionWorld, persona: str) -> str:
    """Return the verdict of a judge: the truth if it is "strict"; a "lenient" one lets everything pass."""
    if world.phase == "count":
        return str(len(world.answered) if persona == "lenient" else world.num_true)
    return "uphold" if persona == "lenient" or world.is_true(world.asked[-1]) else "overrule"


def best_question(world: QuestionWorld) -> Question:
    """Return the question whose answer is the least certain for the asker: the one that gains the most bits.

    With one thing left, or two where it may be wrong once, it names one; it does so, too, if no fact tells apart what is left.
    """
    suspects = world.suspects()
    # the entropy of an answer rises with the smaller of its two sides; whole numbers are the same on every platform
    sides = _smaller_sides(world, suspects)
    best = int(sides.argmax())
    if len(suspects) <= _few_enough(world) or sides[best] == 0:
        return Question("name", "=", suspects[0])
    return ontology().questions[best]


def _few_enough(world: QuestionWorld) -> int:
    """Return with how many suspects an asker names one: two, if it may be wrong once."""
    return 2 if world.guesses_left > 1 else 1


def _smaller_sides(world: QuestionWorld, suspects: list[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return, for every question, how many suspects are on the smaller side of its answer; 0 if it was asked."""
    known = ontology()
    yes = truth_table()[[known.rows[name] for name in suspects]].sum(axis=0)
    sides: np.ndarray[Any, np.dtype[np.int64]] = np.minimum(yes, len(suspects) - yes)
    sides[[known.columns[one.question] for one in world.asked if one.question in known.columns]] = 0
    return sides


__all__ = ["FORGET_RATE", "LIE_RATE", "PERSONAS", "answer", "ask", "best_question", "judge"]
