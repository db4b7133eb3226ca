"""Results that an environment has of its own: the tables of its paper, and blocks below the steps of a transcript.

An environment names a function, `results = "module:function"`. It takes the arms that are shown together and returns
`EnvResults`. Whatever shows results (terminal, JSON, report, `evaluate()`) shows these tables, and the transcript viewer shows
the blocks. Means of one number per episode need no function: they are metrics (`palaestra.results.metrics`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any, Literal, cast, get_args

from palaestra.errors import ConfigError, UsageError
from palaestra.lazy import import_users
from palaestra.types import Json, Trajectory

Mark = Literal["", "good", "bad", "missing", "extra"]
"""What a verdict says: right, wrong, something that should be there and is not, something that should not be there."""


@dataclass(frozen=True, slots=True)
class Arm:
    """The episodes of one agent in one environment with one set of arguments: one row of any comparison.

    Attributes:
        run_id: The run that holds the episodes; empty if they are not stored.
        agent: Name of the agent.
        env_id: Environment.
        env_kwargs: Arguments of the environment.
        split: Split of the tasks; empty if there are several or none.
        name: Shown; `distinguish` gives the arms that are shown together names of their own.
        settings: Arguments in which the arms of this environment that are shown together differ.
        episodes: The trajectories; may be gone through more than once.
    """

    run_id: str
    agent: str
    env_id: str
    env_kwargs: Mapping[str, Json] = field(default_factory=dict)
    split: str = ""
    name: str = ""
    settings: Mapping[str, Json] = field(default_factory=dict)
    episodes: Iterable[Trajectory] = field(default=(), repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class ResultTable:
    """A table to print.

    Attributes:
        title: Shown above.
        columns: Names of the columns.
        rows: Cells as text, as many in each row as there are columns.
        note: Shown below.
        text_columns: How many of the first columns hold text; the others hold figures, aligned on the right.
        marks: One per row, or none: colours its last cell.
        quiet: Texts of cells that hold no news, e.g. "unchanged"; shown in grey.

    Raises:
        ConfigError: If a row has another number of cells than there are columns, marks do not fit, or a cell is not text.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    text_columns: int = 1
    marks: tuple[Mark, ...] = ()
    quiet: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a table whose rows do not fit, or that holds something other than text."""
        _check_texts(f"table {self.title!r}", (self.title, self.note), self.columns, *self.rows, self.quiet)
        if not isinstance(self.text_columns, int):
            raise ConfigError(f"text_columns of table {self.title!r} is {self.text_columns!r}; expected a number of columns.")
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ConfigError(f"A row of table {self.title!r} has {len(row)} cells; expected {len(self.columns)}: {row}.")
        if self.marks and len(self.marks) != len(self.rows):
            raise ConfigError(f"Table {self.title!r} has {len(self.marks)} marks for {len(self.rows)} rows; expected as many.")
        for mark in self.marks:
            _check_mark(mark)

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict; what is not used is left out."""
        data: dict[str, Json] = {
            "title": self.title,
            "columns": list(self.columns),
            "rows": [list(row) for row in self.rows],
        }
        optional: dict[str, Json] = {"note": self.note, "marks": list(self.marks), "quiet": list(self.quiet)}
        return {**data, **{key: value for key, value in optional.items() if value}, "text_columns": self.text_columns}


