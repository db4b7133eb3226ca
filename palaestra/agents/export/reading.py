"""Files of chat data and of trajectories, read back: one reader for every form that is written here or published.

A record that cannot be read is told, with file, line and field, and the others are read: by a `BadRecordWarning`, or to the
function that is given as `on_bad`. A file of which nothing can be read is a `UsageError`.
"""

from __future__ import annotations

import os
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TypeVar

from palaestra.agents.export.conversations import Conversation
from palaestra.agents.export.whole_fields import whole_fields
from palaestra.envs.core.data_files import kind_of, shown
from palaestra.errors import ConfigError, MissingDataError, MissingExtraError, UsageError
from palaestra.types import Json, Trajectory
from palaestra.types.json_records import read_json_records
from palaestra.types.plain_json import strict_json
from palaestra.types.trajectory import is_full_return

OnBad = Callable[[str], None]
"""Is told which record of which file cannot be read, and why."""

RECORD = "record"
"""Key in the meta data of an episode: the file and the line that it was read from."""

_T = TypeVar("_T")
_Reader = Callable[[Mapping[str, Json], str], _T]
"""Makes something of a record and its place in the file."""
_MAX_WARNINGS = 20  # of one file; the rest is counted


class BadRecordWarning(UserWarning):
    """A record of a file cannot be read; the others are."""


def load_conversations(path: str | os.PathLike[str], *, on_bad: OnBad | None = None) -> Iterator[Conversation]:
    """Read AgentTraj, experience, ShareGPT, LLaMA-Factory or chat records from a JSON array or JSONL file, one by one.

    Args:
        path: The file; forms may be mixed in it.
        on_bad: Is told of records that cannot be read; by default they are warned about.

    Raises:
        MissingDataError: If there is no such file.
        UsageError: If no record of it can be read; the message names the first.
    """
    yield from _read(Path(path), lambda record, place: Conversation.from_record(record), on_bad)


def load_trajectories(path: str | os.PathLike[str], *, on_bad: OnBad | None = None) -> Iterator[Trajectory]:
    """Read whole trajectories as "jsonl" wrote them, one by one.

    Args:
        path: The file.
        on_bad: Is told of records that cannot be read; by default they are warned about.

    Raises:
        MissingDataError: If there is no such file.
        UsageError: If no record of it can be read; the message names the first.
    """
    yield from _read(Path(path), lambda record, place: _whole(record), on_bad)


def load_episodes(path: str | os.PathLike[str], *, env_id: str = "", on_bad: OnBad | None = None) -> Iterator[Trajectory]:
    """Read episodes to learn from, out of a file in any form that `export_trajectories` writes; see `episode_of`.

    `meta["record"]` of an episode that was chat data says where it stands, for what is told of it later.

    Args:
        path: The file; for "dataset" the folder.
        env_id: Written into episodes that name no environment.
        on_bad: Is told of records that cannot be read; by default they are warned about.

    Raises:
        MissingDataError: If there is no such file.
        UsageError: If no record of it can be read; the message names the first.
        MissingExtraError: If it is a data set and the package that reads it is not installed.
    """
    path = Path(path)
    numbers = count()

    def read(record: Mapping[str, Json], place: str) -> Trajectory:
        number = next(numbers)
        episode = episode_of(record, str(number), env_id=env_id)
        if _is_whole(record):
            return episode
        # ids of tasks may come several times in a file, those of episodes may not
        meta = {**episode.meta, RECORD: f"{path}, {place}"}
        return replace(episode, episode_id=f"{episode.episode_id}#{number}", meta=meta)

    if kind_of(path) == "folder":
        rows = ((f"row {number}", row, "") for number, row in enumerate(_dataset_rows(path), start=1))
        yield from _told(str(path), rows, read, on_bad)
    else:
        yield from _read(path, read, on_bad)


def episode_of(record: Mapping[str, Json], name: str = "", *, env_id: str = "") -> Trajectory:
    """Return the episode that a record stands for: a whole trajectory, or chat data in any form.

    What somebody kept to learn from counts as solved unless it says otherwise: a reward that is missing or null is 1, and 0
    where `success` is false; an episode that an error ended (`error`) has neither. Nothing is assumed about where it was
    played: a split that the record does not name stays empty.

    Args:
        record: The record.
        name: Id where the record has none.
        env_id: Environment where the record names none.

    Raises:
        UsageError: If it is neither, or no assistant speaks in it.
    """
    if _is_whole(record):
        episode = _whole(_in_column(record["trajectory"]) if record.get("trajectory") else record)
        if not episode.steps and episode.outcome.error is None:
            raise UsageError("steps is empty; expected at least one, to learn from.")
        return episode
    name = next((str(record[key]) for key in ("episode_id", "item_id", "id") if record.get(key) not in (None, "")), name)
    conversation = replace(Conversation.from_record(record), item_id=name)
    reward, success = conversation.reward, conversation.success
    if reward is None and conversation.error is None:
        reward = 0.0 if success is False else 1.0
    if success is None and reward is not None:
        success = is_full_return(reward)
    episode = replace(conversation, reward=reward, success=success).to_trajectory(env_id)
    if not episode.steps:
        raise UsageError(f"item {name!r} holds no message of an assistant; expected a dialogue to learn from.")
    return replace(
        episode,
        agent=str(record.get("agent") or ""),
        outcome=episode.outcome if conversation.error else replace(episode.outcome, stop_reason="env_done"),
    )


