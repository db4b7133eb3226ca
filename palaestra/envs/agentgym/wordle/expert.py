"""The expert of Wordle: guesses that win whatever word is drawn, wherever the tries allow it.

A guess divides the words that are left into classes by what it would tell; the draw decides which class remains. The expert
takes a guess from each of whose classes the game can still be won, and says no word that is already excluded unless
only such a word wins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from palaestra.envs.agentgym.wordle.world import WordleWorld, WordList

MAX_CANDIDATES = 60  # guesses compared; with more words left, evenly spaced ones
MAX_SEARCHED = 2_000  # positions looked at before the best guess so far is taken


def best_guess(world: WordleWorld, tries: int) -> str:
    """Return a guess for a game that is not over.

    Args:
        world: The game.
        tries: Guesses that are left, at least 1.
    """
    search = _Search(world.words)
    left = tuple(world.left)
    fallback = ""
    for guess in search.candidates(left):
        fallback = fallback or guess
        if search.wins_with(guess, left, tries):
            return guess
        if search.is_exhausted:
            break
    return fallback


class _Search:
    """Which positions are won whatever is drawn; a position is the words that are left and the tries."""

    def __init__(self, words: WordList) -> None:
        self._words = words
        self._won: dict[tuple[tuple[str, ...], int], bool] = {}
        self._num_searched = 0

    @property
    def is_exhausted(self) -> bool:
        """Whether the search has looked at as much as it may."""
        return self._num_searched >= MAX_SEARCHED

    def candidates(self, left: tuple[str, ...]) -> Iterator[str]:
        """Yield guesses, the most telling first: words that are left, then others."""
        if len(left) <= 2:
            yield from left
            return
        known = set(left)
        yield from self._ordered(left, left)
        yield from self._ordered([word for word in self._words.words if word not in known], left)

    def wins_with(self, guess: str, left: tuple[str, ...], tries: int) -> bool:
        """Whether a guess wins, now or later, whatever is drawn."""
        for words in self._classes(guess, left).values():
            if words != [guess] and not self._wins(tuple(words), left, tries - 1):
                return False
        return True

    def _wins(self, words: tuple[str, ...], before: tuple[str, ...], tries: int) -> bool:
        """Whether a position is won."""
        if tries < 1 or words == before or self.is_exhausted:
            return False
        if len(words) <= min(2, tries):
            return True
        known = self._won.get((words, tries))
        if known is None:
            self._num_searched += 1
            known = any(self.wins_with(guess, words, tries) for guess in self.candidates(words))
            self._won[words, tries] = known
        return known

    def _ordered(self, guesses: Sequence[str], left: Sequence[str]) -> list[str]:
        """Return guesses by the size of their greatest class, then by the number of classes, then in their order."""
        if len(guesses) > MAX_CANDIDATES:
            guesses = [guesses[i * len(guesses) // MAX_CANDIDATES] for i in range(MAX_CANDIDATES)]

        def rank(guess: str) -> tuple[int, int]:
            classes = self._classes(guess, left)
            return max(map(len, classes.values())), -len(classes)

        return sorted(guesses, key=rank)

    def _classes(self, guess: str, left: Sequence[str]) -> dict[str, list[str]]:
        """Divide words by what a guess would tell of them."""
        classes: dict[str, list[str]] = {}
        for word in left:
            classes.setdefault(self._words.answer(guess, word).marks, []).append(word)
        return classes


__all__ = ["best_guess"]
