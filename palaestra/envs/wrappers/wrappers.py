"""Wrappers that change how an environment is played, not what it is.

`TurnLimit` stops long episodes, `RecordTrajectory` keeps what was played, `RewardNoise` makes rewards lie, and
`TransformObservationText`, `MoveInstructions` and `TruncateObservation` change what the agent reads. All of them take any
environment with text in and out, pickle if what they are given pickles, and stand in `env.spec` with their arguments.
"""

from __future__ import annotations

import hashlib
import json
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from palaestra.envs.wrappers.noise import NoiseMode, NoiseModel
from palaestra.errors import BoundaryError, ConfigError, EpisodeStateError, UsageError
from palaestra.results.metrics import declared_by, last_metrics
from palaestra.types import OPENING_HINTS, EpisodeError, Json, Message, Outcome, Step, Trajectory, Usage, plain

Action = str | Message
TextWrapper = gymnasium.Wrapper[str, Action, str, Action]
Env = gymnasium.Env[str, Action]
Result = tuple[str, SupportsFloat, bool, bool, dict[str, Any]]


class TurnLimit(TextWrapper, RecordConstructorArgs):
    """Truncates an episode after a number of actions, with `stop_reason` "max_rounds".

    Gymnasium's `TimeLimit` does not say why it stopped. For environments that have `max_turns` themselves, the
    smaller of the two limits holds.

    Args:
        env: Any text environment.
        max_turns: Number of actions in an episode, at least 1.
    """

    def __init__(self, env: Env, max_turns: int) -> None:
        """Check the limit."""
        if not isinstance(max_turns, int) or isinstance(max_turns, bool) or max_turns < 1:
            raise ConfigError(f"max_turns is {max_turns!r}; expected an integer of at least 1.")
        RecordConstructorArgs.__init__(self, max_turns=max_turns)
        super().__init__(env)
        self.max_turns = max_turns
        self.num_turns = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start an episode and count from 0."""
        self.num_turns = 0
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Action) -> Result:
        """Play one action.

        Raises:
            EpisodeStateError: After the limit was reached.
        """
        if self.num_turns >= self.max_turns:
            raise EpisodeStateError(f"This episode was stopped after {self.max_turns} turns; call reset().")
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.num_turns += 1
        if self.num_turns >= self.max_turns and not terminated and not truncated:
            truncated, info = True, {**info, "stop_reason": "max_rounds"}
        return observation, reward, terminated, truncated, info


class RecordTrajectory(TextWrapper, RecordConstructorArgs):
    """Keeps every episode as a `Trajectory`.

    An episode is complete when it ends, when `reset` or `close` cuts it short (its `stop_reason` is then empty), or when
    the environment fails (its outcome is then the error, which is raised on). Mistakes of the caller are no episodes.

    Args:
        env: Any text environment.
        path: JSONL file that every complete episode is appended to at once.
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
        """Complete the present episode, if one is being played, and start another."""
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
            steps.append(Step(self._observation, _message(action), state_hash=state_hash))
            self._complete(Outcome(error=_episode_error(error)), observation="")
            raise
        self._env_s += time.perf_counter() - began
        steps.append(
            Step(self._observation, _message(action), float(reward), terminated, truncated, _plain_info(info), state_hash)
        )
        self._observation = observation
        if terminated or truncated:
            self._complete(self._outcome(), observation)
        return observation, reward, terminated, truncated, info

    def close(self) -> None:
        """Complete the present episode, if one is being played, and close the environment."""
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
            episode_id=f"episode-{self._count}",
            env_id=type(self.unwrapped).__name__ if spec is None else spec.id,
            task=_plain_info(info.get("task") or {"key": f"seed/{self._seed}", "split": "", "type": ""}),
            seed=self._seed,
            instructions=str(info.get("instructions", "")),
            tools=tuple(info.get("tools", ())),
            steps=tuple(self._steps or ()),
            final_observation=observation,
            outcome=outcome,
            usage=Usage(env_s=self._env_s),
            max_turns=self.env.get_wrapper_attr("max_turns") if self.env.has_wrapper_attr("max_turns") else None,
            meta=meta,
        )
        self._steps = None
        self._count += 1
        if self.keep:
            self.trajectories.append(trajectory)
        if self.path is not None:
            # Plain ASCII: an action with lone surrogates has no UTF-8 form, and must not be lost for that.
            with self.path.open("a", encoding="ascii") as file:
                file.write(json.dumps(trajectory.to_json()) + "\n")
        if self.callback is not None:
            self.callback(trajectory)

    def _state_hash(self) -> str | None:
        """Return the digest of the world, if it is wanted and there is one."""
        if self.hash_states and self.env.has_wrapper_attr("state_hash"):
            return str(self.env.get_wrapper_attr("state_hash")())
        return None


