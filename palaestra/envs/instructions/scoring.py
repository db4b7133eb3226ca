"""Scores: how many tasks have all constraints met, by pattern, level, category and family, with Wilson intervals.

The tables have the names of the published scorer's. A task passes if all of its constraints do; it counts for a category if it
has a constraint of this category, and passes there if all of those do. Families are counted by constraint.

Source: Ye et al. 2025, MulDimIF (arXiv:2505.07591), section 4.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from palaestra.envs.instructions.constraints import check_all
from palaestra.envs.instructions.kinds import Profile, Verdict
from palaestra.envs.instructions.published import InstructionDataError
from palaestra.envs.instructions.tasks import Task
from palaestra.results.statistics import CONFIDENCE, wilson_interval
from palaestra.types import Json
from palaestra.types.plain_json import text_of

OnUnparsed = Literal["exclude", "fail"]
"""What a verdict of None counts as: nothing, or failed."""

Group = dict[str, "Rate"]


@dataclass(frozen=True, eq=False)
class Rate(Mapping[str, float]):
    """A share with its interval; as a mapping it has the keys `passed`, `total` and `rate`.

    Attributes:
        passed: How many passed.
        total: Out of how many.
    """

    passed: int
    total: int

    @property
    def rate(self) -> float:
        """The share, 0 to 1; 0 out of none."""
        return self.passed / self.total if self.total else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval."""
        return wilson_interval(self.passed, self.total, CONFIDENCE)

    def __getitem__(self, key: str) -> float:
        """Return `passed`, `total` or `rate`."""
        return {"passed": self.passed, "total": self.total, "rate": self.rate}[key]

    def __iter__(self) -> Iterator[str]:
        """Return the three keys."""
        return iter(("passed", "total", "rate"))

    def __len__(self) -> int:
        """Return the number of keys."""
        return 3


@dataclass(frozen=True, eq=False)
class Scores(Mapping[str, Any]):
    """Scores of a set of answers; as a mapping it has the tables of the published scorer.

    Attributes:
        overall: Tasks with every constraint met.
        patterns: Tasks by pattern, e.g. "Listing".
        levels: Tasks by level, e.g. "Level 2".
        categories: Tasks by category, e.g. "Format".
        families: Constraints by family, e.g. "Format_Table".
        constraints: All constraints.
        soft: Mean share of constraints met over tasks, 0 to 1.
        unparsed: Constraints without a verdict.
        undecided: Tasks without a single verdict; they are in no table.
    """

    overall: Rate
    patterns: Group
    levels: Group
    categories: Group
    families: Group
    constraints: Rate
    soft: float
    unparsed: int
    undecided: int

    _TABLES = {  # noqa: RUF012  # no field
        "constraint_pattern_list": "patterns",
        "constraint_category_list": "categories",
        "constraint_category_second_list": "families",
        "constraint_difficulty_list": "levels",
        "Overall": "overall",
    }

    def __getitem__(self, key: str) -> Any:
        """Return a table of the published scorer."""
        return getattr(self, self._TABLES[key])

    def __iter__(self) -> Iterator[str]:
        """Return the names of the tables."""
        return iter(self._TABLES)

    def __len__(self) -> int:
        """Return the number of tables."""
        return len(self._TABLES)

    def document(self) -> dict[str, Json]:
        """Return everything as plain JSON, each rate with `low` and `high`."""
        tables = {
            name: _plain(table) if isinstance(table, Rate) else {key: _plain(rate) for key, rate in table.items()}
            for name, table in self.items()
        }
        rest = {"constraints": _plain(self.constraints), "soft": self.soft}
        return {**tables, **rest, "unparsed": self.unparsed, "undecided": self.undecided}


