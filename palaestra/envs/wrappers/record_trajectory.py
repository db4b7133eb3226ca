"""Episodes kept as trajectories while they are played."""

from __future__ import annotations

import time
import traceback
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gymnasium.utils import RecordConstructorArgs

from palaestra.envs.core.horizon import horizon_of
from palaestra.envs.wrappers.text_wrapper import Action, Env, Result, TextWrapper, message_of
from palaestra.errors import BoundaryError, UsageError
from palaestra.media.items import MARK
from palaestra.media.store import FolderMedia, bytes_named
from palaestra.results.metrics import declared_by, last_metrics
from palaestra.types import OPENING_HINTS, EpisodeError, Json, Outcome, Step, Trajectory, Usage, plain
from palaestra.types.plain_json import strict_text


class RecordTrajectory(TextWrapper, RecordConstructorArgs):
    """Keeps every episode as a `Trajectory`.

    An episode is complete when it ends, when `reset` or `close` cuts it short (its `stop_reason` is then empty), or when
    the environment fails (its outcome is then the error, which is raised on). Mistakes of the caller are not episodes.

    Args:
        env: Any text environment.
        path: JSONL file that every complete episode is appended to at once. The sounds and pictures that it names are kept
            in the folder `NAME_media` next to the file.
        callback: Called with every complete episode.
        keep: Whether to hold them in `trajectories`; switch off for long runs.
        hash_states: Whether steps carry the digest of the world before the action (costs a serialisation a step).

    Attributes:
        trajectories: The complete episodes, oldest first.
    """

    def __init__(
        self,
        env: Env,
        *,
        path: str | Path | None = None,
        callback: Callable[[Trajectory], None] | None = None,
        keep: bool = True,
        hash_states: bool = False,
    ) -> None:
        """Begin with no episode."""
        RecordConstructorArgs.__init__(
            self,
            path=None if path is None else str(path),
            callback=callback,
            keep=keep,
            hash_states=hash_states,
            _disable_deepcopy=True,
        )
        super().__init__(env)
        self.path = None if path is None else Path(path)
        self.callback = callback
        self.keep = keep
        self.hash_states = hash_states
        self.trajectories: list[Trajectory] = []
        self._count = 0
        self._steps: list[Step] | None = None
        self._seed: int | None = None
        self._start: dict[str, Any] = {}
        self._observation = ""
        self._env_s = 0.0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Complete the current episode, if one is being played, and start another."""
        self._cut()
        began = time.perf_counter()
        observation, info = self.env.reset(seed=seed, options=options)
        self._env_s = time.perf_counter() - began
        self._steps, self._seed, self._start, self._observation = [], seed, info, observation
        return observation, info

    def step(self, action: Action) -> Result:
        """Play one action and note it."""
        steps = self._steps
        if steps is None:
            return self.env.step(action)  # it knows best what to say about a step outside of an episode
        state_hash = self._state_hash()
        began = time.perf_counter()
        try:
            observation, reward, terminated, truncated, info = self.env.step(action)
        except UsageError:
            raise
        except Exception as error:
            self._env_s += time.perf_counter() - began
            steps.append(Step(self._observation, message_of(action), state_hash=state_hash))
            self._complete(Outcome(error=_episode_error(error)), observation="")
            raise
        self._env_s += time.perf_counter() - began
        steps.append(
            Step(self._observation, message_of(action), float(reward), terminated, truncated, _plain_info(info), state_hash)
        )
        self._observation = observation
        if terminated or truncated:
            self._complete(self._outcome(), observation)
        return observation, reward, terminated, truncated, info

    def close(self) -> None:
        """Complete the current episode, if one is being played, and close the environment."""
        self._cut()
        super().close()

    def _cut(self) -> None:
        """Complete an episode that was not played to its end; one without a single action is dropped."""
        if self._steps:
            self._complete(self._outcome(), self._observation)
        self._steps = None

    def _outcome(self) -> Outcome:
        """Return how the last step left the episode."""
        assert self._steps
        info = self._steps[-1].info
        score = info.get("score")
        success = info.get("success")
        return Outcome(
            score=sum(step.reward for step in self._steps) if score is None else float(score),
            success=None if success is None else bool(success),
            stop_reason=info.get("stop_reason", ""),
            metrics=last_metrics(self._steps) if declared_by(self) else {},
        )

    def _complete(self, outcome: Outcome, observation: str) -> None:
        """Make the trajectory and hand it out."""
        info, spec = self._start, self.spec
        meta: dict[str, Json] = {} if spec is None else {"env_kwargs": _plain_info(spec.kwargs)}
        meta |= {key: plain(info[key]) for key in OPENING_HINTS if key in info}
        trajectory = Trajectory(
            episode_id=f"episode-{self._count}-{uuid.uuid4().hex[:12]}",  # copies and processes may share a file or a store
            env_id=type(self.unwrapped).__name__ if spec is None else spec.id,
            task=_plain_info(info.get("task") or {"key": f"seed/{self._seed}", "split": "", "type": ""}),
            seed=self._seed,
            instructions=str(info.get("instructions", "")),
            tools=tuple(info.get("tools", ())),
            steps=tuple(self._steps or ()),
            final_observation=observation,
            outcome=outcome,
            usage=Usage(env_s=self._env_s),
            max_turns=horizon_of(self.env),
            meta=meta,
        )
        self._steps = None
        self._count += 1
        if self.keep:
            self.trajectories.append(trajectory)
        if self.path is not None:
            # Plain ASCII: an action with lone surrogates has no UTF-8 form, and must not be lost for that.
            line = strict_text(trajectory.to_json()) + "\n"
            if MARK in line:  # their bytes are on the disk before a line names them
                FolderMedia(self.path.with_name(f"{self.path.stem}_media")).add(bytes_named(line))
            with self.path.open("a", encoding="ascii") as file:
                file.write(line)
        if self.callback is not None:
            self.callback(trajectory)

    def _state_hash(self) -> str | None:
        """Return the digest of the world, if it is wanted and there is one."""
        if self.hash_states and self.env.has_wrapper_attr("state_hash"):
            return str(self.env.get_wrapper_attr("state_hash")())
        return None


def _episode_error(error: Exception) -> EpisodeError:
    """Describe a failure; one of unknown kind is the environment's."""
    boundary = error.boundary if isinstance(error, BoundaryError) else "environment"
    return EpisodeError(boundary, type(error).__name__, str(error), "".join(traceback.format_exception(error)))


def _plain_info(info: dict[str, Any]) -> dict[str, Json]:
    """Return an info as plain JSON; what has no plain form is described in words."""
    kept: dict[str, Json] = {}
    for key, value in info.items():
        try:
            kept[str(key)] = plain(value)
        except TypeError:
            kept[str(key)] = repr(value)
    return kept


__all__ = ["RecordTrajectory"]
