"""`Join`: looks for all solutions of a conjunction, by index look-ups in an order that is fixed when the game is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from palaestra.envs.agentgym.alfworld.engine.facts import Arguments, Facts
from palaestra.envs.agentgym.alfworld.engine.formulas import Literal

Row = tuple[str, ...]
"""The objects bound so far, by slot."""

Place = int | str
"""A slot of the row (0 and up), a position of the fact at hand (-1 and down, as -1 - position), or an object."""


class _Match(NamedTuple):
    """Facts of a predicate with known arguments bring new objects into the row."""

    predicate: str
    known: tuple[tuple[int, Place], ...]
    new: tuple[tuple[int, frozenset[str]], ...]

    def extend(self, rows: list[Row], facts: Facts) -> list[Row]:
        """Return the rows with what was found."""
        predicate, known, new = self
        found: list[Row] = []
        first = known[0] if known and not (isinstance(known[0][1], int) and known[0][1] < 0) else None
        checks = known if first is None else known[1:]
        for row in rows:
            if first is None:
                candidates = facts.of(predicate)
            else:
                position, place = first
                candidates = facts.with_argument(predicate, position, row[place] if isinstance(place, int) else place)
            for arguments in candidates:
                for position, place in checks:
                    if arguments[position] != _value(place, row, arguments):
                        break
                else:
                    for position, allowed in new:
                        if arguments[position] not in allowed:
                            break
                    else:
                        found.append(row + tuple([arguments[position] for position, _ in new]))
        return found


class _Absent(NamedTuple):
    """Rows stay for which a fact does not hold."""

    predicate: str
    places: tuple[Place, ...]

    def extend(self, rows: list[Row], facts: Facts) -> list[Row]:
        """Return the rows that stay."""
        holding = facts.of(self.predicate)
        return [row for row in rows if tuple([row[p] if isinstance(p, int) else p for p in self.places]) not in holding]


class _Equal(NamedTuple):
    """Rows stay in which two objects are the same, or are not."""

    is_same: bool
    places: tuple[Place, ...]

    def extend(self, rows: list[Row], facts: Facts) -> list[Row]:
        """Return the rows that stay."""
        del facts
        first, second = self.places
        return [row for row in rows if (_value(first, row) == _value(second, row)) == self.is_same]


class _Every(NamedTuple):
    """All objects of a type, for a variable that no fact binds."""

    objects: tuple[str, ...]

    def extend(self, rows: list[Row], facts: Facts) -> list[Row]:
        """Return each row with each object."""
        del facts
        return [(*row, found) for row in rows for found in self.objects]


class Join:
    """A conjunction.

    Args:
        variables: Its variables and their types.
        literals: What has to hold.
        facts: A state from which the sizes of relations are taken.
        members: Returns the objects of a type.

    Attributes:
        slots: Position of each variable in a solution.
        is_empty: Whether it can have no solution, as a type has no members.
    """

    def __init__(
        self,
        variables: Sequence[tuple[str, str]],
        literals: Iterable[Literal],
        facts: Facts,
        members: Callable[[str], frozenset[str]],
    ) -> None:
        """Choose the order of the look-ups: always the fact with the fewest candidates next."""
        types = dict(variables)
        self.slots: dict[str, int] = {}
        self._steps: list[_Match | _Absent | _Equal | _Every] = []
        self.is_empty = not all(members(kind) for kind in types.values())
        binding = [literal for literal in literals if literal.is_positive and literal.predicate != "="]
        testing = [literal for literal in literals if not literal.is_positive or literal.predicate == "="]
        while binding or any(name not in self.slots for name in types):
            self._add_tests(testing)
            if binding:
                best = min(binding, key=lambda literal: self._expected(literal, facts))
                binding.remove(best)
                self._add_match(best, types, members)
            else:
                name = next(name for name in types if name not in self.slots)
                self.slots[name] = len(self.slots)
                self._steps.append(_Every(tuple(sorted(members(types[name])))))
        self._add_tests(testing)

    def solutions(self, facts: Facts) -> list[Row]:
        """Return every solution, in no order that means anything."""
        if self.is_empty:
            return []
        rows: list[Row] = [()]
        for step in self._steps:
            rows = step.extend(rows, facts)
            if not rows:
                break
        return rows

    def _is_known(self, argument: str) -> bool:
        """Whether an argument is an object or a bound variable."""
        return not argument.startswith("?") or argument in self.slots

    def _place(self, argument: str) -> Place:
        """Return where the value of a known argument is."""
        return self.slots[argument] if argument.startswith("?") else argument

    def _expected(self, literal: Literal, facts: Facts) -> float:
        """Return about how many facts a row will meet."""
        number = float(len(facts.of(literal.predicate)))
        for position, argument in enumerate(literal.arguments):
            if self._is_known(argument):
                number /= max(1, len(facts.index.get((literal.predicate, position), ())))
        return number

    def _add_tests(self, testing: list[Literal]) -> None:
        """Add the tests whose variables are all bound by now."""
        for literal in [literal for literal in testing if all(map(self._is_known, literal.arguments))]:
            testing.remove(literal)
            places = tuple(self._place(argument) for argument in literal.arguments)
            is_equality = literal.predicate == "="
            self._steps.append(_Equal(literal.is_positive, places) if is_equality else _Absent(literal.predicate, places))

    def _add_match(self, literal: Literal, types: dict[str, str], members: Callable[[str], frozenset[str]]) -> None:
        """Add the look-up of a fact, and bind its new variables."""
        known: list[tuple[int, Place]] = []
        new: dict[str, int] = {}
        for position, argument in enumerate(literal.arguments):
            if argument in new:
                known.append((position, -1 - new[argument]))
            elif self._is_known(argument):
                known.append((position, self._place(argument)))
            else:
                new[argument] = position
        for name in new:
            self.slots[name] = len(self.slots)
        known.sort(key=lambda pair: isinstance(pair[1], int) and pair[1] < 0)  # what the index can find comes first
        allowed = tuple((position, members(types.get(name, "object"))) for name, position in new.items())
        self._steps.append(_Match(literal.predicate, tuple(known), allowed))


def _value(place: Place, row: Row, arguments: Arguments = ()) -> str:
    """Return the object at a place."""
    if isinstance(place, str):
        return place
    return row[place] if place >= 0 else arguments[-1 - place]


__all__ = ["Join"]
