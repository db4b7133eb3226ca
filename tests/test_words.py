"""The prose that users read uses the field's words, so that it can be searched by them.

Read are pages, examples, recipes, and in the package: docstrings of modules and public things, and texts of more than three
words (error messages, help). Comments and private docstrings are free, and so are texts of settings and formats: agents read
them, so they are part of what an environment does.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

SETTINGS = tuple(f"palaestra/envs/{name}/" for name in ("agentgym", "desk", "formats", "tools", "twenty_questions", "vehicle"))

# pattern -> what to say instead
WORDS = {
    r"(?<!here )\b(?:is|are|was|were) no "
    r"(?!longer\b|more\b|less\b|better\b|worse\b|fewer\b|different\b|one\b|other\b)\w+": "is not a ...",
    r"\bReturns? what\b": "name what is returned",
    r"\b[Mm]end(?:s|ed|ing)?\b": "fix",
    r"\bfor ever\b": "permanently",
    r"\banew\b": "again",
    r"\bbeside\b": "next to, in addition to",
    r"\b[Tt]he present (?!of\b|tense\b|and\b)\w+": "current",
    r"\b[Ww]hoever\b": "the seat that ..., the one who ...",
    r"\bgo(?:es)? on (?:with|where|from|at)\b": "resumes, continues",
    r"(?i)\b(?:reward|score|judge|label)s? (?:that |which )?(?:lies?|lied|lying)\b": "reward noise",
    r"\b[Dd]eeds?\b": "effect",
    r"\bput up\b": "create",
    r"\b(?:is|are|was|were) told (?:of|by) (?:the|a|an)\b(?= (?:run|report|log|metric|dashboard))": "reported",
}


def prose_of_module(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of the public docstrings and longer texts of a module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings: set[int] = set()
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if not (node.body and isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant)):
            continue
        if isinstance(node.body[0].value.value, str):
            docstrings.add(id(node.body[0].value))
            if not getattr(node, "name", "").startswith("_") or getattr(node, "name", "").startswith("__"):
                yield node.body[0].lineno, node.body[0].value.value
    if path.relative_to(ROOT).as_posix().startswith(SETTINGS):
        return
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
        if is_text and len(node.value.split()) > 3:
            yield node.lineno, node.value


def prose() -> Iterator[tuple[str, str]]:
    """Yield place and text of everything that users read."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "experiments").rglob("*.md")]
    for page in sorted([*pages, *(ROOT / "recipes").glob("*.toml")]):
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
            yield f"{page.relative_to(ROOT).as_posix()}:{number}", line
    for path in sorted([*(ROOT / "palaestra").rglob("*.py"), *(ROOT / "examples").glob("*.py")]):
        for line, text in prose_of_module(path):
            yield f"{path.relative_to(ROOT).as_posix()}:{line}", " ".join(text.split())


def found_in(texts: Iterator[tuple[str, str]]) -> list[str]:
    """Return the places of words to replace."""
    return [
        f"{place}: {match[0]!r} -> {better}"
        for place, text in texts
        for pattern, better in WORDS.items()
        for match in re.finditer(pattern, text)
    ]


def test_users_read_the_words_of_the_field():
    assert found_in(prose()) == []


@pytest.mark.parametrize(
    ("text", "caught"),
    [
        ("It is no valid TOML.", True),
        ("There is no run of that name.", False),
        ("It is no longer there.", False),
        ("Return what came of it.", True),
        ("Mend it in the recipe.", True),
        ("A note beside the page.", True),
        ("A note next to the page.", False),
        ("Rewards that lie are caught.", True),
        ("The presentation lies on the table.", False),
        ("The present run.", True),
    ],
)
def test_a_word_of_the_list_is_caught(text, caught):
    assert bool(found_in(iter([("here", text)]))) is caught


if __name__ == "__main__":
    print(*found_in(prose()), sep="\n")
