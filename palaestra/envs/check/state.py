"""Checks of the state: same seed and actions, same episode; snapshots, copies and pickles continue alike."""

from __future__ import annotations

import contextlib
import copy
import pickle
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest import mock

import numpy as np

from palaestra.envs.check.replay import Job, as_json, run_elsewhere
from palaestra.envs.check.report import CheckFailed, expect
from palaestra.envs.check.subject import Action, Env, Subject, difference, method, play, state_hash
from palaestra.errors import EpisodeStateError

HASH_SEEDS = (1, 4242)  # PYTHONHASHSEED of the other processes


def check_seeding(subject: Subject) -> str:
    """The same seed and actions give the same episode; other seeds give other ones."""
    with subject.open() as env:
        actions = subject.script(env)
        first = play(env, actions, seed=subject.seed)
        parted = difference(first, play(env, actions, seed=subject.seed))
        expect(not parted, f"Played twice, the episodes part {parted}")
    with subject.open() as env:
        parted = difference(first, play(env, actions, seed=subject.seed))
        expect(not parted, f"In a second environment the episode parts {parted}")
        starts = {str(env.reset(seed=subject.seed + i)) for i in range(subject.budget.seeds)}
    expect(
        len(starts) > 1 or _has_one_task(env),
        f"{subject.budget.seeds} different seeds all start the same episode.",
        "Pass the seed to super().reset(seed=seed) and draw the task from self.np_random.",
    )
    return f"{len(actions)} actions; {len(starts)} different starts from {subject.budget.seeds} seeds"


def check_other_process(subject: Subject) -> str:
    """Another process, with another PYTHONHASHSEED, plays the same episode and draws the same actions."""
    with subject.open() as env:
        actions = tuple(subject.script(env))
    job = Job(subject.make, actions, subject.seed)
    here = as_json(job.run())
    for hash_seed in HASH_SEEDS:
        parted = difference(here, run_elsewhere(job, hash_seed=hash_seed))
        expect(not parted, f"With PYTHONHASHSEED={hash_seed} in another process the episode parts {parted}")
    return ""


def check_global_randomness(subject: Subject) -> str:
    """Play neither uses nor changes the global generators of `random` and numpy."""
    kept: tuple[Any, Any] = (random.getstate(), np.random.get_state())
    try:
        with subject.open() as env:
            actions = subject.script(env)
            transcripts = []
            for number in (1, 2):
                random.seed(number)
                np.random.seed(number)
                before = random.getstate(), str(np.random.get_state())
                transcripts.append(play(env, actions, seed=subject.seed))
                for name, old, new in zip(
                    ("random", "numpy.random"), before, (random.getstate(), str(np.random.get_state())), strict=True
                ):
                    expect(old == new, f"Playing changed the global generator of {name}.")
        parted = difference(*transcripts)
        expect(not parted, f"With other global seeds the episode parts {parted}")
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])
    return ""


def check_clock(subject: Subject) -> str:
    """Play does not depend on the time of day (functions of the module `time`; datetime.now is not caught).

    For environments that block, the clocks that measure durations are left alone: time limits of real engines need them.
    """
    with subject.open() as env, contextlib.ExitStack() as clocks:
        actions = subject.script(env)
        first = play(env, actions, seed=subject.seed)
        later = time.time() + 40_000_000
        turned: dict[str, Any] = {"time": later, "time_ns": int(later * 1e9)}
        if not getattr(env.unwrapped, "blocks", False):
            turned |= {"monotonic": later, "perf_counter": later}
        for name, value in turned.items():
            clocks.enter_context(mock.patch(f"time.{name}", return_value=value))
        clocks.enter_context(mock.patch("time.localtime", partial(time.gmtime, later)))
        parted = difference(first, play(env, actions, seed=subject.seed))
    expect(not parted, f"A year later the episode parts {parted}")
    return ""


