"""Questions in words, and words back into questions.

A question is a template around noun phrases, which nest: 'the mayor of the city where "Kontal" was born'. Names stand in
quotes, once each; what lies between is never named. `meanings` reads a text by the same grammar, in every way that it can be
read, so that a question that says two things is noticed: the builder keeps those that say the one thing they should.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from palaestra.envs.toolforge.stages.catalogue import Relation, catalogue
from palaestra.envs.toolforge.stages.decompose import COMPARISONS, Part, Plan, Thing
from palaestra.envs.toolforge.stages.draw import Draw

_SLOT = re.compile(r"(\{\w+\})")
_NAME = re.compile(r'"([^"]+)"')
SEPARATOR = "; "


class Phrase(NamedTuple):
    """A phrase that was read.

    Attributes:
        type: Type of what it stands for; empty for a name whose type is not said.
        meaning: A name, or a relation over meanings, as `Plan.meaning` gives it.
        end: Where it ends in the text.
    """

    type: str
    meaning: Any
    end: int


def put_into_words(draw: Draw, plan: Plan, *, is_plain: bool) -> str:
    """Return a question in words.

    Args:
        draw: Chance: which of the ways to say it.
        plan: What to say.
        is_plain: Always take the first way.
    """
    operation, over = plan.operation, plan.over
    if (calculator := plan.calculator) is not None:
        operation, over = calculator.operation, calculator.deps
    forms = catalogue().questions[operation]
    form = forms[0] if is_plain else draw.one(forms)
    words: dict[str, str] = {}
    asked: list[Thing | str] = list(over)
    if operation in COMPARISONS:
        relation = plan.part(over[0]).relation
        assert relation is not None
        words["noun"] = draw.one(relation.nouns)
        asked = [plan.part(part).args[0] for part in over]
    phrases = [_phrase(draw, plan, arg, is_plain) for arg in asked]
    words |= {"items": SEPARATOR.join(phrases), "a": phrases[0], "b": phrases[-1]}
    return form.format(**words)


def part_in_words(part: Part) -> str:
    """Return a part in words, with {n1} in place of the answers of others."""
    ends = [f'"{arg.name}"' if isinstance(arg, Thing) else f"{{{arg}}}" for arg in part.args]
    if part.relation is None:
        return f"{part.operation} of {' and '.join(ends)}"
    return part.relation.forms()[0].format(**dict(zip("xy", ends, strict=False)))


def meanings(text: str) -> list[Any]:
    """Return everything that a question can mean, in the form of `Plan.goal` before it is sorted.

    Args:
        text: A question, or any other text (which means nothing).
    """
    found: list[Any] = []
    reader = _Reader(text)
    for operation, forms in catalogue().questions.items():
        for form in forms:
            for bound in reader.match(_SLOT.split(form), 0, {}):
                for meaning in _asked(operation, bound):
                    if meaning not in found:
                        found.append(meaning)
    return found


def meaning_of(plan: Plan) -> Any:
    """Return the one thing that a question of a plan should mean."""
    if (calculator := plan.calculator) is not None:
        return [calculator.operation, *(plan.meaning(arg) for arg in calculator.args)]
    return [plan.operation, *(plan.meaning(part) for part in plan.over)]


def _phrase(draw: Draw, plan: Plan, arg: Thing | str, is_plain: bool) -> str:
    """Return a noun phrase for a thing or for the answer of a part."""
    if isinstance(arg, Thing):
        quoted = f'"{arg.name}"'
        return quoted if is_plain or draw.chance(0.5) else f"the {arg.type} {quoted}"
    part = plan.part(arg)
    relation = part.relation
    assert relation is not None
    forms = relation.forms()
    if not all(isinstance(inner, Thing) for inner in part.args):  # phrases that end in their own words are hard to read nested
        forms = tuple(form for form in forms if form.endswith("}"))
    inner = [_phrase(draw, plan, arg, is_plain) for arg in part.args]
    return (forms[0] if is_plain else draw.one(forms)).format(**dict(zip("xy", inner, strict=False)))


def _asked(operation: str, bound: Mapping[str, Any]) -> Iterator[Any]:
    """Yield what a template asks for, once its slots are read."""
    things: list[Phrase] = bound["items"] if "items" in bound else [bound["a"], bound["b"]] if "b" in bound else [bound["a"]]
    if operation not in COMPARISONS:
        yield [operation, *(thing.meaning for thing in things)]
        return
    for relation in _by_noun().get(bound["noun"], ()):
        if all(thing.type in ("", relation.sources[0]) for thing in things):
            yield [operation, *([relation.name, thing.meaning] for thing in things)]


@cache
def _by_noun() -> Mapping[str, list[Relation]]:
    """Return the relations by each of their nouns."""
    found: dict[str, list[Relation]] = {}
    for relation in catalogue().relations.values():
        for noun in relation.nouns:
            found.setdefault(noun, []).append(relation)
    return found


@cache
def _forms() -> Mapping[str, list[tuple[Relation, list[str]]]]:
    """Return all phrases in pieces, by their first two words."""
    found: dict[str, list[tuple[Relation, list[str]]]] = {}
    for relation in catalogue().relations.values():
        for form in relation.forms():
            found.setdefault(" ".join(form.split(" ", 2)[:2]), []).append((relation, _SLOT.split(form)))
    return found


class _Reader:
    """Reads one text, in every way."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.known: dict[int, list[Phrase]] = {}

    def match(self, pieces: list[str], at: int, bound: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the slots of a template for each way in which it fits from a place to the end of the text."""
        if not pieces:
            if at == len(self.text):
                yield bound
            return
        piece, rest = pieces[0], pieces[1:]
        if piece == "{items}":
            for items, end in self.items(at):
                yield from self.match(rest, end, {**bound, "items": items})
        elif piece == "{noun}":
            for noun in _by_noun():
                if self.text.startswith(noun, at):
                    yield from self.match(rest, at + len(noun), {**bound, "noun": noun})
        elif _SLOT.fullmatch(piece):
            for phrase in self.phrases(at):
                yield from self.match(rest, phrase.end, {**bound, piece[1:-1]: phrase})
        elif self.text.startswith(piece, at):
            yield from self.match(rest, at + len(piece), bound)

    def items(self, at: int) -> Iterator[tuple[list[Phrase], int]]:
        """Yield the lists of phrases that begin at a place, with their ends."""
        for phrase in self.phrases(at):
            yield [phrase], phrase.end
            if self.text.startswith(SEPARATOR, phrase.end):
                for others, end in self.items(phrase.end + len(SEPARATOR)):
                    yield [phrase, *others], end

    def phrases(self, at: int) -> list[Phrase]:
        """Return the phrases that begin at a place."""
        if at not in self.known:
            self.known[at] = list(self._phrases(at))
        return self.known[at]

    def _phrases(self, at: int) -> Iterator[Phrase]:
        """Yield the phrases that begin at a place: names, names after their type, relations."""
        if name := _NAME.match(self.text, at):
            yield Phrase("", name[1], name.end())
        for type_ in catalogue().labels:
            begin = at + len(f"the {type_} ")
            if self.text.startswith(f"the {type_} ", at) and (name := _NAME.match(self.text, begin)):
                yield Phrase(type_, name[1], name.end())
        for relation, pieces in _forms().get(" ".join(self.text[at : at + 60].split(" ", 2)[:2]), ()):
            yield from self.relation(relation, pieces, at, [])

    def relation(self, relation: Relation, pieces: list[str], at: int, inner: list[Any]) -> Iterator[Phrase]:
        """Yield the readings of a phrase of a relation from a place on."""
        if not pieces:
            yield Phrase("" if relation.is_scalar else relation.target, [relation.name, *inner], at)
        elif pieces[0] in ("{x}", "{y}"):
            for phrase in self.phrases(at):
                if phrase.type in ("", relation.sources[len(inner)]) and not _is_scalar(phrase):
                    yield from self.relation(relation, pieces[1:], phrase.end, [*inner, phrase.meaning])
        elif self.text.startswith(pieces[0], at):
            yield from self.relation(relation, pieces[1:], at + len(pieces[0]), inner)


def _is_scalar(phrase: Phrase) -> bool:
    """Whether a phrase stands for a number, a date or a code."""
    return isinstance(phrase.meaning, list) and catalogue().relations[phrase.meaning[0]].is_scalar


__all__ = ["SEPARATOR", "meaning_of", "meanings", "part_in_words", "put_into_words"]
