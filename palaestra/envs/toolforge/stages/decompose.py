"""Stage 1: the parts of a question. A scenario becomes a graph of relations over made-up things, with all answers.

Graphs are drawn from their end: the last relation first, then relations that lead to what it starts from. A relation never
follows itself: in f(f(x)), an agent that puts the answer of the inner f into an argument of f makes the golden call of the
outer one.

Source: Feng et al. 2025 (arXiv:2508.08791), section 3.1, scenario decomposition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from palaestra.envs.toolforge.stages.catalogue import NUMBERS, Relation, catalogue
from palaestra.envs.toolforge.stages.draw import Draw, at_point
from palaestra.envs.toolforge.stages.names import Names, Reject
from palaestra.envs.toolforge.stages.presets import Preset
from palaestra.envs.toolforge.tables import calculate
from palaestra.types import Json

SHARED = 0.66
"""Share of parallel questions whose parts ask for the same relation; 33 of 50 published ones do."""

MAX_BRANCH = 5
CALCULATOR = ("sum", "difference", "product", "ratio", "days")
PAIRWISE = ("difference", "ratio", "days")
COMPARISONS = ("which_largest", "which_smallest", "order")
"""Operations whose answer is a thing, or things: those that the compared values belong to."""

_KINDS: Mapping[str, tuple[str, ...]] = {
    "sum": NUMBERS,
    "difference": (*NUMBERS, "year"),
    "product": ("int",),
    "ratio": NUMBERS,
    "days": ("date",),
    **dict.fromkeys(("largest", "smallest", "which_largest", "which_smallest"), NUMBERS),
    "order": (*NUMBERS, "year"),
}


@dataclass(frozen=True)
class Thing:
    """A thing that the question names."""

    name: str
    type: str


@dataclass(frozen=True)
class Part:
    """A part of the question: a relation of things that are named or found before, or a computation.

    Attributes:
        id: n1, n2, ...
        relation: The relation; None for a computation.
        args: What it starts from: things, or ids of other parts.
        operation: One of `CALCULATOR` for a computation.
    """

    id: str
    relation: Relation | None
    args: tuple[Thing | str, ...]
    operation: str = ""

    @property
    def deps(self) -> tuple[str, ...]:
        """Ids of the parts that it needs."""
        return tuple(arg for arg in self.args if isinstance(arg, str))


@dataclass(frozen=True)
class Plan:
    """A question before it has words.

    Attributes:
        scenario: Its scenario.
        parts: In an order in which they can be answered.
        operation: What is asked of `over`: "identity", "list", or an operation.
        over: Ids of the parts whose answers the operation takes.
        answers: Answer of each part, by id.
    """

    scenario: str
    parts: tuple[Part, ...]
    operation: str
    over: tuple[str, ...]
    answers: Mapping[str, Json] = field(repr=False)

    def part(self, part_id: str) -> Part:
        """Return a part by its id."""
        return self.parts[int(part_id[1:]) - 1]

    @property
    def calculator(self) -> Part | None:
        """The part that computes, if a tool does."""
        return self.parts[-1] if self.parts[-1].relation is None else None

    def value(self, arg: Thing | str) -> Json:
        """Return the value of an argument."""
        return arg.name if isinstance(arg, Thing) else self.answers[arg]

    def final_answer(self) -> tuple[Json, str]:
        """Return the answer to the question, and its type in the format."""
        answers = [self.answers[part] for part in self.over]
        if self.operation == "identity":
            return answers[0], answer_type(self.part(self.over[0]), answers[0])
        if self.operation == "list":
            return answers, "list"
        if self.operation not in COMPARISONS:
            value = compute(self.operation, answers)
            return value, "float" if isinstance(value, float) else "int"
        things = [self.value(self.part(part).args[0]) for part in self.over]
        ranked = [thing for _, thing in sorted(zip(answers, things, strict=True), key=lambda pair: _number(pair[0]))]
        return (
            (ranked, "list")
            if self.operation == "order"
            else (ranked[-1 if self.operation == "which_largest" else 0], "entity")
        )

    def goal(self) -> Json:
        """Return the goal, without the words; equal for questions that ask the same."""
        asked = [self.meaning(part) for part in self.over]
        return [self.operation, *(asked if self.operation in ("ratio", "list") else sorted(asked, key=repr))]

    def meaning(self, arg: Thing | str) -> Any:
        """Return a thing's name, or the relation of a part over the meanings of what it starts from."""
        if isinstance(arg, Thing):
            return arg.name
        part = self.part(arg)
        found = [self.meaning(inner) for inner in part.args]
        name = part.operation if part.relation is None else part.relation.name
        return [name, *found]


