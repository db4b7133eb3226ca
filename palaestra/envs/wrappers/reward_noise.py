"""Reward noise inside an environment."""

from __future__ import annotations

from typing import Any

from gymnasium.utils import RecordConstructorArgs

from palaestra.envs.wrappers.chance import generator_of
from palaestra.envs.wrappers.noise_model import NoiseMode, NoiseModel
from palaestra.envs.wrappers.text_wrapper import Action, Env, Result, TextWrapper, message_of
from palaestra.types import Json


class RewardNoise(TextWrapper, RecordConstructorArgs):
    """Adds noise to the reward of episodes, for studies of robustness; `score` and `success` stay true.

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

    Source: the noise models of the robustness study of VRPO (`noise_model`); incremental rewards and the seeding are ours.
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
        message = message_of(action)
        self._return += clean
        self._num_words += len(message.content.split())
        self._actions.append(message.to_json())
        noise = self._noise(bool(info.get("success", self._return >= 0.5))) if terminated or truncated else 0.0
        info = {**info, "clean_reward": clean}
        if noise:
            info["reward_parts"] = {**(info.get("reward_parts") or {"task": clean}), "noise": noise}
        return observation, clean + noise if noise else reward, terminated, truncated, info

    def _noise(self, success: bool) -> float:
        """Return the noise on the return of the episode that has just ended."""
        key: list[Json] = [self.seed, self._task]
        if self.noise_model.mode != "label":
            key = [self.seed, self._origin, self._number, self._task, self._actions]
        return float(self.noise_model.noise(generator_of(key), self._return, success=success, length=self._num_words))


__all__ = ["RewardNoise"]
