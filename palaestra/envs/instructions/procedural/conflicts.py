"""Constraints that no answer can meet together, found without building an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Any

from palaestra.envs.instructions.constraints import Constraint

_CASES = ("language.uppercase", "language.lowercase", "language.title_case")
_CHINESE = ("language.zh_simplified", "language.zh_traditional")
_RANGES = ("length.words", "length.sentences", "length.paragraphs", "length.characters", "format.json_depth")


def conflicts(constraints: Sequence[Constraint]) -> list[str]:
    """Return why constraints contradict one another, one sentence for each pair; empty if no contradiction is known.

    Args:
        constraints: All of them are about one answer.
    """
    pairs = combinations(constraints, 2)
    return [reason for one, two in pairs for pair in ((one, two), (two, one)) for reason in _of_pair(*pair)]


def _of_pair(one: Constraint, two: Constraint) -> Iterator[str]:
    for rule in _RULES:
        if (reason := rule(one, two)) is not None:
            yield reason


def _said(one: Constraint) -> str:
    return f"{one.text!r} ({one.kind})" if one.text else f"{one.kind} {dict(one.params)}"


def _ranges(one: Constraint, two: Constraint) -> str | None:
    """Two ranges of one kind that do not meet."""
    if one.kind != two.kind or one.kind not in _RANGES or one.params.get("scope") != two.params.get("scope"):
        return None
    lo, hi = one.params["lo"], two.params["hi"]
    return f"{_said(one)} asks for more than {_said(two)} allows" if lo is not None and hi is not None and lo > hi else None


def _languages(one: Constraint, two: Constraint) -> str | None:
    """Two letter cases or scripts of the whole response, or Chinese throughout beside English."""
    if one.kind >= two.kind:
        return None
    for group in (_CASES, _CHINESE):
        throughout = all(each.params.get("mode", "entire") == "entire" for each in (one, two))
        if {one.kind, two.kind} <= set(group) and throughout and one.params.get("scope") == two.params.get("scope"):
            return f"{_said(one)} and {_said(two)} cannot both hold for the whole response"
    return None


def _chinese_alone(one: Constraint, two: Constraint) -> str | None:
    """Chinese without Latin letters beside a text in Latin letters."""
    if one.kind not in _CHINESE or one.params["mode"] != "entire":
        return None
    latin = [text for text in _texts(two) if any("a" <= letter <= "z" for letter in text.lower())]
    if latin or two.kind in ("format.json_depth", "format.xml_attributes"):
        return f"{_said(two)} needs Latin letters, which {_said(one)} forbids"
    return None


def _words_for_sentences(one: Constraint, two: Constraint) -> str | None:
    """Too few words for the sentences or keywords, too few sentences for the paragraphs."""
    needs = {"length.words": ("length.sentences", 2), "length.sentences": ("length.paragraphs", 1)}
    if one.kind in needs and one.params["scope"] == "whole" and (hi := one.params["hi"]) is not None:
        other, each = needs[one.kind]
        if two.kind == other and two.params["scope"] == "whole" and (two.params["lo"] or 0) * each > hi:
            return f"{_said(one)} allows too little for {_said(two)}"
        if one.kind == "length.words" and two.kind == "content.keywords" and not two.params["any_of"]:
            words = sum(len(keyword.split()) for keyword in two.params["keywords"]) * two.params["min_count"]
            if words > hi:
                return f"{_said(one)} allows fewer words than the keywords of {_said(two)} have"
    return None


def _endings(one: Constraint, two: Constraint) -> str | None:
    """A last character that the text at the end, or a forbidden mark, rules out."""
    if one.kind != "content.ending_punctuation" or one.params["scope"] != "whole" or one.params["negate"]:
        return None
    allowed = one.params["allowed"]
    if "ANY" in allowed:
        return None
    if two.kind == "content.end" and not two.params["text"].rstrip().endswith(tuple(allowed)):
        return f"{_said(two)} does not end as {_said(one)} asks"
    if two.kind == "content.exclude_punctuation" and all(set(mark) & set(two.params["chars"]) for mark in allowed):
        return f"{_said(two)} forbids the marks that {_said(one)} asks for"
    return None


def _forbidden(one: Constraint, two: Constraint) -> str | None:
    """A text that must be there and holds a forbidden word or mark."""
    if one.kind == "content.avoid":
        found = [word for word in one.params["keywords"] for text in _texts(two) if word.casefold() in text.casefold()]
    elif one.kind == "content.exclude_punctuation":
        found = [mark for mark in one.params["chars"] for text in _texts(two) if mark in text]
        marks = {"format.json_depth": '{}[]":,', "format.table": "|-", "format.xml_attributes": "<>"}.get(two.kind, "")
        found += [mark for mark in one.params["chars"] if mark in marks]
    else:
        return None
    return f"{_said(two)} needs {found[0]!r}, which {_said(one)} forbids" if found else None


def _exact_case(one: Constraint, two: Constraint) -> str | None:
    """A title or an ending whose letters are not in the case of the response."""
    fits = {"language.uppercase": str.isupper, "language.lowercase": str.islower}.get(one.kind)
    if fits is None or one.params["scope"] != "whole":
        return None
    exact = [two.params["text"]] if two.kind == "content.end" else []
    if two.kind == "format.markdown" and "titled_heading" in two.params:
        exact.append(two.params["titled_heading"][1])
    wrong = [text for text in exact if any(map(str.isalpha, text)) and not fits(text)]
    return f"{_said(two)} needs {wrong[0]!r}, which is not in the case of {_said(one)}" if wrong else None


def _quoted_whole(one: Constraint, two: Constraint) -> str | None:
    """Every line in a block quote beside headings or a table."""
    if one.kind != "format.markdown" or not one.params.get("block_quote_all"):
        return None
    headings = two.kind == "format.markdown" and not {"block_quote", "block_quote_all"} & set(two.params)
    if headings or (two.kind == "format.table" and two.params["required"]):
        return f"{_said(two)} cannot stand in the block quote of {_said(one)}"
    return None


def _texts(constraint: Constraint) -> list[str]:
    """Return the texts that an answer must have."""
    params: dict[str, Any] = dict(constraint.params)
    found = [] if constraint.kind in ("content.avoid",) or params.get("any_of") else list(params.get("keywords") or ())
    found += [params["keyword"]] if params.get("lo") and "keyword" in params else []
    found += [params["text"]] if constraint.kind in ("content.start", "content.end") else []
    found += params.get("headers") or ()
    return [*found, params["titled_heading"][1]] if "titled_heading" in params else found


_RULES: tuple[Callable[[Constraint, Constraint], str | None], ...] = (
    _ranges,
    _languages,
    _chinese_alone,
    _words_for_sentences,
    _endings,
    _forbidden,
    _exact_case,
    _quoted_whole,
)
