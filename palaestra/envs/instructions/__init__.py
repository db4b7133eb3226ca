"""Instruction following: constraints that code can verify, read from sentences, checked, and scored.

`kinds` holds the registry, `constraints` the typed form of a constraint and `check`, `checks` the checkers of each family.
`reading` turns sentences into constraints. `published` reads the published tasks, `answers` files of answers, `scoring` makes
the published tables. `procedural` makes tasks with answers that meet every constraint, and answers that break one.
"""

from typing import TYPE_CHECKING

from palaestra.lazy import lazy_names

if TYPE_CHECKING:
    from palaestra.envs.instructions.answers import load_answers
    from palaestra.envs.instructions.constraints import (
        Constraint,
        ConstraintError,
        UnparsedConstraint,
        all_kinds,
        check,
        check_all,
    )
    from palaestra.envs.instructions.kinds import Kind, Verdict
    from palaestra.envs.instructions.procedural.conflicts import conflicts
    from palaestra.envs.instructions.procedural.generator import ProceduralGenerator
    from palaestra.envs.instructions.published import InstructionDataError, load_published, to_published
    from palaestra.envs.instructions.reading.parse import parse
    from palaestra.envs.instructions.scoring import Rate, Scores, score, score_verdicts
    from palaestra.envs.instructions.tasks import Task

_HOMES = {
    "answers": ("load_answers",),
    "constraints": ("Constraint", "ConstraintError", "UnparsedConstraint", "all_kinds", "check", "check_all"),
    "kinds": ("Kind", "Verdict"),
    "procedural.conflicts": ("conflicts",),
    "procedural.generator": ("ProceduralGenerator",),
    "published": ("InstructionDataError", "load_published", "to_published"),
    "reading.parse": ("parse",),
    "scoring": ("Rate", "Scores", "score", "score_verdicts"),
    "tasks": ("Task",),
}

__all__ = [
    "Constraint",
    "ConstraintError",
    "InstructionDataError",
    "Kind",
    "ProceduralGenerator",
    "Rate",
    "Scores",
    "Task",
    "UnparsedConstraint",
    "Verdict",
    "all_kinds",
    "check",
    "check_all",
    "conflicts",
    "load_answers",
    "load_published",
    "parse",
    "score",
    "score_verdicts",
    "to_published",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
