"""A tiny policy whose episodes all have one shape: it calls the same tool in every turn, in the prompts that TRL shows.

Two trainers are compared at equal work only if their episodes are the same. So the policy is cloned sharply from an expert
that looks at its inventory until the horizon, on the very tasks and prompts that are played later; at a low temperature it
does the same in TRL's tool loop and in ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium

from palaestra.agents.core import Agent
from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.types import Message, ToolCall

ENV = "palaestra/TextCraft-v0"
WORLD: dict[str, Any] = {"recipes": "procedural", "name_words": 1, "num_names": 20, "depth": [1, 1], "distractors": 0}
TEMPERATURE = 0.3
TURN_TOKENS = 32  # most tokens of a turn; a call takes about twenty
CONTEXT = 2048
_UPDATES, _ROWS = 120, 4  # of cloning


class Looker(Agent):
    """The expert: looks at its inventory, whatever it sees."""

    name = "looker"

    def reset(self, info: Any, *, env: Any = None, session: str = "") -> None:
        """Nothing is remembered."""

    async def aact(self, observation: str, info: Any) -> Message:
        """Call the one tool."""
        return Message("assistant", tool_calls=(ToolCall("inventory", {}, "call_1"),))


class ShownTools(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Shows the tools in the words in which TRL shows them, so that the prompts of both sides are the same tokens."""

    def __init__(self, env: Any, tools: Sequence[Any]) -> None:
        """Keep the tools."""
        super().__init__(env)
        self._tools = tuple(tools)

    def reset(self, **options: Any) -> Any:
        """Replace the tools of the first info."""
        observation, info = self.env.reset(**options)
        return observation, {**info, "tools": self._tools}

    def step(self, action: Any) -> Any:
        """Replace the tools where they are told anew."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, reward, terminated, truncated, {**info, "tools": self._tools} if "tools" in info else info


def make_env(plan: EpisodePlan) -> Any:
    """Make the environment of a plan, with TRL's words for its tools."""
    from palaestra.algorithms.trl import environment_class, shown_tools

    if not _TOOLS:
        _TOOLS.extend(shown_tools(environment_class(ENV, WORLD, answer=False)))
    return ShownTools(gymnasium.make(plan.env_id, **plan.env_kwargs), _TOOLS)


_TOOLS: list[Any] = []


def plans(rows: Sequence[Any], *, name: str, group: int, turns: int) -> list[EpisodePlan]:
    """Plan a group of episodes for each row of `task_rows`."""
    return [
        EpisodePlan(f"{name}/{i}/{k}", ENV, WORLD, row["task"], row["seed"], k, f"{name}/{i}", turns)
        for i, row in enumerate(rows)
        for k in range(group)
    ]


def player(policy: Any, *, max_batch: int) -> Any:
    """Return the agent that plays: native calls, no instructions, TRL's temperature."""
    from palaestra.agents.core import Sampling
    from palaestra.agents.llm import LLMAgent

    sampling = Sampling(temperature=TEMPERATURE, max_tokens=TURN_TOKENS, seed=0)
    return LLMAgent(policy.sampler(max_batch=max_batch), format="tools", sampling=sampling, instructions_as="none", cut="play")


def clone(folder: Path, rows: Sequence[Any], *, turns: int) -> str:
    """Clone the policy from the expert's episodes; return where it is saved.

    Args:
        folder: Where to save it.
        rows: Of `task_rows`: the tasks that are played later.
        turns: Horizon.
    """
    import dataclasses

    from palaestra.agents.rollout.engine import RolloutEngine
    from palaestra.algorithms.data.demonstrations import tokenize
    from palaestra.algorithms.learner.policy import Policy
    from palaestra.algorithms.math.batch import collate
    from palaestra.algorithms.sft import SFTConfig, SFTLearner
    from palaestra.algorithms.trl import response_template
    from palaestra.models.tiny_lm import build_tiny_lm, save

    planned = plans(rows, name="demo", group=1, turns=turns)
    played = RolloutEngine(len(planned)).collect(planned, Looker(), make_env=make_env)
    episodes = [dataclasses.replace(trajectory, instructions="") for trajectory in played]
    texts = [message.content for episode in episodes for message in episode.messages()] + [str(episodes[0].tools)] * 8
    sizes = {"hidden_size": 64, "num_layers": 2, "num_heads": 2, "vocab_size": 600, "max_positions": CONTEXT}
    model, tokenizer = build_tiny_lm(texts, **sizes)
    tokenizer.response_template = response_template(tokenizer)
    policy = Policy(model, tokenizer)
    found, _ = tokenize(episodes, player(policy, max_batch=1), policy.template, max_context=CONTEXT)
    batch = collate(found)
    learner = SFTLearner(policy, SFTConfig(lr=1e-2, warmup_updates=5), total=_UPDATES)
    for step in range(_UPDATES):
        learner.learn(batch.rows([(step * _ROWS + i) % batch.num_rows for i in range(_ROWS)]), step)
    return str(save(model, tokenizer, folder / "policy"))
