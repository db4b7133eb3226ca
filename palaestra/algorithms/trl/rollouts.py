"""Token-exact rollouts for TRL's `GRPOTrainer`: our engine plays the episodes with the trainer's own model.

    rollouts = EnvironmentRollouts("palaestra/TextCraft-v0", format="text", max_tokens_per_turn=32)
    GRPOTrainer(model, reward_funcs=rollouts.reward, rollout_func=rollouts, train_dataset=rollouts.dataset(512), ...)

A prompt of the data set is not a text for the model but the name of an episode, JSON of task and seed: TRL hands a
`rollout_func` nothing else of a row. What the model reads is rendered here, by the chat template, turn by turn; what it
sampled is never encoded again. `env_mask` is the action mask of the trajectory, so observations are never trained on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from palaestra.agents.backends.local import LocalBackend
from palaestra.agents.core import Sampling
from palaestra.agents.formats import Format
from palaestra.agents.llm import LLMAgent
from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.algorithms.math.seeds import stable_seed
from palaestra.algorithms.run.feed import TaskFeed
from palaestra.errors import ConfigError, EnvironmentFault, ModelError, UsageError
from palaestra.types import Json, Segment, Trajectory


class EnvironmentRollouts:
    """A `rollout_func` for `GRPOTrainer`, and the reward function that goes with it.

    Args:
        env_id: Registered id.
        env_kwargs: Arguments of the environment.
        format: Prompt format of the policy: "auto", "text", "react", "tools", "json", "code", or a `Format`.
        instructions: Show the environment's instructions.
        max_tokens_per_turn: Most tokens sampled per turn.
        cut: "refuse" plays nothing of an answer that this limit cut off, and tells the policy so; "play" plays what there is.
        max_turns: Horizon of the episodes; None leaves it to the environment.
        engine: Plays; 64 episodes at once by default.
        append_only: Append to dialogues even where the chat template would rewrite earlier turns (some drop reasoning).
            TRL takes one sequence per episode, so an episode whose history was rewritten is refused.
        seed: Seed of sampling.

    Attributes:
        trajectories: The episodes of the last call, in the order of its prompts.

    Raises:
        ConfigError: If a setting is out of range.
    """

    def __init__(
        self,
        env_id: str,
        env_kwargs: Mapping[str, Json] | None = None,
        *,
        format: str | Format = "auto",
        instructions: bool = True,
        max_tokens_per_turn: int = 64,
        cut: Literal["refuse", "play"] = "refuse",
        max_turns: int | None = None,
        engine: RolloutEngine | None = None,
        append_only: bool = False,
        seed: int = 0,
    ) -> None:
        """Keep the settings; nothing is played yet."""
        if max_tokens_per_turn < 1:
            raise ConfigError(f"max_tokens_per_turn is {max_tokens_per_turn}; expected at least 1.")
        self.env_id = env_id
        self.env_kwargs = dict(env_kwargs or {})
        self.format = format
        self.instructions = instructions
        self.max_tokens_per_turn = max_tokens_per_turn
        if cut not in ("refuse", "play"):
            raise ConfigError(f"cut is {cut!r}; expected 'refuse' or 'play'.")
        self.cut = cut
        self.max_turns = max_turns
        self.engine = engine or RolloutEngine()
        self.append_only = append_only
        self.seed = seed
        self.trajectories: list[Trajectory] = []
        self._num_calls = 0
        self._agent: LLMAgent | None = None
        self._model: Any = None

    def dataset(self, num_tasks: int, *, split: str = "train", seed: int = 0) -> Any:
        """Return a data set of episodes to play: column `prompt`, JSON of task key and seed.

        Args:
            num_tasks: Rows; tasks of the split in a shuffled order, a new one every epoch.
            split: Split of the environment.
            seed: Seed of shuffling and episodes.
        """
        from datasets import Dataset

        feed = TaskFeed(self.env_id, self.env_kwargs, split=split, seed=seed)
        return Dataset.from_dict({"prompt": [_prompt(feed.key(i), stable_seed(seed, f"trl/{i}")) for i in range(num_tasks)]})

    def __call__(self, prompts: Sequence[str], trainer: Any) -> dict[str, list[Any]]:
        """Play one episode per prompt.

        Args:
            prompts: Rows of `dataset`, repeated by TRL as often as a group has members.
            trainer: The `GRPOTrainer`; its model plays, at its temperature.

        Returns:
            `prompt_ids`, `completion_ids`, `logprobs`, `env_mask` (1 at sampled tokens), and for the reward functions
            `reward` (None where the episode failed with an error) and `episode_id`.

        Raises:
            ConfigError: If the trainer samples otherwise than by temperature alone.
            UsageError: If a prompt is none of `dataset`, or an episode has several token segments.
            BoundaryError: If every episode failed with an error; TRL would go on over nothing at all.
        """
        plans = self._plans(prompts, trainer)
        model = trainer.accelerator.unwrap_model(trainer.model)
        was_training = model.training  # a sampler puts its model into evaluation mode; TRL asks for the mode later
        try:
            self.trajectories = self.engine.collect(plans, self._player(trainer, model))
        finally:
            model.train(was_training)
        _check_some_played(self.trajectories)
        return rollout_rows(self.trajectories, filler=trainer.processing_class.pad_token_id)

    def reward(
        self, *, reward: Sequence[float | None], log_metric: Callable[[str, float], None] | None = None, **_: Any
    ) -> list[float | None]:
        """Reward function: the sum of each episode's rewards, None where it failed with an error; failures are logged.

        Args:
            reward: From `__call__`, through TRL.
            log_metric: TRL's; gets `episodes_failed`, the share of failed episodes.
        """
        if log_metric is not None:
            log_metric("episodes_failed", sum(value is None for value in reward) / max(1, len(reward)))
        return list(reward)

    def _plans(self, prompts: Sequence[str], trainer: Any) -> list[EpisodePlan]:
        """Return the plans of the episodes; their ids are unique over the calls and processes of a run."""
        call, self._num_calls = self._num_calls, self._num_calls + 1
        rank = trainer.accelerator.process_index
        plans = []
        for index, prompt in enumerate(prompts):
            task, seed = _read_prompt(prompt)
            plans.append(
                EpisodePlan(
                    episode_id=f"trl/{call:05d}/{rank}/{index:04d}",
                    env_id=self.env_id,
                    env_kwargs=self.env_kwargs,
                    task_key=task,
                    seed=seed,
                    sample=index,
                    group_id=prompt,
                    max_turns=self.max_turns,
                )
            )
        return plans

    def _player(self, trainer: Any, model: Any) -> LLMAgent:
        """Return the agent that plays with the trainer's current weights."""
        args = trainer.args
        if args.top_p != 1.0 or args.top_k or args.min_p or args.repetition_penalty != 1.0:
            raise ConfigError(
                f"The trainer samples with top_p={args.top_p}, top_k={args.top_k}, min_p={args.min_p}, repetition_penalty="
                f"{args.repetition_penalty}; expected 1, 0, None and 1, because log-probs are those of the temperature alone."
            )
        if self._agent is None or model is not self._model:
            backend = LocalBackend(
                model,
                trainer.processing_class,
                max_batch=self.engine.concurrency,
                device=None,
                append_only=self.append_only,
                name="trl",
            )
            sampling = Sampling(temperature=args.temperature, max_tokens=self.max_tokens_per_turn, seed=self.seed)
            shown: Literal["system", "none"] = "system" if self.instructions else "none"
            self._agent = LLMAgent(backend, format=self.format, sampling=sampling, instructions_as=shown, cut=self.cut)
            self._model = model
        else:
            backend = self._agent.backend  # type: ignore[assignment]
        backend.update_weights(version=trainer.state.global_step)
        return self._agent


