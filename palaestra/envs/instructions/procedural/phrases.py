"""Sentences that state a constraint, several for each kind; `parse` reads each back to the same typed form."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from palaestra.envs.instructions.constraints import Constraint

Say = Callable[[Mapping[str, Any], random.Random], str]

MARK_NAMES = {
    ".": "a period",
    "!": "an exclamation mark",
    "?": "a question mark",
    ",": "commas",
    ";": "semicolons",
    ":": "colons",
}
_ONE = re.compile(r"\b1 (word|sentence|paragraph|row|column|level|attribute|time)s\b")
_PLURALS = {"!": "exclamation marks", "?": "question marks"}


def say(constraint: Constraint, rng: random.Random) -> str:
    """Return a sentence for a constraint, without a full stop at its end.

    Args:
        constraint: Of a kind in `SAID`.
        rng: Chooses among the ways to say it.
    """
    return _ONE.sub(r"1 \1", SAID[constraint.kind](constraint.params, rng))


def listed(words: Sequence[str], joint: str = "and") -> str:
    """Return "'a'", "'a' and 'b'" or "'a', 'b', and 'c'"."""
    quoted = [f"'{word}'" for word in words]
    if len(quoted) < 3:
        return f" {joint} ".join(quoted)
    return f"{', '.join(quoted[:-1])}, {joint} {quoted[-1]}"


def ranged(lo: int | None, hi: int | None, rng: random.Random) -> str:
    """Return the words for a range."""
    if lo is None:
        return rng.choice((f"at most {hi}", f"no more than {hi}", f"a maximum of {hi}", f"up to {hi}"))
    if hi is None:
        return rng.choice((f"at least {lo}", f"no fewer than {lo}", f"a minimum of {lo}", f"no less than {lo}"))
    if lo == hi:
        return f"exactly {lo}"
    return rng.choice((f"between {lo} and {hi}", f"{lo} to {hi}"))


def _counted(unit: str) -> Say:
    templates = (
        f"use {{range}} {unit}",
        f"write {{range}} {unit}",
        f"the answer must contain {{range}} {unit}",
        f"the response should have {{range}} {unit} in total",
        f"keep to {{range}} {unit}",
        f"the whole text needs {{range}} {unit}",
    )
    return lambda params, rng: rng.choice(templates).format(range=ranged(params["lo"], params["hi"], rng))


def _choice(*templates: str, **named: Callable[[Mapping[str, Any]], str]) -> Say:
    def say_one(params: Mapping[str, Any], rng: random.Random) -> str:
        return rng.choice(templates).format(**{name: value(params) for name, value in named.items()})

    return say_one


def _keywords(params: Mapping[str, Any], rng: random.Random) -> str:
    words = params["keywords"]
    noun = "keyword" if len(words) == 1 or params["any_of"] else "keywords"
    joined = listed(words, "or" if params["any_of"] else "and")
    least = params["min_count"]
    often = {1: "", 2: " at least twice"}.get(least, f" at least {least} times")
    return rng.choice(
        (
            f"include the {noun} {joined}{often}",
            f"use the {noun} {joined}{often}",
            f"mention the {noun} {joined}{often}",
            f"the answer must include the {noun} {joined}{often}",
            f"the response should contain the {noun} {joined}{often}",
            f"the text has to use the {noun} {joined}{often}",
        )
    )


def _table(params: Mapping[str, Any], rng: random.Random) -> str:
    sizes = [
        f"{ranged(lo, hi, rng)} {noun}"
        for noun, (lo, hi) in (("rows", params["rows"]), ("columns", params["cols"]))
        if (lo, hi) != (None, None)
    ]
    size = " and ".join(sizes)
    return rng.choice(
        (
            f"include a table with {size}",
            f"add a table with {size}",
            f"show the main facts in a table with {size}",
            f"the answer must include a table with {size}",
            f"the response should present a table with {size}",
            f"the text needs a table with {size}",
        )
    )


def _markdown(params: Mapping[str, Any], rng: random.Random) -> str:
    (name, value), *_ = params.items()
    return _MARKDOWN[name](value, rng)


def _levels(value: list[int], rng: random.Random) -> str:
    named = [f"a level {level} heading" for level in value]
    joined = named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"
    return rng.choice(
        (
            f"use {joined}",
            f"include {joined}",
            f"structure the text with {joined}",
            f"the answer must contain {joined}",
            f"the response should have {joined}",
            f"the text needs {joined} in Markdown",
        )
    )


def _distinct(value: tuple[str, int], rng: random.Random) -> str:
    comparison, number = value
    said = {">=": "at least", "<=": "at most", "==": "exactly"}[comparison]
    return rng.choice(
        (
            f"use {said} {number} different heading levels",
            f"organize the text with {said} {number} heading levels",
            f"work with {said} {number} heading levels in Markdown",
            f"the answer must have {said} {number} heading levels",
            f"the response should use {said} {number} different heading levels",
            f"the text needs {said} {number} heading levels",
        )
    )


def _of(*templates: str) -> Callable[[Any, random.Random], str]:
    return lambda value, rng: rng.choice(templates)


_MARKDOWN: dict[str, Callable[[Any, random.Random], str]] = {
    "required_levels": _levels,
    "distinct_levels": _distinct,
    "titled_heading": lambda value, rng: rng.choice(
        (
            "include a level {0} heading titled '{1}'",
            "add a level {0} heading titled '{1}'",
            "write a level {0} heading titled '{1}'",
            "the answer must have a level {0} heading titled '{1}'",
            "the response should contain a level {0} heading titled '{1}'",
            "the text needs a level {0} heading titled '{1}'",
        )
    ).format(*value),
    "any_heading": _of(
        "use headings to organize the text",
        "put headings over the parts",
        "add headings in Markdown",
        "the answer must have headings",
        "the response should be organized with headings",
        "the text needs headings",
    ),
    "block_quote": _of(
        "include a block quote",
        "use a block quote in Markdown",
        "show one remark as a block quote",
        "the answer must contain a block quote",
        "the response should have a block quote",
        "the text needs a block quote",
    ),
    "bullets": _of(
        "use bullet points in Markdown",
        "include bullet points in Markdown",
        "list something in Markdown bullet points",
        "the answer must have Markdown bullet points",
        "the response should contain Markdown bullet points",
        "the text needs bullet points in Markdown",
    ),
}


def _case(name: str) -> Say:
    return _choice(
        f"write everything in {name}",
        f"use {name} throughout",
        f"set the whole text in {name}",
        f"the answer must be in {name}",
        f"the response should be written in {name}",
        f"the text has to be in {name}",
    )


def _script(name: str) -> Say:
    return _choice(
        f"include some {name} Chinese characters",
        f"include at least one {name} Chinese character",
        f"make sure to include a {name} Chinese character somewhere",
        f"the answer must contain {name} Chinese characters",
        f"the response should include some {name} Chinese characters",
        f"the text has to contain a {name} Chinese character",
    )


SAID: dict[str, Say] = {
    "content.keywords": _keywords,
    "content.avoid": _choice(
        "avoid the word {words}",
        "do not use the word {words}",
        "leave out and avoid the word {words}",
        "the answer must not contain the word {words}",
        "the response should not use the word {words}",
        "the text must avoid the word {words}",
        words=lambda params: listed(params["keywords"]),
    ),
    "content.repeated": lambda params, rng: rng.choice(
        (
            "use the keyword '{word}' {range} times",
            "write the keyword '{word}' {range} times",
            "repeat the keyword '{word}' {range} times",
            "the answer must contain the keyword '{word}' {range} times",
            "the response should have the keyword '{word}' {range} times",
            "the text needs the keyword '{word}' {range} times",
        )
    ).format(word=params["keyword"], range=_closed(params, rng)),
    "content.start": _choice(
        "start with the identifier {words}",
        "begin the answer with the identifier {words}",
        "open the text so that it starts with the identifier {words}",
        "the answer must start with the identifier {words}",
        "the response should begin with the identifier {words}",
        "the text has to start with the identifier {words}",
        words=lambda params: f'"{params["text"]}"',
    ),
    "content.end": _choice(
        "end with the identifier {words}",
        "close the text so that it ends with the identifier {words}",
        "finish the answer so that it ends with the identifier {words}",
        "the answer must end with the identifier {words}",
        "the response should end with the identifier {words}",
        "the text has to end with the identifier {words}",
        words=lambda params: f'"{params["text"]}" (this exact text)',
    ),
    "content.ending_punctuation": _choice(
        "end with {mark}",
        "conclude with {mark}",
        "let the last character end the text with {mark}",
        "the answer must end with {mark}",
        "the response should conclude with {mark}",
        "the text has to end with {mark}",
        mark=lambda params: " or ".join(MARK_NAMES[mark] for mark in params["allowed"]),
    ),
    "content.exclude_punctuation": _choice(
        "do not use {marks}",
        "avoid {marks} as punctuation",
        "write without {marks} as punctuation",
        "the answer must not contain {marks} as punctuation",
        "the response should not use {marks}",
        "the text must avoid {marks}",
        marks=lambda params: " or ".join(_PLURALS.get(mark, MARK_NAMES[mark]) for mark in params["chars"]),
    ),
    "format.markdown": _markdown,
    "format.table": _table,
    "format.json_depth": lambda params, rng: rng.choice(
        (
            "include a JSON object with {range} levels of nesting",
            "add JSON with {range} levels of nesting",
            "give the facts as JSON with {range} levels of nesting",
            "the answer must include a JSON object with {range} levels of nesting",
            "the response should contain JSON with {range} levels of nesting",
            "the text needs a JSON example with {range} levels of nesting",
        )
    ).format(range=ranged(params["lo"], params["hi"], rng)),
    "format.xml_attributes": lambda params, rng: rng.choice(
        (
            "include XML in which each element has {range} attributes",
            "add XML with {range} attributes in every element",
            "give the facts as XML and use {range} attributes for each element",
            "the answer must include XML with {range} attributes in each element",
            "the response should contain XML, each element with {range} attributes",
            "each XML element in the answer must have {range} attributes",
        )
    ).format(range=ranged(params["lo"], params["hi"], rng)),
    "language.uppercase": _case("uppercase"),
    "language.lowercase": _case("lowercase"),
    "language.zh_simplified": _script("simplified"),
    "language.zh_traditional": _script("traditional"),
    "language.title_case": _choice(
        "capitalize the first letter of every word",
        "use capitalized letters for each word",
        "start each word with a capital letter",
        "the answer must use capitalized letters for each word",
        "the response should have each word capitalized",
        "the text has to start every word with a capital letter",
    ),
    "length.words": _counted("words"),
    "length.sentences": _counted("sentences"),
    "length.paragraphs": _counted("paragraphs"),
}
"""How each kind is said; kinds that are not here are not made."""


def _closed(params: Mapping[str, Any], rng: random.Random) -> str:
    return ranged(params["lo"], params["hi"], rng)