def _is_whole(record: Mapping[str, Json]) -> bool:
    """Whether a record is a whole trajectory, or holds one as JSON text."""
    return bool(record.get("trajectory")) or (record.get("steps") is not None and record.get("outcome") is not None)


def _in_column(text: Json) -> Mapping[str, Json]:
    """Read the column `trajectory`."""
    problem = ""
    try:
        value = strict_json(text) if isinstance(text, str) else text
    except (ValueError, RecursionError) as error:
        value, problem = None, f" ({error})"
    if not isinstance(value, Mapping):
        raise UsageError(f"trajectory is {repr(text)[:80]}{problem}; expected a whole trajectory as JSON text.")
    return value


def _whole(record: Mapping[str, Json]) -> Trajectory:
    """Read a whole trajectory."""
    fields = whole_fields(record)
    try:
        return Trajectory.from_json(fields)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UsageError(
            f"it is not a trajectory ({error!r}); write it with the format 'jsonl', or read it with load_conversations()."
        ) from error


def _read(path: Path, read: _Reader[_T], on_bad: OnBad | None) -> Iterator[_T]:
    """Read the records of a file."""
    try:
        is_folder = kind_of(path) == "folder"
    except ConfigError as error:  # a pipe would block, a device never ends
        raise UsageError(f"{error} Expected a text file of JSON records.") from None
    if is_folder:
        raise UsageError(f"{shown(path)} is a folder; expected a UTF-8 text file of JSON records.")
    if path.is_file() and zipfile.is_zipfile(path):
        raise UsageError(f"{path} is an archive, as logs of inspect-ai are; expected JSON records. Export the run as jsonl.")
    records = ((record.place, record.value, record.problem) for record in read_json_records(path))
    try:
        yield from _told(str(path), records, read, on_bad)
    except FileNotFoundError:
        raise MissingDataError(f"There is no file {path}; check the path.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error}); expected a UTF-8 text file of JSON records.") from error


def _told(file: str, records: Iterator[tuple[str, Json, str]], read: _Reader[_T], on_bad: OnBad | None) -> Iterator[_T]:
    """Yield what can be read of (place, record, problem), and tell what cannot."""
    num_read = num_bad = 0
    held: list[str] = []  # problems that come before the first good record: without one they are an error
    for place, value, problem in records:
        found, problem = (None, problem) if problem else _attempt(value, place, read)
        if found is not None:
            _warn(held)
            num_read, held = num_read + 1, []
            yield found
            continue
        num_bad += 1
        text = f"{file}, {place}{problem if problem.startswith(':') else f' {problem}'}"
        if on_bad is not None:
            on_bad(text)
        elif num_bad <= _MAX_WARNINGS:
            held.append(text)
        if num_read:
            _warn(held)
            held = []
    if held:
        raise UsageError(f"{held[0]}" + (f" None of its {num_bad:,} records can be read." if num_bad > 1 else ""))
    if on_bad is None and num_bad > _MAX_WARNINGS:
        _warn([f"{file}: {num_bad - _MAX_WARNINGS:,} more records cannot be read."])


def _warn(problems: Sequence[str]) -> None:
    """Warn of records that are left out."""
    for text in problems:
        warnings.warn(f"{text} It is left out; the others are read.", BadRecordWarning, stacklevel=5)


def _attempt(value: Json, place: str, read: _Reader[_T]) -> tuple[_T | None, str]:
    """Read a record; return it, or why it cannot be read."""
    if not isinstance(value, Mapping):
        return None, f"is a {type(value).__name__}; expected an object."
    try:
        return read(value, place), ""
    except (UsageError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        return None, f": {error}"


def _dataset_rows(path: Path) -> Iterable[Mapping[str, Json]]:
    """Return the rows of a Hugging Face data set on disk."""
    try:
        import datasets
    except ImportError:
        raise MissingExtraError("Reading a Hugging Face data set", "train") from None
    try:
        return datasets.load_from_disk(str(path))  # type: ignore[no-any-return]
    except (OSError, ValueError, KeyError, TypeError) as error:  # half-written ones raise what the package meets first
        raise UsageError(f"The folder {path} is not a data set ({error}); expected one that 'dataset' has written.") from None


__all__ = ["RECORD", "BadRecordWarning", "OnBad", "episode_of", "load_conversations", "load_episodes", "load_trajectories"]
