"""One line about a run, one line about an episode: what the run store can list without reading a trajectory."""

from __future__ import annotations

import json
import re
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from operator import attrgetter
from typing import Any, Literal
from zlib import crc32

from palaestra.errors import ContentFilterError
from palaestra.spaces import is_unicode
from palaestra.types import Json, Trajectory
from palaestra.types.plain_json import finite, strict_text

RunStatus = Literal["created", "running", "finished", "decided", "stopped", "failed", "interrupted"]

BIASED = "biased towards short episodes, which finish first"
"""What the figures of an evaluation are that was cut off."""

DECIDED = (
    "it was ended by the decision, so its own rates and means are biased in the direction of that; what holds is the "
    "difference with its interval"
)
"""What the figures of an evaluation are that was played until decided."""

_PLANNED = re.compile(r"(?:([\d,]+) of )?([\d,]+)( phases)? planned\b")


@dataclass(frozen=True, slots=True)
class Planned:
    """How much of what a run planned is done; as a text, "32 of 2,000 planned", it is part of the run's note.

    Attributes:
        done: Units that are done.
        planned: Units that make the run complete.
        unit: "episodes", or "phases" of a training run.
    """

    done: int
    planned: int
    unit: Literal["episodes", "phases"] = "episodes"

    def __str__(self) -> str:
        """Return it as notes have it."""
        return f"{self.done:,} of {self.planned:,}{'' if self.unit == 'episodes' else ' ' + self.unit} planned"

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict."""
        return asdict(self)


def cut_off_note(note: str, num_episodes: int) -> str:
    """Return the note of a run whose process died: with what is stored, where it says only what was planned."""
    return f"{num_episodes:,} of {note}" if re.fullmatch(r"[\d,]+ planned", note) else note


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One line about a run.

    Attributes:
        run_id: Its name.
        created_s: When it was created, seconds since 1970 UTC.
        updated_s: When it last changed.
        status: How far it is; "interrupted" if the process that played it is dead, "decided" if it was played until a
            comparison was decided.
        note: Why it stopped or failed, in one line.
        config: Everything needed to resume it.
        num_episodes: Finished episodes, those with errors included.
        num_errors: Those that an error ended.
        num_success: Those that solved their task.
        mean_score: Mean score of those without an error; None if there are none.
    """

    run_id: str
    created_s: float
    updated_s: float
    status: RunStatus
    note: str
    config: Mapping[str, Json]
    num_episodes: int
    num_errors: int
    num_success: int
    mean_score: float | None

    @property
    def planned(self) -> Planned | None:
        """How much of what was planned is done; None if the run does not say, as one that was only created."""
        if self.status == "finished" and self.config.get("kind") in ("evaluate", "rescore"):
            return Planned(self.num_episodes, self.num_episodes)
        found = list(_PLANNED.finditer(self.note))
        if not found:
            return None
        done, planned, phases = found[-1].groups()  # the words of an error come first
        return Planned(
            self.num_episodes if done is None else int(done.replace(",", "")),
            int(planned.replace(",", "")),
            "phases" if phases else "episodes",
        )

    @property
    def caveat(self) -> str:
        """What a reader must know about the figures of a run that did not play all of its plan; empty if it did."""
        if self.status in ("finished", "created"):
            return ""
        if self.status == "decided":
            return f"{DECIDED}."
        so_far = "its numbers are those so far"
        return f"{so_far}, and {BIASED}." if self.config.get("kind") in ("evaluate", "rescore") else f"{so_far}."

    @property
    def cut_off(self) -> str:
        """Say in one line that the run did not play its plan, how far it is, and what that means; empty if it did."""
        if not self.caveat:
            return ""
        note = self.note.removesuffix(".")
        return f"Run {self.run_id!r} is {self.status}{f': {note}' if note else ''}; {self.caveat}"

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict."""
        planned = self.planned
        return {**asdict(self), "config": dict(self.config), "planned": None if planned is None else planned.to_json()}


@dataclass(frozen=True, slots=True)
class EpisodeSummary:
    """One line about an episode: what can be listed, filtered and averaged without reading its trajectory.

    Attributes:
        episode_id: Unique within the run.
        env_id: Environment.
        task_key: Task.
        task_type: Task type; empty if there is only one.
        split: Split of the task.
        group_id: Samples of one task share it; empty if alone.
        sample: Index within the group.
        seed: Seed of the episode.
        agent: Who played.
        score: Final score in the native scale; None after an error.
        success: Whether the task was solved; None after an error.
        return_: Sum of the rewards.
        stop_reason: Why it ended.
        error_boundary: Where the error came from; empty if there was none.
        error_type: Class of the error.
        error_message: Its text.
        num_turns: Messages of the policy.
        truncated: Whether it was stopped by a limit.
        calls: Requests to a model, of all seats; likewise the tokens and the cost.
        prompt_tokens: Tokens read by the model.
        completion_tokens: Tokens written by it.
        cost: Money.
        model_s: Seconds spent waiting for the agent; sums over calls, also over those that run in parallel.
        env_s: Seconds spent in the environment; sums likewise.
        finished_s: When it was stored, seconds since 1970 UTC; 0 if it was not.
        metrics: What else the environment measured, by name.
        answer_faults: Turns of the policy whose answer did not end as it should, by reason: "length" (cut off),
            "content_filter" (blocked), "empty", or a server's word that is not known.
    """

    episode_id: str
    env_id: str
    task_key: str
    task_type: str
    split: str
    group_id: str
    sample: int
    seed: int | None
    agent: str
    score: float | None
    success: bool | None
    return_: float
    stop_reason: str
    error_boundary: str
    error_type: str
    error_message: str
    num_turns: int
    truncated: bool
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost: float
    model_s: float
    env_s: float
    finished_s: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)
    answer_faults: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, trajectory: Trajectory, finished_s: float = 0.0) -> EpisodeSummary:
        """Summarise a trajectory."""
        task, outcome, usage, error = trajectory.task, trajectory.outcome, trajectory.total_usage, trajectory.outcome.error
        steps = trajectory.steps
        return cls(
            episode_id=trajectory.episode_id,
            env_id=trajectory.env_id,
            task_key=str(task.get("key", "")),
            task_type=str(task.get("type", "")),
            split=str(task.get("split", "")),
            group_id=trajectory.group_id,
            sample=trajectory.sample,
            seed=trajectory.seed,
            agent=trajectory.agent,
            score=outcome.score,
            success=outcome.success,
            return_=trajectory.return_,
            stop_reason=outcome.stop_reason,
            error_boundary="" if error is None else error.boundary,
            error_type="" if error is None else error.type,
            error_message="" if error is None else error.message,
            num_turns=trajectory.num_turns,
            truncated=bool(steps) and steps[-1].truncated and not steps[-1].terminated,
            calls=usage.calls,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cost=usage.cost,
            model_s=usage.model_s,
            env_s=usage.env_s,
            finished_s=finished_s,
            metrics=outcome.metrics,
            answer_faults=_answer_faults(trajectory),
        )

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict."""
        data = {**{name: getattr(self, name) for name in COLUMNS}, "metrics": dict(self.metrics)}
        return {**data, "answer_faults": dict(self.answer_faults)} if self.answer_faults else data