def check_snapshot(subject: Subject) -> str:
    """`snapshot()` gives bytes; `restore()` continues to an identical future, in the same environment and in a fresh one."""
    with subject.open() as env:
        head, tail = _begin(subject, env)
        snapshot = method(env, "snapshot")()
        expect(isinstance(snapshot, bytes), f"snapshot() returned a {type(snapshot).__name__}; expected bytes.")
        digest = method(env, "state_hash")()
        future = play(env, tail, resets=False)
        restored: list[tuple[str, Callable[[], Any]]] = [("the same environment", lambda: env), ("a fresh one", subject.make)]
        for place, make in restored:
            other = make()
            method(other, "restore")(snapshot)
            again = method(other, "state_hash")()
            expect(again == digest, f"Restored in {place}, state_hash() is {again} instead of {digest}.")
            expect(method(other, "snapshot")() == snapshot, f"Restored in {place}, snapshot() gives other bytes.")
            parted = difference(future, play(other, tail, resets=False))
            expect(not parted, f"Restored in {place}, the future parts {parted}")
            if other is not env:
                other.close()
    return f"after {len(head)} of {len(head) + len(tail)} actions, {len(snapshot)} bytes"


def check_snapshot_elsewhere(subject: Subject) -> str:
    """Another process restores a snapshot and continues to the same future."""
    with subject.open() as env:
        _, tail = _begin(subject, env)
        snapshot = method(env, "snapshot")()
        job = Job(subject.make, tuple(tail), subject.seed, snapshot)
    parted = difference(as_json(job.run()), run_elsewhere(job, hash_seed=HASH_SEEDS[0]))
    expect(not parted, f"Restored in another process, the future parts {parted}")
    return ""


def check_foreign_snapshot(subject: Subject) -> str:
    """Bytes that are not a snapshot of this environment are refused, and nothing changes."""
    with subject.open() as env:
        _begin(subject, env)
        restore, before = method(env, "restore"), method(env, "snapshot")()
        for foreign in (b"", b"no snapshot", b"[]", b"{}", b'{"version": 1, "env": "AnotherEnv"}', b"\xff\xfe"):
            try:
                restore(foreign)
            except EpisodeStateError:
                pass
            except Exception as error:
                raise CheckFailed(f"restore({foreign!r}) raised {type(error).__name__}; expected EpisodeStateError.") from None
            else:
                raise CheckFailed(f"restore({foreign!r}) went through.")
            expect(method(env, "snapshot")() == before, f"restore({foreign!r}) was refused but changed the state.")
    return ""


def check_pickle(subject: Subject) -> str:
    """An environment pickles in the middle of an episode and continues alike."""
    with subject.open() as env:
        _, tail = _begin(subject, env)
        twin: Env = pickle.loads(pickle.dumps(env))
        parted = difference(play(env, tail, resets=False), play(twin, tail, resets=False))
        expect(not parted, f"The unpickled environment parts {parted}")
    return ""


def check_copy(subject: Subject) -> str:
    """A deep copy continues alike, and playing it does not touch the original."""
    with subject.open() as env:
        _, tail = _begin(subject, env)
        before = state_hash(env)
        twin = copy.deepcopy(env)
        future = play(twin, tail, resets=False)
        expect(state_hash(env) == before, "Playing a copy changed the state of the original.")
        parted = difference(future, play(env, tail, resets=False))
        expect(not parted, f"The copy parts {parted}")
    return ""


def _begin(subject: Subject, env: Env) -> tuple[list[Action], list[Action]]:
    """Play the first part of a script in `env` and return both parts; the episode is not over."""
    actions = subject.script(env)
    head, tail = actions[: len(actions) // 2], actions[len(actions) // 2 :]
    env.reset(seed=subject.seed)
    for action in head:
        env.step(action)
    return head, tail


def _has_one_task(env: Env) -> bool:
    """Whether the default split holds a single task."""
    tasks, split = getattr(env.unwrapped, "tasks", None), getattr(env.unwrapped, "default_split", None)
    return tasks is not None and split is not None and tasks.size(split) == 1
