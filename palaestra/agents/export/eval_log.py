"""Logs that `inspect view` and `inspect_ai.log.read_eval_log` open: a zip file with a JSON file for each sample.

| member | content |
|---|---|
| `samples/ID_epoch_N.json` | one episode (`eval_samples.py`) |
| `summaries.json` | a few fields of every sample, which a viewer lists without reading them |
| `header.json` | task, model, settings, figures, usage, status |

Samples are written as they come; of each only its place, its scores and its summary are kept, the summaries on disk.
The figures are means over tasks of the mean of their samples, as everywhere in Palaestra and in inspect-ai.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from typing import IO, Self

from palaestra.agents.store.records import RunSummary
from palaestra.agents.store.store import RunStore
from palaestra.errors import StoreError
from palaestra.results.statistics import mean_of
from palaestra.types import Json
from palaestra.types.plain_json import strict_text

SUFFIX = ".eval"
"""How the name of a log ends: inspect-ai looks for it."""

_VERSION = 2  # of the log's form
_PAGE = 500  # summaries of a run that are read at once
_INPUT_CHARS = 5120  # as much of a text as a summary holds in inspect-ai's own logs
_FIELD_CHARS = 1000
_STATUS = {"finished": "success", "decided": "success", "failed": "error", "created": "started", "running": "started"}
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # of zip files; the same episodes give the same bytes


@dataclass(frozen=True, slots=True)
class LoggedRun:
    """What a log says of the run that its episodes were played in.

    Attributes:
        summary: The run's record.
        finished_s: When each episode was stored, seconds since 1970 UTC, by id.
    """

    summary: RunSummary
    finished_s: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, store: RunStore, run_id: str) -> Self:
        """Read the record of a run and the times of its episodes; times that are damaged are left out."""
        summary = store.run(run_id)
        times: dict[str, float] = {}
        for offset in range(0, summary.num_episodes, _PAGE):
            with contextlib.suppress(StoreError):
                page = store.episodes(run_id, limit=_PAGE, offset=offset)
                times |= {episode.episode_id: episode.finished_s for episode in page}
        return cls(summary, times)


def write_log(
    samples: Iterable[dict[str, Json]], file: IO[bytes], spoilt: Callable[[Exception], None], run: LoggedRun | None = None
) -> None:
    """Write a log.

    Args:
        samples: As `eval_sample` makes them; each is written before the next is asked for.
        file: Binary file to write.
        spoilt: Called with the error of a sample that cannot be written, which is left out.
        run: The run that was played; without one, the log's time is the time of writing and its settings are not known.
    """
    figures, places = _Figures(run), _Places()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as log, tempfile.TemporaryFile("w+b") as summaries:
        for sample in samples:
            try:
                sample = _placed(sample, places, run)
                text, summary = _encoded(sample), _encoded(_summary(sample))
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                spoilt(error)
                continue
            places.take(sample)
            figures.add(sample)
            log.writestr(_member(f"samples/{sample['id']}_epoch_{sample['epoch']}.json"), text)
            summaries.write((b",\n" if figures.num_samples > 1 else b"[\n") + summary)
        summaries.write(b"\n]\n" if figures.num_samples else b"[]\n")
        summaries.seek(0)
        with log.open(_member("summaries.json"), "w", force_zip64=True) as member:
            shutil.copyfileobj(summaries, member)
        log.writestr(_member("header.json"), _encoded(figures.header(places)))


class _Places:
    """Ids and epochs that are taken: every sample has a place of its own."""

    def __init__(self) -> None:
        self._epochs: dict[str, set[int]] = {}

    @property
    def ids(self) -> list[str]:
        """Ids of the tasks, in the order they came."""
        return list(self._epochs)

    @property
    def num_epochs(self) -> int:
        """The last epoch of any task."""
        return max((max(epochs) for epochs in self._epochs.values()), default=1)

    def free(self, sample_id: str, epoch: int) -> int:
        """Return an epoch, or the next that no other sample of the task has."""
        taken = self._epochs.get(sample_id, ())
        while epoch in taken:
            epoch = max(epoch, len(taken)) + 1
        return epoch

    def take(self, sample: Mapping[str, Json]) -> None:
        """Note the place of a sample."""
        self._epochs.setdefault(sample["id"], set()).add(sample["epoch"])


class _Figures:
    """What the header says of all samples together."""

    def __init__(self, run: LoggedRun | None) -> None:
        self._run = run
        self._sums: dict[tuple[str, str], dict[str, tuple[float, int]]] = {}  # by score and model, then by task
        self._envs: dict[str, None] = {}
        self._models: dict[str, None] = {}
        self._usage: dict[str, dict[str, float]] = {}
        self.num_samples = 0
        self._num_errors = 0

    def add(self, sample: Mapping[str, Json]) -> None:
        """Count a sample."""
        self.num_samples += 1
        self._num_errors += "error" in sample
        self._envs.setdefault(sample["metadata"].get("env_id", ""))
        model = sample["output"]["model"]
        self._models.setdefault(model)
        for name, score in (sample["scores"] or {}).items():
            value = {"C": 1.0, "I": 0.0}.get(score["value"], score["value"])
            sums = self._sums.setdefault((name, model), {})
            total, count = sums.get(sample["id"], (0.0, 0))
            sums[sample["id"]] = (total + value, count + 1)
        for model, usage in sample["model_usage"].items():
            known = self._usage.setdefault(model, {})
            for key, number in usage.items():
                known[key] = known.get(key, 0) + number

    def header(self, places: _Places) -> dict[str, Json]:
        """Return the header."""
        run = None if self._run is None else self._run.summary
        name = run.run_id if run is not None else "palaestra"
        created = _time(time.time() if run is None else run.created_s)
        ended = max(self._run.finished_s.values(), default=0.0) if self._run is not None else 0.0
        header: dict[str, Json] = {
            "version": _VERSION,
            "status": "success" if run is None else _STATUS.get(run.status, "cancelled"),
            "eval": self._spec(name, created, places),
            "plan": {"name": "plan", "steps": [{"solver": model} for model in self._models], "config": {}},
            "results": {
                "total_samples": self.num_samples,
                "completed_samples": self.num_samples - self._num_errors,
                "scores": [_score(self._named(*key), list(sums.values())) for key, sums in self._sums.items()],
            },
            "stats": {"started_at": created, "completed_at": _time(ended) if ended else "", "model_usage": self._usage},
        }
        if header["status"] == "error":
            header["error"] = {"message": run.note if run is not None else "", "traceback": "", "traceback_ansi": ""}
        return header

    def _named(self, score: str, model: str) -> str:
        """Return the name of a score, with the model's where there are several."""
        return score if len(self._models) == 1 else f"{score} ({model})"

    def _spec(self, name: str, created: str, places: _Places) -> dict[str, Json]:
        """Return the evaluation."""
        run = None if self._run is None else self._run.summary
        config = dict(run.config) if run is not None else {}
        task, model = (", ".join(filter(None, names)) for names in (self._envs, self._models))
        return {
            "eval_id": _digest(name, "eval"),
            "run_id": name,
            "created": created,
            "task": task or name,
            "task_id": _digest(name, "task"),
            "task_version": 0,
            "solver": model or None,
            "model": model or "none",
            "dataset": {"name": task or name, "samples": len(places.ids), "sample_ids": places.ids, "shuffled": False},
            "config": {
                "epochs": places.num_epochs,
                "epochs_reducer": ["mean"],
                "limit": config.get("n"),
                "turn_limit": config.get("max_turns"),
                "fail_on_error": False,
            },
            "packages": _packages(),
            "metadata": {} if run is None else {"status": run.status, "note": run.note, "config": config},
        }


