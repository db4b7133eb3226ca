"""What stored episodes say: the letters that are missed most, and every answer next to the word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from palaestra.results import Arm, EnvResults, ResultTable, StepBlock
from palaestra.types import Trajectory


def backwards_results(arms: Sequence[Arm]) -> EnvResults:
    """Return a table of the letters that each arm misses most."""
    rows = []
    for arm in arms:
        missed: Counter[str] = Counter()
        for played in arm.episodes:
            word = wanted(played)
            answers = [step.action.content.strip().lower() for step in played.steps]
            missed.update(a for answer in answers for a, b in zip(word, answer.ljust(len(word)), strict=False) if a != b)
        rows.append((arm.name, ", ".join(letter for letter, _ in missed.most_common(5)) or "none", str(sum(missed.values()))))
    tables = (ResultTable("Letters missed most", ("Arm", "Letters", "Missed"), tuple(rows), text_columns=2),) if arms else ()
    return EnvResults(tables, blocks=answers_next_to_words)


def answers_next_to_words(trajectory: Trajectory) -> dict[int, list[StepBlock]]:
    """Return what was wanted below each answer that was wrong."""
    word = wanted(trajectory)
    said = [step.action.content.strip().lower() for step in trajectory.steps]
    return {i: [StepBlock("Answer", "wrong", "bad", notes=(f"wanted {word}",))] for i, text in enumerate(said) if text != word}


def wanted(trajectory: Trajectory) -> str:
    """Return the word of an episode backwards, as its first observation says it."""
    first = trajectory.steps[0].observation if trajectory.steps else ""
    return first.removeprefix("The word is ").removesuffix(".")[::-1]
