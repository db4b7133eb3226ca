"""Reads the PDDL of ALFWorld's game files: a domain (types, predicates, actions) and a problem (objects, facts, goal).

Everything is lower-cased. `(increase ...)`, `(= ...)` among the facts and `(:metric ...)` are read over: nothing is optimised.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from palaestra.envs.agentgym.alfworld.engine.errors import GameFileError
from palaestra.envs.agentgym.alfworld.engine.formulas import Clause, Literal, atom_of, clauses_of, typed_names

Fact = tuple[str, tuple[str, ...]]
"""A predicate and its arguments."""

_TOKEN = re.compile(r"[()]|[^\s()]+")
_COMMENT = re.compile(r";[^\n]*")
_MAX_NESTED_EFFECTS = 50


class Effect(NamedTuple):
    """A fact that an action states or deletes.

    Attributes:
        condition: What has to hold before the action for the effect to happen; empty for always.
        is_positive: Whether the fact is stated.
        predicate: Its predicate.
        arguments: Its arguments; those that begin with `?` are parameters of the action.
    """

    condition: tuple[Literal, ...]
    is_positive: bool
    predicate: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Action:
    """An action of a domain.

    Attributes:
        name: Its name.
        parameters: Variables and their types.
        clauses: Its condition: one of them has to hold.
        effects: What it changes, in the order of the text.
    """

    name: str
    parameters: tuple[tuple[str, str], ...]
    clauses: tuple[Clause, ...]
    effects: tuple[Effect, ...]


@dataclass(frozen=True, eq=False)
class Domain:
    """What can be done.

    Attributes:
        parents: Type above each type.
        predicates: Number of arguments by predicate.
        constants: Objects that every problem has, with their types.
        actions: Actions by name, in the order of the text.
    """

    parents: Mapping[str, str]
    predicates: Mapping[str, int]
    constants: tuple[tuple[str, str], ...]
    actions: Mapping[str, Action]

    def below(self, kind: str) -> frozenset[str]:
        """Return a type and all types under it."""
        found = {kind}
        while more := {name for name, parent in self.parents.items() if parent in found} - found:
            found |= more
        return frozenset(found)


@dataclass(frozen=True, eq=False)
class Problem:
    """One room and what is wanted there.

    Attributes:
        types: Type of each object, constants of the domain included.
        facts: What holds at the start.
        goal: One of these clauses has to hold.
        unknown: Predicates of facts that the domain does not have; published files may have some, and nothing asks for them.
    """

    types: Mapping[str, str]
    facts: tuple[Fact, ...]
    goal: tuple[Clause, ...]
    unknown: frozenset[str]


def read_domain(text: str) -> Domain:
    """Read a domain.

    Raises:
        GameFileError: If it cannot be read, or an action names a predicate that the domain does not declare.
    """
    parents: dict[str, str] = {}
    predicates: dict[str, int] = {}
    constants: list[tuple[str, str]] = []
    actions: dict[str, Action] = {}
    for part in _sections(text):
        if part[0] == ":types":
            parents.update(typed_names(part[1:]))
        elif part[0] == ":predicates":
            predicates.update({name: len(typed_names(arguments)) for name, arguments in map(_headed, part[1:])})
        elif part[0] == ":constants":
            constants += typed_names(part[1:])
        elif part[0] == ":action":
            action = _action(part)
            actions[action.name] = action
    if not actions:
        raise GameFileError("PDDL: the domain has no actions")
    for action in actions.values():
        literals = [literal for clause in action.clauses for literal in clause.literals]
        for effect in action.effects:
            literals += [*effect.condition, Literal(effect.is_positive, effect.predicate, effect.arguments)]
        _check_known(literals, predicates, f"the action {action.name}")
        names = {name for name, _ in action.parameters}
        bound = names | {name for clause in action.clauses for name, _ in clause.variables}
        loose = {a for literal in literals for a in literal.arguments if a.startswith("?")} - bound
        if loose:
            raise GameFileError(f"PDDL: the action {action.name} uses {min(loose)}, which is not one of its parameters")
    return Domain(parents, predicates, tuple(constants), actions)


def read_problem(text: str, domain: Domain) -> Problem:
    """Read a problem of a domain.

    Raises:
        GameFileError: If it cannot be read, or names objects or, in its goal, predicates that there are not.
    """
    types: dict[str, str] = dict(domain.constants)
    facts: dict[Fact, None] = {}
    goal: list[Clause] | None = None
    for part in _sections(text):
        if part[0] == ":objects":
            types.update(typed_names(part[1:]))
        elif part[0] == ":init":
            facts = dict.fromkeys(atom_of(fact) for fact in part[1:] if not (isinstance(fact, list) and fact[:1] == ["="]))
        elif part[0] == ":goal":
            if len(part) != 2:
                raise GameFileError("PDDL: (:goal ...) holds other than one formula")
            goal = clauses_of(part[1])
    if not facts or not goal or not any(clause.literals for clause in goal):
        raise GameFileError("PDDL: the problem has no (:init ...) or no (:goal ...)")
    for clause in goal:
        _check_known(clause.literals, domain.predicates, "the goal")
        bound = {name for name, _ in clause.variables}
        named = {argument for literal in clause.literals for argument in literal.arguments}
        _check_objects((name for name in named if name not in bound), types, "the goal")
    unknown = set()
    for predicate, arguments in facts:
        _check_objects(arguments, types, f"({predicate} ...)")
        arity = domain.predicates.get(predicate)
        if arity is None:
            unknown.add(predicate)
        elif arity != len(arguments):
            raise GameFileError(f"PDDL: ({predicate} ...) has {len(arguments)} arguments; its predicate has {arity}")
    return Problem(types, tuple(facts), tuple(goal), frozenset(unknown))


def _expression(text: str) -> list[Any]:
    """Return the nested lists of a PDDL text; without recursion, so that no depth is too deep."""
    root: list[Any] = []
    current, outer = root, []
    for token in _TOKEN.findall(_COMMENT.sub("", text).lower()):
        if token == "(":
            outer.append(current)
            current.append([])
            current = current[-1]
        elif token == ")":
            if not outer:
                raise GameFileError("PDDL: there is a ')' without a '('")
            current = outer.pop()
        else:
            current.append(token)
    if outer or not root:
        raise GameFileError(f"PDDL: the text is cut off ({len(outer)} brackets are open at its end)")
    if not isinstance(root[0], list) or root[0][:1] != ["define"]:
        raise GameFileError("PDDL: the text does not begin with '(define ...'")
    return root[0]


def _sections(text: str) -> Iterable[list[Any]]:
    """Return the parts of a definition, each a list that begins with its name."""
    parts = _expression(text)[1:]
    return [part for part in parts if isinstance(part, list) and part and isinstance(part[0], str)]


def _headed(part: Any) -> tuple[str, list[Any]]:
    """Return the first word of a list and the rest."""
    if not isinstance(part, list) or not part or not isinstance(part[0], str):
        raise GameFileError("PDDL: a declaration in (:predicates ...) has no name")
    return part[0], part[1:]


def _action(part: list[Any]) -> Action:
    """Read an action."""
    if len(part) < 2 or not isinstance(part[1], str):
        raise GameFileError("PDDL: an action has no name")
    fields = {key: value for key, value in zip(part[2::2], part[3::2], strict=False) if isinstance(key, str)}
    try:
        return Action(
            part[1],
            tuple(typed_names(fields.get(":parameters", []))),
            tuple(clauses_of(fields.get(":precondition", []))),
            tuple(_effects(fields.get(":effect", []), (), 0)),
        )
    except GameFileError as error:
        raise GameFileError(f"{error} (action {part[1]})") from None


def _effects(expression: Any, condition: tuple[Literal, ...], depth: int) -> list[Effect]:
    """Return the effects that an expression stands for."""
    if depth > _MAX_NESTED_EFFECTS or not isinstance(expression, list):
        raise GameFileError("PDDL: an effect cannot be read")
    if not expression or expression[0] == "increase":
        return []
    if expression[0] == "and":
        return [effect for part in expression[1:] for effect in _effects(part, condition, depth + 1)]
    if expression[0] == "when" and len(expression) == 3:
        clauses = clauses_of(expression[1])
        if len(clauses) != 1 or clauses[0].variables:
            raise GameFileError("PDDL: 'or' and 'exists' are not supported in the condition of an effect")
        return _effects(expression[2], condition + clauses[0].literals, depth + 1)
    if expression[0] == "not" and len(expression) == 2:
        return [Effect(condition, False, *atom_of(expression[1]))]
    return [Effect(condition, True, *atom_of(expression))]


def _check_known(literals: Iterable[Literal], predicates: Mapping[str, int], where: str) -> None:
    """Refuse predicates that are not declared, or not with so many arguments."""
    for literal in literals:
        if literal.predicate == "=":
            continue
        arity = predicates.get(literal.predicate)
        if arity is None:
            raise GameFileError(f"PDDL: {where} names {literal.predicate!r}, which is not a predicate of the domain")
        if arity != len(literal.arguments):
            raise GameFileError(
                f"PDDL: {where} gives {literal.predicate!r} {len(literal.arguments)} arguments; the domain declares {arity}"
            )


def _check_objects(names: Iterable[str], types: Mapping[str, str], where: str) -> None:
    """Refuse objects that are not declared."""
    for name in names:
        if name not in types:
            raise GameFileError(f"PDDL: {where} names {name!r}, which is not an object of the problem")


__all__ = ["Action", "Domain", "Effect", "Fact", "Problem", "read_domain", "read_problem"]