def rollout_rows(trajectories: Sequence[Trajectory], *, filler: int) -> dict[str, list[Any]]:
    """Return episodes in the form that a `rollout_func` returns: one row each, in their order.

    An episode that failed, or in which nothing was sampled, keeps its row (TRL wants one per prompt, and none empty) but
    no token of it counts; the failed one has no reward either.

    Args:
        trajectories: Finished episodes with token segments.
        filler: Token for what would be empty otherwise.

    Raises:
        UsageError: If an episode has several segments.
    """
    rows: dict[str, list[Any]] = {
        key: [] for key in ("prompt_ids", "completion_ids", "logprobs", "env_mask", "reward", "episode_id")
    }
    for trajectory in trajectories:
        failed = trajectory.outcome.error is not None
        segment = _only_segment(trajectory)
        cut = segment.action.index(True) if segment is not None and any(segment.action) else None
        if segment is None or cut is None:
            prompt_ids, completion_ids, log_probs, mask = [filler], [filler], [0.0], [0]
        else:
            prompt_ids, completion_ids = list(segment.ids[:cut]), list(segment.ids[cut:])
            log_probs = list(segment.log_prob[cut:])
            mask = [int(action and not failed) for action in segment.action[cut:]]
        found = (prompt_ids, completion_ids, log_probs, mask, None if failed else trajectory.return_, trajectory.episode_id)
        for values, value in zip(rows.values(), found, strict=True):
            values.append(value)
    return rows


def _check_some_played(trajectories: Sequence[Trajectory]) -> None:
    """Refuse a batch in which every episode failed: a setting is wrong, or a service is down."""
    errors = [t.outcome.error for t in trajectories if t.outcome.error is not None]
    if errors and len(errors) == len(trajectories):
        kind = ModelError if errors[0].boundary == "model" else EnvironmentFault
        raise kind(f"All {len(errors)} episodes failed, the first with {errors[0].type}: {errors[0].message}")


def _only_segment(trajectory: Trajectory) -> Segment | None:
    """Return the one segment of an episode, None if it has none."""
    if trajectory.outcome.error is None and trajectory.steps and not trajectory.segments:
        raise UsageError(f"Episode {trajectory.episode_id!r} has no token segments; expected those of a local policy.")
    if len(trajectory.segments) > 1:
        raise UsageError(
            f"Episode {trajectory.episode_id!r} has {len(trajectory.segments)} token segments, because its history was "
            f"rewritten (a chat template that drops reasoning, a context policy that shortens). TRL takes one sequence per "
            f"prompt: use append_only=True, or train with palaestra's own grpo, which takes any number."
        )
    return trajectory.segments[0] if trajectory.segments else None


def _prompt(task: str | None, seed: int) -> str:
    """Write the name of an episode."""
    return json.dumps({"task": task, "seed": seed})


def _read_prompt(prompt: object) -> tuple[str | None, int | None]:
    """Read the name of an episode."""
    try:
        found = json.loads(prompt) if isinstance(prompt, str) else None
    except ValueError:
        found = None
    if not isinstance(found, dict) or not {"task", "seed"} <= found.keys():
        raise UsageError(
            f"The prompt {str(prompt)[:80]!r} names no episode; train on the rows of EnvironmentRollouts.dataset(n)."
        )
    return found["task"], found["seed"]


__all__ = ["EnvironmentRollouts", "rollout_rows"]