COLUMNS = tuple(item.name for item in fields(EpisodeSummary) if item.name != "answer_faults")

_SEED, _SUCCESS, _TRUNCATED, _METRICS = (COLUMNS.index(name) for name in ("seed", "success", "truncated", "metrics"))
_REALS = tuple(COLUMNS.index(name) for name in ("return_", "cost", "model_s", "env_s", "finished_s"))
_SCORE = COLUMNS.index("score")
_PUT = tuple(getattr(EpisodeSummary, item.name).__set__ for item in fields(EpisodeSummary))
_CHECKED = "\0".join(["%s"] * (len(COLUMNS) + 2))
_CONTINUED = "\0".join(["%s"] * (len(COLUMNS) + 1))
_WRITER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_VALUES = attrgetter(*COLUMNS)
_NO_METRICS = "{}"
_WIDE = 1 << 62  # checks are written in eight bytes: no flipped bit turns one into NULL, which older rows have
_FAULTS = ""
_EMPTY: Mapping[str, Any] = {}  # one for all: ten thousand of them would keep the garbage collector busy


def to_row(summary: EpisodeSummary) -> list[Any]:
    """Return the columns of a summary: seeds may be larger than SQLite's integers, texts have to be valid Unicode."""
    values = list(_VALUES(summary))
    values[_SEED] = None if summary.seed is None else str(summary.seed)
    values[_METRICS] = _NO_METRICS
    if summary.metrics or summary.answer_faults:  # in one column: no metric has an empty name
        faults = {_FAULTS: dict(summary.answer_faults)} if summary.answer_faults else {}
        values[_METRICS] = strict_text({**summary.metrics, **faults})
    # as SQLite gives them back, so that checks of the row as written and as read are equal
    for i in _REALS:
        values[i] = float(values[i]) + 0.0
    values[_SCORE] = None if summary.score is None else float(summary.score) + 0.0
    values[_SUCCESS] = None if summary.success is None else int(summary.success)
    values[_TRUNCATED] = int(summary.truncated)
    return [stored_text(value) if isinstance(value, str) else value for value in values]


def stored_text(text: str) -> str:
    """Return a text as a column holds it: valid Unicode."""
    return text if is_unicode(text) else text.encode("utf-8", "backslashreplace").decode()


def data_check(data: bytes, run_id: str) -> int:
    """Return the check of a packed trajectory, of its run too: another run may have an episode of the same id."""
    return _WIDE | crc32(data, crc32(run_id.encode("utf-8", "surrogatepass")))


def is_data(data: bytes, run_id: str, check: Any) -> bool:
    """Whether a packed trajectory has the check that it was written with; a short one is of an older version."""
    return isinstance(check, int) and check == (data_check(data, run_id) if check >= _WIDE else crc32(data))