def _placed(sample: dict[str, Json], places: _Places, run: LoggedRun | None) -> dict[str, Json]:
    """Return a sample with an epoch, ids and the time at which it was stored."""
    epoch = places.free(sample["id"], sample["epoch"])
    uuid = _digest("" if run is None else run.summary.run_id, sample["id"], str(epoch))
    messages = [{"id": f"{uuid}{number}", **message} for number, message in enumerate(sample["messages"])]
    found = {**sample, "epoch": epoch, "uuid": uuid, "messages": messages}
    known = sample["metadata"]
    episode_id = known.get("episode_id", "").removesuffix(f"#{known.get('seat', '')}")
    finished_s = 0.0 if run is None else run.finished_s.get(episode_id, 0.0)
    return {**found, "completed_at": _time(finished_s)} if finished_s else found


def _summary(sample: Mapping[str, Json]) -> dict[str, Json]:
    """Return the row of a sample in a list of samples."""
    kept = ("id", "epoch", "target", "scores", "model_usage", "completed_at", "working_time", "uuid", "turn_count")
    limit, error = sample.get("limit"), sample.get("error")
    known = {key: value for key, value in sample["metadata"].items() if not isinstance(value, (list, dict))}
    return {
        **{key: sample[key] for key in kept if key in sample},
        "input": sample["input"][:_INPUT_CHARS],
        "metadata": {key: value[:_FIELD_CHARS] if isinstance(value, str) else value for key, value in known.items()},
        "error": None if error is None else error["message"][:_FIELD_CHARS],
        "limit": None if limit is None else limit["type"],
        "limit_reason": None if limit is None else limit["reason"],
        "completed": True,
        "message_count": len(sample["messages"]),
    }


def _score(name: str, sums: list[tuple[float, int]]) -> dict[str, Json]:
    """Return mean and standard error of a score over tasks."""
    means = [total / count for total, count in sums]
    mean = mean_of(means)
    try:
        squares = math.fsum((one - mean) ** 2 for one in means)
    except (OverflowError, ValueError):  # of numbers that no error bar helps with
        squares = math.nan
    stderr = math.sqrt(squares / (len(means) - 1) / len(means)) if len(means) > 1 else 0.0
    figures = {"accuracy" if name.split(" ")[0] == "success" else "mean": mean, "stderr": stderr}
    metrics = {key: {"name": key, "value": value} for key, value in figures.items() if math.isfinite(value)}
    return {"name": name, "scorer": name, "metrics": metrics}


def _encoded(value: Json) -> bytes:
    """Return strict JSON as UTF-8; question marks stand for halves of surrogate pairs, which inspect-ai cannot read."""
    return strict_text(value, ensure_ascii=False).encode("utf-8", "replace")


def _member(name: str) -> zipfile.ZipInfo:
    """Return the entry of a file in the log."""
    entry = zipfile.ZipInfo(name, _FIRST_DAY)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry


def _packages() -> dict[str, Json]:
    """Return our version, where the package is installed."""
    with contextlib.suppress(metadata.PackageNotFoundError):
        return {"palaestra": metadata.version("palaestra")}
    return {}


def _digest(*parts: str) -> str:
    """Return 22 characters that stand for some texts, as long as ids of inspect-ai are."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:22]


def _time(seconds: float) -> str:
    """Return a time as logs write it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


__all__ = ["SUFFIX", "LoggedRun", "write_log"]
