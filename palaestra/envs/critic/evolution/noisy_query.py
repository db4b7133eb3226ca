"""Noise in the user's query: fillers, hesitations, irrelevant sentences, verbosity and typing errors.

Values of calls, numbers, quoted texts and names of tools stay to the letter, and every clause stays.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from palaestra.envs.critic.evolution.parts import Refused, count_of, protected_names, query_at, with_query
from palaestra.envs.critic.evolution.texts import one_of, texts
from palaestra.envs.critic.record import Record
from palaestra.envs.wrappers.injection.words import with_typo

MIN_KEPT = 0.6
"""Share of a clause's longer words that have to be there for it to be present."""
MAX_TYPOS = 6

_VERBATIM = r"\"[^\"\n]{1,200}\"|(?<!\w)'[^'\n]{1,200}'(?!\w)|\S*[0-9]\S*"
_CLAUSE = re.compile(r"[.;!?\n]+")
_WORD = re.compile(r"\b[a-z]{5,}\b")
_PAUSE = re.compile(r"(?<=[,;]) ")
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEIGHBOURS = {key: row[max(0, at - 1) : at] + row[at + 1 : at + 2] for row in _ROWS for at, key in enumerate(row)}


def noisy_query(record: Record, rng: np.random.Generator) -> Record:
    """Return an item with a noisy query.

    Args:
        record: The item.
        rng: Source of chance.

    Raises:
        Refused: If it has no query.
    """
    query = record.messages[query_at(record)]["content"]
    if not query.strip():
        raise Refused("noisy_query:empty")
    pattern = re.compile(f"({'|'.join([_VERBATIM, *map(re.escape, _longest_first(protected_names(record)))])})", re.IGNORECASE)
    parts, left = pattern.split(query), MAX_TYPOS
    for place in range(0, len(parts), 2):  # what is protected stands at odd places
        parts[place], used = _spoiled(parts[place], left, rng)
        left -= used
    noise = texts("noise")
    said = [one_of(noise["openings"], rng), "".join(parts), one_of(noise["closings"], rng)]
    for _ in range(int(rng.integers(1, 4))):
        said.insert(1 if rng.random() < 0.5 else len(said) - 1, one_of(noise["asides"], rng))
    return with_query(record, " ".join(said))


def query_problems(record: Record, query: str) -> list[str]:
    """Say what another wording of the query of an item loses.

    Args:
        record: The item.
        query: The other wording.
    """
    before = record.messages[query_at(record)]["content"]
    verbatim = dict.fromkeys(re.findall(_VERBATIM, before))
    kept = [*(piece.strip(".,;:!?()") for piece in verbatim), *(name for name in protected_names(record))]
    found = [
        f"{name!r} has to stay in the query as it is."
        for name in kept
        if name and count_of(before, name) > count_of(query, name)
    ]
    words = set(re.findall(r"\w+", query.lower()))
    for clause in _CLAUSE.split(before):
        wanted = [word for word in re.findall(r"\w+", clause.lower()) if len(word) > 3]
        if sum(word in words or any(is_near(word, other) for other in words) for word in wanted) < MIN_KEPT * len(wanted):
            found.append(f"The part {clause.strip()[:80]!r} is not in the query any more.")
    return found


def is_near(word: str, other: str) -> bool:
    """Whether two words are the same but for one typing error: a letter left out, doubled, wrong or exchanged."""
    if word == other:
        return True
    short, long = sorted((word, other), key=len)
    if len(long) - len(short) > 1 or len(short) < 3:
        return False
    at = next((place for place, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    if len(short) < len(long):
        return short[at:] == long[at + 1 :]
    rest = short[at + 1 :] == long[at + 1 :]
    return rest or (short[at : at + 2] == long[at : at + 2][::-1] and short[at + 2 :] == long[at + 2 :])


def _spoiled(text: str, most: int, rng: np.random.Generator) -> tuple[str, int]:
    """Return a text with hesitations at its pauses and at most so many typing errors, and the number of these."""
    hesitations = texts("noise")["hesitations"]
    text = _PAUSE.sub(lambda _: f" {one_of(hesitations, rng)} " if rng.random() < 0.4 else " ", text)
    used = 0

    def typed(found: re.Match[str]) -> str:
        nonlocal used
        if used >= most or rng.random() >= 0.15:
            return found[0]
        used += 1
        return _typo(found[0], rng)

    return _WORD.sub(typed, text), used


def _typo(word: str, rng: np.random.Generator) -> str:
    """Return a word with a typing error."""
    if rng.random() < 0.25:
        at = int(rng.integers(1, len(word)))
        return word[:at] + str(one_of(_NEIGHBOURS[word[at]], rng)) + word[at + 1 :]
    return with_typo(word, rng) or word


def _longest_first(names: Sequence[str]) -> list[str]:
    """Return names so that one that holds another is tried before it."""
    return sorted(names, key=lambda name: (-len(name), name))


__all__ = ["MAX_TYPOS", "MIN_KEPT", "is_near", "noisy_query", "query_problems"]
