"""Does a test notice when one call that masks a secret is taken away? Every such call is taken away by itself.

    python -m experiments.reliability.masked_calls [-n 12] [TEST FILE ...]

The test files are run once, which says what test reaches which call; then each call is made to do nothing (the value stays
as it is, nothing is remembered, nothing refused), and the tests that reach it run until one fails, the quick ones first. One
row a call is added to `masked_calls.jsonl`; calls that a row says are noticed are not tried again, so that more test files
may follow later. A call in another process (a command line that a test starts) is not reached.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import functools
import io
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from experiments.common.rows import append_row, folder_of, read_rows
from palaestra.agents import masking

GIVE_BACK = ("masked", "masked_message", "masked_error", "without_secrets")
"""Those that return what they are given, less its secrets."""
DO = ("remember_secrets", "check_unmasked", "mask_logs", "masked_errors")
TESTS = ("tests/agents/test_masked_places.py", "tests/agents/test_masked_messages.py", "tests/agents/view/test_masking.py")
ROOT = Path(__file__).parents[2]
ARGUMENTS = (
    *("-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=no", "--show-capture=no"),
    *("-W", "ignore::pytest.PytestWarning"),
)


class Call(NamedTuple):
    """A call of a masking function: file from the root, line and column where it begins, the function's name."""

    file: str
    line: int
    column: int
    name: str


def calls_of(root: Path, package: str = "palaestra") -> dict[Call, str]:
    """Return every call in a package, but for the module that masks; each with a name that does not depend on its line.

    Args:
        root: The folder that the package is in.
        package: Its name.
    """
    found: dict[Call, str] = {}
    for path in sorted((root / package).rglob("*.py")):
        file = path.relative_to(root).as_posix()
        if file == "palaestra/agents/masking.py":
            continue
        same: Counter[str] = Counter()
        for function, node in _calls(ast.parse(path.read_text(encoding="utf-8"))):
            name = f"{file}:{function}:{node.func.id}"  # type: ignore[attr-defined]
            same[name] += 1
            call = Call(file, node.lineno, node.col_offset, node.func.id)  # type: ignore[attr-defined]
            found[call] = name if same[name] == 1 else f"{name} {same[name]}"
    return found


def _calls(node: ast.AST, around: str = "") -> Iterator[tuple[str, ast.Call]]:
    """Yield the calls of the masking functions in the order of the text, each with the function around it."""
    for child in ast.iter_child_nodes(node):
        is_scope = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        if isinstance(child, ast.Call) and isinstance(child.func, ast.Name) and child.func.id in (*GIVE_BACK, *DO):
            yield around, child
        yield from _calls(child, f"{around}.{child.name}".lstrip(".") if is_scope else around)  # type: ignore[attr-defined]


class Taken:
    """The masking functions, which keep what test reached which call, and leave out one call.

    It has to be made before any module that masks is imported: each takes the functions by name.

    Args:
        root: The folder that the files of calls are relative to.
    """

    def __init__(self, root: Path) -> None:
        """Put it before the functions."""
        self._root = f"{root}/"
        self.seen: dict[Call, list[str]] = {}
        self.test = ""
        self.away: Call | None = None
        for name in (*GIVE_BACK, *DO):
            setattr(masking, name, self._before(name, getattr(masking, name)))

    def _before(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(real)
        def function(*args: Any, **options: Any) -> Any:
            frame = sys._getframe(1)
            file = frame.f_code.co_filename
            if not file.startswith(self._root):
                return real(*args, **options)
            line, _, column, _ = list(frame.f_code.co_positions())[frame.f_lasti // 2]
            call = Call(file.removeprefix(self._root), line or 0, column or 0, name)
            reached = self.seen.setdefault(call, [])
            if self.test not in reached:
                reached.append(self.test)
            if call != self.away:
                return real(*args, **options)
            if name == "masked_errors":
                return contextlib.nullcontext()
            return args[0] if name in GIVE_BACK else None

        return function


class Reports:
    """A plugin that tells `Taken` which test is run, and keeps which failed and how long each took."""

    def __init__(self, taken: Taken) -> None:
        """Keep nothing yet."""
        self._taken = taken
        self.failed: list[str] = []
        self.seconds: Counter[str] = Counter()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: Any) -> None:
        """Say which test begins."""
        self._taken.test = item.nodeid

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Add up the time of a test; keep it if it failed."""
        self.seconds[report.nodeid] += report.duration
        if report.failed:
            self.failed.append(report.nodeid)


def run_tests(taken: Taken, *arguments: str) -> Reports:
    """Run tests in this process, without a word of theirs."""
    reports = Reports(taken)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        pytest.main([*ARGUMENTS, *arguments], plugins=[reports])
    taken.test = ""
    return reports


def try_all(taken: Taken, calls: dict[Call, str], files: list[str], most: int) -> Iterator[dict[str, Any]]:
    """Run the test files, then take away each call that they reach; yield how each ended.

    Args:
        taken: The functions.
        calls: The calls to try, with their names.
        files: Of the tests.
        most: Tests that are run at most for a call, the quick ones first.
    """
    whole = run_tests(taken, *files)
    if whole.failed:
        raise SystemExit(f"These fail without a change: {whole.failed}. Mend them first.")
    reached = {call: sorted((t for t in taken.seen.get(call, []) if t), key=lambda t: whole.seconds[t]) for call in calls}
    for call, name in calls.items():
        tests = reached[call][:most]
        taken.away = call if tests else None
        failed = run_tests(taken, "-x", *tests).failed if tests else []
        taken.away = None
        ended = "noticed" if failed else "survived" if tests else "not reached"
        yield {"call": name, "ended": ended, "by": failed[0] if failed else "", "tests": len(tests)}


def main() -> int:
    """Try what no row says is noticed; print and write the rows; 1 if a call is left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=12, help="tests for a call, at most")
    parser.add_argument("files", nargs="*", default=TESTS, help="test files, by default those of masking")
    asked = parser.parse_args()
    rows = folder_of("reliability") / "masked_calls.jsonl"
    taken = Taken(ROOT)
    calls = calls_of(ROOT)
    noticed = {row["call"] for row in read_rows(rows) if row["ended"] == "noticed"}
    left = {call: name for call, name in calls.items() if name not in noticed}
    for row in try_all(taken, left, list(asked.files), asked.n):
        if row["ended"] == "noticed":
            noticed.add(row["call"])
        append_row(rows, row)
        print(row["ended"], row["call"], row["by"], flush=True)
    open_calls = sorted(set(calls.values()) - noticed)
    print(f"{len(calls) - len(open_calls)} of {len(calls)} calls noticed; not:", *open_calls, sep="\n  ")
    return int(bool(open_calls))


if __name__ == "__main__":
    sys.exit(main())
