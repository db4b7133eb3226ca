"""`[reward]`: a reward model, a server or a judge scores the training episodes, in place of the environment or next to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from palaestra.agents.registry import make_agent
from palaestra.algorithms.config import Config, Need
from palaestra.algorithms.data.reward_sources import (
    JUDGE_INSTRUCTIONS,
    NoScore,
    RewardJudge,
    RewardModel,
    RewardServer,
    RewardSource,
    Score,
)
from palaestra.algorithms.run.extension import Extension, ExtensionContext
from palaestra.algorithms.run.recipe_configs import Recipe
from palaestra.algorithms.scale.ranks import ranks
from palaestra.errors import ConfigError, TrainingStopped
from palaestra.types import EpisodeError, Outcome, Trajectory

_NEEDS = {"model": "path", "server": "url", "judge": "model"}


class RewardConfig(Config):
    """Table `[reward]` of a recipe: who scores the training episodes. Evaluation keeps to the environment's score."""

    needs: ClassVar[Mapping[str, Need]] = {
        **dict.fromkeys(("path", "dtype", "max_tokens"), Need("kind", ("model",))),
        **dict.fromkeys(("url", "api_key_env", "timeout_s", "retries"), Need("kind", ("server",))),
        **dict.fromkeys(("model", "options", "instructions"), Need("kind", ("judge",))),
        "batch_size": Need("kind", ("model", "server")),
        "concurrency": Need("kind", ("server", "judge")),
    }

    kind: Literal["model", "server", "judge"]
    """A sequence classifier with one output, a server, or an agent that judges."""
    weight: float = 1.0
    """Factor of the score, which is added to the reward of the last step."""
    env_weight: float = 0.0
    """Factor of the environment's own rewards."""
    low: float | None = None
    """Least score; for a judge 0 if left out. A score outside is a failure of the source."""
    high: float | None = None
    """Greatest score; for a judge 1 if left out."""
    path: str = ""
    """model: folder of the classifier and its tokenizer."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """model: number format of its weights."""
    max_tokens: int = Field(default=4096, ge=16, le=10_000_000)
    """model: longest dialogue; of a longer one the end is read."""
    url: str = ""
    """server: where episodes are posted."""
    api_key_env: str | None = Field(default=None, pattern=r"^[A-Z_][A-Z0-9_]*$")
    """server: variable with its token, which is in no recipe and no run."""
    timeout_s: float = Field(default=60.0, gt=0, le=86_400)
    """server: seconds for one attempt."""
    retries: int = Field(default=3, ge=0, le=1000)
    """server: attempts after the first."""
    model: str = ""
    """judge: an agent as for `--model`."""
    options: dict[str, Any] = Field(default_factory=dict)
    """judge: its arguments, e.g. `temperature` and `base_url`."""
    instructions: str = JUDGE_INSTRUCTIONS
    """judge: what it is told; {low} and {high} are filled in."""
    batch_size: int = Field(default=8, ge=1, le=100_000)
    """model, server: episodes that are scored together."""
    concurrency: int = Field(default=16, ge=1, le=100_000)
    """server, judge: requests at once."""

    @field_validator("url")
    @classmethod
    def _url_is_one(cls, url: str) -> str:
        parts = urlsplit(url)
        if url and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ConfigError("expected the address of a server, e.g. http://127.0.0.1:8000/score.")
        if "@" in parts.netloc or parts.query:
            raise ConfigError("it holds a name, a password or a query, which a recipe must not; use api_key_env.")
        return url

    @model_validator(mode="after")
    def _source_is_named(self) -> RewardConfig:
        wanted = _NEEDS[self.kind]
        if not getattr(self, wanted):
            raise ConfigError(f"kind is {self.kind!r}, which needs {wanted}.")
        low, high = self.range
        if low is not None and high is not None and not low < high:
            raise ConfigError(f"low is {low:g} and high is {high:g}; expected low below high.")
        if self.weight == 0 and self.env_weight == 0:
            raise ConfigError("weight and env_weight are 0, so that every reward is 0; give one a value, e.g. weight = 1.")
        return self

    @property
    def range(self) -> tuple[float | None, float | None]:
        """Least and greatest score."""
        if self.kind != "judge":
            return self.low, self.high
        return (0.0 if self.low is None else self.low), (1.0 if self.high is None else self.high)

    def build(self) -> RewardSource:
        """Build the source of the scores.

        Raises:
            ConfigError: If it cannot be built here.
        """
        low, high = self.range
        limits: dict[str, Any] = {"low": low, "high": high}
        if self.kind == "model":
            return RewardModel(self.path, max_tokens=self.max_tokens, batch_size=self.batch_size, dtype=self.dtype, **limits)
        if self.kind == "server":
            return RewardServer(
                self.url,
                api_key_env=self.api_key_env,
                batch_size=self.batch_size,
                concurrency=self.concurrency,
                retries=self.retries,
                timeout_s=self.timeout_s,
                **limits,
            )
        agent = make_agent(self.model, **self.options)
        return RewardJudge(agent, instructions=self.instructions, concurrency=self.concurrency, **limits)


class Reward(Extension):
    """Has training episodes scored by a model, a server or a judge."""

    name: ClassVar[str] = "reward"
    config_type = RewardConfig
    metrics = frozenset({"reward_score_mean", "reward_failures"})
    movable = frozenset({"url", "api_key_env", "timeout_s", "retries", "concurrency", "batch_size"})
    config: RewardConfig

    def __init__(self, config: RewardConfig, context: ExtensionContext) -> None:
        """Nothing is loaded before the first episode."""
        super().__init__(config, context)
        self._source: RewardSource | None = None
        self._counts: Counter[str] = Counter()
        self._sum = 0.0

    @classmethod
    def check(cls, config: RewardConfig, recipe: Recipe) -> None:
        """Find what is missing before a run is created; the weights of a model are loaded later, once."""
        if config.kind == "model":
            RewardModel.check(config.path)
        else:
            config.build()

    def observed(self, trajectories: list[Trajectory]) -> list[Trajectory]:
        """Return the episodes with the rewards that training sees; what could not be scored is an error of the judge.

        Raises:
            TrainingStopped: If not one of them could be scored.
        """
        wanted = [index for index, one in enumerate(trajectories) if one.outcome.error is None and one.steps]
        chosen = [trajectories[index] for index in wanted]
        verdicts = ranks().on_main(lambda: self._scored(chosen))
        problems = [verdict for verdict in verdicts if isinstance(verdict, NoScore)]
        if chosen and len(problems) == len(chosen):
            raise TrainingStopped(f"None of {len(chosen)} episodes could be scored by [reward]: {problems[0]}.")
        found = list(trajectories)
        for index, verdict in zip(wanted, verdicts, strict=True):
            found[index] = with_score(trajectories[index], verdict, self.config)
        self._counts.update(scored=len(chosen) - len(problems), failed=len(problems))
        self._sum += sum(verdict for verdict in verdicts if isinstance(verdict, Score))
        return found

    def after_step(self, step: int, metrics: Mapping[str, float]) -> Mapping[str, float]:
        """Return the mean score of the step's episodes, and how many have none."""
        scored, failed = self._counts["scored"], self._counts["failed"]
        found = {"reward_score_mean": self._sum / scored} if scored else {}
        self._counts.clear()
        self._sum = 0.0
        return {**found, "reward_failures": float(failed)}

    def _scored(self, trajectories: Sequence[Trajectory]) -> list[Score | NoScore]:
        if self._source is None:
            self._source = self._loaded() if self.config.kind == "model" else self.config.build()
        return self._source.score(trajectories) if trajectories else []

    def _loaded(self) -> RewardSource:
        """Return the reward model; phases with the same table share one, since it is large and keeps nothing of an episode."""
        key = f"reward {self.config.model_dump_json()}"
        if key not in self.context.shared:
            self.context.shared[key] = self.config.build()
        found: RewardSource = self.context.shared[key]
        return found


def with_score(trajectory: Trajectory, verdict: Score | NoScore, config: RewardConfig) -> Trajectory:
    """Return an episode with the rewards that training sees.

    The environment's reward stays on record in `info["clean_reward"]`, as with `[noise]`; its outcome is left alone.

    Args:
        trajectory: A finished episode with at least one step.
        verdict: Its score, or why there is none: the episode then ends in an error of the judge.
        config: Weights of score and environment.
    """
    if isinstance(verdict, NoScore):
        return replace(trajectory, outcome=Outcome(error=EpisodeError("judge", "NoScore", str(verdict))))
    steps = []
    for index, step in enumerate(trajectory.steps):
        parts = {
            name: config.env_weight * value for name, value in (step.info.get("reward_parts") or {"task": step.reward}).items()
        }
        reward = config.env_weight * step.reward
        if index == len(trajectory.steps) - 1:
            parts["judged"] = config.weight * verdict
            reward += config.weight * verdict
        clean = step.info.get("clean_reward", step.reward)
        steps.append(replace(step, reward=reward, info={**step.info, "reward_parts": parts, "clean_reward": clean}))
    return replace(trajectory, steps=tuple(steps))
