"""Trajectories out of the store and into files; `reading.py` reads them back.

Formats: "agenttraj" (JSON array), "sharegpt" (JSON array), "chat" (JSONL, OpenAI messages), "experience" (JSONL), "jsonl"
(whole trajectories), "dataset" (a Hugging Face dataset on disk), "eval" (a log of inspect-ai, `eval_log.py`). All are written
record by record: memory does not grow with the number of episodes (a log keeps their places and scores), and a file appears
under its name only when it is complete. What each does with sounds and pictures stands in `media_files.py`.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal, get_args

from palaestra.agents.export.conversations import Conversation, chat_record
from palaestra.agents.export.eval_log import SUFFIX, LoggedRun, write_log
from palaestra.agents.export.eval_samples import eval_sample, shown_in_log
from palaestra.agents.export.media_files import MediaFiles, Showing, copied, in_parts, listed, placed
from palaestra.agents.export.template_rows import chat_columns
from palaestra.agents.store.kept_media import lost_media
from palaestra.errors import MissingExtraError, StoreError, UsageError, unknown_name
from palaestra.media.items import MARK
from palaestra.media.store import MediaStore, current_media
from palaestra.spaces import is_unicode
from palaestra.types import Json, Trajectory
from palaestra.types.plain_json import strict_text

Selection = Literal["all", "scored", "success"]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """One way to write trajectories.

    Attributes:
        description: One line for people.
        suffix: Usual end of the file name; empty for a folder.
        record: Makes the record of an episode.
        is_array: Whether the file is one JSON array rather than one record a line.
        show: Shows the sounds and pictures that an episode names.
    """

    description: str
    suffix: str
    record: Callable[[Trajectory], dict[str, Json]]
    is_array: bool = False
    show: Showing = listed


EXPORT_FORMATS: dict[str, ExportFormat] = {
    "agenttraj": ExportFormat(
        "AgentTraj: item_id and conversations with loss marks", ".json", lambda t: Conversation.of(t).to_agenttraj(), True
    ),
    "sharegpt": ExportFormat(
        "ShareGPT: conversations of human and gpt", ".json", lambda t: Conversation.of(t).to_sharegpt(), True, placed
    ),
    "chat": ExportFormat("OpenAI chat messages with native tool calls", ".jsonl", chat_record, show=in_parts),
    "experience": ExportFormat("AgentTraj with reward and success", ".jsonl", lambda t: Conversation.of(t).to_experience()),
    "jsonl": ExportFormat("whole trajectories, token ids included", ".jsonl", lambda t: t.to_json(), show=copied),
    "dataset": ExportFormat("Hugging Face dataset on disk (extra 'train')", "", lambda t: _dataset_row(t), show=copied),
    "eval": ExportFormat("a log of inspect-ai, for `inspect view`", SUFFIX, eval_sample, show=shown_in_log),
}


@dataclass(frozen=True, slots=True)
class Export:
    """What was written.

    Attributes:
        path: The file or folder.
        num_written: Episodes in it.
        num_skipped: Episodes that the selection left out.
        media: Folder of the sounds and pictures that the episodes name; None if there are no files of them.
        num_media: Files in it that these episodes name.
        lost: Episodes left out since sounds or pictures that they name are missing or damaged: what is wrong, by id.
        num_absent: Episodes written whose texts name sounds or pictures that are not there; the tags stay text.
        damaged: Episodes left out since they cannot be read or written: what is wrong, by id.
    """

    path: Path
    num_written: int
    num_skipped: int
    media: Path | None = None
    num_media: int = 0
    lost: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    num_absent: int = 0
    damaged: Mapping[str, str] = field(default_factory=dict)


def export_trajectories(
    trajectories: Iterable[Trajectory],
    path: str | os.PathLike[str],
    format: str = "agenttraj",
    *,
    select: Selection | None = None,
    total: int | None = None,
    progress: Progress | None = None,
    media: MediaStore | None = None,
    seat: str = "",
    damaged: dict[str, str] | None = None,
    run: LoggedRun | None = None,
) -> Export:
    """Write trajectories to a file, as strict JSON: null stands for numbers that JSON does not have.

    Episodes whose sounds or pictures are missing or damaged are left out and listed in `Export.lost`; those that cannot be
    written in this format in `Export.damaged`. One bad episode never stops an export.

    Args:
        trajectories: What to write, e.g. `store.trajectories(run_id)`.
        path: File (for "dataset": folder) to write; an existing file is replaced when the new one is complete.
        format: Name in `EXPORT_FORMATS`.
        select: "all"; "scored" leaves out episodes that an error ended; "success" keeps solved ones only. By default all
            for "jsonl" and "eval" and scored ones elsewhere, since an error says nothing worth learning.
        total: Number of trajectories, for `progress`; by default `len(trajectories)` where it has one, else 0.
        progress: Called with (episodes seen, total), also once at the start.
        media: Where the sounds and pictures are that they name, e.g. `store.media(run_id)`; the current store by default.
        seat: Whose episodes are written, of episodes with several seats; by default the policy's, and all of them together
            for "jsonl".
        damaged: Episodes that were already found to be damaged, e.g. by `store.trajectories(run_id, damaged=...)`; those that
            cannot be written are added.
        run: For "eval": the run they were played in, e.g. `LoggedRun.of(store, run_id)`; its settings, status and times are
            in the log.

    Raises:
        UnknownNameError: If the format, the selection or the seat does not exist.
        UsageError: If the name of a log of inspect-ai does not end in ".eval", if a folder is where a file is to be, or
            the other way round.
        MissingExtraError: If the format needs a package that is not installed.
        StoreError: If the file cannot be written.
    """
    if format not in EXPORT_FORMATS:
        raise unknown_name("export format", format, EXPORT_FORMATS)
    select = select or ("all" if format in ("jsonl", "eval") else "scored")
    if select not in get_args(Selection):
        raise unknown_name("selection", select, get_args(Selection))
    path, form = Path(path), EXPORT_FORMATS[format]
    if format == "eval" and path.suffix != SUFFIX:
        raise UsageError(f"The log is to be written to {path}; inspect-ai opens files that end in {SUFFIX}: name it so.")
    if format == "dataset" and os.path.exists(path) and not os.path.isdir(path):
        raise UsageError(f"{path} is a file, and a dataset is a folder; name another path, or delete the file.")
    if format != "dataset" and os.path.isdir(path):
        raise UsageError(
            f"{path} is a folder, and the format {format!r} is one file; name a file, e.g. {path / 'episodes'}{form.suffix}."
        )
    if total is None:
        total = len(trajectories) if isinstance(trajectories, Sized) else 0
    files = _media_files(current_media() if media is None else media, path, format)
    if seat or format != "jsonl":
        trajectories = (trajectory.of_seat(seat) for trajectory in trajectories)
    selected = _Selected(trajectories, select, total, progress, files.source, {} if damaged is None else damaged)
    records = _records(selected, form, files)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if format == "dataset":
            _write_dataset(records, path)
        elif format == "eval":
            with _completed(path) as name, open(name, "wb") as log:
                write_log(records, log, selected.spoilt, run)
        else:
            with _completed(path) as name, open(name, "w", encoding="utf-8", newline="\n") as file:
                _write_records(records, file, form.is_array, selected.spoilt)
    except OSError as error:
        raise StoreError(
            f"{path} could not be written ({error.strerror or error}); free space or choose another path, then export again."
        ) from error
    folder = files.folder if files.num_files else None
    counts = selected.num_written, selected.num_skipped
    return Export(path, *counts, folder, files.num_files, selected.lost, selected.num_absent, selected.damaged)


_SPOILT = (UsageError, ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""What an episode raises that has another shape than it should have."""


