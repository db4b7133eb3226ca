"""What an agent must find out in a task: what the expert will say, and what the record of the task calls an answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from palaestra.envs.audit.play import Play, as_text
from palaestra.envs.audit.texts import MAX_COMMAND, Leaf, leaves, normal, values_of, words

ANSWER_NAME = re.compile(
    r"(^|[_\W])(answers?|gold|solutions?|secrets?|password|expected|truth|correct|reference|hidden)($|[_\W\d])", re.IGNORECASE
)
"""Names of fields that hold what is to be found out. Targets and goals are not among them: they are what is asked for."""

MIN_LETTERS = 4
"""Characters of a value that is not met by chance."""
COMMON = 0.2
"""Share of tasks with the same value, from which on it says nothing about one of them."""


class Value(NamedTuple):
    """Something that the expert says: in which turn, and whether it is the whole action."""

    turn: int
    text: str
    is_whole: bool = False


@dataclass(frozen=True)
class Sought:
    """What there is to find out in one episode.

    Attributes:
        values: What the expert says, turn by turn.
        answers: What the record of the task calls an answer.
        answer: The last thing said, where it is words and not a call; empty otherwise.
        shown: All that is told at the start, as a normal text: the first observation and what is the same in all tasks.
        first: The first observation alone.
    """

    values: tuple[Value, ...]
    answers: tuple[str, ...]
    answer: str
    shown: str
    first: str = ""

    def all_from(self, turn: int) -> set[str]:
        """What is said from a turn on, and what is called an answer."""
        return {value.text for value in self.values if value.turn >= turn} | set(self.answers)

    def decisive_from(self, turn: int, *, only_actions: bool = False) -> set[str]:
        """What solves the task by itself: the whole next action, the final answer, what is called an answer.

        Args:
            turn: Turn of the next action.
            only_actions: Whether it is the next action alone, and not even that if it is the last.
        """
        following = {value.text for value in self.values if value.turn == turn and value.is_whole}
        if only_actions:
            return following if any(value.turn > turn for value in self.values) else set()
        return following | ({self.answer} if self.answer else set()) | set(self.answers)

    def arguments(self) -> set[str]:
        """What follows the verb of the last action, where it is a short command."""
        last = max((value.turn for value in self.values), default=-1)
        wholes = [value.text for value in self.values if value.turn == last and value.is_whole]
        return {text.partition(" ")[2] for text in wholes if 1 < len(text.split()) <= MAX_COMMAND and "tool_call" not in text}


def sought_in(plan: Play, common: str, hidden: Mapping[str, Any] | None = None) -> Sought:
    """Return all that is to be found out in an episode that the expert played.

    Args:
        plan: The episode; without steps where there is no expert.
        common: What all agents are told in all tasks, as a normal text.
        hidden: Further hidden data, e.g. attributes of an environment without tasks.
    """
    first = normal(text_of(plan.observation))
    values: list[Value] = []
    for turn, step in enumerate(plan.steps):
        whole = normal(as_text(step.action))
        values += [Value(turn, text, text == whole) for text in dict.fromkeys([*values_of(step.action), whole])]
    record = {**(dict(plan.start.task.data) if plan.start.task else {}), **(hidden or {})}
    answers = [normal(leaf.value) for leaf in leaves(record, decode=False) if _is_answer(leaf)]
    answer = normal(as_text(plan.actions[-1])) if _is_words(plan) else ""
    return Sought(tuple(values), tuple(dict.fromkeys(a for a in answers if a)), answer, f"{first} {common}", first)


def named_attributes(env: Any) -> dict[str, Any]:
    """Return attributes of an environment whose names say that they are to be found out."""
    held = getattr(env.unwrapped, "__dict__", {})
    return {name: value for name, value in held.items() if ANSWER_NAME.search(f"_{name}_") and not callable(value)}


def is_telling(value: str, frequency: Mapping[str, float]) -> bool:
    """Whether a value is long and rare enough that it is not met by chance."""
    return len(value) >= MIN_LETTERS and frequency.get(value, 0.0) <= COMMON and any(map(str.isalnum, value))


def frequencies(sought: Sequence[Sought]) -> dict[str, float]:
    """Return the share of tasks in which each value is sought."""
    counts: dict[str, int] = {}
    for one in sought:
        for value in one.all_from(0):
            counts[value] = counts.get(value, 0) + 1
    alone = 1 if len(sought) < 3 else 0  # of one or two tasks, nothing is common
    return {value: (count - alone) / max(1, len(sought)) for value, count in counts.items()}


def text_of(observation: Any) -> str:
    """Return an observation as text."""
    return observation if isinstance(observation, str) else " ".join(leaf.value for leaf in leaves(observation))


def _is_answer(leaf: Leaf) -> bool:
    """Whether the name of a value, or of what holds it, says that it is an answer."""
    parts = re.sub(r"\.\d+", "", leaf.path).split(".")
    if ANSWER_NAME.search(f"_{parts[-1]}_"):
        return True
    return len(parts) > 1 and parts[-1] in ("value", "text", "gold") and ANSWER_NAME.search(f"_{parts[-2]}_") is not None


def _is_words(plan: Play) -> bool:
    """Whether the last thing that the expert said are words."""
    return bool(plan.steps) and "<tool_call>" not in as_text(plan.steps[-1].action)


def following(text: str, context: Sequence[str]) -> Iterator[list[str]]:
    """Yield the words after each occurrence of a context in a text; an empty context is the beginning."""
    found = words(text)
    if not context:
        yield found
        return
    size = len(context)
    for index in range(len(found) - size):
        if found[index : index + size] == list(context):
            yield found[index + size :]


__all__ = [
    "ANSWER_NAME",
    "Sought",
    "Value",
    "following",
    "frequencies",
    "is_telling",
    "named_attributes",
    "sought_in",
    "text_of",
]
