"""Plays scripts in a second Python process: with another hash seed, another clock, and nothing left in memory.

`run_elsewhere` pickles a `Job` into a file, the other process calls `main` with it and writes the transcript next to it.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palaestra.envs.check.report import CheckFailed
from palaestra.envs.check.subject import Action, Env, play, told
from palaestra.envs.core.outermost import outermost
from palaestra.media.store import VARIABLE, FolderMedia, bytes_named
from palaestra.types import Json

TIMEOUT_S = 120
_PROGRAM = "import sys; from palaestra.envs.check.replay import main; main(sys.argv[1])"


@dataclass(frozen=True)
class Job:
    """What the other process plays.

    Attributes:
        make: Makes the environment.
        actions: The script.
        seed: Seed of the reset and of the action space.
        snapshot: State to play the script from instead; None to begin with a reset.
    """

    make: Callable[..., Env]
    actions: tuple[Action, ...]
    seed: int
    snapshot: bytes | None = None

    def run(self) -> list[Json]:
        """Play, and return the transcript followed by three drawn actions."""
        env = self.make()
        try:
            if self.snapshot is not None:
                env.reset(seed=self.seed + 1)
                outermost(env, "restore")(self.snapshot)
            transcript = play(env, self.actions, seed=self.seed, resets=self.snapshot is None)
            env.action_space.seed(self.seed)
            return [*transcript, told(env.action_space.to_jsonable([env.action_space.sample() for _ in range(3)]))]
        finally:
            env.close()


def run_elsewhere(job: Job, *, hash_seed: int) -> list[Json]:
    """Run a job in a fresh process under this PYTHONHASHSEED.

    Raises:
        CheckFailed: If it cannot be sent there or fails there.
    """
    import cloudpickle  # type: ignore[import-untyped]  # Gymnasium's own dependency: takes makers that pickle does not

    try:
        payload: bytes = cloudpickle.dumps(job)
    except Exception as error:
        raise CheckFailed(
            f"The environment cannot be sent to another process ({type(error).__name__}: {error}).",
            "Register it by a string entry point, or keep locks, files and generators out of its attributes.",
        ) from None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "job.pickle"
        file.write_bytes(pickle.dumps((sys.path, payload)))
        media = Path(folder) / "media"
        FolderMedia(media).add(bytes_named(job.actions))
        try:
            done = subprocess.run(
                [sys.executable, "-c", _PROGRAM, str(file)],
                env={
                    **os.environ,
                    "PYTHONHASHSEED": str(hash_seed),
                    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                    VARIABLE: str(media),
                },
                capture_output=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise CheckFailed(f"A second process did not finish the episode in {TIMEOUT_S} s.") from None
        if done.returncode != 0:
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            raise CheckFailed(f"A second process failed: {lines[-1] if lines else f'exit code {done.returncode}'}")
        result: list[Json] = json.loads(file.with_suffix(".json").read_text(encoding="ascii"))
        return result


def as_json(transcript: list[Any]) -> list[Json]:
    """Return a transcript as it looks after the journey through JSON."""
    result: list[Json] = json.loads(json.dumps(transcript))
    return result


def main(path: str) -> None:
    """Run the job in the file at `path`; the entry of the other process."""
    import cloudpickle

    file = Path(path)
    paths, payload = pickle.loads(file.read_bytes())
    sys.path[:] = paths
    job: Job = cloudpickle.loads(payload)
    file.with_suffix(".json").write_text(json.dumps(job.run()), encoding="ascii")
