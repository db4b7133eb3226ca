"""The index of experiments says truthfully which folders make their own rows, and how the others were made."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "experiments"
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")


def test_every_page_is_listed_and_every_listed_page_is_there() -> None:
    listed = set(re.findall(r"\]\((\w+)/README\.md\)", PAGE))
    pages = {path.parent.name for path in FOLDER.glob("*/README.md")}
    assert pages - {"reliability"} <= listed <= pages  # that one answers no question: it is about the library itself


def test_folders_without_a_script_are_those_whose_commands_are_given() -> None:
    pages = {path.parent.name for path in FOLDER.glob("*/README.md")}
    without = {name for name in pages if not any(path.stem != "__init__" for path in (FOLDER / name).glob("*.py"))}
    table = PAGE.split("| folder | made with |", 1)[1].split("\n\n", 1)[0]
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == without
    for name in pages - without - {"reliability"}:
        assert (FOLDER / name / "run.py").is_file()
