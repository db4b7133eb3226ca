"""Checkpoints that survive a kill at any instant.

A checkpoint is a folder `step-000040` with the policy (a plain model folder), `state.pt` (optimiser, counters, random
state) and `manifest.json`, which lists every file with its size and digest. It is written next to its place and renamed
when complete, so a folder of that name is either whole or damaged by something outside; a damaged one is passed over
for the last good one.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from palaestra.errors import StoreError
from palaestra.types import Json

MANIFEST = "manifest.json"
STATE = "state.pt"
POLICY = "policy"
FORMAT = 1

_REFUSALS = (OSError, SafetensorError, RuntimeError)
"""What a disk that refuses looks like: to Python, to safetensors, and to `torch.save`."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One complete checkpoint on disk.

    Attributes:
        path: Its folder.
        step: Step after which it was written.
        finished: Whether its phase was over.
        config: What the phase was configured with.
    """

    path: Path
    step: int
    finished: bool = False
    config: Mapping[str, Json] = field(default_factory=dict)

    @property
    def policy_path(self) -> Path:
        """Model folder, loadable like any other (`hf:PATH`)."""
        return self.path / POLICY

    def state(self) -> dict[str, Any]:
        """Return the `state` that was passed to `Checkpoints.save`; only plain data and tensors are read, never code."""
        state: dict[str, Any] = torch.load(self.path / STATE, map_location="cpu", weights_only=True)
        return state


class Checkpoints:
    """The checkpoints of one phase of a run.

    Args:
        folder: Where they lie; made when the first one is saved.
        keep: Newest ones to keep, at least 2, so that one damaged checkpoint costs no run.
    """

    def __init__(self, folder: str | Path, *, keep: int = 2) -> None:
        """Note the folder; nothing is read or written yet."""
        self.folder = Path(folder)
        self.keep = max(2, keep)

    def save(
        self,
        step: int,
        *,
        save_policy: Callable[[Path], object],
        state: Mapping[str, Any],
        config: Mapping[str, Json] | None = None,
        finished: bool = False,
    ) -> Checkpoint:
        """Write a checkpoint, then delete those beyond `keep`.

        Args:
            step: Step that was just finished, from 0.
            save_policy: Writes the model into the folder it is given.
            state: Plain data and tensors.
            config: Plain JSON, for people.
            finished: Whether the phase is over.

        Raises:
            StoreError: If the disk refuses (full, read-only); the checkpoints that were there stay.
        """
        plain_config = dict(config or {})
        place = self.folder / f"step-{step:06d}"
        draft = self.folder / f".draft-{step:06d}-{os.getpid()}"
        try:
            shutil.rmtree(draft, ignore_errors=True)
            (draft / POLICY).mkdir(parents=True)
            save_policy(draft / POLICY)
            torch.save(dict(state), draft / STATE)
            files = {str(p.relative_to(draft)): _fingerprint(p) for p in sorted(draft.rglob("*")) if p.is_file()}
            manifest = {"format": FORMAT, "step": step, "finished": finished, "config": plain_config, "files": files}
            (draft / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
            for file in (*files, MANIFEST):
                _sync(draft / file)
            self._put(draft, place)
        except BaseException as error:
            shutil.rmtree(draft, ignore_errors=True)  # a full disk needs its room, to be resumed on
            if not isinstance(error, _REFUSALS):
                raise
            raise StoreError(
                f"Checkpoint {place} could not be written: {error}. Free space or choose another folder."
            ) from error
        self._clean()
        return Checkpoint(place, step, finished, plain_config)

    def latest(self) -> Checkpoint | None:
        """Return the newest complete checkpoint, None if there is none; damaged ones are reported and passed over."""
        for folder in reversed(self._folders()):
            try:
                return _read(folder)
            except (OSError, ValueError, KeyError, TypeError) as error:
                log.warning("Checkpoint %s is damaged (%s); falling back to the one before it.", folder, error)
        return None

    def at(self, step: int) -> Checkpoint | None:
        """Return the checkpoint of a step; None if it is not there or damaged."""
        try:
            return _read(self.folder / f"step-{step:06d}")
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def forget(self, *, after: int) -> None:
        """Delete the checkpoints of later steps: a resumed run makes them again, perhaps others."""
        for folder in self._folders():
            if _step_of(folder) > after:
                shutil.rmtree(folder, ignore_errors=True)

    def _folders(self) -> list[Path]:
        """Return the folders of checkpoints in the order of their steps: as texts, a million comes before two."""
        return sorted((folder for folder in self.folder.glob("step-*") if _step_of(folder) >= 0), key=_step_of)

    def _put(self, draft: Path, place: Path) -> None:
        """Rename the draft to its place; a checkpoint of the same step is replaced."""
        if place.exists():
            # a folder cannot be renamed over a full one: move the old one aside first, it goes with the next cleaning
            place.rename(self.folder / f".draft-old-{place.name}-{os.getpid()}")
        draft.rename(place)
        _sync(self.folder)

    def _clean(self) -> None:
        """Delete old checkpoints and what killed processes left behind."""
        for folder in self._folders()[: -self.keep]:
            shutil.rmtree(folder, ignore_errors=True)
        for folder in self.folder.glob(".draft-*"):
            shutil.rmtree(folder, ignore_errors=True)


def _step_of(folder: Path) -> int:
    """Return the step in the name of a folder; -1 for a name that is none of ours."""
    number = folder.name.removeprefix("step-")
    return int(number) if number.isascii() and number.isdecimal() else -1


def _read(folder: Path) -> Checkpoint:
    """Return a checkpoint after comparing every file with the manifest."""
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    if manifest["format"] != FORMAT:
        raise ValueError(f"format {manifest['format']}, expected {FORMAT}")
    for name, fingerprint in manifest["files"].items():
        found = _fingerprint(folder / name)
        if found != fingerprint:
            raise ValueError(
                f"{name} has {found[0]} bytes and digest {found[1]}, expected {fingerprint[0]} and {fingerprint[1]}"
            )
    return Checkpoint(folder, manifest["step"], manifest["finished"], manifest["config"])


def _fingerprint(path: Path) -> list[Json]:
    """Return size in bytes and digest of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    return [path.stat().st_size, digest]


def _sync(path: Path) -> None:
    """Force a file or folder to disk, so that the rename never overtakes the data."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
