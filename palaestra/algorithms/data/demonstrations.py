"""Demonstrations as token segments: what the policy would have seen and written, had it played them.

`tokenize` replays recorded episodes through the same agent and chat template that the policy plays with, dictating the
recorded answers. So observations, instructions and prompt format cost no second implementation, the segments are those
of a real episode token by token, and only the assistant's tokens and its end token are actions. Their text is the one that
the template writes, its end of turn included, in every turn. Their log-probs are 0: nobody sampled them, and imitation needs
none.

Sources: the environment's expert (`expert_episodes`), a run in the store, and files of chat data (`read_agent_traj`).
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from palaestra.agents.backends.chat_template import ChatTemplate, Templated
from palaestra.agents.backends.token_turns import TokenTurn, extended_prompt
from palaestra.agents.core import Agent, Generation, Request, Tokens
from palaestra.agents.export.conversations import is_trained_on
from palaestra.agents.export.observations import calls_of
from palaestra.agents.export.reading import RECORD, BadRecordWarning, OnBad, load_episodes
from palaestra.agents.formats import Format, TextFormat, choose
from palaestra.agents.llm import LLMAgent
from palaestra.agents.reference import ExpertAgent, RandomAgent
from palaestra.agents.rollout.engine import EpisodePlan, RolloutEngine
from palaestra.algorithms.math.seeds import stable_seed
from palaestra.envs.formats.hermes import CALL_OPEN, parse_message
from palaestra.envs.formats.hermes_format import HermesFormat
from palaestra.envs.formats.reasoning import without_reasoning
from palaestra.errors import ModelError, UsageError
from palaestra.types import OPENING_HINTS, Json, Message, Segment, Trajectory, TurnSpan

_MAX_WARNINGS = 20  # of one source; the rest is counted
EXPERT_VERSION = -1  # no version of the policy wrote these tokens


class Dictation(Templated):
    """A backend that answers with what it was told before, in the tokens that the policy would use.

    Prompts, and what is read from an answer, are those of `LocalBackend`, by the same functions.

    Args:
        template: Template of the policy's tokenizer.
        max_context: Longest dialogue in tokens.
    """

    name = "dictation"

    def __init__(self, template: ChatTemplate, *, max_context: int) -> None:
        """Begin without anything to say."""
        self.template = template
        self.max_context = max_context
        self._said: dict[str, str | Message] = {}
        self._turns: dict[str, TokenTurn] = {}

    def dictate(self, session: str, said: str | Message) -> None:
        """Set the next answer of a session: a text, or a message whose calls are made natively."""
        self._said[session] = said

    def forget(self, session: str) -> None:
        """Drop what is known of a session."""
        self._said.pop(session, None)
        self._turns.pop(session, None)

    async def generate(self, request: Request) -> Generation:
        """Answer with what was dictated."""
        said = self._said.pop(request.session)
        turn = self._turns.get(request.session)
        prompt = None if turn is None else extended_prompt(self.template, turn, request)
        if prompt is None:
            prompt = self.template.render(request.messages, request.tools)
        text, completion = self._written(said, request)
        if len(prompt) + len(completion) > self.max_context:
            raise _TooLongError(len(prompt) + len(completion))
        answer = self.template.read(text, request.tools) if request.tools else without_reasoning(Message("assistant", text))
        self._turns[request.session] = TokenTurn(
            request.messages, request.tools, prompt + completion, len(prompt), text, answer, "eos"
        )
        tokens = Tokens(prompt, completion, (0.0,) * len(completion), EXPERT_VERSION, "eos")
        return Generation(answer, tokens=tokens)

    async def aclose(self) -> None:
        """Nothing to free."""
        return None

    def _written(self, said: str | Message, request: Request) -> tuple[str, tuple[int, ...]]:
        """Return the text of the policy, and its tokens: calls as the template shows them, where they are read back."""
        if isinstance(said, Message):
            if ids := self.template.written_calls(said, request.tools):
                return self.template.decode(ids), ids
            said = HermesFormat().write(said, request.tools)  # which is read under every template
        return said, self.template.written_turn(said, asks=bool(request.tools) and CALL_OPEN in said)


class _TooLongError(Exception):
    """A demonstration does not fit the model."""

    def __init__(self, num_tokens: int) -> None:
        super().__init__(num_tokens)
        self.num_tokens = num_tokens


class _RefusedError(Exception):
    """A demonstration cannot be shown to the policy; the text says which, where and why."""


def tokenize(
    trajectories: Iterable[Trajectory], agent: LLMAgent, template: ChatTemplate, *, max_context: int
) -> tuple[list[Trajectory], int]:
    """Give recorded episodes the token segments that the policy would have produced by playing them.

    Episodes that the format or the chat template refuses are left out with a `BadRecordWarning`, which names file and line,
    or the episode, and the turn.

    Args:
        trajectories: Episodes without an error; segments they carry already are replaced.
        agent: How the policy plays (format, instructions, context policy); its backend is not asked.
        template: Template of the policy's tokenizer.
        max_context: Longest dialogue in tokens; longer episodes are left out.

    Returns:
        The episodes with segments, and how many were left out because they are too long.

    Raises:
        UsageError: If every one of them is refused.
    """
    dictation = Dictation(template, max_context=max_context)
    kept: list[Trajectory] = []
    refused: list[str] = []
    num_too_long = 0

    async def replay() -> None:
        nonlocal num_too_long
        for trajectory in trajectories:
            try:
                kept.append(await _replay(trajectory, agent, dictation))
            except _TooLongError:
                num_too_long += 1
            except _RefusedError as error:
                refused.append(str(error))

    asyncio.run(replay())
    if refused and not kept and not num_too_long:
        raise UsageError(refused[0] + (f" None of {len(refused):,} episodes can be shown." if len(refused) > 1 else ""))
    for text in refused[:_MAX_WARNINGS]:
        warnings.warn(f"{text} It is left out; the others are learned from.", BadRecordWarning, stacklevel=2)
    if len(refused) > _MAX_WARNINGS:
        text = f"{len(refused) - _MAX_WARNINGS:,} more episodes cannot be shown to the policy."
        warnings.warn(text, BadRecordWarning, stacklevel=2)
    return kept, num_too_long


async def _replay(trajectory: Trajectory, agent: LLMAgent, dictation: Dictation) -> Trajectory:
    """Play one recorded episode again, with dictated answers.

    Raises:
        _TooLongError: If it does not fit the model.
        _RefusedError: If the format or the chat template does not take it.
    """
    player = agent.fork()
    player.backend = dictation
    session = trajectory.episode_id
    opening = {"task": trajectory.task, "instructions": trajectory.instructions, "tools": list(trajectory.tools)}
    opening |= {key: trajectory.meta[key] for key in OPENING_HINTS if key in trajectory.meta}
    info: Mapping[str, Json] = opening
    turn = 0
    try:
        player.reset(opening, session=session)
        form = choose(player.format, trajectory.tools, trajectory.meta.get("format", ""), native=dictation.native_tools)
        for step in trajectory.steps:
            turn += 1
            dictation.dictate(session, _dictated(step.action, form, trajectory.tools))
            await player.aact(step.observation, info)
            info = step.info
    except (UsageError, ModelError) as error:
        place = str(trajectory.meta.get(RECORD) or f"Episode {session!r}")
        raise _RefusedError(
            f"{place}, {f'turn {turn}' if turn else 'its opening'}: {error} Change the record, or choose another agent.format "
            f"or a model whose chat template takes it."
        ) from error
    finally:
        dictation.forget(session)
    untrained = {index for index, step in enumerate(trajectory.steps) if not is_trained_on(step)}
    segments = tuple(without_turns(segment, untrained) for segment in player.record().segments)
    return replace(trajectory, segments=segments)


def _dictated(action: Message, form: Format, tools: Sequence[Mapping[str, Json]]) -> str | Message:
    """Return a recorded action as a policy writes it in its format: a text, or a message with native calls."""
    if action.raw and not form.native_tools:
        return action.raw
    calls = calls_of(action)
    if calls and not action.tool_calls and all(call.name for call in calls) and not isinstance(form, TextFormat):
        # experts and chat data write calls into the text: a format that escapes what looks like one must not see them there
        read = parse_message(action.content, lenient=True)
        action = replace(read, reasoning=action.reasoning or read.reasoning)
    is_native = form.native_tools and action.tool_calls and all(call.name for call in action.tool_calls)
    return action if is_native else action.raw or form.write(action, tools)


class SlippingExpert(Agent):
    """An expert that now and then plays a random well-formed action instead, and continues from where that led.

    Episodes of a flawless expert never show what to do after a mistake, so a policy cloned from them is lost after its
    first one. The random actions are noted and never imitated; what is imitated is the way back.

    Args:
        rate: Share of random actions, from 0 to below 1.
        seed: Seed of the slips.

    Source: Laskey et al. 2017, DART (arXiv:1703.09327): noise injection into the demonstrator.
    """

    name = "expert"

    def __init__(self, rate: float, seed: int = 0) -> None:
        """Begin without slips."""
        self.rate = rate
        self.seed = seed
        self.slips: dict[str, set[int]] = {}  # by episode; shared by all forks
        self._random = RandomAgent(seed)
        self._rng = np.random.default_rng(seed)
        self._env: gymnasium.Env[Any, Any] | None = None
        self._session = ""
        self._turn = 0

    def reset(self, info: Mapping[str, Any], *, env: gymnasium.Env[Any, Any] | None = None, session: str = "") -> None:
        """Begin an episode."""
        self._random = RandomAgent(self.seed)
        self._random.reset(info, env=env, session=session)
        self._rng = np.random.default_rng(stable_seed(self.seed, f"slips/{session}"))
        self._env, self._session, self._turn = env, session, 0

    async def aact(self, observation: str, info: Mapping[str, Any]) -> Message:
        """Play the expert's next action from the current state, or slip."""
        turn = self._turn
        self._turn += 1
        if self._rng.random() < self.rate:
            self.slips.setdefault(self._session, set()).add(turn)
            return await self._random.aact(observation, info)
        expert = ExpertAgent()  # a new one each turn: a slip may have upset its plan
        expert.reset(info, env=self._env, session=self._session)
        return await expert.aact(observation, info)