def score(
    tasks: Sequence[Task],
    responses: Mapping[str, str],
    *,
    profile: Profile = "strict",
    on_unparsed: OnUnparsed = "exclude",
) -> Scores:
    """Check and score one answer for each task.

    Args:
        tasks: The tasks.
        responses: Answers by id of their task; a task without one is scored as if its answer were empty.
        profile: How answers are checked.
        on_unparsed: What a constraint without a verdict counts as.

    Raises:
        InstructionDataError: If there is an answer to a task that is not among these.
    """
    known = {task.id for task in tasks}
    for answered in responses:
        if answered not in known:
            raise InstructionDataError(f"There is an answer to {answered!r}, which is the id of no task given.")
    rows = [
        {
            "task_id": task.id,
            "verdicts": check_all(task.constraints, responses.get(task.id, ""), profile),
        }
        for task in tasks
    ]
    return score_verdicts(tasks, rows, on_unparsed=on_unparsed)


def score_verdicts(tasks: Iterable[Task], rows: Iterable[Mapping[str, Any]], *, on_unparsed: OnUnparsed = "exclude") -> Scores:
    """Score recorded verdicts.

    Args:
        tasks: The tasks.
        rows: `{"task_id", "verdicts"}`, the verdicts in the order of the constraints: true, false or null, or 1 and 0, or
            `Verdict`. A task may have several rows, or none.
        on_unparsed: What a verdict of None counts as.

    Returns:
        The scores of these rows.

    Raises:
        InstructionDataError: If a row names no task, or has another number of verdicts than its task has constraints.
    """
    by_id = {task.id: task for task in tasks}
    counts: dict[str, dict[str, list[bool]]] = {table: defaultdict(list) for table in ("p", "l", "c", "f")}
    hard: list[bool] = []
    shares: list[float] = []
    flat: list[bool] = []
    unparsed = undecided = 0
    for number, row in enumerate(rows):
        task, verdicts = _row(row, number, by_id)
        unparsed += verdicts.count(None)
        families = [one.family for one in task.constraints]
        judged = [
            (family, bool(verdict))
            for family, verdict in zip(families, verdicts, strict=True)
            if verdict is not None or on_unparsed == "fail"
        ]
        if not judged:
            undecided += 1
            continue
        passed = [verdict for _, verdict in judged]
        hard.append(all(passed))
        shares.append(sum(passed) / len(passed))
        flat += passed
        counts["p"][task.pattern.capitalize()].append(all(passed))
        counts["l"][f"Level {task.level}"].append(all(passed))
        for category in dict.fromkeys(family.partition("_")[0] for family, _ in judged):
            counts["c"][category].append(all(ok for family, ok in judged if family.partition("_")[0] == category))
        for family, ok in judged:
            counts["f"][family].append(ok)
    groups = {table: {key: _rate(values) for key, values in group.items()} for table, group in counts.items()}
    soft = sum(shares) / len(shares) if shares else 0.0
    return Scores(_rate(hard), groups["p"], groups["l"], groups["c"], groups["f"], _rate(flat), soft, unparsed, undecided)


def _row(row: Mapping[str, Any], number: int, tasks: Mapping[str, Task]) -> tuple[Task, list[bool | None]]:
    """Return the task and the verdicts of a row."""
    task = tasks.get(str(row.get("task_id")))
    if task is None:
        raise InstructionDataError(f"Row {number}: task_id is {text_of(row.get('task_id'))!r}, the id of no task given.")
    verdicts = row.get("verdicts")
    if not isinstance(verdicts, list | tuple) or len(verdicts) != len(task.constraints):
        raise InstructionDataError(
            f"Row {number}, task {task.id!r}: verdicts is {text_of(verdicts)}; expected a list of {len(task.constraints)}."
        )
    plain = [one.passed if isinstance(one, Verdict) else one for one in verdicts]
    wrong = [one for one in plain if not (one is None or (isinstance(one, bool | int) and one in (0, 1)))]
    if wrong:
        raise InstructionDataError(
            f"Row {number}, task {task.id!r}: a verdict is {text_of(wrong[0])!r}; expected true, false, null, 1 or 0."
        )
    return task, [None if one is None else bool(one) for one in plain]


def _rate(values: Sequence[bool]) -> Rate:
    return Rate(sum(values), len(values))


def _plain(rate: Rate) -> dict[str, Json]:
    low, high = rate.interval
    return {"passed": rate.passed, "total": rate.total, "rate": rate.rate, "low": low, "high": high}
