"""What an answer must hold to meet constraints, or to break one of them alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from palaestra.envs.instructions.constraints import Constraint
from palaestra.envs.instructions.procedural.lexicon import CHINESE

Range = tuple[int | None, int | None]


class Impossible(Exception):
    """No answer of this form is known for these constraints; others are drawn."""


@dataclass(slots=True)
class Plan:
    """Parts of an answer.

    Attributes:
        words: Bounds of the number of words.
        sentences: Bounds of the number of sentences.
        paragraphs: Bounds of the number of paragraphs; None leaves them free.
        counts: How often each keyword occurs.
        banned: Words that filler does not use.
        start: Text at the start; may be empty.
        end: Sentence at the end; may be empty.
        mark: End mark of the last sentence of prose.
        inserted: Mark that is put behind a word.
        headings: Level and title of each.
        quote: Whether there is a block quote.
        bullets: Number of bullet points.
        table: Rows and columns, or None.
        depth: Depth of the JSON, or None.
        attributes: Attributes of each XML element, or None.
        case: "uppercase", "lowercase", "title_case" or "".
        breaks_case: Whether one word is in another case.
    """

    words: Range = (None, None)
    sentences: Range = (None, None)
    paragraphs: Range | None = None
    counts: dict[str, int] = field(default_factory=dict)
    banned: set[str] = field(default_factory=set)
    start: str = ""
    end: str = ""
    mark: str = "."
    inserted: str = ""
    headings: list[tuple[int, str]] = field(default_factory=list)
    quote: bool = False
    bullets: int = 0
    table: tuple[int, int] | None = None
    depth: int | None = None
    attributes: int | None = None
    case: str = ""
    breaks_case: bool = False


def plan_for(constraints: Sequence[Constraint], broken: int | None, titles: Sequence[str], rng: random.Random) -> Plan:
    """Return a plan that meets all constraints but one.

    Args:
        constraints: They do not contradict one another.
        broken: Index of the constraint that the answer breaks; None for none.
        titles: Titles of headings to choose from.
        rng: Source of chance.

    Raises:
        Impossible: If a constraint cannot be broken alone.
    """
    plan = Plan()
    for number, constraint in enumerate(constraints):
        _PLANS[constraint.kind](plan, constraint.params, number == broken, rng)
    free = [title for title in titles if title.lower() not in {taken.lower() for _, taken in plan.headings}]
    plan.headings = [(level, title or free[at % len(free)]) for at, (level, title) in enumerate(plan.headings)]
    forbidden = {mark for one in constraints for mark in one.params.get("chars", ())}
    if plan.mark in forbidden and not any(one.kind == "content.ending_punctuation" for one in constraints):
        raise Impossible
    return plan


def outside(lo: int | None, hi: int | None, least: int, rng: random.Random, far: int = 1) -> Range:
    """Return bounds outside a range.

    Args:
        lo: Lower bound of the range.
        hi: Upper bound of the range.
        least: The smallest number that can be reached.
        rng: Chooses the side where both are possible.
        far: How far outside at most.

    Raises:
        Impossible: If every number that can be reached lies in the range.
    """
    below = (max(least, lo - far), lo - 1) if lo is not None and lo > least else None
    above = (hi + 1, hi + far) if hi is not None else None
    sides = [side for side in (above, below) if side is not None]
    if not sides:
        raise Impossible
    return rng.choice(sides)


def _pick(bounds: Range, default: tuple[int, int], rng: random.Random) -> int:
    """Return a number within bounds, near the default where they leave it open."""
    lo = bounds[0] if bounds[0] is not None else min(default[0], bounds[1] if bounds[1] is not None else default[0])
    hi = bounds[1] if bounds[1] is not None else max(lo, default[1])
    return rng.randint(lo, hi)


def _length(name: str, least: int, far: int) -> Callable[..., None]:
    def set_bounds(plan: Plan, params: Any, broken: bool, rng: random.Random) -> None:
        lo, hi = params["lo"], params["hi"]
        setattr(plan, name, outside(lo, hi, least, rng, far) if broken else (lo, hi))

    return set_bounds


def _keywords(plan: Plan, params: Any, broken: bool, rng: random.Random) -> None:
    words, least = params["keywords"], params["min_count"]
    plan.banned |= set(words)
    wanted = dict.fromkeys(words, least)
    if params["any_of"]:
        wanted = dict.fromkeys(words, 0) | ({} if broken else {rng.choice(words): least})
    elif broken:
        wanted[rng.choice(words)] = least - 1
    plan.counts |= wanted


def _repeated(plan: Plan, params: Any, broken: bool, rng: random.Random) -> None:
    lo, hi = params["lo"], params["hi"]
    plan.banned.add(params["keyword"])
    bounds = outside(lo, hi, 0, rng) if broken else (lo or 0, hi)
    plan.counts[params["keyword"]] = _pick(bounds, (1, 2), rng)


def _avoid(plan: Plan, params: Any, broken: bool, rng: random.Random) -> None:
    plan.banned |= set(params["keywords"])
    if broken:
        plan.counts[rng.choice(params["keywords"])] = 1


def _start(plan: Plan, params: Any, broken: bool, rng: random.Random) -> None:
    plan.start = "" if broken else params["text"]


def _end(plan: Plan, params: Any, broken: bool, rng: random.Random) -> None:
    plan.end = "" if broken else params["text"]


def _ending(plan: Plan, params: Any, broken: bool, rng: random.Random) -> None:
    plan.mark = rng.choice([mark for mark in ".!?" if mark not in params["allowed"]]) if broken else params["allowed"][0]


def _exclude(plan: Plan, params: Any, broken: bool, rng: random.Random) -> None:
    plan.inserted = params["chars"][0] if broken else ""


def _markdown(plan: Plan, params: Any, broken: bool, rng: random.Random) -> None:
    ((name, value),) = params.items()
    if name == "required_levels":
        gone = rng.choice(value) if broken else 0
        plan.headings = [(level if level != gone else 4, "") for level in value]
    elif name == "distinct_levels":
        comparison, number = value
        count = outside(number, number if comparison == "==" else None, 1, rng)[0] if broken else number
        plan.headings = [(level, "") for level in range(1, (count or 1) + 1)]
    elif name == "titled_heading":
        level, title = value
        plan.headings = [(level, _other_title(title) if broken else title)]
    elif name == "any_heading":
        plan.headings = [] if broken else [(level, "") for level in (1, 2)[: rng.randint(1, 2)]]
    elif name == "block_quote":
        plan.quote = not broken
    else:
        plan.bullets = 0 if broken else rng.randint(2, 3)


def _other_title(title: str) -> str:
    other = "remarks"
    return other.upper() if title.isupper() else other if title.islower() else other.capitalize()


def _table(plan: Plan, params: Any, broken: bool, rng: random.Random) -> None:
    sizes = {"rows": tuple(params["rows"]), "cols": tuple(params["cols"])}
    if broken:
        bounded = [name for name, bounds in sizes.items() if bounds != (None, None)]
        name = rng.choice(bounded)
        lo, hi = sizes[name]
        sizes[name] = outside(lo, hi, 1, rng)
    plan.table = (_pick(sizes["rows"], (2, 3), rng), _pick(sizes["cols"], (2, 3), rng))


def _json(plan: Plan, params: Any, broken: bool, rng: random.Random) -> None:
    lo, hi = params["lo"], params["hi"]
    plan.depth = _pick(outside(lo, hi, 0, rng) if broken else (lo or 1, hi), (1, 2), rng)


def _xml(plan: Plan, params: Any, broken: bool, rng: random.Random) -> None:
    lo, hi = params["lo"], params["hi"]
    plan.attributes = _pick(outside(lo, hi, 0, rng) if broken else (lo or 0, hi), (1, 2), rng)


def _case(name: str) -> Callable[..., None]:
    def set_case(plan: Plan, params: Any, broken: bool, rng: random.Random) -> None:
        plan.case, plan.breaks_case = name, broken

    return set_case


def _script(name: str) -> Callable[..., None]:
    def set_script(plan: Plan, params: Any, broken: bool, rng: random.Random) -> None:
        if not broken:
            plan.counts[rng.choice(CHINESE[name])] = 1

    return set_script


_PLANS: dict[str, Callable[..., None]] = {
    "content.keywords": _keywords,
    "content.repeated": _repeated,
    "content.avoid": _avoid,
    "content.start": _start,
    "content.end": _end,
    "content.ending_punctuation": _ending,
    "content.exclude_punctuation": _exclude,
    "format.markdown": _markdown,
    "format.table": _table,
    "format.json_depth": _json,
    "format.xml_attributes": _xml,
    **{f"language.{name}": _case(name) for name in ("uppercase", "lowercase", "title_case")},
    **{f"language.zh_{name}": _script(name) for name in CHINESE},
    "length.words": _length("words", 1, 10),
    "length.sentences": _length("sentences", 1, 2),
    "length.paragraphs": _length("paragraphs", 1, 1),
}
