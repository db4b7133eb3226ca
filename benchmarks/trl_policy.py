"""The policies that both trainers train: cloned sharply from an expert, in the prompts that TRL shows.

Two trainers are compared at equal work only if their episodes are the same. So a policy is cloned from an expert on the very
tasks and prompts that are played later; at a low temperature it does the same in TRL's tool loop and in ours. `LOOKING` is a
tiny policy that calls one tool in every turn until the horizon; `CRAFTING` is one of ten million weights that follows the
recipes up to the last command and then only says so, in turns and episodes of any length. (It stops short of the goal because
TRL lets a policy speak once more after the end of an episode.) Cloning a policy of that size takes long on one core, so a
small one is cloned and then grown (`grown`): what is added costs what it costs in any policy of that size, and changes
nothing yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium

from palaestra.agents.core import Agent
from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.types import Message, ToolCall

_ROWS = 4  # of an update of cloning
_HEAD = 32  # width of a head
CONTEXT = 2048
TEMPERATURE = 0.3


@dataclass(frozen=True, slots=True)
class Case:
    """What is played, by a policy of which size, and how it is cloned.

    Attributes:
        env_id: Environment with tools.
        world: Its settings.
        expert: Makes the agent whose episodes are cloned.
        turn_tokens: Most tokens of a turn.
        width: Width of the policy that is cloned; its heads have a width of 32.
        layers: Its layers.
        vocab: Size of its vocabulary.
        updates: Updates of cloning.
        lr: Learning rate of cloning.
        grown: Width and layers to which it is grown before anything is measured; None leaves it as it is.
    """

    env_id: str
    world: Mapping[str, Any]
    expert: Callable[[], Agent]
    turn_tokens: int
    width: int
    layers: int
    vocab: int
    updates: int
    lr: float
    grown: tuple[int, int] | None = None


class Looker(Agent):
    """The expert: looks at its inventory, whatever it sees."""

    name = "looker"

    def reset(self, info: Any, *, env: Any = None, session: str = "") -> None:
        """Nothing is remembered."""

    async def aact(self, observation: str, info: Any) -> Message:
        """Call the one tool."""
        return Message("assistant", tool_calls=(ToolCall("inventory", {}, "call_1"),))


class Crafter(Agent):
    """The expert up to its last command, then words."""

    name = "crafter"

    def reset(self, info: Any, *, env: Any = None, session: str = "") -> None:
        """Look up what the expert does in the task."""
        self._turns = iter(_commands(info["task"]["key"]))

    async def aact(self, observation: str, info: Any) -> Message:
        """Call the next tool, or say that there is no further one."""
        command = next(self._turns, None)
        if command is None:
            return Message("assistant", "One command is left.")
        return Message("assistant", tool_calls=(_call(command),))


@cache
def _commands(task: str) -> tuple[str, ...]:
    """Return the expert's commands in a task of `CRAFTING`, without the last."""
    env = gymnasium.make(CRAFTING.env_id, **CRAFTING.world)
    env.reset(seed=0, options={"task": task})
    commands = []
    for command in env.unwrapped.expert():  # type: ignore[attr-defined]
        commands.append(command)
        if env.step(command)[2]:
            break
    return tuple(commands[:-1])


def _call(command: str) -> ToolCall:
    """Return a command as a call of a tool."""
    verb, _, rest = command.partition(" ")
    made, _, used = rest.partition(" using ")
    count, _, item = made.partition(" ")
    arguments: dict[str, Any] = {"item": item, "count": int(count)}
    if verb == "craft":
        pairs = [part.split(" ", 1) for part in used.split(", ")]
        arguments["ingredients"] = [{"item": name, "count": int(number)} for number, name in pairs]
    return ToolCall(verb, arguments, "call_1")


LOOKING = Case(
    env_id="palaestra/TextCraft-v0",
    world={"recipes": "procedural", "name_words": 1, "num_names": 20, "depth": [1, 1], "distractors": 0},
    expert=Looker,
    turn_tokens=32,  # a call takes about twenty
    width=64,
    layers=2,
    vocab=600,
    updates=120,
    lr=1e-2,
)
"""Turns and episodes of one length."""

CRAFTING = Case(
    env_id="palaestra/TextCraft-v0",
    world={"recipes": "procedural", "name_words": 1, "num_names": 40, "depth": [1, 3], "distractors": 0},
    expert=Crafter,
    turn_tokens=96,  # a call of two ingredients takes about ninety
    width=128,
    layers=2,
    vocab=600,
    updates=120,
    lr=4e-3,
    grown=(384, 7),
)
"""Turns and episodes of any length: commands with arguments, and words at the end."""


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
    return ShownTools(gymnasium.make(plan.env_id, **plan.env_kwargs), _shown())