@dataclass(frozen=True, slots=True)
class StepBlock:
    """What one step came to; the transcript viewer shows it below the step.

    Attributes:
        title: What it is about, e.g. "Request 2".
        verdict: Shown next to the title, e.g. "served exactly".
        mark: Colours the verdict.
        tags: Shown in boxes next to the title.
        notes: Short facts, shown in one line.
        text: The subject in full, e.g. the words of a request.
        details: (summary, text) pairs; long texts are folded.
        tables: Shown last.
    """

    title: str
    verdict: str = ""
    mark: Mark = ""
    tags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    text: str = ""
    details: tuple[tuple[str, str], ...] = ()
    tables: tuple[ResultTable, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a mark that does not exist, and what is neither text nor a table."""
        _check_mark(self.mark)
        texts = (self.title, self.verdict, self.text)
        _check_texts(f"block {self.title!r}", texts, self.tags, self.notes, *self.details)
        for pair in self.details:
            if len(pair) != 2:
                raise ConfigError(f"A detail of block {self.title!r} has {len(pair)} parts; expected a summary and a text.")
        _check_tables(f"block {self.title!r}", self.tables)

    def to_json(self, clip: Callable[[str], str] = str) -> dict[str, Json]:
        """Return a plain dict.

        Args:
            clip: Cuts texts that are too long.
        """
        return {
            "title": self.title,
            "verdict": self.verdict,
            "mark": self.mark,
            "tags": list(self.tags),
            "notes": list(self.notes),
            "text": clip(self.text),
            "details": [[summary, clip(text)] for summary, text in self.details],
            "tables": [table.to_json() for table in self.tables],
        }


def _check_mark(mark: str) -> None:
    """Refuse a mark that does not exist."""
    if mark not in get_args(Mark):
        raise ConfigError(f"The mark is {mark!r}; expected one of {', '.join(map(repr, get_args(Mark)))}.")


def _check_texts(what: str, *groups: object) -> None:
    """Refuse groups that are not tuples or lists of texts."""
    for group in groups:
        if not isinstance(group, (tuple, list)):
            raise ConfigError(f"The {what} holds {repr(group)[:200]}; expected a tuple of texts.")
        for item in group:
            if not isinstance(item, str):
                raise ConfigError(f"The {what} holds {repr(item)[:200]}; expected text, so write str(value).")


def _check_tables(what: str, tables: object) -> None:
    """Refuse what is not a sequence of tables."""
    if not isinstance(tables, (tuple, list)):
        raise ConfigError(f"The tables of {what} are {repr(tables)[:200]}; expected a tuple of ResultTable.")
    for table in tables:
        if not isinstance(table, ResultTable):
            raise ConfigError(f"A table of {what} is {repr(table)[:200]}; expected a ResultTable.")


Blocks = Mapping[int, Sequence[StepBlock]]
"""Blocks by the index of their step."""


def no_blocks(trajectory: Trajectory) -> Blocks:
    """Return no blocks, whatever was played."""
    del trajectory
    return {}


@dataclass(frozen=True, slots=True)
class EnvResults:
    """What an environment reports of its own about some arms.

    Attributes:
        tables: To print, in this order.
        data: Everything as plain data, for `--json`; by default the tables.
        blocks: Returns the blocks of a transcript. It must do with whatever a stored episode holds.

    Raises:
        ConfigError: If there is something other than tables, data has no strict JSON form, or blocks cannot be called.
    """

    tables: tuple[ResultTable, ...] = ()
    data: Json = None
    blocks: Callable[[Trajectory], Blocks] = no_blocks

    def __post_init__(self) -> None:
        """Refuse what could not be shown."""
        _check_tables("the results", self.tables)
        if not callable(self.blocks):
            raise ConfigError(f"blocks is {repr(self.blocks)[:200]}; expected a function of a trajectory.")
        try:
            json.dumps(self.data, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigError(
                f"The data of the results has no strict JSON form ({error}); expected dicts, lists, texts, finite numbers, "
                f"True, False and None."
            ) from error

    def blocks_of(self, trajectory: Trajectory) -> Blocks:
        """Return the blocks of a transcript; where the environment fails at it, one that says so.

        Args:
            trajectory: What was played.
        """
        try:
            found = self.blocks(trajectory)
            _check_blocks(found)
        except (Exception, SystemExit) as error:
            message = f"{type(error).__name__}: {error}"
            return {0: [StepBlock("Blocks of this transcript", "failed", "bad", text=message)]}
        return found

    def to_json(self) -> Json:
        """Return the results as plain data."""
        return [table.to_json() for table in self.tables] if self.data is None else self.data


def _check_blocks(blocks: object) -> None:
    """Refuse what are no blocks by the index of their step."""
    if not isinstance(blocks, Mapping):
        raise ConfigError(f"The blocks are {repr(blocks)[:200]}; expected a dict of lists by the index of the step.")
    for index, found in blocks.items():
        if not isinstance(index, int) or not isinstance(found, (tuple, list)):
            raise ConfigError(f"The blocks of step {index!r} are {repr(found)[:200]}; expected a list by the step's index.")
        for block in found:
            if not isinstance(block, StepBlock):
                raise ConfigError(f"A block of step {index} is {repr(block)[:200]}; expected a StepBlock.")


ResultsFunction = Callable[[Sequence[Arm]], EnvResults]
"""What `results = "module:function"` names. Without arms it returns no tables, but `blocks` all the same."""


def load_named(spec: str, what: str, *, example: str = "my_package.results:tables") -> Any:
    """Import what "module:name" names.

    Args:
        spec: Module and name; dots in the name lead to attributes.
        what: What it is to be, for messages.
        example: A text of this form for such a thing.

    Raises:
        UsageError: If the text is not of this form, the module cannot be imported, or the name does not exist.
    """
    module, _, name = spec.partition(":")
    if not module or not name:
        raise UsageError(f"{spec!r} does not name a {what}; expected module:function, e.g. {example}.")
    found: Any = import_users(module, f"The {what} {spec!r}")
    for part in name.split("."):
        if not hasattr(found, part):
            raise UsageError(f"The {what} {spec!r} does not exist: {module} has no {name}.")
        found = getattr(found, part)
    return found


def load_results(spec: str) -> ResultsFunction:
    """Import the function that an environment names in `results`.

    Raises:
        UsageError: If there is no such function.
    """
    function = load_named(spec, "function of results")
    if not callable(function):
        raise UsageError(f"{spec!r} is a {type(function).__name__}; expected a function of arms.")
    return cast(ResultsFunction, function)


# -- names of arms ----------------------------------------------------------------------------------------------------


def distinguish(arms: Sequence[Arm]) -> list[Arm]:
    """Return arms with `settings` and names: the agent, and as much more as tells it from the others.

    Environment and split are added where arms of the same agent differ in them, then the arguments in which the arms of an
    environment differ, and the run where all that is the same.
    """
    settings: list[dict[str, Json]] = [{} for _ in arms]
    for env_id in dict.fromkeys(arm.env_id for arm in arms):
        alike = [index for index, arm in enumerate(arms) if arm.env_id == env_id]
        for index, own in zip(alike, differing([arms[index].env_kwargs for index in alike]), strict=True):
            settings[index] = own
    named = []
    for arm, own in zip(arms, settings, strict=True):
        same = [other for other in arms if other.agent == arm.agent]
        parts = [arm.agent or arm.run_id]
        parts += [arm.env_id] if any(other.env_id != arm.env_id for other in same) else []
        parts += [arm.split] if arm.split and any(other.split != arm.split for other in same) else []
        named.append(replace(arm, name=arm_name(" · ".join(parts), own), settings=own))
    short = short_names(sorted({arm.run_id for arm in arms}))
    names = [arm.name for arm in named]
    return [
        replace(arm, name=f"{name} · {short[arm.run_id].removeprefix(f'{arm.agent}-')}") if names.count(name) > 1 else arm
        for arm, name in zip(named, names, strict=True)
    ]


def arm_name(agent: str, settings: Mapping[str, Json]) -> str:
    """Return the name of an arm: the agent, and the arguments in which the arms differ."""
    return " · ".join([agent, *(f"{key}={value}" for key, value in settings.items())])


def differing(arguments: Sequence[Mapping[str, Json]]) -> list[dict[str, Json]]:
    """Return of each set of arguments those that are not the same in all of them, None where one is not given."""
    keys = dict.fromkeys(key for one in arguments for key in one)
    telling = [key for key in keys if any(one.get(key) != arguments[0].get(key) for one in arguments)]
    return [{key: one.get(key) for key in telling} for one in arguments]


def short_names(run_ids: Sequence[str]) -> dict[str, str]:
    """Return run ids without the parts with which all of them begin: "today-1-fc" next to "today-1-sfc" is "fc"."""
    parts = [run_id.split("-") for run_id in run_ids]
    shared = len(list(takewhile(lambda column: len(set(column)) == 1, zip(*parts, strict=False))))
    return {run_id: "-".join(split[shared:]) or run_id for run_id, split in zip(run_ids, parts, strict=True)}


__all__ = [
    "Arm",
    "Blocks",
    "EnvResults",
    "Mark",
    "ResultTable",
    "ResultsFunction",
    "StepBlock",
    "arm_name",
    "differing",
    "distinguish",
    "load_named",
    "load_results",
    "no_blocks",
    "short_names",
]
