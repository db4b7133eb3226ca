"""Plays scripts in other processes: with another hash seed, and with clocks that run otherwise."""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from unittest import mock

from palaestra.envs.check.replay import as_json, run_elsewhere
from palaestra.envs.check.subject import Env, told
from palaestra.types import Json

CLOCKS = ((4242, 463 * 86_400 + 12 * 3600 + 1.0), (97, 58 * 86_400 + 6 * 3600 + 30.0))
"""PYTHONHASHSEED and seconds by which clocks are ahead: of other hours, days, parities."""
LEAP = 97.25
"""Seconds that pass between two looks at a clock."""


@dataclass(frozen=True)
class Script:
    """Actions, and where the episode begins in which they are played."""

    seed: int
    options: Mapping[str, Any] | None
    actions: tuple[Any, ...]

    @property
    def name(self) -> str:
        """What a report calls it."""
        task = (self.options or {}).get("task", f"seed {self.seed}")
        return f"task {task}"

    def play(self, env: Env) -> list[Json]:
        """Play from the start and return what was told: first observation, then each step."""
        observation, info = env.reset(seed=self.seed, options=None if self.options is None else dict(self.options))
        return [as_json([[told(observation), 0.0, False, False, _kept(info)]])[0], *self.go_on(env, 0)]

    def go_on(self, env: Env, turn: int) -> list[Json]:
        """Play the actions from a turn on and return what was told."""
        transcript: list[Json] = []
        for action in self.actions[turn:]:
            observation, reward, terminated, truncated, info = env.step(action)
            transcript.append([told(observation), round(float(reward), 9), bool(terminated), bool(truncated), _kept(info)])
            if terminated or truncated:
                break
        return as_json(transcript)


def _kept(info: Mapping[str, Any]) -> Json:
    """Return the part of an info that is compared: all but tools and instructions, which are long, and what measures time."""
    return told({key: value for key, value in info.items() if key not in ("tools", "instructions") and "time" not in key})


@dataclass(frozen=True)
class _Job:
    """What another process plays."""

    make: Callable[[], Env]
    scripts: tuple[Script, ...]
    ahead: float = 0.0

    @property
    def actions(self) -> tuple[Any, ...]:
        """All actions: media that they name travel along."""
        return tuple(action for script in self.scripts for action in script.actions)

    def run(self) -> list[Json]:
        """Play every script; one that raises gives what it raised."""
        with _clocks(self.ahead) if self.ahead else contextlib.nullcontext():
            env = self.make()
            try:
                return [_played(script, env) for script in self.scripts]
            finally:
                env.close()


def _played(script: Script, env: Env) -> list[Json]:
    """Play a script, or return what it raised."""
    try:
        return script.play(env)
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]


def run_scripts(make: Callable[[], Env], scripts: Sequence[Script]) -> Iterator[tuple[list[Any], list[Any], str]]:
    """Yield what scripts give here and in other processes, and in what these differ.

    Raises:
        CheckFailed: If the environment cannot be sent to another process, or that fails.
    """
    here: list[Any] = as_json(_Job(make, tuple(scripts)).run())
    for hash_seed, ahead in CLOCKS:
        there = run_elsewhere(_Job(make, tuple(scripts), ahead), hash_seed=hash_seed)  # type: ignore[arg-type]
        yield here, there, f"with PYTHONHASHSEED={hash_seed} and other clocks"


@contextlib.contextmanager
def _clocks(ahead: float) -> Iterator[None]:
    """Let all clocks of Python be ahead, and leap with every look at them."""
    looks = [0]
    real = {name: getattr(time, name) for name in ("time", "monotonic", "perf_counter", "localtime", "gmtime")}

    def later(name: str) -> float:
        looks[0] += 1
        return float(real[name]()) + ahead + LEAP * looks[0]

    class Meta(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, _DATETIME)

    class Later(datetime.datetime, metaclass=Meta):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]
            return _DATETIME.fromtimestamp(later("time"), tz)

        @classmethod
        def utcnow(cls) -> datetime.datetime:  # type: ignore[override]
            return _DATETIME.fromtimestamp(later("time"), datetime.UTC).replace(tzinfo=None)

        @classmethod
        def today(cls) -> datetime.datetime:  # type: ignore[override]
            return cls.now()

    class DayMeta(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, _DATE)

    class LaterDay(datetime.date, metaclass=DayMeta):
        @classmethod
        def today(cls) -> datetime.date:  # type: ignore[override]
            return _DATETIME.fromtimestamp(later("time")).date()

    with contextlib.ExitStack() as stack:
        for name in ("time", "monotonic", "perf_counter"):
            stack.enter_context(mock.patch(f"time.{name}", lambda name=name: later(name)))
            stack.enter_context(mock.patch(f"time.{name}_ns", lambda name=name: int(later(name) * 1e9)))
        for name in ("localtime", "gmtime"):
            turned = lambda secs=None, name=name: real[name](later("time") if secs is None else secs)  # noqa: E731
            stack.enter_context(mock.patch(f"time.{name}", turned))
        stack.enter_context(mock.patch("datetime.datetime", Later))
        stack.enter_context(mock.patch("datetime.date", LaterDay))
        yield


_DATETIME, _DATE = datetime.datetime, datetime.date

__all__ = ["Script", "run_scripts"]
