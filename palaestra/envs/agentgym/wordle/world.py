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
MAX_ANSWERS = 20_000
"""Answers that a list remembers."""


class Answer(NamedTuple):
    """What a guess tells of a hidden word.

    Attributes:
        marks: For each letter `g` (it stands here), `y` (elsewhere) or `b` (nowhere), with spaces between them.
        agreeing: The words of the list (bits by their place) of which it would tell the same.
    """

    marks: str
    agreeing: int


class WordList:
    """Words that may be guessed and hidden, in a fixed order; never changed.

    Args:
        words: Different words of five letters, a to z.

    Raises:
        ValueError: If there is no word, there are more than `MAX_WORDS`, one occurs twice, or one is not of that form.
    """

    def __init__(self, words: Sequence[str]) -> None:
        """Check the words, and note for each letter the words (bits) that have it, and have it at a position."""
        if not 1 <= len(words) <= MAX_WORDS:
            raise ValueError(f"{len(words)} words were given; expected 1 to {MAX_WORDS}")
        self.words = tuple(words)
        self.everything = (1 << len(self.words)) - 1
        self._places: dict[str, int] = {}
        self._occurs = dict.fromkeys(ALPHABET, 0)
        self._here: tuple[dict[str, int], ...] = tuple(dict.fromkeys(ALPHABET, 0) for _ in range(NUM_LETTERS))
        self._answers: dict[tuple[str, str], Answer] = {}
        for place, word in enumerate(self.words):
            if len(word) != NUM_LETTERS or any(letter not in self._occurs for letter in word):
                raise ValueError(f"{word[:20]!r} is not a word of five letters, a to z")
            if word in self._places:
                raise ValueError(f"{word!r} occurs twice")
            self._places[word] = place
            for here, letter in zip(self._here, word, strict=True):
                here[letter] |= 1 << place
                self._occurs[letter] |= 1 << place

    def __contains__(self, word: object) -> bool:
        """Whether a word is in the list."""
        return word in self._places

    def answer(self, guess: str, hidden: str) -> Answer:
        """Return the answer to a guess if a word is hidden; of repeated letters each is looked at alone."""
        known = self._answers.get((guess, hidden))
        if known is None:
            marks, agreeing = [], self.everything
            for here, letter, right in zip(self._here, guess, hidden, strict=True):
                if letter == right:
                    marks.append("g")
                    agreeing &= here[letter]
                elif letter in hidden:
                    marks.append("y")
                    agreeing &= self._occurs[letter] & ~here[letter]
                else:
                    marks.append("b")
                    agreeing &= ~self._occurs[letter]
            known = Answer(" ".join(marks), agreeing)
            if len(self._answers) >= MAX_ANSWERS:
                self._answers.clear()
            self._answers[guess, hidden] = known
        return known

    def named(self, places: int) -> list[str]:
        """Return words by their places (bits), in the order of the list."""
        found = []
        while places:
            lowest = places & -places
            found.append(self.words[lowest.bit_length() - 1])
            places ^= lowest
        return found

    def __eq__(self, other: object) -> bool:
        """Whether two lists have the same words in the same order."""
        return isinstance(other, WordList) and self.words == other.words

    def __hash__(self) -> int:
        """Return a hash of the words."""
        return hash(self.words)

    def __repr__(self) -> str:
        """Show the number of words."""
        return f"WordList({len(self.words)} words)"


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
    """

    __slots__ = ("_agreeing", "_chance", "guesses", "left", "seed", "words")

    def __init__(self, words: WordList, seed: int) -> None:
        """Begin a game."""
        self.words = words
        self.seed = seed
        self._chance = random.Random(seed)  # the published generator: its draws are those of the published games
        self.guesses: list[str] = []
        self.left: Sequence[str] = words.words
        self._agreeing = words.everything

    def act(self, command: str) -> Reply:
        """Make a guess.

        Args:
            command: Five letters, with or without spaces between them. What the list does not have changes nothing.
        """
        guess = command.strip().replace(" ", "")
        words = self.words
        if guess not in words:
            return Reply(INVALID, is_known=False)
        # what is known of a letter from earlier guesses holds of the word that is drawn, so its answer tells all of it
        answer = words.answer(guess, self._chance.choice(self.left))
        self._agreeing &= answer.agreeing
        self.left = words.named(self._agreeing)
        self.guesses.append(guess)
        return Reply(f"{answer.marks}\n", is_solved=self.is_solved)

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
            if guess not in words or world.is_solved:
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


@lru_cache(maxsize=512)
def word_list(words: tuple[str, ...]) -> WordList:
    """Return a list of words; made once, since it never changes."""
    return WordList(words)


__all__ = [
    "INVALID",
    "MAX_WORDS",
    "NUM_LETTERS",
    "NUM_TRIES",
    "OPENING",
    "Answer",
    "Reply",
    "WordList",
    "WordleWorld",
    "word_list",
]
