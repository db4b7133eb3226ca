"""Formulas of PDDL as lists of clauses: conditions and goals as "one of these conjunctions holds".

Understood are `and`, `or`, `exists`, `not` of an atom, `=` and `()`. Nothing published uses `forall`, `imply` or the negation
of a group; they are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any, NamedTuple

from palaestra.envs.agentgym.alfworld.engine.errors import GameFileError

MAX_DEPTH = 100  # nested formulas
MAX_CLAUSES = 500  # of one formula: each is looked for after every command

CONNECTIVES = ("and", "or", "exists", "forall", "imply", "not", "when")


class Literal(NamedTuple):
    """An atom or its negation; an argument is a variable if it begins with `?`."""

    is_positive: bool
    predicate: str
    arguments: tuple[str, ...]


class Clause(NamedTuple):
    """A conjunction.

    Attributes:
        variables: Variables that `exists` brought in, with their types.
        literals: What has to hold.
    """

    variables: tuple[tuple[str, str], ...]
    literals: tuple[Literal, ...]


def typed_names(tokens: Sequence[Any], default: str = "object") -> list[tuple[str, str]]:
    """Read `a b - t c` as a of type t, b of type t, c of the default type.

    Types are whatever stands between blanks: the published domain has a type `location,` with a comma, which has no members,
    and its conditions depend on that.
    """
    found: list[tuple[str, str]] = []
    waiting: list[str] = []
    words = iter(tokens)
    for word in words:
        if not isinstance(word, str):
            raise GameFileError(f"PDDL: {_shown(word)} stands where a name is expected")
        if word != "-":
            waiting.append(word)
            continue
        kind = next(words, default)
        if not isinstance(kind, str):
            raise GameFileError(f"PDDL: the type {_shown(kind)} is not a name")
        found += [(name, kind) for name in waiting]
        waiting = []
    return found + [(name, default) for name in waiting]


def clauses_of(formula: Any) -> list[Clause]:
    """Return a formula in disjunctive normal form.

    Raises:
        GameFileError: If it has parts that are not supported, or is too large.
    """
    return _clauses(formula, count(1), 0)


def atom_of(expression: Any) -> tuple[str, tuple[str, ...]]:
    """Return predicate and arguments of an atom."""
    if isinstance(expression, list) and expression and expression[0] in CONNECTIVES:
        raise GameFileError(f"PDDL: '{expression[0]}' is not supported in this place")
    if not isinstance(expression, list) or not expression or not all(isinstance(word, str) for word in expression):
        raise GameFileError(f"PDDL: {_shown(expression)} is not an atom such as (opened ?r)")
    if expression[0] == "=" and len(expression) != 3:
        raise GameFileError(f"PDDL: {_shown(expression)} compares other than two things")
    return expression[0], tuple(expression[1:])


def _clauses(formula: Any, numbers: Iterator[int], depth: int) -> list[Clause]:
    """Return the clauses of a formula; variables of `exists` get numbers, as two groups may use one name."""
    if depth > MAX_DEPTH:
        raise GameFileError(f"PDDL: a formula is nested more than {MAX_DEPTH} levels deep")
    if formula == []:
        return [Clause((), ())]
    operator = formula[0] if isinstance(formula, list) else None
    parts = formula[1:] if isinstance(formula, list) else []
    if operator == "and":
        found = [Clause((), ())]
        for part in parts:
            options = _clauses(part, numbers, depth + 1)
            if len(found) * len(options) > MAX_CLAUSES:
                raise GameFileError(f"PDDL: a formula has more than {MAX_CLAUSES} alternatives")
            found = [Clause(a.variables + b.variables, a.literals + b.literals) for a in found for b in options]
        return found
    if operator == "or":
        found = [clause for part in parts for clause in _clauses(part, numbers, depth + 1)]
        if len(found) > MAX_CLAUSES:
            raise GameFileError(f"PDDL: a formula has more than {MAX_CLAUSES} alternatives")
        return found
    if operator == "exists":
        if len(parts) != 2 or not isinstance(parts[0], list):
            raise GameFileError(f"PDDL: {_shown(formula)} is not of the form (exists (?x - type) FORMULA)")
        variables = typed_names(parts[0])
        renamed = {name: f"{name}#{next(numbers)}" for name, _ in variables}
        new = tuple((renamed[name], kind) for name, kind in variables)
        inner = _clauses(_renamed(parts[1], renamed, depth), numbers, depth + 1)
        return [Clause(new + clause.variables, clause.literals) for clause in inner]
    if operator == "not":
        if len(parts) != 1:
            raise GameFileError(f"PDDL: {_shown(formula)} negates other than one atom")
        return [Clause((), (Literal(False, *atom_of(parts[0])),))]
    return [Clause((), (Literal(True, *atom_of(formula)),))]


def _renamed(formula: Any, names: dict[str, str], depth: int) -> Any:
    """Return a formula with some variables renamed."""
    if depth > MAX_DEPTH:
        raise GameFileError(f"PDDL: a formula is nested more than {MAX_DEPTH} levels deep")
    if isinstance(formula, list):
        return [_renamed(part, names, depth + 1) for part in formula]
    return names.get(formula, formula)


def _shown(expression: Any) -> str:
    """Return the beginning of an expression as it is written."""
    parts: list[str] = []
    todo = [expression]
    while todo and len(parts) < 12:
        part = todo.pop()
        if isinstance(part, list):
            todo += [")", *reversed(part), "("]
        else:
            parts.append(str(part)[:40])
    text = " ".join(parts) + (" ..." if todo else "")
    return text.replace("( ", "(").replace(" )", ")")


__all__ = ["Clause", "Literal", "atom_of", "clauses_of", "typed_names"]
