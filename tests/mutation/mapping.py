"""Which test runs which lines: made once, a test file at a time, and made again for the files that have changed."""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tests.mutation.changes import Change
from tests.mutation.folders import FOLDERS
from tests.mutation.trials import ARGUMENTS, Reports, in_child

MOST_NEAR = 4
"""Test files of each kind that are run for a change where there is no map."""

LONGEST_S = 240.0
"""A test file that takes longer is cut off, and its tests are not used."""


def digest(file: Path) -> str:
    """Return a digest of a file, in a few letters; empty if it is gone."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file.is_file() else ""


class TestMap:
    """The map of a copy of the project.

    Args:
        file: Where it is kept.
        root: The copy.
    """

    __test__ = False

    def __init__(self, file: Path, root: Path) -> None:
        """Read it, if it is there."""
        self._file, self._root = file, root
        self._entries: dict[str, dict[str, Any]] = json.loads(file.read_text()) if file.exists() else {}
        self._by_line: dict[str, dict[int, set[str]]] = {}

    def outdated(self, tests: Iterable[str]) -> list[str]:
        """Return the test files that are new, or have changed, or run lines of a file that has changed."""
        now = cache(lambda name: digest(self._root / name))
        return [
            test
            for test in tests
            if test not in self._entries or any(now(name) != was for name, was in self._entries[test]["digests"].items())
        ]

    def add(self, test: str) -> bool:
        """Run a test file and keep which lines each of its tests runs; return whether it came to an end."""
        found = in_child(lambda: _traced(test, self._root), LONGEST_S, self._file.with_name("traced.log"))
        ended = isinstance(found, dict)
        entry = found if ended else {"seconds": {}, "lines": {}}
        entry["digests"] = {name: digest(self._root / name) for name in (test, *entry["lines"])}
        self._entries[test] = entry
        self._by_line.clear()
        made = self._file.with_suffix(".new")
        made.write_text(json.dumps(self._entries))
        made.replace(self._file)
        return ended

    def seconds(self, name: str) -> float:
        """Return how long a test took."""
        return float(self._entries[name.partition("::")[0]]["seconds"].get(name, 0.0))

    def tests_of(self, change: Change) -> list[str]:
        """Return the tests that run the statement of a change.

        What is run when the file is imported, in a head of a function or in a class, is for all tests that run the function,
        or anything in the file: the test that happens to import it first is no better than the others.
        """
        lines = self._lines(change.file)
        first, last, function = _statement(self._root / change.file, change.lines[0])
        found = set().union(*(lines.get(line, set()) for line in range(first, last + 1)))
        if first == function[0]:
            found = found.union(*(lines.get(line, set()) for line in range(function[0], function[1] + 1)))
        if function == (0, 0):
            found = found.union(*lines.values())
        return sorted(found)

    def _lines(self, file: str) -> dict[int, set[str]]:
        if file not in self._by_line:
            made: dict[int, set[str]] = {}
            for entry in self._entries.values():
                names = list(entry["seconds"])
                for line, tests in entry["lines"].get(file, {}).items():
                    made.setdefault(int(line), set()).update(names[i] for i in tests)
            self._by_line[file] = made
        return self._by_line[file]


def mirrored(file: str) -> str:
    """Return the test file of a source file, by the rule that tests mirror the package."""
    path = Path("tests", *Path(file).parts[1:])
    return path.with_name(f"test_{path.name}").as_posix()


def near(file: str, texts: Mapping[str, str]) -> list[list[str]]:
    """Return the test files nearest to a source file, without a map: its mirror, then those of what imports it.

    Args:
        file: The source file.
        texts: Test files and source files with their text.
    """
    module = re.escape(file.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
    directly_first = sorted(texts, key=lambda name: (not name.startswith("tests/"), name))
    naming = [name for name in directly_first if re.search(rf"\b{module}\b", texts[name])]
    found = {name if name.startswith("tests/") else mirrored(name): None for name in naming}
    own, folder = mirrored(file), f"{Path(mirrored(file)).parent}/"
    names = [name for name in found if name in texts and name != own]
    beside = [name for name in names if name.startswith(folder)]
    others = [name for name in names if not name.startswith(folder)]
    return [stage for stage in ([own] if own in texts else [], beside[:MOST_NEAR], others[:MOST_NEAR]) if stage]


def _traced(test: str, root: Path) -> dict[str, Any]:
    """Run one test file under coverage; return the seconds of its tests that pass, and the lines that each runs."""
    import coverage
    import pytest

    traced = coverage.Coverage(data_file=None, config_file=False, include=[str(root / folder / "*") for folder in FOLDERS])
    reports = Reports(traced.switch_context)
    traced.start()
    pytest.main([*(word for word in ARGUMENTS if word != "-x"), test], plugins=[reports])
    traced.stop()
    passed = [name for name in reports.seconds if name not in reports.failed]
    index = {name: i for i, name in enumerate(passed)}
    lines: dict[str, dict[int, list[int]]] = {}
    data = traced.get_data()
    for file in data.measured_files():
        by_line = {
            line: [index[name] for name in names if name in index] for line, names in data.contexts_by_lineno(file).items()
        }
        lines[Path(file).relative_to(root).as_posix()] = {line: tests for line, tests in by_line.items() if tests}
    return {"seconds": {name: round(reports.seconds[name], 3) for name in passed}, "lines": lines}


def _statement(file: Path, line: int) -> tuple[int, int, tuple[int, int]]:
    """Return the first and last line of the innermost statement (the head only of one with a body), and its function's."""
    best: ast.stmt | ast.ExceptHandler | None = None
    function = (0, 0)
    for node in ast.walk(_tree(file)):  # from the outside in
        if isinstance(node, ast.stmt | ast.ExceptHandler) and node.lineno <= line <= (node.end_lineno or 0):
            best = node
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                function = (node.lineno, node.end_lineno or 0)
    if best is None:
        return line, line, function
    body = getattr(best, "body", None)
    last = body[0].lineno - 1 if body else best.end_lineno or 0
    return best.lineno, max(last, best.lineno), function


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))
