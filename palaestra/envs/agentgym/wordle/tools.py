"""The guess of Wordle as a tool, for agents that call functions."""

from __future__ import annotations

from typing import Annotated

from palaestra.envs.tools import TextForm, tool

Guess = Annotated[str, TextForm("^[A-Za-z]{5}$", examples=("crane", "moist", "glyph"), max_chars=5)]


class Commands:
    """Turns calls of `guess` into text commands."""

    @tool
    def guess(self, word: Guess) -> str:
        """Guess the hidden word.

        Args:
            word: Five letters, a word of the list.
        """
        return " ".join(word.lower())


__all__ = ["Commands"]
