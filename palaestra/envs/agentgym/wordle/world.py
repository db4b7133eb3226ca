"""The world of Wordle: a list of words, guesses, and what they have told.

The hidden word is not fixed: each guess draws one among the words that agree with everything told so far, and what the guess
tells is told about that one. The game is won when one word alone is left and it has been guessed. Answers are word for word
those of LMRL-Gym's Wordle as AgentGym serves it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from palaestra.envs.core.typed import fits
from palaestra.types import Json

NUM_LETTERS = 5
NUM_TRIES = 6
ALPHABET = "abcdefghijklmnopqrstuvwxyz"
OPENING = "Let's start Wordle!"
INVALID = "invalid word"
MAX_WORDS = 20_000

_OCCURS = {letter: 1 << number for number, letter in enumerate(ALPHABET)}  # the bit that says that a letter occurs
_HERE = tuple(  # the bits that say that a letter stands at a position
    {letter: bit << len(ALPHABET) * (position + 1) for letter, bit in _OCCURS.items()} for position in range(NUM_LETTERS)
)


class WordList:
    """Words that may be guessed and hidden, in a fixed order; never changed.

    Args:
        words: Different words of five letters, a to z.

    Raises:
        ValueError: If there is no word, there are more than `MAX_WORDS`, one occurs twice, or one is not of that form.
    """

    def __init__(self, words: Sequence[str]) -> None:
        """Check the words and write each as a set of facts, one bit each."""
        if not 1 <= len(words) <= MAX_WORDS:
            raise ValueError(f"{len(words)} words were given; expected 1 to {MAX_WORDS}")
        self.words = tuple(words)
        self.facts: dict[str, int] = {}
        for word in self.words:
            if len(word) != NUM_LETTERS or any(letter not in _OCCURS for letter in word):
                raise ValueError(f"{word[:20]!r} is not a word of five letters, a to z")
            if word in self.facts:
                raise ValueError(f"{word!r} occurs twice")
            self.facts[word] = sum(
                {bit for place, letter in zip(_HERE, word, strict=True) for bit in (place[letter], _OCCURS[letter])}
            )

    def __eq__(self, other: object) -> bool:
        """Whether two lists have the same words in the same order."""
        return isinstance(other, WordList) and self.words == other.words

    def __hash__(self) -> int:
        """Return a hash of the words."""
        return hash(self.words)

    def __repr__(self) -> str:
        """Show the number of words."""
        return f"WordList({len(self.words)} words)"


class Knowledge(NamedTuple):
    """What guesses have told.

    Attributes:
        required: Facts (bits) that hold of the hidden word.
        forbidden: Facts that do not.
    """

    required: int = 0
    forbidden: int = 0

    def marks(self, guess: str) -> str:
        """Return a mark for each letter of a guess: `g` it is here, `b` it does not occur, `y` it stands elsewhere."""
        required, forbidden = self
        return " ".join(
            "g" if required & place[letter] else "b" if forbidden & _OCCURS[letter] else "y"
            for place, letter in zip(_HERE, guess, strict=True)
        )


@lru_cache(maxsize=200_000)
def told_by(guess: str, hidden: str) -> Knowledge:
    """Return the knowledge of a hidden word after one guess; repeated letters are looked at one by one."""
    required = forbidden = 0
    for position, letter in enumerate(guess):
        if letter == hidden[position]:
            required |= _HERE[position][letter] | _OCCURS[letter]
        elif letter in hidden:
            forbidden |= _HERE[position][letter]
            required |= _OCCURS[letter]
        else:
            forbidden |= _OCCURS[letter]
    return Knowledge(required, forbidden)


class Reply(NamedTuple):
    """What one guess did.

    Attributes:
        text: The world's answer.
        is_known: The guess is a word of the list.
        is_solved: One word alone is left, and it has been guessed.
    """

    text: str
    is_known: bool = True
    is_solved: bool = False


class WordleWorld:
    """State of one game.

    Args:
        words: The list; shared and never changed.
        seed: Seed of the draws, 0 or more.

    Attributes:
        guesses: Words guessed so far, without those that the list does not have.
        left: Words that agree with all that was told, in the order of the list.
        knowledge: What was told.
    """

    __slots__ = ("_chance", "guesses", "knowledge", "left", "seed", "words")

    def __init__(self, words: WordList, seed: int) -> None:
        """Begin a game."""
        self.words = words
        self.seed = seed
        self._chance = random.Random(seed)  # the published generator: its draws are those of the published games
        self.guesses: list[str] = []
        self.left: Sequence[str] = words.words
        self.knowledge = Knowledge()

    def act(self, command: str) -> Reply:
        """Make a guess.

        Args:
            command: Five letters, with or without spaces between them. What the list does not have changes nothing.
        """
        guess = command.strip().replace(" ", "")
        facts = self.words.facts
        if guess not in facts:
            return Reply(INVALID, is_known=False)
        hidden = self._chance.choice(self.left)
        required, forbidden = told_by(guess, hidden)
        required |= self.knowledge.required
        forbidden |= self.knowledge.forbidden
        self.knowledge = knowledge = Knowledge(required, forbidden)
        looked_at = required | forbidden
        self.left = [word for word in self.left if facts[word] & looked_at == required]
        self.guesses.append(guess)
        return Reply(f"{knowledge.marks(guess)}\n", is_solved=self.is_solved)

    @property
    def is_solved(self) -> bool:
        """Whether one word alone is left, and it has been guessed."""
        return len(self.left) == 1 and self.left[0] in self.guesses

    def to_json(self) -> Json:
        """Return the whole state: the guesses, from which the rest follows."""
        return {"words": list(self.words.words), "seed": self.seed, "guesses": list(self.guesses)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> WordleWorld:
        """Rebuild from `to_json()`.

        Raises:
            KeyError, TypeError, ValueError: If it is not the state of a game.
        """
        if not fits(data["words"], list[str]) or not fits(data["seed"], int):
            raise TypeError("words or seed are not of their types")
        return cls.after(word_list(tuple(data["words"])), data["seed"], data["guesses"])

    @classmethod
    def after(cls, words: WordList, seed: int, guesses: Any) -> WordleWorld:
        """Return a game after some guesses.

        Raises:
            TypeError, ValueError: If they are not guesses of a game.
        """
        if not fits(guesses, list[str]) or len(guesses) > NUM_TRIES:
            raise TypeError("the guesses are not a list of at most six words")
        world = cls(words, seed)
        for guess in guesses:
            if guess not in words.facts or world.is_solved:
                raise ValueError(f"{guess!r} cannot have been guessed")
            world.act(guess)
        return world

    def copy(self) -> WordleWorld:
        """Return an independent game in the same state."""
        return WordleWorld.after(self.words, self.seed, list(self.guesses))

    def __eq__(self, other: object) -> bool:
        """Whether two games are in the same state."""
        return (
            isinstance(other, WordleWorld)
            and (self.seed, self.guesses) == (other.seed, other.guesses)
            and self.words == other.words
        )

    __hash__ = None  # type: ignore[assignment]  # games change; hash env.state_hash() instead

    def __repr__(self) -> str:
        """Show the guesses."""
        return f"WordleWorld({self.words!r}, seed={self.seed}, guesses={self.guesses!r})"


@lru_cache(maxsize=64)
def word_list(words: tuple[str, ...]) -> WordList:
    """Return a list of words; made once, since it never changes."""
    return WordList(words)


__all__ = [
    "INVALID",
    "MAX_WORDS",
    "NUM_LETTERS",
    "NUM_TRIES",
    "OPENING",
    "Knowledge",
    "Reply",
    "WordList",
    "WordleWorld",
    "told_by",
    "word_list",
]
