"""Sentences before a call as models write them, by language: before calls that are made, and before calls that are not.

`MADE` and `HELD` are those that the words of `palaestra.envs.formats.speech_words` were chosen by. `FRESH_MADE` and
`FRESH_HELD` were written after the words, and no word was chosen for them: they measure what the words do with other wordings.
"""

from __future__ import annotations

from pathlib import Path

Frames = dict[str, tuple[str, ...]]


def _frames(name: str) -> Frames:
    """Read the sentences of a file, one a line, below the code of their language in brackets."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in filter(None, map(str.strip, Path(__file__).with_name(name).read_text(encoding="utf-8").splitlines())):
        if line.startswith("["):
            lines = found.setdefault(line.strip("[]"), [])
        else:
            lines.append(line)
    return {language: tuple(each) for language, each in found.items()}


MADE = _frames("speech_made.txt")
HELD = _frames("speech_held.txt")
FRESH_MADE = _frames("speech_fresh_made.txt")
FRESH_HELD = _frames("speech_fresh_held.txt")

__all__ = ["FRESH_HELD", "FRESH_MADE", "HELD", "MADE", "Frames"]
