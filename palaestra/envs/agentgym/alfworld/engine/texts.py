"""`Texts`: says what the grammar of a game has to say in a state."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from palaestra.envs.agentgym.alfworld.engine.errors import GameFileError
from palaestra.envs.agentgym.alfworld.engine.facts import Facts
from palaestra.envs.agentgym.alfworld.engine.grammar import Call, Each, Grammar, Name, Query, Symbol, Variable

Bound = dict[Variable, str]
"""Objects by variable."""


class Texts:
    """The texts of a game.

    Args:
        grammar: Its grammar.
        names: What texts say of each object.
        members: Returns the objects of a type.
    """

    def __init__(self, grammar: Grammar, names: Mapping[str, Name], members: Callable[[str], frozenset[str]]) -> None:
        """Keep all three."""
        self._rules, self._names, self._members = grammar.rules, names, members

    def say(self, symbols: Sequence[Symbol], bound: Bound, facts: Facts) -> str:
        """Return the text of symbols.

        Args:
            symbols: What to say.
            bound: Objects of the variables that are known.
            facts: The state.
        """
        said: list[str] = []
        for symbol in symbols:
            if isinstance(symbol, str):
                said.append(symbol)
            elif isinstance(symbol, Call):
                said.append(self._say_rule(symbol.rule, bound, facts))
            else:
                self._say_each(symbol, bound, facts, said)
        return "".join(said)

    def _say_rule(self, rule: str, bound: Bound, facts: Facts) -> str:
        """Return the text of the first alternative whose condition has a solution."""
        for condition, symbols in self._rules[rule]:
            if not condition or next(self._solutions(condition, 0, bound, facts), None) is not None:
                return self.say(symbols, bound, facts)
        raise GameFileError(f"grammar: no alternative of the rule #{rule}# applies")

    def _say_each(self, symbol: Each, bound: Bound, facts: Facts, said: list[str]) -> None:
        """Add a text for every solution, joined as a list if it is one."""
        content, queries, is_list, _ = symbol
        found: list[str] = []
        for solution in (bound,) if queries is None else self._solutions(queries, 0, bound, facts):
            if isinstance(content, Call):
                found.append(self._say_rule(content.rule, solution, facts))
            else:
                found.append(content.say({name: self._names[thing] for (name, _), thing in solution.items()}))
        if not is_list or len(found) == 1:
            said += found
        elif not found:
            said.append(self._say_rule("list_empty", bound, facts))
        else:
            said.append(self._say_rule("list_separator", bound, facts).join(found[:-1]))
            said += (self._say_rule("list_last_separator", bound, facts), found[-1])

    def _solutions(self, queries: tuple[Query, ...], number: int, bound: Bound, facts: Facts) -> Iterator[Bound]:
        """Yield the solutions of the queries from `number` on.

        The order is that of the original: facts sorted by the ids of their arguments. Two variables never stand for one thing.
        """
        if number == len(queries):
            yield bound
            return
        predicate, is_deleted, variables = queries[number]
        candidates: Iterable[tuple[str, ...]]
        if is_deleted:
            candidates = facts.deleted.get(predicate, ())
        else:
            known = next((place for place, variable in enumerate(variables) if variable in bound), None)
            if known is None:
                candidates = facts.of(predicate)
            else:
                candidates = facts.with_argument(predicate, known, bound[variables[known]])
        used = set(bound.values())
        for arguments in sorted(candidates):
            new: Bound = {}
            for variable, thing in zip(variables, arguments, strict=False):
                have = bound.get(variable) or new.get(variable)
                if have is None:
                    if thing in used or thing in new.values() or thing not in self._members(variable[1]):
                        break
                    new[variable] = thing
                elif have != thing:
                    break
            else:
                yield from self._solutions(queries, number + 1, {**bound, **new} if new else bound, facts)


def display_names(things: Iterable[str], types: Mapping[str, str], shuffled: int | None = None) -> dict[str, Name]:
    """Return the names that texts use for objects.

    A name is the id up to the first `_bar_` (with `basin` after it, if the id has that anywhere) and a number; the first id in
    order gets the highest number of its kind. An id without `_bar_` is followed by a blank.

    Args:
        things: Ids of the objects.
        types: Their types.
        shuffled: Seed by which the numbers of each kind are dealt out in another order; None for the original's.
    """
    ids = sorted(set(things))
    kinds: dict[str, list[str]] = {}
    named: dict[str, str] = {}
    for thing in ids:
        kind, bar, _ = thing.partition("_bar_")
        if bar:
            kinds.setdefault(kind + ("basin" if "basin" in thing else ""), []).append(thing)
        else:
            named[thing] = f"{thing} "
    for kind, members in kinds.items():
        numbers = list(range(len(members), 0, -1))
        if shuffled is not None:
            random.Random(f"{shuffled}/{kind}").shuffle(numbers)
        named.update({thing: f"{kind} {number}" for thing, number in zip(members, numbers, strict=True)})
    return {thing: Name(named[thing], thing, "a", "the", types[thing]) for thing in ids}


__all__ = ["Bound", "Texts", "display_names"]