@cache
def _shown() -> tuple[Any, ...]:
    """Return the tools in TRL's words; they are those of both cases."""
    from palaestra.algorithms.trl import environment_class, shown_tools

    return tuple(shown_tools(environment_class(LOOKING.env_id, LOOKING.world, answer=False)))


def plans(case: Case, rows: Sequence[Any], *, name: str, group: int, turns: int) -> list[EpisodePlan]:
    """Plan a group of episodes for each row of `task_rows`; where words end one in TRL, its horizon does so here."""
    horizons = [len(_commands(row["task"])) + 1 if case is CRAFTING else turns for row in rows]
    return [
        EpisodePlan(f"{name}/{i}/{k}", case.env_id, case.world, row["task"], row["seed"], k, f"{name}/{i}", horizons[i])
        for i, row in enumerate(rows)
        for k in range(group)
    ]


def player(case: Case, policy: Any, *, max_batch: int) -> Any:
    """Return the agent that plays: native calls, no instructions, TRL's temperature."""
    from palaestra.agents.core import Sampling
    from palaestra.agents.llm import LLMAgent

    sampling = Sampling(temperature=TEMPERATURE, max_tokens=case.turn_tokens, seed=0)
    return LLMAgent(policy.sampler(max_batch=max_batch), format="tools", sampling=sampling, instructions_as="none", cut="play")


def clone(case: Case, folder: Path, rows: Sequence[Any], *, turns: int) -> tuple[str, int]:
    """Clone the policy from the expert's episodes.

    Args:
        case: What is played.
        folder: Where to save it.
        rows: Of `task_rows`: the tasks that are played later.
        turns: Horizon.

    Returns:
        Where the policy is saved, and the number of its weights.
    """
    import dataclasses

    from palaestra.agents.rollout.engine import RolloutEngine
    from palaestra.algorithms.data.demonstrations import tokenize
    from palaestra.algorithms.learner.policy import Policy
    from palaestra.algorithms.math.batch import collate
    from palaestra.algorithms.sft import SFTConfig, SFTLearner
    from palaestra.algorithms.trl import response_template
    from palaestra.models.tiny_lm import build_tiny_lm, save

    planned = plans(case, rows, name="demo", group=1, turns=turns)
    played = RolloutEngine(len(planned)).collect(planned, case.expert(), make_env=make_env)
    episodes = [dataclasses.replace(trajectory, instructions="") for trajectory in played]
    texts = [message.content for episode in episodes for message in episode.messages()] + [str(episodes[0].tools)] * 8
    sizes = {"hidden_size": case.width, "num_layers": case.layers, "num_heads": case.width // _HEAD}
    model, tokenizer = build_tiny_lm(texts, **sizes, vocab_size=case.vocab, max_positions=CONTEXT)
    tokenizer.response_template = response_template(tokenizer)
    policy = Policy(model, tokenizer)
    found, _ = tokenize(episodes, player(case, policy, max_batch=1), policy.template, max_context=CONTEXT)
    batch = collate(found)
    learner = SFTLearner(policy, SFTConfig(lr=case.lr, warmup_updates=5), total=case.updates)
    for step in range(case.updates):
        learner.learn(batch.rows([(step * _ROWS + i) % batch.num_rows for i in range(_ROWS)]), step)
    if case.grown:
        model = grown(model, width=case.grown[0], layers=case.grown[1])
    weights = sum(parameter.numel() for parameter in model.parameters())
    return str(save(model, tokenizer, folder / "policy")), weights


def grown(model: Any, *, width: int, layers: int) -> Any:
    """Return a larger policy that says what a small one says, with the same probabilities.

    The small one's weights stand in the first channels, heads and layers. What is added is drawn as in any new policy, but
    for its outputs: those are 0 until they are trained, so that added channels carry nothing and added layers pass on what
    they get.

    Args:
        model: A Llama with tied embeddings and as many key heads as heads; unchanged.
        width: New width, a multiple of its head width.
        layers: New number of layers.

    Source: Chen et al. 2016, Net2Net (arXiv:1511.05641), for growing without a change of the function; zeros replace copies.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    small = model.config
    share, head = small.hidden_size / width, small.hidden_size // small.num_attention_heads
    sizes = {"hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": layers, "head_dim": head}
    heads = {"num_attention_heads": width // head, "num_key_value_heads": width // head}
    # a norm divides by the mean over all channels, of which the added ones are 0
    norms = {"rms_norm_eps": small.rms_norm_eps * share, "initializer_range": 0.5 * width**-0.5}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        large = LlamaForCausalLM(LlamaConfig(**{**small.to_dict(), **sizes, **heads, **norms})).eval()
    with torch.no_grad():
        for layer in large.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        large.model.embed_tokens.weight.zero_()
        for name, source in model.model.named_parameters():
            target = large.model.get_parameter(name)
            part = target[tuple(slice(size) for size in source.shape)]
            part.copy_(source * share**0.5 if name.endswith("norm.weight") else source)
    return large
