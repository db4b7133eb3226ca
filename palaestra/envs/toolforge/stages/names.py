"""Names and values: all different in an instance, none inside another, none an ordinary word.

Names are made of syllables. A near name differs from another in one letter, so that a slip of the pen finds something else.
"""

from __future__ import annotations

from datetime import date
from functools import cache
from pathlib import Path

from palaestra.envs.toolforge.stages.catalogue import Relation
from palaestra.envs.toolforge.stages.draw import Draw
from palaestra.types import Json

MAX_TRIES = 500
_ONSETS = (*"bdfghjklmnprstvz", "br", "dr", "gl", "kr", "sk", "st", "tr")
_VOWELS = "aeiou"
_CODAS = ("", "", "", "n", "r", "l", "s", "m")
_LETTERS = "bcdfghjkmnprtvwxz"
_SHORTEST = 3  # shorter pieces of a value may stand in another one


class Reject(Exception):
    """A draft that does not pass; its text is the reason."""


class Names:
    """Makes the names and values of an instance.

    Args:
        draw: Chance.
        kind: "names", "codes" or "words", as of `Preset.values`.
    """

    def __init__(self, draw: Draw, kind: str) -> None:
        """Start with nothing taken."""
        self._draw = draw
        self._kind = kind
        self._taken: set[str] = set()
        self._joined = "\n"

    def entity(self, type_: str) -> str:
        """Return a new name for a thing of a type."""
        for _ in range(MAX_TRIES):
            name = self._coined(type_)
            if self._claim(name):
                return name
        raise Reject("no name is left")

    def near(self, name: str) -> str:
        """Return a new name that differs from another in one letter."""
        for _ in range(MAX_TRIES):
            place = self._draw.below(len(name))
            old = name[place].casefold()
            letters = _VOWELS if old in _VOWELS else "0123456789" if old.isdecimal() else _LETTERS
            new = self._draw.one(letters)
            twin = name[:place] + (new.upper() if name[place].isupper() else new) + name[place + 1 :]
            if new != old and old.isalnum() and self._claim(twin):
                return twin
        raise Reject("no near name is left")

    def scalar(self, relation: Relation) -> Json:
        """Return a new value of a relation to a scalar."""
        for _ in range(MAX_TRIES):
            value = self._scalar(relation)
            if self._claim(str(value)):
                return value
        raise Reject("no value is left")

    def value(self, relation: Relation) -> Json:
        """Return a new value of a relation, a name or a scalar."""
        return self.scalar(relation) if relation.is_scalar else self.entity(relation.target)

    def _claim(self, text: str) -> bool:
        """Take a text if it is not inside another, and no other is inside it."""
        low = text.casefold()
        if low in self._joined or low in common_words():
            return False
        for start in range(len(low)):
            for end in range(start + _SHORTEST, len(low) + 1):
                if low[start:end] in self._taken:
                    return False
        self._taken.add(low)
        self._joined += low + "\n"
        return True

    def _coined(self, type_: str) -> str:
        """Return a name, which may be taken."""
        draw = self._draw
        if self._kind == "codes":
            return "".join(draw.one("bcdfghjkmnprtvwxz" if place % 2 == 0 else "0123456789") for place in range(4))
        if self._kind == "words":
            return draw.one(word_pool())
        words = 2 if type_ in ("person", "artwork") else 1
        return " ".join(self._word(3 if words == 1 or place else 2) for place in range(words))

    def _word(self, syllables: int) -> str:
        """Return a word of some syllables."""
        draw = self._draw
        return ("".join(draw.one(_ONSETS) + draw.one(_VOWELS) for _ in range(syllables)) + draw.one(_CODAS)).capitalize()

    def _scalar(self, relation: Relation) -> Json:
        """Return a value, which may be taken."""
        draw = self._draw
        if relation.target == "int":
            return draw.between(relation.low, relation.high)
        if relation.target == "float":
            return draw.between(10 * relation.low, 10 * relation.high + 9) // 10 + draw.between(1, 9) / 10
        if relation.target == "year":
            return draw.between(1100, 1999)
        if relation.target == "date":
            return date.fromordinal(draw.between(date(1801, 1, 1).toordinal(), date(1999, 12, 31).toordinal())).isoformat()
        letters = "ABCDEFGHJKLMNPQRSTUVWXYZ"
        return draw.one(letters) + draw.one(letters) + "-" + str(draw.between(100, 999))


@cache
def word_pool() -> tuple[str, ...]:
    """Return the closed pool of 144 words of four letters."""
    syllables = [onset + vowel for onset in "bdfgklmnprst" for vowel in "aeiou"]
    first, second = syllables[::5], syllables[1::5]
    return tuple(one + other for one in first for other in second)


@cache
def common_words() -> frozenset[str]:
    """Return ordinary words that could be made of the syllables by accident."""
    return frozenset((Path(__file__).parent / "common_words.txt").read_text(encoding="utf-8").split())


__all__ = ["Names", "Reject", "common_words", "word_pool"]
