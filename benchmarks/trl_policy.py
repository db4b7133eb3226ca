"""A policy whose episodes have a shape that is known, in the prompts that TRL shows.

Two trainers are compared at equal work only if their episodes are the same. So the policy is cloned sharply from an expert
that always calls a tool, on the very tasks and prompts that are played later; at a low temperature it does the same in TRL's
tool loop and in ours. The expert either looks at its inventory in every turn (turns of one length), or goes round three calls
of different length, beginning with one that depends on the goal (ragged turns).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium

from palaestra.agents.core import Agent
from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.types import Message, ToolCall

ENV = "palaestra/TextCraft-v0"
WORLD: dict[str, Any] = {"recipes": "procedural", "name_words": 1, "num_names": 12, "depth": [1, 1], "distractors": 0}
TEMPERATURE = 0.3
TURN_TOKENS = 32  # most tokens of a turn of one length; a call takes about twenty
RAGGED_TOKENS = 128  # of a ragged one
CONTEXT = 2048
_ROWS = 4  # of an update of cloning


class Looker(Agent):
    """The expert of turns of one length: looks at its inventory, whatever it sees."""

    name = "looker"

    def reset(self, info: Any, *, env: Any = None, session: str = "") -> None:
        """Nothing is remembered."""

    async def aact(self, observation: str, info: Any) -> Message:
        """Call the one tool."""
        return Message("assistant", tool_calls=(ToolCall("inventory", {}, "call_1"),))


class Rounder(Agent):
    """The expert of ragged turns: goes round three calls of different length, begun at a place that the goal says."""

    name = "rounder"

    def reset(self, info: Any, *, env: Any = None, session: str = "") -> None:
        """Begin an episode."""
        self._goal, self._turn = "", 0

    async def aact(self, observation: str, info: Any) -> Message:
        """Call the next tool: a short, a middling or a long call."""
        if not self._turn:
            self._goal = observation.rsplit("Goal: craft ", 1)[1].rstrip(".\n ")
        kind, self._turn = (sum(map(ord, self._goal)) + self._turn) % 3, self._turn + 1
        ingredients = [{"item": word, "count": 2} for word in (self._goal, "stone", "stone")]
        name, arguments = (
            ("inventory", {}),
            ("get", {"item": self._goal, "count": 1}),
            ("craft", {"item": self._goal, "ingredients": ingredients}),
        )[kind]
        return Message("assistant", tool_calls=(ToolCall(name, arguments, "call_1"),))


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


@dataclass(frozen=True, slots=True)
class Shape:
    """What a policy is, and what its turns look like.

    Attributes:
        width: Of the residual stream.
        layers: Transformer blocks.
        heads: Of attention.
        ragged: Whether turns differ in length.
        updates: Of cloning.
        lr: Of cloning.
    """

    width: int = 64
    layers: int = 2
    heads: int = 2
    ragged: bool = False
    updates: int = 120
    lr: float = 1e-2

    @property
    def turn_tokens(self) -> int:
        """Most tokens of a turn."""
        return RAGGED_TOKENS if self.ragged else TURN_TOKENS


def player(policy: Any, shape: Shape, *, max_batch: int) -> Any:
    """Return the agent that plays: native calls, no instructions, TRL's temperature."""
    from palaestra.agents.core import Sampling
    from palaestra.agents.llm import LLMAgent

    sampling = Sampling(temperature=TEMPERATURE, max_tokens=shape.turn_tokens, seed=0)
    return LLMAgent(policy.sampler(max_batch=max_batch), format="tools", sampling=sampling, instructions_as="none", cut="play")


def clone(folder: Path, rows: Sequence[Any], shape: Shape, *, turns: int) -> str:
    """Clone the policy from the expert's episodes; return where it is saved.

    Args:
        folder: Where to save it.
        rows: Of `task_rows`: the tasks that are played later.
        shape: Size of the policy, and the expert that it is cloned from.
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
    played = RolloutEngine(len(planned)).collect(planned, Rounder() if shape.ragged else Looker(), make_env=make_env)
    episodes = [dataclasses.replace(trajectory, instructions="") for trajectory in played]
    texts = [message.content for episode in episodes for message in episode.messages()] + [str(episodes[0].tools)] * 8
    model, tokenizer = build_tiny_lm(texts, hidden_size=64, num_layers=2, num_heads=2, vocab_size=600, max_positions=CONTEXT)
    if shape.width != 64:
        model = _larger(model, shape)
    tokenizer.response_template = response_template(tokenizer)
    policy = Policy(model, tokenizer)
    found, _ = tokenize(episodes, player(policy, shape, max_batch=1), policy.template, max_context=CONTEXT)
    batch = collate(found)
    learner = SFTLearner(policy, SFTConfig(lr=shape.lr, warmup_updates=5), total=shape.updates)
    for step in range(shape.updates):
        learner.learn(batch.rows([(step * _ROWS + i) % batch.num_rows for i in range(_ROWS)]), step)
    return str(save(model, tokenizer, folder / "policy"))


def _larger(model: Any, shape: Shape) -> Any:
    """Return an untrained model of another size with the vocabulary of a given one."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {
        "hidden_size": shape.width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.heads,
        "head_dim": shape.width // shape.heads,
        "intermediate_size": 2 * shape.width,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LlamaForCausalLM(LlamaConfig(**{**model.config.to_dict(), **sizes})).eval()