class RewardNoise(TextWrapper, RecordConstructorArgs):
    """Makes the reward of some episodes lie, for studies of robustness; `score` and `success` stay true.

    The return of the episode, s, becomes s' by a correction s' - s to the reward of the last step, so that dense rewards
    keep their shape:

    * "flip": s' = 1 - s with probability `rate`, independently for each episode.
    * "label": s' = 1 - s for the share `rate` of the tasks, always the same ones (wrong labels).
    * "gaussian": s' = s + N(0, rate^2).
    * "judge": s' is 1 or 0: a solved episode gets 1 with probability 1 - `miss_rate`, another one with probability
      `false_rate`; plus `length_bias` for every 10 words that the agent wrote.

    Chance comes from (noise seed, reset seed, number of the episode since that reset seed, task, actions), and never
    from the environment's own stream: the same seed and actions give the same noise, and samples of one task and seed
    that differ in what was said are judged independently.

    `info` gains `clean_reward` on every step; `reward_parts` gains "noise" where the reward was changed.

    Args:
        env: Any text environment.
        mode: Kind of noise.
        rate: Strength in [0, 1]; for "gaussian" a standard deviation >= 0 in units of the return.
        seed: Seed of the noise.
        miss_rate: "judge": share of solved episodes called wrong; `rate` by default.
        false_rate: "judge": share of unsolved episodes called right; `rate` by default.
        length_bias: "judge": added per 10 words (whitespace-separated) of the agent's messages.

    Source: the noise models of the robustness study of VRPO; incremental rewards and the seeding are ours.
    """

    def __init__(
        self,
        env: Env,
        mode: NoiseMode = "flip",
        rate: float = 0.1,
        *,
        seed: int = 0,
        miss_rate: float | None = None,
        false_rate: float | None = None,
        length_bias: float = 0.0,
    ) -> None:
        """Check mode and rates."""
        self.noise_model = NoiseModel(mode, rate, miss_rate, false_rate, length_bias)
        RecordConstructorArgs.__init__(
            self, mode=mode, rate=rate, seed=seed, miss_rate=miss_rate, false_rate=false_rate, length_bias=length_bias
        )
        super().__init__(env)
        self.seed = seed
        self._origin: int | None = None
        self._number = 0
        self._task = ""
        self._actions: list[Json] = []
        self._return = 0.0
        self._num_words = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._number = 0 if seed is not None else self._number + 1
        self._origin = seed if seed is not None else self._origin
        task = info.get("task")
        self._task = str(task["key"]) if isinstance(task, dict) and "key" in task else observation
        self._actions = []
        self._return = 0.0
        self._num_words = 0
        return observation, info

    def step(self, action: Action) -> Result:
        """Play one action; the last one of the episode bears the correction."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        clean = float(reward)
        message = _message(action)
        self._return += clean
        self._num_words += len(message.content.split())
        self._actions.append(message.to_json())
        noise = self._noise(bool(info.get("success", self._return >= 0.5))) if terminated or truncated else 0.0
        info = {**info, "clean_reward": clean}
        if noise:
            info["reward_parts"] = {**(info.get("reward_parts") or {"task": clean}), "noise": noise}
        return observation, clean + noise if noise else reward, terminated, truncated, info

    def _noise(self, success: bool) -> float:
        """Return what the noise adds to the return of the episode that has just ended."""
        key: list[Json] = [self.seed, self._task]
        if self.noise_model.mode != "label":
            key = [self.seed, self._origin, self._number, self._task, self._actions]
        return float(self.noise_model.noise(_generator(key), self._return, success=success, length=self._num_words))


class TransformObservationText(TextWrapper, RecordConstructorArgs):
    """Changes every observation by a function from text to text.

    Args:
        env: Any text environment.
        function: Returns what the agent reads instead; a module-level function keeps the environment picklable.
    """

    def __init__(self, env: Env, function: Callable[[str], str]) -> None:
        """Keep the function."""
        RecordConstructorArgs.__init__(self, function=function, _disable_deepcopy=True)
        super().__init__(env)
        self.function = function

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self.function(observation), info

    def step(self, action: Action) -> Result:
        """Play one action."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self.function(observation), reward, terminated, truncated, info


class MoveInstructions(TextWrapper, RecordConstructorArgs):
    """Moves the instructions from `info` to the front of the first observation, for agents that read only observations.

    `info["instructions"]` is then empty, so that no agent is told twice.

    Args:
        env: Any text environment.
        with_tools: Whether the schemas of the tools follow the instructions, one JSON object per line.
        separator: Between instructions, tools and observation.
    """

    def __init__(self, env: Env, *, with_tools: bool = False, separator: str = "\n\n") -> None:
        """Keep the layout."""
        RecordConstructorArgs.__init__(self, with_tools=with_tools, separator=separator)
        super().__init__(env)
        self.with_tools = with_tools
        self.separator = separator

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        tools = info.get("tools", ()) if self.with_tools else ()
        schemas = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)
        parts = [part for part in (info.get("instructions", ""), schemas, observation) if part]
        return self.separator.join(parts), {**info, "instructions": ""}


class TruncateObservation(TextWrapper, RecordConstructorArgs):
    """Shortens long observations, keeping their beginning and their end and saying how much is missing.

    Args:
        env: Any text environment.
        max_chars: Longest observation in characters, the note included; at least 100.
    """

    def __init__(self, env: Env, max_chars: int) -> None:
        """Check the bound."""
        if not isinstance(max_chars, int) or max_chars < 100:
            raise ConfigError(f"max_chars is {max_chars!r}; expected an integer of at least 100.")
        RecordConstructorArgs.__init__(self, max_chars=max_chars)
        super().__init__(env)
        self.max_chars = max_chars

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self._shorten(observation), info

    def step(self, action: Action) -> Result:
        """Play one action."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._shorten(observation), reward, terminated, truncated, info

    def _shorten(self, text: str) -> str:
        """Cut out the middle of a text that is too long."""
        if len(text) <= self.max_chars:
            return text
        kept = self.max_chars - 50  # the note has 24 characters and a number
        head = (kept + 1) // 2
        note = f"\n[{len(text) - kept} characters left out]\n"
        return text[:head] + note + text[len(text) - (kept - head) :]


def _message(action: Action) -> Message:
    """Return the assistant message that an action stands for."""
    return action if isinstance(action, Message) else Message("assistant", action)


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


def _generator(key: list[Json]) -> np.random.Generator:
    """Return a generator that depends on `key` alone, the same on every machine."""
    digest = hashlib.blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


__all__ = [
    "MoveInstructions",
    "RecordTrajectory",
    "RewardNoise",
    "TransformObservationText",
    "TruncateObservation",
    "TurnLimit",
]
