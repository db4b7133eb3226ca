"""`Game`: a game file made ready to play. It does not change; states are `Facts` of their own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from palaestra.envs.agentgym.alfworld.engine.errors import GameFileError
from palaestra.envs.agentgym.alfworld.engine.facts import Arguments, Facts
from palaestra.envs.agentgym.alfworld.engine.formulas import Clause, Literal
from palaestra.envs.agentgym.alfworld.engine.game_file import GameFile
from palaestra.envs.agentgym.alfworld.engine.grammar import (
    Call,
    Each,
    Grammar,
    Symbol,
    check_texts,
    read_symbols,
)
from palaestra.envs.agentgym.alfworld.engine.joins import Join
from palaestra.envs.agentgym.alfworld.engine.pddl import Action
from palaestra.envs.agentgym.alfworld.engine.texts import Bound, Texts, display_names

MAX_REMEMBERED = 1000  # states of the few facts that an action depends on
MAX_KEY_FACTS = 4  # with more facts than these, a state rarely comes again

Commands = dict[str, tuple["Operator", Arguments]]
"""What can be done now: an action and its arguments, by command."""


class Operator:
    """An action made ready.

    Attributes:
        action: The action.
        template: Its command.
        feedback: What is said afterwards.
        joins: One for each clause of its condition, with the slots of the parameters.
        effects: Those that anything can notice.
        depends_on: Changing predicates that its condition looks at.
        told: Positions of the parameters that its command shows; None if it depends on the state.
    """

    def __init__(self, action: Action, grammar: Grammar, read: frozenset[str], changing: frozenset[str]) -> None:
        """Look at what the action depends on."""
        texts = grammar.actions[action.name]
        self.action = action
        self.template, self.feedback = read_symbols(texts.template), read_symbols(texts.feedback)
        self.joins: list[tuple[Join, tuple[int, ...]]] = []
        self.effects = tuple(effect for effect in action.effects if effect.predicate in read)
        asked = {literal.predicate for clause in action.clauses for literal in clause.literals}
        self.depends_on = tuple(sorted(asked & changing))
        self.told = _told(self.template, action, changing)
        self.remembered: dict[tuple[frozenset[Arguments], ...], Commands] = {}
        self._parameters = tuple(name for name, _ in action.parameters)
        self._variables = tuple((name.removeprefix("?"), kind) for name, kind in action.parameters)
        stated = {(literal.is_positive, literal.predicate) for clause in action.clauses for literal in clause.literals}
        added = {effect.predicate for effect in action.effects if effect.is_positive}
        self.may_be_idle = all(
            not effect.condition
            and ((effect.is_positive, effect.predicate) in stated or (not effect.is_positive and effect.predicate in added))
            for effect in action.effects
        )

    def bound(self, arguments: Arguments) -> Bound:
        """Return the objects of the parameters, as texts ask for them."""
        return dict(zip(self._variables, arguments, strict=True))

    def grounded(self, literals: Iterable[Literal], arguments: Arguments) -> list[Literal]:
        """Return literals with objects for the parameters."""
        objects = dict(zip(self._parameters, arguments, strict=True))
        return [Literal(sign, name, tuple([objects.get(a, a) for a in of])) for sign, name, of in literals]

    def is_idle(self, arguments: Arguments) -> bool:
        """Whether the original leaves out this command: its condition already states all that it would change."""
        effects = [Literal(*effect[1:]) for effect in self.action.effects]
        stated = self.grounded((literal for clause in self.action.clauses for literal in clause.literals), arguments)
        changes = self.grounded(effects, arguments)
        added = {change for change in changes if change.is_positive}
        return all(change in stated or (not change[0] and Literal(True, *change[1:]) in added) for change in changes)


class Goal(NamedTuple):
    """One way to have reached the goal."""

    clause: Clause
    join: Join


class Game:
    """A game that can be played.

    Args:
        file: The contents of a game file.
        shuffled: Seed by which the numbers in names are dealt out in another order; None for the original's.

    Attributes:
        file: The contents.
        names: What texts say of each object.
        start: The state at the start, not to be changed.
        goals: The ways to reach the goal.
        changing: Predicates that actions change and something looks at.

    Raises:
        GameFileError: If the file has texts that cannot be said.
    """

    def __init__(self, file: GameFile, shuffled: int | None = None) -> None:
        """Prepare the look-ups and check every text."""
        self.file, self.shuffled = file, shuffled
        domain, grammar, problem = file.domain, file.grammar, file.problem
        actions = [action for action in domain.actions.values() if action.name in grammar.actions]
        if not actions:
            raise GameFileError("no action of the domain has texts in the grammar")
        self._members: dict[str, frozenset[str]] = {"object": frozenset(problem.types)}
        self._check_texts(actions)
        read = _read_predicates(actions, problem.goal, grammar)
        self.changing = frozenset(effect.predicate for action in actions for effect in action.effects) & read
        self.start = Facts(problem.facts, self.changing)
        self.names = display_names((a for _, arguments in problem.facts for a in arguments), problem.types, shuffled)
        self.goals = tuple(
            Goal(clause, Join(clause.variables, clause.literals, self.start, self.members)) for clause in problem.goal
        )
        self._texts = Texts(grammar, self.names, self.members)
        self._operators = [self._operator(action, read) for action in actions]
        self._written: dict[tuple[str, Arguments], str] = {}

    def __reduce__(self) -> tuple[type[Game], tuple[GameFile, int | None]]:
        """Pickle the contents; what is prepared is prepared again."""
        return type(self), (self.file, self.shuffled)

    def __deepcopy__(self, memo: object) -> Game:
        """Return the game itself, as it does not change."""
        return self

    def members(self, kind: str) -> frozenset[str]:
        """Return the objects of a type; none for a type that there is not."""
        found = self._members.get(kind)
        if found is None:
            kinds = self.file.domain.below(kind)
            found = frozenset(thing for thing, own in self.file.problem.types.items() if own in kinds)
            self._members[kind] = found
        return found

    def intro(self, facts: Facts) -> str:
        """Return the first text."""
        return self._texts.say(read_symbols("#intro#"), {}, facts)

    def is_won(self, facts: Facts) -> bool:
        """Whether the goal is reached."""
        return any(goal.join.solutions(facts) for goal in self.goals)

    def commands(self, facts: Facts) -> Commands:
        """Return all commands that can be played, each with its action; their order means nothing."""
        found: Commands = {}
        for operator in self._operators:
            relations = [facts.of(predicate) for predicate in operator.depends_on]
            key = None
            if sum(map(len, relations)) <= MAX_KEY_FACTS and operator.told is not None:
                key = tuple(map(frozenset, relations))
                if (known := operator.remembered.get(key)) is not None:
                    found.update(known)
                    continue
            made = self._commands_of(operator, facts)
            found.update(made)
            if key is not None:
                if len(operator.remembered) >= MAX_REMEMBERED:
                    operator.remembered.clear()
                operator.remembered[key] = made
        return found

    def play(self, facts: Facts, operator: Operator, arguments: Arguments) -> str:
        """Change a state by an action that can be done, and return what is said."""
        objects = dict(zip((name for name, _ in operator.action.parameters), arguments, strict=True))
        added: dict[tuple[str, Arguments], None] = {}
        deleted: list[tuple[str, Arguments]] = []
        for condition, is_positive, predicate, of in operator.effects:
            if condition and not all(
                (literal.arguments in facts.of(literal.predicate)) == literal.is_positive
                for literal in operator.grounded(condition, arguments)
            ):
                continue
            fact = (predicate, tuple([objects.get(argument, argument) for argument in of]))
            if is_positive:
                added[fact] = None
            else:
                deleted.append(fact)
        for fact in deleted:
            if fact not in added:
                facts.delete(*fact)
        for fact in added:
            facts.add(*fact)
        return self._texts.say(operator.feedback, operator.bound(arguments), facts)

    def _commands_of(self, operator: Operator, facts: Facts) -> Commands:
        """Return the commands of one action."""
        found: Commands = {}
        for join, slots in operator.joins:
            for row in join.solutions(facts):
                arguments = tuple([row[slot] for slot in slots])
                if operator.may_be_idle and operator.is_idle(arguments):
                    continue
                text = self._command(operator, arguments, facts)
                if text not in found or arguments < found[text][1]:  # two actions of one text: always the same
                    found[text] = (operator, arguments)
        return found

    def _command(self, operator: Operator, arguments: Arguments, facts: Facts) -> str:
        """Return the text of a command."""
        if operator.told is None:
            return self._texts.say(operator.template, operator.bound(arguments), facts)
        key = (operator.action.name, tuple([arguments[position] for position in operator.told]))
        text = self._written.get(key)
        if text is None:
            text = self._texts.say(operator.template, operator.bound(arguments), facts)
            self._written[key] = text
        return text

    def _operator(self, action: Action, read: frozenset[str]) -> Operator:
        """Make an action ready."""
        operator = Operator(action, self.file.grammar, read, self.changing)
        for clause in action.clauses:
            join = Join(action.parameters + clause.variables, clause.literals, self.start, self.members)
            if not join.is_empty:
                operator.joins.append((join, tuple(join.slots[name] for name, _ in action.parameters)))
        return operator

    def _check_texts(self, actions: list[Action]) -> None:
        """Look whether all texts can be said."""
        starts: dict[str, frozenset[str]] = {"#intro#": frozenset()}
        for action in actions:
            names = frozenset(name.removeprefix("?") for name, _ in action.parameters)
            for text in self.file.grammar.actions[action.name]:
                starts[text] = starts.get(text, names) & names
        check_texts(self.file.grammar, starts)


def _read_predicates(actions: list[Action], goal: tuple[Clause, ...], grammar: Grammar) -> frozenset[str]:
    """Return the predicates that a condition, the goal or a text looks at; facts of others need not be kept."""
    found = {literal.predicate for clause in goal for literal in clause.literals}
    texts = [symbols for rules in grammar.rules.values() for _, symbols in rules]
    for action in actions:
        found |= {literal.predicate for clause in action.clauses for literal in clause.literals}
        found |= {literal.predicate for effect in action.effects for literal in effect.condition}
        texts += map(read_symbols, grammar.actions[action.name])
    found |= {query.predicate for rules in grammar.rules.values() for condition, _ in rules for query in condition}
    for symbols in texts:
        found |= {query.predicate for each in symbols if isinstance(each, Each) for query in each.queries or ()}
    return frozenset(found)


def _told(template: tuple[Symbol, ...], action: Action, changing: frozenset[str]) -> tuple[int, ...] | None:
    """Return the positions of the parameters that a command shows; None if its text depends on the state."""
    names: set[str] = set()
    for symbol in template:
        if isinstance(symbol, str):
            continue
        if isinstance(symbol, Call) or isinstance(symbol.content, Call):
            return None
        names |= symbol.reads
        for query in symbol.queries or ():
            if query.predicate in changing or query.is_deleted:
                return None
            names |= {name for name, _ in query.variables}
    return tuple(place for place, (name, _) in enumerate(action.parameters) if name.removeprefix("?") in names)


__all__ = ["Commands", "Game", "Goal", "Operator"]
