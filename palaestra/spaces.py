"""Unicode spaces for observations and actions.

`gymnasium.spaces.Text` draws from a fixed character set and refuses ordinary prose; these contain what is really sent,
compare, pickle and seed. A space samples through a *sampler*: any picklable callable `sampler(rng) -> str | Message`,
so that an environment's `action_space.sample()` draws from its own grammar.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.spaces import Space

from palaestra.types import Message

Sampler = Callable[[np.random.Generator], "str | Message"]

MAX_TEXT_CHARS = 1_000_000
MAX_ACTION_CHARS = 100_000


@dataclass(frozen=True)
class Words:
    """Sampler of prose: one to `max_words` words from a small multilingual list."""

    max_words: int = 12
    words: tuple[str, ...] = ("the", "a", "go", "look", "door", "naïve", "straße", "日本", "да", "ok", "42", "?", "\n", "🙂")

    def __call__(self, rng: np.random.Generator) -> str:
        """Draw a text."""
        picks = rng.integers(len(self.words), size=int(rng.integers(1, self.max_words + 1)))
        return " ".join(self.words[i] for i in picks)


class TextSpace(Space[str]):
    """Any valid Unicode text up to `max_chars` characters.

    Args:
        max_chars: Longest text contained, in characters.
        sampler: Draws a text from a generator; prose by default.
        seed: Seed of the space's own generator.
    """

    def __init__(
        self, max_chars: int = MAX_TEXT_CHARS, *, sampler: Sampler | None = None, seed: int | np.random.Generator | None = None
    ) -> None:
        """Keep the bound and the sampler."""
        self.max_chars = max_chars
        self.sampler: Sampler = sampler or Words()
        super().__init__(shape=None, dtype=None, seed=seed)

    @property
    def is_np_flattenable(self) -> bool:
        """Text does not flatten into an array."""
        return False

    def sample(self, mask: Any | None = None, probability: Any | None = None) -> str:
        """Draw a text; masks mean nothing here and are refused."""
        if mask is not None or probability is not None:
            raise ValueError(f"{type(self).__name__}.sample takes no mask or probability; give the space another sampler.")
        return self.sampler(self.np_random)  # type: ignore[return-value]

    def contains(self, x: Any) -> bool:
        """Whether `x` is a text of at most `max_chars` characters that can be written as UTF-8."""
        return isinstance(x, str) and len(x) <= self.max_chars and is_unicode(x)

    def __eq__(self, other: object) -> bool:
        """Spaces are equal if they contain the same values."""
        return type(self) is type(other) and self.max_chars == other.max_chars

    def __hash__(self) -> int:
        """Hash as equality compares."""
        return hash((type(self), self.max_chars))

    def __repr__(self) -> str:
        """Show the bound."""
        return f"{type(self).__name__}(max_chars={self.max_chars})"

    def to_jsonable(self, sample_n: Iterable[Any]) -> list[Any]:
        """Return the texts as a list."""
        return list(sample_n)

    def from_jsonable(self, sample_n: list[Any]) -> list[Any]:
        """Rebuild from `to_jsonable`."""
        return list(sample_n)


class ActionSpace(TextSpace):
    """A text, or the assistant `Message` that it stands for.

    Args:
        max_chars: Longest text contained, in characters.
        sampler: Draws a well-formed action of the environment.
        seed: Seed of the space's own generator.
    """

    def __init__(
        self,
        max_chars: int = MAX_ACTION_CHARS,
        *,
        sampler: Sampler | None = None,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        """Keep the bound and the sampler."""
        super().__init__(max_chars, sampler=sampler, seed=seed)

    def contains(self, x: Any) -> bool:
        """Whether `x` is a contained text or an assistant message with contained content."""
        if isinstance(x, Message):
            return x.role == "assistant" and super().contains(x.content)
        return super().contains(x)

    def to_jsonable(self, sample_n: Iterable[Any]) -> list[Any]:
        """Return texts as they are and messages as dicts."""
        return [x.to_json() if isinstance(x, Message) else x for x in sample_n]

    def from_jsonable(self, sample_n: list[Any]) -> list[Any]:
        """Rebuild from `to_jsonable`."""
        return [Message.from_json(x) if isinstance(x, dict) else x for x in sample_n]


def is_unicode(text: str) -> bool:
    """Whether `text` can be written as UTF-8, i.e. has no lone surrogates."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