def row_check(run_id: str, row: Sequence[Any], data: int) -> int:
    """Return the check of a summary: of all its columns, its run, and the check of its trajectory.

    Args:
        run_id: The run.
        row: Columns as `to_row` returns them, or as read.
        data: What `data_check` gave.
    """
    return _WIDE | crc32((_CHECKED % (run_id, *row, data)).encode("utf-8", "surrogatepass"))


def checked_rows(run_id: str, rows: Sequence[tuple[Any, ...]], *, has_checks: bool) -> Iterator[tuple[tuple[Any, ...], bool]]:
    """Yield the columns of rows as read, each with whether it has the check that it was written with.

    Args:
        run_id: The run.
        rows: Number, columns, check of the trajectory, check of the row.
        has_checks: Whether every row has one; in files of older versions some have none.
    """
    begin = crc32(f"{run_id}\0".encode("utf-8", "surrogatepass"))  # a checksum is continued: `row_check` of all at once
    for row in rows:
        check = row[-1]
        is_whole = check == _WIDE | crc32((_CONTINUED % row[1:-1]).encode(), begin)
        yield row[1:-2], is_whole or (check is None and not has_checks)


def record_check(*values: Any) -> int:
    """Return the check of a row of another table: of the record of a run, of measurements, of a lock."""
    return _WIDE | crc32("\0".join(map(str, values)).encode("utf-8", "surrogatepass"))


def from_row(row: Sequence[Any]) -> EpisodeSummary:
    """Rebuild a summary from its columns; SQLite knows no booleans."""
    values = list(row)
    values[_SEED] = None if row[_SEED] is None else int(row[_SEED])
    values[_SUCCESS] = None if row[_SUCCESS] is None else bool(row[_SUCCESS])
    values[_TRUNCATED] = bool(row[_TRUNCATED])
    if row[_METRICS] == _NO_METRICS:
        values[_METRICS] = _EMPTY
        values.append(_EMPTY)
    else:
        values[_METRICS] = metrics = json.loads(row[_METRICS])
        values.append(metrics.pop(_FAULTS, _EMPTY))
    made = object.__new__(EpisodeSummary)  # filled as its own __init__ does, in two thirds of the time
    for put, value in zip(_PUT, values, strict=True):
        put(made, value)
    return made


def _answer_faults(trajectory: Trajectory) -> Mapping[str, int]:
    """Count the turns of the policy whose answer did not end as it should."""
    reasons = [step.action.finish_reason for step in trajectory.steps if step.action.finish_reason]
    error = trajectory.outcome.error
    if reasons and trajectory.seats:
        steps = trajectory.steps
        reasons = [step.finish_reason for step in steps if step.finish_reason and step.seat == trajectory.seat]
    for segment in trajectory.segments:  # of a policy whose cut answers are played
        marked = len(trajectory.steps)
        reasons += [
            "length"
            for span in segment.turns
            if span.stop == "length" and not (span.turn < marked and trajectory.steps[span.turn].finish_reason)
        ]
    if error is not None and error.boundary == "model" and error.type == ContentFilterError.__name__:
        reasons.append("content_filter")
    return dict(Counter(reasons)) if reasons else _EMPTY


def written(trajectory: Trajectory) -> str:
    """Return a trajectory as strict JSON: null stands for numbers that JSON does not have."""
    data = trajectory.to_json()
    try:
        return _WRITER.encode(data)
    except ValueError:
        return _WRITER.encode(finite(data))


def pack(text: str) -> bytes:
    """Return JSON as compressed bytes; lone surrogates that a model may write survive."""
    return zlib.compress(text.encode("utf-8", "surrogatepass"), 1)


def unpack(data: bytes) -> Trajectory:
    """Rebuild a trajectory from its packed JSON.

    Raises:
        zlib.error, ValueError, KeyError, TypeError: If the bytes are damaged.
    """
    return Trajectory.from_json(json.loads(zlib.decompress(data).decode("utf-8", "surrogatepass")))


def warn_of_dropped(run_id: str, trajectory: Trajectory, stored: Trajectory) -> None:
    """Warn if an episode that is not stored has other steps than the stored one of its id."""
    if Trajectory.from_json(trajectory.to_json()).steps != stored.steps:
        warnings.warn(
            f"Run {run_id!r} already holds another episode {trajectory.episode_id!r}; the new one is not stored. Give it an "
            f"id of its own, or replace the stored one with add(..., replace=True).",
            stacklevel=3,
        )


__all__ = [
    "BIASED",
    "COLUMNS",
    "EpisodeSummary",
    "Planned",
    "RunStatus",
    "RunSummary",
    "checked_rows",
    "cut_off_note",
    "data_check",
    "from_row",
    "is_data",
    "pack",
    "record_check",
    "row_check",
    "stored_text",
    "to_row",
    "unpack",
    "warn_of_dropped",
    "written",
]