def expert_episodes(
    plans: Sequence[EpisodePlan], *, engine: RolloutEngine | None = None, slip_rate: float = 0.0, seed: int = 0
) -> list[Trajectory]:
    """Let the environment's own expert play, and keep the episodes it solved.

    Args:
        plans: What to play.
        engine: How to play.
        slip_rate: Share of turns in which a random action is played, which imitation leaves out.
        seed: Seed of the slips.

    Raises:
        UsageError: If the expert solved none of them.
    """
    agent = SlippingExpert(slip_rate, seed) if slip_rate > 0 else ExpertAgent()
    played = (engine or RolloutEngine()).collect(plans, agent)
    solved = [trajectory for trajectory in played if trajectory.outcome.success]
    if not solved:
        reasons = sorted({t.outcome.error.message if t.outcome.error else t.outcome.stop_reason for t in played})
        raise UsageError(
            f"The expert solved none of {len(played)} episodes ({'; '.join(reasons)[:300]}); there is nothing to clone."
        )
    slips = agent.slips if isinstance(agent, SlippingExpert) else {}
    return [_mark_untrained(trajectory, slips.get(trajectory.episode_id, set())) for trajectory in solved]


def read_agent_traj(path: str | Path, *, env_id: str = "", on_bad: OnBad | None = None) -> list[Trajectory]:
    """Read demonstrations from a file in any form that is exported: AgentTraj, ShareGPT, chat, whole trajectories, a data set.

    A record may have a `weight`, if it is to count more or less than others. Turns marked so (`loss: false`, `weight: 0`) are
    not trained on. Whole trajectories that an error ended are left out.

    Args:
        path: The file, or the folder of a data set.
        env_id: Written into episodes that name no environment.
        on_bad: Is told of records that cannot be read; by default they are warned about.

    Raises:
        MissingDataError: If there is no such file.
        UsageError: If no record of it can be read.
    """
    return [episode for episode in load_episodes(path, env_id=env_id, on_bad=on_bad) if episode.outcome.error is None]


def _mark_untrained(trajectory: Trajectory, turns: set[int]) -> Trajectory:
    """Note which turns are not to be imitated."""
    if not turns:
        return trajectory
    steps = tuple(
        replace(step, info={**step.info, "trained": False}) if index in turns else step
        for index, step in enumerate(trajectory.steps)
    )
    return replace(trajectory, steps=steps)


def without_turns(segment: Segment, turns: set[int]) -> Segment:
    """Make context of the tokens of some turns."""
    if not turns:
        return segment
    spans = tuple(TurnSpan(s.start, s.start, s.turn, s.stop) if s.turn in turns else s for s in segment.turns)
    action = [False] * len(segment.ids)
    for span in spans:
        action[span.start : span.end] = [True] * (span.end - span.start)
    return replace(
        segment,
        action=tuple(action),
        log_prob=tuple(p if a else 0.0 for p, a in zip(segment.log_prob, action, strict=True)),
        version=tuple(v if a else -1 for v, a in zip(segment.version, action, strict=True)),
        turns=spans,
    )
