"""The asker's and the answerer's English: a small grammar of yes/no questions, of answers and of verdicts.

Text is read, never evaluated. What cannot be read raises `Unreadable`, whose text says how to ask.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable
from functools import cache

from palaestra.envs.twenty_questions.things import Question, ontology

MAX_CHARS = 500

HOW_TO_ASK = (
    'Ask one yes/no question about one fact, for example "Is it an animal?", "Is it bigger than a cat?", "Is it made of '
    'wood?", "Does it have wings?", "Can it fly?", or name a thing: "{example}".'
)

YES, NO, UNKNOWN = "yes", "no", "unknown"

_IT = r"(?:it|this|that|the thing|this thing|the object|your thing)"
_PRELUDE = re.compile(
    r"^(?:so|ok|okay|well|hmm|then|next|now|and|please|alright|question \d+|my (?:next )?question is|tell me|let me ask"
    r"|would you say(?: that)?|is it true that|is it the case that|do you think(?: that)?)\b[\s,:]*"
)
_GUESS = re.compile(
    rf"^(?:i (?:would )?(?:guess|say|think)|(?:my |final |the )*(?:guess|answer)|it must be|could it be|might it be)"
    rf"(?:[\s,:]+(?:is|that|{_IT} is|{_IT}))*[\s,:]+(?:the |an? )?(?:number )?(?P<name>[a-z0-9]+)$"
)
_IS = re.compile(rf"^(?:is|was) {_IT} (?P<rest>.+)$")
_HAS = re.compile(rf"^(?:does {_IT} (?:have|possess|come with)|has {_IT}(?: got)?|is {_IT} something that has) (?P<rest>.+)$")
_CAN = re.compile(rf"^(?:can|could|is {_IT} able to|is {_IT} something that can)(?: {_IT})? (?P<rest>.+)$")
_DOES = re.compile(rf"^does {_IT} (?P<rest>.+)$")
_STATEMENTS = (
    (re.compile(rf"^{_IT} is (?P<rest>.+)$"), "is it {}"),
    (re.compile(rf"^{_IT} has (?P<rest>.+)$"), "does it have {}"),
    (re.compile(rf"^{_IT} can (?P<rest>.+)$"), "can it {}"),
)
_PLACE = re.compile(
    r"^(?:usually |normally |often |typically )?(?:found|kept|used|seen|at home|living|lives?|grows?|growing|belong|occur)?"
    r"\s*(?:in|at|on|to|near|around) (?:the |an? )?(?P<place>.+)$"
)
_MATERIAL = re.compile(r"^(?:mostly |mainly )?(?:made|built)(?: out)? (?:of|from|with) (?P<material>.+)$")
_SIZE = re.compile(r"^(?P<word>bigger|larger|taller|greater|smaller|tinier|shorter) than (?:the |an? )?(?P<yardstick>.+)$")
_ARTICLE = re.compile(r"^(?:an? (?:kind|type|sort) of|the number|the|number|an?|some|any|its own) ")


_UNSURE = re.compile(r"(?:i )?(?:do not|don't|can't|cannot) (?:know|tell|say)\b|(?:i am |i'm )?(?:not sure|unsure|unknown)\b")


class Unreadable(Exception):
    """The text is not something that can be said now; says what would be."""


def read_question(text: str, names: Collection[str]) -> Question:
    """Return the question that a text asks.

    Args:
        text: What the asker wrote; words before the question are allowed.
        names: Names of the things that may be named.

    Raises:
        Unreadable: If it is not a yes/no question about one fact.
    """
    first = next(iter(names), "thing")
    how = HOW_TO_ASK.format(example=f"Is it {'number' if first.isdecimal() else 'the'} {first}?")
    if len(text) > MAX_CHARS:
        raise Unreadable(f"Your message has {len(text)} characters; a question has at most {MAX_CHARS}. {how}")
    if text.count("?") > 1:
        raise Unreadable(f"Your message holds {text.count('?')} questions; ask one at a time. {how}")
    asked = _last_sentence(text)
    if not asked:
        raise Unreadable(f"Your message holds no question. {how}")
    if found := re.search(r"\b(?:or|and)\b", asked):
        raise Unreadable(f"Your question joins facts with {found[0]!r}; ask about one at a time. {how}")
    if re.search(r"\bnot\b|n't\b", asked):
        raise Unreadable(f"Your question holds a negation; ask it the other way round. {how}")
    question = _parse(asked, names)
    if question is None:
        close = _close(asked, names)
        hint = f" Did you mean {close!r}?" if close else ""
        raise Unreadable(f"I do not understand {asked[:60]!r}.{hint} {how}")
    return question


def read_answer(text: str) -> str:
    """Return `YES`, `NO` or `UNKNOWN` for an answer.

    Raises:
        Unreadable: If it is none of them, or more than one.
    """
    words = re.sub(r"[^a-z' ]+", " ", text.lower().replace("\u2019", "'")).strip()
    if _UNSURE.match(words):
        return UNKNOWN
    found = {word for word in re.findall(r"[a-z]+", words) if word in _ANSWERS}
    answers = {_ANSWERS[word] for word in found}
    first = words.split(" ")[0]
    if len(answers) != 1 or first not in _ANSWERS or len(text) > MAX_CHARS:
        raise Unreadable(f'{text.strip()[:60]!r} is no clear answer. Answer with "yes", "no" or "I do not know".')
    return answers.pop()


def read_verdict(text: str) -> bool:
    """Return whether a judge upholds an answer.

    Raises:
        Unreadable: If the text says neither, or both.
    """
    words = set(re.findall(r"[a-z]+", text.lower()))
    verdicts = {meaning for word, meaning in _VERDICTS.items() if word in words}
    if len(verdicts) != 1 or "not" in words:
        raise Unreadable(f'{text.strip()[:60]!r} is no clear verdict. Say "uphold" if the answer was true, else "overrule".')
    return verdicts.pop()


def read_count(text: str, most: int) -> int:
    """Return how many answers a judge counts as true.

    Raises:
        Unreadable: If there is not exactly one number, or it is out of range.
    """
    numbers = re.findall(r"\d+", text)
    if len(numbers) != 1 or len(numbers[0]) > 3 or not numbers[0].isascii() or int(numbers[0]) > most:
        raise Unreadable(f"{text.strip()[:60]!r} is no count. Say how many answers were true: one number from 0 to {most}.")
    return int(numbers[0])


_ANSWERS = {
    **dict.fromkeys(("yes", "y", "yeah", "yep", "correct", "right", "true", "indeed", "certainly"), YES),
    **dict.fromkeys(("no", "n", "nope", "nah", "incorrect", "wrong", "false", "never"), NO),
}
_VERDICTS = {
    **dict.fromkeys(("uphold", "upheld", "fair", "true", "right", "correct", "yes"), True),
    **dict.fromkeys(("overrule", "overruled", "foul", "false", "wrong", "incorrect", "no"), False),
}


def _last_sentence(text: str) -> str:
    """Return the last sentence without what is only said to be polite, in lower case and without its end."""
    plain = re.sub(r"[*_`\"\u201c\u201d]+", "", text.lower()).replace("\u2019", "'")
    sentences = [part.strip(" ,;-?") for part in re.split(r"[.!\n:;]+", plain)]
    sentence = re.sub(r"\s+", " ", next((part for part in reversed(sentences) if part), ""))
    while (shorter := _PRELUDE.sub("", sentence)) != sentence:
        sentence = shorter
    return sentence


def _parse(asked: str, names: Collection[str]) -> Question | None:
    """Return the question that a sentence asks, None if it cannot be read."""
    if (bare := _ARTICLE.sub("", asked)) in names:
        return Question("name", "=", bare)
    if (found := _GUESS.match(asked)) and found["name"] in names:
        return Question("name", "=", found["name"])
    for pattern, form in _STATEMENTS:
        if found := pattern.match(asked):
            asked = form.format(found["rest"])
            break
    if found := _HAS.match(asked):
        return _word("has", found["rest"])
    if found := _CAN.match(asked):
        return _word("can", found["rest"].removeprefix("also "))
    if found := _DOES.match(asked):
        return _place(found["rest"]) or _word("can", found["rest"])
    if found := _IS.match(asked):
        return _is(found["rest"], names)
    return None


def _is(rest: str, names: Collection[str]) -> Question | None:
    """Return the question that begins with "is it"."""
    known = ontology()
    rest = re.sub(r" in colou?r$", "", rest)
    bare = _ARTICLE.sub("", rest)
    if bare in names:
        return Question("name", "=", bare)
    if rest in known.synonyms:
        return known.synonyms[rest]
    if found := _SIZE.match(rest):
        relation = "<" if found["word"] in ("smaller", "tinier", "shorter") else ">"
        return Question("size", relation, found["yardstick"]) if found["yardstick"] in known.yardsticks else None
    if found := _MATERIAL.match(rest):
        return _word("material", found["material"])
    for attribute in ("kind", "size", "colour", "is"):
        if question := _word(attribute, bare):
            return question
    return _place(rest)


def _place(rest: str) -> Question | None:
    """Return the question about a place."""
    found = _PLACE.match(rest)
    return _word("place", found["place"]) if found else None


def _word(attribute: str, text: str) -> Question | None:
    """Return the question about a value, if there is such a value."""
    bare = _ARTICLE.sub("", text)
    return Question(attribute, "=", bare) if bare in _vocabulary()[attribute] else None


@cache
def _vocabulary() -> dict[str, frozenset[str]]:
    """Return the values that can be asked for, by attribute."""
    return {attribute: frozenset(values) for attribute, values in ontology().vocabulary.items()}


def _close(asked: str, names: Iterable[str]) -> str:
    """Return the known word that the end of a question resembles; empty if there is none."""
    known = [*names, *(word for words in _vocabulary().values() for word in words), *ontology().yardsticks]
    words = asked.split(" ")
    ends = [" ".join(words[-2:]), words[-1]]
    close = (match for end in ends for match in difflib.get_close_matches(end, known, n=1, cutoff=0.75))
    return next(close, "")


__all__ = ["NO", "UNKNOWN", "YES", "Unreadable", "read_answer", "read_count", "read_question", "read_verdict"]
