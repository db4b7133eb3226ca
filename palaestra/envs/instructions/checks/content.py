"""Constraints on content: keywords, forbidden words, how a response starts and ends, delimiters."""

from __future__ import annotations

from collections.abc import Callable

from palaestra.envs.instructions.checks.bounds import counted, each, range_words, within
from palaestra.envs.instructions.kinds import REQUIRED, Asked, Verdict, kind
from palaestra.envs.instructions.units import units
from palaestra.envs.instructions.words import occurrences


@kind(
    "content.keywords",
    family="Content_Keywords",
    defaults={"keywords": REQUIRED, "min_count": 1, "any_of": False, "scope": "whole"},
    examples=[
        {"keywords": ["river"]},
        {"keywords": ["river", "St. John's"], "min_count": 2},
        {"keywords": ["river", "lake"], "any_of": True},
        {"keywords": ["代表"], "scope": "line"},
    ],
)
def keywords(asked: Asked) -> Verdict:
    """Every keyword, or any of them, occurs at least so many times."""
    wanted, least, any_of = asked.params["keywords"], asked.params["min_count"], asked.params["any_of"]
    scope = asked.params["scope"]
    if scope != "whole":
        said = f"must have {(' or ' if any_of else ' and ').join(map(repr, wanted))} at least {least} times"
        return each(units(asked.response, scope), scope, lambda part: not _missing(part, wanted, least, any_of), said)
    counts = {word: occurrences(word, asked.response) for word in wanted}
    missing = _missing(asked.response, wanted, least, any_of)
    times = "" if least == 1 else f" at least {least} times"
    if not missing:
        return Verdict(True, f"{'a keyword' if any_of else 'every keyword'} occurs{times}", {"counts": dict(counts)})
    joined = (" or " if any_of else " and ").join(f"{word!r} ({counts[word]})" for word in missing)
    return Verdict(False, f"need {joined}{times}; the number in brackets was found", {"counts": dict(counts)})


@kind(
    "content.repeated",
    family="Content_Keywords",
    defaults={"keyword": REQUIRED, "lo": None, "hi": None},
    examples=[{"keyword": "river", "lo": 2, "hi": 4}, {"keyword": "C++", "hi": 0}],
)
def repeated(asked: Asked) -> Verdict:
    """The keyword occurs a number of times that lies in a range."""
    keyword = asked.params["keyword"]
    return counted(occurrences(keyword, asked.response), asked.params, f"occurrences of {keyword!r}")


@kind(
    "content.avoid",
    family="Content_Keywords",
    defaults={"keywords": REQUIRED, "scope": "whole"},
    optional=("scope",),
    examples=[{"keywords": ["river"]}, {"keywords": ["lake", "e.g."], "scope": "headings"}],
)
def avoid(asked: Asked) -> Verdict:
    """None of the keywords occurs."""
    parts = units(asked.response, asked.params.get("scope", "whole"))
    counts = {word: sum(occurrences(word, part) for part in parts) for word in asked.params["keywords"]}
    found = [f"{word!r} ({count})" for word, count in counts.items() if count]
    return Verdict(not found, f"found {', '.join(found)}" if found else "no forbidden word occurs", {"counts": dict(counts)})


@kind(
    "content.start",
    family="Content_Identifiers",
    defaults={"text": REQUIRED, "scope": "whole"},
    optional=("scope",),
    examples=[{"text": "Answer:"}, {"text": "Step", "scope": "line"}],
)
def start(asked: Asked) -> Verdict:
    """The response starts with a text, after blanks and `#` marks and without regard to case."""
    wanted = asked.params["text"]
    return _edge(asked, lambda part: part.lstrip(" \t\r\n#").casefold().startswith(wanted.casefold()), "start", wanted)


@kind(
    "content.end",
    family="Content_Identifiers",
    defaults={"text": REQUIRED, "scope": "whole"},
    optional=("scope",),
    examples=[{"text": "The end."}, {"text": "done", "scope": "para"}],
)
def end(asked: Asked) -> Verdict:
    """The response ends with a text, blanks aside."""
    wanted = asked.params["text"].rstrip()
    return _edge(asked, lambda part: part.rstrip().endswith(wanted), "end", wanted)


@kind(
    "content.delimiter",
    family="Content_Identifiers",
    defaults={"text": REQUIRED, "lo": None, "hi": None},
    examples=[{"text": "***", "lo": 1}, {"text": "|", "lo": 2, "hi": 2}],
)
def delimiter(asked: Asked) -> Verdict:
    """A delimiter occurs a number of times that lies in a range."""
    text, lo, hi = asked.params["text"], asked.params["lo"], asked.params["hi"]
    count = asked.response.count(text)
    return Verdict(within(count, lo, hi), f"found {text!r} {count} times, need {range_words(lo, hi)}", {"count": count})


def _missing(part: str, wanted: list[str], least: int, any_of: bool) -> list[str]:
    """Return the keywords that occur too seldom; none if one is enough and occurs."""
    missing = [word for word in wanted if occurrences(word, part) < least]
    return [] if any_of and len(missing) < len(wanted) else missing


def _edge(asked: Asked, meets: Callable[[str], bool], where: str, wanted: str) -> Verdict:
    scope = asked.params.get("scope", "whole")
    if scope != "whole":
        return each(units(asked.response, scope), scope, meets, f"must {where} with {wanted!r}")
    passed = meets(asked.response)
    shown = asked.response.strip()
    shown = shown[: len(wanted) + 10] if where == "start" else shown[-len(wanted) - 10 :]
    return Verdict(passed, f"the response {where}s with {shown!r}, need {wanted!r}", {})