class _Selected:
    """Iterates over the trajectories to write, counting and reporting."""

    def __init__(
        self,
        trajectories: Iterable[Trajectory],
        select: Selection,
        total: int,
        progress: Progress | None,
        media: MediaStore,
        damaged: dict[str, str],
    ) -> None:
        self.damaged = damaged
        self._current = ""
        self.num_written = 0
        self.num_skipped = 0
        self.num_absent = 0
        self.lost: dict[str, tuple[str, ...]] = {}
        self._media = media
        self._has_media = len(media) > 0
        self._trajectories = trajectories
        self._select = select
        self._total = total
        self._report = progress or (lambda done, total: None)

    def __iter__(self) -> Iterator[Trajectory]:
        self._report(0, self._total)
        for done, trajectory in enumerate(self._trajectories, start=1):
            outcome = trajectory.outcome
            if (self._select == "success" and not outcome.success) or (self._select != "all" and outcome.error is not None):
                self.num_skipped += 1
            elif self._is_whole(trajectory):
                self._current = trajectory.episode_id
                self.num_written += 1
                yield trajectory
            self._report(done, self._total)

    def spoilt(self, error: Exception) -> None:
        """Note that the episode that was given last cannot be written."""
        self.damaged[self._current] = f"{type(error).__name__}: {error}"
        self.num_written -= 1

    def _is_whole(self, trajectory: Trajectory) -> bool:
        """Whether every sound and picture of an episode is there; otherwise note what is wrong."""
        shown = [trajectory.instructions, trajectory.final_observation, *(step.observation for step in trajectory.steps)]
        if (
            not self._has_media
            and not any(MARK in text for text in shown)
            and not any(step.action.media for step in trajectory.steps)
        ):
            return True
        lost, absent = lost_media(trajectory, self._media)
        if lost:
            self.lost[trajectory.episode_id] = tuple(lost.values())
        elif absent:
            self.num_absent += any(
                media.tag in text for media in absent for text in shown
            )  # what a model writes is not counted
        return not lost


