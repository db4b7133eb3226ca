"""Drawing kinds and parameters of constraints that an answer can meet together."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from palaestra.envs.instructions.constraints import Constraint
from palaestra.envs.instructions.procedural.conflicts import conflicts
from palaestra.envs.instructions.procedural.lexicon import ENDS, STARTS, TITLES, Topic
from palaestra.envs.instructions.procedural.phrases import say

CATEGORIES = ("Content", "Format", "Language", "Length")
PER_CATEGORY = {
    "Content": (
        "content.keywords",
        "content.repeated",
        "content.avoid",
        "content.start",
        "content.end",
        "content.ending_punctuation",
        "content.exclude_punctuation",
    ),
    "Format": ("format.markdown", "format.table", "format.json_depth", "format.xml_attributes"),
    "Language": (
        "language.uppercase",
        "language.lowercase",
        "language.title_case",
        "language.zh_simplified",
        "language.zh_traditional",
    ),
    "Length": ("length.words", "length.sentences", "length.paragraphs"),
}
"""The kinds that are made, by category."""

MAX_DRAWS = 20
"""How often a constraint that contradicts the others is drawn again."""

Drawn = dict[str, Any]


def draw_kinds(level: int, kinds: Sequence[str], rng: random.Random) -> list[str]:
    """Return kinds of as many categories as the level says, one or two of each, Language one.

    Args:
        level: 1 to 4.
        kinds: The kinds to choose from.
        rng: Source of chance.
    """
    usable = [category for category in CATEGORIES if any(kind in kinds for kind in PER_CATEGORY[category])]
    chosen = rng.sample(usable, min(level, len(usable)))
    found: list[str] = []
    for category in chosen:
        here = [kind for kind in PER_CATEGORY[category] if kind in kinds]
        most = 1 if category == "Language" else min(2, len(here))
        found += rng.sample(here, rng.randint(1, most))
    return found


def draw_constraints(kinds: Sequence[str], topic: Topic, rng: random.Random) -> list[Constraint] | None:
    """Return a constraint of each kind that do not contradict one another, or None if none were found.

    Args:
        kinds: In the order of the constraints.
        topic: Its nouns are the keywords.
        rng: Source of chance.
    """
    case = next((kind.rpartition(".")[2] for kind in kinds if kind.startswith("language.")), "")
    nouns = rng.sample(topic.nouns, len(topic.nouns))
    found: list[Constraint] = []
    for kind in kinds:
        for _ in range(MAX_DRAWS):
            drawn = Constraint(kind, _DRAWS[kind](rng, nouns, case))
            if not conflicts([*found, drawn]):
                break
        else:
            return None
        first, _, second = drawn.family.partition("_")
        sentence = say(drawn, rng)
        found.append(Constraint(kind, drawn.params, sentence[0].upper() + sentence[1:], (first, second), drawn.family))
    return found


def in_case(text: str, case: str) -> str:
    """Return a text in the letter case of the response."""
    if case == "uppercase":
        return text.upper()
    if case == "lowercase":
        return text.lower()
    return " ".join(word[:1].upper() + word[1:] for word in text.split(" ")) if case == "title_case" else text


def _bounds(rng: random.Random, lo: tuple[int, int], width: tuple[int, int]) -> Drawn:
    """Return a lower bound, an upper bound or both."""
    low = rng.randint(*lo)
    form = rng.choice(("lo", "hi", "both"))
    high = low + rng.randint(*width)
    return {"lo": None if form == "hi" else low, "hi": None if form == "lo" else high}


def _keywords(rng: random.Random, nouns: list[str], case: str) -> Drawn:
    count = rng.randint(1, 3)
    words = [nouns.pop() for _ in range(count)]
    if count == 2 and rng.random() < 0.3:
        return {"keywords": words, "any_of": True}
    return {"keywords": words, "min_count": 2 if count == 1 and rng.random() < 0.3 else 1}


def _repeated(rng: random.Random, nouns: list[str], case: str) -> Drawn:
    low = rng.randint(1, 3)
    form = rng.choice(("hi", "both", "exact"))
    high = low if form == "exact" else low + rng.randint(1, 2)
    return {"keyword": nouns.pop(), "lo": None if form == "hi" else low, "hi": high}


def _markdown(rng: random.Random, nouns: list[str], case: str) -> Drawn:
    name = rng.choice(("required_levels", "distinct_levels", "titled_heading", "any_heading", "block_quote", "bullets"))
    if name == "required_levels":
        return {name: sorted(rng.sample((1, 2, 3), rng.randint(1, 3)))}
    if name == "distinct_levels":
        return {name: [rng.choice((">=", "==")), rng.randint(2, 3)]}
    if name == "titled_heading":
        return {name: [rng.randint(1, 3), in_case(rng.choice(TITLES), case)]}
    return {name: True}


def _table(rng: random.Random, nouns: list[str], case: str) -> Drawn:
    rows = _bounds(rng, (2, 4), (0, 2))
    cols = _bounds(rng, (2, 3), (0, 1))
    form = rng.choice(("rows", "cols", "both"))
    free = [None, None]
    return {
        "rows": free if form == "cols" else [rows["lo"], rows["hi"]],
        "cols": free if form == "rows" else [cols["lo"], cols["hi"]],
        "required": True,
    }


_DRAWS: dict[str, Callable[[random.Random, list[str], str], Drawn]] = {
    "content.keywords": _keywords,
    "content.repeated": _repeated,
    "content.avoid": lambda rng, nouns, case: {"keywords": [nouns.pop()]},
    "content.start": lambda rng, nouns, case: {"text": rng.choice(STARTS)},
    "content.end": lambda rng, nouns, case: {"text": in_case(rng.choice(ENDS), case)},
    "content.ending_punctuation": lambda rng, nouns, case: {"allowed": [rng.choice(".!?")]},
    "content.exclude_punctuation": lambda rng, nouns, case: {"chars": [rng.choice(",;!?")]},
    "format.markdown": _markdown,
    "format.table": _table,
    "format.json_depth": lambda rng, nouns, case: _bounds(rng, (1, 3), (0, 1)),
    "format.xml_attributes": lambda rng, nouns, case: _bounds(rng, (1, 3), (0, 2)),
    "language.uppercase": lambda rng, nouns, case: {},
    "language.lowercase": lambda rng, nouns, case: {},
    "language.title_case": lambda rng, nouns, case: {},
    "language.zh_simplified": lambda rng, nouns, case: {"mode": "contains"},
    "language.zh_traditional": lambda rng, nouns, case: {"mode": "contains"},
    "length.words": lambda rng, nouns, case: _bounds(rng, (30, 120), (20, 80)),
    "length.sentences": lambda rng, nouns, case: _bounds(rng, (2, 10), (1, 4)),
    "length.paragraphs": lambda rng, nouns, case: _bounds(rng, (2, 5), (0, 2)),
}
