"""Characters that steer the writing direction of a text: shown where others' names are, and not obeyed.

Overrides, embeddings, isolates and direction marks show what follows in another order than it was written in. Letters of
scripts that run from right to left stay as they are.
"""

from __future__ import annotations

from functools import lru_cache
from unicodedata import bidirectional, category

_EXPLICIT = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
_STRONG = frozenset({"L", "R", "AL"})


@lru_cache(maxsize=4096)
def steers_direction(character: str) -> bool:
    """Tell whether a character is there for the writing direction alone, by the classes of Unicode (UAX #9).

    Args:
        character: One character: those of an explicit class, and format characters with a strong direction (marks).
    """
    kind = bidirectional(character)
    return kind in _EXPLICIT or (kind in _STRONG and category(character) == "Cf")


def with_direction_shown(text: str) -> str:
    r"""Return a text with `\u202e` and the like spelled out in the place of what steers its writing direction.

    Args:
        text: Anything; what is not such a character stays.
    """
    if text.isascii():
        return text
    found = {ord(one): _spelled(one) for one in set(text) if not one.isascii() and steers_direction(one)}
    return text.translate(found) if found else text


def _spelled(character: str) -> str:
    r"""Return the `\u` or `\U` spelling of a character."""
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


__all__ = ["steers_direction", "with_direction_shown"]
