"""Snapshots of an episode as bytes, and digests of states.

A snapshot is JSON: which environment and version wrote it, the settings it was made with, the task, the fields of the
episode, the generator of chance, and the state of the world; a digest of all this ends it. Whatever is wrong with one is
found before anything is restored. The digest finds accidents: who means to can seal other contents, so these are checked too.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from palaestra.envs.core.tasks import Task
from palaestra.envs.core.typed import fits
from palaestra.errors import EpisodeStateError
from palaestra.types import Json
from palaestra.types.plain_json import finite_number, is_deep, text_of

SNAPSHOT_VERSION = 3

MAX_DEPTH = 256
"""Most levels of lists and maps in a snapshot: fewer than Python's own reader and writer of JSON take."""

_MISSING = object()
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
    env_name: str,
    task: Task,
    fields: Mapping[str, Json],
    np_random: np.random.Generator | None,
    world: Json,
    settings: Mapping[str, Json] | None = None,
) -> bytes:
    """Return the bytes of a snapshot.

    Args:
        env_name: Class name of the environment.
        task: The task of the episode.
        fields: Attributes of the environment by name; a leading underscore is not written.
        np_random: The environment's generator, if it has one already.
        world: State of the world, plain JSON.
        settings: What decides how the episode continues and is in none of the others, by name; plain JSON.
    """
    state = {
        "version": SNAPSHOT_VERSION,
        "env": env_name,
        "settings": dict(settings or {}),
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


def read_snapshot(
    snapshot: bytes,
    env_name: str,
    fields: Sequence[str],
    settings: Mapping[str, Json] | None = None,
    types: Mapping[str, Any] | None = None,
) -> Snapshot:
    """Return the contents of a snapshot.

    Args:
        snapshot: What `write_snapshot` returned.
        env_name: Class name of the environment that is to be restored.
        fields: Names of the attributes that it needs.
        settings: Its settings; those of the snapshot have to be equal.
        types: Types of those attributes that are checked (`palaestra.envs.core.typed.fits`).

    Raises:
        EpisodeStateError: If the bytes are not a snapshot of this environment, or of one with other settings.
    """
    if not isinstance(snapshot, (bytes, bytearray, memoryview)):
        raise EpisodeStateError(f"The snapshot is a {type(snapshot).__name__}; pass the bytes that snapshot() returned.")
    text = bytes(snapshot)
    try:
        state = json.loads(text, parse_float=finite_number)
        version, name = state["version"], state["env"]
        if is_deep(state, MAX_DEPTH):
            raise ValueError("it is nested too deeply")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise EpisodeStateError(f"These bytes are not a snapshot ({error!r}); pass what snapshot() returned.") from None
    if (version, name) != (SNAPSHOT_VERSION, env_name):
        raise EpisodeStateError(
            f"This snapshot is of {name} version {version}; expected {env_name} version {SNAPSHOT_VERSION}. Take a new one"
            " with snapshot()."
        )
    if text[-_END_LENGTH:] != _end(text[:-_END_LENGTH] + b"}"):
        raise EpisodeStateError(f"This snapshot of {name} is damaged or was changed; pass the bytes that snapshot() returned.")
    if not isinstance(told := state.get("settings"), dict):
        raise EpisodeStateError(f"This snapshot of {name} is incomplete (no settings); pass what snapshot() returned.")
    _expect_equal(name, told, json.loads(json.dumps(dict(settings or {}))))
    try:
        kept = {name: state[name.removeprefix("_")] for name in fields}
        task = Task(**state["task"])
        if not (isinstance(task.data, dict) and all(isinstance(text, str) for text in (task.key, task.split, task.type))):
            raise TypeError("the task is not one")
        saved = Snapshot(task, kept, state["np_random"], state["world"])
        saved.generator()
        for attribute, hint in (types or {}).items():
            if attribute in kept and not fits(kept[attribute], hint):
                raise TypeError(f"{attribute.removeprefix('_')} is {_shown(kept[attribute])}")
    except Exception as error:  # whatever a value that was put there raises
        raise EpisodeStateError(f"This snapshot of {name} is incomplete ({error!r}); pass what snapshot() returned.") from None
    return saved


def settings_of(env: object, *, unsettled: Collection[str]) -> dict[str, Json]:
    """Return the arguments of an environment's constructor that it keeps under their names and that are plain JSON.

    Args:
        env: The environment, before its first episode.
        unsettled: Arguments to leave out.
    """
    kept: dict[str, Json] = {}
    for name in inspect.signature(type(env).__init__).parameters:
        value = vars(env).get(name, vars(env).get(f"_{name}", _MISSING))
        if name not in unsettled and value is not _MISSING:
            with contextlib.suppress(TypeError, ValueError, RecursionError):
                kept[name] = json.loads(json.dumps(value))
    return kept


def _expect_equal(name: str, told: Mapping[str, Json], own: Mapping[str, Json]) -> None:
    """Refuse a snapshot of other settings, and name them."""
    if told == own:
        return
    differing = [key for key in {**own, **told} if told.get(key, _MISSING) != own.get(key, _MISSING)]
    theirs = ", ".join(f"{key}={_shown(told[key])}" if key in told else f"no {key}" for key in differing)
    here = ", ".join(f"{key}={_shown(own[key])}" if key in own else f"no {key}" for key in differing)
    raise EpisodeStateError(
        f"This snapshot of {name} was taken with {theirs}; this environment has {here}. Make it with the same arguments."
    )


def _shown(value: Json) -> str:
    """Return the beginning of a value as it is written in code."""
    return repr(value[:60]) if isinstance(value, str) else text_of(value, 60)


def _end(text: bytes) -> bytes:
    """Return the end of a snapshot whose JSON without it is `text`."""
    return _DIGEST_KEY + hashlib.blake2b(text, digest_size=_DIGEST_BYTES).hexdigest().encode() + b'"}'


def digest(value: Json) -> str:
    """Return a 128-bit hex digest of plain JSON data, the same on every platform."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


__all__ = ["Snapshot", "digest", "read_snapshot", "seal", "settings_of", "write_snapshot"]
