"""Characters that are only simplified, or only traditional.

The table `chinese.txt` comes from `chinese_build.py`: one line of simplified and one of traditional characters.
"""

from __future__ import annotations

from pathlib import Path


def _read() -> tuple[frozenset[str], frozenset[str]]:
    lines = Path(__file__).with_name("chinese.txt").read_text(encoding="utf-8").splitlines()
    simplified, traditional = (line for line in lines if line and not line.startswith("#"))
    return frozenset(simplified), frozenset(traditional)


SIMPLIFIED, TRADITIONAL = _read()