def _media_files(source: MediaStore, path: Path, format: str) -> MediaFiles:
    """Return what copies sounds and pictures: next to a file, or into the folder of a data set."""
    if format == "dataset":
        return MediaFiles(source, path / "media", path)
    return MediaFiles(source, path.with_name(f"{path.stem}_media"), path.parent)


def _records(trajectories: _Selected, form: ExportFormat, files: MediaFiles) -> Iterator[dict[str, Json]]:
    """Yield the records to write; where nothing can be shown, nothing is looked for."""
    has_media = len(files.source) > 0
    for trajectory in trajectories:
        try:
            record = form.record(trajectory)
            record = form.show(record, trajectory, files) if has_media else record
        except _SPOILT as error:
            trajectories.spoilt(error)
            continue
        yield record


@contextlib.contextmanager
def _completed(path: Path) -> Iterator[str]:
    """Give the name of a file next to `path`, which takes its name when everything is written."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(descriptor)
    try:
        yield name
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def _umask() -> int:
    """Return the mask of the process; the system only tells it by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _write_records(
    records: Iterable[dict[str, Json]], file: IO[str], is_array: bool, spoilt: Callable[[Exception], None]
) -> None:
    """Write records as one array, or one a line."""
    separator = "[\n" if is_array else ""
    for record in records:
        try:
            text = strict_text(record, ensure_ascii=False)
            if not is_unicode(text):  # lone surrogates that a model wrote cannot be encoded; their escapes can
                text = strict_text(record)
        except _SPOILT as error:
            spoilt(error)
            continue
        file.write(separator + text)
        separator = ",\n" if is_array else "\n"
    if is_array:
        file.write("[]\n" if separator == "[\n" else "\n]\n")
    elif separator:
        file.write("\n")


def _dataset_row(trajectory: Trajectory) -> dict[str, Json]:
    """Return the row of an episode; every row has the same columns."""
    import datasets

    return {
        "episode_id": trajectory.episode_id,
        "env_id": trajectory.env_id,
        "split": str(trajectory.task.get("split", "")),
        "task_key": str(trajectory.task.get("key", "")),
        "task_type": str(trajectory.task.get("type", "")),
        "agent": trajectory.agent,
        **chat_columns(trajectory, datasets.Json().decode_example),
        "num_turns": trajectory.num_turns,
        "reward": trajectory.return_,
        "score": trajectory.outcome.score,
        "success": trajectory.outcome.success,
        "stop_reason": trajectory.outcome.stop_reason,
        "metrics": json.dumps(dict(trajectory.outcome.metrics)),
        "error": json.dumps(error) if (error := chat_record(trajectory).get("error")) else None,
    }


def _write_dataset(rows: Iterable[dict[str, Json]], path: Path) -> None:
    """Write rows as a Hugging Face dataset folder."""
    try:
        import datasets
        from datasets.arrow_writer import ArrowWriter
    except ImportError:
        raise MissingExtraError("Exporting a Hugging Face dataset", "train") from None

    text, whole, number, truth = (datasets.Value(kind) for kind in ("string", "int64", "float64", "bool"))
    free = datasets.Json()
    features = datasets.Features(
        {
            **dict.fromkeys(("episode_id", "env_id", "split", "task_key", "task_type", "agent"), text),
            "messages": datasets.List(free),
            "tools": datasets.List(free),
            "num_turns": whole,
            "reward": number,
            "score": number,
            "success": truth,
            "stop_reason": text,
            "metrics": text,
            "error": text,
        }
    )
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        arrow = os.path.join(folder, "rows.arrow")
        with ArrowWriter(features=features, path=arrow) as writer:
            for row in rows:
                writer.write(json.loads(strict_text(row, ensure_ascii=False).encode("utf-8", "replace")))
            writer.finalize()
        # whoever called reports the progress
        bars = not datasets.are_progress_bars_disabled()
        datasets.disable_progress_bars()
        try:
            datasets.Dataset.from_file(arrow).save_to_disk(str(path))
        finally:
            if bars:
                datasets.enable_progress_bars()


__all__ = [
    "EXPORT_FORMATS",
    "Export",
    "ExportFormat",
    "Selection",
    "export_trajectories",
]
