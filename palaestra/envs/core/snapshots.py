"""Snapshots of an episode as bytes, and digests of states.

A snapshot is JSON: which environment and version wrote it, the task, the fields of the episode, the generator of chance,
and the state of the world; a digest of all this ends it. Whatever is wrong with one is found before anything is restored.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from palaestra.envs.core.tasks import Task
from palaestra.errors import EpisodeStateError
from palaestra.types import Json

SNAPSHOT_VERSION = 2

_DIGEST_BYTES = 16
_DIGEST_KEY = b',"digest":"'
_END_LENGTH = len(_DIGEST_KEY) + 2 * _DIGEST_BYTES + len(b'"}')


class Snapshot(NamedTuple):
    """The contents of a snapshot.

    Attributes:
        task: The task of the episode.
        fields: The attributes of the environment that were asked for, by name.
        np_random: State of the generator of chance, None if there was none.
        world: What the environment's `_save` returned.
    """

    task: Task
    fields: dict[str, Json]
    np_random: Any
    world: Json

    def generator(self) -> np.random.Generator | None:
        """Return a generator in the saved state, None if there was none."""
        if self.np_random is None:
            return None
        bits = np.random.PCG64()
        bits.state = self.np_random
        return np.random.Generator(bits)


def write_snapshot(
    env_name: str, task: Task, fields: Mapping[str, Json], np_random: np.random.Generator | None, world: Json
) -> bytes:
    """Return the bytes of a snapshot.

    Args:
        env_name: Class name of the environment.
        task: The task of the episode.
        fields: Attributes of the environment by name; a leading underscore is not written.
        np_random: The environment's generator, if it has one already.
        world: State of the world, plain JSON.
    """
    state = {
        "version": SNAPSHOT_VERSION,
        "env": env_name,
        "task": {"key": task.key, "split": task.split, "type": task.type, "data": task.data},
        **{name.removeprefix("_"): value for name, value in fields.items()},
        "np_random": None if np_random is None else np_random.bit_generator.state,
        "world": world,
    }
    return seal(state)


def seal(state: Mapping[str, Json]) -> bytes:
    """Return the contents of a snapshot, plain data, as bytes that end with a digest of them."""
    contents = {key: value for key, value in state.items() if key != "digest"}
    text = json.dumps(contents, ensure_ascii=False, separators=(",", ":")).encode()
    return text[:-1] + _end(text)


def read_snapshot(snapshot: bytes, env_name: str, fields: Sequence[str]) -> Snapshot:
    """Return the contents of a snapshot.

    Args:
        snapshot: What `write_snapshot` returned.
        env_name: Class name of the environment that is to be restored.
        fields: Names of the attributes that it needs.

    Raises:
        EpisodeStateError: If the bytes are not a snapshot of this environment.
    """
    if not isinstance(snapshot, (bytes, bytearray, memoryview)):
        raise EpisodeStateError(f"The snapshot is a {type(snapshot).__name__}; pass the bytes that snapshot() returned.")
    text = bytes(snapshot)
    try:
        state = json.loads(text)
        version, name = state["version"], state["env"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise EpisodeStateError(f"These bytes are not a snapshot ({error!r}); pass what snapshot() returned.") from None
    if (version, name) != (SNAPSHOT_VERSION, env_name):
        raise EpisodeStateError(
            f"This snapshot is of {name} version {version}; expected {env_name} version {SNAPSHOT_VERSION}."
        )
    if text[-_END_LENGTH:] != _end(text[:-_END_LENGTH] + b"}"):
        raise EpisodeStateError(f"This snapshot of {name} is damaged or was changed; pass the bytes that snapshot() returned.")
    try:
        kept = {name: state[name.removeprefix("_")] for name in fields}
        saved = Snapshot(Task(**state["task"]), kept, state["np_random"], state["world"])
        saved.generator()
        return saved
    except (KeyError, TypeError, ValueError) as error:
        raise EpisodeStateError(f"This snapshot of {name} is incomplete ({error!r}); pass what snapshot() returned.") from None


def _end(text: bytes) -> bytes:
    """Return the end of a snapshot whose JSON without it is `text`."""
    return _DIGEST_KEY + hashlib.blake2b(text, digest_size=_DIGEST_BYTES).hexdigest().encode() + b'"}'


def digest(value: Json) -> str:
    """Return a 128-bit hex digest of plain JSON data, the same on every platform."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


__all__ = ["Snapshot", "digest", "read_snapshot", "seal", "write_snapshot"]
