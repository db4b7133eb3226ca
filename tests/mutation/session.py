"""One process that maps the tests and tries changes in the copy of the project."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.mutation.changes import Change, Source, draw
from tests.mutation.folders import FOLDERS
from tests.mutation.mapping import LONGEST_S, TestMap, digest, mirrored, near
from tests.mutation.trials import TIMED_OUT, in_child, load_heavy, run_tests

NO_SUCH_TEST = 4
"""Exit code of pytest for a name that no test has."""

FIRST_S = 6.0
"""Seconds of the nearest tests that are run first, before the files of all others are imported."""


SLACK_S = 40.0
"""Seconds that a trial may take in addition to four times those that its tests took when they were mapped."""


class Session:
    """Maps tests and tries changes.

    Args:
        folder: Where map, changes and results are kept.
        copy: The copy of the project, which is the working folder.
        seconds: Of tests at most for one change.
        near: Test files to choose from without a map, whole files at a time; none to choose tests by the map.
        stages: How many stages of these are run for a change, at most; None for all.
    """

    def __init__(self, folder: Path, copy: Path, seconds: float, near: Sequence[str] = (), stages: int | None = None) -> None:
        """Load what is heavy."""
        load_heavy()
        sources = [path.relative_to(copy).as_posix() for path in (copy / "palaestra").rglob("*.py")] if near else []
        self._texts = {name: (copy / name).read_text(encoding="utf-8") for name in (*near, *sources)}
        self._folder, self._copy, self._seconds, self._num_stages = folder, copy, seconds, stages
        self._map = TestMap(folder / "map.json", copy)
        self._sources: dict[str, Source] = {}
        self._written = time.time_ns()

    def map(self, tests: list[str], until: float) -> bool:
        """Map the test files that have changed; return whether all are mapped."""
        todo = self._map.outdated(tests)
        for i, test in enumerate(todo):
            if time.monotonic() > until:
                print(f"{len(todo) - i} test files have not been mapped; run the same command again.")
                return False
            began = time.monotonic()
            ended = self._map.add(test)
            print(f"mapped {test} in {time.monotonic() - began:.1f} s{'' if ended else ': cut off'}", flush=True)
        return True

    def draw(self, n: int, seed: int) -> list[Change]:
        """Return `n` changes; the list of all is made again for the files that have changed."""
        kept_as = self._folder / "changes.json"
        kept: dict[str, dict[str, Any]] = json.loads(kept_as.read_text()) if kept_as.exists() else {}
        rules = digest(self._copy / "tests/mutation/changes.py")
        found: dict[str, dict[str, Any]] = {}
        for folder in FOLDERS:
            for path in sorted((self._copy / folder).rglob("*.py")):
                file = path.relative_to(self._copy).as_posix()
                of = [digest(path), rules]
                if file not in kept or kept[file]["of"] != of:
                    changes = [[one.name, one.lines, one.index] for one in self._source(file).changes]
                    kept[file] = {"of": of, "changes": changes}
                found[file] = kept[file]
        kept_as.write_text(json.dumps(found))
        every = [
            Change(name, file, tuple(lines), index) for file, entry in found.items() for name, lines, index in entry["changes"]
        ]
        return draw(every, n, seed)

    def trial(self, change: Change) -> dict[str, Any]:
        """Try a change; return how it ended, with the test that noticed it."""
        source, path = self._source(change.file), self._copy / change.file
        row: dict[str, Any] = {"name": change.name, "diff": source.diff(change), "ended": "not reached", "by": ""}
        began = time.monotonic()
        for tests in near(change.file, self._texts)[: self._num_stages] if self._texts else self._stages(change):
            row["ended"] = "survived"
            expected = LONGEST_S / 4 if self._texts else sum(map(self._map.seconds, tests))
            try:
                self._write(path, source.changed(change))
                told = in_child(lambda tests=tests: run_tests(tests), 4 * expected + SLACK_S, self._folder / "trial.log")
                if isinstance(told, dict) and told["code"] == NO_SUCH_TEST and not told["failed"]:
                    # names of cases may be made of what was changed: a case that is not found has noticed nothing
                    files = sorted({name.partition("::")[0] for name in tests})
                    told = in_child(
                        lambda files=files: run_tests(files), 4 * expected + 10 * SLACK_S, self._folder / "trial.log"
                    )
            finally:
                self._write(path, source.text)
            if told == TIMED_OUT:  # a machine that is too busy for the tests themselves says nothing of the change
                again = in_child(lambda tests=tests: run_tests(tests), 4 * expected + SLACK_S, self._folder / "trial.log")
                row["ended"] = "not tried" if again == TIMED_OUT else "timeout"
                break
            if told is None or told["code"] not in (0, 5):
                row["ended"], row["by"] = "killed", told["failed"][0] if told and told["failed"] else "(the process ended)"
                break
        row["seconds"] = round(time.monotonic() - began, 1)
        print(f"{row['ended']:12s}{row['seconds']:6.1f} s  {change.name}  {row['by']}", flush=True)
        return row

    def unsound(self, tests: set[str]) -> set[str]:
        """Return those of some tests that fail when nothing is changed: what they have killed is not known to be noticed."""
        told = in_child(lambda: run_tests(sorted(tests), "--maxfail=1000"), 900, self._folder / "clean.log")
        return set(told["failed"]) if isinstance(told, dict) else tests

    def _stages(self, change: Change) -> list[list[str]]:
        """Return the tests of a change, the nearest first: those of its own test file, then the quick ones."""
        own, area = mirrored(change.file), "/".join(mirrored(change.file).split("/")[:3])
        tests = self._map.tests_of(change)
        tests.sort(key=lambda name: (not name.startswith(own), not name.startswith(area), self._map.seconds(name), name))
        stages: list[list[str]] = [[], []]
        spent = 0.0
        for name in tests:
            spent += self._map.seconds(name)
            if spent > self._seconds and stages[0]:
                break
            stages[0 if spent <= FIRST_S and len({n.partition("::")[0] for n in [*stages[0], name]}) < 4 else 1].append(name)
        return [stage for stage in stages if stage]

    def _source(self, file: str) -> Source:
        if file not in self._sources:
            self._sources[file] = Source(file, self._copy)
        return self._sources[file]

    def _write(self, path: Path, text: str) -> None:
        """Write a file with a time of its own, so that no compiled one of before is taken for it."""
        path.write_text(text, encoding="utf-8")
        self._written += 2_000_000_000
        os.utime(path, ns=(self._written, self._written))