def decompose(draw: Draw, scenario: str, preset: Preset, names: Names, point: float) -> Plan:
    """Draw the parts of a question.

    Args:
        draw: Chance.
        scenario: One of the four.
        preset: Sizes, and the relations in use.
        names: Where names and answers come from.
        point: Where the size lies among the sizes of the preset, from 0 to 1.

    Raises:
        Reject: If this draft leads nowhere.
    """
    return _Sketch(draw, preset, names, point).plan(scenario)


def answer_type(part: Part, answer: Json) -> str:
    """Return the type of the answer of a part in the format."""
    if part.relation is None or part.relation.target in ("int", "float", "year"):
        return "float" if isinstance(answer, float) else "int"
    return {"date": "date", "code": "text"}.get(part.relation.target, "entity")


def compute(operation: str, answers: Sequence[Json]) -> Any:
    """Return the result of an operation on answers."""
    if operation == "days":
        first, second = (date.fromisoformat(str(answer)).toordinal() for answer in answers)
        return abs(first - second)
    return calculate(operation, list(answers))


class _Sketch:
    """A graph being drawn."""

    def __init__(self, draw: Draw, preset: Preset, names: Names, point: float) -> None:
        self.draw = draw
        self.point = point
        self.preset = preset
        self.names = names
        known = catalogue().relations
        chosen = [known[name] for name in preset.relations] or list(known.values())
        self.unary = [relation for relation in chosen if not relation.is_binary]
        self.binary = [relation for relation in chosen if relation.is_binary]
        self.used: set[str] = set()
        self.parts: list[Part] = []
        self.answers: dict[str, Json] = {}

    def plan(self, scenario: str) -> Plan:
        """Draw a graph of a scenario."""
        operation = "identity"
        if scenario == "single_hop":
            is_binary = bool(self.binary) and self.draw.chance(0.05)
            ends = [self.alone(self.draw.one(self.binary if is_binary else self.unary))]
        elif scenario == "multi_hop":
            ends = [self.grow(self.path(at_point(self.preset.hops, self.point), self.unary))]
        elif scenario == "parallel_single_hop":
            operation, ends = self.side_by_side()
        else:
            operation, ends = self.branches()
        return Plan(scenario, tuple(self.parts), operation, tuple(ends), self.answers)

    def side_by_side(self) -> tuple[str, list[str]]:
        """Draw parts without edges."""
        width = at_point(self.preset.width, self.point)
        if not self.draw.chance(SHARED):
            return "list", [self.alone(relation) for relation in self.draw.shuffled(self.unary)[:width]]
        relation = self.draw.one(self.unary)
        operation = "list"
        if not self.preset.is_plain and self.draw.chance(0.7):
            fits = [
                name
                for name in ("sum", "difference", "ratio", "largest", "smallest", "days")
                if self.fits(name, relation, width)
            ]
            operation = self.draw.one(fits) if fits else "list"
        return operation, [self.alone(relation) for _ in range(width)]

    def branches(self) -> tuple[str, list[str]]:
        """Draw branches and what joins them."""
        size = at_point(self.preset.nodes, self.point)
        join = self.draw.weighted(self.preset.joins)
        if join == "relation" and not self.binary:
            join = "list"
        if join == "relation":
            joint = self.draw.one(self.binary)
            ends = [self.grow(path) for path in self.paths(size - 1, 2, [self.leading_to(type_) for type_ in joint.sources])]
            return "identity", [self.add(joint, tuple(ends))]
        if join == "list":
            return "list", [self.grow(path) for path in self.paths(size, self.count(size), None)]
        pool = CALCULATOR if join == "calculator" else ("largest", "smallest", *COMPARISONS)
        operation = self.draw.one(pool)
        inner = size - 1 if join == "calculator" else size
        count = 2 if operation in PAIRWISE else self.count(inner, 2 if operation in COMPARISONS else 1)
        last = self.draw.one([one for one in self.unary if self.fits(operation, one, count)] or self.unary)
        least = 2 if operation in COMPARISONS else 1
        ends = [self.grow(path) for path in self.paths(inner, count, [[last]] * count, least)]
        if join == "operation":
            return operation, ends
        return "identity", [self.add(None, tuple(ends), operation)]

    def fits(self, operation: str, relation: Relation, count: int) -> bool:
        """Whether an operation can be asked of several values of a relation."""
        return relation.target in _KINDS[operation] and (count == 2 or operation not in PAIRWISE)

    def count(self, size: int, least: int = 1) -> int:
        """Draw a number of branches for so many parts."""
        low = max(2, -(-size // MAX_BRANCH))
        return self.draw.between(low, max(low, min(4, size // least if least > 1 else size - 1)))

    def paths(self, size: int, count: int, ends: Sequence[Sequence[Relation]] | None, least: int = 1) -> list[list[Relation]]:
        """Draw branches of so many parts in all, one of them with an edge at least."""
        lengths = [least] * count
        for _ in range(size - least * count):
            room = [place for place, length in enumerate(lengths) if length < MAX_BRANCH]
            if not room:
                raise Reject("the branches are too long")
            lengths[self.draw.one(room)] += 1
        if max(lengths) < 2:
            raise Reject("no branch has an edge")
        return [self.path(length, ends[place] if ends else self.unary) for place, length in enumerate(lengths)]

    def leading_to(self, type_: str) -> list[Relation]:
        """Return the relations whose value is a thing of a type."""
        return [relation for relation in self.unary if relation.target == type_]

    def path(self, length: int, ends: Sequence[Relation]) -> list[Relation]:
        """Draw a typed path that ends in one of some relations; the last comes last."""
        path = [self.fresh(ends)]
        while len(path) < length:
            before = [relation for relation in self.leading_to(path[0].sources[0]) if relation != path[0]]
            path.insert(0, self.fresh(before))
        return path

    def fresh(self, relations: Sequence[Relation]) -> Relation:
        """Draw a relation, one that is not used yet if there is one."""
        if not relations:
            raise Reject("no relation leads there")
        unused = [relation for relation in relations if relation.name not in self.used]
        found = self.draw.one(unused or relations)
        self.used.add(found.name)
        return found

    def alone(self, relation: Relation) -> str:
        """Add a part that starts from new things."""
        return self.add(relation, tuple(Thing(self.names.entity(type_), type_) for type_ in relation.sources))

    def grow(self, path: Sequence[Relation]) -> str:
        """Add the parts of a path, from a new thing; returns the id of the last."""
        end = self.alone(path[0])
        for relation in path[1:]:
            end = self.add(relation, (end,))
        return end

    def add(self, relation: Relation | None, args: tuple[Thing | str, ...], operation: str = "") -> str:
        """Add a part and its answer."""
        part = Part(f"n{len(self.parts) + 1}", relation, args, operation)
        self.parts.append(part)
        if relation is None:
            self.answers[part.id] = compute(operation, [self.answers[str(arg)] for arg in args])
        else:
            self.answers[part.id] = self.names.value(relation)
        return part.id


def _number(value: Json) -> float:
    """Return a value as a number, to sort by."""
    return float(value) if isinstance(value, (int, float)) else 0.0


__all__ = ["CALCULATOR", "COMPARISONS", "PAIRWISE", "Part", "Plan", "Thing", "answer_type", "compute", "decompose"]
