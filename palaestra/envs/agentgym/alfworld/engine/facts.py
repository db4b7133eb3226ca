"""`Facts`: what holds in a state, with an index by argument, and what was deleted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Set

from palaestra.envs.agentgym.alfworld.engine.pddl import Fact

Arguments = tuple[str, ...]
Relation = set[Arguments]

_NOTHING: frozenset[Arguments] = frozenset()


class Facts:
    """Facts by predicate.

    Texts may ask for `not_x`, which does not mean that x does not hold, but that an action has deleted it and none has stated
    it since. Deleted facts are therefore part of the state.

    Args:
        facts: What holds at the start.
        changing: Predicates that actions change; the others are shared between copies.

    Attributes:
        holding: Arguments of what holds, by predicate.
        index: The same by predicate, position and argument there.
        deleted: Arguments of what was deleted, by predicate.
    """

    __slots__ = ("changing", "deleted", "holding", "index")

    def __init__(self, facts: Iterable[Fact], changing: Collection[str]) -> None:
        """Index the facts."""
        self.changing = frozenset(changing)
        self.holding: dict[str, Relation] = {}
        self.index: dict[tuple[str, int], dict[str, Relation]] = {}
        self.deleted: dict[str, Relation] = {}
        for predicate, arguments in facts:
            self.add(predicate, arguments)

    def copy(self) -> Facts:
        """Return facts that change independently of these."""
        twin = object.__new__(Facts)
        twin.changing = self.changing
        twin.holding, twin.index = self.holding.copy(), self.index.copy()
        twin.deleted = {predicate: set(found) for predicate, found in self.deleted.items()}
        for predicate in self.changing:
            if predicate in twin.holding:
                twin.holding[predicate] = set(twin.holding[predicate])
                arity = 0
                while (by_argument := twin.index.get((predicate, arity))) is not None:
                    twin.index[predicate, arity] = {argument: set(found) for argument, found in by_argument.items()}
                    arity += 1
        return twin

    def of(self, predicate: str) -> Set[Arguments]:
        """Return the arguments of all that holds of a predicate."""
        return self.holding.get(predicate, _NOTHING)

    def with_argument(self, predicate: str, position: int, argument: str) -> Set[Arguments]:
        """Return the arguments of what holds of a predicate with some argument at some position."""
        found: Mapping[str, Relation] = self.index.get((predicate, position), {})
        return found.get(argument, _NOTHING)

    def add(self, predicate: str, arguments: Arguments) -> None:
        """State a fact."""
        if predicate in self.deleted:
            self.deleted[predicate].discard(arguments)
        relation = self.holding.setdefault(predicate, set())
        if arguments not in relation:
            relation.add(arguments)
            for position, argument in enumerate(arguments):
                self.index.setdefault((predicate, position), {}).setdefault(argument, set()).add(arguments)

    def delete(self, predicate: str, arguments: Arguments) -> None:
        """Delete a fact; one that does not hold counts as deleted as well."""
        self.deleted.setdefault(predicate, set()).add(arguments)
        relation = self.holding.get(predicate)
        if relation is not None and arguments in relation:
            relation.discard(arguments)
            for position, argument in enumerate(arguments):
                self.index[predicate, position][argument].discard(arguments)


__all__ = ["Arguments", "Facts"]
